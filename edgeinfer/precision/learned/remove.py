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
            candidate = prunable(network.graph, name)
            if candidate is not None:
                network = _without_dead_of(network, candidate)
    return network


def _without_dead_of(network: ElementNetwork, candidate: Prunable) -> ElementNetwork:
    graph, size = network.graph, candidate.layer.kernel.shape[-1]
    dead = _silent(network, candidate) | ~_heard(graph, candidate)
    dead_places = np.flatnonzero(dead)[: size - 1]
    if not dead_places.size:
        return network
    nothing = {name: np.zeros(len(labels)) for name, labels in candidate.readers.items()}
    roundings = dict(network.roundings)
    for name in _nodes_between(graph, candidate):
        roundings[name] = tuple(
            _without_elements(each, dead_places, size) for each in roundings.get(name, ())
        )
    return ElementNetwork(remove_filters(graph, candidate, dead_places, nothing), roundings)


def _silent(network: ElementNetwork, candidate: Prunable) -> NDArray[np.bool_]:
    """Filters whose outputs have no bits."""
    size = candidate.layer.kernel.shape[-1]
    silent = np.zeros(size, np.bool_)
    for name in _nodes_between(network.graph, candidate):
        for rounding in network.roundings.get(name, ()):
            if rounding.bits.size == size:
                silent |= rounding.bits.reshape(-1) == 0
    return silent


def _heard(graph: g.Graph, candidate: Prunable) -> NDArray[np.bool_]:
    """Filters that some weight behind them reads."""
    heard = np.zeros(candidate.layer.kernel.shape[-1], np.bool_)
    for name, labels in candidate.readers.items():
        reader = graph.node(name)
        assert isinstance(reader, Linear)
        used = np.any(reader.kernel != 0, axis=(*range(reader.kernel.ndim - 2), -1))
        heard[labels[used & (labels >= 0)]] = True
    return heard


def _nodes_between(graph: g.Graph, candidate: Prunable) -> list[str]:
    """The layer itself, and what its outputs pass until they are read by weights; not what joins
    them with others, which rounds nothing."""
    between = [candidate.layer.name]
    for node in graph.nodes:
        follows = any(x in between for x in g.inputs_of(node))
        if follows and node.name not in candidate.readers and not isinstance(node, g.ConcatNode):
            between.append(node.name)
    return between


def _without_elements(
    rounding: ElementRounding, dead_places: NDArray[np.int64], size: int
) -> ElementRounding:
    integer, frac = (
        np.delete(values, dead_places, axis=-1) if values.shape[-1:] == (size,) else values
        for values in (rounding.integer, rounding.frac)
    )
    return replace(rounding, integer=integer, frac=frac)
