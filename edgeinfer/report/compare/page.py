# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A comparison written down: HTML, Markdown, CSV, JSON, and lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgeinfer.base.csv_text import as_csv
from edgeinfer.base.metrics import Metric
from edgeinfer.base.version import __version__
from edgeinfer.report import words
from edgeinfer.report.advice import Advice
from edgeinfer.report.compare.comparison import ComparedEntry, RunComparison, surely_less
from edgeinfer.report.compare.figures import pareto_figures
from edgeinfer.report.compare.tables import differences_table, entries_table
from edgeinfer.report.page.page import Section
from edgeinfer.report.page.templates import html_page, render
from edgeinfer.report.page.text import markdown_table, plain
from edgeinfer.report.tables import text_rows
from edgeinfer.report.titles import SCORE_TITLES
from edgeinfer.report.verdict import AnswerState

MOST_TIED = 4  # names of runs that share the first place


def headline(comparison: RunComparison) -> str:
    """What is best, among what may be compared; a tie where intervals or bands overlap."""
    judged = [entry for entry in comparison.entries if entry.score is not None]
    if not judged:
        return "No run was judged by labels, so only their costs can be compared."
    if len({entry.group for entry in judged}) > 1:
        groups = {entry.group for entry in comparison.entries}  # as the table numbers them
        return f"{len(groups)} groups of runs, whose scores cannot be compared with each other."
    timed = [entry for entry in judged if entry.timing is not None and _fast(entry) == _fast(entry)]
    sentences = [_best_score(comparison, judged), *([_fastest(timed)] if timed else [])]
    return f"{'; '.join(sentences)}."


def _best_score(comparison: RunComparison, judged: Sequence[ComparedEntry]) -> str:
    """The run whose interval is above all others', or those that share the first place."""
    title = SCORE_TITLES.get(comparison.score_name, "score")
    best = max(judged, key=_worth)
    assert best.score is not None
    near = [
        entry
        for entry in judged
        if entry.score is not None
        and not best.score.surely_beats(entry.score)
        and not _same_network(entry, best)
    ]
    alike = _distinct([best, *(each for each in judged if _same_network(each, best))])
    if len({entry.run.label for entry in judged}) == 1:
        return f"The {title} of {words.short(best.run.shown, 50)} is {_score_text(best)}"
    if not near:
        if len(alike) == 1:
            return f"{_entry_name(best)} has the best {title}, {_score_text(best)}"
        names_text = words.join_words([_entry_name(entry) for entry in alike[:MOST_TIED]])
        which = "best" if len({entry.run.label for entry in judged}) > len(alike) else "same"
        return f"{names_text}, which are one network, have the {which} {title}, {_score_text(best)}"
    names = [_entry_name(entry) for entry in _distinct([*alike, *near])]
    names_text = _list_tied(names)
    if any(entry.score is None or entry.score.low is None for entry in [best, *near]):
        return (
            f"No best {title} can be named: a result does not record how uncertain it is "
            f"({names_text}; compile again to know)"
        )
    overlap = f"the 95 % intervals of {names_text} overlap"
    return f"A tie in {title}: {overlap} ({_score_text(best)} at most)"


def _list_tied(names: Sequence[str]) -> str:
    """Names of those that share the first place."""
    return words.join_words(names[:MOST_TIED]) + (" and others" if names[MOST_TIED:] else "")


def _same_network(first: ComparedEntry, second: ComparedEntry) -> bool:
    """Whether two entries are the same integers, on different targets."""
    mine, theirs = first.run.result.program.digest, second.run.result.program.digest
    return mine == theirs and first.score == second.score


def _distinct(entries: Sequence[ComparedEntry]) -> list[ComparedEntry]:
    """One entry for each run."""
    return list({entry.run.label: entry for entry in reversed(entries)}.values())[::-1]


def _score_text(entry: ComparedEntry) -> str:
    score = entry.score
    assert score is not None
    if score.low is None or score.high is None:
        return words.number(score.value, 5)
    return f"{words.number(score.value, 5)} ± {words.number((score.high - score.low) / 2, 2)}"


def _fastest(timed: Sequence[ComparedEntry]) -> str:
    """The design whose band is below all others', or those that share the first place."""
    fastest = min(timed, key=_fast)
    assert fastest.timing is not None
    first = fastest.timing.latency
    near = [
        entry
        for entry in timed
        if entry is not fastest
        and entry.timing is not None
        and not surely_less(first, entry.timing.latency)
    ]
    lasting = f"{words.seconds(first.value * 1e-6)} ({first.origin}{fastest.timing.bound_words})"
    if len(timed) == 1:
        return f"{_entry_name(fastest)} takes {lasting}"
    if not near:
        return f"{_entry_name(fastest)} is the fastest, {lasting}"
    names = [_entry_name(entry) for entry in [fastest, *near]]
    return f"{_list_tied(names)} are as fast as each other, as far as is known, from {lasting}"


def _worth(entry: ComparedEntry) -> float:
    if entry.score is None or math.isnan(entry.score.value):
        return -math.inf
    return entry.score.value if entry.score.higher else -entry.score.value


def _fast(entry: ComparedEntry) -> float:
    return math.inf if entry.timing is None else entry.timing.latency.value


