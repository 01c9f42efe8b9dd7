# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Learned widths: what training computes is what the integers of the written file are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeinfer.base.devices import device
from edgeinfer.base.errors import InputError, ModelError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.export.hgq import ElementNetwork, ElementRounding, write_model
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.target_costs import MultiplierPrices, folded_cost, int8_bytes
from edgeinfer.precision.learned.formats import network_of
from edgeinfer.precision.learned.front import (
    Bounds,
    FrontPoint,
    choose_point,
    read_bounds,
)
from edgeinfer.precision.learned.network import LearnedPlan, plan_learning
from edgeinfer.precision.learned.remove import without_dead
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.learned.tensors import count_digits
from edgeinfer.precision.qat.aims import aims
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.readers import load
from edgeinfer.targets.rtl.estimate.estimate import multiplier_prices
from edgeinfer.targets.rtl.unrolled.shift_add import signed_digits
from quantization.fixed import Overflow, dequantize
from quantization.search import unbeaten
from tests.support.small_networks import CLASSES, bars

NONE = ((0, 0), (0, 0))
SAME = ((1, 1), (1, 1))


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20))
def test_digits_are_those_of_the_adder_graphs(numbers: list[int]) -> None:
    result = count_digits(np.array(numbers, np.int64))
    assert [len(signed_digits(number)) for number in numbers] == result.tolist()


