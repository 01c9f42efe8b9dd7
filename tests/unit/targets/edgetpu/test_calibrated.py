# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Float networks that are calibrated where a Program has no int8 equal; files without LiteRT."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.edgetpu.deliver import conversion
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.tflite import simulate
from quantization.fixed import Ints
from tests.unit.targets.edgetpu.test_convert import deliver, zoo


def graph_of_two() -> g.Graph:
    """Two inputs and two outputs whose names are not in the order of the alphabet."""
    rng = np.random.default_rng(1)
    nodes: tuple[g.Node, ...] = (
        g.InputNode("wave", (20, 1)),
        g.InputNode("extra", (3,)),
        g.ConvNode(
            "conv", "conv", "wave", rng.normal(0, 0.5, (3, 1, 4)), None, (1,), ((0, 0),), (1,)
        ),
        g.ActivationNode("relu", "conv", g.Function.RELU),
        g.ReshapeNode("flat", "relu", (72,)),
        g.ConcatNode("joined", ("flat", "extra")),
        g.DenseNode(
            "zeta_logits", "zeta_logits", "joined", rng.normal(0, 0.3, (75, 3)), np.ones(3)
        ),
        g.SoftmaxNode("zeta", "zeta_logits"),
        g.DenseNode("alpha", "alpha", "joined", rng.normal(0, 0.3, (75, 1)), None),
    )
    return g.Graph("two", nodes, ("zeta", "alpha"))


def test_a_float_network_is_calibrated_with_its_names_in_order() -> None:
    """TensorFlow's own order would be that of the alphabet, for inputs and for outputs."""
    graph = graph_of_two()
    rng = np.random.default_rng(2)
    inputs = {"wave": rng.normal(0, 1, (64, 20, 1)), "extra": rng.normal(0, 1, (64, 3))}
    result = convert.convert_graph(graph, inputs)
    assert [port.name for port in result.ports.inputs] == ["wave", "extra"]
    assert [port.name for port in result.ports.outputs] == ["zeta", "alpha"]
    assert result.ports.outputs[0].host == "softmax" and result.program is None
    interpreter = simulate.Interpreter(result.data, result.ports)
    actual = simulate.real_outputs(
        result.ports, interpreter.run(simulate.stored_inputs(result.ports, inputs))
    )
    logits = replace(graph, outputs=("zeta_logits", "alpha"))
    expected = judge.float_outputs(logits, Samples(inputs, "drawn"))
    for name, other in (("zeta", "zeta_logits"), ("alpha", "alpha")):
        spread = expected[other].std()
        assert np.abs(actual[name] - expected[other]).max() < 0.15 * spread


def convolution(name: str, x: str, seed: int, bias: float = 0.0) -> g.ConvNode:
    kernel = np.random.default_rng(seed).normal(0, 0.4, (3, 2, 4))
    return g.ConvNode(name, name, x, kernel, np.full(4, bias), (1,), ((1, 1),), (1,))


SLOPES = np.array([0.1, -0.2, 0.0, 1.5])
LARGER, SMALLER, ADD = g.MergeKind.MAXIMUM, g.MergeKind.MINIMUM, g.MergeKind.ADD


