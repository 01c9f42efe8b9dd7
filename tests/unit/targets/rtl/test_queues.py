# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Depths of queues: the quick way to them against the plain one, which counts every time anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design import stepper
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.cycles import (
    FRAMES_APART,
    count_cycles,
    frames_counted,
    settle,
    slowest,
)
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.queues import (
    MOST_BITS,
    PACED_FRAMES,
    SLACK,
    answers_within,
    with_queues,
)
from edgeinfer.targets.rtl.design.schedule import Schedule
from edgeinfer.targets.rtl.design.timing import Times, simulate_frames
from edgeinfer.targets.rtl.settings import RtlSettings
from tests.support.rtl_designs import interval_at_end, random_folds
from tests.support.rtl_programs import small_network


def random_netlist(seed: int) -> tuple[Netlist, Netlist]:
    """A small network folded at random: with short queues only where that is safe, and with its
    queues."""
    program = prepare_program(small_network(seed))
    settings = RtlSettings(folds=random_folds(program, seed), unroll="never")
    folding, netlist = design_netlist(program, settings)
    return build_netlist(program, folding), netlist


def count_interval(netlist: Netlist) -> int:
    """The interval in whole cycles, step by step, from frames beyond those that prove it."""
    counted = frames_counted(netlist, settle(Schedule(netlist), netlist.depths)[1])
    times = simulate_frames(netlist, netlist.depths, counted + FRAMES_APART)
    return math.ceil(interval_at_end(netlist, times))


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
            patch.setattr(
                "edgeinfer.targets.rtl.design.queues._even_queues", lambda safe, _: (safe, None)
            )
            safe, _ = with_queues(short)
        with monkeypatch.context() as patch:
            patch.setattr("edgeinfer.targets.rtl.design.schedule.FEW_STEPS", 0)
            as_if_long, cycles = with_queues(short)
        with monkeypatch.context() as patch:
            patch.setattr("edgeinfer.targets.rtl.design.schedule.LEAST_STEPPED", 0)
            by_machine_code, _ = with_queues(short)
        plainly = even_plainly(safe)
        assert dict(netlist.depths) == dict(plainly.depths), seed
        assert dict(as_if_long.depths) == dict(plainly.depths), seed
        assert dict(by_machine_code.depths) == dict(plainly.depths), seed
        assert count_cycles(safe).interval == count_interval(safe), seed
        assert cycles == count_cycles(as_if_long), seed


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 40), marks=pytest.mark.slow)])
def test_times_found_at_once_are_those_found_step_by_step(seeds: range) -> None:
    """Of queues as they are, without limits and drawn, whatever depths the times had with which one
    begins, and whether they were reckoned or counted step by step."""
    found = compared = 0
    for seed in seeds:
        short, netlist = random_netlist(seed)
        schedule, pace = Schedule(short), 2 * slowest(netlist)
        rng = np.random.default_rng(seed)
        drawn = {
            name: int(rng.integers(depth, 3 * depth + 1)) for name, depth in netlist.depths.items()
        }
        free: dict[str, int | None] = dict.fromkeys(netlist.depths)
        start = None
        for depths, paced in ((free, 0), (netlist.depths, 0), (drawn, 0), (netlist.depths, pace)):
            compared += 1
            times = schedule.times_at_once(depths, 3, paced, None if paced else start)
            if times is None:
                start = schedule.times(depths, 3, paced)
                continue
            plain = simulate_frames(netlist, depths, 3, paced)
            for one, other in ((times.there, plain.there), (times.freed, plain.freed)):
                assert one.keys() == other.keys()
                assert all(np.array_equal(one[name], other[name]) for name in one), seed
            assert {n: times.occupancy(n) for n in free} == {
                n: _count_places(plain, n) for n in free
            }
            start = times
            found += 1
    assert found > compared / 2


@pytest.fixture
def machine_code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Machine code for designs of any size, by llvmlite or as without it."""
    monkeypatch.setattr("edgeinfer.targets.rtl.design.schedule.LEAST_STEPPED", 0)
    stepper._compile.cache_clear()
    if request.param == "g++":
        monkeypatch.setattr(stepper, "has_llvmlite", lambda: False)
    yield
    stepper._compile.cache_clear()


@pytest.mark.parametrize("machine_code", ["llvmlite", "g++"], indirect=True)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 40), marks=pytest.mark.slow)])
@pytest.mark.usefixtures("machine_code")
def test_machine_code_finds_the_times_of_the_rule(seeds: range) -> None:
    """Of queues without limits, drawn ones and such as nothing gets through."""
    for seed in seeds:
        _, netlist = random_netlist(seed)
        schedule = Schedule(netlist)
        assert schedule.is_stepped(1)
        rng = np.random.default_rng(seed)
        drawn = {
            name: int(rng.integers(depth, 3 * depth + 1)) for name, depth in netlist.depths.items()
        }
        free: dict[str, int | None] = dict.fromkeys(netlist.depths)
        for depths, pace in ((free, 0), (netlist.depths, 0), (drawn, 2 * slowest(netlist))):
            times = schedule.times(depths, 2, pace)
            plain = simulate_frames(netlist, depths, 2, pace)
            for one, other in ((times.there, plain.there), (times.freed, plain.freed)):
                assert one.keys() == other.keys()
                assert all(np.array_equal(one[name], other[name]) for name in one), seed
        with pytest.raises(DisagreementError, match="wait for ever"):
            schedule.times(dict.fromkeys(netlist.depths, 0), 1)


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 40), marks=pytest.mark.slow)])
def test_a_latency_is_told_without_the_queues(seeds: range) -> None:
    for seed in seeds:
        netlist, _ = random_netlist(seed)
        latency = with_queues(netlist)[1].latency
        assert answers_within(netlist, latency)
        assert not answers_within(netlist, latency - 1)


def _count_places(times: Times, stream: str) -> int:
    """The most places taken at once, beat by beat."""
    most = left = 0
    freed = times.freed[stream].tolist()
    for number, arrived in enumerate(times.there[stream].tolist(), start=1):
        while left < len(freed) and freed[left] < arrived - times.latency[stream]:
            left += 1
        most = max(most, number - left)
    return most


def test_designs_are_counted_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    _, netlist = random_netlist(3)
    plain = simulate_frames(netlist, netlist.depths, 3)
    monkeypatch.setattr("edgeinfer.targets.rtl.design.schedule.LEAST_STEPPED", 0)
    monkeypatch.setattr(stepper, "has_llvmlite", lambda: False)
    monkeypatch.setenv("EDGEINFER_CXX", "/nowhere/g++")
    stepper._compile.cache_clear()
    times = Schedule(netlist).times(netlist.depths, 3)
    stepper._compile.cache_clear()
    assert all(np.array_equal(times.freed[name], plain.freed[name]) for name in plain.freed)


def test_a_queue_that_is_too_short_for_its_design_is_named() -> None:
    _, netlist = random_netlist(3)
    with pytest.raises(DisagreementError, match="wait for ever"):
        Schedule(netlist).times(dict.fromkeys(netlist.depths, 0), 1)
