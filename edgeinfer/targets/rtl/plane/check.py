# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Why a design for whole planes cannot be made: found with its numbers before anything is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from edgeinfer.base.errors import Offence
from edgeinfer.event.prefix import Cut, Obstacle, cut_program
from edgeinfer.ir.ops import Sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import board
from edgeinfer.targets.rtl import check
from edgeinfer.targets.rtl.plane.choose import choose_design, most_multipliers
from edgeinfer.targets.rtl.plane.delivery import shell_memories
from edgeinfer.targets.rtl.plane.design import PlaneDesign, rest_of
from edgeinfer.targets.rtl.plane.geometry import PlaneSize
from edgeinfer.targets.rtl.plane.memories import list_memories, memory_need
from edgeinfer.targets.rtl.plane.stages import build_stages
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.straight import size_of
from quantization.fixed import Fixed

SPARSE = (
    "it is sparse, and so answers for all lit pixels of its image at once, not for a patch at each "
    "hit. Add --sparse tokens: then the plane's frames stream in one after another, and the design "
    "computes at their lit pixels alone"
)
FEWEST_BEATS = 8  # of a line: a line's memory is written three cycles after it was read


def size_in(settings: RtlSettings) -> PlaneSize:
    """The plane that the settings speak of."""
    assert settings.event is not None  # asked only of designs for planes
    return PlaneSize(*settings.event, settings.wires_at_once)


def plane_design(program: Program, settings: RtlSettings) -> PlaneDesign:
    """The design of a Program that `plane_offences` has found nothing against."""
    cut = cut_program(program)
    assert isinstance(cut, Cut)
    return choose_design(cut, size_in(settings), settings)


def plane_offences(program: Program, settings: RtlSettings) -> tuple[Offence, ...]:
    """Everything that stands in the way of streaming whole planes through a network."""
    return tuple(
        Offence(program.name, "Plane", reason) for reason in _objections(program, settings)
    ) or _offences_of_rest(program, settings)


def _offences_of_rest(program: Program, settings: RtlSettings) -> tuple[Offence, ...]:
    cut = cut_program(program)
    assert isinstance(cut, Cut)  # else there was an objection
    return check.offences(rest_of(cut), replace(settings, unroll="never"))


def _objections(program: Program, settings: RtlSettings) -> Iterator[str]:
    size = size_in(settings)
    if any(isinstance(op, Sites) for op in program.ops):
        yield SPARSE
        return
    cut = cut_program(program)
    if isinstance(cut, Obstacle):
        yield f"its patches share nothing: {cut.reason}"
        return
    (source,) = program.inputs
    height, width, channels = source.shape
    if channels != 1:
        yield f"it looks at {channels} channels, and a plane has one"
    if cut.first is None:
        yield (
            "behind what patches share comes no dense layer over the whole patch, which is what "
            "the design computes at hits"
        )
    if size.wires < height or size.pixels < width:
        yield (
            f"a plane of {size.wires} wires x {size.pixels} pixels is smaller than a patch of "
            f"{height} x {width}"
        )
    elif size.wires % size.at_once or size.wires // size.at_once < FEWEST_BEATS:
        yield (
            f"{size.wires} wires do not come {size.at_once} at a time in {FEWEST_BEATS} cycles or "
            "more"
        )
    yield from _objections_to_threshold(source.type, size, settings.hit_threshold)
    if channels == 1 and cut.first is not None and not _too_small(cut, size):
        yield from _objections_to_size(program, cut, size, settings)


def _too_small(cut: Cut, size: PlaneSize) -> bool:
    return size.wires < cut.patch[0] or size.pixels < cut.patch[1]


def _objections_to_threshold(type_: Fixed, size: PlaneSize, threshold: int | None) -> Iterator[str]:
    if threshold is None:
        return
    if threshold <= 0:
        yield (
            f"with a threshold of {threshold}, pixels without charge, which are 0, are hits, too: "
            f"all {size.wires * size.pixels:,} of a plane"
        )
    elif threshold > type_.raw_max:
        yield f"no pixel reaches a threshold of {threshold}: {type_} ends at {type_.raw_max}"


def _objections_to_size(
    program: Program, cut: Cut, size: PlaneSize, settings: RtlSettings
) -> Iterator[str]:
    digits = sum(size_of(stage.program) for stage in build_stages(cut)) * size.at_once
    if digits > settings.unroll_most:
        yield (
            f"what patches share has {digits:,} signed digits of weights and elements for "
            f"{size.at_once} wires at once, and at most {settings.unroll_most:,} are made into "
            "circuits (unroll_most)"
        )
        return
    design = choose_design(cut, size, settings)
    most = most_multipliers(settings)
    if settings.throughput is None and design.multipliers > most:
        yield (
            f"it needs {design.multipliers} multipliers at least, one for each of "
            f"{design.engine.channels} channels and {design.folding.multipliers()} behind them, "
            f"and there are {most}"
        )
    if settings.throughput is not None:
        rate = settings.clock_mhz * 1e6 / design.hit_cycles
        if rate < settings.throughput:
            yield (
                f"it cannot take {settings.throughput:,.0f} hits a second at "
                f"{settings.clock_mhz:g} MHz: with charge at all {design.walked} places of a "
                f"patch, one takes {design.hit_cycles} cycles, which is {rate:,.0f} a second"
            )
    on = None if settings.board is None else board(settings.board)
    beside = () if on is None else shell_memories(program, design, on, settings.clock_mhz)
    need = memory_need(design, settings, beside)
    if need is not None and not need.fits:
        by_use: Counter[str] = Counter()
        for each in (*list_memories(design), *beside):
            by_use[each.what] += each.total_bits
        parts = ", ".join(f"{bits / 1e6:.2f} Mbit of {what}" for what, bits in by_use.items())
        yield (
            f"a plane of {size.wires} wires x {size.pixels} pixels takes {need.needed:,} "
            f"{need.unit}, and {need.whose} {need.available:,}; {parts}"
        )
