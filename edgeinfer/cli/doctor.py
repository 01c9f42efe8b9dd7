# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What this machine can do, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

from edgeinfer.base import assets, tools
from edgeinfer.base.errors import EdgeInferError, ToolMissingError
from edgeinfer.base.tools import Tool
from edgeinfer.targets.edgetpu.chip import compiler as edgetpu_compiler
from edgeinfer.targets.edgetpu.chip import device
from edgeinfer.targets.hls.csim.build import CXX
from edgeinfer.targets.hls.tools.programs import PROGRAMS
from edgeinfer.targets.rtl.tools import programs as rtl
from edgeinfer.targets.rtl.tools.verilator import VERILATOR, simulator

GIB = 1 << 30
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)  # what TensorFlow's wheels are built for
LEAST_DISK_GIB, LEAST_MEMORY_GIB = 5, 4
CORE = (
    "ai-edge-litert",
    "cyclopts",
    "h5py",
    "hls4ml",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "pydantic",
    "qkeras-v3",
    "rich",
    "scipy",
    "tensorflow",
)


class State(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    OPTIONAL = "optional"  # not there; needed for some targets only
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` says what to do, and is empty where all is well."""

    name: str
    state: State
    found: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


NEEDED = (
    CXX,
    Tool("make", "EDGEINFER_MAKE", "drives builds", "apt-get install make"),
)
OPTIONAL = (
    *PROGRAMS,
    edgetpu_compiler.COMPILER,
    Tool(
        "chromium",
        "EDGEINFER_CHROMIUM",
        "a browser that tests of reports drive",
        "apt-get install chromium",
    ),
)


def examined(
    environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> list[Check]:
    """Look at everything."""
    variables = os.environ if environment is None else environment
    return [
        python(),
        *(package(name, version) for name, version in pinned().items() if name in CORE),
        qkeras_owner(),
        *(tool(wanted, State.PROBLEM, variables) for wanted in NEEDED),
        *(tool(wanted, State.OPTIONAL, variables) for wanted in OPTIONAL),
        verilator(),
        tool(rtl.IVERILOG, State.OPTIONAL, variables),
        *(packaged(wanted, variables) for wanted in rtl.PACKAGED),
        edge_tpu(device.probed()),
        disk(folder or Path.cwd()),
        memory(),
    ]


def told(checks: list[Check]) -> str:
    """The checks as lines, and a verdict."""
    lines = []
    for check in checks:
        lines.append(f"{check.state:<9} {check.name:<18} {check.found}")
        if check.mend:
            lines.append(f"{'':<9} {'':<18} mend it with: {check.mend}")
    problems = sum(check.state is State.PROBLEM for check in checks)
    verdict = "Everything needed is here." if not problems else f"{problems} to mend."
    return "\n".join([*lines, verdict])


def python(version: tuple[int, ...] = sys.version_info[:2]) -> Check:
    """The interpreter: one that the pinned libraries are built for."""
    found = f"{platform.python_version()} at {sys.executable}"
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return Check("Python", State.OK, found)
    return Check("Python", State.PROBLEM, found, "make clean setup PYTHON=/path/to/python3.11")


def pinned() -> dict[str, str]:
    """The versions that are known to work together."""
    lines = assets.text("constraints.txt").splitlines()
    pairs = [line.split("==", 1) for line in lines if "==" in line and not line.startswith("#")]
    return {name.strip(): version.strip() for name, version in pairs}


def package(name: str, wanted: str) -> Check:
    """One library: there, and of the version that is known to work."""
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, State.PROBLEM, "is not installed", f"pip install {name}=={wanted}")
    if found == wanted:
        return Check(name, State.OK, found)
    said = f"{found}; known to work: {wanted}"
    return Check(name, State.PROBLEM, said, f"pip install {name}=={wanted}")


def qkeras_owner() -> Check:
    """Whose `qkeras` an import would find: some packages bring one of their own."""
    owners = sorted(set(metadata.packages_distributions().get("qkeras", [])))
    if owners == ["qkeras-v3"]:
        return Check("qkeras", State.OK, "belongs to qkeras-v3")
    others = [owner for owner in owners if owner != "qkeras-v3"]
    if not others:
        return Check("qkeras", State.PROBLEM, "is not there", "pip install qkeras-v3")
    return Check(
        "qkeras",
        State.PROBLEM,
        f"{' and '.join(others)} overwrote it",
        f"pip uninstall -y {' '.join(others)} && pip install --force-reinstall --no-deps qkeras-v3",
    )


def tool(wanted: Tool, otherwise: State, environment: Mapping[str, str]) -> Check:
    """One external tool."""
    try:
        found = tools.find(wanted, environment)
    except ToolMissingError as error:
        overridden = bool(environment.get(wanted.override))
        said = error.message if overridden else f"not found ({wanted.purpose})"
        return Check(wanted.name, otherwise, said, error.hint if overridden else wanted.remedy)
    return Check(wanted.name, State.OK, f"{found.version or 'version unknown'} at {found.path}")


def packaged(wanted: rtl.Packaged, environment: Mapping[str, str]) -> Check:
    """A tool for designs in RTL, on the PATH or as pip installed it."""
    name = wanted.tool.name
    try:
        found = rtl.found(wanted, environment)
    except ToolMissingError as error:
        overridden = bool(environment.get(wanted.tool.override))
        said = error.message if overridden else f"not found ({wanted.tool.purpose})"
        return Check(name, State.OPTIONAL, said, error.hint if overridden else wanted.tool.remedy)
    return Check(name, State.OK, f"{found.version or 'version unknown'} at {found.path}")


def verilator() -> Check:
    """The simulator, which says where its own files are only when it is asked."""
    try:
        found = simulator().found
    except EdgeInferError as error:
        return Check("verilator", State.OPTIONAL, error.message, VERILATOR.remedy)
    return Check("verilator", State.OK, f"{found.version or 'version unknown'} at {found.path}")


def edge_tpu(found: device.Probed) -> Check:
    """Edge TPUs: those that the vendor's library finds, and what else the system shows."""
    if found.devices:
        there = ", ".join(f"{d.type} {d.path}" for d in found.devices)
        return Check("Edge TPU", State.OK, f"{there}; {found.library_version}")
    seen = f"{', '.join(found.nodes)}, but " if found.nodes else ""
    return Check(
        "Edge TPU",
        State.OPTIONAL,
        f"{seen}{found.problem}",
        "attach one and apt-get install libedgetpu1-std, from Coral's package source",
    )


def disk(folder: Path) -> Check:
    """Room for builds."""
    free = shutil.disk_usage(folder).free / GIB
    said = f"{free:.1f} GiB free at {folder}"
    if free >= LEAST_DISK_GIB:
        return Check("disk", State.OK, said)
    return Check("disk", State.PROBLEM, said, f"free some: builds want {LEAST_DISK_GIB} GiB")


def memory() -> Check:
    """Memory of the machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    said = f"{total:.1f} GiB"
    if total >= LEAST_MEMORY_GIB:
        return Check("memory", State.OK, said)
    advice = f"use a machine with {LEAST_MEMORY_GIB} GiB: training and C++ builds want it"
    return Check("memory", State.PROBLEM, said, advice)
