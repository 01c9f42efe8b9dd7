# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a profile says of a network is what its integers and its floats do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base import metrics
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.profile import curves
from edgeinfer.evaluate.profile.data import Profile
from edgeinfer.evaluate.profile.histograms import Tally, of_values
from edgeinfer.evaluate.profile.inside import outside, worth_looking_at
from edgeinfer.evaluate.profile.make import profile_of
from edgeinfer.graph.nodes import ActivationNode, DenseNode, Function, Graph, InputNode
from edgeinfer.ir import ops
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import LoweredModel, lower
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, requantize
from quantization.recipe import Recipe

RNG = np.random.default_rng(3)
Made = tuple[LoweredModel, Samples, Profile]


def network() -> tuple[Graph, Recipe]:
    """Two dense layers; the ReLU between them saturates at 0.75."""
    rng = np.random.default_rng(11)
    graph = Graph(
        "two",
        (
            InputNode("x", (4,)),
            DenseNode("hidden", "hidden", "x", rng.normal(size=(4, 6)), np.zeros(6)),
            ActivationNode("relu", "hidden", Function.RELU),
            DenseNode("out", "out", "relu", rng.normal(size=(6, 3)), np.zeros(3)),
        ),
        ("out",),
    )
    recipe = Recipe.from_toml(
        """
        version = 1
        [activations]
        x = "fixed<8,3>"
        relu = "ufixed<4,0>"
        [weights]
        "hidden/kernel" = "fixed<6,2>"
        "out/kernel" = "fixed<6,2>"
        """
    )
    return graph, recipe


@pytest.fixture(scope="module")
def profiled_run() -> Made:
    """A profile of the network on 300 samples."""
    graph, recipe = network()
    lowered = lower(graph, recipe)
    x = np.random.default_rng(5).normal(size=(300, 4))
    labels = np.random.default_rng(6).integers(0, 3, 300).astype(np.float64)
    samples = Samples({"x": x}, "made here", {"out": labels})
    profile = profile_of(lowered.program, graph, lowered.graph, lowered.recipe, samples)
    return lowered, samples, profile


def test_saturated_values_are_counted_one_by_one(profiled_run: Made) -> None:
    lowered, samples, profile = profiled_run
    raw = judge.raw_inputs(lowered.program, lowered.recipe, samples)
    values = interpret(lowered.program, raw)
    relu = next(each for each in profile.layers if each.name == "relu")
    op = lowered.program["relu"]
    before = values[op.x] * lowered.program.type(op.x).lsb
    step = op.type.lsb
    assert relu.clipped is not None and relu.clipped.rectifies
    assert relu.clipped.above == int(np.sum(np.rint(before / step) > op.type.raw_max)) > 0
    assert relu.clipped.below == int(np.sum(np.rint(before / step) < 0))
    assert relu.observed_high == op.type.max and relu.observed_low == 0.0
    expected = np.maximum(before, 0.0) - values["relu"] * step
    assert relu.rounding_rms == pytest.approx(math.sqrt(float(np.mean(expected**2))))


def test_seen_ranges_lie_within_proved_ones(profiled_run: Made) -> None:
    _, _, profile = profiled_run
    for layer in profile.layers:
        assert layer.observed_low is not None and layer.observed_high is not None
        assert layer.proved_low <= layer.observed_low <= layer.observed_high <= layer.proved_high
        assert layer.observed_bits <= Fixed.parse(layer.format).bits


def test_errors_are_those_against_the_float_network(profiled_run: Made) -> None:
    lowered, samples, profile = profiled_run
    graph, _ = network()
    exact = judge.float_outputs(graph, samples)["out"]
    raw = judge.raw_inputs(lowered.program, lowered.recipe, samples)
    actual = judge.quantized_outputs(lowered.program, raw)["out"]
    last = profile.layers[-1]
    assert last.name == "out"
    assert last.error_rms == pytest.approx(float(np.sqrt(np.mean((exact - actual) ** 2))), rel=1e-5)
    assert last.float_rms == pytest.approx(float(np.sqrt(np.mean(exact**2))), rel=1e-5)


def test_scores_are_those_of_the_result(profiled_run: Made) -> None:
    _, samples, profile = profiled_run
    graph, _ = network()
    floats = judge.score(graph, judge.float_outputs(graph, samples), samples)
    shown = next(each for each in profile.scores if each.stage == "float")
    assert shown.auc is not None and shown.accuracy is not None
    assert shown.auc.value == pytest.approx(floats.auc)
    assert shown.accuracy.value == pytest.approx(floats.accuracy)
    assert shown.auc.low < shown.auc.value < shown.auc.high
    after = next(each for each in profile.scores if each.stage == "quantized")
    assert profile.lost.auc is not None and after.auc is not None
    assert profile.lost.auc.value == pytest.approx(shown.auc.value - after.auc.value)


def test_distributions_hold_every_value_and_the_format(profiled_run: Made) -> None:
    _, _, profile = profiled_run
    by_name = {(each.kind, each.name): each for each in profile.distributions}
    assert set(by_name) == {
        ("weight", "hidden"), ("weight", "out"), ("activation", "x"), ("activation", "relu"),
    }  # fmt: skip
    relu = by_name["activation", "relu"]
    assert (relu.lsb, relu.least, relu.most, relu.bits) == (1 / 16, 0.0, 15 / 16, 4)
    assert relu.floats is not None
    assert sum(relu.integers.counts) + relu.integers.zeros == 300 * 6
    assert sum(relu.floats.counts) + relu.floats.zeros == 300 * 6
    assert relu.floats.high > 1.0 >= relu.integers.high


