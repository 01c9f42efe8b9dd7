# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Registers of unrolled networks: no stage too long, no bit too many, as fast as is said."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Dense, Input, PairKind, Requant, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.recurrence import count_readers
from edgeinfer.targets.rtl.estimate.delays import delays_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.unrolled.cells import Circuit, Wire, operands
from edgeinfer.targets.rtl.unrolled.delays import LogicDelays, in_levels, in_picoseconds
from edgeinfer.targets.rtl.unrolled.registers import (
    fastest_period,
    period_for,
    slowest_stage,
    stage_circuit,
)
from edgeinfer.targets.rtl.unrolled.unroll import unroll
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from tests.support.rtl_programs import dense_program, small_network

ECP5 = delays_of("ecp5")
BARE = RtlSettings(unroll="full", interface="bare")
SEEDS = (0, 2, 4, 15, 16, 20, 48, 52)  # circuits of up to 1,024 ways


def random_circuit(seed: int) -> tuple[Circuit, list[Wire]]:
    """A few inputs, sums, roundings and limits, and some of them as outputs."""
    rng = random.Random(seed)
    circuit = Circuit()
    wires = [circuit.source(0, n, Fixed(True, rng.randint(2, 7), 2)) for n in range(3)]
    for _ in range(rng.randint(2, 6)):
        a, b = rng.choice(wires), rng.choice(wires)
        kind = rng.choice([PairKind.ADD, PairKind.SUB, PairKind.MAX])
        x = circuit.join(kind, a, b, rng.randint(0, 2), 0)
        if rng.random() < 0.4:
            to = Quantizer(Fixed(True, 4, 2), Rounding.RND_CONV, Overflow.SAT)
            x = circuit.requantise(x, 3, to)
        wires.append(x)
    return circuit, [w for w in wires[-2:] if not w.constant]


def needed(circuit: Circuit, outputs: Sequence[Wire]) -> list[int]:
    """Wires that outputs hang on."""
    numbers = {w.number for w in outputs}
    for number in reversed(range(len(circuit.wires))):
        if number in numbers:
            read = operands(circuit.cells[number])
            numbers |= {x.number for x in read if not x.constant}
    return sorted(numbers)


def longest(
    circuit: Circuit, numbers: Sequence[int], stages: Sequence[int], delays: LogicDelays
) -> int:
    """The slowest stage, path by path."""
    times: dict[int, tuple[int, int]] = {}
    for number in numbers:
        read = zip(operands(circuit.cells[number]), delays.cells[number], strict=True)
        time = [delays.start if operands(circuit.cells[number]) else delays.source] * 2
        for x, delay in read:
            begin = (delays.start, delays.start)
            if not x.constant and stages[x.number] == stages[number]:
                begin = times[x.number]
            if not x.constant:
                time = [max(a, b) for a, b in zip(time, delay.after(begin), strict=True)]
        times[number] = (time[0], time[1])
    return max(max(time) for time in times.values()) + delays.setup


def register_bits(
    circuit: Circuit, outputs: Sequence[Wire], stages: Sequence[int], last: int
) -> int | None:
    """Bits between stages; None where something is read before it is there."""
    until = {w.number: last for w in outputs}
    for number in needed(circuit, outputs):
        for x in operands(circuit.cells[number]):
            if not x.constant:
                until[x.number] = max(until.get(x.number, 0), stages[number])
                if stages[x.number] > stages[number]:
                    return None
    return sum(circuit.wires[n].register_bits * (end - stages[n]) for n, end in until.items())


def all_stagings(circuit: Circuit, numbers: Sequence[int], last: int) -> Iterator[list[int]]:
    """Every way to put cells into stages; inputs are in the first."""
    free = [n for n in numbers if operands(circuit.cells[n])]
    for choice in itertools.product(range(last + 1), repeat=len(free)):
        stages = [0] * len(circuit.wires)
        for number, stage in zip(free, choice, strict=True):
            stages[number] = stage
        yield stages


@pytest.mark.parametrize("seed", SEEDS)
def test_no_other_stages_have_fewer_bits_or_are_fewer(seed: int) -> None:
    assert ECP5 is not None
    circuit, outputs = random_circuit(seed)
    numbers = needed(circuit, outputs)
    delays = in_picoseconds(circuit, ECP5, queued=False)
    period = fastest_period(circuit, outputs, delays) * (10 + seed % 5) // 10
    staging = stage_circuit(circuit, outputs, delays, period)
    assert longest(circuit, numbers, staging.stages, delays) <= period
    found = [
        (last, bits)
        for last in range(staging.last + 1)
        for stages in all_stagings(circuit, numbers, last)
        if (bits := register_bits(circuit, outputs, stages, last)) is not None
        and longest(circuit, numbers, stages, delays) <= period
    ]
    ours = register_bits(circuit, outputs, staging.stages, staging.last)
    assert (staging.last, ours) == min(found)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_a_stage_has_no_more_logic_than_asked_for(levels: int) -> None:
    program = prepare_program(small_network(1))
    network = unroll(program, count_readers(program))
    circuit, outputs = network.circuit, list(network.values[program.outputs[0].value].flat)
    numbers = needed(circuit, outputs)
    delays = in_levels(circuit)
    stages = stage_circuit(circuit, outputs, delays, levels).stages
    largest = max(levels, *(circuit.levels[n] for n in numbers))
    assert longest(circuit, numbers, stages, delays) <= largest


