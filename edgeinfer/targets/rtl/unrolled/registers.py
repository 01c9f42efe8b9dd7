# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Registers over a whole circuit: as few stages as a period allows, then as few bits as those hold.

A cell belongs to a stage. What it makes is registered once for every stage until its last reader.
Three rules bind the stages: no reader before its operand; what a period cannot hold in one stage
is at least one stage apart; all outputs leave in the last stage. Each is a difference of two
numbers, so the linear program for the fewest register bits has integers as its answer
(Leiserson and Saxe, Retiming Synchronous Circuitry, 1991).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeinfer.targets.rtl.unrolled.cells import Circuit, InputCell, Wire, operands
from edgeinfer.targets.rtl.unrolled.delays import CellDelay, LogicDelays, Moment

Stages = list[int]  # by wire
WITHOUT_END = 1 << 40  # as a period: all is one stage


@dataclass(frozen=True, slots=True)
class Staging:
    """The stage of each wire, and the one in which all outputs leave."""

    stages: tuple[int, ...]
    last: int


def stage_circuit(
    circuit: Circuit, outputs: Sequence[Wire], delays: LogicDelays, period: int
) -> Staging:
    """The stages of a circuit in which no path is longer than a period. A cell that alone is longer
    has a stage of its own."""
    work = _Placement(circuit, outputs, delays, period)
    stages, last = work.fewest_bits()
    for number, cell in enumerate(circuit.cells):  # what no output needs is only looked at
        if number not in work.needed:
            stages[number] = max((stages[x.number] for x in operands(cell)), default=0)
    return Staging(tuple(stages), last)


def slowest_stage(
    circuit: Circuit, outputs: Sequence[Wire], delays: LogicDelays, staging: Staging
) -> int:
    """The period that a circuit with its registers needs."""
    return _Placement(circuit, outputs, delays, WITHOUT_END).slowest(staging.stages)


def fastest_period(circuit: Circuit, outputs: Sequence[Wire], delays: LogicDelays) -> int:
    """The shortest period that holds each cell, with registers between all of them."""
    work = _Placement(circuit, outputs, delays, WITHOUT_END)
    return max([delays.source + delays.setup, *(work.alone(number) for number in work.order)])


def period_for(
    circuit: Circuit, outputs: Sequence[Wire], delays: LogicDelays, most_stages: int
) -> int:
    """The shortest period with which a circuit has no more stages than that."""
    whole = _Placement(circuit, outputs, delays, WITHOUT_END)
    low = fastest_period(circuit, outputs, delays)
    high = max(low, whole.slowest([0] * len(circuit.wires)))
    while low < high:
        middle = (low + high) // 2
        work = _Placement(circuit, outputs, delays, middle)
        if 1 + work.last_of(work.earliest()) <= most_stages:
            high = middle
        else:
            low = middle + 1
    return low