def _entry_name(entry: ComparedEntry) -> str:
    target = entry.title
    return f"{words.short(entry.run.shown, 50)}{f' on {target}' if target else ''}"


def html(comparison: RunComparison) -> str:
    """The page."""
    tables = [entries_table(comparison)]
    differences = differences_table(comparison)
    figures = tuple(pareto_figures(comparison))
    sections = [
        Section("runs", "Runs", tables=tuple(tables)),
        Section(
            "pareto",
            "Score against cost",
            "Lines join the points that nothing comparable beats in both. Bars are 95 % intervals "
            "of scores and bands of costs: where they overlap, it is a tie. Hollow points are "
            "estimates or published figures; squares are routed designs, diamonds were measured."
            if figures
            else "There are no two runs with labels and costs to draw.",
            figures,
        ),
    ]
    if differences is not None:
        sections.append(Section("differences", "Differences", tables=(differences,)))
    if comparison.notes:
        points = tuple(Advice(note, "", AnswerState.UNSURE) for note in comparison.notes)
        sections.append(Section("notes", "What cannot be compared", points=points))
    return html_page(
        "compare.html.j2",
        {
            "title": f"{len(comparison.runs)} runs compared: edgeinfer",
            "count": words.count_noun(len(comparison.runs), "run"),
            "line": headline(comparison),
            "sections": sections,
            "foot": f"Made by edgeinfer {__version__}.",
        },
    )


def markdown(comparison: RunComparison) -> str:
    """For a pull request."""
    tables = [entries_table(comparison), differences_table(comparison)]
    return render(
        "compare.md.j2",
        {
            "count": words.count_noun(len(comparison.runs), "run"),
            "line": plain(headline(comparison)),
            "tables": [markdown_table(table) for table in tables if table is not None],
            "notes": [plain(note) for note in comparison.notes],
        },
    )


def lines(comparison: RunComparison, most: int = 40) -> list[str]:
    """For a terminal."""
    table = entries_table(comparison)
    texts = [headline(comparison), "", *text_rows(table, most)]
    left = len(table.rows) - most
    if left > 0:
        texts.append(f"and {left} more: see them with --html, --csv or --json")
    return [*texts, *(["", *comparison.notes] if comparison.notes else [])]


def csv_text(comparison: RunComparison) -> str:
    """Every figure of every run, one a line."""
    rows: list[Sequence[object]] = [
        ["run", "model", "group", "target", "stage", "layer", "name", "value", "unit", "origin",
         "low", "high", "tool", "version"]
    ]  # fmt: skip
    groups = {entry.run.label: entry.group + 1 for entry in comparison.entries}
    for run in comparison.runs:
        head = [run.label, run.result.model.name, groups[run.label]]
        for stage, scores in run.result.accuracy.items():
            for name, value in scores.figures.items():
                rows.append([*head, "", stage, "", name, value, "", "simulated", *[""] * 4])
        for metric in run.result.metrics:
            rows.append([*head, *_metric_row(metric)])
    return as_csv(rows)


def _metric_row(metric: Metric) -> list[Any]:
    return [metric.target or "", "", metric.layer or "", metric.name,
            metric.value, metric.unit, str(metric.origin), metric.low, metric.high,
            metric.tool or "", metric.version or ""]  # fmt: skip


def document(comparison: RunComparison) -> dict[str, Any]:
    """For other programs."""
    return {
        "headline": headline(comparison),
        "score": comparison.score_name or None,
        "runs": [
            {
                "run": run.label,
                "model": run.result.model.name,
                "program": run.result.program.digest,
                "device": run.result.device,
                "schema_version": run.schema,
            }
            for run in comparison.runs
        ],
        "entries": [_entry(comparison, entry) for entry in comparison.entries],
        "fronts": [
            {
                "target": series.target,
                "cost": series.quantity.name,
                "state": series.quantity.state or None,
                "origin": series.origin,
                "group": series.group + 1,
                "points": [
                    {
                        "run": point.entry.run.label,
                        "cost": _number(point.cost.value),
                        "score": _number(point.score),
                        "front": point.best,
                    }
                    for point in series.points
                ],
            }
            for series in comparison.series
        ],
        "not_comparable": list(comparison.notes),
    }


def _entry(comparison: RunComparison, entry: ComparedEntry) -> dict[str, Any]:
    score, timing = entry.score, entry.timing
    return {
        "run": entry.run.label,
        "target": entry.target,
        "group": entry.group + 1,
        "score": None if score is None else _number(score.value),
        "score_low": None if score is None else _number(score.low),
        "score_high": None if score is None else _number(score.high),
        "samples": None if score is None else score.samples,
        "stage": None if score is None else score.stage,
        "lost": _number(entry.lost),
        "bit_identical": entry.identical,
        "latency_us": None if timing is None else _number(timing.latency.value),
        "event_seconds": None
        if timing is None or timing.event is None
        else _number(timing.event.value),
        "fits": entry.fits,
        "front": comparison.best(entry),
        "figures": [
            {
                "name": quantity.name,
                "state": quantity.state or None,
                "value": _number(metric.value),
                "unit": metric.unit,
                "origin": str(metric.origin),
                "low": _number(metric.low),
                "high": _number(metric.high),
            }
            for quantity, metric in entry.figures.items()
        ],
    }


def _number(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None
