# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The table of a fit written down: for a terminal, as JSON, and as a page with pictures."""

from __future__ import annotations

from typing import Any

from edgeinfer.base.metrics import Metric
from edgeinfer.base.version import __version__
from edgeinfer.evaluate.profile.data import Uncertain
from edgeinfer.report import words
from edgeinfer.report.advice import Advice
from edgeinfer.report.draw.marks import Dot, Figure, Label, Line, Mark, cut
from edgeinfer.report.draw.scales import grid_up, over, title_up
from edgeinfer.report.fitting.fit_table import (
    TITLES,
    FitRow,
    FitState,
    FitTable,
    reason,
    tolerable_loss,
)
from edgeinfer.report.page.page import Section, drop_missing_figures, drop_missing_tables
from edgeinfer.report.page.templates import html_page
from edgeinfer.report.quantity import RESOURCES
from edgeinfer.report.tables import Cell, Column, ReportTable, filled_table, text, text_rows
from edgeinfer.report.timings import TimingBand
from edgeinfer.report.uses import OFFERED_AS, Use

WIDTH, HEIGHT = 1000.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 760.0, 24.0, 320.0
APART = 7.0  # between targets at one width
STATES = {
    FitState.YES: "good",
    FitState.PROBABLY: "unsure",
    FitState.PROBABLY_NOT: "unsure",
    FitState.NO: "bad",
    FitState.UNKNOWN: "",
}


def rows_table(table: FitTable) -> ReportTable:
    """Every row, with the resource of which it takes the largest share."""
    best = table.recommended
    score = next((TITLES[row.merit.name] for row in table.rows if row.merit), "score")
    columns = [
        Column("target"),
        Column("formats"),
        Column(score, numeric=True, about="with its 95 % interval"),
        Column("lost", numeric=True, about="against the float network; its 95 % interval"),
        Column("latency", "µs", True),
        Column("band", "µs", True, "of the latency"),
        Column("fullest", about="the largest share of any resource"),
        Column("fits"),
        Column("verdict"),
    ]
    rows = [_cells(table, row, row is best) for row in table.rows]
    device = words.join_words(list(dict.fromkeys(row.device for row in table.rows if row.device)))
    caption = f"{words.short(table.model)} on {device or 'its targets'}; ≈ marks an estimate"
    return filled_table("fit", caption, columns, rows)


def _band_or_origin(timing: TimingBand) -> str:
    latency = timing.latency
    return words.between(latency.low, latency.high) or f"{latency.origin}{timing.bound_words}"


def _cells(table: FitTable, row: FitRow, best: bool) -> tuple[Cell, ...]:
    head = (Cell(row.title), text(row.candidate))
    misses = next(iter(table.misses(row)), "")
    if row.merit is None:
        return (*head, *[Cell("–")] * 6, text(misses, state="bad"))
    verdict = Cell("recommended", state="good") if best else text(misses or "will do")
    timing = None if row.timing is None else row.timing.latency
    full = row.fullest
    fullest = Cell("–")
    if full is not None:
        fullest = Cell(f"{words.kind_name(full.kind)} {words.percent(full.share, 0)}", full.share)
    loss = row.merit.lost
    return (
        *head,
        _uncertain(row.merit.value),
        Cell(_lost_text(loss), loss.value),
        Cell("–") if timing is None else _metric(timing),
        Cell("–" if row.timing is None else _band_or_origin(row.timing)),
        fullest,
        Cell(str(row.fits), state=STATES[row.fits]),
        verdict,
    )


def _lost_text(loss: Uncertain) -> str:
    """The interval of what is lost; where no sample shows a loss, that it is so, and how far that
    can be known."""
    low, high = words.format_signed(loss.low), words.format_signed(loss.high)
    if abs(loss.value) >= words.NOISE:
        return f"{low} to {high}"
    return "no change" if low == high else f"no change, {low} to {high}"


def resources_table(table: FitTable) -> ReportTable | None:
    """What every design takes of each kind."""
    kinds_used = {use.kind for row in table.rows for use in row.uses}
    kinds = [kind for kind in (*RESOURCES, *OFFERED_AS) if kind in kinds_used]
    rows = [
        (Cell(row.title), text(row.candidate), *(_use(used.get(kind)) for kind in kinds))
        for row in table.rows
        if (used := {use.kind: use for use in row.uses})
    ]
    columns = (
        Column("target"),
        Column("formats"),
        *(Column(words.kind_name(kind), words.unit_of_kind(kind), True) for kind in kinds),
    )
    caption = "What the designs take, and the share of the device; ≈ marks an estimate"
    return ReportTable("fit-resources", caption, columns, tuple(rows)) if rows else None


def _uncertain(value: Uncertain) -> Cell:
    half = (value.high - value.low) / 2
    return Cell(f"{words.score(value.value)} ± {words.format_fixed(half, 4)}", value.value)


def _metric(metric: Metric) -> Cell:
    rough = "≈ " if metric.origin == "estimated" else ""
    return Cell(f"{rough}{words.number(metric.value)}", metric.value, about=str(metric.origin))


def _use(use: Use | None) -> Cell:
    if use is None:
        return Cell("–")
    cell = _metric(use.metric)
    share = "" if use.share is None else f" ({words.percent(use.share, 0)})"
    band = words.between(use.metric.low, use.metric.high)
    about = f"{use.metric.origin}{f', {band}' if band else ''}"
    return Cell(f"{cell.text}{share}", use.metric.value, about=about)