@dataclass(slots=True)
class _Placement:
    """A circuit under a period. Wires are known by their numbers, which come in the order of their
    making: a reader's is greater than its operand's."""

    circuit: Circuit
    outputs: Sequence[Wire]
    delays: LogicDelays
    period: int
    needed: set[int] = field(default_factory=set)
    order: list[int] = field(default_factory=list)
    reads: list[list[tuple[int, CellDelay]]] = field(default_factory=list)
    readers: list[list[tuple[int, CellDelay]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        waiting = [wire for wire in self.outputs if not wire.constant]
        while waiting:
            wire = waiting.pop()
            if wire.number not in self.needed:
                self.needed.add(wire.number)
                cell = self.circuit.cells[wire.number]
                waiting += [x for x in operands(cell) if not x.constant]
        self.order = sorted(self.needed)
        self.reads = [[] for _ in self.circuit.wires]
        self.readers = [[] for _ in self.circuit.wires]
        most = self.period - self.delays.start - self.delays.setup
        for number in self.order:
            each = zip(operands(self.circuit.cells[number]), self.delays.cells[number], strict=True)
            for x, delay in each:
                if not x.constant:
                    limited = delay.at_most(most)
                    self.reads[number].append((x.number, limited))
                    self.readers[x.number].append((number, limited))

    def first(self, number: int) -> Moment:
        """When a cell's result is there if all that it reads comes out of registers."""
        if isinstance(self.circuit.cells[number], InputCell):
            return self.delays.source, self.delays.source
        return _latest(self.delays.start, self.reads[number])

    def alone(self, number: int) -> int:
        """The period of a stage that is one cell."""
        return max(self.first(number)) + self.delays.setup

    def earliest(self) -> Stages:
        """The first stage in which each cell can be: one more where its operands come too late."""
        stages, times = [0] * len(self.circuit.wires), [(0, 0)] * len(self.circuit.wires)
        most = self.period - self.delays.setup
        for number in self.order:
            time = first = self.first(number)
            stage = max((stages[x] for x, _ in self.reads[number]), default=0)
            for x, delay in self.reads[number]:
                if stages[x] == stage:
                    time = _later(time, delay.after(times[x]))
            if max(time) > most and time != first:
                stage, time = stage + 1, first
            stages[number], times[number] = stage, time
        return stages

    def last_of(self, stages: Stages) -> int:
        """The stage in which the last output is ready."""
        return max((stages[w.number] for w in self.outputs if not w.constant), default=0)

    def latest(self, last: int) -> Stages:
        """The last stage in which each cell can be if outputs leave in one of these."""
        stages = [last] * len(self.circuit.wires)
        setup = self.delays.setup
        left = [(setup, setup)] * len(self.circuit.wires)  # until the end of the stage
        for number in reversed(self.order):
            if isinstance(self.circuit.cells[number], InputCell):
                stages[number] = 0
                continue
            readers = self.readers[number]
            stage = min((stages[reader] for reader, _ in readers), default=last)
            rest = (setup, setup)
            for reader, delay in readers:
                if stages[reader] == stage:
                    rest = _later(rest, delay.before(left[reader]))
            whole = self.delays.start + max(
                (max(delay.before(rest)) for _, delay in self.reads[number]), default=0
            )
            if whole > self.period and rest != (setup, setup):
                stage, rest = stage - 1, (setup, setup)
            stages[number], left[number] = stage, rest
        return stages

    def apart(self, earliest: Stages, latest: Stages) -> list[tuple[int, int]]:
        """Pairs of cells that are no part of one stage, of which the second is later by a stage or
        more. Those that follow from others, or from the bounds, are left out."""
        pairs: list[tuple[int, int]] = []
        behind: dict[int, set[int]] = {}
        most = self.period - self.delays.setup
        for number in reversed(self.order):
            times = {number: self.first(number)}
            heap, found = [number], set()
            while heap:
                at = heapq.heappop(heap)
                if max(times[at]) > most and at != number:
                    found.add(at)
                    continue
                for reader, delay in self.readers[at]:
                    if earliest[reader] > latest[number]:
                        continue
                    time = delay.after(times[at])
                    if reader in times:
                        times[reader] = _later(times[reader], time)
                    else:
                        times[reader] = time
                        heapq.heappush(heap, reader)
            behind[number] = found
            for reader, _ in self.readers[number]:
                found = found - behind[reader]
            pairs += [(number, other) for other in sorted(found)]
        return pairs

    def fewest_bits(self) -> tuple[Stages, int]:
        """Stages with the fewest register bits, and the last of them."""
        earliest = self.earliest()
        last = self.last_of(earliest)
        latest = self.latest(last)
        program = _Differences(earliest, latest)
        leaving = {wire.number for wire in self.outputs}
        for number in self.order:
            bits = self.circuit.wires[number].register_bits
            readers = sorted({reader for reader, _ in self.readers[number]})
            for reader in readers:
                program.follow(number, reader, 0)
            program.hold(number, readers, last if number in leaving else None, bits)
        for number, other in self.apart(earliest, latest):
            program.follow(number, other, 1)
        stages = program.solve()
        return [stages[n] if n in self.needed else 0 for n in range(len(stages))], last

    def slowest(self, stages: Sequence[int]) -> int:
        """What the slowest stage takes."""
        times = [(0, 0)] * len(self.circuit.wires)
        slowest = 0
        for number in self.order:
            time = self.first(number)
            for x, delay in self.reads[number]:
                if stages[x] == stages[number]:
                    time = _later(time, delay.after(times[x]))
            times[number] = time
            slowest = max(slowest, max(time) + self.delays.setup)
        return slowest


@dataclass(slots=True)
class _Differences:
    """A linear program whose every row is a difference of two stages. A stage whose bounds are
    equal is a number; rows that bounds imply are left out."""

    low: Stages
    high: Stages
    cost: dict[int, int] = field(default_factory=dict)
    rows: list[tuple[int, int, int]] = field(default_factory=list)  # second - first >= apart

    def follow(self, first: int, second: int, apart: int) -> None:
        """The second is so many stages later, or more."""
        if self.low[second] < self.high[first] + apart:
            self.rows.append((first, second, apart))

    def hold(self, number: int, readers: Sequence[int], until: int | None, bits: int) -> None:
        """Registers from a wire's stage to that of its last reader, or until outputs leave."""
        self.pay(number, -bits)
        if until is not None:
            return
        least = max(self.low[reader] for reader in readers)
        after = [reader for reader in readers if self.high[reader] > least]
        if not after:
            return
        if len(readers) == 1:
            self.pay(readers[0], bits)
            return
        self.low.append(least)
        self.high.append(max(self.high[reader] for reader in after))
        end = len(self.low) - 1
        for reader in after:
            self.follow(reader, end, 0)
        self.pay(end, bits)

    def pay(self, number: int, bits: int) -> None:
        """What a stage more costs."""
        self.cost[number] = self.cost.get(number, 0) + bits

    def solve(self) -> Stages:
        """The cheapest stages."""
        import numpy as np
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        free = [number for number, low in enumerate(self.low) if low < self.high[number]]
        if not free:
            return self.low
        place = {number: column for column, number in enumerate(free)}
        entries: list[tuple[int, int, int]] = []
        limits: list[int] = []
        for first, second, apart in self.rows:
            row = len(limits)
            limit = -apart
            if first in place:
                entries.append((row, place[first], 1))
            else:
                limit -= self.low[first]
            if second in place:
                entries.append((row, place[second], -1))
            else:
                limit += self.low[second]
            limits.append(limit)
        rows, columns, values = (np.array([e[k] for e in entries], np.int64) for k in range(3))
        matrix = csr_array((values, (rows, columns)), shape=(len(limits), len(free)))
        answer = linprog(
            [self.cost.get(number, 0) for number in free],
            A_ub=matrix if limits else None,
            b_ub=limits if limits else None,
            bounds=[(self.low[number], self.high[number]) for number in free],
            method="highs-ds",
        )
        assert answer.status == 0, answer.message  # the earliest stages are a solution
        stages = list(self.low)
        for number, stage in zip(free, answer.x, strict=True):
            stages[number] = round(stage)
        assert all(stages[b] - stages[a] >= apart for a, b, apart in self.rows)
        return stages


def _later(a: Moment, b: Moment) -> Moment:
    return (a[0] if a[0] > b[0] else b[0]), (a[1] if a[1] > b[1] else b[1])


def _latest(start: int, reads: Sequence[tuple[int, CellDelay]]) -> Moment:
    time = (start, start)
    for _, delay in reads:
        time = _later(time, delay.after((start, start)))
    return time
