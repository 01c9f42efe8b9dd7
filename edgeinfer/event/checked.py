# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tagger whose shortcut is checked on the way: some hits of each plane are also evaluated one by
one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeinfer.base.errors import DisagreementError
from edgeinfer.event.event import PlaneSettings, PlaneTags, Watcher, check_hits, tag_planes
from edgeinfer.event.guard import check_plane
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.prefix import Cut, Obstacle
from edgeinfer.event.tagger import Tagger, build_tagger
from edgeinfer.ir.program import Program


@dataclass(frozen=True, slots=True)
class CheckedTagger:
    """A tagger, and the one that evaluates patch by patch."""

    tagger: Tagger
    plain: Tagger
    checks: int  # hits of each plane that are evaluated by both


def build_checked(program: Program, cut: Cut | Obstacle, check: int) -> CheckedTagger:
    """Compile everything, once. Patches against themselves would prove nothing."""
    tagger = build_tagger(program, cut)
    checks = check if tagger.shared is not None else 0
    plain = build_tagger(program, Obstacle("for the check")) if checks else tagger
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
        wrong, tried = check_hits(checked.plain, tags, settings, checked.checks)
        if wrong:
            raise DisagreementError(
                f"{tags.plane.name}: {wrong} of {tried} hits differ from their patches "
                "evaluated one by one."
            )
        yield tags, tried


def check_planes(
    program: Program, cut: Cut | Obstacle, planes: Iterable[WirePlane], settings: PlaneSettings
) -> Iterator[WirePlane]:
    """The same planes; an error for one that cannot be tagged, before it is."""
    for plane in planes:
        check_plane(program, cut if isinstance(cut, Cut) else None, plane, settings)
        yield plane
