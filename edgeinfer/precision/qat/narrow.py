# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pruning of whole filters for a folded design: those go that save most multipliers for what they
are missed.

Multipliers come in the divisors of a layer's channels, so that one filter fewer may save nothing,
or even cost some, where four fewer halve a layer. Hence a design's own count is asked for every
number of filters that could go, and only numbers that need fewer multipliers than any smaller one
are tried. Which of a layer go first is what its readers say; whether they go is seen by trying:
the outputs of the network without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.precision.qat.filters import (
    Linear,
    Prunable,
    PrunedNetwork,
    missed_least,
    prunable,
    remove_filters,
)

MOST_AT_ONCE = 0.5  # of a layer in one step: what many filters together do is hard to foresee

CountMultipliers = Callable[[g.Graph], int]  # of a network's design


@dataclass(frozen=True, slots=True)
class _Narrower:
    """A network without some filters of one layer, what its design needs, and how far its outputs
    are from the whole network's."""

    graph: g.Graph
    multipliers: int
    error: float


def narrow(
    graph: g.Graph, data: Mapping[str, NDArray[Any]], count: CountMultipliers, most: int
) -> PrunedNetwork:
    """The network with so many filters fewer that its design needs at most so many multipliers.
    Batch norms are to be folded before."""
    whole, judge = graph, _OutputError.of_whole(graph, data)
    while (multipliers := count(graph)) > most:
        error = judge.of(graph)
        choices = [
            choice
            for name in _linear_names(graph)
            if (candidate := prunable(graph, name)) is not None
            for choice in _narrower_networks(graph, candidate, data, judge, count, multipliers)
        ]
        if not choices:
            raise UsageError(
                f"{graph.name}: with as few filters as can be left, its design still needs "
                f"{multipliers} multipliers, and at most {most} are asked for.",
                hint="Ask for a smaller share with --prune-multipliers.",
            )

        def price(choice: _Narrower, error: float = error, multipliers: int = multipliers) -> float:
            """What a multiplier less costs; those beyond the goal are not wanted."""
            return (choice.error - error) / (multipliers - max(choice.multipliers, most))

        graph = min(choices, key=price).graph
    kept = {}
    for name in _linear_names(whole):
        if (candidate := prunable(whole, name)) is not None:
            left = graph.node(name)
            assert isinstance(left, Linear)
            kept[candidate.layer.layer] = (left.kernel.shape[-1], candidate.layer.kernel.shape[-1])
    return PrunedNetwork(graph, kept)


def _linear_names(graph: g.Graph) -> list[str]:
    return [node.name for node in graph.nodes if isinstance(node, Linear)]


def _narrower_networks(
    graph: g.Graph,
    candidate: Prunable,
    data: Mapping[str, NDArray[Any]],
    judge: _OutputError,
    count: CountMultipliers,
    fewest: int,
) -> Iterator[_Narrower]:
    """The networks without the first filters of a layer, in the order in which its readers miss
    them, that need fewer multipliers than any without fewer of them."""
    size = candidate.layer.kernel.shape[-1]
    order, means = missed_least(graph, candidate, data)
    for number in range(1, max(int(MOST_AT_ONCE * size), min(1, size - 1)) + 1):
        smaller = remove_filters(graph, candidate, np.sort(order[:number]), means)
        multipliers = count(smaller)
        if multipliers < fewest:
            fewest = multipliers
            yield _Narrower(smaller, multipliers, judge.of(smaller))


@dataclass(frozen=True, slots=True, eq=False)
class _OutputError:
    """How far a network's outputs are from the whole network's: the mean square, in units of their
    variance."""

    data: Mapping[str, NDArray[np.float32]]
    exact: Mapping[str, NDArray[np.float32]]

    @staticmethod
    def of_whole(graph: g.Graph, data: Mapping[str, NDArray[Any]]) -> _OutputError:
        fed = {node.name: np.asarray(data[node.name], np.float32) for node in graph.inputs}
        return _OutputError(fed, FloatEngine(graph).run(fed))

    def of(self, graph: g.Graph) -> float:
        outputs = FloatEngine(graph).run(self.data)
        parts = [
            float(np.mean((outputs[name] - exact) ** 2)) / (float(exact.var()) or 1.0)
            for name, exact in self.exact.items()
        ]
        return float(np.mean(parts))
