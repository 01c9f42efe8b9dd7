# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Why a design cannot be faster: circuits of steps that wait for each other from frame to frame.

A step begins when the last of what it waits for has happened. Going back from step to step by that,
one comes to the same step of an earlier frame: a circuit. It takes so many cycles for so many
frames, whatever else the design does, and so the design takes as long for each frame on average.
Only a longer queue on the circuit can change that.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from edgeinfer.targets.rtl.design.schedule import Course, CourseSink, CourseSource, Schedule
from edgeinfer.targets.rtl.design.timing import LONG_AGO, Times, limit_of
from quantization.fixed import Ints


@dataclass(frozen=True, slots=True)
class TracedStep:
    """A step of an actor in a frame, and the cycle in which it begins."""

    actor: int
    frame: int
    place: int  # among the actor's steps of a frame
    begin: int


@dataclass(frozen=True, slots=True)
class WaitCause:
    """What a step waited for: a beat of a stream, or a place in its queue, which a beat left."""

    place: int  # of the step
    stream: str
    beat: int
    is_room: bool


@dataclass(frozen=True, slots=True)
class WaitCircuit:
    """The queues in which a circuit waits for places, and its cycles a frame."""

    queues: frozenset[str]
    cycles: Fraction


@dataclass(slots=True)
class StepTrace:
    """The way back from steps to what they waited for, in frames that have these times."""

    schedule: Schedule
    times: Times
    readers: dict[str, int] = field(init=False)  # by stream, the actor's number
    writers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        actors = self.schedule.actors
        self.readers = {name: at for at, actor in enumerate(actors) for name in actor.inputs}
        self.writers = {name: at for at, actor in enumerate(actors) for name in actor.outputs}

    def course(self, actor: int) -> Course:
        """An actor through a frame."""
        return self.schedule.course(actor, 1)

    def last_end(self, actor: int) -> int:
        """The cycle of the last beat that an actor lets go of, or else yields."""
        streams = self.schedule.actors[actor]
        ends = [self.times.freed[name] for name in streams.inputs]
        ends += [self.times.there[name] for name in streams.outputs]
        return next((int(each[-1]) for each in ends if len(each)), LONG_AGO)

    def last_step(self, actor: int) -> TracedStep | None:
        """The step of that beat."""
        for name in self.schedule.actors[actor].inputs:
            if (count := len(self.times.freed[name])) > 0:
                return self._freeing(name, count - 1)
        for name in self.schedule.actors[actor].outputs:
            if (count := len(self.times.there[name])) > 0:
                return self._yielding(name, count - 1)
        return None

    def cause(self, step: TracedStep) -> tuple[TracedStep, TracedStep, str | None] | None:
        """The step at which an actor last waited before it came to this one without a pause; the
        step of another that it waited for; and the queue, if that was for a place in one. None
        where it waited for nothing inside the design.

        What comes first of all that fits is taken: steps that others yield beats for in time, one
        by one, would lead through every queue on the way.
        """
        course = self.course(step.actor)
        count, whole = len(course.starts), int(course.starts[-1] + course.cycles[-1])
        waited = step.begin - step.frame * whole - int(course.starts[step.place])
        low, high = self._first_of_run(step, waited)
        for frame in range(low // count, high // count + 1):
            part = slice(max(low - frame * count, 0), min(high + 1 - frame * count, count))
            begins = course.starts[part] + (waited + frame * whole)
            causes = [self._arrival(each, frame, part, begins) for each in course.sources]
            causes += [self._room(each, frame, part, begins) for each in course.sinks]
            cause = min((c for c in causes if c), key=lambda c: c.place, default=None)
            if cause is not None:
                follow = self._freeing if cause.is_room else self._yielding
                other = follow(cause.stream, cause.beat)
                begin = int(begins[cause.place - part.start])
                waiting = TracedStep(step.actor, frame, cause.place, begin)
                queue = cause.stream if cause.is_room else None
                return None if other is None else (waiting, other, queue)
        return None

    def _first_of_run(self, step: TracedStep, waited: int) -> tuple[int, int]:
        """Steps, counted through all frames, of which one is the first from which on the actor has
        not waited. Cycles that it has waited never become fewer; beats show how many they were."""
        course = self.course(step.actor)
        count, whole = len(course.starts), int(course.starts[-1] + course.cycles[-1])
        if course.sinks:
            places, beats = course.sinks[0].yielders, self.times.there[course.sinks[0].name]
            after = np.broadcast_to(course.latency, len(places))
        else:
            places, beats = course.sources[0].freers, self.times.freed[course.sources[0].name]
            after = course.cycles[places] + (course.release - 1)

        def number(beat: int) -> int:
            frame, at = divmod(beat, len(places))
            return frame * count + int(places[at])

        def waited_before(beat: int) -> int:
            frame, at = divmod(beat, len(places))
            return int(beats[beat] - after[at] - course.starts[places[at]]) - frame * whole

        first = bisect_left(range(len(beats)), waited, key=waited_before)
        high = number(first) if first < len(beats) else step.frame * count + step.place
        low = number(first - 1) + 1 if first else 0
        return low, min(high, step.frame * count + step.place)

    def _arrival(
        self, source: CourseSource, frame: int, part: slice, begins: Ints
    ) -> WaitCause | None:
        """The first of these steps that began when a beat was there."""
        ends = slice(*np.searchsorted(source.readers, (part.start, part.stop)))
        steps, beats = source.readers[ends], frame * len(source.freers) + source.beats[ends]
        hits = self.times.there[source.name][beats] == begins[steps - part.start]
        at = int(hits.argmax()) if len(hits) else 0
        if not len(hits) or not hits[at]:
            return None
        return WaitCause(int(steps[at]), source.name, int(beats[at]), is_room=False)

    def _room(self, sink: CourseSink, frame: int, part: slice, begins: Ints) -> WaitCause | None:
        """The first of these steps that began when a place was free."""
        depth = limit_of(sink.name, self.times.depths) if sink.name in self.readers else None
        if depth is None:
            return None
        ends = slice(*np.searchsorted(sink.reservers, (part.start, part.stop)))
        steps = sink.reservers[ends]
        beats = frame * len(sink.yielders) + sink.beats[ends] - depth
        free = self.times.freed[sink.name][np.maximum(beats, 0)] + 1
        hits = (free == begins[steps - part.start]) & (beats >= 0)
        at = int(hits.argmax()) if len(hits) else 0
        if not len(hits) or not hits[at]:
            return None
        return WaitCause(int(steps[at]), sink.name, int(beats[at]), is_room=True)

    def _yielding(self, stream: str, beat: int) -> TracedStep | None:
        """The step that yielded a beat; None if that came from outside."""
        if stream not in self.writers:
            return None
        actor = self.writers[stream]
        course = self.course(actor)
        yielders = next(sink.yielders for sink in course.sinks if sink.name == stream)
        frame, place = divmod(beat, len(yielders))
        begin = int(self.times.there[stream][beat]) - course.latency
        return TracedStep(actor, frame, int(yielders[place]), begin)

    def _freeing(self, stream: str, beat: int) -> TracedStep:
        """The step that let go of a beat."""
        actor = self.readers[stream]
        course = self.course(actor)
        freers = next(source.freers for source in course.sources if source.name == stream)
        frame, at = divmod(beat, len(freers))
        place = int(freers[at])
        ended = int(self.times.freed[stream][beat]) - course.release + 1
        return TracedStep(actor, frame, place, ended - int(course.cycles[place]))


def find_circuit(schedule: Schedule, times: Times, least_cycles: Fraction) -> WaitCircuit | None:
    """A circuit of more cycles a frame than this, if these frames show one. Those that end last are
    asked first: they wait for what is slow."""
    trace = StepTrace(schedule, times)
    seen: set[TracedStep] = set()
    for number in sorted(range(len(schedule.actors)), key=trace.last_end, reverse=True):
        step = trace.last_step(number)
        queues: list[str] = []
        visits: dict[tuple[int, int], list[tuple[TracedStep, int]]] = {}
        while step is not None and (waited := trace.cause(step)) is not None:
            waiting, step, queue = waited
            if waiting in seen:
                break
            seen.add(waiting)
            before = visits.setdefault((waiting.actor, waiting.place), [])
            for later, first in before:
                cycles = Fraction(later.begin - waiting.begin, later.frame - waiting.frame)
                if cycles > least_cycles:
                    return WaitCircuit(frozenset(queues[first:]), cycles)
            before.append((waiting, len(queues)))
            queues += [] if queue is None else [queue]
    return None
