# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A picture of how a design's cycles follow the lit pixels of a frame."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.base.metrics import Metric
from edgeinfer.base.site_figures import SITE_FIGURES, SitePoint, points_by_sites
from edgeinfer.report import words
from edgeinfer.report.draw.marks import Dot, Figure, Label, Line, Mark
from edgeinfer.report.draw.scales import axes, over
from edgeinfer.report.result import Result

WIDTH = 800.0


def occupancy_figure(result: Result) -> Figure | None:
    """Bounds as a line over the number of sites, simulated frames as dots, and frames in a stream
    as others: as they were simulated, or as they are estimated."""
    bounds, frames, streamed, reckoned = (
        points_by_sites(result.metrics, name) for name in SITE_FIGURES
    )
    streamed = streamed or reckoned
    if len(bounds) + len(frames) < 2:
        return None
    left, right, top, bottom = 92.0, 560.0, 24.0, 330.0
    both = [*bounds, *frames, *streamed]
    # Numbers of sites are each as many times the one before, and so are their cycles.
    across = over([count for count, _ in both], left, right, logarithmic=True)
    up = over([metric.value for _, metric in both], bottom, top, logarithmic=True)
    marks = axes(across, up, "sites of a frame", "cycles", "muted")
    placed = [(across.place(count), up.place(metric.value)) for count, metric in bounds]
    if len(placed) > 1:
        marks.append(Line(tuple(placed), "curve-int c0", "joins the bounds"))
    marks += [Dot(x, y, "dot int", _about(*point), 3.0)
              for (x, y), point in zip(placed, bounds, strict=True)]  # fmt: skip
    marks += [
        Dot(across.place(count), up.place(metric.value), "dot float", _about(count, metric),
            form="diamond")
        for count, metric in frames
    ]  # fmt: skip
    marks += [
        Dot(across.place(count), up.place(metric.value), "dot float", _about(count, metric),
            form="square")
        for count, metric in streamed
    ]  # fmt: skip
    marks += _legend(bounds, frames, streamed, right + 28)
    texts = [f"{words.number(metric.value)} for {count:,}" for count, metric in bounds]
    seen = [f"{words.number(metric.value)} for {count:,}" for count, metric in frames]
    sentence = f"Cycles of a frame by its sites: at most {', '.join(texts) or 'not known'}"
    sentence += f"; in the simulation {', '.join(seen)}" if seen else ""
    later = [f"{words.number(metric.value)} for up to {count:,}" for count, metric in streamed]
    sentence += f"; from one frame of a stream to the next {', '.join(later)}." if later else "."
    title = "Cycles by lit pixels"
    return Figure("occupancy", title, sentence, WIDTH, bottom + 52, tuple(marks))


def _about(count: int, metric: Metric) -> str:
    return f"{count:,} sites: {words.number(metric.value)} cycles, {metric.origin}"


def _legend(
    bounds: Sequence[SitePoint],
    frames: Sequence[SitePoint],
    streamed: Sequence[SitePoint],
    x: float,
) -> list[Mark]:
    marks: list[Mark] = []
    if bounds:
        marks += [
            Line(((x, 40), (x + 22, 40)), "curve-int c0"),
            Label(x + 32, 44, f"at most, at each dot [{bounds[0][1].origin}]", "ink"),
        ]
    if frames:
        marks += [
            Dot(x + 11, 64, "dot float", form="diamond"),
            Label(x + 32, 68, f"one frame each [{frames[0][1].origin}]", "ink"),
        ]
    if streamed:
        marks += [
            Dot(x + 11, 88, "dot float", form="square"),
            Label(x + 32, 92, f"frames of planes [{streamed[0][1].origin}]", "ink"),
        ]
    return marks
