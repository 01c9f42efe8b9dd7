# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The C-simulation of random Programs is equal to the interpreter: io_parallel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Input, Requant
from edgeinfer.ir.program import Output
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from quantization.fixed import Fixed, Overflow, Rounding
from tests.conformance.hls_suite import QUICK, HlsSuite
from tests.conformance.target_suite import TargetSuite
from tests.support.random_programs import random_recurrence


class TestParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(16)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestMoreParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(16, 40)


@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.SAT_SYM])
@pytest.mark.parametrize("signed", [False, True])
def test_corners_of_the_types(tmp_path: Path, overflow: Overflow, signed: bool) -> None:
    """hls4ml's ReLU assigns an int 0, which `ap_fixed` cannot round to a grid coarser than all bits
    of an int; and a lone signed bit that saturates alike on both sides is always 0."""
    settings = HlsSettings(io=IoType.PARALLEL)
    builder = ProgramBuilder("corners")
    builder.add(Input("x", Fixed(signed, 38, 40), (6,)))
    builder.add(Requant("y", Fixed(signed, 6, 41), "x", Rounding.RND, overflow))
    builder.add(Requant("z", Fixed(True, 1, 38), "x", Rounding.RND, overflow))
    program = builder.program((Output("y", "y"), Output("z", "z")))
    emit_project(program, settings).write(tmp_path)
    low, high = (-(1 << 37), (1 << 37) - 1) if signed else (0, (1 << 38) - 1)
    raw = {"x": np.array([[0, 1, high, 99_999_999_999, low, low + 1]])}
    compiled = build.build_together([tmp_path], tmp_path / "csim", QUICK)
    actual = simulate.simulate_project(program, tmp_path, raw, compiled=compiled, processes=1)
    expected = interpret(program, raw)
    assert all(np.array_equal(actual[name], expected[name]) for name in ("y", "z"))


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
class TestManyParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(2000, 2250)
    max_ops = 9


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestQuartusParallel(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.QUARTUS, io=IoType.PARALLEL)
    seeds = range(400, 408)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestOneApiParallel(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.ONEAPI, io=IoType.PARALLEL)
    seeds = range(400, 408)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestLiberoParallel(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.LIBERO, io=IoType.PARALLEL)
    seeds = range(400, 416)
    least = 0.4  # there are no convolutions, and no ops on two tensors


class TestLoops(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = (0, 1, 18)  # the last one has two loops without states
    draw = staticmethod(random_recurrence)


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestMoreLoops(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(3, 30)
    draw = staticmethod(random_recurrence)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestQuartusLoops(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.QUARTUS, io=IoType.PARALLEL)
    seeds = range(40, 44)
    draw = staticmethod(random_recurrence)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
class TestManyLoops(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(4000, 4250)
    draw = staticmethod(random_recurrence)
