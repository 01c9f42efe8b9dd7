# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model's names in HLS projects of every backend: whatever they hold, the code is the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.interpret import interpret, results
from edgeinfer.targets.hls.csim.build import STANDARD, TYPES, include_folders, main_text
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.emit import emit_project, project_name
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from tests.support.emitted_text import skeletons
from tests.support.hostile_names import CPP, hostile_program, payloads

NAMES = payloads()
SIMULATED = (Backend.VITIS, Backend.QUARTUS, Backend.ONEAPI)


def settings_of(backend: Backend) -> HlsSettings:
    """In a stream for oneAPI, where a layer's name becomes a variable."""
    io = IoType.STREAM if backend is Backend.ONEAPI else IoType.PARALLEL
    return HlsSettings(backend=backend, io=io)


def code_of(name: str, backend: Backend, *, plain: bool = False) -> dict[str, list[str]]:
    program = hostile_program(name, plain=plain)
    files = emit_project(program, settings_of(backend)).files
    return skeletons(files, project_name(program).removesuffix("_top"))


def hold(name: str, backend: Backend, expected: dict[str, list[str]]) -> None:
    result = code_of(name, backend)
    assert result.keys() == expected.keys(), (backend, name[:200])
    for path, tokens in expected.items():
        assert result[path] == tokens, (backend, path, name[:200])


def read_by_compiler(name: str, backend: Backend, folder: Path) -> None:
    """g++ reads the project, with all that simulates it around it."""
    program = hostile_program(name)
    emit_project(program, settings_of(backend)).write(folder)
    project = manifest.read(folder)
    source = main_text([project], [folder], TYPES[backend])
    (folder / "main.cpp").write_text(source, encoding="utf-8")
    places = include_folders(folder / project.firmware, TYPES[backend], folder)
    done = subprocess.run(
        ["g++", "-fsyntax-only", STANDARD[TYPES[backend]], "-w",
         *(f"-I{place}" for place in places), "main.cpp"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, (backend, name[:200], done.stderr[:2000])


@pytest.mark.parametrize("backend", SIMULATED)
def test_code_does_not_depend_on_names(backend: Backend) -> None:
    expected = code_of("", backend, plain=True)
    for name in NAMES[::50]:
        hold(name, backend, expected)


@pytest.mark.fuzz
@pytest.mark.parametrize("backend", SIMULATED)
def test_code_depends_on_none_of_two_hundred_names(backend: Backend) -> None:
    expected = code_of("", backend, plain=True)
    for name in NAMES:
        hold(name, backend, expected)


def commands_of(text: str) -> list[str]:
    """The first word of every command of a Tcl script, in the order in which Tcl runs them. None of
    them does anything."""
    tkinter = pytest.importorskip("tkinter")
    outer = tkinter.Tcl()
    assert str(outer.call("info", "complete", text)) == "1"
    outer.eval("interp create -safe reader; set words {}")
    outer.eval("proc note {args} { global words; lappend words [lindex $args 0]; return 0 }")
    outer.eval("interp alias reader unknown {} note")
    outer.eval("foreach each [reader hidden] { interp alias reader $each {} note $each }")
    outer.eval("interp limit reader command -value 200000")
    outer.setvar("text", text)
    outer.eval("catch {interp eval reader $text}")
    return list(outer.splitlist(outer.eval("set words")))


def scripts_of(name: str, backend: Backend, *, plain: bool = False) -> dict[str, list[str]]:
    files = emit_project(hostile_program(name, plain=plain), settings_of(backend)).files
    return {
        path: commands_of(content.decode())
        for path, content in files.items()
        if path.endswith(".tcl")
    }


@pytest.mark.parametrize("backend", [Backend.VITIS, Backend.VIVADO])
def test_tcl_runs_the_same_commands_whatever_the_names(backend: Backend) -> None:
    expected = scripts_of("", backend, plain=True)
    assert sum(map(len, expected.values())) > 0
    for name in NAMES[::60]:
        assert scripts_of(name, backend) == expected, name[:200]


@pytest.mark.fuzz
@pytest.mark.parametrize("backend", SIMULATED)
@pytest.mark.timeout(3600)
def test_a_compiler_reads_two_hundred_projects(backend: Backend, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        read_by_compiler(name, backend, tmp_path / str(number))


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"a\n{CPP}", "int", "a" * 10_000], ids=["cpp", "int", "long"])
def test_a_project_under_a_hostile_name_is_simulated_bit_for_bit(name: str, tmp_path: Path) -> None:
    program = hostile_program(name)
    settings = settings_of(Backend.VITIS)
    target = HlsTarget()
    target.emit(program, settings).write(tmp_path)
    rng = np.random.default_rng(1)
    raw = {op.name: rng.integers(-8, 8, (4, *op.shape)) for op in program.inputs}
    result = target.simulate(program, tmp_path, raw, settings)
    for output, values in results(program, interpret(program, raw)).items():
        assert np.array_equal(result[output], values)
