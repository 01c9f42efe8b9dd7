# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The rule of `timing.py` in machine code: the cycle of every step, some fifty times as fast.

Actors and streams are rows of int64, which refer to each other by address. An actor goes on until
it has to wait; whenever one has moved, those at the other ends of its streams are asked again. In
which order they are asked changes no time.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.base import assets
from edgeinfer.base.machine_code import (
    MachineCode,
    build_load,
    build_pointer,
    compile_function,
    compile_source,
    has_llvmlite,
    loop,
)
from edgeinfer.targets.rtl.design.netlist import Actor, BlockStep, Pattern
from edgeinfer.targets.rtl.design.timing import LONG_AGO
from quantization.fixed import Ints

PORTS = 3  # inputs, and outputs, that an actor may have here
WORD = 8  # bytes
NO_LIMIT = 1 << 62

# Columns of an actor's row; behind them the addresses of its inputs' and its outputs' rows.
LEFT, AT, LENGTH, PATTERN, LATENCY, RELEASE, FREE_AT, IS_WIDE, ASKED, STREAMS = range(10)
ACTOR_COLUMNS = STREAMS + 2 * PORTS
# Columns of a stream's row. READER and WRITER are addresses of these actors' ASKED.
THERE, THERE_COUNT, FREED, FREED_COUNT, DEPTH, READER, WRITER, STREAM_COLUMNS = range(8)
# A step in one word: bits by input and by output, then its cycles.
READS, FREES, RESERVES, YIELDS, CYCLES = (PORTS * place for place in range(5))
NAME = "step_actors"
SOURCE = "firmware/rtl/host/step_actors.cc"  # the same for a C++ compiler
WORDS_AHEAD = 16
UNUSED = 2  # references to an array that has no views: an object's and a function's


def can_step(actors: Sequence[Actor]) -> bool:
    """Whether machine code can be made here, and is made for such actors."""
    widest = max((max(len(a.inputs), len(a.outputs)) for a in actors), default=0)
    return widest <= PORTS and _compile() is not None


