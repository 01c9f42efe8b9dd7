# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Depths of queues: the quick way to them against the plain one, which counts every time anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.cycles import interval_of
from edgeinfer.targets.rtl.design.netlist import SENT, Netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.queues import (
    MOST_BITS,
    PACED_FRAMES,
    SLACK,
    slowest,
    with_queues,
)
from edgeinfer.targets.rtl.design.timing import simulate_frames, simulate_more
from edgeinfer.targets.rtl.settings import RtlSettings
from tests.support.rtl_designs import random_folds
from tests.support.rtl_programs import small_network


def random_netlist(seed: int) -> tuple[Netlist, Netlist]:
    """A small network folded at random: with short queues only where that is safe, and with its
    queues."""
    program = prepare_program(small_network(seed))
    settings = RtlSettings(folds=random_folds(program, seed), unroll="never")
    folding, netlist = design_netlist(program, settings)
    return build_netlist(program, folding), netlist


def count_interval(netlist: Netlist) -> int:
    """The interval, from whole runs of 3, 6, 9 and 12 frames."""
    for frames in (3, 6, 9, 12):
        times = simulate_frames(netlist, netlist.depths, frames)
        ends = [
            max(
                times.freed[f"{port.stream}{SENT}"][
                    (frame + 1) * netlist.streams[port.stream].beats - 1
                ]
                for port in netlist.outputs
            )
            for frame in range(frames)
        ]
        gaps = [b - a for a, b in pairwise(ends)]
        if gaps[-1] == gaps[-2]:
            break
    return gaps[-1]


def even_plainly(netlist: Netlist) -> Netlist:
    """Longer queues, taken away one at a time."""
    best, interval = slowest(netlist), count_interval(netlist)
    if interval <= best:
        return netlist
    times = simulate_frames(netlist, dict.fromkeys(netlist.depths), PACED_FRAMES, pace=best)
    deeper = {
        name: times.occupancy(name) + SLACK
        for name, depth in netlist.depths.items()
        if times.occupancy(name) + SLACK > depth
        and (times.occupancy(name) + SLACK) * netlist.streams[name].width <= MOST_BITS
    }
    even = replace(netlist, depths={**netlist.depths, **deeper})
    reached = count_interval(even)
    if reached >= interval:
        return netlist
    for name in sorted(deeper, key=lambda name: -deeper[name] * netlist.streams[name].width):
        spared = replace(even, depths={**even.depths, name: netlist.depths[name]})
        if count_interval(spared) <= reached:
            even = spared
    return even


@pytest.mark.parametrize(
    "seeds", [range(6, 13), pytest.param(range(13, 60), marks=pytest.mark.slow)]
)
def test_queues_are_as_deep_as_those_tried_one_at_a_time(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in seeds:
        short, netlist = random_netlist(seed)
        with monkeypatch.context() as patch:
            patch.setattr("edgeinfer.targets.rtl.design.queues._even_queues", lambda safe: safe)
            safe = with_queues(short)
        assert dict(netlist.depths) == dict(even_plainly(safe).depths), seed
        assert interval_of(safe) == count_interval(safe), seed


def test_frames_that_go_on_are_those_of_one_run() -> None:
    _, netlist = random_netlist(3)
    for pace in (0, 3 * slowest(netlist)):
        turns = simulate_more(netlist, netlist.depths, 2, pace)
        next(turns)
        assert next(turns) == simulate_frames(netlist, netlist.depths, 4, pace)
