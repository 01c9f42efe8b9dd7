# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How deep each queue must be: for its block to run at full speed, for a fork's branch to wait for
the other, and for bursts not to hold the whole design up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeinfer.targets.rtl.design.cycles import (
    DesignCycles,
    FrameInterval,
    count_cycles,
    cycles_of,
    lone_latency,
    settle,
    slowest,
)
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.schedule import Depths, Schedule
from edgeinfer.targets.rtl.design.timing import Times

SLACK = 1  # places beyond what a branch was seen to hold
MOST_BITS = 1 << 16  # of a queue that only evens out bursts
PACED_FRAMES = 3
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
    slowly as that block takes them, show how much gathers where; what does not help goes again."""
    best = slowest(netlist)
    interval, plain_times = settle(schedule, netlist.depths)
    if interval.cycles <= best:
        return netlist, cycles_of(netlist, interval, plain_times)
    free: Mapping[str, int | None] = dict.fromkeys(netlist.depths)
    times = schedule.times(free, PACED_FRAMES, pace=best)
    deeper = {
        name: depth
        for name in netlist.depths
        if (depth := times.occupancy(name) + SLACK) > netlist.depths[name]
        and depth * netlist.streams[name].width <= MOST_BITS
    }
    even_netlist = replace(netlist, depths={**netlist.depths, **deeper})
    interval_reached, times_reached = settle(schedule, even_netlist.depths)
    if interval_reached.cycles >= interval.cycles:
        return netlist, cycles_of(netlist, interval, plain_times)
    extra = {name: depth * netlist.streams[name].width for name, depth in deeper.items()}
    names = sorted(extra, key=lambda name: -extra[name])
    return _spare(schedule, netlist, even_netlist, names, interval_reached, times_reached)


def _spare(
    schedule: Schedule,
    netlist: Netlist,
    even_netlist: Netlist,
    names: Sequence[str],
    interval_reached: FrameInterval,
    times: Times,
) -> tuple[Netlist, DesignCycles]:
    """The longer queues without those that do not help, tried in the order of `names`.

    The more are taken away at once the longer that goes well; where it does not, halves show at
    which it ends. A longer queue never makes a design slower, so the result is that of one at a
    time, and its interval the same.
    """
    first, together = 0, 1
    failed: int | None = None  # the queues from `first` up to here cannot all go
    while first < len(names):
        if failed == first + 1:
            first, failed, together = failed, None, max(together // 2, 1)
            continue
        last = min(first + together, len(names)) if failed is None else (first + failed) // 2
        plain = {name: netlist.depths[name] for name in names[first:last]}
        depths = {**even_netlist.depths, **plain}
        times_tried = times
        if not times.fit(plain):
            interval_tried, times_tried = settle(schedule, depths, times, interval_reached.high)
            if interval_tried.high > interval_reached.high:
                failed = last
                continue
        times = times_tried
        even_netlist = replace(even_netlist, depths=depths)
        first, together = last, together * 2 if failed is None else together
    return even_netlist, cycles_of(even_netlist, interval_reached, times)
