# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Latency and interval of a design, counted without a simulator and equal to what one measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgeinfer.targets.rtl.design.netlist import OFFERED, SENT, Netlist, Probe
from edgeinfer.targets.rtl.design.schedule import Depths, Schedule
from edgeinfer.targets.rtl.design.timing import Times, limit_of

FRAMES = (3, 5, 7, 12, 24)  # that are counted until the interval is proved
PERIODS = (1, 2, 3, 4)  # frames after which all may be as before
FRAMES_APART = math.lcm(*PERIODS)  # after so many, frames by turns are as before


@dataclass(frozen=True, slots=True)
class FrameInterval:
    """Cycles from frame to frame in the end, on average, where frames follow one another without a
    gap: in whole cycles, and the proved ends between which it lies. Where these are the same, it is
    proved itself."""

    cycles: int  # rounded up
    low: float
    high: float

    @property
    def is_proved(self) -> bool:
        """Whether the ends have met."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class DesignCycles:
    """`latency`: from a frame's first beat in to its last beat out, in an idle design. `settled`:
    between frames. `first_out`, `last_out`: by stream, for the first frame, counted from its first
    beat in."""

    latency: int
    settled: FrameInterval
    first_out: Mapping[str, int]
    last_out: Mapping[str, int]

    @property
    def interval(self) -> int:
        """In whole cycles."""
        return self.settled.cycles


def count_cycles(netlist: Netlist) -> DesignCycles:
    """Count a design's cycles."""
    return cycles_of(netlist, *settle(Schedule(netlist), netlist.depths))


def cycles_of(netlist: Netlist, interval: FrameInterval, times: Times) -> DesignCycles:
    """The cycles of a design that has settled. Its first frame is as if alone."""
    start = _start(netlist, times)
    streams = netlist.streams
    first = {name: int(times.freed[name][0]) - start for name in streams}
    last = {name: int(times.freed[name][streams[name].beats - 1]) - start for name in streams}
    for name, probe in netlist.probes.items():
        first[name] = last[name] = _first_probe_cycle(netlist, times, probe) - start
    return DesignCycles(_end(netlist, times, 0) - start + 1, interval, first, last)


def lone_latency(netlist: Netlist, depths: Depths | None = None) -> int:
    """The latency alone, which takes a frame to count, not several; with other queues, if given."""
    times = Schedule(netlist).times(netlist.depths if depths is None else depths, frames=1)
    return _end(netlist, times, 0) - _start(netlist, times) + 1


def interface_cycles(netlist: Netlist, cycles: DesignCycles) -> DesignCycles:
    """The cycles of what is to be used: of a bare pipeline, without the queues around it."""
    if netlist.bare is None:
        return cycles
    values = {
        name: probe.stage for name, probe in netlist.probes.items()
    }  # counted from the frame's own cycle
    first, last = ({**own, **values} for own in (cycles.first_out, cycles.last_out))
    return DesignCycles(netlist.bare.latency + 1, FrameInterval(1, 1.0, 1.0), first, last)


def settle(
    schedule: Schedule,
    depths: Mapping[str, int],
    start: Times | None = None,
    most_cycles: float | None = None,
) -> tuple[FrameInterval, Times]:
    """The interval, and the times of the frames that show it.

    start: times near these, if any are known; as many frames are counted, before more are
    most_cycles: enough is counted when the interval is shown to be at most this, or to be more
    """
    netlist = schedule.netlist
    least = schedule.slowest()
    parts = _parts_of(netlist)
    back = max(_frames_back(x, stream.beats, depths) for x, stream in netlist.streams.items())
    fewest = max(back + 1, 0 if start is None else frames_counted(netlist, start))
    counts = [*dict.fromkeys(max(count, fewest) for count in FRAMES)]
    for frames in counts if back < FRAMES[-1] else [back + PERIODS[-1]]:
        times = schedule.times(depths, frames, start=start)
        low, high = float(least), math.inf
        for period in PERIODS[: frames - back]:
            ends = _ends_of_interval(depths, times, frames, period, parts)
            low, high = max(low, ends[0]), min(high, ends[1])
            if low >= high:
                return FrameInterval(math.ceil(low), low, low), times
            if most_cycles is not None and not low <= most_cycles < high:
                return FrameInterval(math.ceil(low), low, high), times
    cycles = math.ceil(min(max(_mean_interval(times, frames), low), high))
    return FrameInterval(cycles, low, max(high, cycles)), times


