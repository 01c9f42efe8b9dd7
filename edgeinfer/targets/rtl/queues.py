# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How deep each queue must be: deep enough for the block before it to run at full speed, and after
a fork for all that one branch holds while the other waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgeinfer.targets.rtl.netlist import Netlist
from edgeinfer.targets.rtl.timing import simulated

SLACK = 2  # places beyond what a fork's branch was seen to hold


def with_queues(netlist: Netlist) -> Netlist:
    """The same design with the depths of its queues.

    A frame alone, with no limit after forks, shows how much a branch must hold. With that much it
    gets through, and as no step depends on data or on time, every frame does: none can be stuck.
    """
    plain = {
        name: actor.latency + 1  # one for each beat under way, and one that is leaving
        for actor in netlist.actors
        for name in actor.outputs
        if name in netlist.streams
    }
    forked = [
        name for block in netlist.blocks if block.module == "ei_fork" for name in block.outputs
    ]
    free: dict[str, int | None] = {**plain, **dict.fromkeys(forked)}
    times = simulated(netlist, free, frames=1)
    held = {name: times.occupancy(name) + SLACK for name in forked}
    depths: Mapping[str, int] = {**plain, **{name: max(held[name], plain[name]) for name in forked}}
    return replace(netlist, depths=depths)

