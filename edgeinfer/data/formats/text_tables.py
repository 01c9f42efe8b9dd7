# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tables as text: CSV with or without a header line, and ARFF. One row a line, one number a field.

A separator is a comma, a semicolon, a tab, or blanks, as the first line has it. A class that an
ARFF file lists by its names becomes its place in that list; other words that are few are classes in
alphabetical order.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from edgeinfer.data.formats.guard import DataFileError, file_bytes
from edgeinfer.data.formats.shards import SHARD_BYTES, Columns, ColumnSpec, Layout, Shard
from edgeinfer.data.formats.words import WordColumns, WordTally, count_once

MOST_LINE_BYTES = 4 * 1024 * 1024
MOST_COLUMNS = 100_000
MISSING = ("", "?", "nan", "na", "null", "none")
SEPARATORS = (",", ";", "\t")
_ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(.*)""", re.IGNORECASE)
_NUMERIC = ("numeric", "real", "integer")
_TEXT = "string"


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a table before its first row."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    """Places of the columns that are numbers."""
    separator: str | None
    """None: blanks."""
    lines: int
    """Of the head, which no row is on."""
    classes: dict[int, dict[str, float]] = field(default_factory=dict)
    """By place: the number of each name that a column may hold."""
    words: tuple[int, ...] = ()
    """Places of the columns that are not numbers."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows of one or several text files that have the same columns."""

    paths: tuple[str, ...]
    arff: bool = False

    def layout(self) -> Layout:
        """One number a column."""
        head = self._head(self.paths[0])
        classes = {
            place: tuple(names)
            for place, names in head.classes.items()
            if any(_number(name) is None for name in names)  # a list of numbers may be a feature
        }
        return {
            head.names[place]: ColumnSpec((), np.dtype(np.float64), classes.get(place, ()))
            for place in head.places
        }

    def omitted(self) -> Mapping[str, str]:
        """Columns of more words than there are classes."""
        return self._words(self._bare_head(self.paths[0])).left_out

    def shards(self) -> tuple[Shard, ...]:
        """Runs of lines of about a megabyte; the key is where they begin in the file."""
        pieces: list[Shard] = []
        expected = self._head(self.paths[0])
        for path in self.paths:
            head = self._head(path)
            if head.names != expected.names:
                raise DataFileError(path, "", f"has other columns than {self.paths[0]}")
            pieces += _stretches(path, head, self.arff)
        return tuple(pieces)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of one shard."""
        head = self._head(shard.path)
        with Path(shard.path).open("rb") as file:
            file.seek(int(shard.key))
            rows = _rows(file, shard, head, self.arff)
        yield {head.names[place]: rows[:, at].copy() for at, place in enumerate(head.places)}

    def _head(self, path: str) -> _Head:
        """A file's head; its words have the numbers that they have in all of the files."""
        head = self._bare_head(path)
        classes = self._words(head).classes
        named = {
            place: {word: float(number) for number, word in enumerate(classes[head.names[place]])}
            for place in head.words
            if head.names[place] in classes
        }
        kept = tuple(sorted((*head.places, *named)))
        if not kept:
            raise DataFileError(path, "", "has no column of numbers")
        return replace(head, places=kept, classes={**head.classes, **named})

    def _bare_head(self, path: str) -> _Head:
        return _arff_head(path) if self.arff else _csv_head(path)

    def _words(self, head: _Head) -> WordColumns:
        if not head.words:
            return WordColumns({}, {})
        return count_once(self.paths, "text", lambda: _count_words(self.paths, head, self.arff))


