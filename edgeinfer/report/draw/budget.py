# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A picture of what designs take of their device."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgeinfer.report import words
from edgeinfer.report.draw.marks import Box, Figure, Label, Line, Mark, cut
from edgeinfer.report.draw.scales import over
from edgeinfer.report.result import Result
from edgeinfer.report.uses import Use, uses_of

WIDTH = 1000.0
LEFT, RIGHT = 196.0, 800.0
ROW = 30.0
BEYOND = 1.6  # what takes more is drawn as far, and told in numbers


def budget_figure(result: Result) -> Figure | None:
    """Bars of what is taken of each kind, with the error bands of estimates."""
    uses = [use for use in uses_of(result) if use.share is not None and math.isfinite(use.share)]
    if not uses:
        return None
    shares = [min(use.share or 0.0, BEYOND) for use in uses]
    shares += [min(use.high_share or 0.0, BEYOND) for use in uses]
    scale = over([0.0, 1.0, *shares], LEFT, RIGHT, zero=True)
    top = 30.0
    bottom = top + ROW * len(uses)
    full = scale.place(1.0)
    marks: list[Mark] = []
    for at, _ in scale.ticks():
        share = scale.low + (at - LEFT) / (RIGHT - LEFT) * (scale.high - scale.low)
        marks += [
            Line(((at, top), (at, bottom)), "grid"),
            Label(at, bottom + 18, words.percent(round(share, 6), 0), "muted", "middle"),
        ]
    for number, use in enumerate(uses):
        marks += _bar(use, scale.place, top + ROW * number)
    marks += [
        Line(((full, top - 6), (full, bottom)), "limit"),
        Label(full, top - 12, "all of it", "ink small", "middle"),
    ]
    texts = [f"{u.title} {words.kind_name(u.kind)} {words.percent(u.share)}" for u in uses]
    sentence = f"Of the device are taken: {', '.join(texts)}."
    return Figure("budget", "Device budget", sentence, WIDTH, bottom + 30, tuple(marks))


def _bar(use: Use, place: Callable[[float], float], y: float) -> list[Mark]:
    share = use.share or 0.0
    kind = "bar good" if use.fits and use.surely else "bar unsure" if not use.surely else "bar bad"
    start, stop = place(0.0), place(share)
    name = f"{use.title} {words.kind_name(use.kind)}"
    counted = f"{words.number(use.metric.value)} of {words.number(use.offered)}"
    about = f"{name}: {counted}, {use.metric.origin}"
    marks: list[Mark] = [Box(start, y + 7, max(stop - start, 1.5), ROW - 14, kind, about, 2)]
    if use.low_share is not None and use.high_share is not None:
        low, high, middle = place(use.low_share), place(use.high_share), y + ROW / 2
        marks += [
            Line(((low, middle), (high, middle)), "whisker ink-line"),
            Line(((low, middle - 5), (low, middle + 5)), "whisker ink-line"),
            Line(((high, middle - 5), (high, middle + 5)), "whisker ink-line"),
        ]
    marks += [
        Label(LEFT - 12, y + ROW / 2 + 4, cut(name, LEFT - 16), "ink", "end"),
        Label(RIGHT + 62, y + ROW / 2 + 4, words.percent(share), "ink number", "end"),
        Label(RIGHT + 74, y + ROW / 2 + 4, cut(str(use.metric.origin), 110), "muted"),
    ]
    return marks
