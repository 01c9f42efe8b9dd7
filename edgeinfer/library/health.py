# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What this machine can do, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.base import assets
from edgeinfer.base.extras import EXTRAS, Extra
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.tools import Tool
from edgeinfer.event.kernel import kernel_obstacle
from edgeinfer.targets.registry import known_targets

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GIB = 1 << 30
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)  # what the pinned libraries are built for
LEAST_DISK_GIB, LEAST_MEMORY_GIB = 5, 4
PACKAGE = "edgeinfer"

CHROMIUM = Tool(
    "chromium",
    "EDGEINFER_CHROMIUM",
    "a browser that tests of reports drive",
    "apt-get install chromium",
)


def run_checks() -> list[Check]:
    """Look at everything."""
    return [
        python(),
        *(library(requirement) for requirement in wanted_libraries("")),
        *(check for extra in known_extras() for check in check_extra(extra)),
        *(check for entry in known_targets().values() for check in entry.make().check_tools()),
        check_tool(CHROMIUM, Severity.OPTIONAL),
        fast_events(kernel_obstacle()),
        disk(Path.cwd()),
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
    text = f"{platform.python_version()} at {sys.executable}"
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return Check("Python", Severity.OK, text)
    return Check("Python", Severity.PROBLEM, text, "make clean setup PYTHON=/path/to/python3.11")


def read_pinned_versions() -> dict[str, str]:
    """The versions that are known to work together."""
    lines = assets.text("constraints.txt").splitlines()
    pairs = [line.split("==", 1) for line in lines if "==" in line and not line.startswith("#")]
    return {name.strip(): version.strip() for name, version in pairs}


def wanted_libraries(
    extra: str, declared: Iterable[str] | None = None
) -> list[tuple[Requirement, str]]:
    """What edgeinfer declares that it needs, always or for an extra, with the version that is known
    to work."""
    from packaging.requirements import Requirement

    pinned = read_pinned_versions()
    required = metadata.requires(PACKAGE) or [] if declared is None else declared
    requirements = []
    for requirement in map(Requirement, required):
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        named = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if requirement.name != PACKAGE and (named and not always if extra else always):
            requirements.append((requirement, pinned.get(requirement.name, "")))
    return requirements


def library(pair: tuple[Requirement, str]) -> Check:
    """One library: there, and of a version that edgeinfer takes. One that is newer than the version
    that the tests ran with is said to be."""
    requirement, tested = pair
    remedy = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Check(requirement.name, Severity.PROBLEM, "is not installed", remedy)
    if not requirement.specifier.contains(version, prereleases=True):
        text = f"{version}; edgeinfer needs {requirement.specifier}"
        return Check(requirement.name, Severity.PROBLEM, text, remedy)
    note = f" (tested with {tested})" if tested and version != tested else ""
    return Check(requirement.name, Severity.OK, f"{version}{note}")


def known_extras() -> list[Extra]:
    """The extras of the package, and those that targets declare."""
    targets = (entry.make() for entry in known_targets().values())
    return [*EXTRAS.values(), *(extra for target in targets for extra in target.extras)]


def check_extra(extra: Extra) -> list[Check]:
    """What an extra is for, and whether its libraries are here; those that are must be of versions
    that edgeinfer takes."""
    checks = [library(pair) for pair in wanted_libraries(extra.name)]
    lacking = [check.name for check in checks if check.found == "is not installed"]
    lacking = lacking or list(extra.missing)  # of one that what is installed does not declare
    if lacking:
        text = f"for {extra.purpose}; without {', '.join(lacking)}"
        outcome = Check(f"[{extra.name}]", Severity.OPTIONAL, text, extra.command)
    else:
        outcome = Check(f"[{extra.name}]", Severity.OK, f"for {extra.purpose}")
    wrong = [check for check in checks if check.mend and check.name not in lacking]
    if "qkeras" in extra.modules and not lacking:
        wrong += [check for check in [qkeras_owner()] if check.mend]
    return [outcome, *wrong]


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
    """The extra [fast]: machine code counts the cycles of RTL designs, and `event` multiplies bytes
    by the processor's own instruction, AVX-512 VNNI, instead of through ONNX Runtime."""
    if "installed" in obstacle:
        text = (
            f"{obstacle} (with it, or g++, large RTL designs take a tenth of the time to estimate)"
        )
        return Check("fast", Severity.OPTIONAL, text, "pip install 'edgeinfer[fast]'")
    with_it = f"llvmlite {metadata.version('llvmlite')}: RTL designs are estimated quickly"
    if obstacle:
        return Check("fast", Severity.OK, f"{with_it}; events are not, because {obstacle}")
    return Check("fast", Severity.OK, f"{with_it}, events are tagged in half the time (AVX-512)")


def disk(folder: Path) -> Check:
    """Room for builds."""
    free = shutil.disk_usage(folder).free / GIB
    text = f"{free:.1f} GiB free at {folder}"
    if free >= LEAST_DISK_GIB:
        return Check("disk", Severity.OK, text)
    return Check("disk", Severity.PROBLEM, text, f"free some: builds want {LEAST_DISK_GIB} GiB")


def memory() -> Check:
    """Memory of the machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    text = f"{total:.1f} GiB"
    if total >= LEAST_MEMORY_GIB:
        return Check("memory", Severity.OK, text)
    advice = f"use a machine with {LEAST_MEMORY_GIB} GiB: training and C++ builds want it"
    return Check("memory", Severity.PROBLEM, text, advice)
