# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The pieces of post-training quantization, each against what it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.precision.ptq.adapt import Effort, adapt_weights
from edgeinfer.precision.ptq.data import divide_samples
from edgeinfer.precision.ptq.equalize import equalize_channels
from edgeinfer.precision.ptq.network import cut, replace_weights, round_values
from edgeinfer.precision.ptq.points import late_point, quantized_tensors, table_indices
from edgeinfer.precision.ptq.rows import moments_of
from edgeinfer.precision.ptq.weights import (
    bias_format,
    kernel_format,
    plain,
    round_with_compensation,
)
from edgeinfer.precision.search.sensitivity import sensitivity_table
from quantization.calibrate import fit_quantizer
from quantization.fixed import Quantizer, dequantize
from quantization.fixed import quantize as to_raw
from quantization.recipe import Recipe
from tests.support import float_graph
from tests.support.random_graphs import random_network
from tests.support.small_networks import bars, tagger

GRAPH = tagger()
DATA = bars(600, seed=1)
TENSORS = quantized_tensors(GRAPH)


def q(text: str) -> Quantizer:
    return Quantizer.parse(text)


@pytest.mark.parametrize("bits", [4, 8])
def test_the_rounded_network_is_the_integer_network(bits: int) -> None:
    result = quantize(GRAPH, DATA.inputs, PtqSettings(bits))
    lowered = lower(result.graph, result.recipe)
    network = cut(result.graph, TENSORS, DATA.inputs)
    weights = {
        key: plain(values, fmt)
        for key, values in result.graph.weights()
        if (fmt := result.recipe.weight(key))
    }
    floats = network.rounded_outputs(dict(result.recipe.activations), weights)["logits"]
    quantizer = result.recipe.activation("image")
    assert quantizer is not None
    raw = Engine(lowered.program).run({"image": to_raw(DATA.inputs["image"], quantizer)})["kind"]
    integers = dequantize(raw, lowered.program.type(lowered.program.outputs[0].value))
    assert np.mean(np.abs(floats - integers) > 1e-3 * np.abs(integers).max()) < 0.01


def test_rounding_behind_a_pool_is_rounding_before_it() -> None:
    assert late_point(GRAPH, "relu") == "pool"
    assert late_point(replace(GRAPH, outputs=("kind", "relu")), "relu") == "relu"
    network = cut(GRAPH, TENSORS, DATA.inputs)
    assert network.point("relu") == "pool"
    form = fit_quantizer(network.exact["pool"], 3)
    whole = cut(replace(GRAPH, outputs=("kind", "relu")), TENSORS, DATA.inputs)
    before = round_values(whole.exact["relu"], form).reshape(600, 4, 2, 4, 2, 8).max(axis=(2, 4))
    assert np.array_equal(before, round_values(network.exact["pool"], form))


def test_tables_are_indexed_finely_and_hosts_are_left_alone() -> None:
    nodes = (
        g.InputNode("x", (4,)),
        g.DenseNode("a", "a", "x", np.eye(4), None),
        g.ActivationNode("t", "a", g.Function.TANH),
        g.DenseNode("b", "b", "t", np.eye(4), None),
        g.ActivationNode("s", "b", g.Function.SIGMOID),
    )
    graph = g.Graph("net", nodes, ("s",))
    assert quantized_tensors(graph) == ("x", "t")
    assert table_indices(graph) == ("a",)
    rng = np.random.default_rng(0)
    recipe = quantize(graph, {"x": rng.normal(size=(200, 4))}, PtqSettings(6)).recipe
    widths = {name: form.type.bits for name, form in recipe.activations}
    assert widths == {"x": 6, "a": 10, "t": 6}
    direct = g.Graph(
        "net", (g.InputNode("x", (4,)), g.ActivationNode("t", "x", g.Function.TANH)), ("t",)
    )
    recipe = quantize(direct, {"x": rng.normal(size=(200, 4))}, PtqSettings(6)).recipe
    assert [form.type.bits for _, form in recipe.activations] == [6]


