# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The blocks by themselves: lint, benches, and benches that notice faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base import tools
from edgeinfer.targets.rtl.emit.emit import HDL, module_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.verilator import simulator
from tests.support.rtl_designs import make_design, needs_icarus, needs_verilator
from tests.support.rtl_faults import FAULTS
from tests.support.rtl_library import (
    BENCHES,
    LIBRARY,
    MODULES,
    SHELL,
    Fault,
    copied_library,
    run_bench,
)
from tests.support.rtl_programs import (
    UNROLLED,
    forked_program,
    merged,
    random_designs,
    small_network,
    unrolled_designs,
)
from tests.support.sampling import sample_cases


def lint(folder: Path, top: str) -> str:
    """What Verilator has to say; nothing, if all is well."""
    tool = simulator()
    done = tools.run(
        tool.program,
        ["--lint-only", "-Wall", "--quiet", "-y", folder, "--top-module", top, folder / f"{top}.v"],
        seconds=60,
        variables=tool.variables,
    )
    return done.output.strip()


@needs_verilator
@pytest.mark.parametrize("module", [name for name in MODULES if name != "ei_tree"])
def test_a_block_is_clean_by_itself(module: str) -> None:
    assert lint(LIBRARY, module) == ""  # ei_tree calls itself, and is linted inside others


@needs_verilator
@pytest.mark.parametrize("module", SHELL)
def test_a_block_of_the_shell_is_clean(module: str) -> None:
    assert lint(LIBRARY / "shell", module) == ""


@needs_verilator
def test_designs_are_clean(tmp_path: Path) -> None:
    parts = [small_network(1), forked_program()]
    parts += [program for _, program in random_designs(range(200, 240), 20)]
    design = make_design(merged(parts), RtlSettings(), tmp_path)
    assert lint(tmp_path / HDL, module_of(design.netlist)) == ""


@needs_verilator
def test_unrolled_designs_are_clean(tmp_path: Path) -> None:
    parts = [program for _, program in unrolled_designs(range(300, 400), 12)]
    design = make_design(merged(parts), UNROLLED, tmp_path)
    assert lint(tmp_path / HDL, module_of(design.netlist)) == ""


@needs_icarus
@pytest.mark.parametrize("bench", BENCHES)
def test_a_bench_passes(tmp_path: Path, bench: str) -> None:
    passed, said = run_bench(LIBRARY, bench, tmp_path)
    assert passed, said


@needs_icarus
@pytest.mark.parametrize("fault", sample_cases(FAULTS, 5), ids=lambda fault: fault.name)
def test_a_fault_is_noticed_by_the_bench(tmp_path: Path, fault: Fault) -> None:
    library = copied_library(tmp_path)
    fault.put_in(library)
    passed, said = run_bench(library, fault.bench, tmp_path / "out")
    assert not passed
    assert "syntax" not in said and "FAIL" in said, said


def test_every_block_is_in_some_bench() -> None:
    benches = "".join((LIBRARY / "bench" / f"{name}.v").read_text() for name in BENCHES)
    # Of ei_mac, ei_pool, ei_shell_rx, ei_site_pool, and ei_window.
    inside = {"ei_tree", "ei_tiles", "ei_crc16", "ei_site_tiles", "ei_choose"}
    missing = [name for name in MODULES + SHELL if f"{name} " not in benches and name not in inside]
    assert not missing
