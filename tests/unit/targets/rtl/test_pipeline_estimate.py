# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Unrolled pipelines without queues: the estimate against Yosys, on networks that the costs were
not fitted to."""

from __future__ import annotations

import pytest

from edgeinfer.targets.rtl.estimate.fabric import fabric_of, pipeline_costs
from edgeinfer.targets.rtl.estimate.work import Work, carry_joints
from tests.support.pipelines import ask_yosys, fitted_work
from tests.support.rtl_resources import DEVICES

FIRST, EACH = 1000, 20  # seeds that were never fitted to, for each family
NEAR = 0.15


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
@pytest.mark.parametrize("learned", [False, True], ids=["one width", "learned widths"])
@pytest.mark.parametrize("fabric", DEVICES)
def test_nine_of_ten_unrolled_networks_are_near_what_yosys_finds(
    fabric: str, *, learned: bool
) -> None:
    near = []
    for seed in range(FIRST, FIRST + EACH):
        one = ask_yosys(seed, fabric, learned=learned)
        near.append(
            all(abs(one.estimated[kind] / one.found[kind] - 1) <= NEAR for kind in ("lut", "ff"))
        )
    assert sum(near) >= 0.9 * len(near)
