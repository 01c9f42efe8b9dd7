# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""When everything happens: the exact cycle of every step, by the rule that blocks act as soon as
they can.

A step happens one cycle after the one before it, or when the beat it reads is there, or one cycle
after a place in its queue has become free: the latest of these. Gaps outside and back-pressure are
left out; with them a design only gets later, never different.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from edgeinfer.base.errors import DisagreementError
from edgeinfer.targets.rtl.design.netlist import (
    OFFERED,
    SENT,
    Actor,
    BlockStep,
    Netlist,
)
from quantization.fixed import Ints

LONG_AGO = -(1 << 20)  # a design has been idle before: constants and padding are in place
NEVER = 1 << 62
INNER = 2  # banks of a gather, places of an egress


@dataclass(slots=True)
class _Edge:
    """A stream in time: when each beat is there, and when each was let go of."""

    depth: int | None  # None: no limit
    there: list[int] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)


# A step by the times of the streams that it reads (there and let go of) and lets go of, of those
# in which it needs a place (with their depths), and of those into which it puts a beat.
_WideStep = tuple[
    list[tuple[list[int], list[int]]],
    list[list[int]],
    list[tuple[list[int], list[int], int]],
    list[list[int]],
    int,
]


@dataclass(slots=True)
class _Run:
    """An actor on its way through the frames."""

    actor: Actor
    ins: tuple[_Edge, ...]
    outs: tuple[_Edge, ...]
    steps: int
    done: int = 0
    at: int = 0  # place in the pattern, of one that is no line
    free_at: int = LONG_AGO
    blocking: _Edge | None = None  # where it waits, if that is one stream
    is_line: bool = field(init=False)  # it reads one stream at most and writes one at most
    line: Iterator[bool] = field(init=False)
    wide: list[_WideStep] = field(init=False)

    def __post_init__(self) -> None:
        self.is_line = len(self.ins) <= 1 and len(self.outs) <= 1
        self.line = self._go_line()
        self.wide = [] if self.is_line else _wide(self.actor.pattern, self.ins, self.outs)

    def advance(self) -> bool:
        """Go on as far as the times of others are known; whether that changed any stream."""
        if self.is_line:
            return next(self.line, False)
        before = self.done
        self._advance_any()
        return self.done > before

    def _advance_any(self) -> None:
        """With any number of inputs and outputs."""
        steps, length = self.wide, len(self.wide)
        latency, release = self.actor.latency, self.actor.release - 1
        at, free_at, done = self.at, self.free_at, self.done
        while done < self.steps:
            reads, frees, reserved, yielded, cycles = steps[at]
            when = free_at
            for there, freed in reads:
                taken = len(freed)
                if taken >= len(there):
                    when = NEVER
                    break
                when = max(when, there[taken])
            for full, let_go, depth in reserved:
                needed = len(full) - depth
                if needed >= len(let_go):
                    when = NEVER
                    break
                if needed >= 0:
                    when = max(when, let_go[needed] + 1)
            if when == NEVER:
                break
            free_at = when + cycles
            for freed in frees:
                freed.append(free_at + release)
            for beats in yielded:
                beats.append(when + latency)
            at = at + 1 if at + 1 < length else 0
            done += 1
        self.at, self.free_at, self.done = at, free_at, done

    def _go_line(self) -> Iterator[bool]:
        """The same with at most one of each, as most blocks have, and several times as fast. It
        stops wherever it has to wait, and says whether it has changed a stream since."""
        pattern, latency, release = self.actor.pattern, self.actor.latency, self.actor.release - 1
        source = self.ins[0] if self.ins else _Edge(None)
        sink = self.outs[0] if self.outs else _Edge(None)
        there, freed, given, let_go = source.there, source.freed, sink.there, sink.freed
        depth = NEVER if sink.depth is None else sink.depth
        read_count = given_count = before = there_count = places = 0
        free_at = self.free_at
        rounds = self.steps // len(pattern) if pattern else 0  # none in a frame without sites
        for _ in range(rounds):
            for step in pattern:
                if step.reads:
                    while read_count >= there_count:
                        there_count = len(there)
                        if read_count >= there_count:
                            self.blocking, self.free_at = source, free_at
                            yield read_count + given_count > before
                            before = read_count + given_count
                    arrived = there[read_count]
                    if arrived > free_at:
                        free_at = arrived
                if step.reserves and given_count >= depth:
                    while given_count - depth >= places:
                        places = len(let_go)
                        if given_count - depth >= places:
                            self.blocking, self.free_at = sink, free_at
                            yield read_count + given_count > before
                            before = read_count + given_count
                    place = let_go[given_count - depth] + 1
                    if place > free_at:
                        free_at = place
                if step.yields:
                    given.append(free_at + latency)
                    given_count += 1
                free_at += step.cycles
                if step.frees:
                    freed.append(free_at + release)
                    read_count += 1
        self.free_at, self.done = free_at, self.steps
        yield read_count + given_count > before


