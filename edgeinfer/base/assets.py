# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Text that ships with the package: firmware, report templates, pinned versions.

A wheel holds it under ``edgeinfer/_shipped``; a checkout (an editable install) at its top level.
"""

from __future__ import annotations

from pathlib import Path

from edgeinfer.base.errors import EdgeInferError

PACKAGE = Path(__file__).resolve().parents[1]


def root() -> Path:
    """The folder below which shipped text lies."""
    shipped = PACKAGE / "_shipped"
    return shipped if shipped.is_dir() else PACKAGE.parent


def path(name: str) -> Path:
    """A shipped file or folder by its path in the checkout, such as ``firmware/devices``."""
    place = root() / name
    if not place.exists():
        raise EdgeInferError(
            f"{place}: a file that ships with edgeinfer is missing, so this installation is "
            f"incomplete.",
            hint="Install edgeinfer again.",
        )
    return place


def text(name: str) -> str:
    """A shipped file's content."""
    return path(name).read_text(encoding="utf-8")