@functools.lru_cache(maxsize=1 << 12)
def _word_of(step: BlockStep, outputs: int) -> int:
    gives = step.gives & (1 << outputs) - 1
    return (
        step.reads << READS
        | step.frees << FREES
        | gives * step.reserves << RESERVES
        | gives * step.yields << YIELDS
        | step.cycles << CYCLES
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """An actor's steps as the machine code reads them; how many of them let go of a beat of each
    input, and yield one for each output."""

    actor: Actor  # is kept, so that its identity stays its own
    words: Ints
    frees: Ints
    yields: Ints


def _plan(actor: Actor, pattern: Pattern) -> _Plan:
    steps, order = pattern
    distinct = np.array([_word_of(step, len(actor.outputs)) for step in steps], dtype=np.int64)
    counts = np.bincount(order, minlength=len(steps))
    frees, yields = (
        np.array([counts @ (distinct >> first + port & 1) for port in range(len(names))], int)
        for first, names in ((FREES, actor.inputs), (YIELDS, actor.outputs))
    )
    return _Plan(actor, distinct[order], frees, yields)


@dataclass(frozen=True, slots=True)
class SteppedTimes:
    """By stream, when each beat was there and let go of; and the actors that wait for ever."""

    there: Mapping[str, Ints]
    freed: Mapping[str, Ints]
    stuck: tuple[Actor, ...]


@dataclass(slots=True)
class Stepper:
    """Steps actors; their patterns are read once, and memory is used again that nobody holds: to
    get it anew takes as long as to fill it."""

    plans: dict[int, _Plan] = field(default_factory=dict)  # by the actor's identity
    room: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def step(
        self,
        actors: Sequence[Actor],
        patterns: Sequence[Pattern],
        offered: Mapping[str, Ints],
        depths: Mapping[str, int | None],
        frames: int,
    ) -> SteppedTimes:
        """Let actors go on until all are done or none can. `offered`: the beats of streams that
        nobody fills; `depths`: of the others."""
        plans = [self._plan_of(*each) for each in zip(actors, patterns, strict=True)]
        streams = sorted({name for a in actors for name in (*a.inputs, *a.outputs)})
        places = {name: at for at, name in enumerate(streams)}
        there, freed = self._room_for(actors, plans, frames)
        there |= offered
        rows = np.zeros((len(actors) + 1, ACTOR_COLUMNS), np.int64)  # the last is nobody
        edges = np.zeros((len(streams) + 1, STREAM_COLUMNS), np.int64)  # the last is no stream
        rows[:, STREAMS:] = _address(edges, len(streams))
        edges[:, (READER, WRITER)] = _address(rows, len(actors), ASKED)
        edges[:, DEPTH] = NO_LIMIT
        for at, (actor, plan) in enumerate(zip(actors, plans, strict=True)):
            pattern = plan.words
            asked = _address(rows, at, ASKED)
            for port, name in enumerate(actor.inputs):
                edges[places[name], READER] = asked
                rows[at, STREAMS + port] = _address(edges, places[name])
            for port, name in enumerate(actor.outputs):
                edges[places[name], WRITER] = asked
                edges[places[name], DEPTH] = _limit(depths[name])
                rows[at, STREAMS + PORTS + port] = _address(edges, places[name])
            rows[at, :STREAMS] = (
                len(pattern) * actor.repeats * frames,
                0,
                len(pattern),
                pattern.ctypes.data,
                actor.latency,
                actor.release - 1,
                LONG_AGO,
                max(len(actor.inputs), len(actor.outputs)) > 1,
                True,
            )
        for name, at in places.items():
            for column, times in ((THERE, there), (FREED, freed)):
                if name in times:
                    edges[at, column] = times[name].ctypes.data
        for name, beats in offered.items():
            edges[places[name], THERE_COUNT] = len(beats)
        code = _compile()
        assert code is not None, "asked of can_step"
        code.function(rows.ctypes.data, len(actors))
        stuck = tuple(actor for actor, left in zip(actors, rows[:, LEFT], strict=False) if left)
        return SteppedTimes(there, freed, stuck)

    def _room_for(
        self, actors: Sequence[Actor], plans: Sequence[_Plan], frames: int
    ) -> tuple[dict[str, Ints], dict[str, Ints]]:
        """Where the times of beats are written, by stream: when they are there, and let go of. All
        of it is one piece of memory, which the system hands out in large pages and not in thousands
        of small ones."""
        there: dict[str, Ints] = {}
        freed: dict[str, Ints] = {}
        ends: list[tuple[dict[str, Ints], str, int]] = []
        for actor, plan in zip(actors, plans, strict=True):
            times = actor.repeats * frames
            ends += [(freed, *each) for each in zip(actor.inputs, plan.frees * times, strict=True)]
            ends += [
                (there, *each) for each in zip(actor.outputs, plan.yields * times, strict=True)
            ]
        size = sum(int(count) for *_, count in ends)
        if len(self.room) < size or sys.getrefcount(self.room) > UNUSED:
            self.room = np.empty(size, np.int64)
        first = 0
        for times_by_stream, name, count in ends:
            times_by_stream[name] = self.room[first : first + count]
            first += count
        return there, freed

    def _plan_of(self, actor: Actor, pattern: Pattern) -> _Plan:
        if id(actor) not in self.plans:
            self.plans[id(actor)] = _plan(actor, pattern)
        return self.plans[id(actor)]


def _limit(depth: int | None) -> int:
    return NO_LIMIT if depth is None else depth


def _address(table: Ints, row: int, column: int = 0) -> int:
    first: int = table.ctypes.data
    return first + (row * int(table.shape[1]) + column) * WORD


@functools.cache
def _compile() -> MachineCode | None:
    """The code, made once: that takes a tenth of a second. None where nothing here can make it."""
    if has_llvmlite():
        return compile_function(_build_function())
    return compile_source(assets.path(SOURCE), NAME, arguments=2)


def _build_function() -> Any:
    """The code for LLVM: rounds over the actors that are asked, until none has moved."""
    from llvmlite import ir

    long = ir.IntType(WORD * 8)
    module = ir.Module(NAME)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [long] * 2), NAME)
    actors, count = function.args
    code = _Code(ir, ir.IRBuilder(function.append_basic_block()), long)
    build = code.build
    moved = build.alloca(long)
    variables = tuple(build.alloca(long) for _ in range(4 + 2 * PORTS))
    again, behind = function.append_basic_block(), function.append_basic_block()
    build.branch(again)
    build.position_at_end(again)
    build.store(code.number(0), moved)
    with loop(build, count) as index:  # most actors have one port at either end, which is quicker
        row = build.add(actors, build.mul(index, code.number(ACTOR_COLUMNS * WORD)))
        with build.if_then(code.is_not(code.load(row, ASKED), 0)):
            code.store(code.number(0), row, ASKED)
            with build.if_else(code.is_not(code.load(row, IS_WIDE), 0)) as (wide, narrow):
                for branch, ports in ((wide, PORTS), (narrow, 1)):
                    with branch:
                        _build_way(code, row, ports, variables, moved)
    build.cbranch(code.is_not(build.load(moved), 0), again, behind)
    build.position_at_end(behind)
    build.ret_void()
    return function