def _wide(
    pattern: tuple[BlockStep, ...], ins: Sequence[_Edge], outs: Sequence[_Edge]
) -> list[_WideStep]:
    steps = []
    for step in pattern:
        sinks = _chosen_edges(outs, step.gives)
        reserved = [(e.there, e.freed, e.depth) for e in sinks if e.depth is not None]
        steps.append(
            (
                [(edge.there, edge.freed) for edge in _chosen_edges(ins, step.reads)],
                [edge.freed for edge in _chosen_edges(ins, step.frees)],
                reserved if step.reserves else [],
                [edge.there for edge in sinks] if step.yields else [],
                step.cycles,
            )
        )
    return steps


def _chosen_edges(edges: Sequence[_Edge], bits: int) -> list[_Edge]:
    return [edge for bit, edge in enumerate(edges) if bits >> bit & 1]


@dataclass(frozen=True, slots=True)
class Times:
    """What happened: for each stream, when each beat was there, and when it was let go of."""

    there: Mapping[str, Ints]
    freed: Mapping[str, Ints]
    latency: Mapping[str, int]
    depths: Mapping[str, int | None] = field(default_factory=dict)  # of the queues behind the times
    pace: int = 0  # of the beats behind them

    @staticmethod
    def of(
        netlist: Netlist,
        there: Mapping[str, ArrayLike],
        freed: Mapping[str, ArrayLike],
    ) -> Times:
        """The times of a netlist's streams."""
        return Times(
            {name: np.asarray(beats, dtype=np.int64) for name, beats in there.items()},
            {name: np.asarray(beats, dtype=np.int64) for name, beats in freed.items()},
            {name: actor.latency for actor in netlist.actors for name in actor.outputs},
        )

    def occupancy(self, stream: str) -> int:
        """The most places of a stream's queue that were taken at once."""
        return most_at_once(self.there[stream], self.freed[stream], self.latency[stream])


def most_at_once(there: ArrayLike, freed: ArrayLike, latency: int) -> int:
    """A place is taken when a beat is started on, and free the cycle after it has gone."""
    begun = np.asarray(there, dtype=np.int64) - latency
    taken = np.arange(1, len(begun) + 1) - np.searchsorted(np.asarray(freed, np.int64), begun)
    return int(taken.max(initial=0))


def simulate_frames(
    netlist: Netlist, depths: Mapping[str, int | None], frames: int, pace: int = 0
) -> Times:
    """Run whole frames into sinks that are always ready, step by step: back to back, or with their
    beats spread evenly over `pace` cycles each."""
    runs, edges = _prepare_runs(netlist, depths, frames, pace)
    _finish(runs, netlist.name)
    there = {name: edge.there for name, edge in edges.items()}
    return Times.of(netlist, there, {name: edge.freed for name, edge in edges.items()})


