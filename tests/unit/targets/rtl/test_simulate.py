# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Designs in Verilator: bit for bit what the interpreter says, cycle for cycle what was counted."""

from __future__ import annotations

import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, Input, PairKind, pack_weights
from edgeinfer.ir.program import Output
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.simulate import Conditions
from quantization.fixed import Fixed
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import (
    assert_agrees,
    assert_cycles,
    make_design,
    needs_icarus,
    needs_verilator,
    random_folds,
)
from tests.support.rtl_programs import (
    UNROLLED,
    dense_program,
    every_scaled_mode,
    forked_program,
    merged,
    merged_inputs,
    random_designs,
    small_network,
    unrolled_designs,
)
from tests.support.sampling import sample_cases

pytestmark = needs_verilator

GRID = (
    (Fold(1, 1), Fold(1, 1)), (Fold(2, 3), Fold(3, 2)), (Fold(4, 18), Fold(6, 32)),
    (Fold(4, 2), Fold(2, 8)), (Fold(1, 9), Fold(1, 16)), (Fold(2, 6), Fold(6, 1)),
    (Fold(4, 9), Fold(1, 4)), (Fold(1, 18), Fold(3, 32)),
)  # fmt: skip
RANDOM_SEEDS = {"first": range(60), "second": range(1000, 1060)}
IN_A_BATCH = 50
PARTS = ("lfe5u-85f", "lifcl-40", "gw2a-18c", "xcvu9p")


@pytest.mark.slow
def test_cycles_are_counted_exactly_over_a_grid_of_foldings(tmp_path: Path) -> None:
    networks = [small_network(seed) for seed in range(len(GRID))]
    program = merged(networks)
    folds = tuple(
        (layer.op, GRID[int(layer.op[1])][layer.op.endswith("dense")])
        for layer in layers_of(program)
    )
    design = make_design(program, RtlSettings(folds=folds), tmp_path)
    raw = merged_inputs([random_inputs(network, 7, 5) for network in networks])
    assert_cycles(design, assert_agrees(design, raw))


@pytest.mark.parametrize("fold", [Fold(1, 1), Fold(3, 4), Fold(6, 12)])
def test_latency_and_interval_of_one_matrix(tmp_path: Path, fold: Fold) -> None:
    program = dense_program(12, 6)
    design = make_design(program, RtlSettings(folds=(("y", fold),)), tmp_path)
    ideal = assert_agrees(design, random_inputs(program, 3, 6), reset_after=9)
    assert_cycles(design, ideal)


def test_a_fork_waits_for_its_slower_branch(tmp_path: Path) -> None:
    program = forked_program()
    design = make_design(program, RtlSettings(folds=(("conv", Fold(1, 2)),)), tmp_path)
    assert_cycles(design, assert_agrees(design, random_inputs(program, 3, 5)))


@pytest.mark.parametrize("seeds", sample_cases(RANDOM_SEEDS.values(), 2), ids=RANDOM_SEEDS)
def test_random_programs_agree_bit_for_bit(tmp_path: Path, seeds: range) -> None:
    result = random_designs(seeds, IN_A_BATCH)
    assert len(result) == IN_A_BATCH
    program = merged([part for _, part in result])
    settings = RtlSettings(folds=random_folds(program, seeds.start))
    design = make_design(program, settings, tmp_path)
    raw = merged_inputs([random_inputs(part, seed, 3) for seed, part in result])
    assert_cycles(design, assert_agrees(design, raw))


def test_scaled_numbers_in_every_mode(tmp_path: Path) -> None:
    program = every_scaled_mode()
    every = np.stack([np.arange(64) - 32] * 4, axis=1)
    raw = {"x": np.stack([every, every[::-1], np.roll(every, 7, axis=0)])}
    design = make_design(program, RtlSettings(), tmp_path)
    assert_cycles(design, assert_agrees(design, raw))


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(2000, 12000, 100))
def test_many_random_programs_agree_bit_for_bit(tmp_path: Path, first: int) -> None:
    result = random_designs(range(first, first + 100), IN_A_BATCH)
    program = merged([part for _, part in result])
    design = make_design(program, RtlSettings(folds=random_folds(program, first)), tmp_path)
    raw = merged_inputs([random_inputs(part, seed, 3) for seed, part in result])
    assert_cycles(design, assert_agrees(design, raw))


def test_other_gaps_give_the_same_integers_at_other_times(tmp_path: Path) -> None:
    program = small_network(1)
    design = make_design(program, RtlSettings(), tmp_path)
    raw = random_inputs(program, 5, 4)
    runs = [
        design.run(raw, Conditions(gaps=gaps, seed=seed, reset_after=reset))
        for gaps, seed, reset in ((0.0, 1, 0), (0.3, 1, 7), (0.3, 2, 333), (0.8, 3, 41))
    ]
    for other in runs[1:]:
        np.testing.assert_array_equal(other.outputs["y"], runs[0].outputs["y"])
    assert len({run.cycles for run in runs}) == len(runs)
    assert runs[3].cycles > runs[0].cycles


