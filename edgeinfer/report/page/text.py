# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A report in a terminal, as JSON, and as Markdown for a pull request: the verdict is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeinfer.report import words
from edgeinfer.report.page.page import SIGNS, Report
from edgeinfer.report.page.templates import render
from edgeinfer.report.result_tables import (
    accuracy_table,
    agreement_table,
    timing_table,
    usage_table,
)
from edgeinfer.report.tables import Cell, ReportTable
from edgeinfer.report.timings import PATCHES
from edgeinfer.report.verdict import AnswerState

MOST_POINTS = 8


def lines_of(report: Report) -> list[tuple[AnswerState | None, str]]:
    """The summary, line by line, with how each is to be taken."""
    texts: list[tuple[AnswerState | None, str]] = [
        (None, words.short(report.result.model.name, 100)),
        (report.verdict.state, report.verdict.line),
    ]
    for answer in report.verdict.answers:
        texts.append(
            (answer.state, f"{SIGNS[answer.state]} {answer.question:<28} {answer.sentence}")
        )
    points = [point for section in report.sections for point in section.points]
    for point in points[:MOST_POINTS]:
        texts.append((point.state, f"finding   {words.short(point.text, 400)}"))
    if len(points) > MOST_POINTS:
        texts.append((None, f"          {len(points) - MOST_POINTS} more findings in the report"))
    return texts


def document(report: Report) -> dict[str, Any]:
    """The verdict for other programs."""
    verdict = report.verdict
    names = ("agrees", "fits", "fast", "lost")
    return {
        "verdict": verdict.line,
        "state": str(verdict.state),
        "answers": {
            name: {"state": str(answer.state), "words": answer.words, "sentence": answer.sentence}
            for name, answer in zip(names, verdict.answers, strict=True)
        },
        "findings": [
            {"text": point.text, "remedy": point.remedy, "state": str(point.state)}
            for section in report.sections
            for point in section.points
        ],
    }


def markdown(report: Report, inferences: int = PATCHES) -> str:
    """The report for a pull request."""
    result = report.result
    tables = [
        accuracy_table(result, report.profile),
        agreement_table(result),
        usage_table(result),
        timing_table(result, inferences, "inferences"),
    ]
    points = [point for section in report.sections for point in section.points]
    return render(
        "report.md.j2",
        {
            "name": plain(words.short(result.model.name, 100)),
            "line": plain(report.verdict.line),
            "answers": [
                (SIGNS[answer.state], plain(answer.question), plain(answer.sentence))
                for answer in report.verdict.answers
            ],
            "tables": [markdown_table(table) for table in tables if table is not None],
            "points": [plain(words.short(point.text, 400)) for point in points],
            "foot": f"edgeinfer {result.edgeinfer}, program `{result.program.digest[:16]}`",
        },
    )


def markdown_table(table: ReportTable) -> dict[str, Any]:
    """A table's rows as Markdown wants them."""
    return {
        "caption": plain(table.caption),
        "head": _row([_head(column.title, column.unit) for column in table.columns]),
        "rule": "|" + "|".join("---:" if c.numeric else "---" for c in table.columns) + "|",
        "rows": [_row([_cell_text(cell) for cell in row]) for row in table.rows],
        "note": plain(table.note),
    }


def _head(title: str, unit: str) -> str:
    return plain(f"{title} ({unit})" if unit else title)


def _cell_text(cell: Cell) -> str:
    text = plain(cell.text)
    return f"**{text}**" if cell.state == "bad" and text else text


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Words that Markdown and HTML leave as they are."""
    one_line = " ".join(text.split())
    for character in "\\`*_{}[]<>#|~@!$":
        one_line = one_line.replace(character, f"\\{character}")
    return one_line.replace("&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")
