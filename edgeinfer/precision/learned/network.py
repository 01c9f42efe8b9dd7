# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which tensors of a network learn their widths, and in what shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from edgeinfer.base.errors import ModelError, Offence
from edgeinfer.graph import nodes as g

Linear = g.ConvNode | g.DenseNode
SPATIAL_RANKS = (1, 2)


@dataclass(frozen=True, slots=True)
class LearnedPoint:
    """A tensor that is cut off: `relu` is the node behind it that takes its sign away, if any.

    floor: cut off downwards, for nothing before it can add the half that makes it the next number.
    """

    node: str
    shape: g.Shape  # of the formats: for each element, or for each channel of a picture
    relu: str | None = None
    floor: bool = False


@dataclass(frozen=True, slots=True)
class LearnedPlan:
    """A network, batch norms folded, and the tensors whose widths it learns."""

    graph: g.Graph
    points: Mapping[str, LearnedPoint]  # by node
    ends: Mapping[str, str]  # by output: the tensor that is computed, before what the host applies

    @property
    def linear(self) -> tuple[Linear, ...]:
        """Layers with weights."""
        return tuple(node for node in self.graph.nodes if isinstance(node, Linear))


def plan_learning(graph: g.Graph, ends: Mapping[str, str]) -> LearnedPlan:
    """What learns its width: each input, what each layer with weights makes unless it is an output,
    and averages. One error lists all layers that this way of training does not know."""
    offences = [
        Offence(node.name, type(node).__name__.removesuffix("Node"), reason)
        for node in graph.nodes
        if (reason := _obstacle(node, graph, ends)) is not None
    ]
    uses = Counter(node.layer for node in graph.nodes if isinstance(node, Linear))
    offences += [
        Offence(layer, "Layer", f"{count} nodes share its weights, which would need one grid")
        for layer, count in uses.items()
        if count > 1
    ]
    if offences:
        listed = "; ".join(map(str, offences))
        raise ModelError(
            f"{graph.name} cannot learn its widths: {listed}.",
            hint="Replace what is listed, or train with --method qat.",
        )
    readers = Counter(x for node in graph.nodes for x in g.inputs_of(node))
    points: dict[str, LearnedPoint] = {}
    for node in graph.nodes:
        shape = _shape_of_formats(graph.shapes[node.name])
        match node:
            case g.InputNode():
                points[node.name] = LearnedPoint(node.name, shape, floor=True)
            case g.ConvNode() | g.DenseNode() if node.name not in ends.values():
                relu = None
                if readers[node.name] == 1:
                    after = next(n for n in graph.nodes if node.name in g.inputs_of(n))
                    if _is_relu(after) and after.name not in ends.values():
                        relu = after.name
                points[node.name] = LearnedPoint(node.name, shape, relu)
            case g.PoolNode(kind=g.PoolNodeKind.AVERAGE) if node.name not in ends.values():
                points[node.name] = LearnedPoint(node.name, shape, floor=True)
            case _:  # any other node makes numbers of the grids that it reads
                pass
    return LearnedPlan(graph, points, ends)


def _shape_of_formats(shape: g.Shape) -> g.Shape:
    return (*(1,) * (len(shape) - 1), shape[-1]) if shape else shape


def _is_relu(node: g.Node) -> bool:
    return isinstance(node, g.ActivationNode) and node.function is g.Function.RELU


def _obstacle(node: g.Node, graph: g.Graph, ends: Mapping[str, str]) -> str | None:
    match node:
        case g.InputNode() | g.DenseNode() | g.ConcatNode() | g.ReshapeNode() | g.TransposeNode():
            return None
        case g.ConvNode():
            many = len(node.strides) not in SPATIAL_RANKS
            return "it slides over more than two axes" if many else None
        case g.PoolNode() if len(node.window) in SPATIAL_RANKS:
            return "it sums" if node.kind is g.PoolNodeKind.SUM else None
        case g.PadNode() if node.value == 0.0:
            return None
        case g.MergeNode(kind=g.MergeKind.ADD | g.MergeKind.SUBTRACT):
            return None
        case g.ActivationNode(function=g.Function.RELU | g.Function.LINEAR):
            return None
        case g.SoftmaxNode() | g.ActivationNode(function=g.Function.SIGMOID):
            inside = node.name not in ends or ends[node.name] == node.name
            return "it is no function of an output that the host applies" if inside else None
        case _:  # whatever is not listed
            return "widths of what it makes are not learned"
