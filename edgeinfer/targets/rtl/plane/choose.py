# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a budget or a rate to a design for whole planes: as fast as its parts allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgeinfer.base.devices import Device
from edgeinfer.event.prefix import Cut
from edgeinfer.targets.rtl.design.folding import divisors
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.plane.design import PlaneDesign, build_plane_design
from edgeinfer.targets.rtl.plane.geometry import (
    FEWEST_SPARE_LINES,
    MOST_SPARE_LINES,
    PlaneSize,
    lay_plane,
)
from edgeinfer.targets.rtl.plane.memories import memory_need
from edgeinfer.targets.rtl.settings import RtlSettings

DEFAULT_MULTIPLIERS = 160  # 128 of them for the hits of the usual eight channels
DSP_SHARES = {"ecp5": 0.2}  # of a part's DSP blocks: there, many of them in one layer are slow
OTHER_DSP_SHARE = 0.7  # with more, what they are wired to lies far away
LUTS_OF_PRODUCT = 90  # of 8 by 8 bits, made of adders
LUT_SHARE = 0.25  # of a part's LUTs, for products


def choose_design(cut: Cut, size: PlaneSize, settings: RtlSettings) -> PlaneDesign:
    """The fastest that fits the budget, or the smallest that takes the wanted hits a second; where
    none does, the one that is nearest, which the offences then name."""
    assert cut.first is not None  # the offences say so
    places, _, outputs = cut.first.weights.shape
    widths = divisors(outputs)[::-1]
    if settings.throughput is not None:
        most_cycles = settings.clock_mhz * 1e6 / settings.throughput
        enough = [pe for pe in widths if places * outputs // pe <= most_cycles]
        widths = enough[::-1] or widths[:1]
    nearest: PlaneDesign | None = None
    for pe in widths:
        design = build_plane_design(cut, size, pe, settings)
        nearest = design
        if design.multipliers > most_multipliers(settings) and settings.throughput is None:
            continue
        for fitting in _with_spare_lines(design, cut, size, settings):
            return _with_dsp_lanes(fitting, part_of(settings))
    assert nearest is not None  # there is always a divisor
    return replace(nearest, geometry=lay_plane(cut, size, FEWEST_SPARE_LINES))


def most_multipliers(settings: RtlSettings) -> int:
    """The budget's multipliers; without one, as many as the part has DSP blocks and LUTs for."""
    if settings.budget.multipliers is not None:
        return settings.budget.multipliers
    part = part_of(settings)
    dsp, lut = part.offers("dsp"), part.offers("lut")
    if dsp is None or lut is None:
        return DEFAULT_MULTIPLIERS
    multipliers = _dsp_blocks(part) + int(LUT_SHARE * lut) // LUTS_OF_PRODUCT
    return min(DEFAULT_MULTIPLIERS, multipliers)


def _dsp_blocks(part: Device) -> int:
    """As many as are used."""
    share = DSP_SHARES.get(part.fabric, OTHER_DSP_SHARE)
    return int(share * (part.offers("dsp") or 0))


def _with_spare_lines(
    design: PlaneDesign, cut: Cut, size: PlaneSize, settings: RtlSettings
) -> Iterator[PlaneDesign]:
    """The design with more and more modest memories, those that fit."""
    for spare in range(MOST_SPARE_LINES, FEWEST_SPARE_LINES - 1, -1):
        design = replace(design, geometry=lay_plane(cut, size, spare))
        need = memory_need(design, settings)
        if need is None or need.fits:
            yield design


def _with_dsp_lanes(design: PlaneDesign, part: Device) -> PlaneDesign:
    """Lanes whose multipliers are DSP blocks; those of the others are made of adders."""
    lanes = design.engine.pe
    if part.offers("dsp") is not None:
        free = _dsp_blocks(part) - design.folding.multipliers()
        lanes = max(min(lanes, free // design.engine.channels), 0)
    return replace(design, engine=replace(design.engine, dsp_lanes=lanes))
