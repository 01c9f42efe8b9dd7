# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a design in tokens follows the lit pixels of a frame: its figures by their number."""

from __future__ import annotations

import math
import re

from edgeinfer.base.metrics import Metric
from edgeinfer.report import words
from edgeinfer.report.result import Result
from edgeinfer.report.tables import Cell, Column, ReportTable, figure, filled_table

BOUND, SEEN = "sites_cycles_most", "sites_cycles_simulated"
STREAMED = "sites_interval_simulated"  # from the end of the frame before
RECKONED = "sites_interval_estimated"  # the same without a simulator
SITES = re.compile(r"(\d{1,9}) sites")

SitePoint = tuple[int, Metric]


def sites_of(metric: Metric) -> int | None:
    """The number of lit pixels that a figure is for, where it is one of a frame and not of a
    layer."""
    match = SITES.fullmatch(metric.layer or "")
    return None if match is None else int(match[1])


def points_by_sites(result: Result, name: str) -> list[SitePoint]:
    """A figure's values by the number of sites, the fewest first."""
    points = []
    for metric in result.metrics:
        sites = sites_of(metric)
        if metric.name == name and sites is not None and math.isfinite(metric.value):
            points.append((sites, metric))
    return sorted(points, key=lambda point: point[0])


def site_table(result: Result) -> ReportTable | None:
    """Cycles of frames by their lit pixels: what is proved, simulated and estimated."""
    most, alone, streamed, reckoned = (
        dict(points_by_sites(result, name)) for name in (BOUND, SEEN, STREAMED, RECKONED)
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
