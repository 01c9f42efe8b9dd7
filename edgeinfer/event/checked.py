# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tagger whose shortcut is checked on the way: some hits of each plane are also evaluated one by
one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import DisagreementError, UsageError
from edgeinfer.event.event import (
    PlaneSettings,
    PlaneTags,
    Watcher,
    check_hits,
    patch_of,
    tag_planes,
)
from edgeinfer.event.frames import FrameLayout
from edgeinfer.event.guard import check_plane
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.prefix import Cut, Obstacle
from edgeinfer.event.results import gather_tags, keep_tags
from edgeinfer.event.tagger import Tagger, Way, build_plain, build_tagger, choose_cut
from edgeinfer.ir.program import Program

CHECKS = 32  # hits of each plane that are evaluated twice where nobody says how many


@dataclass(frozen=True, slots=True)
class CheckedTagger:
    """A tagger, and the one that evaluates patch by patch."""

    tagger: Tagger
    plain: Tagger
    checks: int  # hits of each plane that are evaluated by both


def build_checked(program: Program, cut: Cut | Obstacle | FrameLayout, check: int) -> CheckedTagger:
    """Compile everything, once. Patches against themselves would prove nothing."""
    tagger = build_tagger(program, cut)
    checks = 0 if isinstance(cut, Obstacle) else check
    plain = build_plain(program, cut, tagger) if checks else tagger
    return CheckedTagger(tagger, plain, checks)


def tag_checked(
    checked: CheckedTagger,
    planes: Iterable[WirePlane],
    settings: PlaneSettings,
    *,
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> Iterator[tuple[PlaneTags, int]]:
    """The tags of each plane, and how many of its hits were also evaluated one by one. An error
    where the shortcut changes an integer."""
    for tags in tag_planes(checked.tagger, planes, settings, threads=threads, watcher=watcher):
        wrong, checks = check_hits(checked.plain, tags, settings, checked.checks)
        if wrong:
            raise DisagreementError(
                f"{tags.plane.name}: {wrong} of {checks} hits differ from their patches "
                "evaluated one by one."
            )
        yield tags, checks


def check_planes(
    program: Program,
    cut: Cut | Obstacle | FrameLayout,
    planes: Iterable[WirePlane],
    settings: PlaneSettings,
) -> Iterator[WirePlane]:
    """The same planes; an error for one that cannot be tagged, before it is."""
    for plane in planes:
        check_plane(program, cut, plane, settings)
        yield plane


def tag_arrays(
    program: Program, planes: NDArray[np.float32], threshold_adc: float
) -> dict[str, NDArray[Any]]:
    """Arrays with a row for each hit of planes (planes, wires, pixels), some hits checked."""
    if planes.ndim != 3 or not np.isfinite(planes).all():
        raise UsageError(
            f"Planes of shape {planes.shape} are no ADC counts (planes, wires, pixels), or hold "
            "NaN or infinity."
        )
    patch_of(program)
    cut, settings = choose_cut(program, Way.AUTO), PlaneSettings(threshold_adc)
    named = (WirePlane(f"plane {number}", adc) for number, adc in enumerate(planes))
    checked_planes = list(check_planes(program, cut, named, settings))
    checked = build_checked(program, cut, CHECKS)
    rows = [
        keep_tags(tags, checks) for tags, checks in tag_checked(checked, checked_planes, settings)
    ]
    return gather_tags(program, rows)
