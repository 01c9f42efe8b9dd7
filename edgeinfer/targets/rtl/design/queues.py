# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How deep each queue must be: for its block to run at full speed, for a fork's branch to wait for
the other, and for bursts not to hold the whole design up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from edgeinfer.targets.rtl.design.cycles import FEWEST_FRAMES, gaps_between_frames, settle
from edgeinfer.targets.rtl.design.netlist import Actor, Netlist
from edgeinfer.targets.rtl.design.schedule import Schedule
from edgeinfer.targets.rtl.design.timing import Times, simulate_part

SLACK = 1  # places beyond what a branch was seen to hold
MOST_BITS = 1 << 16  # of a queue that only evens out bursts
PACED_FRAMES = 3
MOST_PAIR_STEPS = 1 << 14  # of two blocks in a frame, which are counted for every queue
PART_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of a design's steps, in the parts that are asked
# Of a frame of tokens. In longer ones it is whole frames that gather, on the way around the lower
# levels of a U-net, and no queue of MOST_BITS holds these.
MOST_STEPS = 1 << 19
SITE_MAKERS = ("ei_sites", "ei_site_coarsen")


def with_queues(netlist: Netlist) -> Netlist:
    """The same design with the depths of its queues."""
    schedule = Schedule(netlist)
    safe = replace(netlist, depths=_safe(schedule))
    steps = sum(map(_steps_of, netlist.actors))
    if steps > MOST_STEPS and varying_streams(netlist):
        return safe
    return _even_queues(safe, schedule)


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


def _even_queues(netlist: Netlist, schedule: Schedule) -> Netlist:
    """Longer queues where bursts keep the slowest block from its best. Frames that come evenly, as
    slowly as that block takes them, show how much gathers where; what does not help goes again."""
    best = slowest(netlist)
    interval, _ = settle(schedule, netlist.depths)
    if interval <= best:
        return netlist
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
    if interval_reached >= interval:
        return netlist
    extra = {name: depth * netlist.streams[name].width for name, depth in deeper.items()}
    names = sorted(extra, key=lambda name: -extra[name])
    return _spare(schedule, netlist, even_netlist, names, interval_reached, times_reached)


def _spare(
    schedule: Schedule,
    netlist: Netlist,
    even_netlist: Netlist,
    names: Sequence[str],
    interval_reached: int,
    times: Times,
) -> Netlist:
    """The longer queues without those that do not help, tried in the order of `names`.

    The more are taken away at once the longer that goes well, and one at a time where it does not:
    that it goes well is quickly seen, that it does not takes long. A longer queue never makes a
    design slower, so the result is that of one at a time.
    """
    names = [
        name for name in names if not _is_pair_too_slow(netlist, name, interval_reached, times)
    ]
    first, together, in_a_row = 0, 1, 0
    while first < len(names):
        tried = names[first : first + together]
        plain = {name: netlist.depths[name] for name in tried}
        depths = {**even_netlist.depths, **plain}
        spared_times = (
            times
            if times.fit(plain)
            else _times_that_keep(schedule, depths, tried, interval_reached, times)
        )
        if spared_times is not None:
            times = spared_times
            even_netlist = replace(even_netlist, depths=depths)
            first, in_a_row = first + len(tried), in_a_row + 1
            together *= 2 if in_a_row > 1 else 1
        else:
            first += len(tried) == 1
            together, in_a_row = max(len(tried) // 2, 1), 0
    return even_netlist


def _times_that_keep(
    schedule: Schedule, depths: Mapping[str, int], tried: Sequence[str], interval: int, times: Times
) -> Times | None:
    """The times of a design with these depths, if it keeps the interval that it has with `times`.
    The design is counted step by step only where no part of it shows that it does not."""
    netlist, is_long = schedule.netlist, not schedule.is_short(FEWEST_FRAMES)
    found = schedule.times_at_once(depths, FEWEST_FRAMES, start=times) if is_long else None
    if found is not None:
        gaps = gaps_between_frames(netlist, found, FEWEST_FRAMES)
        if gaps[-1] == gaps[-2]:
            return found if gaps[-1] <= interval else None
    elif is_long and _is_part_too_slow(netlist, depths, tried, interval):
        return None
    interval_kept, kept = settle(schedule, depths, at_once=found is not None)
    return kept if interval_kept <= interval else None


def _is_pair_too_slow(netlist: Netlist, stream: str, interval: int, times: Times) -> bool:
    """Whether a short queue keeps the blocks at its ends alone from an interval. In the design that
    may show only after more frames than are counted. Not asked where nothing would wait for a place
    in it, and where that would take long."""
    pair = _nearest_first(netlist, stream)[:2]
    if sum(map(_steps_of, pair)) > MOST_PAIR_STEPS or times.fit({stream: netlist.depths[stream]}):
        return False
    return _is_slower(pair, stream, netlist.depths, interval)


def _is_slower(
    part: Sequence[Actor], stream: str, depths: Mapping[str, int], interval: int
) -> bool:
    """Whether a part of a design takes longer than an interval, whatever the others do."""
    ends = simulate_part(part, stream, depths, PACED_FRAMES)
    gaps = [b - a for a, b in pairwise(ends)]
    return gaps[-1] == gaps[-2] > interval


def _is_part_too_slow(
    netlist: Netlist, depths: Mapping[str, int], tried: Sequence[str], interval: int
) -> bool:
    """Whether blocks around one of the queues that are tried keep the design from an interval,
    whatever the others do. Ever larger parts are asked, for no longer than it takes to count the
    whole design. Only that is asked where the interval is not that of a block, but of all that lies
    between a fork and where its branches meet."""
    shares = PART_SHARES if interval <= slowest(netlist) else PART_SHARES[-1:]
    orders = [_nearest_first(netlist, name) for name in tried]
    whole = left = sum(map(_steps_of, netlist.actors))
    counts: dict[str, int] = {}  # of actors asked so far
    for share in shares:
        for name, order in zip(tried, orders, strict=True):
            steps = [_steps_of(actor) for actor in order]
            count = max(2, int(np.searchsorted(np.cumsum(steps), whole * share, side="right")))
            if count == counts.get(name):
                continue
            counts[name] = count
            left -= sum(steps[:count])
            if left < 0:
                return False
            if _is_slower(order[:count], name, depths, interval):
                return True
    return False


def _nearest_first(netlist: Netlist, stream: str) -> list[Actor]:
    """The actors that hang together with a stream: its two ends, their neighbours, and so on."""
    ends: dict[str, list[Actor]] = {}
    for actor in netlist.actors:
        for name in (*actor.inputs, *actor.outputs):
            ends.setdefault(name, []).append(actor)
    order = list(ends[stream])
    names = {stream}
    for actor in order:  # grows on the way
        for name in (*actor.inputs, *actor.outputs):
            if name not in names:
                names.add(name)
                order += [other for other in ends[name] if all(other is not each for each in order)]
    return order


def _steps_of(actor: Actor) -> int:
    return len(actor.pattern) * actor.repeats


def slowest(netlist: Netlist) -> int:
    """Cycles a frame of the block that takes the most, below which no interval can be."""
    return max(actor.busy_cycles for actor in netlist.actors)
