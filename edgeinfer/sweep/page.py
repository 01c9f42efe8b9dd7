# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study's page, and its trials as CSV and Parquet."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.csv_text import as_csv
from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.fenced import refuse_links
from edgeinfer.base.plan import write_file
from edgeinfer.base.version import __version__
from edgeinfer.report import words
from edgeinfer.report.draw.marks import Figure
from edgeinfer.report.page.page import Section
from edgeinfer.report.page.templates import html_page, svg_file
from edgeinfer.report.tables import Cell, Column, ReportTable, figure, filled_table, text
from edgeinfer.sweep.figures import (
    front_figures,
    importance_figure,
    knob_title,
    parallel_figure,
)
from edgeinfer.sweep.run import SCHEMA_VERSION, STUDY, TEXT
from edgeinfer.sweep.study import Study, read
from edgeinfer.sweep.trial import TrialOutcome, from_dict

PAGE, CSV, PARQUET, PICTURES = "report.html", "trials.csv", "trials.parquet", "report"
REPORT = "report.html"  # of a trial's own run


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """A finished study, read from its folder."""

    folder: Path
    study: Study
    record: dict[str, Any]
    trials: tuple[TrialOutcome, ...]
    front: tuple[TrialOutcome, ...]
    store: Path


def read_study_folder(folder: Path) -> FinishedStudy:
    """Read a study's folder."""
    path = folder / STUDY
    refuse_links(folder)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its version is {document['schema_version']}")
        study = read(folder / TEXT)
        trials = tuple(from_dict(each) for each in document["trials"])
        by_key = {each.key: each for each in trials}
        front = tuple(by_key[key] for key in document["front"])
        _check(study, document, trials, front)
        store = Path(document["store"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not a finished study: {error}.",
            hint="Finish it with the same edgeinfer sweep command and --resume.",
        ) from None
    return FinishedStudy(folder, study, document, trials, front, store)


def _check(
    study: Study,
    document: dict[str, Any],
    trials: Sequence[TrialOutcome],
    front: Sequence[TrialOutcome],
) -> None:
    """A ValueError where a study's file tells what the study does not ask for, or not all of it."""
    for each in trials:
        for knob in study.knobs:
            if each.point.get(knob.name) not in knob.values:
                raise ValueError(f"the trial {each.key} has no value of {knob.name} of the study")
    for each in front:
        for objective in study.objectives:
            if objective.figure not in each.figures:
                raise ValueError(f"the trial {each.key} on the front has no {objective.figure}")
    numbers = [
        document["seconds"],
        document["failed"],
        document["cut_short"],
        *document["saving"].values(),
    ]
    numbers += [share for by_knob in document["importances"].values() for share in by_knob.values()]
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError("a figure of it is not a number")
    if document["saving"]:
        _ = [document["saving"][name] for name in ("compiled", "of", "seconds", "seconds_without")]


def write_page(finished: FinishedStudy) -> list[Path]:
    """The page, its pictures as files, and the table of trials; what was written."""
    figures = _figures(finished)
    written = {
        finished.folder / PAGE: html(finished, figures),
        finished.folder / CSV: csv_text(finished),
        **{finished.folder / PICTURES / f"{each.name}.svg": svg_file(each) for each in figures},
    }
    for path, content in written.items():
        write_file(path, content)
    return list(written)


def _figures(finished: FinishedStudy) -> list[Figure]:
    study = finished.study
    drawn = [
        parallel_figure(study, finished.trials, finished.front),
        importance_figure(study, finished.record["importances"]),
    ]
    fronts = front_figures(study, finished.trials, finished.front)
    return [*fronts, *(each for each in drawn if each is not None)]


def html(finished: FinishedStudy, figures: Sequence[Figure]) -> str:
    """The page."""
    fronts = tuple(each for each in figures if each.name.startswith("front-"))
    others = tuple(each for each in figures if each not in fronts)
    sections = [
        Section(
            "front", "The front", figures=fronts, tables=(table(finished, finished.front, "front"),)
        ),
        Section("knobs", "Settings", figures=others),
        Section("trials", "All trials", tables=(table(finished, finished.trials, "trials"),)),
        Section("study", "The study", facts=_facts(finished)),
    ]
    return html_page(
        "study.html.j2",
        {
            "title": f"{finished.folder.name}: a study by edgeinfer",
            "name": finished.folder.name,
            "line": headline(finished),
            "sections": [each for each in sections if each.figures or each.tables or each.facts],
            "foot": f"Made by edgeinfer {__version__}.",
        },
    )


def headline(finished: FinishedStudy) -> str:
    """One sentence: what was tried, and what is best."""
    trials_text = words.count_noun(len(finished.trials), "trial")
    if not finished.front:
        return f"{trials_text}, none of them within the budgets."
    first = finished.study.objectives[0]
    best = finished.front[0].figures[first.figure]
    return (
        f"{trials_text}, {len(finished.front)} of them on the front; the best {first.figure} is "
        f"{words.number(best, 4)}."
    )


def _facts(finished: FinishedStudy) -> tuple[tuple[str, str], ...]:
    study, record = finished.study, finished.record
    facts = [
        ("models", ", ".join(Path(model).name for model in study.models)),
        ("targets", ", ".join(study.targets)),
        ("devices", ", ".join(study.devices) or "the targets' own"),
        ("strategy", f"{study.strategy}, seed {study.seed}"),
        ("points in all", f"{study.size:,}"),
        ("time", words.seconds(record["seconds"])),
        ("failed", str(record["failed"])),
        ("cut short by a budget", str(record["cut_short"])),
    ]
    if record["saving"]:
        saved = record["saving"]
        facts.append(
            (
                "cheap first",
                f"{saved['compiled']:.0f} of {saved['of']:.0f} trials were compiled and simulated: "
                f"{saved['seconds']:.0f} s of work in place of about "
                f"{saved['seconds_without']:.0f} s",
            )
        )
    return tuple(facts)


def table(finished: FinishedStudy, trials: Sequence[TrialOutcome], name: str) -> ReportTable:
    """A row for each trial, with a link to its own report."""
    study = finished.study
    figures = list(dict.fromkeys(figure for each in finished.trials for figure in each.figures))
    columns = [
        Column("trial"),
        *(Column(figure, numeric=True) for figure in figures),
        *(Column(knob_title(knob.name), numeric=True) for knob in study.knobs),
        Column("seconds", numeric=True),
        Column("remark"),
    ]
    rows = []
    for each in trials:
        cells = [Cell(each.key[:8], link=_link(finished, each))]
        cells += [figure(each.figures.get(name)) for name in figures]
        cells += [_value(each, knob.name) for knob in study.knobs]
        beyond = f"beyond {', '.join(each.over)}" if each.over else ""
        cells += [
            figure(each.seconds),
            text(each.error or beyond, state="bad" if each.error else ""),
        ]
        rows.append(cells)
    caption = "Trials that no other one beats" if name == "front" else "Every trial"
    return filled_table(name, caption, columns, rows)


def _value(outcome: TrialOutcome, knob: str) -> Cell:
    value = outcome.point[knob]
    order = float(value) if isinstance(value, int | float) else None
    return Cell(str(value), order)


def _link(finished: FinishedStudy, outcome: TrialOutcome) -> str:
    """A trial's report, or where there is none its result, from the page's folder."""
    for name in (REPORT, "result.json"):
        path = finished.store / outcome.key / name
        if path.is_file():
            return Path(os.path.relpath(path, finished.folder)).as_posix()
    return ""


def csv_text(finished: FinishedStudy) -> str:
    """All trials, one a line."""
    rows = records(finished)
    head = list(rows[0]) if rows else ["key"]
    return as_csv([head, *([row[name] for name in head] for row in rows)])


def records(finished: FinishedStudy) -> list[dict[str, Any]]:
    """All trials as flat rows: settings, figures, what happened."""
    figures = list(dict.fromkeys(name for each in finished.trials for name in each.figures))
    best = {each.key for each in finished.front}
    return [
        {
            "key": each.key,
            **each.point,
            **{name: each.figures.get(name) for name in figures},
            "front": each.key in best,
            "over": " ".join(each.over),
            "error": each.error,
            "seconds": each.seconds,
        }
        for each in finished.trials
    ]


def write_parquet(finished: FinishedStudy, path: Path) -> None:
    """The same rows as Parquet."""
    pyarrow = _tables("pyarrow")
    import pyarrow.parquet as parquet

    rows = pyarrow.Table.from_pylist(records(finished))
    sink = io.BytesIO()
    parquet.write_table(rows, sink)
    write_file(path, sink.getvalue())


def query_trials(finished: FinishedStudy, sql: str) -> list[dict[str, Any]]:
    """What a question in SQL about the table `trials` yields."""
    duckdb, pyarrow = _tables("duckdb"), _tables("pyarrow")
    connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
    try:
        connection.register("trials", pyarrow.Table.from_pylist(records(finished)))
        answer = connection.execute(sql)
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    except duckdb.Error as error:
        message = str(error).partition("\n")[0].rstrip(".!")
        raise UsageError(
            f"The question cannot be answered: {message}.",
            hint="docs/studies.md shows one, and trials.csv the columns of the table `trials`.",
        ) from None
    finally:
        connection.close()


def _tables(name: str) -> Any:
    import importlib

    require_extra("tables", "That")
    return importlib.import_module(name)
