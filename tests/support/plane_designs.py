# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Designs for whole planes beside what each hit must yield, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.plan import write_files
from edgeinfer.event.event import PlaneSettings, patch_of, picture_of
from edgeinfer.event.prefix import Obstacle
from edgeinfer.event.tagger import build_tagger, tag_corners
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.plane.check import plane_design
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.simulate import PlaneRun, run_planes
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.simulate import Conditions
from quantization.fixed import Ints

EVENT = PlaneSettings()


@dataclass(frozen=True, slots=True)
class RawPlane:
    """A plane of raw integers with its margins, what is inside, and which pixels are hits."""

    picture: Ints
    raw: Ints
    hits: NDArray[np.bool_]


def raw_plane(
    program: Program, adc: NDArray[np.float32], hits: NDArray[np.bool_] | None = None
) -> RawPlane:
    """A plane of ADC counts; what reaches the threshold is a hit where nothing else is said."""
    charged = adc >= EVENT.threshold_adc
    picture = picture_of(program, adc, charged, EVENT)
    height, width = patch_of(program)
    raw = picture[height // 2 :, width // 2 :, 0][: adc.shape[0], : adc.shape[1]]
    return RawPlane(picture, raw, charged if hits is None else hits)


def emitted_design(program: Program, settings: RtlSettings, folder: Path) -> PlaneDesign:
    """The design's files, written to a folder."""
    plan = RtlTarget().emit(program, settings)
    write_files({folder / name: content for name, content in plan.files.items()})
    return plane_design(program, settings)


def assert_hits_agree(
    program: Program,
    settings: RtlSettings,
    planes: list[RawPlane],
    conditions: Conditions,
    folder: Path,
) -> PlaneRun:
    """A design is emitted, and yields what it ought to."""
    return check_hits_in(
        emitted_design(program, settings, folder), program, planes, conditions, folder
    )


def check_hits_in(
    design: PlaneDesign,
    program: Program,
    planes: list[RawPlane],
    conditions: Conditions,
    folder: Path,
) -> PlaneRun:
    """Every hit once, in order, with the integers of its own patch."""
    result = run_planes(design, folder, [(each.raw, each.hits) for each in planes], conditions)
    plain = build_tagger(program, Obstacle("one by one"))
    for number, plane in enumerate(planes):
        mine = result.plane == number
        expected = np.argwhere(plane.hits.T)[:, ::-1]  # in order of time
        assert np.array_equal(np.stack([result.wire[mine], result.pixel[mine]], axis=1), expected)
        if len(expected):
            for name, values in tag_corners(plain, plane.picture, expected).outputs.items():
                assert np.array_equal(result.outputs[name][mine], values), name
    return result
