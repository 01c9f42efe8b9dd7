# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Everything that a paper takes from a report, as files in memory."""

from __future__ import annotations

import re

from edgeinfer.base.csv_text import as_csv
from edgeinfer.base.plan import BuildPlan
from edgeinfer.report.page.page import Report
from edgeinfer.report.page.templates import render, svg_file
from edgeinfer.report.papers.hepdata import hepdata_files
from edgeinfer.report.papers.plots import pdf_and_png
from edgeinfer.report.tables import Column, ReportTable

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "−": "$-$", "±": r"$\pm$", "≈": r"$\approx$", "µ": r"\textmu{}", "×": r"$\times$", "–": "--",
    "∞": r"$\infty$", "<": "$<$", ">": "$>$", "…": r"\dots{}", "≠": r"$\neq$", "✓": "yes",
    "✗": "no",
}  # fmt: skip


def paper_files(report: Report) -> BuildPlan:
    """Each figure as PDF, PNG and SVG; each table as LaTeX and CSV; a HEPData submission."""
    files: dict[str, bytes] = {}
    for figure in report.figures:
        files[f"{figure.name}.svg"] = svg_file(figure).encode()
        for ending, content in pdf_and_png(figure).items():
            files[f"{figure.name}.{ending}"] = content
    for section in report.sections:
        for table in section.tables:
            files[f"tables/{table.name}.tex"] = latex_table(table).encode()
            files[f"tables/{table.name}.csv"] = csv_table(table).encode()
    for name, text in hepdata_files(report.result, report.profile).items():
        files[f"hepdata/{name}"] = text.encode()
    return BuildPlan("figures", files)


def latex_text(words: str) -> str:
    """Words as LaTeX shows them, none of which is a command."""
    plain = "".join(SPECIAL.get(character, character) for character in words)
    return re.sub(r"[^\x20-\x7e\u00a0-\u024f]", "?", plain)


def latex_table(table: ReportTable) -> str:
    """A table for `\\input` in a paper that loads booktabs."""
    return render(
        "table.tex.md.j2",
        {
            "caption": latex_text(table.caption),
            "name": re.sub(r"[^A-Za-z0-9-]", "-", table.name),
            "alignment": "".join("r" if column.numeric else "l" for column in table.columns),
            "head": [latex_text(_heading(column)) for column in table.columns],
            "rows": [[latex_text(cell.text) for cell in row] for row in table.rows],
        },
    )


def _heading(column: Column) -> str:
    return f"{column.title} [{column.unit}]" if column.unit else column.title


def csv_table(table: ReportTable) -> str:
    """The same with numbers as they are, not as they are shown."""
    rows: list[list[object]] = [[_heading(column) for column in table.columns]]
    for row in table.rows:
        rows.append([cell.text if cell.order is None else cell.order for cell in row])
    return as_csv(rows)
