# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The tables of a comparison: targets side by side, and differences figure by figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeinfer.base.metrics import SCORES, Metric
from edgeinfer.report import words
from edgeinfer.report.compare.baseline import COMMON, by_quantity
from edgeinfer.report.compare.comparable import same_network, same_samples
from edgeinfer.report.compare.comparison import ComparedEntry, RunComparison
from edgeinfer.report.compare.runs import ComparedRun
from edgeinfer.report.quantity import RESOURCES, Quantity
from edgeinfer.report.result_tables import stages_of
from edgeinfer.report.tables import Cell, Column, ReportTable, figure, filled_table, text
from edgeinfer.report.titles import SCORE_TITLES, stage_title, target_title

MOST_COLUMNS = 8  # runs of a table of differences
ENERGIES = ("energy_dynamic_nj", "energy_nj", "energy_event_dynamic_j", "energy_event_j")
KINDS = (*RESOURCES, "cached_bytes", "streamed_bytes", *ENERGIES, "power_w")
SIZES = ("parameters", "macs", "ops")
TIE = "a tie, as far as is known: intervals or bands overlap, or are not recorded"


def entries_table(comparison: RunComparison) -> ReportTable:
    """A row for each target of each run."""
    groups = len({entry.group for entry in comparison.entries}) > 1
    quantities = _quantities(comparison.entries)
    score = SCORE_TITLES.get(comparison.score_name, "score")
    columns = [
        Column("run"),
        Column("target"),
        Column("group", numeric=True, about="of runs whose scores may be compared"),
        Column(score, numeric=True, about="at the target's own stage, or of the quantized network"),
        Column("± 95 %", numeric=True, about="half of its interval, over samples like these"),
        Column("samples", numeric=True, about="that it was judged on"),
        Column("lost", numeric=True, about="against the float network"),
        Column("stages", about="whether those that must be are bit-identical"),
        Column("latency", "µs", True),
        Column("origin", about="of the latency"),
        Column("event", "s", True, "all planes of one, through a design for that"),
        *(
            Column(_title(q), words.unit_of_kind(q.name), True, q.state and f"after {q.state}")
            for q in quantities
        ),
        Column("fits", about="on its device"),
        Column("front", about="nothing comparable surely beats it in score and some cost"),
    ]
    rows = [_entry(comparison, entry, quantities, groups) for entry in comparison.entries]
    return filled_table("runs", "Runs and targets side by side; ≈ marks an estimate", columns, rows)


def _quantities(entries: Sequence[ComparedEntry]) -> list[Quantity]:
    quantities = {q for entry in entries for q in entry.figures if q.name in KINDS}
    return sorted(quantities, key=lambda q: (KINDS.index(q.name), q.state))


def _title(quantity: Quantity) -> str:
    short = {"C synthesis": "C synth.", "logic synthesis": "synth.", "routing": "routed"}
    state = short.get(quantity.state, "")
    return f"{words.kind_name(quantity.name)}{f', {state}' if state else ''}"


def _entry(
    comparison: RunComparison, entry: ComparedEntry, quantities: Sequence[Quantity], groups: bool
) -> tuple[Cell, ...]:
    latency = None if entry.timing is None else entry.timing.latency
    same = {True: Cell("agree", state="good"), False: Cell("DIFFER", state="bad")}
    fits = {True: Cell("yes", state="good"), False: Cell("no", state="bad")}
    unknown, half = Cell("–"), None
    if entry.score is not None and entry.score.low is not None and entry.score.high is not None:
        half = (entry.score.high - entry.score.low) / 2
    return (
        text(entry.run.shown, about=words.short(entry.run.result.model.name, 200)),
        Cell(entry.title or "–"),
        figure(entry.group + 1) if groups else unknown,
        figure(None if entry.score is None else entry.score.value, words.score),
        Cell("–") if half is None else figure(half, words.score),
        figure(None if entry.score is None else entry.score.samples),
        figure(entry.lost, words.score),
        unknown if entry.identical is None else same[entry.identical],
        _metric_cell(latency),
        unknown
        if entry.timing is None
        else Cell(f"{entry.timing.latency.origin}{entry.timing.bound_words}"),
        _metric_cell(None if entry.timing is None else entry.timing.event),
        *(_metric_cell(entry.figures.get(quantity)) for quantity in quantities),
        unknown if entry.fits is None else fits[entry.fits],
        Cell("front", state="good") if comparison.best(entry) else unknown,
    )


def _metric_cell(metric: Metric | None) -> Cell:
    if metric is None:
        return Cell("–")
    rough = "≈ " if metric.origin == "estimated" else ""
    band = words.between(metric.low, metric.high)
    about = (
        f"{metric.origin}{f', {band}' if band else ''}{f', {metric.tool}' if metric.tool else ''}"
    )
    value = metric.value if metric.value == metric.value else None
    return Cell(f"{rough}{words.number(metric.value)}", value, about=about)


