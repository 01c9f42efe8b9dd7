# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The graph with the fewest bits to add of several that are tried.

Columns of a matrix that are alike are worth a difference: the first is added up, and the second is
the first and what is between them. A tree of such differences is a matrix of small columns and one
of their sums, each with its own shared terms. And a graph read backwards, with a sum wherever it
branches, is a graph of the transposed matrix, in which other pairs are shared.

Bits, not additions, are what an adder costs: fewer but wider ones are no gain. So the goal is the
fewest bits, or the fewest additions if asked for. The tries come in a fixed order, so that a number
of them makes the same graph everywhere; a limit in seconds would not.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from edgeinfer.targets.rtl.unrolled.cell_work import ADDED, work_of
from edgeinfer.targets.rtl.unrolled.cells import Circuit
from edgeinfer.targets.rtl.unrolled.shift_add import (
    KEPT,
    PLAIN,
    AdderGraph,
    Preference,
    SharedTerm,
    Sharing,
    shared_graph,
)
from edgeinfer.targets.rtl.unrolled.sums import AdderBuilder
from quantization.fixed import Fixed, Ints

AdderGoal = Literal["bits", "additions"]

DEPTH = 32  # additions, one after the other, in a term that is shared: as good as any number


@dataclass(frozen=True, slots=True)
class AdderSearch:
    """How many ways to share additions are tried for a matrix, and what is wanted."""

    tries: int = 1
    goal: AdderGoal = "bits"


NO_SEARCH = AdderSearch()


@dataclass(frozen=True, slots=True)
class Try:
    """One way to a graph. The discount is what a column from nothing counts, beside one that is
    the difference of two; without it a matrix is not taken apart."""

    turned: bool = False
    discount: float | None = None
    sharing: Sharing = PLAIN


KINDS = tuple(
    Try(turned, discount, Sharing(DEPTH, preference))
    for turned, discount, preference in (
        (False, 0.9, Preference.NEWEST),
        (True, None, Preference.NEW),
        (False, 0.9, Preference.DEEP),
        (False, 0.8, Preference.NEWEST),
        (True, 0.9, Preference.NEW),
        (False, None, Preference.NEWEST),
        (False, 1.0, Preference.DEEP),
        (False, 1.0, Preference.NEWEST),
        (True, 1.0, Preference.NEWEST),
    )
)


def tries(count: int) -> Iterator[Try]:
    """The first is what a matrix gets without a search; after all kinds come random orders."""
    yield from (Try(), *KINDS)[:count]
    for seed in range(1, count - len(KINDS)):
        kind = KINDS[(seed - 1) % len(KINDS)]
        yield replace(kind, sharing=replace(kind.sharing, seed=seed))


def cheapest_graph(weights: Ints, type_: Fixed, search: AdderSearch) -> AdderGraph:
    """The cheapest that a search finds, over inputs of a type; of equals, the first."""
    return _cheapest_of(weights.shape, weights.astype(np.int64).tobytes(), type_, search)


@functools.lru_cache(maxsize=KEPT)
def _cheapest_of(
    shape: tuple[int, ...], content: bytes, type_: Fixed, search: AdderSearch
) -> AdderGraph:
    weights = np.frombuffer(content, np.int64).reshape(shape)
    graphs = [_graph_by(weights, one) for one in tries(search.tries)]
    if search.tries == 1:
        return graphs[0]
    if search.goal == "additions":
        return min(graphs, key=lambda g: g.additions)
    return min(graphs, key=lambda g: adder_bits(g, shape[0], type_))


def adder_bits(graph: AdderGraph, inputs: int, type_: Fixed) -> int:
    """Bits in which the adders of a graph have two operands, shared terms and columns."""
    circuit = Circuit()
    xs = [circuit.source(0, number, type_) for number in range(inputs)]
    AdderBuilder(circuit, xs).product(graph, 0, [0] * len(graph.columns))
    return sum(
        sum(bits for kind, bits in work_of(cell, wire, wire.bits) if kind in ADDED)
        for cell, wire in zip(circuit.cells, circuit.wires, strict=True)
    )


def _graph_by(weights: Ints, one: Try) -> AdderGraph:
    if one.turned:
        return turn(_graph_by(weights.T.copy(), replace(one, turned=False)), weights.shape[1])
    if one.discount is None:
        return shared_graph(weights, one.sharing)
    steps, sums = take_apart(weights, one.discount)
    if not steps.size:
        return shared_graph(weights, one.sharing)
    return chain(shared_graph(steps, one.sharing), shared_graph(sums, one.sharing), len(weights))


