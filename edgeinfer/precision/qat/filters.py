# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pruning of whole filters: a smaller network, from which the filters that say least are gone.

A filter can go where all that reads it, maybe through functions, pools and moves, are linear
layers: their weights for it go too. What it yields on average is added to their biases, so what is
lost is only how it varies, and by that it is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine

Linear = g.ConvNode | g.DenseNode
Labels = NDArray[np.int64]  # of a tensor's elements: the filter each belongs to, -1: another's


@dataclass(frozen=True, slots=True)
class Prunable:
    """A layer whose filters can go, and which input channel of each reader is which filter."""

    layer: Linear
    readers: Mapping[str, Labels]  # by the reader's node
    moves: Mapping[str, Labels]  # of flattened tensors between, which shrink


@dataclass(frozen=True, slots=True)
class PrunedNetwork:
    """The smaller network, and how many filters are left of how many, by layer."""

    graph: g.Graph
    kept: Mapping[str, tuple[int, int]]

    @property
    def remark(self) -> str:
        """The same in words."""
        counts = (f"{name} {left} of {had}" for name, (left, had) in self.kept.items())
        return f"Filters left: {', '.join(counts)}."


def without_filters(
    graph: g.Graph, data: Mapping[str, NDArray[Any]], share: float
) -> PrunedNetwork:
    """Take the given share of filters (at least one stays) out of every layer where some can go;
    `data` show how much each filter's outputs vary. Batch norms are to be folded before."""
    kept: dict[str, tuple[int, int]] = {}
    for name in [node.name for node in graph.nodes if isinstance(node, Linear)]:
        candidate = prunable(graph, name)
        if candidate is None:
            continue
        size = candidate.layer.kernel.shape[-1]
        count = min(round(share * size), size - 1)
        if count:
            graph = _prune_layer(graph, candidate, data, count)
        kept[candidate.layer.layer] = (size - count, size)
    return PrunedNetwork(graph, kept)


def prunable(graph: g.Graph, name: str) -> Prunable | None:
    """Where a layer's filters go; None where they must stay."""
    layer = graph.node(name)
    uses = Counter(node.layer for node in graph.nodes if isinstance(node, Linear))
    if not isinstance(layer, Linear) or uses[layer.layer] > 1 or name in graph.outputs:
        return None
    if isinstance(layer, g.ConvNode) and layer.groups > 1:
        return None
    size = layer.kernel.shape[-1]
    labels: dict[str, Labels] = {name: np.broadcast_to(np.arange(size), graph.shapes[name])}
    readers: dict[str, Labels] = {}
    moves: dict[str, Labels] = {}
    for node in graph.nodes:
        if not any(x in labels for x in g.inputs_of(node)):
            continue
        if isinstance(node, Linear):
            along = _last_axis(labels[node.x])
            grouped = isinstance(node, g.ConvNode) and node.groups > 1
            if along is None or grouped or uses[node.layer] > 1:
                return None
            readers[node.name] = along
            continue
        through = _through(node, labels, graph)
        if through is None or node.name in graph.outputs:
            return None
        labels[node.name] = through
        if isinstance(node, g.ReshapeNode):
            moves[node.name] = through
    return Prunable(layer, readers, moves) if readers else None


def _last_axis(labels: Labels) -> Labels | None:
    """Labels along the last axis, if they depend on nothing else."""
    along: Labels = labels.reshape(-1, labels.shape[-1])[0]
    return along if bool(np.all(labels == along)) else None


def _through(node: g.Node, labels: Mapping[str, Labels], graph: g.Graph) -> Labels | None:
    """The labels behind a node; None where it mixes filters, or has constants of its own."""
    shape = graph.shapes[node.name]
    match node:
        case g.ActivationNode():
            return labels[node.x]
        case g.PoolNode() | g.UpsampleNode():
            along = _last_axis(labels[node.x])
            return None if along is None else np.broadcast_to(along, shape)
        case g.PadNode() if node.pads[-1] == (0, 0):
            along = _last_axis(labels[node.x])
            return None if along is None else np.broadcast_to(along, shape)
        case g.ReshapeNode() if len(shape) == 1:  # any other shape would not fit fewer filters
            return labels[node.x].reshape(shape)
        case g.ConcatNode():
            axis = node.axis if node.axis >= 0 else node.axis + len(shape)
            if axis != len(shape) - 1:
                return None
            parts = [labels.get(x, np.full(graph.shapes[x], -1)) for x in node.xs]
            return np.concatenate(parts, axis=axis)
        case _:  # no filter is followed through a node that is not listed
            return None


