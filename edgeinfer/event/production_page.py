# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The page of a production: its totals, and a row for each file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeinfer.report import words
from edgeinfer.report.page.page import Section
from edgeinfer.report.page.templates import html_page
from edgeinfer.report.tables import Cell, Column, ReportTable, figure

MOST_ROWS = 5000  # that a browser still sorts at once; failed files are always shown


def render_production(document: Mapping[str, Any]) -> str:
    """One file that needs nothing else."""
    files = document["files"]
    failed = [each for each in files if each["failure"]]
    tagged = [each for each in files if not each["failure"]]
    cut = f"The first {MOST_ROWS:,} of {len(tagged):,} files." if tagged[MOST_ROWS:] else ""
    sections = [
        Section("failed", "Files without tags", tables=(_failed_table(failed),)),
        Section("files", "Files", cut, tables=(_tags_table(tagged[:MOST_ROWS]),)),
        Section("production", "The production", facts=_facts(document)),
    ]
    name = words.short(str(document["model"]), 80)
    return html_page(
        "production.html.j2",
        {
            "title": f"{name}: edgeinfer event",
            "name": name,
            "line": _headline(document),
            "sections": [each for each in sections if each.facts or each.tables[0].rows],
            "foot": f"Program {str(document['program'])[:16]}",
        },
    )


def _headline(document: Mapping[str, Any]) -> str:
    failed = document["failed"]
    done = len(document["files"]) - failed
    line = (
        f"{document['hits']:,} hits in {words.count_noun(document['planes'], 'plane')} of "
        f"{words.count_noun(done, 'file')}, each tagged by the integers of the compiled network."
    )
    return f"{line} {words.count_noun(failed, 'file')} could not be tagged." if failed else line


def _facts(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    fresh = len(document["files"]) - document["resumed"]
    settings = document["settings"]
    facts = [
        ("threshold", f"{settings['threshold_adc']:g} ADC"),
        ("scaling", str(settings["scaling"])),
        ("hits that were also evaluated one by one", f"{document['checked_one_by_one']:,}"),
        ("time", words.seconds(document["seconds"])),
        ("files done before", f"{document['resumed']:,}"),
    ]
    if fresh and document["seconds"]:
        facts.append(("files a minute", words.number(60 * fresh / document["seconds"], 3)))
    return tuple(facts)


def _file(entry: Mapping[str, Any]) -> Cell:
    name = words.short(Path(entry["file"]).name, 80)
    return Cell(name, about=entry["file"], link=entry["output"] or "")


def _failed_table(files: Sequence[Mapping[str, Any]]) -> ReportTable:
    rows = tuple((_file(each), Cell(each["reason"], state="bad")) for each in files)
    columns = (Column("File"), Column("Reason"))
    return ReportTable("failed", "What could not be tagged, and why", columns, rows)


def _tags_table(files: Sequence[Mapping[str, Any]]) -> ReportTable:
    columns = (
        Column("File"),
        Column("Planes", numeric=True),
        Column("Hits", numeric=True),
        Column("Seconds", numeric=True),
    )
    rows = tuple(
        (
            _file(each),
            figure(len(each["planes"]), _whole),
            figure(sum(plane["hits"] for plane in each["planes"]), _whole),
            figure(each["seconds"], _seconds),
        )
        for each in files
    )
    return ReportTable("files", "The tags of each file", columns, rows)


def _seconds(value: float | None) -> str:
    return words.format_fixed(value, 2)


def _whole(value: float | None) -> str:
    return words.format_fixed(value, 0)
