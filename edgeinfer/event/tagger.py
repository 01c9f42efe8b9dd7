# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tagger at every hit of a wire plane."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.event.footprint import PatchOutputs, Split, split, tag_each, tag_touched
from edgeinfer.ir.program import Program
from edgeinfer.lartpc.patches import Scaling, scale
from quantization.fixed import Ints, Quantizer, quantize


class Way(StrEnum):
    """How the patches of a plane are evaluated; the integers are the same."""

    AUTO = "auto"  # the footprint where the network allows it
    PATCHES = "patches"
    FOOTPRINT = "footprint"


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """What counts as charge, and how ADC counts become the network's input."""

    threshold_adc: float = 4.0  # pixels below are set to zero, pixels from here on are hits
    scaling: Scaling = "unit"
    way: Way = Way.AUTO


@dataclass(frozen=True, slots=True)
class PlaneTags:
    """The hits of a plane as (wire, pixel), the raw outputs at each, and the work done."""

    hits: NDArray[np.intp]
    tagged: PatchOutputs
    occupancy: float  # share of the plane's pixels that are hits
    shared: bool  # evaluated by footprint, not patch by patch


def tag_plane(program: Program, adc: NDArray[np.float32], settings: PlaneSettings) -> PlaneTags:
    """Evaluate the tagger centred on each hit of one plane (wires, pixels). Beyond the plane's
    edge there is no charge."""
    hits, picture = _prepare_plane(program, adc, settings)
    cut = _cut(program, settings.way)
    tagged = tag_touched(cut, picture, hits) if cut else tag_each(program, picture, hits)
    return PlaneTags(hits, tagged, len(hits) / adc.size, cut is not None)


def _prepare_plane(
    program: Program, adc: NDArray[np.float32], settings: PlaneSettings
) -> tuple[NDArray[np.intp], Ints]:
    """The hits, and the plane as raw integers with a margin of half a patch."""
    height, width = patch_of(program)
    charged = adc >= settings.threshold_adc
    raw = raw_picture(program, np.where(charged, adc, np.float32(0.0)), settings.scaling)
    margin = ((height // 2, height - height // 2), (width // 2, width - width // 2), (0, 0))
    picture = np.pad(raw, margin)  # so that a hit's patch begins at the hit's own coordinates
    return np.argwhere(charged), picture


def _cut(program: Program, way: Way) -> Split | None:
    """How the network is cut for its footprint; None where patches are evaluated one by one."""
    match way:
        case Way.PATCHES:
            return None
        case Way.AUTO:
            return split(program)
        case Way.FOOTPRINT:
            cut = split(program)
            if cut is None:
                raise UsageError(
                    f"The patches of {program.name} share nothing: it does not begin with one "
                    "valid convolution, element-wise ops and a dense layer.",
                    hint="Use --way patches.",
                )
            return cut
        case _:
            assert_never(way)


def check_hits(
    program: Program,
    adc: NDArray[np.float32],
    settings: PlaneSettings,
    tags: PlaneTags,
    count: int,
) -> tuple[int, int]:
    """Of up to `count` hits, evenly spread, evaluated one by one: how many differ, how many were
    tried."""
    chosen = np.linspace(0, len(tags.hits) - 1, min(count, len(tags.hits))).astype(int)
    if not chosen.size:
        return 0, 0
    hits, picture = _prepare_plane(program, adc, settings)
    each = tag_each(program, picture, hits[chosen]).outputs
    differ = np.zeros(chosen.size, np.bool_)
    for name, values in each.items():
        other = tags.tagged.outputs[name][chosen]
        differ |= (other != values).reshape(chosen.size, -1).any(axis=1)
    return int(differ.sum()), chosen.size


def patch_of(program: Program) -> tuple[int, int]:
    """Height and width of the patch that a tagger looks at."""
    if len(program.inputs) != 1 or len(program.inputs[0].shape) != 3:
        raise UsageError(
            f"{program.name} is not a tagger of patches: it needs one picture as input."
        )
    height, width, channels = program.inputs[0].shape
    if channels != 1:
        raise UsageError(f"{program.name} looks at {channels} channels; a plane has one.")
    return height, width


def raw_picture(program: Program, adc: NDArray[np.float32], scaling: Scaling) -> Ints:
    """ADC counts as raw integers of the program's input: (wires, pixels, 1). No charge is zero."""
    scaled = scale(adc, scaling).astype(np.float64)
    return quantize(scaled, Quantizer(program.inputs[0].type))[..., None]
