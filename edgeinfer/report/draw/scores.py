# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures of how well stages decide, and of which stages agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edgeinfer.evaluate.profile.data import Curve, Profile, Uncertain
from edgeinfer.ir.agreement import Agreement
from edgeinfer.report import words
from edgeinfer.report.draw.marks import Box, Dot, Figure, Label, Line, Mark, cut
from edgeinfer.report.draw.scales import AxisScale, axes, grid_across, over
from edgeinfer.report.result import Result
from edgeinfer.report.result_tables import intervals_of, stages_of
from edgeinfer.report.titles import stage_title

WIDTH = 1000.0
ROC_WIDTH = 800.0
ROW = 30.0
COLOURS = 8  # of lines, in the style sheet
MOST_STAGES = 12

PANELS = (("auc", "AUC", 0), ("accuracy", "accuracy", 1), ("rms_error", "rms error", None))

Row = tuple[str, float, Uncertain | None]


def accuracy_figure(result: Result, profile: Profile | None) -> Figure | None:
    """Scores by stage as dots with intervals, the float network's as a line to compare with."""
    panels: list[tuple[str, list[Row]]] = []
    stages = stages_of(result)[:MOST_STAGES]
    for name, title, index in PANELS:
        rows = []
        for stage in stages:
            value = getattr(result.accuracy[stage], name)
            if value is not None and math.isfinite(value):
                each = None if index is None else intervals_of(result, profile, stage)[index]
                rows.append((stage, value, each))
        if rows:
            panels.append((title, rows))
    if not panels:
        return None
    titles = {stage: stage_title(stage, result) for stage in stages}
    left, gap = 110.0, 36.0
    room = (WIDTH - left - 20 - gap * (len(panels) - 1)) / len(panels)
    height = 52 + ROW * len(stages) + 26
    marks: list[Mark] = []
    for number, stage in enumerate(stages):
        y = 52 + ROW * (number + 0.5)
        marks.append(Label(left - 12, y + 4, cut(titles[stage], left - 14), "ink", "end"))
    for number, (title, rows) in enumerate(panels):
        start = left + number * (room + gap)
        marks += _panel(title, rows, titles, start, start + room)
    texts = [f"{titles[s]} {words.number(v, 5)}" for s, v, _ in panels[0][1]]
    sentence = f"{panels[0][0]} by stage: {', '.join(texts)}."
    return Figure("accuracy", "Scores by stage", sentence, WIDTH, height, tuple(marks))


def _panel(
    title: str, rows: Sequence[Row], titles: Mapping[str, str], start: float, stop: float
) -> list[Mark]:
    ends = [value for _, value, _ in rows]
    ends += [end for _, _, each in rows if each is not None for end in (each.low, each.high)]
    scale = over(ends, start, stop - 62)
    stages = list(titles)
    bottom = 52 + ROW * len(stages)
    marks: list[Mark] = [
        Label(start, 20, title, "ink strong"),
        *grid_across(scale.ticks(), 44, bottom),
    ]
    for stage, value, each in rows:
        y = 52 + ROW * (stages.index(stage) + 0.5)
        kind = "float" if stage == "float" else "int"
        x = scale.place(value)
        if stage == "float":
            marks.append(Line(((x, 44), (x, bottom)), "reference"))
        if each is not None:
            marks += _whisker(scale, each, y, kind)
        about = f"{titles[stage]}: {title} {words.number(value, 5)}"
        marks.append(Dot(x, y, kind, about))
        marks.append(Label(stop - 54, y + 4, f"{value:.4f}", "ink number"))
    return marks


def _whisker(scale: AxisScale, each: Uncertain, y: float, kind: str) -> list[Mark]:
    low, high = scale.place(each.low), scale.place(each.high)
    return [
        Line(((low, y), (high, y)), f"whisker {kind}"),
        Line(((low, y - 5), (low, y + 5)), f"whisker {kind}"),
        Line(((high, y - 5), (high, y + 5)), f"whisker {kind}"),
    ]


def roc_figures(profile: Profile) -> list[Figure]:
    """For each output, signal kept against background kept: integers solid, floats dashed."""
    outputs = list(dict.fromkeys(curve.output for curve in profile.curves))
    return [
        _roc(output, [c for c in profile.curves if c.output == output], number)
        for number, output in enumerate(outputs)
    ]


