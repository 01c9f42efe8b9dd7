# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files that show a tagged event: a page to flip through its planes, or a picture a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.event.picture import (
    PlanePanels,
    TagScheme,
    plane_figure,
)
from edgeinfer.report import words
from edgeinfer.report.page.page import Section
from edgeinfer.report.page.templates import html_page, svg_file
from edgeinfer.report.papers.plots import pdf_and_png
from edgeinfer.report.tables import Cell, Column, ReportTable

MOST_PLANES = 64  # of a page, or of pictures: they are kept until all are drawn


class PictureKind(StrEnum):
    """How an event is drawn, by the end of the file's name."""

    HTML = ".html"  # a page with all planes
    SVG = ".svg"  # a file a plane, with axes and keys
    PDF = ".pdf"
    PNG = ".png"


def picture_kind(path: Path) -> PictureKind:
    """The kind that a file's name asks for."""
    try:
        return PictureKind(path.suffix.lower())
    except ValueError:
        raise UsageError(
            f"{path} is no kind of picture that can be drawn.",
            hint="Give event.html for a page with all planes, or event.png, event.pdf or event.svg "
            "for a picture of each.",
        ) from None


def render_pictures(
    path: Path, document: Mapping[str, Any], panels: Sequence[PlanePanels], scheme: TagScheme
) -> dict[Path, bytes]:
    """The files, by their places. Several pictures have numbers in their names."""
    kind = picture_kind(path)
    if kind is PictureKind.HTML:
        return {path: _page(document, panels, scheme).encode()}
    files: dict[Path, bytes] = {}
    for number, each in enumerate(panels):
        name = path if len(panels) == 1 else path.with_stem(f"{path.stem}-{number}")
        figure = plane_figure(each, scheme, number)
        if kind is PictureKind.SVG:
            files[name] = svg_file(figure).encode()
        else:
            files[name] = pdf_and_png(figure)[kind.removeprefix(".")]
    return files


def _page(document: Mapping[str, Any], panels: Sequence[PlanePanels], scheme: TagScheme) -> str:
    planes = document["planes"]
    hits = sum(plane["hits"] for plane in planes)
    left_out = len(planes) - len(panels)
    turn = " The arrow keys, and the buttons, turn to the next plane." if panels[1:] else ""
    note = f" The first {len(panels)} of {len(planes)} planes are drawn." if left_out else ""
    figures = tuple(plane_figure(each, scheme, number) for number, each in enumerate(panels))
    text = (
        "Left the signals, right every hit in the colours of its classes, mixed by their scores."
        f"{turn}{note}"
    )
    sections = (
        Section("planes", "Planes", text, figures, flip=True),
        Section("figures", "Figures", tables=(_table(planes, panels),)),
    )
    name = words.short(str(document["model"]), 120)
    return html_page(
        "event.html.j2",
        {
            "title": f"{words.short(str(document['model']), 80)}: edgeinfer event",
            "name": name,
            "line": f"{hits:,} hits in {words.count_noun(len(planes), 'plane')}, each tagged by "
            "the integers of the compiled network.",
            "sections": sections,
            "foot": f"Program {str(document['program'])[:16]}",
        },
    )


def _table(planes: Sequence[Mapping[str, Any]], panels: Sequence[PlanePanels]) -> ReportTable:
    names = list(panels[0].counts) if panels else []
    columns = (
        Column("Plane"),
        Column("Hits", numeric=True),
        Column("Occupancy", "%", numeric=True),
        *(Column(words.short(name, 20), numeric=True) for name in names),
        Column("Seconds", numeric=True),
    )
    rows = []
    for number, plane in enumerate(planes):
        counts = panels[number].counts if number < len(panels) else {}
        rows.append(
            (
                Cell(words.short(plane["name"], 80)),
                _number(plane["hits"], 0),
                _number(100 * plane["occupancy"], 2),
                *(_number(counts.get(name), 0) for name in names),
                _number(plane["seconds"], 2),
            )
        )
    return ReportTable("planes", "Hits by their likeliest class", columns, tuple(rows))


def _number(value: float | None, decimals: int) -> Cell:
    return Cell(words.format_fixed(value, decimals), order=value)
