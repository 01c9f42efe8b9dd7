# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Columns of words: names of classes, which become numbers in the alphabetical order of the names.

What holds more different words than classes could have is no column of classes, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.shards import ColumnSpec

MOST_CLASSES = 1_000
LONGEST_NAME = 200
TOO_MANY = f"holds more than {MOST_CLASSES:,} different words, or longer ones than names are"
EMPTY = "is empty"


@dataclass(frozen=True, slots=True)
class WordColumns:
    """The classes of columns of words, and why others are left out."""

    classes: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, str]

    def specs(self) -> dict[str, ColumnSpec]:
        """The columns of classes, as a layout has them."""
        return {name: class_column(names) for name, names in self.classes.items()}


def class_column(names: Sequence[str]) -> ColumnSpec:
    """A column that holds a class's number in each row."""
    return ColumnSpec((), np.dtype(np.float64), tuple(names))


class WordTally:
    """Different words of each column, counted while a file is read through."""

    def __init__(self, names: Iterable[str]) -> None:
        self._seen: dict[str, set[str]] = {name: set() for name in names}
        self._beyond: set[str] = set()

    @property
    def open_columns(self) -> tuple[str, ...]:
        """Columns that may still hold classes."""
        return tuple(name for name in self._seen if name not in self._beyond)

    def add(self, name: str, words: Iterable[str]) -> None:
        """Words of a column."""
        seen, new = self._seen[name], set(words)
        seen |= new
        if len(seen) > MOST_CLASSES or any(len(word) > LONGEST_NAME for word in new):
            self._beyond.add(name)
            seen.clear()

    def columns(self) -> WordColumns:
        """What the columns turned out to be."""
        classes = {name: tuple(sorted(self._seen[name])) for name in self.open_columns}
        left_out = dict.fromkeys(sorted(self._beyond), TOO_MANY)
        left_out |= {name: EMPTY for name, words in classes.items() if not words}
        return WordColumns({name: words for name, words in classes.items() if words}, left_out)


def number_words(
    words: Sequence[str], classes: Sequence[str], path: str, name: str, first: int
) -> NDArray[np.float64]:
    """The number of each word; an error for one that is none of the classes."""
    numbers = {each: float(number) for number, each in enumerate(classes)}
    try:
        return np.array([numbers[word] for word in words])
    except KeyError:
        row = next(row for row, word in enumerate(words) if word not in numbers)
        problem = f"holds {words[row][:40]!r} in row {first + row}, which is no class of it"
        raise DataFileError(
            path, name, problem, hint="The file changed while it was read."
        ) from None


_COUNTED: dict[tuple[object, ...], WordColumns] = {}
_MOST_COUNTED = 64


def count_once(paths: Sequence[str], kind: str, count: Callable[[], WordColumns]) -> WordColumns:
    """What is counted of files, once as long as they do not change."""
    stamps = [
        (path, stat.st_mtime_ns, stat.st_size) for path in paths if (stat := Path(path).stat())
    ]
    key = (kind, *stamps)
    if key not in _COUNTED:
        if len(_COUNTED) >= _MOST_COUNTED:
            _COUNTED.clear()
        _COUNTED[key] = count()
    return _COUNTED[key]
