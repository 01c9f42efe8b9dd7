# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Post-training quantization: accuracy kept, data that say little survived, no Keras needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, QuantizedGraph, quantize
from edgeinfer.precision.ptq.network import cut
from edgeinfer.precision.search.objective import objective_on
from quantization.calibrate import Method
from tests.support import onnx_models
from tests.support.places import ROOT
from tests.support.random_graphs import random_network
from tests.support.small_networks import bars, tagger

GRAPH = tagger()
DATA = bars(800, seed=1)
JUDGE = objective_on(GRAPH, bars(1500, seed=2))


def score(quantized: QuantizedGraph) -> float:
    lowered = lower(quantized.graph, quantized.recipe)
    return JUDGE.of_program(lowered.program, lowered.recipe)


def error_of(quantized: QuantizedGraph) -> float:
    """What rounding everything does to the outputs on the data, in units of their spread."""
    formats = dict(quantized.recipe.activations)
    network = cut(quantized.exact, formats, DATA.inputs)
    return network.error(network.rounded_outputs(formats, dict(quantized.graph.weights())))


def test_the_network_is_worth_quantizing() -> None:
    assert JUDGE.name == "auc"
    assert 0.9 < JUDGE.exact_score < 0.999


@pytest.mark.parametrize("per_channel", [False, True])
def test_eight_bits_cost_next_to_nothing(per_channel: bool) -> None:
    result = quantize(GRAPH, DATA.inputs, PtqSettings(8, per_channel=per_channel))
    assert score(result) > JUDGE.exact_score - 0.002
    assert result.error < 0.01
    widths = {fmt.bits for key, fmt in result.recipe.weights if key.endswith("kernel")}
    assert widths == {8}
    assert {q.type.bits for _, q in result.recipe.activations} == {8}


@pytest.mark.parametrize("bits", [3, 4])
def test_choosing_by_the_outputs_beats_choosing_by_the_range(bits: int) -> None:
    chosen = quantize(GRAPH, DATA.inputs, PtqSettings(bits))
    by_range = PtqSettings(bits, kernel_method=Method.MINMAX, refine=False)
    ranged = quantize(GRAPH, DATA.inputs, by_range)
    assert chosen.error < 0.5 * error_of(ranged)
    assert score(chosen) > score(ranged)


@pytest.mark.parametrize("method", list(Method))
def test_ranges_alone_when_asked(method: Method) -> None:
    result = quantize(GRAPH, DATA.inputs, PtqSettings(8, method, refine=False))
    assert score(result) > JUDGE.exact_score - 0.01


def test_a_large_weight_does_not_decide_how_finely_the_others_are_rounded() -> None:
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 0.05, (6, 4))
    kernel[0, 0] = 1.0  # a step more than 8 bits hold where the others are at their finest
    nodes = (g.InputNode("x", (6,)), g.DenseNode("y", "y", "x", kernel, None))
    graph = g.Graph("heavy", nodes, ("y",))
    data = {"x": rng.uniform(0, 1, (64, 6))}
    lost = {}
    for method in (Method.MSE, Method.MINMAX):
        ranged = PtqSettings(8, kernel_method=method, refine=False)
        rounded = dict(quantize(graph, data, ranged).graph.weights())["y/kernel"]
        lost[method] = float(np.square(rounded - kernel).sum())
    assert lost[Method.MSE] < 0.5 * lost[Method.MINMAX]
    assert PtqSettings(8).kernel_method is Method.MSE


def test_logits_leave_the_network_exact() -> None:
    recipe = quantize(GRAPH, DATA.inputs, PtqSettings(6)).recipe
    assert [name for name, _ in recipe.activations] == ["image", "relu", "wide_relu"]


def test_uneven_channels_are_rescaled_and_the_accuracy_is_kept() -> None:
    uneven = tagger(uneven=True)
    left = quantize(uneven, DATA.inputs, PtqSettings(5, equalize=False))
    result = quantize(uneven, DATA.inputs, PtqSettings(5))
    assert any("rescaled" in finding for finding in result.findings)
    assert result.error < 0.5 * left.error
    assert score(result) > JUDGE.exact_score - 0.01


def image(values: np.ndarray | float, samples: int = 200) -> dict[str, np.ndarray]:
    return {"image": np.broadcast_to(values, (samples, 10, 10, 1)).astype(np.float64)}


