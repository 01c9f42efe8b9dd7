# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures of a comparison: score against each cost, with fronts and the device's budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from edgeinfer.report import words
from edgeinfer.report.compare.comparison import LATENCY, RunComparison, ScatterPoint, Series
from edgeinfer.report.draw.marks import Box, Dot, Figure, Label, Line, Mark, cut, width_of
from edgeinfer.report.draw.scales import HUGE, AxisScale, axes, over
from edgeinfer.report.titles import SCORE_TITLES
from edgeinfer.report.uses import uses_of

WIDTH, HEIGHT = 1000.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 700.0, 24.0, 360.0
COLOURS = 8
SMALL = 11.0  # of the names beside points
MOST_NAMED = 14  # points of fronts with their names beside them
MOST_SERIES = 14  # in a legend
NEAR = 8.0  # times the largest cost: a budget further off is told, not drawn
ROUGH = ("estimated", "published")  # drawn hollow


def pareto_figures(comparison: RunComparison) -> list[Figure]:
    """One picture for latency and one for each kind of resource."""
    kinds = list(dict.fromkeys(series.quantity.name for series in comparison.series))
    figures = []
    for kind in kinds:
        alike = [series for series in comparison.series if series.quantity.name == kind]
        points = [p for s in alike for p in s.points if math.isfinite(p.cost.value)]
        if len(points) > 1 and any(point.cost.value for point in points):
            figures.append(_pareto(comparison, kind, alike))
    return figures


def _pareto(comparison: RunComparison, kind: str, alike: Sequence[Series]) -> Figure:
    points = [point for series in alike for point in series.points]
    costs = [p.cost.value for p in points if math.isfinite(p.cost.value)]
    offered = _device_capacity(comparison, kind)
    near = offered is not None and offered <= NEAR * max(costs)
    costs += [e for p in points for e in (p.cost.low, p.cost.high) if e is not None and e < HUGE]
    positive = [cost for cost in costs if cost > 0]
    spread = len(positive) == len(costs) and max(positive) > 10 * min(positive)
    room = [*costs, *([offered] if near and offered is not None else [])]
    across = over(room, LEFT, RIGHT, logarithmic=spread)
    scores = [p.entry.score for p in points if p.entry.score is not None]
    ends = [end for s in scores for end in (s.low, s.high) if end is not None]
    up = over([*(p.score for p in points), *ends], BOTTOM, TOP)
    what = "latency" if kind == LATENCY.name else words.kind_name(kind)
    unit = "µs" if kind == LATENCY.name else words.unit_of_kind(kind)
    score = SCORE_TITLES.get(comparison.score_name, "score")
    marks: list[Mark] = []
    if near and offered is not None:
        edge = across.place(offered)
        marks.append(Box(LEFT, TOP, edge - LEFT, BOTTOM - TOP, "budget", "what the device offers"))
        marks.append(Label(min(edge, RIGHT) - 6, TOP + 14, "device", "muted small", "end"))
    marks += axes(across, up, f"{what} ({unit})" if unit else what, score)
    for number, series in enumerate(alike):
        marks += _draw_points(series, number, across, up)
    marks += _name_points(alike, across, up)
    marks += _legend(comparison, alike)
    best = [p.entry.run.shown for s in alike for p in s.points if p.best]
    names = words.join_words([words.short(name, 40) for name in list(dict.fromkeys(best))[:5]])
    more = " and others" if len(set(best)) > 5 else ""
    beaten = f"Nothing comparable surely beats {names}{more}"
    sentence = f"{beaten}: better in one of {what} and {score}, and no worse in the other."
    note = ""
    if offered is not None and not near:
        note = f"The device offers {words.number(offered)}, far to the right."
    name = f"score-against-{kind.replace('_us', '')}"
    title = f"{score} against {what}"
    return Figure(name, title, sentence, WIDTH, HEIGHT, tuple(marks), note)