@dataclass(frozen=True, slots=True)
class _Code:
    """What is being built, with words in memory and choices."""

    ir: Any
    build: Any
    long: Any

    def number(self, value: int) -> Any:
        return self.ir.Constant(self.long, value)

    def load(self, base: Any, index: Any) -> Any:
        return build_load(self.build, base, index, self.long)

    def store(self, value: Any, base: Any, index: Any) -> None:
        self.build.store(value, build_pointer(self.build, base, index, self.long))

    def store_in_row(self, value: Any, base: Any, index: Any) -> None:
        """Into an array that is filled word by word: memory that is soon needed is asked for now,
        which takes a quarter off large designs."""
        self.store(value, base, index)
        ahead = self.build.add(index, self.number(WORDS_AHEAD))
        place = build_pointer(self.build, base, ahead, self.long)
        kind, word = self.ir.IntType(8).as_pointer(), self.ir.IntType(32)
        hints = [self.ir.Constant(word, hint) for hint in (1, 3, 1)]  # to write, to keep, data
        function = self.ir.FunctionType(self.ir.VoidType(), [kind, word, word, word])
        prefetch = self.build.module.declare_intrinsic("llvm.prefetch.p0", (), function)
        self.build.call(prefetch, [self.build.bitcast(place, kind), *hints])

    def is_not(self, value: Any, other: Any) -> Any:
        other = self.number(other) if isinstance(other, int) else other
        return self.build.icmp_signed("!=", value, other)

    def has(self, word: Any, bit: int) -> Any:
        return self.build.trunc(self.build.lshr(word, self.number(bit)), self.ir.IntType(1))

    def add_to(self, variable: Any, value: int) -> None:
        self.build.store(self.build.add(self.build.load(variable), self.number(value)), variable)

    def go_on_if(self, condition: Any, elsewhere: Any) -> None:
        on = self.build.append_basic_block()
        self.build.cbranch(condition, on, elsewhere)
        self.build.position_at_end(on)

    def keep_later(self, variable: Any, time: Any) -> None:
        before = self.build.load(variable)
        is_later = self.build.icmp_signed(">", time, before)
        self.build.store(self.build.select(is_later, time, before), variable)


def _build_way(code: _Code, row: Any, ports: int, variables: Sequence[Any], moved: Any) -> None:
    """An actor's steps until it is done or has to wait. What changes on the way is held in
    variables, which become registers."""
    build = code.build
    left, at, free_at, when = variables[:4]
    done, given = variables[4 : 4 + PORTS][:ports], variables[4 + PORTS :][:ports]
    sources = [code.load(row, STREAMS + port) for port in range(ports)]
    sinks = [code.load(row, STREAMS + PORTS + port) for port in range(ports)]
    arrived = [(code.load(x, THERE), code.load(x, THERE_COUNT)) for x in sources]
    places = [(code.load(x, FREED), code.load(x, FREED_COUNT)) for x in sinks]
    freed = [code.load(x, FREED) for x in sources]
    there = [code.load(x, THERE) for x in sinks]
    depths = [code.load(x, DEPTH) for x in sinks]
    length, pattern = code.load(row, LENGTH), code.load(row, PATTERN)
    latency, release = code.load(row, LATENCY), code.load(row, RELEASE)
    kept = [(left, LEFT), (at, AT), (free_at, FREE_AT)]
    for variable, column in kept:
        build.store(code.load(row, column), variable)
    ends = [*zip(done, sources, [FREED_COUNT] * ports, [WRITER] * ports, strict=True)]
    ends += zip(given, sinks, [THERE_COUNT] * ports, [READER] * ports, strict=True)
    for variable, stream, column, _ in ends:
        build.store(code.load(stream, column), variable)
    before = [build.load(variable) for variable, *_ in ends]
    head, waits = build.append_basic_block(), build.append_basic_block()
    build.branch(head)
    build.position_at_end(head)
    code.go_on_if(code.is_not(build.load(left), 0), waits)
    word = code.load(pattern, build.load(at))
    build.store(build.load(free_at), when)
    for port, (beats, beats_count) in enumerate(arrived):
        with build.if_then(code.has(word, READS + port)):
            number = build.load(done[port])
            code.go_on_if(build.icmp_signed("<", number, beats_count), waits)
            code.keep_later(when, code.load(beats, number))
    for port, (let_go, let_go_count) in enumerate(places):
        with build.if_then(code.has(word, RESERVES + port)):
            needed = build.sub(build.load(given[port]), depths[port])
            with build.if_then(build.icmp_signed(">=", needed, code.number(0))):
                code.go_on_if(build.icmp_signed("<", needed, let_go_count), waits)
                code.keep_later(when, build.add(code.load(let_go, needed), code.number(1)))
    began = build.load(when)
    ended = build.add(began, build.lshr(word, code.number(CYCLES)))
    build.store(ended, free_at)
    for port in range(ports):
        with build.if_then(code.has(word, FREES + port)):
            code.store_in_row(build.add(ended, release), freed[port], build.load(done[port]))
            code.add_to(done[port], 1)
    for port in range(ports):
        with build.if_then(code.has(word, YIELDS + port)):
            code.store_in_row(build.add(began, latency), there[port], build.load(given[port]))
            code.add_to(given[port], 1)
    code.add_to(at, 1)
    goes_on = code.is_not(build.load(at), length)
    build.store(build.select(goes_on, build.load(at), code.number(0)), at)
    code.add_to(left, -1)
    build.branch(head)
    build.position_at_end(waits)
    for variable, column in kept:
        code.store(build.load(variable), row, column)
    for (variable, stream, column, other), old in zip(ends, before, strict=True):
        with build.if_then(code.is_not(build.load(variable), old)):
            code.store(build.load(variable), stream, column)
            code.store(code.number(1), code.load(stream, other), 0)
            build.store(code.number(1), moved)
