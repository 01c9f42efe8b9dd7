# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Heads of detectors and mixers as int8 files: sums that are only moved and joined behind the layer
that makes them, leaky ReLUs, means without padding."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8_settings import Fallback
from edgeinfer.targets.edgetpu.tflite import simulate
from quantization.fixed import Ints, Rounding

ANCHORS, CLASSES = 2, 3
SAME = ((1, 1), (1, 1))


def program_of(nodes: list[g.Node], outputs: tuple[str, ...]) -> tuple[Program, dict[str, Ints]]:
    """A network with 8 bits, and inputs."""
    rng = np.random.default_rng(9)
    graph = g.Graph("heads", tuple(nodes), outputs)
    (entry,) = graph.inputs
    inputs = {entry.name: rng.normal(0.0, 0.8, (60, *entry.shape))}
    chosen = quantize(graph, inputs, PtqSettings(8, adapt=False))
    lowered = lower(chosen.graph, chosen.recipe.with_ties(Rounding.RND))
    raw = judge.raw_inputs(lowered.program, lowered.recipe, Samples(inputs, "drawn"))
    return lowered.program, raw


def conv(name: str, x: str, side: int, channels: int, filters: int, strides: int = 1) -> g.ConvNode:
    """A drawn convolution whose image keeps its size, but for the strides."""
    rng = np.random.default_rng(len(name) + filters)
    kernel = rng.normal(0.0, 1.0 / side / channels**0.5, (side, side, channels, filters))
    bias, pads = rng.normal(0.0, 0.2, filters), SAME if side == 3 else ((0, 0), (0, 0))
    return g.ConvNode(name, name, x, kernel, bias, (strides, strides), pads, (1, 1))


def detector(activation: g.Node) -> list[g.Node]:
    """Two levels, boxes and classes for each position of both, joined."""
    nodes: list[g.Node] = [
        g.InputNode("image", (8, 8, 2)),
        conv("fine", "image", 3, 2, 6),
        activation,
        conv("coarse", activation.name, 3, 6, 6),
        g.ActivationNode("coarse_relu", "coarse", g.Function.RELU),
        g.PoolNode("pooled", "coarse_relu", g.PoolNodeKind.MAX, (2, 2), (2, 2), ((0, 0), (0, 0))),
    ]
    for level, places in ((activation.name, 64), ("pooled", 16)):
        box, kind = f"{level}_box", f"{level}_kind"
        nodes += [
            conv(box, level, 1, 6, 4 * ANCHORS),
            g.ReshapeNode(f"{box}_rows", box, (places * ANCHORS, 4)),
            conv(kind, level, 3, 6, CLASSES * ANCHORS),
            g.ReshapeNode(f"{kind}_rows", kind, (places * ANCHORS, CLASSES)),
            g.SoftmaxNode(f"{kind}_softmax", f"{kind}_rows"),
        ]
    levels = (activation.name, "pooled")
    return [
        *nodes,
        g.ConcatNode("boxes", tuple(f"{level}_box_rows" for level in levels), 0),
        g.ConcatNode("kinds", tuple(f"{level}_kind_softmax" for level in levels), 0),
    ]


def agreements(
    program: Program, raw: dict[str, Ints]
) -> tuple[convert.ConvertedFile, simulate.Int8Agreement, simulate.Int8Agreement]:
    """The file by default kernels against its own Program, and against the one that was given."""
    result = convert.convert_program(program, raw)
    assert result.program is not None
    interpreter = simulate.Interpreter(result.data, result.ports)
    stored = simulate.stored_inputs(result.ports, simulate.real_inputs(program, raw))
    actual = interpreter.run(stored)
    own = simulate.engine_outputs(result.program, simulate.raw_inputs(result.ports, stored))
    inputs = simulate.engine_outputs(program, raw)
    return (
        result,
        simulate.compare_outputs(result.ports, actual, own),
        simulate.compare_outputs(result.ports, actual, inputs),
    )


@pytest.mark.parametrize(
    "activation",
    [
        g.ActivationNode("seen", "fine", g.Function.RELU),
        g.PReluNode("seen", "seen", "fine", np.array([0.1])),
    ],
    ids=["relu", "leaky"],
)
def test_the_joined_heads_of_a_detector_are_exact(activation: g.Node) -> None:
    """Boxes equal the file's Program; a softmax is one of its own steps beside it at most."""
    program, raw = program_of(detector(activation), ("boxes", "kinds"))
    assert not convert.check(program)
    result, own, inputs = agreements(program, raw)
    boxes, kinds = own.outputs
    assert boxes.max_steps == 0
    assert kinds.max_steps * kinds.step <= 2.0**-8
    off = sum(count for steps, count in kinds.histogram.items() if steps)
    assert off <= 0.05 * sum(kinds.histogram.values())
    assert inputs.max_steps <= 4
    assert any("softmax" in finding for finding in result.findings)


def test_slopes_are_as_fine_as_256_levels_hold_them() -> None:
    slope = np.array([0.1, -0.03, 0.01, 0.099])
    nodes = [g.InputNode("x", (12, 4)), g.PReluNode("y", "y", "x", slope)]
    program, raw = program_of([*nodes, g.ReshapeNode("z", "y", (48,))], ("z",))
    result, own, _ = agreements(program, raw)
    assert own.max_steps == 0
    levels = next(t for t in result.model.tensors if t.name == "y/slope")
    assert levels.integers().max() - int(levels.zero_points[0]) == 102  # 0.1 in steps of 2^-10


def test_a_mean_that_leaves_padding_out_says_how_far_it_is() -> None:
    nodes: list[g.Node] = [
        g.InputNode("x", (9, 9, 2)),
        g.PoolNode("mean", "x", g.PoolNodeKind.AVERAGE, (3, 3), (2, 2), SAME),
    ]
    program, raw = program_of([*nodes, g.ReshapeNode("y", "mean", (50,))], ("y",))
    result, own, _ = agreements(program, raw)
    assert own.max_steps <= 1
    assert any("padding is left out of a mean" in finding for finding in result.findings)


def test_a_mixer_with_scales_of_its_own_is_exact_in_its_nearest_form() -> None:
    """Its batch norms lie before a transposition, where no layer takes them in."""
    rng = np.random.default_rng(2)
    norm = [rng.uniform(0.5, 1.5, 6), rng.normal(0.0, 0.3, 6), rng.normal(0.0, 0.3, 6)]
    nodes: list[g.Node] = [
        g.InputNode("x", (8, 6)),
        g.BatchNormNode("norm", "norm", "x", *norm, rng.uniform(0.5, 1.5, 6), 1e-3),
        g.TransposeNode("turned", "norm", (1, 0)),
        g.DenseNode("mix", "mix", "turned", rng.normal(0, 0.3, (8, 8)), rng.normal(0, 0.1, 8)),
        g.ActivationNode("relu", "mix", g.Function.RELU),
        g.TransposeNode("back", "relu", (1, 0)),
        g.MergeNode("sum", ("x", "back"), g.MergeKind.ADD),
        g.ReshapeNode("flat", "sum", (48,)),
        g.DenseNode("kind", "kind", "flat", rng.normal(0, 0.2, (48, 3)), rng.normal(0, 0.1, 3)),
    ]
    program, raw = program_of(nodes, ("kind",))
    assert any("weights of" in offence.reason for offence in convert.check(program))
    near, said = convert.nearest_program(program, Fallback.INT8)
    assert "norm" in said[0] and not convert.check(near)
    _, own, _ = agreements(near, raw)
    assert own.max_steps == 0