@dataclass(frozen=True, slots=True)
class IdleDesign:
    """What a design does before anything has gone in, for padding and constants at a frame's
    beginning: beats of a frame by output, and the cycles after which nothing moves."""

    beats: Mapping[str, int]
    cycles: int


def idle_design(netlist: Netlist) -> IdleDesign:
    """Run a design without inputs until all wait."""
    runs, edges = _prepare_runs(netlist, netlist.depths, 1, 0)
    for port in netlist.inputs:
        edges[f"{port.stream}{OFFERED}"].there.clear()
    while sum(run.advance() for run in runs):
        pass
    beats = {port.name: len(edges[f"{port.stream}{SENT}"].freed) for port in netlist.outputs}
    return IdleDesign(beats, max(run.free_at for run in runs) - LONG_AGO)


def limit_of(stream: str, depths: Mapping[str, int | None]) -> int | None:
    """The depth of a stream's queue, those inside a block among them; None: no limit."""
    return INNER if "." in stream else depths[stream]


def _prepare_runs(
    netlist: Netlist, depths: Mapping[str, int | None], frames: int, pace: int
) -> tuple[list[_Run], dict[str, _Edge]]:
    edges = {
        name: _Edge(limit_of(name, depths)) for actor in netlist.actors for name in actor.outputs
    }
    for name, beats in offered_beats(netlist.actors, frames, pace).items():
        edges[name] = _Edge(None, there=beats.tolist())
    return [_start_actor(actor, edges, frames) for actor in netlist.actors], edges


def offered_beats(actors: Sequence[Actor], frames: int, pace: int) -> dict[str, Ints]:
    """When each beat is there outside a design, by stream."""
    offered = {}
    for actor in actors:
        if actor.inputs and actor.inputs[0].endswith(OFFERED):
            beats = actor.repeats * len(actor.pattern)
            offered[actor.inputs[0]] = np.arange(beats * frames) * pace // beats
    return offered


def _start_actor(actor: Actor, edges: Mapping[str, _Edge], frames: int) -> _Run:
    steps = len(actor.pattern) * actor.repeats * frames
    return _Run(
        actor,
        tuple(edges[name] for name in actor.inputs),
        tuple(edges[name] for name in actor.outputs),
        steps,
    )


def _finish(runs: Sequence[_Run], name: str) -> None:
    """Let every actor go on until all are done. One that has to wait is asked again when the actor
    has moved at the other end of the stream where it waits; in which order they are asked changes
    no time."""
    beside = _find_neighbours(runs)
    advance = [partial(next, run.line, False) if run.is_line else run.advance for run in runs]
    waiting = deque(range(len(runs)))
    waits = [False] * len(runs)  # and is not done
    while waiting:
        place = waiting.popleft()
        changed = advance[place]()
        waits[place] = runs[place].done < runs[place].steps
        if changed:
            for other, run, edge in beside[place]:
                if waits[other] and (run.blocking is None or run.blocking is edge):
                    waits[other] = False
                    waiting.append(other)
    check_ended([run.actor for run in runs if run.done < run.steps], name)


def check_ended(stuck: Sequence[Actor], name: str) -> None:
    """An error where actors of a design are left that wait."""
    if stuck:
        places = ", ".join(actor.outputs[0] if actor.outputs else "-" for actor in stuck)
        raise DisagreementError(
            f"{name}: the design would wait for ever at {places}: a queue is too short.",
            hint="Please report this, with the model.",
        )


def _find_neighbours(runs: Sequence[_Run]) -> list[list[tuple[int, _Run, _Edge]]]:
    """For each actor, those that write what it reads or read what it writes, and that stream."""
    ends: dict[int, list[int]] = {}
    for place, run in enumerate(runs):
        for edge in (*run.ins, *run.outs):
            ends.setdefault(id(edge), []).append(place)
    return [
        [
            (other, runs[other], edge)
            for edge in (*run.ins, *run.outs)
            for other in ends[id(edge)]
            if other != place
        ]
        for place, run in enumerate(runs)
    ]
