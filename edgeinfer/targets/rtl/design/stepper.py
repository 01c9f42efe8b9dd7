# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The rule of `timing.py` in machine code: the cycle of every step, some fifty times as fast.

Actors and streams are rows of int64, which refer to each other by address. An actor goes on until
it has to wait; whenever one has moved, those at the other ends of its streams are asked again. In
which order they are asked changes no time.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.base.machine_code import MachineCode, compile_function, has_llvmlite, loop
from edgeinfer.targets.rtl.design.netlist import Actor, BlockStep
from edgeinfer.targets.rtl.design.timing import LONG_AGO
from quantization.fixed import Ints

PORTS = 3  # inputs, and outputs, that an actor may have here
WORD = 8  # bytes
NO_LIMIT = 1 << 62

# Columns of an actor's row; behind them the addresses of its inputs' and its outputs' rows.
LEFT, AT, LENGTH, PATTERN, LATENCY, RELEASE, FREE_AT, ASKED, STREAMS = range(9)
ACTOR_COLUMNS = STREAMS + 2 * PORTS
# Columns of a stream's row. READER and WRITER are addresses of these actors' ASKED.
THERE, THERE_COUNT, FREED, FREED_COUNT, DEPTH, READER, WRITER, STREAM_COLUMNS = range(8)
# A step in one word: bits by input and by output, then its cycles.
READS, FREES, RESERVES, YIELDS, CYCLES = (PORTS * place for place in range(5))
NAME = "step_actors"


def can_step(actors: Sequence[Actor]) -> bool:
    """Whether machine code can be made here, and is made for such actors."""
    widest = max((max(len(a.inputs), len(a.outputs)) for a in actors), default=0)
    return widest <= PORTS and has_llvmlite()


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


def _pattern_words(actor: Actor) -> Ints:
    """The steps of a pattern as the machine code reads them."""
    steps = {id(step): step for step in actor.pattern}  # few objects as a rule
    words = {name: _word_of(step, len(actor.outputs)) for name, step in steps.items()}
    return np.fromiter(map(words.__getitem__, map(id, actor.pattern)), np.int64)


@dataclass(frozen=True, slots=True)
class SteppedTimes:
    """By stream, when each beat was there and let go of; and the actors that wait for ever."""

    there: Mapping[str, Ints]
    freed: Mapping[str, Ints]
    stuck: tuple[Actor, ...]


@dataclass(slots=True)
class Stepper:
    """Steps actors; their patterns are read once."""

    words: dict[int, tuple[Actor, Ints]] = field(default_factory=dict)  # by the actor's identity

    def step(
        self,
        actors: Sequence[Actor],
        offered: Mapping[str, Ints],
        depths: Mapping[str, int | None],
        frames: int,
    ) -> SteppedTimes:
        """Let actors go on until all are done or none can. `offered`: the beats of streams that
        nobody fills; `depths`: of the others."""
        patterns = [self._words_of(actor) for actor in actors]
        streams = sorted({name for a in actors for name in (*a.inputs, *a.outputs)})
        places = {name: at for at, name in enumerate(streams)}
        there = {name: np.empty(0, np.int64) for name in streams} | dict(offered)
        freed = {name: np.empty(0, np.int64) for name in streams}
        rows = np.zeros((len(actors) + 1, ACTOR_COLUMNS), np.int64)  # the last is nobody
        edges = np.zeros((len(streams) + 1, STREAM_COLUMNS), np.int64)  # the last is no stream
        rows[:, STREAMS:] = _address(edges, len(streams))
        edges[:, (READER, WRITER)] = _address(rows, len(actors), ASKED)
        edges[:, DEPTH] = NO_LIMIT
        for at, (actor, pattern) in enumerate(zip(actors, patterns, strict=True)):
            times = actor.repeats * frames
            asked = _address(rows, at, ASKED)
            for port, name in enumerate(actor.inputs):
                freed[name] = np.empty(_count_bit(pattern, FREES + port) * times, np.int64)
                edges[places[name], READER] = asked
                rows[at, STREAMS + port] = _address(edges, places[name])
            for port, name in enumerate(actor.outputs):
                there[name] = np.empty(_count_bit(pattern, YIELDS + port) * times, np.int64)
                edges[places[name], WRITER] = asked
                edges[places[name], DEPTH] = _limit(depths[name])
                rows[at, STREAMS + PORTS + port] = _address(edges, places[name])
            rows[at, :STREAMS] = (
                len(pattern) * times,
                0,
                len(pattern),
                pattern.ctypes.data,
                actor.latency,
                actor.release - 1,
                LONG_AGO,
                1,
            )
        for name, at in places.items():
            edges[at, (THERE, FREED)] = there[name].ctypes.data, freed[name].ctypes.data
        for name, beats in offered.items():
            edges[places[name], THERE_COUNT] = len(beats)
        _compile().function(rows.ctypes.data, len(actors))
        stuck = tuple(actor for actor, left in zip(actors, rows[:, LEFT], strict=False) if left)
        return SteppedTimes(there, freed, stuck)

    def _words_of(self, actor: Actor) -> Ints:
        if id(actor) not in self.words:
            self.words[id(actor)] = actor, _pattern_words(actor)
        return self.words[id(actor)][1]


def _limit(depth: int | None) -> int:
    return NO_LIMIT if depth is None else depth


def _count_bit(words: Ints, bit: int) -> int:
    return int(np.count_nonzero(words >> bit & 1))


def _address(table: Ints, row: int, column: int = 0) -> int:
    first: int = table.ctypes.data
    return first + (row * int(table.shape[1]) + column) * WORD


@functools.cache
def _compile() -> MachineCode:
    return compile_function(_module(), NAME, 2)


