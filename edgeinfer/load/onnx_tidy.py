# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A drawing finished: quantizers joined with what makes their tensor, unread nodes dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from edgeinfer.graph import (
    Activation,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Function,
    Graph,
    Input,
    Merge,
    Node,
    Pool,
    PoolKind,
    PRelu,
    Softmax,
    inputs_of,
    weights_of,
)
from edgeinfer.load.onnx_drawing import Drawing
from quantization.recipe import Recipe


def finished(d: Drawing, name: str, outputs: tuple[str, ...]) -> tuple[Graph, Recipe]:
    """The Graph and the Recipe that a drawing holds."""
    nodes = _read(d.nodes, outputs)
    readers = Counter(x for node in nodes for x in inputs_of(node))
    activations, renamed = dict(d.activations), dict[str, str]()
    made: dict[str, Node] = {}
    for node in nodes:
        current = _renamed(node, renamed)
        maker = made.get(current.x) if isinstance(current, Activation) else None
        if (
            isinstance(current, Activation)
            and current.function is Function.LINEAR
            and current.name in activations
            and maker is not None
            and _computes(maker)
            and maker.name not in activations
            and maker.name not in outputs
            and readers[node.x if isinstance(node, Activation) else ""] == 1
        ):
            kept = maker.name
            if node.name in outputs and not isinstance(maker, Input):
                kept = node.name
                made = {(kept if key == maker.name else key): n for key, n in made.items()}
                made[kept] = replace(maker, name=kept)
            elif node.name in outputs:
                made[current.name] = current
                continue
            activations[kept] = activations.pop(node.name)
            renamed[node.name] = kept
        else:
            made[current.name] = current
    graph = Graph(name, tuple(made.values()), outputs)
    keys = {key for node in graph.nodes for key in weights_of(node)}
    return graph, Recipe.of(
        {key: value for key, value in activations.items() if key in graph.shapes},
        {key: value for key, value in d.weights.items() if key in keys},
    )


def _read(nodes: Mapping[str, Node], outputs: tuple[str, ...]) -> list[Node]:
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes.values()):
        if node.name in wanted or isinstance(node, Input):
            wanted.update(inputs_of(node))
            kept.append(node)
    return kept[::-1]


def _computes(node: Node) -> bool:
    """Whether a node makes new numbers, whose format is then its own."""
    kinds = Input | Conv | Dense | BatchNorm | Affine | Activation | PRelu | Softmax | Merge
    return isinstance(node, kinds) or (isinstance(node, Pool) and node.kind is PoolKind.AVERAGE)


def _renamed(node: Node, renamed: Mapping[str, str]) -> Node:
    if not any(x in renamed for x in inputs_of(node)):
        return node
    if isinstance(node, Merge | Concat):
        return replace(node, xs=tuple(renamed.get(x, x) for x in node.xs))
    return replace(node, x=renamed[inputs_of(node)[0]])
