# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures of a design by the lit pixels (sites) of a frame: what any target calls them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from edgeinfer.base.metrics import Metric

BOUND, SEEN = "sites_cycles_most", "sites_cycles_simulated"
STREAMED = "sites_interval_simulated"  # from the end of the frame before
RECKONED = "sites_interval_estimated"  # the same without a simulator
SITE_FIGURES = (BOUND, SEEN, STREAMED, RECKONED)
SITES = re.compile(r"(\d{1,9}) sites")

SitePoint = tuple[int, Metric]


def frames_of(sites: int) -> str:
    """What a figure of frames with so many lit pixels has in place of a layer."""
    return f"{sites} sites"


def sites_of(metric: Metric) -> int | None:
    """The number of lit pixels that a figure is for, where it is one of a frame and not of a
    layer."""
    match = SITES.fullmatch(metric.layer or "")
    return None if match is None else int(match[1])


def points_by_sites(metrics: Iterable[Metric], name: str) -> list[SitePoint]:
    """A figure's values by the number of sites, the fewest first."""
    points = []
    for metric in metrics:
        sites = sites_of(metric)
        if metric.name == name and sites is not None and math.isfinite(metric.value):
            points.append((sites, metric))
    return sorted(points, key=lambda point: point[0])