def test_a_number_of_stages_is_as_fast_as_it_can_be() -> None:
    assert ECP5 is not None
    circuit, outputs = random_circuit(8)
    delays = in_picoseconds(circuit, ECP5, queued=False)
    fastest = fastest_period(circuit, outputs, delays)
    counts = []
    for most in (1, 2, 3, 20):
        period = period_for(circuit, outputs, delays, most)
        staging = stage_circuit(circuit, outputs, delays, period)
        assert staging.last < most
        assert slowest_stage(circuit, outputs, delays, staging) == period
        if period > fastest:
            assert stage_circuit(circuit, outputs, delays, period - 1).last >= most
        counts.append(period)
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == fastest


@pytest.mark.parametrize("interface", ["bare", "stream"])
@pytest.mark.parametrize(
    "part", ["lfe5u-85f", "lifcl-40", "gw2a-18c", "ice40up5k", "xc7a100t", "xcvu9p"]
)
def test_a_slower_clock_takes_fewer_stages_and_is_promised(part: str, interface: str) -> None:
    program = dense_program(8, 3)
    before = 99.0
    for clock_mhz in (100.0, 50.0, 20.0) if part != "ice40up5k" else (30.0, 20.0, 5.0):
        settings = replace(
            BARE, part=part, interface=interface, clock_mhz=clock_mhz, registers="clock"
        )
        figures = {m.name: m for m in RtlTarget().estimate(program, settings) if not m.layer}
        clock = figures["fmax_mhz"]
        assert clock.origin == "estimated"
        assert clock.low is not None
        assert clock.low >= clock_mhz
        assert figures["stages"].value <= before
        if interface == "bare":
            assert figures["latency_cycles"].value == figures["stages"].value
        before = figures["stages"].value


def test_a_clock_that_no_registers_reach_is_refused_with_the_one_they_do() -> None:
    program = dense_program(8, 3)
    target = RtlTarget()
    with pytest.raises(UsageError, match="cannot be promised on lfe5u-85f") as refusal:
        target.estimate(program, replace(BARE, clock_mhz=900.0, registers="clock"))
    word = (refusal.value.hint or "").split("--clock-mhz ")[1].split(",")[0]
    settings = replace(BARE, clock_mhz=float(word), registers="clock")
    stages = {m.name: m.value for m in target.estimate(program, settings)}["stages"]
    with pytest.raises(UsageError, match=f"takes {stages:.0f} stages, and 1 are allowed"):
        target.estimate(program, replace(settings, stages=1))
    with pytest.raises(UsageError, match="delays of its logic are not known, only those of ecp5"):
        target.estimate(program, replace(BARE, part="10ax115", registers="clock"))
    with pytest.raises(UsageError, match="--unroll full"):
        RtlSettings(registers="clock")


def test_a_clock_that_the_stages_miss_is_said_before_any_tool_runs() -> None:
    program, target = dense_program(8, 3), RtlTarget()
    (finding,) = target.advise(program, replace(BARE, stages=1, clock_mhz=400.0))
    assert "In 1 stages" not in finding
    assert "400 MHz are asked for: give --registers clock" in finding
    assert not target.advise(program, replace(BARE, stages=1, clock_mhz=20.0))
    assert not target.advise(program, replace(BARE, clock_mhz=50.0, registers="clock"))


def test_a_family_without_delays_counts_adders() -> None:
    asked = replace(BARE, part="10ax115", stages=3)
    figures = {m.name: m.value for m in RtlTarget().estimate(dense_program(8, 3), asked)}
    assert figures["stages"] == figures["latency_cycles"] <= 3
    assert "fmax_mhz" not in figures


def multiples_program() -> Program:
    """Sums that are multiples of 8, which are cut off, wrapped, compared and added."""
    builder = ProgramBuilder("multiples")
    builder.add(Input("x", Fixed(True, 5, 2), (3,)))
    weight = 8 * np.array([[1, -3], [5, 2], [-2, 7]])
    of_weights = Fixed(True, 7, 4)
    frac = builder.frac("x") + of_weights.frac
    bias = pack_weights(np.array([24, -40]))
    op = Dense("sum", provisional(frac), "x", pack_weights(weight), of_weights, bias)
    builder.exact(op)
    builder.add(Requant("cut", Fixed(True, 7, 8 - frac), "sum", Rounding.TRN, Overflow.WRAP))
    builder.pair("most", "cut", "sum", PairKind.MAX)
    builder.pair("rest", "most", "cut", PairKind.SUB)
    return builder.program((Output("rest", "rest"),))


def test_bits_that_need_no_register_are_zero_in_every_frame() -> None:
    program = prepare_program(multiples_program())
    network = unroll(program, count_readers(program))
    (x,) = program.inputs
    raw = np.random.default_rng(1).integers(x.type.raw_min, x.type.raw_max, (500, 3), endpoint=True)
    values = interpret(program, {x.name: raw})
    zeros = {name: [w.zeros for w in wires.flat] for name, wires in network.values.items()}
    assert zeros["sum"] == [3, 3]
    assert all(min(zeros[name]) > 0 for name in ("cut", "most", "rest"))
    for name, lowest in zeros.items():
        assert not (values[name] % (1 << np.array(lowest))).any()