@pytest.mark.parametrize(
    "nodes",
    [
        [g.ActivationNode("y", "a", g.Function.LEAKY_RELU, (0.1,))],
        [g.ActivationNode("y", "a", g.Function.LEAKY_RELU, (1.5,))],
        [g.ActivationNode("y", "a", g.Function.LEAKY_RELU, (-1.0,))],  # the absolute value
        [g.PReluNode("y", "y", "a", SLOPES)],
        [g.PReluNode("y", "y", "a", np.zeros(4))],
        [g.MergeNode("m", ("a", "high"), LARGER), g.MergeNode("y", ("m", "a"), ADD)],
        [g.MergeNode("m", ("high", "a"), SMALLER), g.MergeNode("y", ("m", "high"), ADD)],
        [g.MergeNode("y", ("a", "high", "x4"), LARGER)],
        [
            g.PoolNode("mean", "a", g.PoolNodeKind.AVERAGE, (5,), (5,), ((0, 0),)),
            g.ConcatNode("means", ("mean", "mean")),
            g.DenseNode("some", "some", "means", np.full((8, 4), 0.1), None),
            g.UpsampleNode("all", "some", (5,)),
            g.MergeNode("y", ("a", "all"), ADD),
        ],
    ],
    ids=["leaky", "steep", "abs", "prelu", "prelu at 0", "larger", "smaller", "largest", "mean"],
)
def test_what_an_activation_cuts_off_is_not_cut_off_before_it(nodes: list[g.Node]) -> None:
    """The converter brings what a maximum or a pool reads to the levels of its result, whoever
    reads it."""
    first: list[g.Node] = [
        g.InputNode("x", (30, 2)),
        convolution("a", "x", 1),
        convolution("high", "x", 2, bias=5.0),
        g.ConcatNode("x4", ("x", "x")),
    ]
    graph = g.Graph("levels", (*first, *nodes), ("y",))
    rng = np.random.default_rng(3)
    result = convert.convert_graph(graph, {"x": rng.normal(0, 1, (64, 30, 2))})
    samples = {"x": rng.normal(0, 1, (50, 30, 2))}
    stored = simulate.stored_inputs(result.ports, samples)
    interpreter = simulate.Interpreter(result.data, result.ports)
    actual = simulate.real_outputs(result.ports, interpreter.run(stored))["y"]
    expected = judge.float_outputs(graph, Samples(samples, "drawn"))["y"]
    off = np.abs(actual - expected) / result.ports.outputs[0].scale
    assert np.sqrt(np.mean(off**2)) < 1.5
    assert np.quantile(off, 0.999) < 6.0
    assert all(op.name not in ("DEQUANTIZE", "QUANTIZE") for op in result.model.operators)


def test_a_gate_has_all_levels_between_its_ends() -> None:
    """Its product may be written over it before the converter looks for its range."""
    nodes: list[g.Node] = [
        g.InputNode("x", (30, 2)),
        replace(convolution("a", "x", 1), kernel=np.full((3, 2, 4), 2.0)),
        g.ActivationNode("gated", "a", g.Function.HARD_SWISH, (3.0, 6.0)),
        g.MergeNode("y", ("a", "gated"), ADD),
    ]
    rng = np.random.default_rng(3)
    inputs = {"x": rng.normal(0, 1, (64, 30, 2))}
    model = convert.convert_graph(g.Graph("gate", tuple(nodes), ("y",)), inputs).model
    gate = next(op for op in model.operators if op.name == "RELU").outputs[0]
    assert gate.scales[0] == np.float32(1 / 255) and gate.zero_points[0] == -128


def program_of_16_bits() -> tuple[g.Graph, Program, dict[str, Ints]]:
    """A network with no int8 equal, and inputs."""
    graph = graph_of_two()
    rng = np.random.default_rng(2)
    inputs = {"wave": rng.normal(0, 1, (32, 20, 1)), "extra": rng.normal(0, 1, (32, 3))}
    chosen = quantize(graph, inputs, PtqSettings(16, refine=False, adapt=False, equalize=False))
    lowered = lower(chosen.graph, chosen.recipe)
    raw = judge.raw_inputs(lowered.program, lowered.recipe, Samples(inputs, "drawn"))
    return graph, lowered.program, raw


def test_who_asked_for_the_nearest_form_is_told_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, program, raw = program_of_16_bits()
    calibrated = SimpleNamespace(findings=())
    monkeypatch.setattr(convert, "convert_graph", lambda graph, samples: calibrated)
    (said,) = conversion(program, graph, raw, is_nearest=True).findings
    assert said.startswith("Even the Program's nearest int8 form") and "--fallback" not in said
    (said,) = conversion(program, graph, raw).findings
    assert said.endswith("--fallback int8 makes the Program's nearest int8 form, if there is one.")


def test_a_program_without_an_equal_is_calibrated_and_it_is_said() -> None:
    graph, program, raw = program_of_16_bits()
    result = deliver(program, graph, raw, raw)
    assert "the float network was calibrated in its stead" in result.file.findings[0]
    assert result.file.file.program is None
    assert result.run.to_program.decision_flips <= 2


def test_tensorflow_runs_files_where_litert_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _, _, program = zoo("jet-tagger", True)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    interpreter = simulate.Interpreter(result.file.file.data, result.file.file.ports)
    assert interpreter.runtime.name == "tensorflow"
    raw = {"features": np.arange(160).reshape(10, 16) % 100 - 50}
    stored = simulate.stored_inputs(result.file.file.ports, simulate.real_inputs(program, raw))
    monkeypatch.undo()
    other = simulate.Interpreter(result.file.file.data, result.file.file.ports)
    assert other.runtime.name == "ai-edge-litert"
    assert np.array_equal(interpreter.run(stored)["jet"], other.run(stored)["jet"])
