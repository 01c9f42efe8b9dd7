# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small networks of which several inputs go through one tower."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings, quantize


def siamese_graph(seed: int, calls: int = 2) -> g.Graph:
    """Images of some size through a convolution, maybe with a way around a second one, a pool and a
    dense layer; what the calls give is joined, added or compared."""
    rng = np.random.default_rng(seed)
    size, channels = int(rng.integers(4, 7)), int(rng.integers(1, 4))
    around, pooled = bool(rng.integers(2)), bool(rng.integers(2))
    conv = rng.normal(size=(3, 3, 1, channels)), rng.normal(size=channels)
    second = rng.normal(size=(3, 3, channels, channels)), rng.normal(size=channels)
    side = size // 2 if pooled else size
    dense = rng.normal(size=(side * side * channels, 3)) / side, rng.normal(size=3)
    pads = ((1, 1), (1, 1))
    nodes: list[g.Node] = [g.InputNode(f"x{call}", (size, size, 1)) for call in range(calls)]
    for call in range(calls):
        end = "" if call == 0 else f"_call{call + 1}"
        names = iter(f"{name}{end}" for name in ("a", "b", "c", "d", "e", "f", "h", "i"))
        x = next(names)
        nodes.append(g.ConvNode(x, "conv", f"x{call}", *conv, (1, 1), pads, (1, 1)))
        nodes.append(g.ActivationNode(next(names), x, g.Function.RELU))
        x = nodes[-1].name
        if around:
            nodes.append(g.ConvNode(next(names), "again", x, *second, (1, 1), pads, (1, 1)))
            nodes.append(g.MergeNode(next(names), (x, nodes[-1].name), g.MergeKind.ADD))
        if pooled:
            window = (2, 2)
            nodes.append(
                g.PoolNode(next(names), nodes[-1].name, g.PoolNodeKind.MAX, window, window,
                           ((0, 0), (0, 0)))
            )  # fmt: skip
        nodes.append(g.ReshapeNode(next(names), nodes[-1].name, (side * side * channels,)))
        nodes.append(g.DenseNode(f"end{call}", "dense", nodes[-1].name, *dense))
    ends = tuple(f"end{call}" for call in range(calls))
    match int(rng.integers(3)):
        case 0:
            nodes.append(g.ConcatNode("both", ends))
        case 1:
            nodes.append(g.MergeNode("both", ends, g.MergeKind.ADD))
        case _:  # the third of three
            nodes.append(g.MergeNode("both", ends, g.MergeKind.MAXIMUM))
    width = 3 * calls if isinstance(nodes[-1], g.ConcatNode) else 3
    nodes.append(g.DenseNode("y", "head", "both", rng.normal(size=(width, 2)), None))
    return g.Graph(f"siamese{seed}", tuple(nodes), ("y",))


@cache
def siamese_program(seed: int, calls: int = 2) -> Program:
    """The same in 6 bits, for inputs of other ranges."""
    graph = siamese_graph(seed, calls)
    chosen = quantize(graph, siamese_data(graph, seed), PtqSettings(6, adapt=False))
    return lower(chosen.graph, chosen.recipe).program


def siamese_data(graph: g.Graph, seed: int) -> dict[str, NDArray[np.float64]]:
    """Forty samples, twice as large for each input as for the one before it."""
    rng = np.random.default_rng(seed)
    return {
        node.name: rng.normal(size=(40, *node.shape)) * 2.0**number
        for number, node in enumerate(graph.inputs)
    }