def _module() -> Any:
    """The code for LLVM. What an actor's way changes is held in variables until it has to wait."""
    from llvmlite import ir

    long = ir.IntType(WORD * 8)
    module = ir.Module(NAME)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [long] * 2), NAME)
    actors, count = function.args
    build = ir.IRBuilder(function.append_basic_block())
    names = (
        "moved",
        "left",
        "at",
        "free_at",
        "when",
        "done0",
        "done1",
        "done2",
        "given0",
        "given1",
        "given2",
    )
    cell = {name: build.alloca(long, name=name) for name in names}

    def number(value: int) -> Any:
        return ir.Constant(long, value)

    def place(base: Any, index: Any) -> Any:
        address = build.add(base, build.mul(index, number(WORD)))
        return build.inttoptr(address, long.as_pointer())

    def load(base: Any, index: int | Any) -> Any:
        return build.load(place(base, number(index) if isinstance(index, int) else index))

    def store(value: Any, base: Any, index: int | Any) -> None:
        build.store(value, place(base, number(index) if isinstance(index, int) else index))

    def has(word: Any, bit: int) -> Any:
        return build.trunc(build.lshr(word, number(bit)), ir.IntType(1))

    def keep_later(time: Any) -> None:
        when = build.load(cell["when"])
        build.store(build.select(build.icmp_signed(">", time, when), time, when), cell["when"])

    again, behind = function.append_basic_block(), function.append_basic_block()
    build.branch(again)
    build.position_at_end(again)
    build.store(number(0), cell["moved"])
    with loop(build, count) as index:
        row = build.add(actors, build.mul(index, number(ACTOR_COLUMNS * WORD)))
        with build.if_then(build.icmp_signed("!=", load(row, ASKED), number(0))):
            store(number(0), row, ASKED)
            sources = [load(row, STREAMS + port) for port in range(PORTS)]
            sinks = [load(row, STREAMS + PORTS + port) for port in range(PORTS)]
            arrived = [(load(x, THERE), load(x, THERE_COUNT), load(x, FREED)) for x in sources]
            places = [(load(x, FREED), load(x, FREED_COUNT), load(x, THERE)) for x in sinks]
            depths = [load(x, DEPTH) for x in sinks]
            length, pattern = load(row, LENGTH), load(row, PATTERN)
            latency, release = load(row, LATENCY), load(row, RELEASE)
            before = load(row, LEFT)
            build.store(before, cell["left"])
            build.store(load(row, AT), cell["at"])
            build.store(load(row, FREE_AT), cell["free_at"])
            for port in range(PORTS):
                build.store(load(sources[port], FREED_COUNT), cell[f"done{port}"])
                build.store(load(sinks[port], THERE_COUNT), cell[f"given{port}"])
            head, waits = function.append_basic_block(), function.append_basic_block()

            def go_on_if(condition: Any, waits: Any = waits) -> None:
                on = function.append_basic_block()
                build.cbranch(condition, on, waits)
                build.position_at_end(on)

            build.branch(head)
            build.position_at_end(head)
            go_on_if(build.icmp_signed("!=", build.load(cell["left"]), number(0)))
            word = load(pattern, build.load(cell["at"]))
            build.store(build.load(cell["free_at"]), cell["when"])
            for port, (beats, beats_count, _) in enumerate(arrived):
                with build.if_then(has(word, READS + port)):
                    done = build.load(cell[f"done{port}"])
                    go_on_if(build.icmp_signed("<", done, beats_count))
                    keep_later(load(beats, done))
            for port, (let_go, let_go_count, _) in enumerate(places):
                with build.if_then(has(word, RESERVES + port)):
                    needed = build.sub(build.load(cell[f"given{port}"]), depths[port])
                    with build.if_then(build.icmp_signed(">=", needed, number(0))):
                        go_on_if(build.icmp_signed("<", needed, let_go_count))
                        keep_later(build.add(load(let_go, needed), number(1)))
            when = build.load(cell["when"])
            ended = build.add(when, build.lshr(word, number(CYCLES)))
            build.store(ended, cell["free_at"])
            for port, (_, _, freed) in enumerate(arrived):
                with build.if_then(has(word, FREES + port)):
                    done = build.load(cell[f"done{port}"])
                    store(build.add(ended, release), freed, done)
                    build.store(build.add(done, number(1)), cell[f"done{port}"])
            for port, (_, _, there) in enumerate(places):
                with build.if_then(has(word, YIELDS + port)):
                    given = build.load(cell[f"given{port}"])
                    store(build.add(when, latency), there, given)
                    build.store(build.add(given, number(1)), cell[f"given{port}"])
            following = build.add(build.load(cell["at"]), number(1))
            is_last = build.icmp_signed("==", following, length)
            build.store(build.select(is_last, number(0), following), cell["at"])
            build.store(build.sub(build.load(cell["left"]), number(1)), cell["left"])
            build.branch(head)
            build.position_at_end(waits)
            left = build.load(cell["left"])
            with build.if_then(build.icmp_signed("!=", left, before)):
                build.store(number(1), cell["moved"])
                store(left, row, LEFT)
                store(build.load(cell["at"]), row, AT)
                store(build.load(cell["free_at"]), row, FREE_AT)
                for port in range(PORTS):
                    store(build.load(cell[f"done{port}"]), sources[port], FREED_COUNT)
                    store(build.load(cell[f"given{port}"]), sinks[port], THERE_COUNT)
                    store(number(1), load(sources[port], WRITER), 0)
                    store(number(1), load(sinks[port], READER), 0)
    build.cbranch(build.icmp_signed("!=", build.load(cell["moved"]), number(0)), again, behind)
    build.position_at_end(behind)
    build.ret_void()
    return module
