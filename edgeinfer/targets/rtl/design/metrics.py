# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design's figures before any tool has run: cycles are facts, times follow from a clock."""

from __future__ import annotations

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.ir.program import Program
from edgeinfer.targets.power import EVENT, EVENT_DYNAMIC
from edgeinfer.targets.rtl.design.cycles import DesignCycles
from edgeinfer.targets.rtl.design.folding import Folding, UnrolledFigures
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.estimate.delays import delays_of

TARGET = "rtl"
UNSETTLED = (
    "not proved: the frames that were counted have not settled; the ends of the band are proved"
)

DIRECTIONS = {  # of figures that only this target has: whether more is better
    **dict.fromkeys(
        (
            "event_cycles", "event_seconds", "event_seconds_at_asked_clock", EVENT, EVENT_DYNAMIC,
            "latency_us_at_asked_clock", "plane_cycles_least",
        ),
        False,
    ),
    "hits_per_second": True,
    "hits_per_second_at_asked_clock": True,
    "throughput_at_asked_clock": True,
}  # fmt: skip


def cycle_metrics(
    program: Program,
    netlist: Netlist,
    cycles: DesignCycles,
    clock_mhz: float,
    note: str | None = None,
) -> tuple[Metric, ...]:
    """Latency and interval in cycles, counted exactly; in time, as the asked-for clock has it. A
    note says where they are bounds. An interval whose ends have not met is an estimate between
    them."""
    per_second = clock_mhz * 1e6
    named = [
        Metric(name, value, unit, Origin.PROVED, target=TARGET, note=note)
        for name, value, unit in (
            ("latency_cycles", cycles.latency, "cycles"),
            ("latency_us_at_asked_clock", cycles.latency / clock_mhz, "us"),
        )
    ]
    settled = cycles.settled
    if settled.is_proved:
        named += [
            Metric(name, value, unit, Origin.PROVED, target=TARGET, note=note)
            for name, value, unit in (
                ("ii_cycles", settled.low, "cycles"),
                ("throughput_at_asked_clock", per_second / settled.low, "frames/s"),
            )
        ]
    else:
        unsettled = "; ".join(filter(None, (note, UNSETTLED)))
        named += [
            Metric(name, value, unit, Origin.ESTIMATED, low, high, target=TARGET, note=unsettled,
                   state=DesignState.NONE)
            for name, value, unit, low, high in (
                ("ii_cycles", settled.cycles, "cycles", settled.low, settled.high),
                ("throughput_at_asked_clock", per_second / settled.cycles, "frames/s",
                 per_second / settled.high, per_second / settled.low),
            )
        ]  # fmt: skip
    by_value = [
        Metric("last_beat_cycles", cycles.last_out[stream] + 1, "cycles", Origin.PROVED,
               target=TARGET, layer=value)
        for value, stream in netlist.values.items()
    ]  # fmt: skip
    return (*named, *by_value)


def unrolled_metrics(figures: UnrolledFigures, fabric: str) -> tuple[Metric, ...]:
    """Additions in the place of multipliers; stages, the bits between them, and the clock that the
    family's delays let the slowest of them reach."""
    counted = [
        Metric(name, value, unit, Origin.PROVED, target=TARGET)
        for name, value, unit in (
            ("additions", figures.additions, ""),
            ("adder_bits", figures.adder_bits, "bit"),
            ("stages", figures.stages, ""),
            ("register_bits", figures.register_bits, "bit"),
        )
    ]
    delays = delays_of(fabric)
    if figures.period_ps is None or delays is None:
        return tuple(counted)
    fmax_mhz = 1e6 / figures.period_ps
    low, high = (fmax_mhz / factor for factor in reversed(delays.band))
    clock = Metric(
        "fmax_mhz", fmax_mhz, "MHz", Origin.ESTIMATED, min(low, fmax_mhz), max(high, fmax_mhz),
        target=TARGET, state=DesignState.ROUTING,
        note=f"of stages without queues; speed grade {delays.speed}; {delays.source}",
    )  # fmt: skip
    return (*counted, clock)


def weight_metrics(program: Program, folding: Folding) -> tuple[Metric, ...]:
    """Multipliers and the bits of weights, by layer."""
    metrics = []
    for layer in layers_of(program):
        fold = folding.folds[layer.op]
        multipliers = 0 if folding.unrolled else fold.pe * fold.simd
        for name, value, unit in (
            ("multipliers", multipliers, ""),
            ("weight_bits", layer.weight_bits, "bit"),
            ("busy_cycles", layer.cycles(fold), "cycles"),
        ):
            metric = Metric(name, value, unit, Origin.PROVED, target=TARGET, layer=layer.op)
            metrics.append(metric)
    return tuple(metrics)
