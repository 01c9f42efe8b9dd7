# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Channels of unlike size made alike: a layer's output channel times s, the next layer's weights of
it divided by s.

Between the two only functions f with f(s x) = s f(x) for s > 0 may lie: ReLU and its leaky kin,
pools, and moves. The factors are powers of two, so the float network computes the very same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq.points import readers_of

ROUNDS = 3  # a layer in the middle belongs to two pairs
FARTHEST = 6  # halvings or doublings of a channel in each round
HOMOGENEOUS = (g.Function.LINEAR, g.Function.RELU, g.Function.LEAKY_RELU)

Linear = g.ConvNode | g.DenseNode


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two layers by name; `channels`: which channel of the first each input of the second is."""

    first: str
    second: str
    channels: NDArray[np.int64]


def equalize_channels(graph: g.Graph) -> g.Graph:
    """The same function with channels rescaled; the same object where nothing is to be gained."""
    pairs = _pairs(graph)
    layers = {node.name: node for node in graph.nodes if isinstance(node, Linear)}
    moved = False
    for _ in range(ROUNDS):
        for pair in pairs:
            exponents = _exponents(pair, layers[pair.first], layers[pair.second])
            if exponents.any():
                moved = True
                layers[pair.first] = _grow_node(layers[pair.first], exponents)
                shrunk = -exponents[pair.channels]
                layers[pair.second] = _fed_differently(layers[pair.second], shrunk)
    if not moved:
        return graph
    nodes = tuple(layers.get(node.name, node) for node in graph.nodes)
    return g.Graph(graph.name, nodes, graph.outputs)


def _pairs(graph: g.Graph) -> tuple[_Pair, ...]:
    readers = readers_of(graph)
    uses = Counter(node.layer for node in graph.nodes if isinstance(node, Linear))
    pairs = []
    for node in graph.nodes:
        if not isinstance(node, Linear) or uses[node.layer] > 1:
            continue
        tensor, channels = node.name, np.arange(node.kernel.shape[-1])
        while tensor not in graph.outputs and len(readers.get(tensor, ())) == 1:
            reader = readers[tensor][0]
            if isinstance(reader, Linear):
                if uses[reader.layer] == 1:
                    pairs.append(_Pair(node.name, reader.name, channels))
                break
            through = _through(reader, channels, graph)
            if through is None:
                break
            tensor, channels = reader.name, through
    return tuple(pairs)


def _through(node: g.Node, channels: NDArray[np.int64], graph: g.Graph) -> NDArray[np.int64] | None:
    """Which channel each element of the last axis is behind a node; None where the node does not
    keep factors, or mixes channels."""
    match node:
        case g.ActivationNode(function=function) if function in HOMOGENEOUS:
            return channels
        case g.PReluNode() | g.PoolNode() | g.UpsampleNode():
            return channels
        case g.PadNode(value=0.0) if node.pads[-1] == (0, 0):
            return channels
        case g.ReshapeNode() if node.shape and node.shape[-1] % channels.size == 0:
            return np.tile(channels, node.shape[-1] // channels.size)
        case g.SliceNode():
            last = slice(node.starts[-1], node.stops[-1], node.steps[-1])
            return channels[last]
        case _:  # no factor goes through a node that is not listed
            return None


def _exponents(pair: _Pair, first: Linear, second: Linear) -> NDArray[np.int64]:
    """log2 of the factors after which a channel's weights reach equally far on both sides."""
    size = first.kernel.shape[-1]
    peaks = np.abs(first.kernel).reshape(-1, size).max(axis=0)
    peaks_seen = np.zeros(size)
    np.maximum.at(peaks_seen, pair.channels, _reach_of_inputs(second))
    alive = (peaks > 0) & (peaks_seen > 0)
    ratio = np.divide(peaks_seen, peaks, out=np.ones(size), where=alive)
    shifts = np.rint(np.log2(ratio) / 2)
    if alive.any():  # a factor that all channels share equalises nothing
        shifts = shifts - np.rint(np.median(shifts[alive]))
    return np.where(alive, np.clip(shifts, -FARTHEST, FARTHEST), 0).astype(np.int64)


def _reach_of_inputs(node: Linear) -> NDArray[np.float64]:
    """Largest weight of each input channel."""
    if isinstance(node, g.DenseNode):
        return np.asarray(np.abs(node.kernel).max(axis=1))
    inside, outside = node.kernel.shape[-2], node.kernel.shape[-1] // node.groups
    split = np.abs(node.kernel).reshape(-1, inside, node.groups, outside)
    return np.asarray(split.max(axis=(0, 3)).T.reshape(-1))


def _grow_node(node: Linear, exponents: NDArray[np.int64]) -> Linear:
    bias = None if node.bias is None else np.ldexp(node.bias, exponents)
    return replace(node, kernel=np.ldexp(node.kernel, exponents), bias=bias)


def _fed_differently(node: Linear, exponents: NDArray[np.int64]) -> Linear:
    if isinstance(node, g.DenseNode):
        return replace(node, kernel=np.ldexp(node.kernel, exponents[:, None]))
    inside, outside = node.kernel.shape[-2], node.kernel.shape[-1] // node.groups
    split = node.kernel.reshape(-1, inside, node.groups, outside)
    factors = exponents.reshape(node.groups, inside).T[None, :, :, None]
    return replace(node, kernel=np.ldexp(split, factors).reshape(node.kernel.shape))