def test_a_bin_is_above_one_power_of_two_and_up_to_the_next() -> None:
    held = of_values(np.array([0.0, 0.5, 0.51, 1.0, -1.0, 1.01, 2.0, 3.0]))
    assert held.first == -2
    assert held.counts == (1, 3, 2, 1)  # (1/4, 1/2], (1/2, 1], (1, 2], (2, 4]
    assert (held.zeros, held.low, held.high) == (1, -1.0, 3.0)


def test_batches_add_up() -> None:
    values = RNG.normal(size=1000)
    tally = Tally()
    for part in np.split(values, 10):
        tally.add(part)
    assert tally.histogram() == of_values(values)
    assert of_values(np.zeros(3)).counts == () and of_values(np.zeros(0)).low == 0.0


ROUNDINGS, OVERFLOWS = list(Rounding), [Overflow.SAT, Overflow.SAT_SYM, Overflow.WRAP]


@settings(max_examples=150)
@given(
    st.lists(st.integers(-5000, 5000), min_size=1, max_size=20),
    st.integers(-3, 6),
    st.builds(Fixed, st.booleans(), st.integers(2, 8), st.integers(-3, 8)),
    st.sampled_from(ROUNDINGS),
    st.sampled_from(OVERFLOWS),
)
def test_what_leaves_the_range_is_what_requantisation_changes(
    raw: list[int], frac: int, kind: Fixed, rounding: Rounding, overflow: Overflow
) -> None:
    x = np.array(raw, dtype=np.int64)
    op = ops.Requant("y", kind, "x", rounding, overflow)
    below, above = outside(op, x, frac)
    wide = Fixed(True, 48, 48 - kind.frac)
    free = requantize(x, frac, Quantizer(wide, rounding, Overflow.SAT))
    kept = requantize(x, frac, Quantizer(kind, rounding, overflow))
    assert below + above == int(np.sum(free != kept))


def test_the_interval_of_an_area_is_as_wide_as_it_should_be() -> None:
    """Over many draws of 200 samples, the interval's half width is 1.96 standard deviations."""
    areas, halves = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        positive = rng.random(200) < 0.4
        scores = rng.normal(size=200) + 1.2 * positive
        moved = curves.influence(scores, positive)
        assert moved is not None
        area = metrics.auc(scores, positive)
        assert area is not None
        interval = curves.around(area, moved)
        areas.append(area)
        halves.append((interval.high - interval.low) / 2)
    assert np.mean(halves) == pytest.approx(1.96 * np.std(areas), rel=0.12)


def test_a_paired_loss_is_surer_than_two_areas() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 500)
    first = rng.normal(size=500) + labels
    second = first + 0.01 * rng.normal(size=500)
    one = curves.macro_influence(first[:, None], labels)
    two = curves.macro_influence(second[:, None], labels)
    assert one is not None and two is not None
    apart = curves.around(0.0, one[1] - two[1], least=-1.0)
    alone = curves.around(one[0], one[1])
    assert (apart.high - apart.low) < 0.1 * (alone.high - alone.low)


def test_a_share_near_an_end_has_an_interval() -> None:
    none, all_, half = curves.share(0, 10), curves.share(10, 10), curves.share(50, 100)
    assert none.low == 0.0 and none.high == pytest.approx(0.278, abs=1e-3)
    assert all_.low == pytest.approx(0.722, abs=1e-3) and all_.high == 1.0
    assert half.low == pytest.approx(0.404, abs=1e-3)
    assert half.high == pytest.approx(0.596, abs=1e-3)


def test_few_samples_that_are_decided_alike_prove_little() -> None:
    """Where two samples of a hundred are decided otherwise, 95 of 100 intervals hold that."""
    alike = curves.paired_difference(np.ones(10, bool), np.ones(10, bool), np.arange(10))
    assert alike.value == 0.0 and alike.low < -0.2 and alike.high > 0.2
    rng, covered = np.random.default_rng(4), 0
    for _ in range(400):
        first = rng.random(60) < 0.98
        lost = curves.paired_difference(np.ones(60, bool), first, np.arange(60))
        covered += lost.low <= 0.02 <= lost.high
    assert covered >= 0.93 * 400


def test_decisions_of_one_sample_count_once_in_a_paired_difference() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.random(200) < 0.9, rng.random(200) < 0.8
    once = curves.paired_difference(first, second, np.arange(200))
    twice = curves.paired_difference(
        np.repeat(first, 2), np.repeat(second, 2), np.repeat(np.arange(200), 2)
    )
    assert twice == once


def test_a_curve_goes_from_nothing_to_everything_and_encloses_its_area() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(3000) < 0.5
    scores = np.round(rng.normal(size=3000) + positive, 2)  # with ties
    drawn_curve = curves.curve("float", "out", "signal", scores, positive)
    assert drawn_curve is not None
    assert (drawn_curve.background[0], drawn_curve.signal[0]) == (0.0, 0.0)
    assert (drawn_curve.background[-1], drawn_curve.signal[-1]) == (1.0, 1.0)
    assert len(drawn_curve.signal) <= curves.POINTS + 2
    drawn = float(np.trapezoid(drawn_curve.signal, drawn_curve.background))
    assert drawn == pytest.approx(drawn_curve.auc, abs=2e-3)
    assert curves.curve("float", "out", "signal", scores, np.ones(3000, bool)) is None


def test_large_networks_are_looked_into_on_fewer_samples(profiled_run: Made) -> None:
    lowered, _, profile = profiled_run
    assert profile.tapped == profile.samples == 300
    assert worth_looking_at(lowered.program, 10**9) <= 4096
