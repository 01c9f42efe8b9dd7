# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Batch norms and per-channel affine nodes folded into the linear layer before them, in floats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from edgeinfer.graph import nodes as g


def fold_batch_norms(
    graph: g.Graph, *, keep: Collection[str] = (), named: Collection[str] = ()
) -> g.Graph:
    """The same function with each foldable batch norm merged into its layer's kernel and bias.

    A batch norm is folded where the layer before it feeds nothing else, belongs to one node only
    and is no output, unless its name is in `keep`. The merged node keeps the layer's name, or takes
    the norm's if that is an output of the network or one of the `named` tensors.
    """
    readers = Counter(x for node in graph.nodes for x in g.inputs_of(node))
    uses = Counter(node.layer for node in graph.nodes if isinstance(node, g.ConvNode | g.DenseNode))
    folded_nodes: dict[str, g.Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        current = rewire_node(node, renamed)
        before = (
            folded_nodes.get(current.x)
            if isinstance(current, g.BatchNormNode | g.AffineNode)
            else None
        )
        if (
            isinstance(current, g.BatchNormNode | g.AffineNode)
            and current.name not in keep
            and isinstance(before, g.ConvNode | g.DenseNode)
            and readers[_original(before.name, renamed)] == 1
            and before.name not in graph.outputs
            and uses[before.layer] == 1
            and _per_channel(current, before.kernel.shape[-1])
        ):
            name = node.name if node.name in {*graph.outputs, *named} else before.name
            del folded_nodes[before.name]
            folded_nodes[name] = replace(merge_linear(before, current), name=name)
            renamed[node.name] = name
        else:
            folded_nodes[current.name] = current
    return g.Graph(graph.name, tuple(folded_nodes.values()), graph.outputs)


def _original(name: str, renamed: dict[str, str]) -> str:
    """The last node folded into `name`, whose readers are the ones that count."""
    folded = [old for old, new in renamed.items() if new == name]
    return folded[-1] if folded else name


def merge_linear(
    linear: g.ConvNode | g.DenseNode, norm: g.BatchNormNode | g.AffineNode
) -> g.ConvNode | g.DenseNode:
    """The layer that computes both."""
    channels = linear.kernel.shape[-1]
    scale = np.broadcast_to(norm.scale.reshape(-1), (channels,))
    shift = np.broadcast_to(norm.shift.reshape(-1), (channels,))
    bias = np.zeros(channels) if linear.bias is None else linear.bias
    return replace(linear, kernel=linear.kernel * scale, bias=bias * scale + shift)


def _per_channel(norm: g.BatchNormNode | g.AffineNode, channels: int) -> bool:
    def fits(values: g.Floats) -> bool:
        leading = values.shape[:-1]
        return all(size == 1 for size in leading) and values.size in (1, channels)

    return fits(norm.scale) and fits(norm.shift)


def rewire_node(node: g.Node, renamed: dict[str, str]) -> g.Node:
    """The node, reading tensors by their new names."""
    if isinstance(node, g.InputNode | g.ConstantNode) or not any(
        x in renamed for x in g.inputs_of(node)
    ):
        return node
    if isinstance(node, g.MergeNode | g.ConcatNode):
        return replace(node, xs=tuple(renamed.get(x, x) for x in node.xs))
    if isinstance(node, g.ScanNode):
        xs, starts = (tuple(renamed.get(x, x) for x in read) for read in (node.xs, node.starts))
        return replace(node, xs=xs, starts=starts)
    if isinstance(node, g.IndexingNode):
        return replace(node, **node.renamed(*(renamed.get(x, x) for x in node.reads)))
    if isinstance(node, g.SoftmaxNode) and node.mask is not None:
        mask = renamed.get(node.mask, node.mask)
        return replace(node, x=renamed.get(node.x, node.x), mask=mask)
    return replace(node, x=renamed[g.inputs_of(node)[0]])
