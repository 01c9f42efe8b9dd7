# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What this machine can do, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from edgeinfer.base import assets
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.tools import Tool
from edgeinfer.event.kernel import kernel_obstacle
from edgeinfer.targets.registry import known_targets

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


CHROMIUM = Tool(
    "chromium",
    "EDGEINFER_CHROMIUM",
    "a browser that tests of reports drive",
    "apt-get install chromium",
)


def run_checks(
    environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> list[Check]:
    """Look at everything."""
    variables = os.environ if environment is None else environment
    return [
        python(),
        *(
            package(name, version)
            for name, version in read_pinned_versions().items()
            if name in CORE
        ),
        qkeras_owner(),
        *(
            check
            for entry in known_targets().values()
            for check in entry.make().check_tools(variables)
        ),
        check_tool(CHROMIUM, Severity.OPTIONAL, variables),
        fast_events(kernel_obstacle()),
        disk(folder or Path.cwd()),
        memory(),
    ]


def format_checks(checks: list[Check]) -> list[str]:
    """The checks as lines, and a verdict."""
    lines = []
    for check in checks:
        lines.append(f"{check.state:<9} {check.name:<18} {check.found}")
        if check.mend:
            lines.append(f"{'':<9} {'':<18} mend it with: {check.mend}")
    problems = sum(check.state is Severity.PROBLEM for check in checks)
    verdict = "Everything needed is here." if not problems else f"{problems} to mend."
    return [*lines, verdict]


def python(version: tuple[int, ...] = sys.version_info[:2]) -> Check:
    """The interpreter: one that the pinned libraries are built for."""
    found = f"{platform.python_version()} at {sys.executable}"
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return Check("Python", Severity.OK, found)
    return Check("Python", Severity.PROBLEM, found, "make clean setup PYTHON=/path/to/python3.11")


def read_pinned_versions() -> dict[str, str]:
    """The versions that are known to work together."""
    lines = assets.text("constraints.txt").splitlines()
    pairs = [line.split("==", 1) for line in lines if "==" in line and not line.startswith("#")]
    return {name.strip(): version.strip() for name, version in pairs}


def package(name: str, wanted: str) -> Check:
    """One library: there, and of the version that is known to work."""
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, Severity.PROBLEM, "is not installed", f"pip install {name}=={wanted}")
    if found == wanted:
        return Check(name, Severity.OK, found)
    said = f"{found}; known to work: {wanted}"
    return Check(name, Severity.PROBLEM, said, f"pip install {name}=={wanted}")


def qkeras_owner() -> Check:
    """Whose `qkeras` an import would find: some packages bring one of their own."""
    owners = sorted(set(metadata.packages_distributions().get("qkeras", [])))
    if owners == ["qkeras-v3"]:
        return Check("qkeras", Severity.OK, "belongs to qkeras-v3")
    others = [owner for owner in owners if owner != "qkeras-v3"]
    if not others:
        return Check("qkeras", Severity.PROBLEM, "is not there", "pip install qkeras-v3")
    return Check(
        "qkeras",
        Severity.PROBLEM,
        f"{' and '.join(others)} overwrote it",
        f"pip uninstall -y {' '.join(others)} && pip install --force-reinstall --no-deps qkeras-v3",
    )


def fast_events(obstacle: str) -> Check:
    """The extra [fast]: `event` multiplies bytes by the processor's own instruction, AVX-512 VNNI,
    instead of through ONNX Runtime."""
    if not obstacle:
        found = f"AVX-512 VNNI through llvmlite {metadata.version('llvmlite')}: events are tagged "
        return Check("fast", Severity.OK, f"{found}in half the time")
    missing = "installed" in obstacle
    said = f"{obstacle} (events are tagged in half the time with it)"
    if not missing:
        said = f"{obstacle}, so the extra [fast] changes nothing"
    mend = "pip install 'edgeinfer[fast]'" if missing else ""
    return Check("fast", Severity.OPTIONAL, said, mend)


def disk(folder: Path) -> Check:
    """Room for builds."""
    free = shutil.disk_usage(folder).free / GIB
    said = f"{free:.1f} GiB free at {folder}"
    if free >= LEAST_DISK_GIB:
        return Check("disk", Severity.OK, said)
    return Check("disk", Severity.PROBLEM, said, f"free some: builds want {LEAST_DISK_GIB} GiB")


def memory() -> Check:
    """Memory of the machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    said = f"{total:.1f} GiB"
    if total >= LEAST_MEMORY_GIB:
        return Check("memory", Severity.OK, said)
    advice = f"use a machine with {LEAST_MEMORY_GIB} GiB: training and C++ builds want it"
    return Check("memory", Severity.PROBLEM, said, advice)