def _draw_points(series: Series, number: int, across: AxisScale, up: AxisScale) -> list[Mark]:
    colour = f"c{number % COLOURS}"
    marks: list[Mark] = []
    best = [p for p in series.points if p.best and math.isfinite(p.cost.value)]
    if len(best) > 1:
        steps: list[tuple[float, float]] = []
        leading = float("-inf")
        for point in best:
            x, y = across.place(point.cost.value), up.place(point.score)
            if point.worth <= leading:  # shares its place with a cheaper one
                continue
            leading = point.worth
            if steps:
                steps.append((x, steps[-1][1]))
            steps.append((x, y))
        marks.append(Line(tuple(steps), f"front {colour}"))
    for point in series.points:
        if math.isfinite(point.cost.value):
            x, y = across.place(point.cost.value), up.place(point.score)
            marks += _error_bars(point, x, y, across, up, colour)
            form = _form(series.origin)
            size = 5.0 if point.best else 3.5
            marks.append(Dot(x, y, f"{_fill(series.origin)} {colour}", _about(point), size, form))
    return marks


def _error_bars(
    point: ScatterPoint, x: float, y: float, across: AxisScale, up: AxisScale, colour: str
) -> list[Mark]:
    """The interval of the score, and the band of the cost."""
    score, cost, marks = point.entry.score, point.cost, list[Mark]()
    if score is not None and score.low is not None and score.high is not None:
        ends = up.place(score.low), up.place(score.high)
        marks.append(Line(((x, ends[0]), (x, ends[1])), f"whisker faint {colour}"))
    if cost.low is not None and cost.high is not None and cost.low != cost.high:
        ends = across.place(cost.low), across.place(cost.high)
        marks.append(Line(((ends[0], y), (ends[1], y)), f"whisker faint {colour}"))
    return marks


def _form(origin: str) -> Literal["circle", "square", "diamond"]:
    return "diamond" if origin == "measured" else "square" if origin == "routed" else "circle"


def _fill(origin: str) -> str:
    return "hollow" if origin in ROUGH else "full"


def _about(point: ScatterPoint) -> str:
    metric = point.cost
    where = point.entry.title
    cost = words.with_unit(metric.value, metric.unit)
    return (
        f"{words.short(point.entry.run.shown)}, {where}: {words.number(point.score, 5)} at {cost}, "
        f"{metric.origin}"
    )


def _name_points(alike: Sequence[Series], across: AxisScale, up: AxisScale) -> list[Mark]:
    best = [p for series in alike for p in series.points if p.best]
    marks: list[Mark] = []
    spans: list[tuple[float, float, float]] = []  # left and right end, and height
    for point in best:
        if len(spans) >= MOST_NAMED or not math.isfinite(point.cost.value):
            continue
        x, y = across.place(point.cost.value), up.place(point.score)
        anchor: Literal["start", "end"] = "end" if x > LEFT + 120 else "start"  # fronts rise right
        name = cut(words.short(point.entry.run.shown), 110, SMALL)
        start = x + 9 if anchor == "start" else x - 9 - width_of(name, SMALL)
        stop = start + width_of(name, SMALL)
        if any(start < b and a < stop and abs(y - height) < 14 for a, b, height in spans):
            continue  # the words would lie on each other; the dot's title tells
        spans.append((start, stop, y))
        shift = -9 if anchor == "end" else 9
        marks.append(Label(x + shift, y - 6, name, "ink small halo", anchor))
    return marks


def _legend(comparison: RunComparison, alike: Sequence[Series]) -> list[Mark]:
    groups = {series.group for series in comparison.series}
    marks: list[Mark] = []
    for number, series in enumerate(alike[:MOST_SERIES]):
        y = TOP + 12 + 22 * number
        state = series.quantity.state
        after = f", after {state}" if state and series.origin != "routed" else ""
        group = f", group {series.group + 1}" if len(groups) > 1 else ""
        label = f"{series.points[0].entry.title}, {series.origin}{after}{group}"
        marks += [
            Dot(RIGHT + 26, y - 4, f"{_fill(series.origin)} c{number % COLOURS}", label,
                4.5, _form(series.origin)),
            Label(RIGHT + 40, y, cut(label, WIDTH - RIGHT - 44), "ink"),
        ]  # fmt: skip
    if len(alike) > MOST_SERIES:
        y = TOP + 12 + 22 * MOST_SERIES
        marks.append(Label(RIGHT + 26, y, f"and {len(alike) - MOST_SERIES} more", "muted"))
    return marks


def _device_capacity(comparison: RunComparison, kind: str) -> float | None:
    """What the device offers, where all designs of the picture are for the same one."""
    drawn = [p.entry for s in comparison.series if s.quantity.name == kind for p in s.points]
    offers = {
        use.offered
        for entry in drawn
        for use in uses_of(entry.run.result)
        if use.target == entry.target and use.kind == kind
    }
    return offers.pop() if len(offers) == 1 else None