def _roc(output: str, curves: Sequence[Curve], number: int) -> Figure:
    left, right, top, bottom = 64.0, 500.0, 24.0, 380.0
    across = AxisScale(0.0, 1.0, left, right)
    up = AxisScale(_least(curves), 1.0, bottom, top, logarithmic=True)
    marks = axes(across, up, "signal kept", "background kept", "muted")
    labels = list(dict.fromkeys(curve.label for curve in curves))
    for curve in sorted(curves, key=lambda c: c.stage == "float"):  # dashes on top
        colour = f"c{labels.index(curve.label) % COLOURS}"
        kind = "curve-float" if curve.stage == "float" else f"curve-int {colour}"
        first = max((n for n, b in enumerate(curve.background) if b < up.low), default=0)
        points = list(zip(curve.signal, curve.background, strict=True))[first:]
        placed = tuple((across.place(s), up.place(max(b, up.low))) for s, b in points)
        about = f"{curve.label}, {curve.stage}: AUC {words.number(curve.auc, 5)}"
        marks.append(Line(placed, kind, about))
    marks += _legend(curves, labels, right + 24)
    areas = {(curve.label, curve.stage): curve.auc for curve in curves}
    texts = [
        f"{words.short(label, 30)} {_area(areas.get((label, 'quantized')))} "
        f"({_area(areas.get((label, 'float')))})"
        for label in labels
    ]
    sentence = f"Area under each curve as integers (as floats): {', '.join(texts)}."
    name = "roc" if not number else f"roc-{number + 1}"
    title = f"Signal against background: {words.short(output, 40)}"
    return Figure(name, title, sentence, ROC_WIDTH, bottom + 52, tuple(marks))


def _least(curves: Sequence[Curve]) -> float:
    backgrounds = [b for curve in curves for b in curve.background if b > 0]
    return min(0.1, max(min(backgrounds, default=0.1), 1e-5))


def _legend(curves: Sequence[Curve], labels: Sequence[str], x: float) -> list[Mark]:
    areas = {(curve.label, curve.stage): curve.auc for curve in curves}
    marks: list[Mark] = [
        Label(x, 34, "AUC as", "muted"),
        Label(x + 188, 34, "integers", "muted", "end"),
        Label(x + 246, 34, "floats", "muted", "end"),
    ]
    for number, label in enumerate(labels):
        y = 58.0 + 22 * number
        colour = f"c{number % COLOURS}"
        marks += [
            Line(((x, y - 4), (x + 22, y - 4)), f"curve-int {colour}"),
            Label(x + 30, y, cut(label, 110), "ink"),
            Label(x + 188, y, _area(areas.get((label, "quantized"))), "ink number", "end"),
            Label(x + 246, y, _area(areas.get((label, "float"))), "muted number", "end"),
        ]
    y = 70.0 + 22 * len(labels)
    marks += [
        Line(((x, y - 4), (x + 22, y - 4)), "curve-float"),
        Label(x + 30, y, "float network", "ink"),
    ]
    return marks


def _area(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _verdict(entry: Agreement, must: bool) -> tuple[str, str, str]:
    """How a cell is to be taken, its sign, and words for it."""
    if entry.bit_identical:
        return "good", "=", "bit-identical"
    return ("bad", "≠", "different") if must else ("near", "≈", "near, as its numbers allow")


def agreement_figure(result: Result) -> Figure | None:
    """Stages against stages: which were held against each other, and whether they agree."""
    if not result.agreement:
        return None
    stages = list(dict.fromkeys(name for e in result.agreement for name in e.pair))[:MOST_STAGES]
    agreements = {frozenset(entry.pair): entry for entry in result.agreement}
    side_x, side_y, left, top = 108.0, 46.0, 130.0, 44.0
    marks: list[Mark] = []
    for number, stage in enumerate(stages):
        title = stage_title(stage, result)
        marks += [
            Label(left - 12, top + side_y * (number + 0.5) + 4, cut(title, 116), "ink", "end"),
            Label(
                left + side_x * (number + 0.5), top - 14, cut(title, side_x - 8), "ink", "middle"
            ),
        ]
    for i, first in enumerate(stages):
        for j, second in enumerate(stages):
            x, y = left + side_x * j, top + side_y * i
            entry = agreements.get(frozenset((first, second))) if i != j else None
            kind = "cell self" if i == j else "cell none"
            about, title, tone = f"{first}, {second}: not compared", "", ""
            if entry is not None:
                tone, sign, verdict = _verdict(entry, entry in result.disagreements)
                kind, title = f"cell {tone}", f"{sign} {entry.samples:,}"
                about = f"{first}, {second}: {verdict} in {entry.samples:,} samples"
            marks.append(Box(x + 2, y + 2, side_x - 4, side_y - 4, kind, about, 3))
            if title:
                marks.append(
                    Label(x + side_x / 2, y + side_y / 2 + 4, title, f"on-{tone} strong", "middle")
                )
    same = sum(entry.bit_identical for entry in result.agreement)
    sentence = (
        f"{same} of {words.count_noun(len(result.agreement), 'pair')} of stages agree bit for bit."
    )
    return Figure(
        "agreement",
        "Which stages agree",
        sentence,
        max(left + side_x * len(stages) + 10, 380.0),
        top + side_y * len(stages) + 10,
        tuple(marks),
        "In a cell: = bit-identical, ≠ different, ≈ different as a target's own numbers allow; and "
        "the samples that were compared.",
    )
