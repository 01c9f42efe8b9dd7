# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The programs of AMD and Intel that turn an HLS project into a circuit."""

from __future__ import annotations

from edgeinfer.base.tools import Tool
from edgeinfer.targets.programs import AMD_ERROR, VIVADO

INTEL_ERROR = r"^(?:Error|HLS Error|Fatal)\b|: error:"

VITIS_HLS = Tool(
    "vitis_hls",
    "EDGEINFER_VITIS_HLS",
    "C synthesis for AMD FPGAs",
    "install AMD Vitis and source its settings64.sh",
    version_args=("-version",),
    telling=AMD_ERROR,
)
VITIS_RUN = Tool(
    "vitis-run",
    "EDGEINFER_VITIS_RUN",
    "C synthesis for AMD FPGAs, by its newer name",
    "install AMD Vitis and source its settings64.sh",
    telling=AMD_ERROR,
)
VIVADO_HLS = Tool(
    "vivado_hls",
    "EDGEINFER_VIVADO_HLS",
    "C synthesis for AMD FPGAs, up to Vivado 2020.1",
    "install Vivado 2020.1 or older and source its settings64.sh, or choose the Vitis backend",
    version_args=("-version",),
    telling=AMD_ERROR,
)
INTEL_HLS = Tool(
    "i++",
    "EDGEINFER_INTEL_HLS",
    "C synthesis for Altera FPGAs",
    "install Intel HLS with Quartus Prime and source its init_hls.sh",
    telling=INTEL_ERROR,
)
QUARTUS = Tool(
    "quartus_sh",
    "EDGEINFER_QUARTUS",
    "place and route for Altera FPGAs",
    "install Quartus Prime and put its bin folder on the PATH",
    telling=INTEL_ERROR,
)
MAKE = Tool("make", "EDGEINFER_MAKE", "drives builds", "apt-get install make", telling=INTEL_ERROR)

PROGRAMS = (VITIS_HLS, VITIS_RUN, VIVADO_HLS, VIVADO, INTEL_HLS, QUARTUS)
