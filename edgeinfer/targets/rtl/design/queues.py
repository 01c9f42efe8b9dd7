# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How deep each queue must be: for its block to run at full speed, for a fork's branch to wait for
the other, and for bursts not to hold the whole design up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from edgeinfer.targets.rtl.design.circuits import WaitCircuit, find_circuit
from edgeinfer.targets.rtl.design.cycles import (
    DesignCycles,
    FrameInterval,
    count_cycles,
    cycles_of,
    frames_counted,
    lone_latency,
    settle,
)
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.schedule import Depths, Schedule
from edgeinfer.targets.rtl.design.timing import Times

SLACK = 1  # places beyond what a branch was seen to hold
MOST_BITS = 1 << 16  # of a queue that only evens out bursts
PACED_FRAMES = 3
FEW_FRAMES = 2  # that show most circuits
PROVING_FRAMES = 7  # that prove most intervals
MANY_FRAMES = 60  # that show circuits of a few beats, which close only after many rounds
MOST_CIRCUITS = 200
# Of a frame of tokens. In longer ones it is whole frames that gather, on the way around the lower
# levels of a U-net, and no queue of MOST_BITS holds these.
MOST_STEPS = 1 << 19
SITE_MAKERS = ("ei_sites", "ei_site_coarsen")


def with_queues(netlist: Netlist) -> tuple[Netlist, DesignCycles]:
    """The same design with the depths of its queues, and the cycles that it then takes."""
    schedule = Schedule(netlist)
    safe = replace(netlist, depths=_safe(schedule))
    if schedule.steps > MOST_STEPS and varying_streams(netlist):
        return safe, count_cycles(safe)
    return _even_queues(safe, schedule)


def answers_within(netlist: Netlist, most_cycles: int) -> bool:
    """Whether the design with its queues has at most this latency.

    A longer queue never makes a frame later. So the latency lies between that with no limits and
    that with the queues of `_safe`, which a frame is enough to count; only a bound between the two
    needs the queues themselves.
    """
    unlimited: Depths = dict.fromkeys(name for actor in netlist.actors for name in actor.outputs)
    if lone_latency(netlist, unlimited) > most_cycles:
        return False
    return (
        lone_latency(netlist, _safe(Schedule(netlist))) <= most_cycles
        or with_queues(netlist)[1].latency <= most_cycles
    )


def _safe(schedule: Schedule) -> dict[str, int]:
    """Depths with which no block waits for its own pipeline, and none can wait for ever.

    A frame alone, with no limit after forks and where a loop closes, shows how much these must
    hold. With that much it gets through, and as no step depends on data or on time, every frame
    does: none can be stuck. Frames do not overtake each other, in loops neither.
    """
    netlist = schedule.netlist
    plain = {
        name: actor.latency + 1  # one for each beat under way, and one that is leaving
        for actor in netlist.actors
        for name in actor.outputs
        if name in netlist.streams
    }
    forked = [
        name
        for block in netlist.blocks
        if block.module in ("ei_fork", "ei_keep")
        for name in block.outputs
    ]
    free: dict[str, int | None] = {**plain, **dict.fromkeys(forked)}
    times = schedule.times(free, frames=1)
    needs = {name: times.occupancy(name) + SLACK for name in forked}
    # Which of a fork's branches waits for the other depends on where sites lie: each holds a frame.
    # A branch that is forked again does not: what follows has room for a frame, and takes it at
    # once, but for what frames before it have left there, which comes away without it.
    streams = netlist.streams
    passed = {x for block in netlist.blocks if block.module == "ei_fork" for x in block.inputs}
    whole = {name: streams[name].beats + SLACK for name in varying_streams(netlist) - passed}
    return plain | {name: max(needs[name], plain[name], whole.get(name, 0)) for name in forked}


def varying_streams(netlist: Netlist) -> frozenset[str]:
    """The streams of which a frame may have fewer beats, because it has fewer sites."""
    streams: set[str] = set()
    for block in netlist.blocks:
        if block.module in SITE_MAKERS or (
            block.module != "ei_site_spread" and not streams.isdisjoint(block.inputs)
        ):
            streams.update(block.outputs)
    return frozenset(streams)


