# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""When everything happens: the exact cycle of every step, by the rule that blocks act as soon as
they can.

A step happens one cycle after the one before it, or when the beat it reads is there, or one cycle
after a place in its queue has become free: the latest of these. Gaps outside and back-pressure are
left out; with them a design only gets later, never different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgeinfer.errors import DisagreementError
from edgeinfer.targets.rtl.netlist import Actor, Netlist

LONG_AGO = -(1 << 20)  # a design has been idle before: constants and padding are in place
BANKS = 2  # of a gather


@dataclass(slots=True)
class _Edge:
    """A stream in time: when each beat is there, and when each was let go of."""

    depth: int | None  # None: no limit
    there: list[int] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """An actor on its way through the frames."""

    actor: Actor
    ins: tuple[_Edge, ...]
    outs: tuple[_Edge, ...]
    steps: int
    done: int = 0
    at: int = 0  # place in the pattern
    free_at: int = 0
    taken: list[int] = field(default_factory=list)  # beats let go of, by input

    def advance(self) -> bool:
        """Go on as far as the times of others are known; whether that was any way."""
        before = self.done
        pattern, length = self.actor.pattern, len(self.actor.pattern)
        latency, release = self.actor.latency, self.actor.release
        ins, outs, taken = self.ins, self.outs, self.taken
        at, done, free_at = self.at, self.done, self.free_at
        while done < self.steps:
            step = pattern[at]
            when = free_at
            if step.reads:
                for number, edge in enumerate(ins):
                    if step.reads >> number & 1:
                        if taken[number] >= len(edge.there):
                            break
                        when = max(when, edge.there[taken[number]])
                else:
                    number = -1
                if number >= 0:
                    break
            if step.reserves:
                blocked = False
                for edge in outs:
                    if edge.depth is not None:
                        needed = len(edge.there) - edge.depth
                        if needed >= len(edge.freed):
                            blocked = True
                            break
                        if needed >= 0:
                            when = max(when, edge.freed[needed] + 1)
                if blocked:
                    break
            free_at = when + step.cycles
            if step.frees:
                for number, edge in enumerate(ins):
                    if step.frees >> number & 1:
                        edge.freed.append(free_at - 1 + release)
                        taken[number] += 1
            if step.yields:
                for edge in outs:
                    edge.there.append(when + latency)
            at = at + 1 if at + 1 < length else 0
            done += 1
        self.at, self.done, self.free_at = at, done, free_at
        return done > before


@dataclass(frozen=True, slots=True)
class Times:
    """What happened: for each stream, when each beat was there, and when it was let go of."""

    frames: int
    there: Mapping[str, list[int]]
    freed: Mapping[str, list[int]]

    def occupancy(self, stream: str) -> int:
        """The most beats that were in a stream's queue, or on their way there, at once."""
        there, freed = self.there[stream], self.freed[stream]
        return most_at_once(there, freed)


def most_at_once(there: list[int], freed: list[int]) -> int:
    """The most beats that had come and not gone: those that go in a cycle are still held in it."""
    most = gone = 0
    for number, when in enumerate(there, start=1):
        while gone < len(freed) and freed[gone] < when:
            gone += 1
        most = max(most, number - gone)
    return most


def simulated(netlist: Netlist, depths: Mapping[str, int | None], frames: int) -> Times:
    """Run whole frames, back to back, into sinks that are always ready."""
    edges: dict[str, _Edge] = {}
    for block in netlist.blocks:
        for actor in block.actors:
            for name in actor.outputs:
                depth = BANKS if name.endswith(".banks") else depths[name]
                edges[name] = _Edge(depth)
            if actor.inputs and actor.inputs[0].endswith(".port"):
                beats = actor.repeats * len(actor.pattern) * frames
                edges[actor.inputs[0]] = _Edge(None, there=[0] * beats)
    runs = [_started(actor, edges, frames) for actor in netlist.actors]
    _finish(runs, netlist.name)
    return Times(
        frames,
        {name: edge.there for name, edge in edges.items()},
        {name: edge.freed for name, edge in edges.items()},
    )


def _started(actor: Actor, edges: Mapping[str, _Edge], frames: int) -> _Run:
    steps = len(actor.pattern) * actor.repeats * frames
    return _Run(
        actor,
        tuple(edges[name] for name in actor.inputs),
        tuple(edges[name] for name in actor.outputs),
        steps,
        free_at=LONG_AGO,
        taken=[0] * len(actor.inputs),
    )


def _finish(runs: Iterable[_Run], name: str) -> None:
    waiting = list(runs)
    while waiting:
        moved = False
        for run in waiting:
            moved |= run.advance()
        waiting = [run for run in waiting if run.done < run.steps]
        if waiting and not moved:
            stuck = ", ".join(run.actor.outputs[0] if run.actor.outputs else "-" for run in waiting)
            raise DisagreementError(
                f"{name}: the design would wait for ever at {stuck}: a queue is too short.",
                hint="Please report this, with the model.",
            )
