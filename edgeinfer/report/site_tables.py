# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a design in tokens follows the lit pixels of a frame: its figures by their number.

Its latency is a bound for frames with the most lit pixels, which few frames come near. So wherever
that is told, times of frames with fewer stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.site_figures import (
    BOUND,
    RECKONED,
    SEEN,
    SITE_FIGURES,
    STREAMED,
    points_by_sites,
)
from edgeinfer.report import words
from edgeinfer.report.result import Result
from edgeinfer.report.tables import Cell, Column, ReportTable, figure, filled_table


@dataclass(frozen=True, slots=True)
class SiteTimes:
    """Microseconds of frames, by how many of their pixels are lit."""

    most: int  # lit pixels of the frames that the latency bounds
    sites: tuple[int, int] = (0, 0)  # the fewest and the most lit pixels of other frames
    times_us: tuple[float, float] = (0.0, 0.0)  # of these, the shortest and the longest
    origin: Origin | None = None  # of the times; none where there are no such frames
    streamed: bool = False  # from the end of the frame before; else of a frame alone
    least_us: float = 0.0  # the shortest of simulated frames alone; 0 without any

    def describe(self, latency: Metric) -> str:
        """The latency as the bound that it is, and the times of other frames with their origin."""
        time = words.seconds(latency.value * 1e-6)
        bound = f"at most {time} for {self.most:,} lit pixels ({latency.origin})"
        if self.origin is None:
            return bound
        fewest, densest = self.sites
        lit = f"{densest:,}" if fewest == densest else f"{fewest:,} to {densest:,}"
        lasting = " to ".join(dict.fromkeys(words.seconds(us * 1e-6) for us in self.times_us))
        if self.streamed:
            return (
                f"{bound}, frames of planes every {lasting} for up to {densest:,} ({self.origin})"
            )
        return f"{bound}, drawn frames {lasting} for {lit} ({self.origin})"


def site_times(metrics: Sequence[Metric], cycle_us: float) -> SiteTimes | None:
    """The times of a design's frames by their lit pixels: in a stream rather than alone, simulated
    rather than estimated. None of a design whose cycles do not follow them."""
    bounds, alone = (points_by_sites(metrics, name) for name in (BOUND, SEEN))
    if not bounds:
        return None
    least_us = min((metric.value for _, metric in alone), default=0.0) * cycle_us
    for name in (STREAMED, RECKONED, SEEN):
        points = points_by_sites(metrics, name)
        if points:
            ends = [end * cycle_us for _, metric in points for end in metric.ends]
            return SiteTimes(
                bounds[-1][0], (points[0][0], points[-1][0]), (min(ends), max(ends)),
                points[0][1].origin, name != SEEN, least_us,
            )  # fmt: skip
    return SiteTimes(bounds[-1][0])


def site_lines(metrics: Sequence[Metric]) -> list[str]:
    """Cycles by lit pixels, a line for each kind of figure."""
    lines = []
    for name, title, upto in (
        (BOUND, "of a frame, at most", ""),
        (SEEN, "of a frame", ""),
        (STREAMED, "from frame to frame", "up to "),
        (RECKONED, "from frame to frame", "up to "),
    ):
        points = points_by_sites(metrics, name)
        if points:
            each = ", ".join(
                f"{words.number(metric.value)}{_band(metric)} for {upto}{sites:,}"
                for sites, metric in points
            )
            lines.append(f"cycles {title}, by lit pixels: {each} [{points[0][1].origin}]")
    return lines


def _band(metric: Metric) -> str:
    band = words.between(metric.low, metric.high)
    return f" ({band})" if band else ""


def site_table(result: Result) -> ReportTable | None:
    """Cycles of frames by their lit pixels: what is proved, simulated and estimated."""
    most, alone, streamed, reckoned = (
        dict(points_by_sites(result.metrics, name)) for name in SITE_FIGURES
    )
    rows = [
        (
            figure(sites),
            *(figure(each[sites].value) if sites in each else Cell("–")
              for each in (most, alone, streamed, reckoned)),
            Cell(words.between(reckoned[sites].low, reckoned[sites].high)
                 if sites in reckoned else ""),
        )
        for sites in sorted({*most, *alone, *streamed, *reckoned})
    ]  # fmt: skip
    if not rows:
        return None
    in_stream = "the mean over the frames of planes that have up to so many, and more than above"
    columns = (
        Column("lit pixels", "", True, "of a frame"),
        Column("at most, proved", "cycles", True, "of a frame alone, wherever they lie"),
        Column("one frame, simulated", "cycles", True, "alone, its lit pixels drawn at random"),
        Column("in a stream, simulated", "cycles", True, f"from frame to frame, {in_stream}"),
        Column("in a stream, estimated", "cycles", True, f"from frame to frame, {in_stream}"),
        Column("error band", "cycles"),
    )
    return filled_table("sites", "Cycles of a frame by its lit pixels", columns, rows)