@pytest.mark.slow
def test_a_waveform_is_written_when_asked_for(tmp_path: Path) -> None:
    program = dense_program(4, 2)
    design = make_design(program, RtlSettings(), tmp_path)
    raw = random_inputs(program, 5, 2)
    path = tmp_path / "one.vcd"
    design.run(raw, Conditions(waveform=path))
    text = path.read_text()
    assert text.startswith("$version") and " m_axis_y_tvalid" in text


def test_a_design_that_hangs_is_told_from_one_that_is_slow(tmp_path: Path) -> None:
    program = dense_program(4, 2)
    design = make_design(program, RtlSettings(), tmp_path)
    queue = tmp_path / HDL / "ei_fifo.v"
    broken = queue.read_text().replace("if (pop && !take) begin", "if (pop && !take && 0) begin")
    queue.write_text(broken)
    with pytest.raises(DisagreementError, match="nothing moved for"):
        design.run(random_inputs(program, 5, 9), Conditions())


def test_weights_change_without_a_new_build(tmp_path: Path) -> None:
    from edgeinfer.targets.rtl.tools.cache import cache_folder

    one, other = small_network(1), small_network(2)
    first = make_design(one, RtlSettings(), tmp_path / "one")
    first.run(random_inputs(one, 1, 1), Conditions())
    built = len(list((cache_folder() / "designs").iterdir()))
    second = make_design(other, RtlSettings(), tmp_path / "other")
    same = [tuple(design.netlist.depths.values()) for design in (first, second)]
    assert same[0] == same[1] and math.prod(same[0]) > 0
    widths = [[s.type for s in design.netlist.streams.values()] for design in (first, second)]
    second.run(random_inputs(other, 1, 1), Conditions())
    after = len(list((cache_folder() / "designs").iterdir()))
    assert (after == built) is (widths[0] == widths[1] and one.name == other.name)


def test_unrolled_programs_agree_bit_for_bit_and_take_a_frame_a_cycle(tmp_path: Path) -> None:
    result = unrolled_designs(range(300), 12)
    assert len(result) == 12
    program = merged([part for _, part in result])
    raw = merged_inputs([random_inputs(part, seed, 6) for seed, part in result])
    design = make_design(program, UNROLLED, tmp_path)
    ideal = assert_agrees(design, raw, reset_after=9)
    assert_cycles(design, ideal)
    assert design.cycles.interval == 1


@pytest.mark.fuzz
@pytest.mark.parametrize("first", range(3000, 6000, 200))
def test_many_unrolled_programs_agree_bit_for_bit(tmp_path: Path, first: int) -> None:
    result = unrolled_designs(range(first, first + 200), 40)
    program = merged([part for _, part in result])
    raw = merged_inputs([random_inputs(part, seed, 6) for seed, part in result])
    part = PARTS[first // 200 % len(PARTS)]
    wishes: tuple[dict[str, Any], ...] = (
        {"unroll_levels": 1}, {"stages": 1}, {"stages": 4}, {"stages": 9, "interface": "bare"},
        {"registers": "clock", "part": part, "clock_mhz": 60.0},
    )  # fmt: skip
    for number, wish in enumerate(wishes):
        design = make_design(program, replace(UNROLLED, **wish), tmp_path / str(number))
        assert_cycles(design, assert_agrees(design, raw, reset_after=9))


def test_a_probe_shows_what_no_output_needs(tmp_path: Path) -> None:
    builder = ProgramBuilder("late")
    builder.add(Input("x", Fixed(False, 4, 4), (8,)))
    ones = pack_weights(np.ones((8, 1), np.int64))
    nothing = pack_weights(np.zeros(1, np.int64))
    builder.exact(Dense("sum", provisional(3), "x", ones, Fixed(False, 4, 1), nothing))
    builder.pair("most", "sum", "sum", PairKind.MUL)
    builder.clip("none", "most", 0, 0)  # always 0, so that nothing of the above is needed
    builder.pair("y", "x", "none", PairKind.ADD)
    program = builder.program((Output("y", "y"),))
    design = make_design(program, UNROLLED, tmp_path)
    (pipeline,) = (block for block in design.netlist.blocks if block.contents)
    assert pipeline.contents["add"] == pipeline.contents["product"] == 0
    assert_cycles(design, assert_agrees(design, random_inputs(program, 3, 6), reset_after=9))


@needs_icarus
def test_a_second_simulator_runs_an_unrolled_testbench(tmp_path: Path) -> None:
    program = merged([part for _, part in unrolled_designs(range(300, 400), 6)])
    RtlTarget().emit(program, UNROLLED).write(tmp_path)
    hdl, bench = tmp_path / HDL, "many_top_tb"
    made_of = ["iverilog", "-g2005", "-y.", "-s", bench, "-o", "tb.vvp", f"{bench}.v"]
    subprocess.run(made_of, cwd=hdl, check=True, timeout=120)
    done = subprocess.run(
        ["vvp", "-n", "tb.vvp"], cwd=hdl, check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stdout.startswith("PASS")


def test_an_unrolled_frame_may_come_in_parts(tmp_path: Path) -> None:
    program = dense_program(12, 6)
    settings = replace(UNROLLED, lanes=(("x", 3),), registers="clock", clock_mhz=70.0)
    design = make_design(program, settings, tmp_path)
    assert_cycles(design, assert_agrees(design, random_inputs(program, 3, 6), reset_after=9))
    assert design.cycles.interval == 4
