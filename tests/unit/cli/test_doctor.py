# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The doctor recognises each ailment, and names what mends it."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from edgeinfer.base.extras import EXTRAS, Extra
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.tools import Tool
from edgeinfer.library import health as doctor
from edgeinfer.targets.edgetpu.chip.device import EdgeTpuDevice, ProbeResult
from edgeinfer.targets.edgetpu.describe import device_check
from tests.support.places import FAKE_TOOLS, ROOT


def test_a_python_without_wheels_is_a_problem() -> None:
    assert doctor.python((3, 11)).state is Severity.OK
    for version in ((3, 10), (3, 14)):
        check = doctor.python(version)
        assert check.state is Severity.PROBLEM and "PYTHON=" in check.mend


def declared() -> list[str]:
    """What this tree declares, as the package's own metadata would say it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    bound = [f'{line}; extra == "{name}"' for name, lines in extras.items() for line in lines]
    return [*project["dependencies"], *bound]


def test_every_library_is_pinned() -> None:
    pinned = {name.lower() for name in doctor.read_pinned_versions()}
    for extra in ("", *(extra.name for extra in doctor.known_extras())):
        expected = doctor.wanted_libraries(extra, declared())
        assert expected and {requirement.name for requirement, _ in expected} <= pinned
    core = {requirement.name for requirement, _ in doctor.wanted_libraries("", declared())}
    assert "numpy" in core and not core & {"tensorflow", "keras", "qkeras-v3", "pyserial"}


def test_a_version_in_the_declared_range_is_well_and_any_other_names_what_mends_it() -> None:
    result = metadata.version("numpy")
    fine = Requirement("numpy>=2")
    assert doctor.library((fine, result)) == Check("numpy", Severity.OK, result)
    newer = doctor.library((fine, "2.0.0"))
    assert newer == Check("numpy", Severity.OK, f"{result} (tested with 2.0.0)")
    old = doctor.library((Requirement("numpy<2"), "1.26.0"))
    assert old.state is Severity.PROBLEM and old.mend == "pip install 'numpy<2'"
    gone = doctor.library((Requirement("no-such-library>=1"), ""))
    assert gone.found == "is not installed" and gone.mend == "pip install 'no-such-library>=1'"


def test_a_missing_extra_says_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=2", "no-such-library>=1; extra == 'board'"]
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    (check,) = doctor.check_extra(EXTRAS["board"])
    assert check.state is Severity.OPTIONAL and "for a board on a serial line" in check.found
    assert check.mend == "pip install 'edgeinfer[board]'"


def test_an_extra_that_the_installed_package_does_not_declare_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: [])  # as of an older installation
    (check,) = doctor.check_extra(Extra("new", "something new", ("no_such_module",)))
    assert check.state is Severity.OPTIONAL and "without no_such_module" in check.found


def test_the_extra_fast_is_offered_and_says_what_the_processor_lacks() -> None:
    offered = doctor.fast_events("llvmlite is not installed")
    assert offered.state is Severity.OPTIONAL and offered.mend == "pip install 'edgeinfer[fast]'"
    half = doctor.fast_events("this processor lacks avx512vnni")
    assert half.state is Severity.OK and "lacks avx512vnni" in half.found
    assert doctor.fast_events("").state is Severity.OK


@pytest.mark.parametrize(
    ("owners", "state", "mend"),
    [
        (["qkeras-v3"], Severity.OK, ""),
        (["hgq2", "qkeras-v3"], Severity.PROBLEM, "pip uninstall -y hgq2"),
        (["QKeras"], Severity.PROBLEM, "pip uninstall -y QKeras"),
        ([], Severity.PROBLEM, "pip install qkeras-v3"),
    ],
)
def test_a_clashing_qkeras_is_seen(
    monkeypatch: pytest.MonkeyPatch, owners: list[str], state: Severity, mend: str
) -> None:
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"qkeras": owners})
    check = doctor.qkeras_owner()
    assert check.state is state and check.mend.startswith(mend)


def test_a_missing_tool_is_a_problem_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = Tool("no_such_tool", "EDGEINFER_NO_SUCH", "nothing", "apt-get install it")
    monkeypatch.setenv("PATH", "/nowhere")
    check = check_tool(expected, Severity.OPTIONAL)
    assert (check.state, check.mend) == (Severity.OPTIONAL, "apt-get install it")
    assert check_tool(expected, Severity.PROBLEM).state is Severity.PROBLEM
    monkeypatch.setenv("EDGEINFER_NO_SUCH", "/gone")
    wrong = check_tool(expected, Severity.OPTIONAL)
    assert "EDGEINFER_NO_SUCH is set to '/gone'" in wrong.found


def test_vendor_tools_are_optional_and_told_with_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = FAKE_TOOLS
    (tmp_path / "vitis-run").symlink_to(fakes / "vitis-run")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    checks = {check.name: check for check in doctor.run_checks()}
    assert checks["vitis-run"].state is Severity.OK
    assert checks["vitis-run"].found == f"2024.2 at {tmp_path / 'vitis-run'}"
    for name in ("vitis_hls", "vivado_hls", "vivado", "i++", "quartus_sh"):
        assert checks[name].state is Severity.OPTIONAL and "install" in checks[name].mend


def test_little_room_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK_GIB", 1 << 30)
    monkeypatch.setattr(doctor, "LEAST_MEMORY_GIB", 1 << 30)
    assert doctor.disk(tmp_path).state is Severity.PROBLEM
    assert doctor.memory().state is Severity.PROBLEM


def test_the_verdict_counts_what_is_to_mend() -> None:
    fine, ill = Check("a", Severity.OK, "1"), Check("b", Severity.PROBLEM, "gone", "get it")
    assert doctor.format_checks([fine])[-1] == "Everything needed is here."
    assert doctor.format_checks([fine, ill])[-1] == "1 to mend."
    assert "mend it with: get it" in "\n".join(doctor.format_checks([ill]))


def test_an_edge_tpu_is_told_with_its_runtime() -> None:
    there = ProbeResult(
        "RuntimeVersion(14)", (EdgeTpuDevice("pci", "/dev/apex_0"),), ("/dev/apex_0",)
    )
    check = device_check(there)
    assert check.state is Severity.OK and "pci /dev/apex_0; RuntimeVersion(14)" in check.found
    dead = device_check(ProbeResult("", (), ("/dev/apex_0",), "it was ended by SIGSEGV"))
    assert (
        dead.state is Severity.OPTIONAL and dead.found == "/dev/apex_0, but it was ended by SIGSEGV"
    )