LAYERS = [
    (g.DenseNode("d", "d", "x", np.zeros((6, 4)), None), (6,)),
    (g.DenseNode("d", "d", "x", np.zeros((6, 4)), None), (3, 6)),
    (g.ConvNode("c", "c", "x", np.zeros((3, 2, 5)), None, (2,), ((1, 2),), (1,)), (9, 2)),
    (
        g.ConvNode(
            "c", "c", "x", np.zeros((2, 3, 2, 6)), None, (1, 2), ((0, 1), (1, 0)), (2, 1), 2
        ),
        (6, 7, 4),
    ),
    (
        g.ConvNode(
            "c", "c", "x", np.zeros((3, 3, 1, 4)), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 4
        ),
        (5, 5, 4),
    ),
]


@pytest.mark.parametrize(("node", "shape"), LAYERS)
def test_moments_tell_what_a_change_of_weights_does(
    node: g.ConvNode | g.DenseNode, shape: g.Shape
) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(0.3, 1.0, (20, *shape)).astype(np.float32)
    change = rng.normal(size=node.kernel.shape)
    graph = g.Graph("net", (g.InputNode("x", shape), replace(node, kernel=change)), (node.name,))
    moved = float_graph.outputs(graph, [x.astype(np.float64)])[0].reshape(-1, change.shape[-1])
    moments = moments_of(node, x)
    groups = np.split(change.reshape(-1, change.shape[-1]), len(moments), axis=1)
    answer = np.concatenate([m.error(part) for m, part in zip(moments, groups, strict=True)])
    assert answer == pytest.approx(np.mean(moved**2, axis=0), rel=1e-4)
    means = np.concatenate([m.mean @ part for m, part in zip(moments, groups, strict=True)])
    assert means == pytest.approx(moved.mean(axis=0), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("bits", [2, 3, 5])
@pytest.mark.parametrize("per_channel", [False, True])
def test_kernels_are_placed_and_rounded_for_the_layers_output(bits: int, per_channel: bool) -> None:
    rng = np.random.default_rng(bits)
    mixed = rng.normal(size=(500, 20)) @ rng.normal(size=(20, 20)) + 1.0
    node = g.DenseNode("d", "d", "x", rng.normal(size=(20, 7)) * 2.0 ** np.arange(7), None)
    moments = moments_of(node, mixed.astype(np.float32))

    def error(kernel: np.ndarray) -> float:
        return float(moments[0].error(kernel - node.kernel).sum())

    fmt = kernel_format(node, moments, bits, per_channel=per_channel)
    assert fmt.per_channel == per_channel
    assert error(plain(node.kernel, fmt)) <= error(
        plain(node.kernel, type(fmt).of(fit_quantizer(node.kernel, bits, signed=True)))
    )
    better = round_with_compensation(node, moments, fmt)
    assert error(better) < 0.85 * error(plain(node.kernel, fmt))
    assert np.array_equal(plain(better, fmt), better), "the grid is kept"


def test_a_kernel_of_zeros_or_fed_with_zeros_stays_as_it_is() -> None:
    node = g.DenseNode("d", "d", "x", np.zeros((4, 3)), None)
    moments = moments_of(node, np.zeros((10, 4), np.float32))
    fmt = kernel_format(node, moments, 6, per_channel=True)
    assert not round_with_compensation(node, moments, fmt).any()
    kernel = np.array([[0.3, -0.2, 0.1]] * 4)
    awake = replace(node, kernel=kernel)
    fmt = kernel_format(awake, moments, 6, per_channel=False)
    assert np.array_equal(round_with_compensation(awake, moments, fmt), plain(kernel, fmt))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5), st.integers(-20, 40))
def test_a_bias_keeps_its_grid_as_far_as_its_width_allows(values: list[float], frac: int) -> None:
    bias = np.array(values)
    form = bias_format(bias, frac)
    assert form.type.bits <= 25 and form.type.frac <= frac
    kept = to_raw(bias, form) * form.type.lsb
    assert np.abs(kept - bias).max() <= form.type.lsb / 2
    assert form.type.frac == frac or form.type.bits >= 23


def test_a_corrected_bias_keeps_the_mean() -> None:
    network = cut(GRAPH, TENSORS, DATA.inputs)
    recipe = quantize(GRAPH, DATA.inputs, PtqSettings(3)).recipe
    formats = dict(recipe.activations)
    away = {}
    for effort in (Effort.NEAREST, Effort.BIAS):
        ends = network.rounded_outputs(formats, adapt_weights(network, recipe, effort).weights)
        away[effort] = np.abs((ends["logits"] - network.exact["logits"]).mean(axis=0)).max()
    assert away[Effort.BIAS] < 0.1 * away[Effort.NEAREST]