def _lines(file: IO[bytes], path: str) -> Iterator[tuple[int, str]]:
    """Where each line begins, and the line, without what follows a file's last line."""
    while True:
        start = file.tell()
        line = file.readline(MOST_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > MOST_LINE_BYTES:
            raise DataFileError(path, "", f"has a line of more than {MOST_LINE_BYTES:,} bytes")
        try:
            yield start, line.decode("utf-8-sig" if start == 0 else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise DataFileError(path, "", f"is not text at byte {start}") from None


def _is_row(text: str, *, arff: bool) -> bool:
    return bool(text.strip()) and not text.lstrip().startswith("%" if arff else "#")


def _fields(text: str, separator: str | None) -> list[str]:
    if separator is None:
        return text.split()
    if '"' not in text and "'" not in text:
        return [part.strip() for part in text.split(separator)]
    quote = '"' if '"' in text else "'"
    return [p.strip() for p in next(csv.reader([text], delimiter=separator, quotechar=quote))]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _csv_head(path: str) -> _Head:
    """A header line is one that holds something else than numbers; numpy.savetxt hides it behind
    a mark."""
    file_bytes(path)
    marked, lines = "", 0
    with Path(path).open("rb") as file:
        rows = _lines(file, path)
        first = ""
        for _, text in rows:
            if _is_row(text, arff=False):
                first = text
                break
            marked, lines = text.lstrip("# ").strip() or marked, lines + 1
        separator = next((s for s in SEPARATORS if s in first), None)
        fields = _fields(first, separator)
        if len(fields) > MOST_COLUMNS:
            raise DataFileError(path, "", f"has {len(fields):,} columns in its first line")
        header = any(_number(f) is None and f.lower() not in MISSING for f in fields)
        if header:
            names, lines = fields, lines + 1
            again = (text for _, text in rows if _is_row(text, arff=False))
            row = next(again, "")
            fields = _fields(row, separator) if row else []
        else:
            names = _fields(marked, separator)
            if len(names) != len(fields) or len(set(names)) != len(names):
                names = [f"column{place}" for place in range(len(fields))]
    if not fields:
        hint = "A header line alone is not a table." if header else ""
        raise DataFileError(path, "", "holds no row of numbers", hint=hint)
    if len(fields) != len(names):
        problem = f"its header names {len(names)} columns, its first row has {len(fields)}"
        raise DataFileError(path, "", problem)
    numeric = [at for at, f in enumerate(fields) if _number(f) is not None or f.lower() in MISSING]
    kept = tuple(at for at in numeric if names[at])  # pandas writes its index without a name
    words = tuple(at for at in range(len(fields)) if at not in set(numeric) and names[at])
    _check_names(path, [names[at] for at in (*kept, *words)])
    return _Head(tuple(names), kept, separator, lines, words=words)


def _arff_head(path: str) -> _Head:
    file_bytes(path)
    names: list[str] = []
    kept: list[int] = []
    words: list[int] = []
    classes: dict[int, dict[str, float]] = {}
    with Path(path).open("rb") as file:
        for lines, (_, line) in enumerate(_lines(file, path), start=1):
            text = line.strip()
            if text.lower().startswith("@data"):
                _check_names(path, names)
                return _Head(tuple(names), tuple(kept), ",", lines, classes, tuple(words))
            match = _ATTRIBUTE.match(text)
            if match is None:
                continue
            name, kind = match[1].strip("'\""), match[2].strip()
            if kind.startswith("{"):
                listed = _fields(kind.strip("{} "), ",")
                classes[len(names)] = {value: float(at) for at, value in enumerate(listed)}
            if kind.startswith("{") or kind.lower().split()[0] in _NUMERIC:
                kept.append(len(names))
            elif kind.lower().split()[0] == _TEXT:
                words.append(len(names))
            names.append(name)
            if len(names) > MOST_COLUMNS:
                raise DataFileError(path, "", f"declares more than {MOST_COLUMNS:,} attributes")
    hint = "The file is truncated, or no ARFF file."
    raise DataFileError(path, "", "declares attributes and has no line @data", hint=hint)


def _count_words(paths: Sequence[str], head: _Head, arff: bool) -> WordColumns:
    """The different words of a table's columns of text, all rows read."""
    tally = WordTally(head.names[place] for place in head.words)
    for path in paths:
        lines = (_arff_head(path) if arff else _csv_head(path)).lines
        with Path(path).open("rb") as file:
            for number, (_, text) in enumerate(_lines(file, path)):
                if number < lines or not _is_row(text, arff=arff):
                    continue
                fields = _fields(text, head.separator)
                if len(fields) != len(head.names):
                    break  # reading the rows says what is wrong with it
                counted_columns = tally.open_columns
                for place in head.words:
                    if (
                        head.names[place] in counted_columns
                        and fields[place].lower() not in MISSING
                    ):
                        tally.add(head.names[place], (fields[place],))
                if not counted_columns:
                    break
    return tally.columns()


def _check_names(path: str, names: list[str]) -> None:
    if not names:
        raise DataFileError(path, "", "has no column of numbers")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataFileError(path, twice, "names two columns")


def _stretches(path: str, head: _Head, arff: bool) -> Iterator[Shard]:
    """The rows of a file, a megabyte of text a shard."""
    begin, rows, total = -1, 0, 0
    with Path(path).open("rb") as file:
        for number, (start, text) in enumerate(_lines(file, path)):
            if number < head.lines or not _is_row(text, arff=arff):
                continue
            if begin >= 0 and start - begin > SHARD_BYTES:
                yield _shard(path, begin, total, rows, head)
                begin, rows, total = -1, 0, total + rows
            begin = start if begin < 0 else begin
            rows += 1
    if rows:
        yield _shard(path, begin, total, rows, head)


def _shard(path: str, begin: int, first: int, rows: int, head: _Head) -> Shard:
    memory_bytes = 2 * MOST_LINE_BYTES + rows * 16 * len(head.places)
    return Shard(path, str(begin), first, rows, path, memory_bytes)


def _rows(file: IO[bytes], shard: Shard, head: _Head, arff: bool) -> np.ndarray:
    values = np.empty((shard.rows, len(head.places)))
    row = 0
    for _, text in _lines(file, shard.path):
        if not _is_row(text, arff=arff):
            continue
        fields = _fields(text, head.separator)
        if len(fields) != len(head.names):
            problem = (
                f"row {shard.first + row} has {len(fields)} fields, {len(head.names)} are expected"
            )
            hint = "The file may be truncated; copy it again."
            if arff and text.lstrip().startswith("{"):
                hint = "Sparse rows are not read; write them in full."
            raise DataFileError(shard.path, "", problem, hint=hint)
        try:
            values[row] = [_value(head, place, fields[place]) for place in head.places]
        except ValueError:
            raise _no_number(shard, head, row, fields) from None
        row += 1
        if row == shard.rows:
            break
    return values


def _value(head: _Head, place: int, text: str) -> float:
    """The number in a field; a ValueError where there is none."""
    named = head.classes.get(place)
    if named is not None and text not in named:
        raise ValueError(text)
    value = float(text) if named is None else named[text]
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _no_number(shard: Shard, head: _Head, row: int, fields: list[str]) -> DataFileError:
    """The error for the first field of a row that is not a number."""
    for place in head.places:
        try:
            _value(head, place, fields[place])
        except ValueError:
            break
    what = f"is {fields[place][:40]!r}" if fields[place] else "is empty"
    due = "a class" if place in head.classes else "a number"
    problem = f"{what} in row {shard.first + row}, {due} is expected"
    hint = "Remove those rows, or replace the values."
    return DataFileError(shard.path, head.names[place], problem, hint=hint)
