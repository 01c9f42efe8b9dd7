# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model's names in emitted Verilog, C++, Makefiles and scripts: they do not change the code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base import tools
from edgeinfer.base.names import identifier
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.emit.emit import HDL as HDL_FOLDER
from edgeinfer.targets.rtl.emit.emit import module_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.programs import YOSYS, find_tool
from edgeinfer.targets.rtl.tools.verilator import simulator
from tests.support.emitted_text import skeletons
from tests.support.hostile_names import HDL, hostile_program, payloads

FOLDED = RtlSettings(unroll="never", board="ulx3s")
UNROLLED = RtlSettings(unroll="full", part="xc7a100tcsg324-1")
ZYNQ = RtlSettings(unroll="never", board="pynq-z2")
ALL = [FOLDED, UNROLLED, ZYNQ]
NAMES = payloads()


def code_of(program: Program, settings: RtlSettings) -> dict[str, list[str]]:
    files = RtlTarget().emit(program, settings).files
    return skeletons(files, identifier(program.name))


@pytest.fixture(scope="module")
def wanted() -> list[dict[str, list[str]]]:
    quiet = hostile_program("", plain=True)
    return [code_of(quiet, settings) for settings in ALL]


def hold(name: str, expected: list[dict[str, list[str]]]) -> None:
    program = hostile_program(name)
    for settings, quiet in zip(ALL, expected, strict=True):
        result = code_of(program, settings)
        assert result.keys() == quiet.keys()
        for path, tokens in quiet.items():
            assert result[path] == tokens, (path, name[:200])


@pytest.mark.parametrize("name", NAMES[::9], ids=lambda name: repr(name)[:30])
def test_code_does_not_depend_on_names(name: str, wanted: list[dict[str, list[str]]]) -> None:
    hold(name, wanted)


@pytest.mark.fuzz
def test_code_depends_on_none_of_two_hundred_names(wanted: list[dict[str, list[str]]]) -> None:
    for name in NAMES:
        hold(name, wanted)


def lint(name: str, folder: Path) -> None:
    """Verilator reads the design."""
    program = hostile_program(name)
    for settings in ALL:
        place = folder / f"{settings.unroll}-{settings.board}"
        plan = RtlTarget().emit(program, settings)
        plan.write(place)
        tool = simulator()
        top = f"{identifier(program.name)}_top"
        done = subprocess.run(
            [tool.program.path, "--lint-only", "-Wno-fatal", "-y", "hdl", "--top-module", top,
             f"hdl/{top}.v"],
            cwd=place, env={"VERILATOR_ROOT": str(tool.root)}, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (name[:200], done.stderr[-2000:])
        if settings.board == FOLDED.board:
            result = subprocess.run(
                ["make", "-n"], cwd=place / "board", capture_output=True, text=True, timeout=60
            )
            assert result.returncode == 0, (name[:200], result.stderr)
            assert "touch zq" not in result.stdout


@pytest.mark.parametrize("name", [f"a\n{HDL}", "tap_0", "a" * 10_000], ids=["hdl", "tap", "long"])
def test_verilator_and_make_read_what_is_emitted(name: str, tmp_path: Path) -> None:
    lint(name, tmp_path)


@pytest.mark.fuzz
def test_verilator_and_make_read_two_hundred_designs(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        lint(name, tmp_path / str(number))


def read_by_yosys(name: str, folder: Path) -> None:
    """Yosys reads the design, and elaborates it."""
    program = hostile_program(name)
    tool = find_tool(YOSYS)
    for settings in ALL:
        place = folder / f"{settings.unroll}-{settings.board}"
        RtlTarget().emit(program, settings).write(place)
        result = (path.name for path in (place / HDL_FOLDER).glob("*.v"))
        files = " ".join(sorted(name for name in result if not name.endswith("_tb.v")))
        top = f"{identifier(program.name)}_top"
        script = f"read_verilog -defer {files}; hierarchy -check -top {top}"
        tools.run(tool, ["-q", "-p", script], seconds=120, folder=place / HDL_FOLDER)
        assert not list(place.rglob("zq"))


@pytest.mark.parametrize("name", [f"a\n{HDL}", "a" * 10_000], ids=["hdl", "long"])
def test_yosys_reads_what_is_emitted(name: str, tmp_path: Path) -> None:
    read_by_yosys(name, tmp_path)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_yosys_reads_two_hundred_designs(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        read_by_yosys(name, tmp_path / str(number))


def test_a_name_runs_no_command_when_the_design_is_simulated(tmp_path: Path) -> None:
    """The name ends a comment, brings a module that calls $system, and binds it to the design."""
    name = 'a\nmodule z; initial $system("touch owned"); endmodule\nbind net_top z z_0 ();\n//'
    program = hostile_program("", plain=True, first=name)
    settings = RtlSettings(unroll="never")
    RtlTarget().emit(program, settings).write(tmp_path / "rtl")
    rng = np.random.default_rng(1)
    raw = {op.name: rng.integers(-8, 8, (4, *op.shape)) for op in program.inputs}
    result = RtlTarget().simulate(program, tmp_path / "rtl", raw, settings)
    assert not list(tmp_path.rglob("owned"))
    for output, values in results(program, interpret(program, raw)).items():
        assert np.array_equal(result[output], values)


def test_the_top_level_is_named_after_the_model() -> None:
    from edgeinfer.targets.rtl.choose import design_netlist

    program = hostile_program("net\n", plain=False)
    _, netlist = design_netlist(program, FOLDED)
    assert module_of(netlist) == "net_top"