@given(st.integers(0, 5_000))
@settings(max_examples=40)
def test_equalisation_changes_no_output_at_all(seed: int) -> None:
    graph = random_network(seed).graph
    even = equalize_channels(graph)
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(3, *node.shape)) for node in graph.inputs]
    expected, actual = float_graph.outputs(graph, inputs), float_graph.outputs(even, inputs)
    for a, b in zip(expected, actual, strict=True):
        assert np.array_equal(a, b)


def test_equalisation_undoes_unevenness_and_leaves_the_even_alone() -> None:
    uneven = tagger(uneven=True)
    spread = np.ptp(np.log2(np.abs(weight(uneven, "conv/kernel")).max(axis=(0, 1, 2))))
    even = np.abs(weight(equalize_channels(uneven), "conv/kernel")).max(axis=(0, 1, 2))
    assert spread > 8
    assert np.ptp(np.log2(even)) < 3
    flat = g.Graph(
        "net",
        (
            g.InputNode("x", (4,)),
            g.DenseNode("a", "a", "x", np.eye(4), None),
            g.DenseNode("b", "b", "a", np.eye(4), None),
        ),
        ("b",),
    )
    assert equalize_channels(flat) is flat


def weight(graph: g.Graph, key: str) -> g.Floats:
    return dict(graph.weights())[key]


def test_the_sensitivity_table_points_at_the_culprit() -> None:
    result = quantize(GRAPH, DATA.inputs, PtqSettings(8))
    bad = result.recipe.updated(Recipe.of({"wide_relu": q("ufixed<2,2,RND_CONV,SAT>")}))
    rows = sensitivity_table(replace(result, recipe=bad), DATA)
    assert rows[0].name == "wide_relu"
    assert {row.name for row in rows} == {name for name, _ in (*bad.activations, *bad.weights)}
    assert rows[0].score_drop is not None and rows[0].score_drop > 0.01
    assert rows[0].decision_flips > 5 * rows[1].decision_flips
    assert all(row.error < 0.01 for row in rows[1:])
    unlabelled = sensitivity_table(replace(result, recipe=bad), replace(DATA, labels={}))
    assert unlabelled[0].name == "wide_relu" and unlabelled[0].score_drop is None


def test_other_weights_make_another_network() -> None:
    other = replace_weights(GRAPH, {"logits/bias": np.array([1.0, 2.0, 3.0])})
    assert np.array_equal(weight(other, "logits/bias"), [1.0, 2.0, 3.0])
    assert replace_weights(GRAPH, {"elsewhere/bias": np.zeros(3)}) is GRAPH


def test_samples_are_held_out_where_there_are_enough() -> None:
    extremes = np.array([3, 99])
    many = divide_samples({"x": np.arange(100.0)[:, None]}, extremes)
    assert len(many.fit["x"]) == 75 and len(many.held_out["x"]) == 25
    assert not set(many.fit["x"].ravel()) & set(many.held_out["x"].ravel())
    assert many.fit["x"][many.extremes].ravel().tolist() == [3.0, 99.0]
    assert len(set(np.diff(np.sort(many.held_out["x"].ravel())))) > 1  # drawn, not every fourth
    few = divide_samples({"x": np.arange(9.0)[:, None]}, extremes)
    assert few.fit is few.held_out


@pytest.mark.parametrize("settings", [PtqSettings(16, refine=False), PtqSettings(16, adapt=False)])
@pytest.mark.parametrize("row", [0, 3, 4, 2999, 8190])
def test_one_large_sample_counts_wherever_it_stands(row: int, settings: PtqSettings) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(8200, 4))
    values[row] = 25.0
    kernel = rng.normal(size=(4, 3))
    nodes = (
        g.InputNode("x", (4,)),
        g.DenseNode("a", "a", "x", kernel, None),
        g.ActivationNode("y", "a", g.Function.RELU),
    )
    graph = g.Graph("net", (*nodes, g.DenseNode("z", "z", "y", np.eye(3), None)), ("z",))
    recipe = quantize(graph, {"x": values}, settings).recipe
    assert recipe.activation("x").type.max > 25.0
    assert recipe.activation("y").type.max >= (values[row] @ kernel).max() - 1e-2
