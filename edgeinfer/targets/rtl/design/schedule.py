# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The cycles of all steps of a block at once, and of a design as what no block changes any more.

A step's cycle is the largest of sums: of the step before it and of the beats and places that it
waits for. With the times of its streams given, all steps of a block follow from a running maximum.
Beginning with any times, the blocks are reckoned again until none changes: as every step waits for
earlier ones only, there is one such answer, and it is the one that `timing.py` finds step by step.
Near times make few turns. Where blocks hold each other up, many would be needed; then that one is
asked. Where machine code can be made, it goes step by step from the first, which is quicker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgeinfer.targets.rtl.design.netlist import (
    OFFERED,
    Actor,
    Netlist,
    Pattern,
    distinct_steps,
    steps_of,
)
from edgeinfer.targets.rtl.design.stepper import Stepper, can_step
from edgeinfer.targets.rtl.design.timing import (
    LONG_AGO,
    Times,
    check_ended,
    limit_of,
    offered_beats,
    simulate_frames,
)
from quantization.fixed import Ints

MOST_TURNS = 4  # what takes more takes many more as a rule, and five times as many take as long as
# going step by step
MOST_TURNS_BESIDE_CODE = 1 / 16  # machine code does a whole run in the time of a third of a turn
FEW_STEPS = 500  # of a block on average; with fewer, going step by step is quicker
LEAST_STEPPED = 1 << 16  # steps of a run for which machine code, which takes a tenth of a second to
# make, is made
TOO_EARLY = 2 * LONG_AGO

Depths = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class CourseSource:
    """A stream that an actor reads: the steps that wait for a beat, and for which; the steps that
    let go of the next."""

    name: str
    readers: Ints
    beats: Ints
    freers: Ints


@dataclass(frozen=True, slots=True)
class CourseSink:
    """A stream that an actor fills: the steps that need a place, and for which beat; the steps that
    yield the next."""

    name: str
    reservers: Ints
    beats: Ints
    yielders: Ints


@dataclass(frozen=True, slots=True)
class Course:
    """An actor through all frames. `starts`: the cycles of its steps if it never waits."""

    starts: Ints
    cycles: Ints
    latency: int
    release: int
    sources: tuple[CourseSource, ...]
    sinks: tuple[CourseSink, ...]


@dataclass(slots=True)
class Schedule:
    """The times of a netlist's streams, with whatever depths. Those of its own are not used."""

    netlist: Netlist
    actors: tuple[Actor, ...] = field(init=False)
    steps: int = field(init=False)  # of a frame
    no_times: Times = field(init=False)  # what is the same whatever the depths
    stepper: Stepper = field(init=False)
    patterns: dict[int, Pattern] = field(default_factory=dict)  # by actor
    courses: dict[tuple[int, int], Course] = field(default_factory=dict)  # by actor and frames

    def __post_init__(self) -> None:
        self.actors = self.netlist.actors
        self.steps = sum(map(steps_of, self.actors))
        self.no_times = Times.of(self.netlist, {}, {})
        self.stepper = Stepper()

    def times(
        self, depths: Depths, frames: int, pace: int = 0, start: Times | None = None
    ) -> Times:
        """Run whole frames into sinks that are always ready: back to back, or with their beats
        spread evenly over `pace` cycles each.

        start: times near these, if any are known, which may make it quicker
        """
        is_stepped = self.is_stepped(frames)
        near = start if start is not None and self._is_of(start, frames, pace) else None
        times = None
        if is_stepped and near is not None:
            times = self.times_at_once(depths, frames, pace, near, MOST_TURNS_BESIDE_CODE)
        elif not is_stepped and not self.is_short(frames):
            times = self.times_at_once(depths, frames, pace, near)
        if times is not None:
            return times
        if not is_stepped:
            times = simulate_frames(self.netlist, depths, frames, pace)
            return replace(times, depths=depths, pace=pace)
        limits = {name: limit_of(name, depths) for a in self.actors for name in a.outputs}
        offered = offered_beats(self.actors, frames, pace)
        patterns = [self.pattern(at) for at in range(len(self.actors))]
        found = self.stepper.step(self.actors, patterns, offered, limits, frames)
        check_ended(found.stuck, self.netlist.name)
        return replace(
            self.no_times, there=found.there, freed=found.freed, depths=depths, pace=pace
        )

    def is_short(self, frames: int) -> bool:
        """Whether going step by step is quicker than reckoning all steps of a block at once."""
        return frames * self.steps < FEW_STEPS * len(self.actors)

    def is_stepped(self, frames: int) -> bool:
        """Whether machine code goes step by step."""
        return frames * self.steps >= LEAST_STEPPED and can_step(self.actors)

    def times_at_once(
        self,
        depths: Depths,
        frames: int,
        pace: int = 0,
        start: Times | None = None,
        turns: float = MOST_TURNS,
    ) -> Times | None:
        """The same without going step by step; None where so many turns do not find them.

        start: times of as many frames at this pace. From them only what waits for a queue of
        another depth is reckoned, and what that changes
        """
        return _reckon(self, depths, frames, pace, start, turns)

    def course(self, at: int, frames: int) -> Course:
        """An actor through so many frames."""
        if (at, frames) not in self.courses:
            self.courses[at, frames] = _course_of(self.actors[at], self.pattern(at), frames)
        return self.courses[at, frames]

    def slowest(self) -> int:
        """Cycles a frame of the block that takes the most, below which no interval can be."""
        busy = []
        for at, actor in enumerate(self.actors):
            steps, order = self.pattern(at)
            cycles = np.array([step.cycles for step in steps], dtype=np.int64)
            busy.append(actor.repeats * int(np.bincount(order, minlength=len(steps)) @ cycles))
        return max(busy)

    def pattern(self, at: int) -> Pattern:
        """An actor's different steps."""
        if at not in self.patterns:
            self.patterns[at] = distinct_steps(self.actors[at])
        return self.patterns[at]

    def _is_of(self, times: Times, frames: int, pace: int) -> bool:
        """Whether times are of so many frames, at this pace."""
        netlist = self.netlist
        beats = {f"{port.stream}{OFFERED}": port.stream for port in netlist.inputs}
        return times.pace == pace and all(
            len(times.freed[name]) == frames * netlist.streams[stream].beats
            for name, stream in beats.items()
        )


