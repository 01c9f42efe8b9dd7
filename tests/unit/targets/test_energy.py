# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The energy of arithmetic: from published coefficients, by the bits that change."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.run.toggles import toggle_share
from edgeinfer.targets.energy import FPGA, energy_metric
from tests.support.rtl_programs import dense_program


def test_products_and_sums_cost_what_was_published() -> None:
    """A product of 8 x 8 bits takes 0.2 pJ and a sum of 8 bits 0.03 pJ, and an FPGA 14 times."""
    program = dense_program(16, 8)
    dense = next(op for op in program.ops if hasattr(op, "weight"))
    macs = int(np.count_nonzero(dense.weight))
    result = energy_metric(program, "rtl")
    most = FPGA * macs * (0.2 / 64 * 8 * 8 + 0.03 / 8 * dense.type.bits) / 1000
    assert 0 < result.value <= most + 1e-4
    assert result.low is not None and result.high is not None
    assert result.high / result.low > 20  # which is what such coefficients are worth


def test_still_inputs_take_nothing_and_random_ones_what_is_assumed() -> None:
    program = dense_program(16, 8)
    (source,) = program.inputs
    rng = np.random.default_rng(0)
    raw = rng.integers(source.type.raw_min, source.type.raw_max + 1, (64, *source.shape))
    values = raw * source.type.lsb
    random = toggle_share(program, Samples({source.name: values}, {}, "drawn"))
    still = toggle_share(program, Samples({source.name: np.repeat(values[:1], 64, 0)}, {}, "one"))
    assert random == pytest.approx(0.5, abs=0.03)
    assert still == 0
    assert energy_metric(program, "rtl", still).value == 0
    assert energy_metric(program, "rtl", 0.5).value == energy_metric(program, "rtl").value