def take_apart(weights: Ints, discount: float) -> tuple[Ints, Ints]:
    """A matrix as the product of differences and of the sums that its columns are of them.

    The tree of least digits from nothing to all columns, by Prim: a column hangs from the one that
    it differs least from, or is its opposite but for little.
    """
    columns = np.concatenate([np.zeros((len(weights), 1), np.int64), weights], axis=1)
    apart = _digits(columns[:, :, None] - columns[:, None, :])
    together = _digits(columns[:, :, None] + columns[:, None, :])
    distance = np.minimum(apart, together).astype(float)
    distance[0] *= discount
    sign = np.where(apart <= together, 1, -1)

    best = distance[0].copy()  # of each column that is not reached yet, from what is
    parent = np.zeros(len(best), int)
    best[0] = np.inf
    steps: list[Ints] = []
    sums = np.zeros((weights.shape[1], weights.shape[1] + 1), np.int64)
    waiting = set(range(1, len(best)))
    while waiting:
        column = min(waiting, key=lambda c: best[c])
        waiting.remove(column)
        above = parent[column]
        step = columns[:, column] - sign[above, column] * columns[:, above]
        sums[:, column] = sign[above, column] * sums[:, above]
        if step.any():
            sums[len(steps), column] = 1
            steps.append(step)
        nearer = distance[column] < best
        best[nearer], parent[nearer] = distance[column][nearer], column
    if not steps:
        return np.zeros((len(weights), 0), np.int64), sums[:0, 1:]
    return np.stack(steps, axis=1), sums[: len(steps), 1:]


def _digits(numbers: Ints) -> Ints:
    """Signed digits of each column: ones in x ^ 3 x."""
    sizes = np.abs(numbers)
    counts: Ints = np.bitwise_count(sizes ^ (3 * sizes)).sum(axis=0, dtype=np.int64)
    return counts


@dataclass(frozen=True, slots=True)
class _Summand:
    """sign term 2^shift."""

    term: int
    shift: int
    sign: int

    def moved(self, shift: int, sign: int) -> _Summand:
        """The same term elsewhere in a sum."""
        return _Summand(self.term, self.shift + shift, self.sign * sign)


@dataclass(slots=True)
class _Chain:
    """Terms of two graphs as those of one."""

    inputs: int
    shared: list[SharedTerm] = field(default_factory=list)
    depths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.depths = [0] * self.inputs

    def add(self, a: _Summand, b: _Summand) -> _Summand:
        """Two as one more term."""
        low = min(a.shift, b.shift)
        self.shared.append(
            SharedTerm(a.term, b.term, a.shift - low, b.shift - low, a.sign * b.sign)
        )
        self.depths.append(1 + max(self.depths[a.term], self.depths[b.term]))
        return _Summand(len(self.depths) - 1, low, a.sign)

    def total(self, summands: Sequence[_Summand]) -> _Summand:
        """Many as one: those with the fewest additions behind them first."""
        heap = [(self.depths[s.term], s.shift, number, s) for number, s in enumerate(summands)]
        heapq.heapify(heap)
        count = len(heap)
        while len(heap) > 1:
            one = self.add(heapq.heappop(heap)[-1], heapq.heappop(heap)[-1])
            count += 1
            heapq.heappush(heap, (self.depths[one.term], one.shift, count, one))
        return heap[0][-1]

    def append(self, graph: AdderGraph, summands: list[_Summand]) -> list[list[_Summand]]:
        """A graph over these terms; its columns."""
        terms = list(summands)
        for t in graph.shared:
            a, b = terms[t.a].moved(t.shift_a, 1), terms[t.b].moved(t.shift_b, t.sign)
            terms.append(self.add(a, b))
        return [
            [terms[n].moved(shift, sign) for n, shift, sign in column] for column in graph.columns
        ]


def turn(graph: AdderGraph, inputs: int) -> AdderGraph:
    """The graph backwards: what a term goes into is what it is the sum of."""
    work = _Chain(len(graph.columns))
    uses: list[list[_Summand]] = [[] for _ in range(inputs + len(graph.shared))]
    for number, column in enumerate(graph.columns):
        for term, shift, sign in column:
            uses[term].append(_Summand(number, shift, sign))
    for number, t in reversed(list(enumerate(graph.shared, inputs))):
        if uses[number]:
            whole = work.total(uses[number])
            uses[t.a].append(whole.moved(t.shift_a, 1))
            uses[t.b].append(whole.moved(t.shift_b, t.sign))
    return AdderGraph(tuple(work.shared), _columns(uses[:inputs]))


def chain(first: AdderGraph, second: AdderGraph, inputs: int) -> AdderGraph:
    """A graph whose terms are the columns of another one: the product of their matrices."""
    work = _Chain(inputs)
    between = work.append(first, [_Summand(number, 0, 1) for number in range(inputs)])
    columns = work.append(second, [work.total(column) for column in between])
    return AdderGraph(tuple(work.shared), _columns(columns))


def _columns(columns: list[list[_Summand]]) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    return tuple(tuple((s.term, s.shift, s.sign) for s in column) for column in columns)
