# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures of a study: its front, its knobs as parallel lines, what each knob accounts for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edgeinfer.report import words
from edgeinfer.report.draw.marks import Box, Dot, Figure, Label, Line, Mark, cut
from edgeinfer.report.draw.scales import AxisScale, axes, over
from edgeinfer.sweep.study import BITS, Direction, Objective, Study
from edgeinfer.sweep.trial import TrialOutcome
from quantization.search import unbeaten

WIDTH, HEIGHT = 1000.0, 420.0
LEFT, RIGHT, TOP, BOTTOM = 80.0, 960.0, 24.0, 360.0
EDGE = 880.0  # of the last parallel axis, whose title and numbers need room
MOST_LINES = 400  # of the parallel ones
ROW = 24.0  # of a bar


def front_figures(
    study: Study, trials: Sequence[TrialOutcome], front: Sequence[TrialOutcome]
) -> list[Figure]:
    """The first objective against each of the others."""
    first, *others = study.objectives
    complete = [each for each in trials if not each.error and not each.cut_short]
    pairs = []
    for other in others:
        comparable = [
            each for each in complete if _has_figure(each, first) and _has_figure(each, other)
        ]
        if len(comparable) > 1:
            pairs.append(_front(first, other, comparable, [e for e in front if e in comparable]))
    return pairs


def _has_figure(outcome: TrialOutcome, objective: Objective) -> bool:
    return math.isfinite(outcome.figures.get(objective.figure, math.nan))


def _front(
    first: Objective,
    other: Objective,
    trials: Sequence[TrialOutcome],
    front: Sequence[TrialOutcome],
) -> Figure:
    across = _scale([each.figures[other.figure] for each in trials], LEFT, RIGHT)
    up = _scale([each.figures[first.figure] for each in trials], BOTTOM, TOP)
    marks = axes(across, up, other.figure, first.figure)
    keys = {each.key for each in front}
    place = {
        each.key: (across.place(each.figures[other.figure]), up.place(each.figures[first.figure]))
        for each in trials
    }
    steps: list[tuple[float, float]] = []
    for each in _best_in_both(first, other, front):
        x, y = place[each.key]
        if steps:
            steps.append((x, steps[-1][1]))
        steps.append((x, y))
    if len(steps) > 1:
        marks.append(Line(tuple(steps), "front c0"))
    for each in sorted(trials, key=lambda each: each.key in keys):  # the front lies on top
        x, y = place[each.key]
        best = each.key in keys
        kind = "full c0" if best else "hollow c1" if each.over else "hollow c0"
        marks.append(Dot(x, y, kind, _about(each), 5.0 if best else 3.5))
    sentence = (
        f"The front holds {len(front)} of {words.count_noun(len(trials), 'trial')}; hollow points "
        "are beaten by one of them, or beyond a budget. The line joins what nothing beats in these "
        "two figures."
    )
    title = f"{first.figure} against {other.figure}"
    return Figure(f"front-{_safe(other.figure)}", title, sentence, WIDTH, HEIGHT, tuple(marks))


def _best_in_both(
    first: Objective, other: Objective, front: Sequence[TrialOutcome]
) -> list[TrialOutcome]:
    """Of a front, which may have more objectives, the trials that no other one beats in these two,
    from the best in the other objective to the best in the first."""

    def worth(objective: Objective, each: TrialOutcome) -> float:
        sign = 1.0 if objective.direction is Direction.MAXIMIZE else -1.0
        return sign * each.figures[objective.figure]

    return unbeaten(front, lambda each: -worth(other, each), lambda each: worth(first, each))


def _scale(values: Sequence[float], start: float, stop: float) -> AxisScale:
    positive = [value for value in values if value > 0]
    spread = len(positive) == len(values) and max(positive) > 10 * min(positive)
    return over(values, start, stop, logarithmic=spread)


def _about(outcome: TrialOutcome) -> str:
    figures = ", ".join(f"{name} {words.number(v, 4)}" for name, v in outcome.figures.items())
    point = ", ".join(f"{knob_title(name)} {value}" for name, value in outcome.point.items())
    return f"{figures}: {point}"