ONE_CLASS = {"image": DATA.inputs["image"][DATA.labels["kind"] == 1]}
OUTLIER = {"image": DATA.inputs["image"].copy()}
OUTLIER["image"][17, 4, 4, 0] = 1e6
ALL_OUTLIERS = {"image": np.where(DATA.inputs["image"] > 1.5, 1e6, 0.0)}
DEGENERATE = {
    "constant": (image(0.7), "constant"),
    "zeros": (image(0.0), "constant (0)"),
    "one sample": (image(np.linspace(-1, 1, 100).reshape(10, 10, 1), 1), "only 1"),
    "few samples": ({"image": DATA.inputs["image"][:5]}, "only 5"),
    "one class": (ONE_CLASS, ""),
    "an outlier": (OUTLIER, "outliers"),
    "many outliers": (ALL_OUTLIERS, ""),
    "tiny": (image(DATA.inputs["image"][:200] * 1e-30), ""),
    "denormal": (image(5e-324), "constant"),
    "huge": (image(DATA.inputs["image"][:200] * 1e25), ""),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("refine", [True, False])
def test_data_that_say_little_give_a_finding_and_a_recipe_that_lowers(
    case: str, refine: bool
) -> None:
    data, said = DEGENERATE[case]
    result = quantize(GRAPH, data, PtqSettings(6, refine=refine))
    assert any(said in finding for finding in result.findings) or not said
    lowered = lower(result.graph, result.recipe)
    assert np.isfinite(JUDGE.of_program(lowered.program, lowered.recipe))


def test_an_outlier_does_not_cost_the_accuracy() -> None:
    result = quantize(GRAPH, OUTLIER, PtqSettings(8))
    assert score(result) > JUDGE.exact_score - 0.005


def test_one_class_alone_still_serves_all() -> None:
    assert score(quantize(GRAPH, ONE_CLASS, PtqSettings(8))) > JUDGE.exact_score - 0.005


def test_a_dead_channel_is_told_and_survived() -> None:
    result = quantize(tagger(dead=True), DATA.inputs, PtqSettings(6))
    assert any("1 of 8 channels are zero" in finding for finding in result.findings)
    lower(result.graph, result.recipe)


def test_refusals() -> None:
    settings = PtqSettings(8)
    with pytest.raises(InputError, match="no array"):
        quantize(GRAPH, {}, settings)
    with pytest.raises(InputError, match="have shape"):
        quantize(GRAPH, {"image": np.zeros((4, 9, 10, 1))}, settings)
    with pytest.raises(InputError, match="empty"):
        quantize(GRAPH, {"image": np.zeros((0, 10, 10, 1))}, settings)
    with pytest.raises(InputError, match="NaN"):
        quantize(GRAPH, image(np.nan), settings)
    with pytest.raises(InputError, match="too large"):
        quantize(GRAPH, image(1e38), settings)
    with pytest.raises(UsageError, match="2 to 24"):
        PtqSettings(1)


@given(st.integers(0, 10_000), st.integers(2, 10), st.booleans())
@settings(max_examples=25)
def test_any_network_is_quantized_to_something_that_lowers(
    seed: int, bits: int, per_channel: bool
) -> None:
    graph = random_network(seed).graph
    rng = np.random.default_rng(seed)
    data = {node.name: rng.normal(size=(40, *node.shape)) for node in graph.inputs}
    result = quantize(graph, data, PtqSettings(bits, per_channel=per_channel))
    lower(result.graph, result.recipe)
    assert np.isfinite(result.error)


def test_a_pool_behind_much_padding_is_not_merged_with_it() -> None:
    """ONNX Runtime would, and then refuse its own pool: its padding is as wide as its window."""
    nodes = (
        g.InputNode("x", (3, 4)),
        g.TransposeNode("turned", "x", (1, 0)),
        g.PadNode("padded", "turned", ((2, 2), (0, 0)), 0.0),
        g.PoolNode("y", "padded", g.PoolNodeKind.MAX, (2,), (2,), ((0, 0),)),
    )
    graph = g.Graph("padded", nodes, ("y",))
    x = np.random.default_rng(5).normal(size=(40, 3, 4))
    results = FloatEngine(graph).run({"x": x.astype(np.float32)})["y"]
    wide = np.pad(x.transpose(0, 2, 1), ((0, 0), (2, 2), (0, 0)))
    np.testing.assert_allclose(results, wide.reshape(40, 4, 2, 3).max(axis=2), rtol=1e-6)


def test_an_onnx_model_needs_no_keras(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    result = onnx_models.model(
        [
            helper.make_node("Conv", ["x", "k", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
            helper.make_node("Flatten", ["p"], ["f"], name="flat"),
            helper.make_node("Gemm", ["f", "w", "o"], ["y"], name="head"),
        ],
        {"x": ["batch", 2, 6, 6]},
        ["y"],
        {
            "k": onnx_models.floats(rng, 4, 2, 3, 3),
            "b": onnx_models.floats(rng, 4),
            "w": onnx_models.floats(rng, 4, 3),
            "o": onnx_models.floats(rng, 3),
        },
    )
    path = onnx_models.saved(result, tmp_path)
    program = f"""
import sys, numpy as np
from edgeinfer.readers import load
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
graph = load({str(path)!r}).graph
data = {{n.name: np.random.default_rng(0).normal(size=(100, *n.shape)) for n in graph.inputs}}
found = quantize(graph, data, PtqSettings(8))
lower(found.graph, found.recipe)
assert found.error < 0.01, found.error
heavy = [name for name in ("tensorflow", "keras", "qkeras", "hls4ml") if name in sys.modules]
assert not heavy, heavy
"""
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
