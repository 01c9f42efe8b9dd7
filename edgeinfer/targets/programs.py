# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs of vendors that more than one target runs."""

from __future__ import annotations

from edgeinfer.base.tools import Tool

AMD_ERROR = r"^(?:ERROR|FATAL)\b"

VIVADO = Tool(
    "vivado",
    "EDGEINFER_VIVADO",
    "logic synthesis, place and route for AMD FPGAs",
    "install AMD Vivado and source its settings64.sh",
    version_args=("-version",),
    telling=AMD_ERROR,
)