def parallel_figure(
    study: Study, trials: Sequence[TrialOutcome], front: Sequence[TrialOutcome]
) -> Figure | None:
    """A line for each trial through its knobs to its objectives; the front's stand out."""
    complete = [
        e for e in trials if not e.error and all(_has_figure(e, o) for o in study.objectives)
    ]
    complete = complete[:MOST_LINES]
    if len(complete) < 2:
        return None
    knobs = [knob for knob in study.knobs if len(knob.values) > 1]
    axes = len(knobs) + len(study.objectives)
    places = [LEFT + (EDGE - LEFT) * number / max(axes - 1, 1) for number in range(axes)]
    marks: list[Mark] = []
    columns: list[Mapping[str, float]] = []
    for x, knob in zip(places, knobs, strict=False):
        rows = {value: _row(number, len(knob.values)) for number, value in enumerate(knob.values)}
        columns.append({each.key: rows[each.point[knob.name]] for each in complete})
        labels = [(rows[value], str(value)) for value in knob.values]
        marks += _axis(x, knob_title(knob.name), labels)
    for x, objective in zip(places[len(knobs) :], study.objectives, strict=True):
        top, bottom = BOTTOM, TOP + 20
        if objective.direction is Direction.MINIMIZE:  # what is better is higher up
            top, bottom = bottom, top
        scale = _scale([each.figures[objective.figure] for each in complete], top, bottom)
        columns.append({e.key: scale.place(e.figures[objective.figure]) for e in complete})
        marks += _axis(x, objective.figure, scale.ticks())
    best = {each.key for each in front}
    for each in sorted(complete, key=lambda each: each.key in best):
        points = tuple((x, column[each.key]) for x, column in zip(places, columns, strict=True))
        marks.append(Line(points, "front c0" if each.key in best else "grid", _about(each)))
    sentence = "Each line is a trial, from its settings on the left to its figures on the right."
    return Figure("parallel", "Settings and figures", sentence, WIDTH, HEIGHT - 20, tuple(marks))


def _row(number: int, count: int) -> float:
    if count == 1:
        return (TOP + 20 + BOTTOM) / 2
    return BOTTOM - (BOTTOM - TOP - 20) * number / (count - 1)


def _axis(x: float, title: str, labels: Sequence[tuple[float, str]]) -> list[Mark]:
    marks: list[Mark] = [
        Line(((x, TOP + 20), (x, BOTTOM)), "link"),
        Label(x, TOP + 6, cut(title, 150), "strong", "middle"),
    ]
    marks += [Label(x + 6, y + 4, label, "muted small halo") for y, label in labels]
    return marks


def importance_figure(study: Study, shares: Mapping[str, Mapping[str, float]]) -> Figure | None:
    """Bars: of each objective's variance, the share that each knob accounts for alone."""
    varying = {name: row for name, row in shares.items() if any(row.values())}
    if not varying:
        return None
    marks: list[Mark] = []
    y = TOP
    left, right = 260.0, 900.0
    for figure, row in varying.items():
        marks.append(Label(20, y + 12, figure, "strong"))
        y += ROW
        for name, share in sorted(row.items(), key=lambda item: -item[1]):
            width = max((right - left) * min(share, 1.0), 1.0)
            title = knob_title(name)
            marks += [
                Label(left - 10, y + 12, cut(title, 220), "ink", "end"),
                Box(left, y, width, ROW - 8, "bar own", f"{title}: {share:.0%}", 2.0),
                Label(left + width + 8, y + 12, f"{share:.0%}", "muted"),
            ]
            y += ROW
        y += 10
    best = {figure: max(row, key=lambda name: row[name]) for figure, row in varying.items()}
    texts = [f"{figure} depends most on {knob_title(name)}" for figure, name in best.items()]
    note = "Of few trials this tells little; what knobs do together is in no bar."
    sentence = f"{words.join_words(texts)}."
    return Figure("importance", "What matters", sentence, WIDTH, y, tuple(marks), note)


def knob_title(name: str) -> str:
    """A knob as a reader knows it."""
    return f"bits of {name.removeprefix(BITS)}" if name.startswith(BITS) else name.replace("_", " ")


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