def differences_table(comparison: RunComparison) -> ReportTable | None:
    """Each figure in each run, with the difference to the first."""
    runs = comparison.runs[:MOST_COLUMNS]
    if len(runs) < 2:
        return None
    directions = {**COMMON, **comparison.directions}
    rows = [*_score_rows(runs), *_size_rows(runs), *_metric_rows(runs, directions)]
    columns = (
        Column("figure"),
        *(Column(words.short(run.shown, 34), numeric=True) for run in runs),
    )
    left = len(comparison.runs) - len(runs)
    note = f"The first {len(runs)} runs; {left:,} more are in the table above." if left else ""
    caption = f"Differences to {words.short(runs[0].shown)}; n.c.: not comparable"
    return ReportTable("differences", caption, columns, tuple(rows), note)


def _score_rows(runs: Sequence[ComparedRun]) -> list[tuple[Cell, ...]]:
    results = [run.result for run in runs]
    stages = list(dict.fromkeys(stage for result in results for stage in stages_of(result)))
    rows = []
    for stage in stages:
        for name, higher in SCORES.items():
            scores = [run.result.accuracy.get(stage) for run in runs]
            values = [getattr(each, name, None) for each in scores]
            if any(value is not None for value in values):
                ends = [None if each is None else each.intervals.get(name) for each in scores]
                why = [_not_alike(runs[0], run, stage) for run in runs]
                title = f"{stage_title(stage, *results)}: {SCORE_TITLES[name]}"
                rows.append((text(title), *_against(values, ends, why, higher, fixed=True)))
    return rows


def _not_alike(first: ComparedRun, other: ComparedRun, stage: str) -> str:
    if not same_network(first.result, other.result):
        return "another network: other inputs or outputs"
    return same_samples(first.result, other.result, stage)


def _size_rows(runs: Sequence[ComparedRun]) -> list[tuple[Cell, ...]]:
    rows = []
    for name in SIZES:
        values = [getattr(run.result.program, name) for run in runs]
        exact = [(value, value) for value in values]
        rows.append((text(name), *_against(values, exact, [""] * len(runs), False)))
    return rows


def _metric_rows(
    runs: Sequence[ComparedRun], directions: Mapping[str, bool]
) -> list[tuple[Cell, ...]]:
    results = [run.result for run in runs]
    metrics_by_run = [by_quantity(result.metrics) for result in results]
    keys = list(dict.fromkeys(key for figures in metrics_by_run for key in figures))
    rows = []
    for target, quantity in keys:
        if quantity.name not in directions:
            continue
        metrics = [figures.get((target, quantity)) for figures in metrics_by_run]
        first = metrics[0]
        why = [_other_origin(first, metric) for metric in metrics]
        values = [None if metric is None else metric.value for metric in metrics]
        title = f"{target_title(target, *results)} {quantity}".strip()
        ends = [None if metric is None else metric.ends for metric in metrics]
        cells = _against(values, ends, why, directions[quantity.name])
        rows.append((text(title), *(_rough(c, m) for c, m in zip(cells, metrics, strict=True))))
    return rows


def _other_origin(first: Metric | None, other: Metric | None) -> str:
    if first is None or other is None or first.origin == other.origin:
        return ""
    return f"{other.origin}, but {first.origin} in the first run"


def _rough(cell: Cell, metric: Metric | None) -> Cell:
    if metric is None or metric.origin != "estimated":
        return cell
    return Cell(f"≈ {cell.text}", cell.order, cell.state, cell.about or "estimated")


def _against(
    values: Sequence[float | None],
    ends: Sequence[tuple[float, float] | None],
    why: Sequence[str],
    higher: bool,
    *,
    fixed: bool = False,
) -> list[Cell]:
    """The first as it is; the others with their difference to it, in the colour of a better or a
    worse figure only where the interval or band, from `ends`, is apart from the first one's."""
    show = words.score if fixed else words.number
    first = values[0]
    cells = [figure(first, show)]
    for value, band, reason in zip(values[1:], ends[1:], why[1:], strict=True):
        if value is None or first is None or value != value or first != first:
            cells.append(figure(value, show))
        elif reason:
            cells.append(Cell(f"{show(value)} (n.c.)", value, about=reason))
        else:
            cell = _change_cell(value, first, higher, show(value), fixed)
            cells.append(cell if _are_apart(ends[0], band) else replace(cell, state="", about=TIE))
    return cells


def _are_apart(first: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether no value could be that of both; False where it is not known."""
    return first is not None and other is not None and (first[1] < other[0] or other[1] < first[0])


def _change_cell(value: float, first: float, higher: bool, message: str, fixed: bool) -> Cell:
    change = value - first
    if not change:
        return Cell(f"{message} (=)", value)
    state = "good" if (change > 0) is higher else "worse"
    if fixed or not first:
        return Cell(f"{message} ({words.format_signed(change)})", value, state)
    share = change / abs(first)
    change_text = f"{'+' if share > 0 else '−'}{words.percent(abs(share))}"
    return Cell(f"{message} ({change_text})", value, state)
