# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Unrolled pipelines without queues: the estimate against Yosys, on networks that the costs were
not fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, Input, pack_weights
from edgeinfer.ir.program import Output
from edgeinfer.targets.rtl.estimate.fabric import fabric_of, pipeline_costs
from edgeinfer.targets.rtl.estimate.work import Work, carry_joints
from quantization.fixed import Fixed
from tests.support.pipelines import (
    ask_yosys,
    fitted_work,
    network_of_learned_widths,
    unrolled_network,
)
from tests.support.rtl_resources import DEVICES

FIRST, EACH = 1000, 20  # seeds that were never fitted to, for each family
NEAR = 0.15
FEW_VALUES = (
    "a sum with a number of one or two bits has few values, and its bits follow from each other; "
    "Yosys keeps one of them, and all are counted: 4 to 13 of 20 networks are near"
)


def test_pipelines_have_costs_of_their_own() -> None:
    for fabric in DEVICES:
        plain = fabric_of(fabric)
        own = pipeline_costs(plain)
        assert set(plain.pipeline) == {*fitted_work(fabric), Work.REGISTER, Work.TRUTH}
        assert own.lut[Work.ADD] == plain.pipeline[Work.ADD]
        assert own.ff[Work.REGISTER] == plain.pipeline[Work.REGISTER]
        assert own.lut[Work.FETCH] == plain.lut[Work.FETCH]


@pytest.mark.parametrize("bits, joints", [(1, 0), (2, 1), (4, 4), (5, 5), (8, 11), (16, 26)])
def test_carries_that_are_looked_ahead_meet_in_a_tree_of_brent_and_kung(
    bits: int, joints: int
) -> None:
    """2 N - 2 - log2 N of them, where N is a power of two."""
    assert carry_joints(bits) == joints


@pytest.mark.slow
@pytest.mark.parametrize(
    "learned",
    [False, pytest.param(True, marks=pytest.mark.xfail(reason=FEW_VALUES, strict=True))],
    ids=["one width", "learned widths"],
)
@pytest.mark.parametrize("fabric", DEVICES)
def test_nine_of_ten_unrolled_networks_are_near_what_yosys_finds(
    fabric: str, *, learned: bool
) -> None:
    near = []
    drawn = network_of_learned_widths if learned else unrolled_network
    for seed in range(FIRST, FIRST + EACH):
        one = ask_yosys(drawn(seed), fabric)
        near.append(
            all(
                abs(one.estimated[kind] - one.found[kind]) <= NEAR * one.found[kind]
                for kind in ("lut", "ff")
            )
        )
    assert sum(near) >= 0.9 * len(near)


@pytest.mark.slow
@pytest.mark.parametrize("fabric", ["ultrascale+", "ice40"])
def test_a_sum_of_many_numbers_takes_a_lut_for_each_bit_of_each_addition(fabric: str) -> None:
    """Yosys would make additions of three numbers of it, which take three for two."""
    builder = ProgramBuilder("sums")
    builder.add(Input("x", Fixed(True, 8, 8), (9,)))
    ones, nothing = pack_weights(np.ones((9, 1), np.int64)), pack_weights(np.zeros(1, np.int64))
    builder.exact(Dense("y", provisional(0), "x", ones, Fixed(True, 2, 2), nothing))
    one = ask_yosys(builder.program((Output("y", "y"),)), fabric)
    assert one.work["half_add"] == 0
    joints = 2 * 8 if fabric == "ice40" else 0  # a carry needs a cell to come out of its chain
    assert one.found["lut"] <= one.work["add"] + joints
