# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The C-simulation of random Programs is equal to the interpreter: io_parallel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.builder import Builder
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Input, Requant
from edgeinfer.ir.program import Output
from edgeinfer.targets.hls import csim, csim_build
from edgeinfer.targets.hls.emit import emitted
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from quantization.fixed import Fixed, Overflow, Rounding
from tests.conformance.hls_suite import QUICK, HlsSuite
from tests.conformance.target_suite import TargetSuite


class TestParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(40)


def test_a_grid_coarser_than_all_bits_of_an_int(tmp_path: Path) -> None:
    """hls4ml's ReLU assigns an int 0, which `ap_fixed` cannot round there."""
    settings = HlsSettings(io=IoType.PARALLEL)
    builder = Builder("far grid")
    builder.add(Input("x", Fixed(False, 38, 40), (4,)))
    builder.add(Requant("y", Fixed(False, 6, 41), "x", Rounding.RND, Overflow.SAT))
    program = builder.program((Output("y", "y"),))
    emitted(program, settings).write(tmp_path)
    raw = {"x": np.array([[0, 1, (1 << 38) - 1, 99_999_999_999]])}
    compiled = csim_build.built_together([tmp_path], tmp_path / "csim", QUICK)
    got = csim.simulated(program, tmp_path, raw, compiled=compiled, processes=1)
    assert np.array_equal(got["y"], interpret(program, raw)["y"])


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
