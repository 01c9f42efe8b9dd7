# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tables drawn with bars in a text report, found by the headings above them.

A cell of a header that spans several columns lends its words to each: `Latency (cycles)` above
`min` and `max` makes the columns `latency (cycles) min` and `latency (cycles) max`. What a header
spans is told by where its bars stand, as a reader sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edgeinfer.targets.reports.cells import ReportError

BORDER = re.compile(r"\+(?:-+\+)+")
HEADINGS = (  # deeper ones last; a heading ends those that are deeper
    re.compile(r"^\s*==\s+(\S.*?)\s*$"),
    re.compile(r"^\s*(?:\+\s(?=[A-Za-z])|\d+(?:\.\d+)*\.?\s+(?=[A-Z]))(.*?):?\s*$"),
    re.compile(r"^\s*\*\s(?=[A-Za-z])(.*?):?\s*$"),
)


@dataclass(frozen=True, slots=True)
class ParsedTable:
    """A table and where it stands: the headings above it, its columns, its rows of cells.

    Names are in lower case and cells stripped, except for blanks before a row's first cell, which
    tell how deep it is.
    """

    headings: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    path: Path

    def column(self, *words: str, without: Sequence[str] = ()) -> int | None:
        """The first column whose name has all the words and none of the others."""
        for index, name in enumerate(self.columns):
            if all(word in name for word in words) and not any(word in name for word in without):
                return index
        return None

    def named(self, name: str) -> int | None:
        """The column of exactly this name."""
        return self.columns.index(name) if name in self.columns else None

    def row(self, *names: str) -> tuple[str, ...] | None:
        """The first row whose first cell is one of the names, whatever its case and footnotes."""
        for row in self.rows:
            if row[0].strip().rstrip("*").strip().lower() in names:
                return row
        return None


def tables(text: str, path: Path) -> tuple[ParsedTable, ...]:
    """Every table of a report; one that does not end with a border was cut short."""
    return tuple(_tables(text, path))


def _tables(text: str, path: Path) -> Iterator[ParsedTable]:
    headings: list[str] = ["", "", ""]
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if BORDER.fullmatch(lines[at].strip()):
            block = []
            while at < len(lines) and lines[at].strip()[:1] in ("|", "+"):
                if HEADINGS[1].match(lines[at]):
                    break
                block.append(lines[at].strip())
                at += 1
            yield _table(block, tuple(headings), path)
            continue
        for depth, pattern in enumerate(HEADINGS):
            if match := pattern.match(lines[at]):
                headings[depth:] = [match[1].lower(), *[""] * (len(HEADINGS) - depth - 1)]
                break
        at += 1


def _table(block: list[str], headings: tuple[str, ...], path: Path) -> ParsedTable:
    borders = [index for index, line in enumerate(block) if BORDER.fullmatch(line)]
    if len(borders) < 2 or borders[-1] != len(block) - 1:
        raise ReportError(path, f"it ends inside a table, at {block[-1][:40]!r}")
    header = block[borders[0] + 1 : borders[1]]
    body = [line for line in block[borders[1] :] if not BORDER.fullmatch(line)]
    if not header:
        raise ReportError(path, f"a table has no header, at {block[0][:40]!r}")
    edges = [index for index, letter in enumerate(header[-1]) if letter == "|"]
    rows = tuple(_cells(line) for line in body)
    columns = tuple(
        " ".join(word for line in header if (word := _above(line, left, right)))
        for left, right in pairwise(edges)
    )
    return ParsedTable(headings, columns, rows, path)


def _above(line: str, left: int, right: int) -> str:
    """What a line of a header says above the column between two bars."""
    bars = [index for index, letter in enumerate(line) if letter in "|+"]
    begin = max((bar for bar in bars if bar <= left), default=None)
    end = min((bar for bar in bars if bar >= right), default=None)
    if begin is None or end is None:
        return ""
    return " ".join(line[begin + 1 : end].strip(" -").lower().split())


def _cells(line: str) -> tuple[str, ...]:
    inner = line[1:-1] if line.endswith("|") else line[1:]
    first, *others = inner.split("|")
    return (first.rstrip(), *(cell.strip() for cell in others))


def whole_rows(table: ParsedTable) -> tuple[tuple[str, ...], ...]:
    """A table's rows, each with a cell in every column: an error otherwise."""
    for row in table.rows:
        if len(row) != len(table.columns):
            first = row[0].strip()
            raise ReportError(
                table.path,
                f"the row {first!r} has {len(row)} cells under {len(table.columns)} columns",
            )
    return table.rows
