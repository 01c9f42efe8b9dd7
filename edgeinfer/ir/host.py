# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What of a network is left to the host: the softmax or sigmoid at an output's end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from edgeinfer.graph import nodes as g
from edgeinfer.ir.program import HostFunction


def host_functions(
    graph: g.Graph, is_formatted: Callable[[str], object] = lambda name: False
) -> dict[str, tuple[str, HostFunction]]:
    """Outputs whose last function the host applies: the tensor before it, and the function. An
    output that has a number format is computed with the rest."""
    readers = Counter(x for node in graph.nodes for x in g.inputs_of(node))
    functions: dict[str, tuple[str, HostFunction]] = {}
    for node in graph.nodes:
        if node.name not in graph.outputs or readers[node.name] or is_formatted(node.name):
            continue
        match node:
            case g.SoftmaxNode(mask=None) if node.axis in (-1, len(graph.shapes[node.x]) - 1):
                functions[node.name] = (node.x, HostFunction.SOFTMAX)
            case g.ActivationNode(function=g.Function.SIGMOID):
                functions[node.name] = (node.x, HostFunction.SIGMOID)
            case _:  # the host applies no other function
                pass
    return functions


def without_host_functions(graph: g.Graph) -> g.Graph:
    """The network up to its logits: an output's softmax or sigmoid, which the host applies, is left
    out, for errors are judged where they are made."""
    ends = {name: tensor for name, (tensor, _) in host_functions(graph).items()}
    nodes = tuple(node for node in graph.nodes if node.name not in ends)
    outputs = dict.fromkeys(ends.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=nodes, outputs=tuple(outputs))