def lines(table: FitTable) -> list[tuple[str | None, str]]:
    """For a terminal."""
    best = table.recommended
    head, *rows = text_rows(rows_table(table))
    texts: list[tuple[str | None, str]] = [
        (None, f"{table.model}, judged on {table.samples}"),
        (None, head),
    ]
    for row, line in zip(table.rows, rows, strict=True):
        texts.append(("good" if row is best else None, line))
    texts.append((None, ""))
    if best is None:
        return [*texts, ("bad", reason(table))]
    return [
        *texts,
        ("good", f"take      {best.title}, {best.candidate}. {reason(table)}"),
        (None, f"build it  {best.command}"),
    ]


def document(table: FitTable) -> dict[str, Any]:
    """For other programs."""
    best = table.recommended
    return {
        "model": table.model,
        "samples": table.samples,
        "rows": [_row_document(table, row) for row in table.rows],
        "recommended": None if best is None else table.rows.index(best),
        "reason": reason(table),
        "command": None if best is None else best.command,
        "findings": list(table.findings),
    }


def _row_document(table: FitTable, row: FitRow) -> dict[str, Any]:
    merit, timing = row.merit, row.timing
    return {
        "target": row.target,
        "formats": row.candidate,
        "device": row.device,
        "score": None if merit is None else {"name": merit.name, **merit.value.model_dump()},
        "lost": None if merit is None else merit.lost.model_dump(),
        "latency_us": None if timing is None else _figure_document(timing.latency),
        "resources": {
            use.kind: {**_figure_document(use.metric), "offered": use.offered} for use in row.uses
        },
        "fits": str(row.fits),
        "misses": table.misses(row),
        "command": row.command,
    }


def _figure_document(metric: Metric) -> dict[str, Any]:
    return {
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "unit": metric.unit,
        "origin": str(metric.origin),
    }


def loss_figure(table: FitTable) -> Figure | None:
    """What each row loses, with its interval, by width; a line for what will do."""
    rows = [row for row in table.rows if row.merit is not None]
    if not rows:
        return None
    names = list(dict.fromkeys(row.candidate for row in rows))
    targets = list(dict.fromkeys(row.title for row in rows))
    merits = [row.merit for row in rows if row.merit is not None]
    most = tolerable_loss(table.limits, merits[0])
    ends = [end for merit in merits for end in (merit.lost.low, merit.lost.high)]
    up = over([*ends, 0.0, most], BOTTOM, TOP)
    score = TITLES[merits[0].name]
    step = (RIGHT - LEFT) / len(names)
    marks: list[Mark] = [*grid_up(up, LEFT, RIGHT), title_up(up, f"{score} lost")]
    marks.append(Line(((LEFT, up.place(most)), (RIGHT, up.place(most))), "limit"))
    marks.append(Label(RIGHT + 8, up.place(most) + 4, f"{words.number(most, 2)} will do", "ink"))
    for number, name in enumerate(names):
        x = LEFT + (number + 0.5) * step
        marks.append(Label(x, BOTTOM + 20, cut(name, step), "ink", "middle"))
    for row in rows:
        assert row.merit is not None
        place = targets.index(row.title)
        x = LEFT + (names.index(row.candidate) + 0.5) * step
        x += (place - (len(targets) - 1) / 2) * APART
        loss = row.merit.lost
        about = f"{row.title}, {row.candidate}: {score} {words.number(row.merit.value.value)}"
        about += f", lost {words.number(loss.low, 2)} to {words.number(loss.high, 2)}"
        colour = f"c{place % 8}"
        marks.append(Line(((x, up.place(loss.low)), (x, up.place(loss.high))), f"whisker {colour}"))
        fill = "hollow" if table.misses(row) else "full"
        marks.append(Dot(x, up.place(loss.value), f"{fill} {colour}", about))
    for place, title in enumerate(targets):
        y = TOP + 40 + 22 * place
        marks.append(Dot(RIGHT + 26, y - 4, f"full c{place % 8}", title))
        marks.append(Label(RIGHT + 40, y, cut(title, WIDTH - RIGHT - 44), "ink"))
    sentence = (
        f"{score} lost against the float network, with 95 % intervals. Full points will do, hollow "
        "ones will not."
    )
    return Figure("fit-loss", f"{score} lost", sentence, WIDTH, HEIGHT, tuple(marks))


def html(table: FitTable) -> str:
    """The page."""
    best = table.recommended
    figure = loss_figure(table)
    sections = [
        Section(
            "table",
            "Targets and widths",
            f"Judged on {table.samples}. Bands of estimates come from known designs; a latency "
            "that is proved follows from the design.",
            drop_missing_figures(figure),
            drop_missing_tables(rows_table(table), resources_table(table)),
        ),
        Section(
            "build",
            "Build it",
            "This makes the project, tries it and writes its report.",
            commands=() if best is None else (best.command,),
        ),
        Section("findings", "Findings", points=tuple(Advice(each) for each in table.findings)),
    ]
    took = "Nothing will do" if best is None else f"Take {best.title}, {best.candidate}"
    return html_page(
        "fit.html.j2",
        {
            "title": f"{words.short(table.model, 80)}: what fits, by edgeinfer",
            "name": words.short(table.model, 120),
            "line": f"{took}. {reason(table)}",
            "state": "bad" if best is None else "good",
            "sections": [each for each in sections if each.tables or each.commands or each.points],
            "foot": f"Made by edgeinfer {__version__}.",
        },
    )
