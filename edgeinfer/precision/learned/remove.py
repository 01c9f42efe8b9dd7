# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Neurons that training has left without bits, or without a reader, leave the network.

Nothing that the network computes changes: what has no bits is zero wherever it is read.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.export.hgq import ElementNetwork, ElementRounding
from edgeinfer.graph import nodes as g
from edgeinfer.precision.learned.network import Linear
from edgeinfer.precision.qat.filters import Prunable, prunable, remove_filters


def without_dead(network: ElementNetwork) -> ElementNetwork:
    """The network without its dead neurons and filters; one of each layer stays. One that goes may
    leave others without a reader, so this ends when no more is found."""
    names = [node.name for node in network.graph.nodes if isinstance(node, Linear)]
    before = -1
    while before != network.graph.parameters:
        before = network.graph.parameters
        for name in names:
            found = prunable(network.graph, name)
            if found is not None:
                network = _without_dead_of(network, found)
    return network


def _without_dead_of(network: ElementNetwork, found: Prunable) -> ElementNetwork:
    graph, size = network.graph, found.layer.kernel.shape[-1]
    dead = _silent(network, found) | ~_heard(graph, found)
    gone = np.flatnonzero(dead)[: size - 1]
    if not gone.size:
        return network
    nothing = {name: np.zeros(len(labels)) for name, labels in found.readers.items()}
    roundings = dict(network.roundings)
    for name in _nodes_between(graph, found):
        roundings[name] = tuple(
            _without_elements(each, gone, size) for each in roundings.get(name, ())
        )
    return ElementNetwork(remove_filters(graph, found, gone, nothing), roundings)


def _silent(network: ElementNetwork, found: Prunable) -> NDArray[np.bool_]:
    """Filters whose outputs have no bits."""
    size = found.layer.kernel.shape[-1]
    silent = np.zeros(size, np.bool_)
    for name in _nodes_between(network.graph, found):
        for rounding in network.roundings.get(name, ()):
            if rounding.bits.size == size:
                silent |= rounding.bits.reshape(-1) == 0
    return silent


def _heard(graph: g.Graph, found: Prunable) -> NDArray[np.bool_]:
    """Filters that some weight behind them reads."""
    heard = np.zeros(found.layer.kernel.shape[-1], np.bool_)
    for name, labels in found.readers.items():
        reader = graph.node(name)
        assert isinstance(reader, Linear)
        used = np.any(reader.kernel != 0, axis=(*range(reader.kernel.ndim - 2), -1))
        heard[labels[used & (labels >= 0)]] = True
    return heard


def _nodes_between(graph: g.Graph, found: Prunable) -> list[str]:
    """The layer itself, and what its outputs pass until they are read by weights; not what joins
    them with others, which rounds nothing."""
    between = [found.layer.name]
    for node in graph.nodes:
        follows = any(x in between for x in g.inputs_of(node))
        if follows and node.name not in found.readers and not isinstance(node, g.ConcatNode):
            between.append(node.name)
    return between


def _without_elements(
    rounding: ElementRounding, gone: NDArray[np.int64], size: int
) -> ElementRounding:
    integer, frac = (
        np.delete(values, gone, axis=-1) if values.shape[-1:] == (size,) else values
        for values in (rounding.integer, rounding.frac)
    )
    return replace(rounding, integer=integer, frac=frac)
