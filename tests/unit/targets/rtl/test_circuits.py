# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Circuits of steps that wait for each other: as slow as the design, whatever else it does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.circuits import find_circuit
from edgeinfer.targets.rtl.design.cycles import count_cycles
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.schedule import Schedule
from edgeinfer.targets.rtl.settings import RtlSettings
from tests.support.rtl_designs import random_folds
from tests.support.rtl_programs import small_network

FRAMES = 24


def with_short_queues(seed: int) -> Netlist:
    """A small network folded at random, in which forks hold a frame, and other queues little."""
    program = prepare_program(small_network(seed))
    settings = RtlSettings(folds=random_folds(program, seed), unroll="never")
    folding, netlist = design_netlist(program, settings)
    short = build_netlist(program, folding)
    plain = {name: min(netlist.depths[name], 8) for name in netlist.depths}
    forks = {x for b in short.blocks if b.module in ("ei_fork", "ei_keep") for x in b.outputs}
    return replace(short, depths=plain | {name: netlist.depths[name] for name in forks})


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 80), marks=pytest.mark.slow)])
def test_the_slowest_circuit_takes_the_interval(seeds: range) -> None:
    """Below a design's interval there is a circuit, and none takes more than it. One that waits for
    places in no queue is there whatever the queues are."""
    slow = 0
    for seed in seeds:
        netlist = with_short_queues(seed)
        schedule, cycles = Schedule(netlist), count_cycles(netlist)
        assert cycles.settled.is_proved
        interval = Fraction(cycles.settled.low).limit_denominator(4)
        times = schedule.times(netlist.depths, FRAMES)
        assert find_circuit(schedule, times, interval) is None, seed
        best = Fraction(schedule.slowest())
        if interval == best:
            continue  # a block is busy all the time, and waits for nobody
        circuit = find_circuit(schedule, times, best)
        assert circuit is not None and best < circuit.cycles <= interval, seed
        slow += 1
        if not circuit.queues:
            free = dict.fromkeys(netlist.depths, 1 << 20)
            assert count_cycles(replace(netlist, depths=free)).settled.low >= circuit.cycles
    assert slow > len(seeds) / 8