def _prune_layer(
    graph: g.Graph, candidate: Prunable, data: Mapping[str, NDArray[Any]], count: int
) -> g.Graph:
    """The network without the `count` filters whose variation its readers notice least."""
    order, means = missed_least(graph, candidate, data)
    return remove_filters(graph, candidate, np.sort(order[:count]), means)


def missed_least(
    graph: g.Graph, candidate: Prunable, data: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """A layer's filters, that whose variation its readers notice least first; and the means of each
    reader's inputs."""
    worth = np.zeros(candidate.layer.kernel.shape[-1])
    means: dict[str, NDArray[np.float64]] = {}
    for name, labels in candidate.readers.items():
        reader = graph.node(name)
        assert isinstance(reader, Linear)
        means[name], spread = _channel_statistics(graph, name, data)
        weight = np.sum(reader.kernel**2, axis=(*range(reader.kernel.ndim - 2), -1))
        ours = labels >= 0
        np.add.at(worth, labels[ours], (spread**2 * weight)[ours])
    return np.argsort(worth, kind="stable"), means


def remove_filters(
    graph: g.Graph,
    candidate: Prunable,
    removed: NDArray[np.int64],
    means: Mapping[str, NDArray[np.float64]],
) -> g.Graph:
    """The network without some filters of a layer; `means` are those of each reader's inputs."""
    changed: dict[str, g.Node] = {candidate.layer.name: _fewer_outputs(candidate.layer, removed)}
    for name, labels in candidate.readers.items():
        reader = graph.node(name)
        assert isinstance(reader, Linear)
        changed[name] = _fewer_inputs(reader, np.isin(labels, removed), means[name])
    for name in candidate.moves:
        move = graph.node(name)
        assert isinstance(move, g.ReshapeNode)
        left = int(np.sum(~np.isin(candidate.moves[name], removed)))
        changed[name] = replace(move, shape=(left,))
    nodes = tuple(changed.get(node.name, node) for node in graph.nodes)
    return g.Graph(graph.name, nodes, graph.outputs)


def _channel_statistics(
    graph: g.Graph, reader: str, data: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread of each input channel of a layer."""
    node = graph.node(reader)
    assert isinstance(node, Linear)
    if isinstance(graph.node(node.x), g.InputNode):
        values = np.asarray(data[node.x], dtype=np.float64)
    else:
        fed = {name.name: np.asarray(data[name.name], np.float32) for name in graph.inputs}
        values = FloatEngine(graph).run(fed, (node.x,))[node.x].astype(np.float64)
    rows = values.reshape(-1, values.shape[-1])
    return rows.mean(axis=0), rows.std(axis=0)


def _fewer_outputs(layer: Linear, removed: NDArray[np.int64]) -> Linear:
    kernel = np.delete(layer.kernel, removed, axis=-1)
    bias = None if layer.bias is None else np.delete(layer.bias, removed)
    return replace(layer, kernel=kernel, bias=bias)


def _fewer_inputs(layer: Linear, removed: NDArray[np.bool_], means: NDArray[np.float64]) -> Linear:
    """Without some input channels; what they add on average moves into the bias (which is exact
    where a convolution pads nothing)."""
    axis = layer.kernel.ndim - 2
    removed_rows = np.compress(removed, layer.kernel, axis=axis)
    added = np.einsum("...io,i->...o", removed_rows, means[removed])
    while added.ndim > 1:
        added = added.sum(axis=0)
    bias = added if layer.bias is None else layer.bias + added
    return replace(layer, kernel=np.compress(~removed, layer.kernel, axis=axis), bias=bias)