def _reckon(
    schedule: Schedule,
    depths: Depths,
    frames: int,
    pace: int,
    start: Times | None,
    turns: float,
) -> Times | None:
    """The times; None where they are not found, or there are none."""
    actors = schedule.actors
    readers = {name: at for at, actor in enumerate(actors) for name in actor.inputs}
    writers = {name: at for at, actor in enumerate(actors) for name in actor.outputs}
    limits = {name: limit_of(name, depths) for name in writers if name in readers}
    if start is None:
        courses = [schedule.course(at, frames) for at in range(len(actors))]
        there = {sink.name: _early(sink.yielders) for course in courses for sink in course.sinks}
        freed = {each.name: _early(each.freers) for course in courses for each in course.sources}
        there |= offered_beats(actors, frames, pace)
        open_places = set(range(len(actors)))
    else:
        there, freed = dict(start.there), dict(start.freed)
        open_places = {
            writers[name] for name, limit in limits.items() if limit_of(name, start.depths) != limit
        }
    budget = turns * frames * schedule.steps
    for order in _turns(len(actors)):
        for at in order:
            if at not in open_places:
                continue
            open_places.discard(at)
            budget -= frames * steps_of(actors[at])
            if budget < 0:
                return None
            course = schedule.course(at, frames)
            when = _cycles_of(course, there, freed, limits)
            if when is None:
                return None
            for sink in course.sinks:
                beats = when[sink.yielders] + course.latency
                if not np.array_equal(beats, there[sink.name]):
                    there[sink.name] = beats
                    open_places |= {readers[sink.name]} if sink.name in readers else set()
            for source in course.sources:
                ends = when[source.freers] + course.cycles[source.freers] + course.release - 1
                if not np.array_equal(ends, freed[source.name]):
                    freed[source.name] = ends
                    open_places |= {writers[source.name]} if source.name in writers else set()
        if not open_places:
            break
    return replace(schedule.no_times, there=there, freed=freed, depths=depths, pace=pace)


def _turns(count: int) -> Iterator[Sequence[int]]:
    """Beats go one way, and places the other."""
    while True:
        yield range(count)
        yield range(count)[::-1]


def _cycles_of(
    course: Course, there: Mapping[str, Ints], freed: Mapping[str, Ints], limits: Depths
) -> Ints | None:
    """The cycle of each step; None where a step waits for what never comes."""
    late = np.full(len(course.starts), LONG_AGO)
    for source in course.sources:
        if len(source.beats) and source.beats[-1] >= len(there[source.name]):
            return None
        arrived = there[source.name][source.beats] - course.starts[source.readers]
        late[source.readers] = np.maximum(late[source.readers], arrived)
    for sink in course.sinks:
        depth = limits.get(sink.name)
        if depth is None:
            continue
        first = int(np.searchsorted(sink.beats, depth))
        steps, left = sink.reservers[first:], sink.beats[first:] - depth
        if len(left) and left[-1] >= len(freed[sink.name]):
            return None
        late[steps] = np.maximum(late[steps], freed[sink.name][left] + 1 - course.starts[steps])
    cycles: Ints = np.maximum.accumulate(late) + course.starts
    return cycles


def _course_of(actor: Actor, pattern: Pattern, frames: int) -> Course:
    steps, order = pattern
    order = np.tile(order, actor.repeats * frames)

    def places(does: Iterable[int]) -> Ints:
        """The steps that do something, by what each different step does."""
        return np.flatnonzero(np.array([bool(one) for one in does])[order])

    sources = []
    for bit, name in enumerate(actor.inputs):
        readers = places(step.reads >> bit & 1 for step in steps)
        freers = places(step.frees >> bit & 1 for step in steps)
        sources.append(CourseSource(name, readers, _beats_before(readers, freers), freers))
    sinks = []
    for bit, name in enumerate(actor.outputs):
        reservers = places(step.reserves * (step.gives >> bit & 1) for step in steps)
        yielders = places(step.yields * (step.gives >> bit & 1) for step in steps)
        sinks.append(CourseSink(name, reservers, _beats_before(reservers, yielders), yielders))
    cycles = np.array([step.cycles for step in steps], dtype=np.int64)[order]
    starts = np.cumsum(cycles) - cycles
    return Course(starts, cycles, actor.latency, actor.release, tuple(sources), tuple(sinks))


def _beats_before(steps: Ints, movers: Ints) -> Ints:
    """How many beats have moved before each of these steps."""
    if len(steps) == len(movers) and np.array_equal(steps, movers):
        return np.arange(len(steps))
    return np.searchsorted(movers, steps)


def _early(steps: Ints) -> Ints:
    return np.full(len(steps), TOO_EARLY)
