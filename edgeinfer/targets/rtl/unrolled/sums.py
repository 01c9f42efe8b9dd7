# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Matrices with constant weights as cells: shared terms first, then a tree for each column.

What is ready first is added first, and of what is ready at once, neighbours in place: such sums
are the narrowest. The range of each sum is that of the linear form it is, not of its operands.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeinfer.ir.ops import PairKind
from edgeinfer.targets.rtl.unrolled.cells import Circuit, Wire
from edgeinfer.targets.rtl.unrolled.shift_add import AdderGraph

Form = Mapping[int, int]  # coefficients by input


@dataclass(frozen=True, slots=True)
class Summand:
    """sign wire 2^shift. `form` is what the wire is; `offset` its constant part."""

    wire: Wire
    shift: int
    sign: int
    form: Form
    offset: int = 0

    def moved(self, shift: int, sign: int) -> Summand:
        """The same wire elsewhere in a sum."""
        return Summand(self.wire, self.shift + shift, self.sign * sign, self.form, self.offset)


@dataclass(frozen=True, slots=True)
class AdderBuilder:
    """Adds up linear forms over given wires."""

    circuit: Circuit
    xs: Sequence[Wire]

    def product(self, graph: AdderGraph, shift: int, bias: Sequence[int]) -> list[Wire]:
        """(x @ weights) 2^shift + bias, as one wire for each column."""
        terms = [self._term(number, x) for number, x in enumerate(self.xs)]
        for shared in graph.shared:
            a = terms[shared.a].moved(shared.shift_a, 1)
            b = terms[shared.b].moved(shared.shift_b, shared.sign)
            terms.append(self.add(a, b))
        return [
            self.total([terms[n].moved(place + shift, sign) for n, place, sign in column], constant)
            for column, constant in zip(graph.columns, bias, strict=True)
        ]

    def _term(self, number: int, x: Wire) -> Summand:
        """An input; what comes from a table begins at zero, where it has the fewest bits."""
        raised = self.circuit.raised(x, -x.low)
        if raised is None:
            return Summand(x, 0, 1, {number: 1})
        return Summand(raised, 0, 1, {number: 1}, -x.low)

    def total(self, summands: Sequence[Summand], constant: int) -> Wire:
        """A column's sum, with its constant."""
        moving = []
        for summand in summands:
            constant -= summand.sign * summand.offset << summand.shift
            if summand.wire.constant:
                constant += summand.sign * summand.wire.low << summand.shift
            else:
                moving.append(summand)
        moving, constant = self._with_constant(moving, constant)
        heap = [self._ready(each, number) for number, each in enumerate(moving)]
        if constant or not heap:
            literal = Summand(self.circuit.literal(constant), 0, 1, {}, constant)
            heap.append(self._ready(literal, len(heap)))
        heapq.heapify(heap)
        count = len(heap)
        while len(heap) > 1:
            a, b = heapq.heappop(heap)[-1], heapq.heappop(heap)[-1]
            count += 1
            heapq.heappush(heap, self._ready(self.add(a, b), count))
        last = heap[0][-1]
        if last.sign < 0:
            nothing = self.circuit.literal(0)
            return self.circuit.join(PairKind.SUB, nothing, last.wire, 0, last.shift)
        return self.circuit.shift(last.wire, last.shift)

    def _with_constant(self, summands: list[Summand], constant: int) -> tuple[list[Summand], int]:
        """The constant within a table, the one that grows least by it; else as it is."""
        best: tuple[int, int, Summand] | None = None
        for place, summand in enumerate(summands):
            offset, rest = divmod(summand.sign * constant, 1 << summand.shift)
            raised = None if rest else self.circuit.raised(summand.wire, offset)
            if raised is not None:
                grown = raised.bits - summand.wire.bits
                moved = replace(summand, wire=raised, offset=summand.offset + offset)
                if best is None or grown < best[0]:
                    best = grown, place, moved
        if best is None or not constant:
            return summands, constant
        _, place, moved = best
        return [*summands[:place], moved, *summands[place + 1 :]], 0

    def add(self, a: Summand, b: Summand) -> Summand:
        """Two summands as one; a sum of two negative ones is a negative one."""
        if a.sign < b.sign:
            a, b = b, a
        low = min(a.shift, b.shift)
        by_a, by_b = a.shift - low, b.shift - low
        sign = a.sign * b.sign  # of b, as seen from a
        form = {number: value << by_a for number, value in a.form.items()}
        for number, value in b.form.items():
            form[number] = form.get(number, 0) + sign * (value << by_b)
        offset = (a.offset << by_a) + sign * (b.offset << by_b)
        kind = PairKind.ADD if sign > 0 else PairKind.SUB
        wire = self.circuit.join(kind, a.wire, b.wire, by_a, by_b, self._range(form, offset))
        return Summand(wire, low, a.sign, form, offset)

    def _range(self, form: Form, offset: int) -> tuple[int, int]:
        low = high = offset
        for number, value in form.items():
            ends = value * self.xs[number].low, value * self.xs[number].high
            low, high = low + min(ends), high + max(ends)
        return low, high

    @staticmethod
    def _ready(summand: Summand, number: int) -> tuple[int, int, int, Summand]:
        wire = summand.wire
        return 0 if wire.constant else wire.depth, summand.shift, number, summand
