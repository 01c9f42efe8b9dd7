# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The guard over every Program: what its formats make of the float network, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import bounded
from edgeinfer.evaluate.bounded import Enclosure
from edgeinfer.evaluate.explain import Explanation, explain
from edgeinfer.evaluate.judge import inner_saturation
from edgeinfer.graph import nodes as g
from edgeinfer.ir import ops
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.precision.ptq import quantize as choose
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, dequantize, quantize
from quantization.recipe import Recipe
from tests.support.command_line import shown
from tests.support.function_examples import TABULATED
from tests.support.random_graphs import random_network
from tests.support.small_models import classifier

SAMPLES = 12


def samples_for(graph: g.Graph, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    inputs = {node.name: rng.normal(size=(SAMPLES, *node.shape)) for node in graph.inputs}
    return Samples(inputs, "drawn")


def explained(seed: int, bits: int | None) -> Explanation:
    network = random_network(seed)
    samples = samples_for(network.graph, seed)
    if bits is None:
        return explain(lower(network.graph, network.recipe), network.graph, samples)
    chosen = choose(network.graph, samples.inputs, PtqSettings(bits, refine=False, equalize=False))
    return explain(lower(chosen.graph, chosen.recipe), network.graph, samples)


@pytest.mark.parametrize("bits", [None, 3, 10, 18])
@pytest.mark.parametrize("seed", range(8))
def test_formats_explain_random_networks_and_nothing_beyond(seed: int, bits: int | None) -> None:
    result = explained(seed, bits)
    assert result.findings == ()
    assert result.difference <= result.explained * (1 + 1e-9)
    assert result.explained <= 1.5 * result.difference + 1e-3


@pytest.mark.parametrize(("function", "parameters"), TABULATED, ids=str)
def test_formats_explain_every_function(
    function: g.Function, parameters: tuple[float, ...]
) -> None:
    node = g.ActivationNode("y", "x", function, parameters)
    graph = g.Graph("one", (g.InputNode("x", (40,)), node), ("y",))
    samples = Samples({"x": np.random.default_rng(8).uniform(-3, 3, (SAMPLES, 40))}, "drawn")
    recipe = Recipe.of({"x": Quantizer.parse("fixed<6,3>"), "y": Quantizer.parse("fixed<8,4>")})
    result = explain(lower(graph, recipe, host_functions=False), graph, samples)
    assert result.findings == ()
    assert result.difference <= result.explained * (1 + 1e-9)


def deep() -> tuple[g.Graph, LoweredModel, Samples]:
    """Four convolutions, so that a bound by norms of weights would be of little use."""
    rng = np.random.default_rng(3)
    nodes: list[g.Node] = [g.InputNode("x", (6, 6, 4))]
    for depth in range(4):
        kernel, bias = rng.normal(size=(3, 3, 4, 4)) / 6, rng.normal(size=4)
        name, pads = f"c{depth}", ((1, 1), (1, 1))
        nodes += [
            g.ConvNode(name, name, nodes[-1].name, kernel, bias, (1, 1), pads, (1, 1)),
            g.ActivationNode(f"r{depth}", name, g.Function.RELU),
        ]
    graph = g.Graph("deep", tuple(nodes), ("r3",))
    samples = samples_for(graph, 1)
    chosen = choose(graph, samples.inputs, PtqSettings(12))
    return graph, lower(chosen.graph, chosen.recipe), samples


@pytest.mark.parametrize("depth", range(4))
def test_biases_that_are_a_64th_off_are_noticed(depth: int) -> None:
    graph, lowered, samples = deep()
    assert explain(lowered, graph, samples).findings == ()
    convs = [op for op in lowered.program.ops if isinstance(op, ops.Conv)]
    wrong = convs[depth].bias.astype(np.int64)
    wrong += 1 << (convs[depth].type.frac - 6)
    spoilt = replace(lowered, program=lowered.program.replace_op(replace(convs[depth], bias=wrong)))
    (findings,) = explain(spoilt, graph, samples).findings
    assert findings.startswith("r3: the Program is wrong. In sample")


def test_softmax_and_curves_inside_a_network_are_explained() -> None:
    rng = np.random.default_rng(0)
    nodes = (
        g.InputNode("x", (7,)),
        g.DenseNode("d", "d", "x", rng.normal(size=(7, 5)), rng.normal(size=5)),
        g.SoftmaxNode("s", "d"),
        g.ActivationNode("t", "s", g.Function.TANH),
        g.ActivationNode("w", "d", g.Function.SWISH),
        g.MergeNode("y", ("t", "w"), g.MergeKind.MULTIPLY),
    )
    graph = g.Graph("net", nodes, ("y",))
    samples = samples_for(graph, 0)
    for bits in (4, 9, 14):
        chosen = choose(graph, samples.inputs, PtqSettings(bits, refine=False))
        result = explain(lower(chosen.graph, chosen.recipe), graph, samples)
        assert result.findings == ()
        assert result.difference <= result.explained


types = st.builds(Fixed, st.booleans(), st.integers(1, 12), st.integers(-4, 12))
quantizers = st.builds(Quantizer, types, st.sampled_from(Rounding), st.sampled_from(Overflow))


@given(quantizers, st.floats(-5000, 5000), st.floats(0, 3), st.floats(-1, 1))
def test_whatever_a_bound_allows_stays_within_it_when_rounded(
    quantizer: Quantizer, centre: float, radius: float, where: float
) -> None:
    result = bounded.round_values(Enclosure(np.array([centre]), np.array([radius])), quantizer)
    inside = np.array([centre + where * radius])
    inside = np.clip(inside, centre - radius, centre + radius)
    held = dequantize(quantize(inside, quantizer), quantizer.type)
    assert result.low[0] <= held[0] <= result.high[0]


def test_a_compilation_states_both_figures(tmp_path, capsys) -> None:
    model = str(classifier(tmp_path))
    result = shown(capsys, "compile", model, "--target", "none", "-o", str(tmp_path / "run"))
    results = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert 0 < results["difference_to_float"] <= results["explained_difference_to_float"]


def test_values_beyond_a_format_inside_the_network_are_a_finding() -> None:
    nodes = (
        g.InputNode("x", (2,)),
        g.DenseNode("d", "d", "x", np.eye(2), None),
        g.ActivationNode("r", "d", g.Function.RELU),
        g.DenseNode("y", "y", "r", np.eye(2), None),
    )
    graph = g.Graph("net", nodes, ("y",))
    formats = {"x": "fixed<8,4>", "d": "fixed<6,3>", "r": "ufixed<4,1>"}
    recipe = Recipe.of({name: Quantizer.parse(text) for name, text in formats.items()})
    program = lower(graph, recipe).program
    values = [[1.0, -7.0], [0.5, 0.25], [3.0, -1.0], [1.0, 1.0]]
    raw = {"x": quantize(values, recipe.activation("x"))}
    inner, last = inner_saturation(program, raw)
    assert inner == (
        "d: 12.50% of the values inside the network lie beyond fixed<6,3>, -4..3.875; they reach 7."
    )
    assert last.startswith("r: 12.50% of the values inside the network lie beyond ufixed<4,1>")
