# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Cycles counted by rule, on designs small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.metrics import Origin
from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.ops import Input, Transpose
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.blocks import mac_steps
from edgeinfer.targets.rtl.design.cycles import FrameInterval, count_cycles, settle, slowest
from edgeinfer.targets.rtl.design.metrics import cycle_metrics
from edgeinfer.targets.rtl.design.netlist import SENT, Netlist
from edgeinfer.targets.rtl.design.schedule import Schedule
from edgeinfer.targets.rtl.design.timing import (
    most_at_once,
    simulate_frames,
)
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from quantization.fixed import Fixed
from tests.support.rtl_programs import dense_program, forked_program, late_program, merged


def test_a_matrix_takes_as_many_cycles_as_it_has_words_of_weights() -> None:
    program = dense_program(12, 6)
    for pe, simd in ((1, 1), (2, 3), (6, 4), (3, 12)):
        _, netlist = design_netlist(program, RtlSettings(folds=(("y", Fold(pe, simd)),)))
        cycles = count_cycles(netlist)
        words = (12 // simd) * (6 // pe)
        assert cycles.interval == max(words, 12 // simd)
        levels = (simd - 1).bit_length()
        # A cycle at either port, the words, six stages and a tree behind the last word.
        assert cycles.latency == 2 + words + 6 + levels


def test_outputs_of_a_matrix_leave_in_its_last_cycles() -> None:
    steps = mac_steps(3, 2)
    assert [step.cycles for step in steps] == [2, 2, 1, 1]
    assert [step.yields for step in steps] == [False, False, True, True]
    assert [step.frees for step in steps] == [1, 1, 0, 1]


def test_places_are_counted_from_a_beat_s_start_to_the_cycle_after_it_has_gone() -> None:
    assert most_at_once([3, 4, 5], [3, 4, 5], latency=3) == 3 + 1 - 1
    assert most_at_once([1, 2, 3], [1, 2, 3], latency=1) == 2
    assert most_at_once([1, 2, 3], [10, 11, 12], latency=1) == 3


def test_a_fork_s_branch_holds_what_the_other_delays() -> None:
    _, netlist = design_netlist(forked_program(), RtlSettings(folds=(("conv", Fold(2, 14)),)))
    deep = max(netlist.depths[name] for name in netlist.depths if name.startswith("x_"))
    assert 4 <= deep <= 40
    assert count_cycles(netlist).interval == slowest(netlist)


def test_queues_even_out_bursts_where_that_helps() -> None:
    program = dense_program(12, 6)
    _, netlist = design_netlist(program, RtlSettings(folds=(("y", Fold(2, 3)),)))
    assert all(depth <= 9 for depth in netlist.depths.values())  # nothing bursts here


def test_frames_equally_far_apart_do_not_pass_for_the_interval_while_queues_fill() -> None:
    """The first eight leave 64 cycles apart, as the output that is last sees no queue fill up."""
    folds = tuple((f"long{number}", Fold(1, 1)) for number in range(40))
    _, netlist = design_netlist(late_program(), RtlSettings(folds=folds, unroll="never"))
    counted = count_cycles(netlist).interval
    times = simulate_frames(netlist, netlist.depths, 40)
    beats = {port.stream: netlist.streams[port.stream].beats for port in netlist.outputs}
    ends = np.maximum(*(times.freed[f"{x}{SENT}"][n - 1 :: n] for x, n in beats.items()))
    assert np.diff(ends)[:4].tolist() == [64] * 4
    assert counted == slowest(netlist) == 256 == np.diff(ends)[-1]


def turned() -> tuple[Program, Netlist]:
    """Six rows of six numbers become columns: two memories by turns, with a cycle for one of both
    changes."""
    builder = ProgramBuilder("turned")
    x = builder.add(Input("x", Fixed(True, 5, 2), (6, 6)))
    y = builder.add(Transpose("y", builder.types[x], x, (1, 0)))
    program = builder.program((Output("out", y),))
    return program, design_netlist(program, RtlSettings())[1]


def gaps_of(netlist: Netlist, frames: int) -> list[int]:
    """Cycles between the last beats of frames."""
    times = simulate_frames(netlist, netlist.depths, frames)
    (port,) = netlist.outputs
    beats = netlist.streams[port.stream].beats
    gaps: list[int] = np.diff(times.freed[f"{port.stream}{SENT}"][beats - 1 :: beats]).tolist()
    return gaps


def test_an_interval_of_gaps_by_turns_is_proved_as_their_mean() -> None:
    program, netlist = turned()
    assert gaps_of(netlist, 100)[-4:] in ([36, 37, 36, 37], [37, 36, 37, 36])
    cycles = count_cycles(netlist)
    assert cycles.settled == FrameInterval(37, 36.5, 36.5)
    metric, *_ = (
        each for each in cycle_metrics(program, netlist, cycles, 100.0) if each.name == "ii_cycles"
    )
    assert (metric.value, metric.origin, metric.low) == (36.5, Origin.PROVED, None)


def test_an_interval_of_parts_that_do_not_touch_is_that_of_the_slowest() -> None:
    """The lower end, too: a faster part beside it keeps its own pace for ever."""
    program = merged([turned()[0], dense_program(12, 6)])
    settings = RtlSettings(folds=(("p1_y", Fold(2, 1)),), unroll="never")
    _, netlist = design_netlist(program, settings)
    assert slowest(netlist) == 36
    assert count_cycles(netlist).settled == FrameInterval(37, 36.5, 36.5)


def test_an_interval_that_is_not_proved_is_the_mean_of_gaps_by_turns() -> None:
    """The last gap alone is 36 or 37, as the number of frames is odd or even."""
    _, netlist = turned()
    for frames_deep in (24, 25, 28, 29):
        deep = replace(netlist, depths=dict.fromkeys(netlist.depths, 36 * frames_deep))
        interval, _ = settle(Schedule(deep), deep.depths)
        assert not interval.is_proved
        assert interval.cycles == 37  # 36.5 in whole cycles


def test_an_interval_that_deep_queues_hide_is_an_estimate_between_proved_ends() -> None:
    """The input comes every 36 cycles until queues of thirty frames are full, half a beat a frame.
    Those that are counted go further back than a queue does, or they would prove nothing."""
    program, netlist = turned()
    deep = replace(netlist, depths=dict.fromkeys(netlist.depths, 36 * 30))
    interval, times = settle(Schedule(deep), deep.depths)
    assert not interval.is_proved
    (port,) = deep.outputs
    assert len(times.freed[f"{port.stream}{SENT}"]) > 36 * 31
    metrics = {m.name: m for m in cycle_metrics(program, deep, count_cycles(deep), 100.0)}
    gap = metrics["ii_cycles"]
    assert (gap.low, gap.high, gap.origin) == (36, 37, Origin.ESTIMATED)
    assert "not proved" in (gap.note or "")
    rate = metrics["throughput_at_asked_clock"]
    assert (rate.low, rate.high) == (pytest.approx(1e8 / 37), pytest.approx(1e8 / 36))
    assert metrics["latency_cycles"].origin is Origin.PROVED
