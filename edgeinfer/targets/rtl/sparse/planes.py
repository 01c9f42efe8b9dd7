# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole planes through a design in tokens: their frames stream in one after another.

The frames are those by which `edgeinfer event` labels a plane: those with hits, which overlap by a
margin. While the tokens of one frame are still on their way, those of the next come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import DisagreementError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.site_figures import RECKONED, STREAMED, frames_of
from edgeinfer.event.event import PlaneSettings, picture_of
from edgeinfer.event.frames import cut_frames, labels_pixels, lay_frames, place_hits
from edgeinfer.event.planes import simulate_planes
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.left_out import check_left_out
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.folding import Folding
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.plane.counts import PlaneCounts, keep_counts
from edgeinfer.targets.rtl.plane.figures import SEED, event_metrics
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.sparse.figures import TARGET, counted_sites, numbers_of_sites
from edgeinfer.targets.rtl.sparse.pace import BAND, INTERVAL_BAND, reckon_intervals
from edgeinfer.targets.rtl.tools.simulate import IDEAL, SimulationTrace, run
from quantization.fixed import Ints

PLANES = 2  # that are simulated
NO_LABELS = (
    "it does not label the pixels of its image, so that its frames say nothing about the hits of a "
    "plane. Leave --event out"
)


@dataclass(frozen=True, slots=True)
class PlaneStream:
    """The frames of planes in the order in which they come, and how many hits they label."""

    frames: Ints
    hits: int
    pixels: int  # of the planes

    @property
    def lit(self) -> NDArray[np.intp]:
        """The pixels with charge of each frame."""
        charged: NDArray[np.intp] = (self.frames != 0).sum(axis=(1, 2, 3))
        return charged


def objection_to_planes(program: Program) -> str:
    """Why a network has no use for the frames of planes; empty where it has."""
    return "" if labels_pixels(program) else NO_LABELS


def draw_planes(program: Program, size: tuple[int, int], planes: int = PLANES) -> PlaneStream:
    """Planes of the simulated detector, as frames of the network's input."""
    settings, layout = PlaneSettings(), lay_frames(program, None)
    frames, hits = [], 0
    for plane in simulate_planes(SEED, planes, *size):
        charged = plane.adc >= settings.threshold_adc
        here = np.argwhere(charged)
        hits += len(here)
        placed = place_hits(layout, here)
        if len(placed.frames):
            picture = picture_of(program, plane.adc, charged, settings)
            frames.append(cut_frames(layout, picture, placed.frames))
    shape = (0, *program.inputs[0].shape)
    stream = np.concatenate([np.zeros(shape, np.int64), *frames])
    return PlaneStream(stream, hits, planes * size[0] * size[1])


def simulate_stream(
    program: Program,
    prepared: Program,
    netlist: Netlist,
    folder: Path,
    stream: PlaneStream,
    latency_cycles: int,
) -> SimulationTrace:
    """All frames through the design without gaps between them; an error where an integer differs
    from the engine's."""
    raw = {program.inputs[0].name: stream.frames}
    trace = run(netlist, prepared, folder, raw, IDEAL, expected_cycles=latency_cycles)
    _compare(program, Engine(program).run(raw), trace)
    masks = counted_sites(netlist)
    check_left_out(prepared, raw, {masks[port]: count for port, count in trace.dropped.items()})
    return trace


def _compare(program: Program, wanted: Mapping[str, Ints], trace: SimulationTrace) -> None:
    for name, values in wanted.items():
        differ = (trace.outputs[name] != values).reshape(len(values), -1).any(axis=1)
        if differ.any():
            raise DisagreementError(
                f"{program.name}: {differ.sum()} of {len(differ)} frames of simulated planes "
                f"differ from the engine at {name}, the first is frame {int(np.argmax(differ))}.",
                hint="Please report this, with the model.",
            )


def time_planes(
    program: Program,
    prepared: Program,
    netlist: Netlist,
    folder: Path,
    settings: RtlSettings,
    latency_cycles: int,
) -> tuple[Metric, ...]:
    """Cycles of an event, and by the lit pixels of a frame; what an event takes stays beside the
    design, for whoever knows its clock. Nothing where no event is asked for."""
    if settings.event is None:
        return ()
    stream = draw_planes(program, settings.event)
    if not len(stream.frames):
        return ()
    trace = simulate_stream(program, prepared, netlist, folder, stream, latency_cycles)
    ends = frame_ends(trace)
    first = min(int(times[0]) for times in trace.cycles_in.values())
    counts = PlaneCounts(
        PLANES, stream.pixels, stream.hits, int(ends[-1]) - first + 1, trace.latency()
    )
    keep_counts(folder, counts)
    intervals = tuple(
        Metric(STREAMED, cycles, "cycles", Origin.SIMULATED, target=TARGET,
               layer=frames_of(count), note=note)
        for count, cycles, note in _mean_intervals(prepared, stream.lit[1:], np.diff(ends))
    )  # fmt: skip
    return (*event_metrics(counts, settings.clock_mhz), *intervals)


def reckon_planes(
    program: Program,
    prepared: Program,
    folding: Folding,
    settings: RtlSettings,
    least_latency: float,
) -> tuple[Metric, ...]:
    """The same without a simulator, with the bands in which it was right. `least_latency`: cycles
    of a frame of one site, most of which the first frame is on its way."""
    if settings.event is None:
        return ()
    stream = draw_planes(program, settings.event)
    if not len(stream.frames):
        return ()
    reckoned = reckon_intervals(program, prepared, folding, stream.frames)
    on_its_way = max(int(least_latency - reckoned.min()), 0)
    cycles = int(reckoned.sum()) + on_its_way
    counts = PlaneCounts(PLANES, stream.pixels, stream.hits, cycles, 0)
    low, high = INTERVAL_BAND
    intervals = tuple(
        Metric(RECKONED, cycles, "cycles", Origin.ESTIMATED, cycles * low, cycles * high,
               state=DesignState.NONE, target=TARGET, layer=frames_of(count), note=note)
        for count, cycles, note in _mean_intervals(prepared, stream.lit[1:], reckoned[1:])
    )  # fmt: skip
    return (*event_metrics(counts, settings.clock_mhz, BAND), *intervals)


def frame_ends(trace: SimulationTrace) -> NDArray[np.int64]:
    """The cycle in which the last beat of each frame left, at the output that is the latest."""
    ends: NDArray[np.int64] = np.array([trace.ends(name) for name in trace.cycles_out]).max(axis=0)
    return ends


def _mean_intervals(
    prepared: Program, lit: NDArray[np.intp], intervals: Ints
) -> Iterator[tuple[int, float, str]]:
    """Cycles from the end of the frame before to a frame's own, the mean over frames with up to so
    many lit pixels, and more than the next smaller number. What is beyond the limit is dropped."""
    counts = numbers_of_sites(prepared)
    lit, below = np.minimum(lit, counts[-1]), -1
    for count in counts:
        here = intervals[(lit > below) & (lit <= count)]
        below = count
        if len(here):
            note = f"in a stream, the mean of {len(here)} frames of simulated planes"
            yield count, float(here.mean()), note