def convolutional() -> g.Graph:
    """Every kind of layer that learns its widths: strides, channels each for themselves, pools of
    both kinds, a sum of two branches, a flattened picture."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> NDArray[np.float64]:
        return rng.normal(0.0, 0.5, shape)

    return g.Graph(
        "bars",
        (
            g.InputNode("image", (10, 10, 1)),
            g.ConvNode("conv", "conv", "image", drawn(3, 3, 1, 4), drawn(4), (1, 1), SAME, (1, 1)),
            g.ActivationNode("relu", "conv", g.Function.RELU),
            g.PoolNode("pool", "relu", g.PoolNodeKind.MAX, (2, 2), (2, 2), NONE),
            g.ConvNode("deep", "deep", "pool", drawn(3, 3, 1, 4), None, (1, 1), SAME, (1, 1), 4),
            g.MergeNode("sum", ("deep", "pool"), g.MergeKind.ADD),
            g.ActivationNode("sum_relu", "sum", g.Function.RELU),
            g.PoolNode("mean", "sum_relu", g.PoolNodeKind.AVERAGE, (2, 1), (2, 1), NONE),
            g.ReshapeNode("flat", "mean", (40,)),
            g.DenseNode("hidden", "hidden", "flat", drawn(40, 8), drawn(8)),
            g.ActivationNode("hidden_relu", "hidden", g.Function.RELU),
            g.DenseNode("logits", "logits", "hidden_relu", drawn(8, CLASSES), drawn(CLASSES)),
            g.SoftmaxNode("kind", "logits"),
        ),
        ("kind",),
    )


def waves() -> tuple[g.Graph, Samples]:
    """A network along one axis, in groups, whose outputs are quantities."""
    rng = np.random.default_rng(1)
    x = rng.normal(0.0, 1.0, (400, 12, 4))
    y = np.stack([x[:, :, 0].mean(axis=1), x[:, 3, 1] - x[:, 5, 2]], axis=1)
    kernel, dense = rng.normal(0.0, 0.5, (3, 2, 6)), rng.normal(0.0, 0.3, (30, 2))
    graph = g.Graph(
        "waves",
        (
            g.InputNode("wave", (12, 4)),
            g.ConvNode("conv", "conv", "wave", kernel, None, (2,), ((0, 0),), (1,), 2),
            g.ActivationNode("relu", "conv", g.Function.RELU),
            g.TransposeNode("turned", "relu", (1, 0)),
            g.ReshapeNode("flat", "turned", (30,)),
            g.DenseNode("made", "made", "flat", dense, None),
        ),
        ("made",),
    )
    return graph, Samples({"wave": x}, "400 waves", {"made": y})


def states(
    graph: g.Graph,
    ends: dict[str, str],
    samples: Samples,
    prices: MultiplierPrices | None = None,
    **options: Any,
) -> tuple[LearnedPlan, list[object], object]:
    from edgeinfer.precision.learned.train import LearnedLesson, _Run

    plan = plan_learning(graph, ends)
    expected = aims(graph, samples, judge.float_outputs(graph, samples), 0.7)
    lesson = LearnedLesson(
        samples, expected, QatSettings(epochs=3, batch=100), LearnedSettings(2, **options), prices
    )
    run = _Run(plan, lesson, lambda done, total: None)
    results: list[object] = []
    for point in range(2):
        run.pass_point(point)
        results.append(run.state())
    return plan, results, run


@pytest.mark.parametrize(
    ("kind", "cost"),
    [
        ("pictures", "adders"),
        pytest.param("waves", "adders", marks=pytest.mark.slow),
        pytest.param("pictures", "folded", marks=pytest.mark.slow),
        pytest.param("pictures", "bytes", marks=pytest.mark.slow),
    ],
)
def test_the_written_file_computes_what_training_computed(
    kind: str, cost: str, tmp_path: Path
) -> None:
    if kind == "pictures":
        graph, samples, ends = convolutional(), bars(400), {"kind": "logits"}
    else:
        graph, samples = waves()
        ends = {"made": "made"}
    prices = multiplier_prices(device("xczu7ev"), 100)
    options = {"cost_low": 0.5, "cost_high": 2.0, "cost": cost}
    plan, result, run = states(graph, ends, samples, prices, **options)
    path = tmp_path / "net.keras"
    path.write_bytes(write_model(network_of(plan, result[-1])))  # type: ignore[arg-type]
    loaded = load(path)
    lowered = lower(loaded.graph, loaded.recipe)
    raw = judge.raw_inputs(lowered.program, lowered.recipe, samples)
    from edgeinfer.ir.engine.engine import Engine

    (output,) = lowered.program.outputs
    outputs = Engine(lowered.program).run(raw)
    actual = dequantize(outputs[output.name], lowered.program.type(output.value))
    inputs = {name: x.astype(np.float32) for name, x in samples.inputs.items()}
    (end,) = ends.values()
    passed = run.model.run(inputs)  # type: ignore[attr-defined]
    expected = passed.tensors[end].numpy()
    np.testing.assert_array_equal(actual.reshape(expected.shape), expected)
    assert len(np.unique(expected)) > 20
    counted = {"folded": folded_cost(lowered.program, prices), "bytes": int8_bytes(lowered.program)}
    if cost in counted:  # of adders, training knows no sums that are shared
        assert float(passed.cost) == pytest.approx(counted[cost], rel=1e-5)


def test_a_network_that_does_not_fit_is_refused_by_the_layers_names() -> None:
    graph = g.Graph(
        "odd",
        (
            g.InputNode("x", (4,)),
            g.DenseNode("a", "a", "x", np.ones((4, 4)), None),
            g.ActivationNode("tanh", "a", g.Function.TANH),
        ),
        ("tanh",),
    )
    with pytest.raises(ModelError, match="tanh"):
        plan_learning(graph, {"tanh": "tanh"})


def point(name: str, score: float, lut: float) -> FrontPoint:
    return FrontPoint(name, score, {"lut": lut, "ebops": 10 * lut}, 1.0, 0.0)


POINTS = [point("01", 0.934, 5000), point("02", 0.931, 1200), point("03", 0.930, 1300)]


def test_the_front_holds_what_nothing_beats() -> None:
    assert [
        each.name for each in unbeaten(POINTS, lambda p: p.costs["lut"], lambda p: p.score)
    ] == ["02", "01"]


@pytest.mark.parametrize(
    ("most", "least", "name"),
    [
        ({}, {}, "01"),
        ({"lut": 2000.0}, {}, "02"),
        ({}, {"auc": 0.93}, "02"),
        ({"ebops": 100000.0}, {"auc": 0.932}, "01"),
    ],
)
def test_bounds_pick_a_network(most: dict[str, float], least: dict[str, float], name: str) -> None:
    assert choose_point(POINTS, Bounds(most, least), "auc", "lut").name == name


def test_bounds_that_nothing_meets_name_how_far_each_network_is() -> None:
    with pytest.raises(InputError, match=r"02: auc 0\.931; 03"):
        choose_point(POINTS[1:], Bounds({}, {"auc": 0.94}), "auc", "lut")
    with pytest.raises(UsageError, match="'luts'"):
        choose_point(POINTS, Bounds({"luts": 1.0}, {}), "auc", "lut")
    with pytest.raises(UsageError, match="NAME=NUMBER"):
        read_bounds("--at-most", ["lut:5"])
    assert read_bounds("--at-most", ["LUT=2_000"]) == {"lut": 2000.0}


def test_dead_neurons_leave_the_network_and_nothing_else_changes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    first, second = (np.round(rng.normal(0, 4, shape)) / 4 for shape in ((6, 8), (8, 5)))
    third = np.round(rng.normal(0, 4, (5, 3))) / 4
    third[2] = 0.0  # nobody reads this one, and so nobody reads the neuron that it alone reads
    second[3] = 0.0
    second[3, 2] = 1.0
    whole, bits = np.full((8,), 4), np.full((8,), 2)
    bits[[1, 6]] = -4  # these have no bits
    nodes = (
        g.InputNode("x", (6,)),
        g.DenseNode("a", "a", "x", first, np.ones(8)),
        g.ActivationNode("a_relu", "a", g.Function.RELU),
        g.DenseNode("b", "b", "a_relu", second, np.ones(5)),
        g.ActivationNode("b_relu", "b", g.Function.RELU),
        g.DenseNode("c", "c", "b_relu", third, None),
    )
    roundings = {
        "x": (ElementRounding(True, np.array([3]), np.array([2]), Overflow.SAT),),
        "a_relu": (ElementRounding(False, whole, bits),),
        "b_relu": (ElementRounding(False, np.full(5, 8), np.full(5, 2)),),
    }
    network = ElementNetwork(g.Graph("dead", nodes, ("c",)), roundings)
    smaller = without_dead(network)
    assert smaller.graph.shapes["a"] == (5,)
    assert smaller.graph.shapes["b"] == (4,)
    x = rng.normal(0, 3, (50, 6))
    answers = []
    for number, each in enumerate((network, smaller)):
        path = tmp_path / f"{number}.keras"
        path.write_bytes(write_model(each))
        loaded = load(path)
        lowered = lower(loaded.graph, loaded.recipe)
        answers.append(
            judge.program_outputs(lowered.program, lowered.recipe, Samples({"x": x}, "drawn"))["c"]
        )
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.unique(answers[0]).size > 20
