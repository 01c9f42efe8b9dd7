# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long an event takes, from the cycles of simulated planes; and what a design consists of.

An event is all of ProtoDUNE: 15,360 wires of 1,000 pixels, in as many planes of the design's size
as that is. Cycles depend on where the hits are, so they are counted on planes of the simulated
detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.devices import Device
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.ir.program import Program
from edgeinfer.targets.energy import BAND as ENERGY_BAND
from edgeinfer.targets.energy import arithmetic_nj, energy_nj
from edgeinfer.targets.power import event_energy
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.plane.counts import EVENT_PIXELS, PlaneCounts, keep_counts
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.memories import list_memories
from edgeinfer.targets.rtl.plane.pace import BAND, charged_share, reckon_cycles
from edgeinfer.targets.rtl.plane.resources import resource_metrics_of_planes
from edgeinfer.targets.rtl.plane.simulate import run_planes
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.simulate import IDEAL

TARGET = "rtl"
PLANES = 8  # that are simulated; they have about as many hits as is published of real events
SEED = 1


def count_cycles_of_planes(program: Program, design: PlaneDesign, folder: Path) -> PlaneCounts:
    """Simulate planes without gaps, and leave beside the design what they took."""
    from edgeinfer.event.event import PlaneSettings, picture_of

    size = design.geometry.size
    height, width = design.cut.patch
    planes = []
    for adc, charged in _planes(design):
        picture = picture_of(program, adc, charged, PlaneSettings())
        raw = picture[height // 2 :, width // 2 :, 0][: size.wires, : size.pixels]
        planes.append((raw, charged))
    run = run_planes(design, folder, planes, IDEAL)
    counts = PlaneCounts(PLANES, _pixels(design), len(run.wire), int(run.ends[-1]), run.latency)
    keep_counts(folder, counts)
    return counts


def simulated_metrics(counts: PlaneCounts, clock_mhz: float) -> tuple[Metric, ...]:
    """Cycles of an event, and what follows from them at the clock that is asked for."""
    latency = Metric(
        "latency_us_at_asked_clock", counts.latency / clock_mhz, "us", Origin.SIMULATED,
        target=TARGET, note="from a hit's pixel to its outputs; mostly until its patch is there",
    )  # fmt: skip
    return (latency, *event_metrics(counts, clock_mhz))


def reckoned_metrics(design: PlaneDesign, clock_mhz: float, part: Device) -> tuple[Metric, ...]:
    """The same without a simulator, with the band in which it was right; and an event's energy."""
    charged = [each for _, each in _planes(design)]
    hits = sum(int(np.count_nonzero(each)) for each in charged)
    counts = PlaneCounts(PLANES, _pixels(design), hits, reckon_cycles(design, charged), 0)
    seconds = counts.event_cycles / (clock_mhz * 1e6)
    joules = arithmetic_joules(design, counts.event_hits, charged_share(design, charged))
    low, high = (joules * end for end in ENERGY_BAND)
    energies = event_energy(
        (joules, low, high), part, (seconds, seconds * BAND[0], seconds * BAND[1]), TARGET
    )
    return (*event_metrics(counts, clock_mhz, BAND), *energies)


def arithmetic_joules(design: PlaneDesign, hits: float, share: float) -> float:
    """Products and sums of an event where random bits meet: the shared part once for each pixel,
    what follows once for each hit, of whose patch so large a share of places sees charge."""
    engine = design.engine
    shared = sum(arithmetic_nj(stage.program) for stage in design.stages)
    products = int(np.count_nonzero(engine.first.weights)) * share
    width = engine.difference_bits * engine.weights.bits
    each = energy_nj(products * width, products * engine.sums.bits) + arithmetic_nj(design.rest)
    return (EVENT_PIXELS * shared + hits * each) * 1e-9


def _planes(design: PlaneDesign) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Planes of the simulated detector, and where they have charge."""
    from edgeinfer.event.event import PlaneSettings
    from edgeinfer.event.planes import simulate_planes

    least = PlaneSettings().threshold_adc
    size = design.geometry.size
    for plane in simulate_planes(SEED, PLANES, size.wires, size.pixels):
        yield plane.adc, plane.adc >= least


def _pixels(design: PlaneDesign) -> int:
    return PLANES * design.geometry.size.wires * design.geometry.size.pixels


def event_metrics(
    counts: PlaneCounts, clock_mhz: float, band: tuple[float, float] | None = None
) -> tuple[Metric, ...]:
    """Of an event, at the clock that is asked for: simulated, or estimated with a band."""
    note = (
        f"{counts.event_hits:,.0f} hits an event, from {counts.planes} simulated planes with "
        f"{counts.hits:,} hits"
    )
    seconds = counts.event_cycles / (clock_mhz * 1e6)
    low, high = band or (1.0, 1.0)
    figures = [
        ("event_cycles", counts.event_cycles, "cycles", (low, high)),
        ("event_seconds_at_asked_clock", seconds, "s", (low, high)),
        ("hits_per_second_at_asked_clock", counts.event_hits / seconds, "hits/s",
         (1 / high, 1 / low)),
    ]  # fmt: skip
    if band is None:
        return tuple(
            Metric(name, value, unit, Origin.SIMULATED, target=TARGET, note=note)
            for name, value, unit, _ in figures
        )
    return tuple(
        Metric(
            name, value, unit, Origin.ESTIMATED, value * ends[0], value * ends[1],
            state=DesignState.NONE, target=TARGET, note=note,
        )
        for name, value, unit, ends in figures
    )  # fmt: skip


def plane_metrics(design: PlaneDesign, settings: RtlSettings) -> tuple[Metric, ...]:
    """What is known of a design before anything is run."""
    geometry, part = design.geometry, part_of(settings)
    figures: list[tuple[str, float, str]] = [
        ("plane_cycles_least", geometry.beats, "cycles"),
        ("event_seconds_least_at_asked_clock", least_event_seconds(design, settings), "s"),
        ("hit_cycles_most", design.hit_cycles, "cycles"),
        ("multipliers", design.multipliers, ""),
        ("memory_bits", sum(each.total_bits for each in list_memories(design)), "bit"),
    ]
    proved = tuple(
        Metric(name, value, unit, Origin.PROVED, target=TARGET) for name, value, unit in figures
    )
    return (
        *proved,
        *reckoned_metrics(design, settings.clock_mhz, part),
        *resource_metrics_of_planes(design, part),
    )


def least_event_seconds(design: PlaneDesign, settings: RtlSettings) -> float:
    """An event without a hit, at the clock that is asked for."""
    size = design.geometry.size
    planes = EVENT_PIXELS / (size.wires * size.pixels)
    return planes * design.geometry.beats / (settings.clock_mhz * 1e6)