def _even_queues(netlist: Netlist, schedule: Schedule) -> tuple[Netlist, DesignCycles]:
    """Longer queues where bursts keep the slowest block from its best. Frames that come evenly, as
    slowly as that block takes them, show how much gathers where; only what helps becomes longer."""
    best = schedule.slowest()
    is_long = schedule.is_stepped(FEW_FRAMES)  # a few frames show sooner what keeps it
    few = FewFrames(schedule)
    if not is_long or not few.find_circuit(netlist.depths, Fraction(best)):
        interval, times = settle(schedule, netlist.depths, most_cycles=best)
        if interval.high <= best:
            return netlist, cycles_of(netlist, FrameInterval(best, best, best), times)
        del times  # its memory is used again
    free: Mapping[str, int | None] = dict.fromkeys(netlist.depths)
    paced = schedule.times(free, PACED_FRAMES, pace=best)
    deeper = {
        name: depth
        for name in netlist.depths
        if (depth := paced.occupancy(name) + SLACK) > netlist.depths[name]
        and depth * netlist.streams[name].width <= MOST_BITS
    }
    extra = {name: depth * netlist.streams[name].width for name, depth in deeper.items()}
    order = sorted(extra, key=lambda name: -extra[name])
    return _lengthen(few, netlist, deeper, order, best)


def _lengthen(
    few: FewFrames,
    netlist: Netlist,
    deeper: Mapping[str, int],
    order: Sequence[str],
    best: int,
) -> tuple[Netlist, DesignCycles]:
    """The design at the least interval that deeper queues lead to, with no more of them than that
    takes: rather those that come last in `order`.

    A circuit that takes longer names the queues of which one must be deeper; one that names none is
    as slow whatever the queues are, and no interval is smaller. A queue stays deeper if a circuit
    says so on which no other is. So what comes out is what trying each queue after the other leads
    to.
    """
    least = Fraction(best)
    while slower := few.find_circuit({**netlist.depths, **deeper}, least):
        least = slower.cycles
    places = {name: place for place, name in enumerate(order)}
    deep: dict[str, WaitCircuit] = {}
    shown: dict[frozenset[str], WaitCircuit | None] = {}  # by the queues that are deeper
    visited: set[frozenset[str]] = set()
    for _ in range(MOST_CIRCUITS):
        depths = {**netlist.depths, **{name: deeper[name] for name in deep}}
        chosen = frozenset(deep)
        if chosen not in shown:
            shown[chosen] = few.find_circuit(depths, least)
        if shown[chosen] is None:
            doubtful = [
                name
                for name, circuit in deep.items()
                if circuit.cycles <= least or len(circuit.queues & chosen) > 1
            ]
            if doubtful:
                doubtful.sort(key=places.__getitem__)
                dropped = doubtful[: 1 if chosen in visited else (len(doubtful) + 1) // 2]
                visited.add(chosen)
                deep = {name: circuit for name, circuit in deep.items() if name not in dropped}
                continue
            result = _prove(few.schedule, depths, least)
            if not isinstance(result, WaitCircuit):
                return replace(netlist, depths=depths), cycles_of(netlist, *result)
            shown[chosen] = result
        slower = shown[chosen]
        assert slower is not None
        named = slower.queues & deeper.keys() - chosen
        if named:
            deep[max(named, key=places.__getitem__)] = WaitCircuit(named, slower.cycles)
        else:
            least = slower.cycles
            shown.clear()
    depths = {**netlist.depths, **deeper}
    return replace(netlist, depths=depths), cycles_of(netlist, *settle(few.schedule, depths))


@dataclass(slots=True)
class FewFrames:
    """A few frames with one choice of queues after the other. Where no machine code steps through
    them, they are reckoned from those before."""

    schedule: Schedule
    near: Times | None = None

    def find_circuit(self, depths: Mapping[str, int], least: Fraction) -> WaitCircuit | None:
        """A circuit that takes more cycles a frame than the least, if these frames show one."""
        times = self.schedule.times(depths, FEW_FRAMES, start=self.near)
        self.near = None if self.schedule.is_stepped(FEW_FRAMES) else times
        return find_circuit(self.schedule, times, least)


def _prove(
    schedule: Schedule, depths: Mapping[str, int], least: Fraction
) -> WaitCircuit | tuple[FrameInterval, Times]:
    """A circuit that takes more cycles a frame than the least; or else the interval, and times."""
    proving = schedule.times(depths, PROVING_FRAMES)
    interval, times = settle(schedule, depths, proving, float(least))
    if interval.high <= float(least):
        return FrameInterval(math.ceil(least), float(least), float(least)), times
    for frames in (frames_counted(schedule.netlist, times), MANY_FRAMES):
        times = schedule.times(depths, frames, start=times)
        if circuit := find_circuit(schedule, times, least):
            return circuit
    return settle(schedule, depths, times)
