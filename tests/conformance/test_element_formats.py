# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random networks with a format for each weight and each element, some without bits: the engine,
the C-simulation and the RTL simulation make the interpreter's integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.rtl.settings import RtlSettings
from tests.conformance.hls_suite import HlsSuite
from tests.support.pipelines import network_of_learned_widths
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import (
    assert_agrees,
    assert_cycles,
    make_design,
    needs_verilator,
    random_folds,
)
from tests.support.rtl_programs import UNROLLED, merged, merged_inputs

SIZES = (3, 5, 8)
MANY = range(1000, 1200)
IN_A_BATCH = 25  # networks of a design


def element_network(seed: int, max_ops: int = 0) -> Program:
    """One of them, small; its number of ops is its own."""
    del max_ops
    return network_of_learned_widths(seed, SIZES)


class TestParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(4)
    draw = staticmethod(element_network)


class TestStream(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = range(4, 8)
    draw = staticmethod(element_network)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
class TestManyParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = MANY
    draw = staticmethod(element_network)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
class TestManyStream(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = MANY
    draw = staticmethod(element_network)


def assert_engine_agrees(seeds: Sequence[int]) -> None:
    """Every output of the engine, on many samples."""
    for seed in seeds:
        program = element_network(seed)
        raw = random_inputs(program, seed, 200)
        expected, actual = interpret(program, raw), Engine(program).run(raw)
        for output in program.outputs:
            np.testing.assert_array_equal(
                actual[output.name], expected[output.value], err_msg=f"seed {seed}"
            )


def assert_rtl_agrees(seeds: Sequence[int], settings: RtlSettings, folder: Path) -> None:
    """Every value of the networks side by side in one design, cycle for cycle."""
    parts = [element_network(seed) for seed in seeds]
    program = merged(parts)
    if settings.unroll != "full":
        settings = replace(settings, folds=random_folds(program, seeds[0]))
    raw = merged_inputs([random_inputs(p, seed, 6) for p, seed in zip(parts, seeds, strict=True)])
    design = make_design(program, settings, folder)
    assert_cycles(design, assert_agrees(design, raw, reset_after=9))


def test_the_engine_makes_the_interpreters_integers() -> None:
    programs = [element_network(seed) for seed in range(12)]
    assert len({program[op.name].type for program in programs for op in program.ops}) > 50
    assert_engine_agrees(range(12))


@needs_verilator
@pytest.mark.parametrize("settings", [UNROLLED, RtlSettings()], ids=["unrolled", "folded"])
def test_the_rtl_makes_the_interpreters_integers(tmp_path: Path, settings: RtlSettings) -> None:
    assert_rtl_agrees(range(5), settings, tmp_path)


@pytest.mark.fuzz
def test_the_engine_makes_the_integers_of_many() -> None:
    assert_engine_agrees(MANY)


@needs_verilator
@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", MANY[::IN_A_BATCH])
@pytest.mark.parametrize("settings", [UNROLLED, RtlSettings()], ids=["unrolled", "folded"])
def test_the_rtl_makes_the_integers_of_many(
    tmp_path: Path, settings: RtlSettings, first: int
) -> None:
    assert_rtl_agrees(range(first, first + IN_A_BATCH), settings, tmp_path)