def _mean_interval(times: Times, frames: int) -> float:
    """Cycles from frame to frame at the end of these, on average, in the stream with the most.

    One gap would be 36 or 37 where frames leave so by turns. At the outputs alone it would be that
    of a fast branch until the queues before a slow one are full.
    """
    ends = [
        beats[len(beats) // frames - 1 :: len(beats) // frames][-FRAMES_APART - 1 :]
        for beats in (*times.freed.values(), *times.there.values())
        if len(beats)
    ]
    return max(int(each[-1] - each[0]) for each in ends) / FRAMES_APART


def slowest(netlist: Netlist) -> int:
    """Cycles a frame of the block that takes the most, below which no interval can be."""
    return max(actor.busy_cycles for actor in netlist.actors)


def _frames_back(name: str, beats: int, depths: Depths) -> int:
    """How many frames ago that may have happened which a step waits for in a stream: a place that
    its queue had to offer, or what a step just before waited for."""
    return 1 + max(1, -(-(limit_of(name, depths) or 0) // beats))


def _ends_of_interval(
    depths: Depths, times: Times, frames: int, period: int, parts: Mapping[str, int]
) -> tuple[float, float]:
    """Between which numbers of cycles the interval lies in the end, by frames so far apart.

    What happens in a frame is the latest of sums of what has happened in frames before it. So if of
    all that a frame waits for nothing came more than so many cycles after its like `period` frames
    before, nothing ever will from then on; with the least, likewise. Two frames that leave equally
    far apart prove nothing: a queue may still be filling. Nor do frames that leave 36 and 37 cycles
    apart by turns tell that they always will, but each two of them do, if all else is so, too.
    Parts that do not touch each keep their own pace, and the slowest of them is the design's.
    """
    low: dict[int, int] = {}
    high = []
    for name, freed in times.freed.items():
        sides = (freed,) if name.endswith(OFFERED) else (freed, times.there[name])
        if not len(freed):
            continue
        back = _frames_back(name, len(freed) // frames, depths)
        for beats in sides:
            rows = beats.reshape(frames, -1)[-period - back :]
            gaps = rows[period:] - rows[:-period]
            part = parts[name]
            low[part] = min(low.get(part, int(gaps.min())), int(gaps.min()))
            high.append(int(gaps.max()))
    return max(low.values()) / period, max(high) / period


def _parts_of(netlist: Netlist) -> dict[str, int]:
    """For each stream the number of the part that it is in: parts have no stream in common."""
    parts: dict[str, int] = {}
    members: dict[int, list[str]] = {}
    for number, actor in enumerate(netlist.actors):
        streams = (*actor.inputs, *actor.outputs)
        met = {parts[name] for name in streams if name in parts}
        into = max(met, key=lambda part: len(members[part]), default=number)
        joined = [name for name in streams if name not in parts]
        for part in met - {into}:
            joined += members.pop(part)
        members.setdefault(into, []).extend(joined)
        parts.update(dict.fromkeys(joined, into))
    return parts


def frames_counted(netlist: Netlist, times: Times) -> int:
    """How many frames these are the times of."""
    stream = netlist.inputs[0].stream
    return len(times.freed[f"{stream}{OFFERED}"]) // netlist.streams[stream].beats


def _first_probe_cycle(netlist: Netlist, times: Times, probe: Probe) -> int:
    """The cycle in which a probe shows the first frame."""
    (actor,) = next(block.actors for block in netlist.blocks if block.name == probe.block)
    return int(times.there[actor.outputs[0]][0]) - actor.latency + probe.stage


def _start(netlist: Netlist, times: Times) -> int:
    """The cycle in which the first beat of all comes in."""
    return min(int(times.freed[f"{port.stream}{OFFERED}"][0]) for port in netlist.inputs)


def _end(netlist: Netlist, times: Times, frame: int) -> int:
    """The cycle in which a frame's last beat leaves."""
    last = {port.stream: (frame + 1) * netlist.streams[port.stream].beats - 1
            for port in netlist.outputs}  # fmt: skip
    return max(int(times.freed[f"{name}{SENT}"][beat]) for name, beat in last.items())
