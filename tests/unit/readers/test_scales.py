# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Scales carried from one rounding to the next: the same function of the same rounded numbers."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.graph.moves import PadNode, ReshapeNode
from edgeinfer.graph.nodes import (
    ActivationNode,
    AffineNode,
    ConvNode,
    DenseNode,
    Function,
    Graph,
    InputNode,
    MergeKind,
    MergeNode,
    Node,
    PoolNode,
    PoolNodeKind,
)
from edgeinfer.readers.scales import carry_scales
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support.float_graph import outputs

BYTE = Quantizer.parse("fixed<8,8,RND,SAT>")
SIZE = (3, 4, 2)
NO_PADS = ((0, 0), (0, 0))


def times(name: str, x: str, scale: float, shift: float = 0.0) -> AffineNode:
    return AffineNode(name, name, x, np.asarray([scale]), np.asarray([shift]))


def random_nodes(rng: np.random.Generator) -> list[Node]:
    """An input on steps, some layers, steps again."""
    nodes: list[Node] = [
        InputNode("x", SIZE),
        times("x_scaled", "x", 1 / 0.013),
        ActivationNode("x_steps", "x_scaled", Function.LINEAR),
        times("start", "x_steps", 0.013),
    ]
    x, other = "start", "start"
    for number in range(int(rng.integers(2, 6))):
        name, channels = f"n{number}", 2
        kernel = rng.normal(size=(1, 1, channels, channels))
        bias = rng.normal(size=channels) if rng.random() < 0.5 else None
        node: Node = [
            ActivationNode(name, x, Function.RELU),
            ActivationNode(name, x, Function.LEAKY_RELU, (0.3,)),
            ActivationNode(name, x, Function.TANH),
            PoolNode(name, x, PoolNodeKind.MAX, (3, 3), (1, 1), ((1, 1), (1, 1))),
            PoolNode(name, x, PoolNodeKind.AVERAGE, (3, 3), (1, 1), ((1, 1), (1, 1))),
            PoolNode(name, x, PoolNodeKind.AVERAGE, (1, 1), (1, 1), NO_PADS),
            MergeNode(name, (x, other), list(MergeKind)[int(rng.integers(len(MergeKind)))]),
            ConvNode(name, name, x, kernel, bias, (1, 1), NO_PADS, (1, 1)),
            DenseNode(name, name, x, kernel[0, 0], bias),
            times(name, x, 0.7),
            AffineNode(name, name, x, rng.normal(size=channels), rng.normal(size=channels)),
        ][int(rng.integers(11))]
        nodes.append(node)
        other, x = x, name
    if rng.random() < 0.3:
        nodes.append(PadNode("padded", x, ((1, 0), (0, 0), (0, 0))))
        nodes.append(ReshapeNode("flat", "padded", (32,)))
        x = "flat"
    nodes.append(times("y_scaled", x, 1 / 0.021, 3.0 if rng.random() < 0.5 else 0.0))
    nodes.append(ActivationNode("y_steps", "y_scaled", Function.LINEAR))
    nodes.append(times("y", "y_steps", 0.021))
    return nodes


@pytest.mark.parametrize("block", range(4))
def test_the_function_stays_the_same(block: int) -> None:
    """But for tables of functions, which have 16 bits."""
    products = 0
    for seed in range(50 * block, 50 * block + 50):
        rng = np.random.default_rng([seed, 5])
        nodes, formats = random_nodes(rng), {"x_steps": BYTE, "y_steps": BYTE}
        before = Graph("before", tuple(nodes), ("y",))
        recipe = Recipe.of(dict(formats), {})
        after = Graph("after", tuple(carry_scales(nodes, ("y",), formats)), ("y",))
        x = rng.normal(size=(40, *SIZE))
        (wanted,), (found,) = (
            outputs(before, [x], recipe),
            outputs(after, [x], Recipe.of(formats, {})),
        )
        off = np.abs(found - wanted) / 0.021
        assert (off > 1e-6).mean() < 0.01 and off.max() < 1.001, seed
        made = {node.name: node for node in after.nodes}
        products += sum(
            isinstance(made[node.x], ActivationNode) and made[node.x].name == "x_steps"
            for node in after.nodes
            if isinstance(node, ConvNode | DenseNode)
        )
    assert products > 0  # some weights are multiplied by whole numbers
