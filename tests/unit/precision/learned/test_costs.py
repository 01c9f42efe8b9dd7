# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What hardware pays for, as training sees it: classes of prices, and slopes down them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.base.devices import device
from edgeinfer.base.errors import UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.target_costs import MultiplierPrices, steepest_falls
from edgeinfer.precision.learned.network import plan_learning
from edgeinfer.precision.learned.settings import CostKind, LearnedSettings
from edgeinfer.targets.rtl.estimate.estimate import multiplier_prices

FEWER = (1, 2, 4, 8, 12)  # bits by which a width is made narrower to find what is cheaper


def test_a_multiplier_is_luts_half_a_block_or_a_whole_one() -> None:
    large, half = device("xczu7ev"), device("gw2a-18c")
    prices, halves = (multiplier_prices(part, 1).product for part in (large, half))
    block = large.budget["lut"] / large.budget["dsp"]
    assert prices[4, 4] < block / 4  # 8 bits of a product, which Yosys makes of LUTs
    assert prices[5, 4] == prices[18, 18] == pytest.approx(block)
    assert halves[9, 9] * 2 == halves[10, 9] == halves[18, 18]
    for table in (prices, halves):
        assert (np.diff(table, axis=0) >= 0).all() and (np.diff(table, axis=1) >= 0).all()


def test_a_part_without_prices_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="1sg280"):
        multiplier_prices(device("1sg280"), 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_slope_is_there_where_something_narrower_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, 50, 12) * rng.integers(0, 2, 12)  # half of them are flat
    table = np.cumsum(steps.astype(np.float64))[:, None]
    slopes = steepest_falls(table)[:, 0]
    for wide, slope in enumerate(slopes):
        cheaper = [n for n in range(wide) if table[n, 0] < table[wide, 0]]
        assert (slope > 0) == bool(cheaper)
        for n in cheaper:
            assert slope * (wide - n) >= (table[wide, 0] - table[n, 0]) * (1 - 1e-9)


def small_network() -> g.Graph:
    rng = np.random.default_rng(3)

    def kernel(*shape: int) -> NDArray[np.float64]:
        return rng.normal(0.0, 0.5, shape)

    pads, ones = ((1, 1), (1, 1)), (1, 1)
    return g.Graph(
        "small",
        (
            g.InputNode("x", (4, 4, 2)),
            g.ConvNode("a", "a", "x", kernel(3, 3, 2, 3), None, ones, pads, ones),
            g.ActivationNode("a_relu", "a", g.Function.RELU),
            g.ReshapeNode("flat", "a_relu", (48,)),
            g.DenseNode("b", "b", "flat", kernel(48, 2), None),
        ),
        ("b",),
    )


@pytest.mark.parametrize("kind", ["adders", "folded", "bytes"])
def test_a_width_has_a_slope_where_fewer_bits_of_it_cost_less(kind: str) -> None:
    """The sign of the slope is that of the true cost's change, for every width that can learn."""
    import tensorflow as tf

    from edgeinfer.precision.learned.model import LearnedModel

    prices: MultiplierPrices = multiplier_prices(device("xczu7ev"), 10)
    graph, rng = small_network(), np.random.default_rng(0)
    model = LearnedModel(plan_learning(graph, {"b": "b"}), rng, kind, prices)  # type: ignore[arg-type]
    x = {"x": tf.constant(rng.normal(size=(20, 4, 4, 2)), tf.float32)}
    for _ in range(2):
        for name, (low, high) in model.run(x).ranges.items():
            model.low[name].assign(low)
            model.high[name].assign(high)
    for variable in model.widths:  # apart from each other, so that each tensor has a widest one
        variable.assign_sub(rng.uniform(0.0, 2.9, variable.shape))
    with tf.GradientTape() as tape:
        cost = model.run(x).cost
    slopes = tape.gradient(cost, model.widths, unconnected_gradients="zero")
    falling = 0
    for variable, slope in zip(model.widths, slopes, strict=True):
        places = list(np.ndindex(*variable.shape))
        for place in places[:: max(len(places) // 5, 1)]:
            before = variable.numpy()
            lower = []
            for bits in FEWER:
                narrower = before.copy()
                narrower[place] -= bits
                variable.assign(narrower)
                lower.append(float(model.run(x).cost) - float(cost))
            variable.assign(before)
            expected = min(lower) < -1e-3 and lower[-1] <= 0.0
            own = slope.numpy()[place]
            # A weight that has no digits keeps a slope, so that it comes back for a reason only.
            gone = kind == "adders" and lower[-1] == 0.0
            assert gone or (own > 0.0) == expected, (kind, place, lower, before[place])
            assert own >= 0.0
            falling += expected
    assert falling > 0  # or no slope was looked at


@pytest.mark.parametrize("kind", ["adders", "folded", "bytes"])
def test_training_can_begin_as_the_network_that_is_given(kind: str) -> None:
    """Its outputs before the first step are the float network's, but for the bits that are cut."""
    import tensorflow as tf

    from edgeinfer.precision.learned.model import LearnedModel

    graph, rng = small_network(), np.random.default_rng(0)
    x = rng.uniform(0.0, 1.0, (50, 4, 4, 2)).astype(np.float32)
    expected = FloatEngine(graph).run({"x": x})["b"]
    misses = {}
    for start in ("float", "random"):
        model = LearnedModel(
            plan_learning(graph, {"b": "b"}), rng, kind,  # type: ignore[arg-type]
            multiplier_prices(device("xczu7ev"), 10), start,  # type: ignore[arg-type]
        )  # fmt: skip
        for _ in range(4):
            passed = model.run({"x": tf.constant(x)})
            for name, (low, high) in passed.ranges.items():
                model.low[name].assign(low)
                model.high[name].assign(high)
        misses[start] = np.std(passed.tensors["b"].numpy() - expected) / np.std(expected)
    assert misses["float"] < 0.1 < 0.5 < misses["random"]


def test_random_weights_are_the_start_where_adders_are_paid_for() -> None:
    starts = {cost: LearnedSettings(cost=cost).first_weights for cost in get_args(CostKind)}
    assert starts == {"adders": "random", "folded": "float", "bytes": "float"}
    assert LearnedSettings(cost="folded", start="random").first_weights == "random"
    with pytest.raises(UsageError, match="'old' weights"):
        LearnedSettings(start="old")  # type: ignore[arg-type]
