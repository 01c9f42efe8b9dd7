# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which tensors of a network get number formats when it is quantized."""

from __future__ import annotations

from collections import Counter
from typing import assert_never

from edgeinfer.graph import nodes as g
from edgeinfer.ir.host import host_functions

EXACT_FUNCTIONS = frozenset(  # in integers these are steps and limits; all others become tables
    {
        g.Function.LINEAR,
        g.Function.RELU,
        g.Function.RELU6,
        g.Function.LEAKY_RELU,
        g.Function.SIGN,
        g.Function.TERNARY,
        g.Function.HARD_TANH,
    }
)


def quantized_tensors(graph: g.Graph) -> tuple[str, ...]:
    """Tensors that get a format: the inputs, and whatever feeds arithmetic without being on a
    narrow grid already. What leaves the network stays exact, logits too."""
    whole = g.whole_inputs(graph)  # indices and masks, which are never rounded
    tensors: set[str] = {node.name for node in graph.inputs}
    hosted = host_functions(graph)
    for node in graph.nodes:
        if node.name in hosted:
            continue
        match node:
            case g.MergeNode() if _is_sum_of_products(graph, node) or _masked_source(graph, node):
                pass
            case (
                g.ConvNode()
                | g.DenseNode()
                | g.BatchNormNode()
                | g.AffineNode()
                | g.MergeNode()
                | g.ScanNode()
            ):
                tensors.update(source(graph, x) for x in g.inputs_of(node))
            case g.SoftmaxNode():
                tensors.add(source(graph, node.x))
            case g.PoolNode():
                if node.kind is not g.PoolNodeKind.MAX and not _is_dot_product(graph, node):
                    tensors.add(source(graph, node.x))
            case (
                g.InputNode()
                | g.ConstantNode()
                | g.ActivationNode()
                | g.PReluNode()
                | g.ConcatNode()
            ):
                pass
            case g.MoveNode() | g.IndexingNode():
                pass
            case _:
                assert_never(node)
    moving = dependent(graph)
    sites = {node.name for node in graph.nodes if isinstance(node, g.SitesNode)}
    named = (tensors & moving) - set(whole) - sites
    return tuple(node.name for node in graph.nodes if node.name in named)


def _is_dot_product(graph: g.Graph, pool: g.PoolNode) -> bool:
    """Whether a pool sums products, which are rounded once, after the sum, as those of a dense
    layer are."""
    summed = graph.node(source(graph, pool.x))
    return (
        pool.kind is g.PoolNodeKind.SUM
        and isinstance(summed, g.MergeNode)
        and summed.kind is g.MergeKind.MULTIPLY
    )


def _is_sum_of_products(graph: g.Graph, node: g.MergeNode) -> bool:
    """Whether a node adds products that nothing else reads, dense layers or products of tensors:
    they are rounded once, after the sum."""
    if node.kind not in (g.MergeKind.ADD, g.MergeKind.SUBTRACT):
        return False
    readers = Counter(x for each in graph.nodes for x in g.inputs_of(each))
    for x in node.xs:
        maker = graph.node(x)
        product = isinstance(maker, g.DenseNode) or (
            isinstance(maker, g.MergeNode) and maker.kind is g.MergeKind.MULTIPLY
        )
        if not product or readers[x] > 1 or x in graph.outputs:
            return False
    return True


def mask_of(graph: g.Graph, node: g.MergeNode) -> tuple[str, str] | None:
    """The mask of lit pixels by which a node multiplies, and what it multiplies by it."""
    if node.kind is not g.MergeKind.MULTIPLY or len(node.xs) != 2:
        return None
    masks = [x for x in node.xs if isinstance(graph.node(source(graph, x)), g.SitesNode)]
    others = [x for x in node.xs if x not in masks]
    return (masks[0], others[0]) if len(masks) == len(others) == 1 else None


def _masked_source(graph: g.Graph, node: g.MergeNode) -> str | None:
    """What a node multiplies by a mask of lit pixels: rounding it behind the mask is the same."""
    masked = mask_of(graph, node)
    return source(graph, masked[1]) if masked else None


def _is_input(graph: g.Graph, tensor: str) -> bool:
    return isinstance(graph.node(tensor), g.InputNode)


def table_indices(graph: g.Graph) -> tuple[str, ...]:
    """Tensors that feed a function which becomes a table, outputs left to the host excepted, and
    inputs, whose width is the interface's."""
    hosted = host_functions(graph)
    moving = dependent(graph) - {node.name for node in graph.inputs}
    tensors = [
        node.x
        for node in graph.nodes
        if isinstance(node, g.ActivationNode)
        and node.function not in EXACT_FUNCTIONS
        and node.name not in hosted
        and node.x in moving
    ]
    return tuple(dict.fromkeys(tensors))


def points_of(graph: g.Graph) -> tuple[str, ...]:
    """Every tensor that gets a format."""
    return tuple(dict.fromkeys((*quantized_tensors(graph), *table_indices(graph))))


def source(graph: g.Graph, tensor: str) -> str:
    """The tensor whose values reach `tensor` unchanged."""
    node = graph.node(tensor)
    match node:
        case g.MoveNode() if node.fill == 0.0:  # zero is on every grid
            return source(graph, node.x)
        case g.PoolNode(kind=g.PoolNodeKind.MAX):
            return source(graph, node.x)
        case g.MergeNode() if (masked := _masked_source(graph, node)) and _is_input(graph, masked):
            return masked  # what a mask leaves are its own values, and zeros
        case g.LookNode() if not isinstance(graph.node(node.x), g.ConstantNode):
            return source(graph, node.x)
        case _:  # the others make new values; a format at one of these is never wrong
            return tensor


def dependent(graph: g.Graph) -> set[str]:
    """Tensors that depend on an input."""
    names: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, g.InputNode) or any(x in names for x in g.inputs_of(node)):
            names.add(node.name)
    return names


def readers_of(graph: g.Graph) -> dict[str, list[g.Node]]:
    """The nodes that read a tensor, once for each time that they do."""
    readers: dict[str, list[g.Node]] = {}
    for node in graph.nodes:
        for x in g.inputs_of(node):
            readers.setdefault(x, []).append(node)
    return readers


def late_point(graph: g.Graph, tensor: str) -> str:
    """Where rounding a tensor has the same effect on fewer elements: behind the max pools through
    which alone it is seen (a maximum of rounded values is the rounded maximum)."""
    readers = readers_of(graph)
    while tensor not in graph.outputs and len(readers.get(tensor, ())) == 1:
        match readers[tensor][0]:
            case g.PoolNode(kind=g.PoolNodeKind.MAX) as pool:
                tensor = pool.name
            case _:  # no rounding goes past anything but a maximum
                break
    return tensor
