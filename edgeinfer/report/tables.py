# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tables as data: columns that say their units, cells that know how they sort."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeinfer.report import words


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, its unit, and whether numbers stand below it."""

    title: str
    unit: str = ""
    numeric: bool = False
    about: str = ""  # what it means, where the title does not say it


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown, what it sorts by (numbers before words), and how it is to be taken."""

    text: str
    order: float | None = None
    state: str = ""
    about: str = ""
    link: str = ""  # a file, as the page's folder sees it


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A caption, columns, and rows whose first cell is their heading."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def figure(
    value: float | None,
    show: Callable[[float | None], str] = words.number,
    *,
    state: str = "",
) -> Cell:
    """A number as a cell; what is unknown sorts last."""
    is_number = value is not None and not math.isnan(value)
    return Cell(show(value), value if is_number else None, state)


def text(value: str, *, about: str = "", state: str = "") -> Cell:
    """Words as a cell; a name too long is cut, and told in full by `about`."""
    cut = words.short(value)
    longer = "" if cut == value else words.short(value, 400)
    return Cell(cut, state=state, about=about or longer)


def text_rows(table: ReportTable, most: int | None = None) -> list[str]:
    """The head and the first rows as lines of text, columns below each other."""
    rows = [[f"{column.title} {column.unit}".rstrip() for column in table.columns]]
    rows += [[cell.text for cell in row] for row in table.rows[:most]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        ).rstrip()
        for row in rows
    ]


def filled_table(
    name: str,
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    note: str = "",
) -> ReportTable:
    """A table without the columns in which no row says anything."""
    all_rows = [tuple(row) for row in rows]
    kept = [
        number
        for number in range(len(columns))
        if not number or any(row[number].text not in ("", "–") for row in all_rows)
    ]
    cells = tuple(tuple(row[number] for number in kept) for row in all_rows)
    return ReportTable(name, caption, tuple(columns[number] for number in kept), cells, note)
