# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A data set on disk as a list of shards, each read on its own and by one worker only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

Columns = dict[str, np.ndarray]
"""Rows of a data set: named arrays whose first axis is the row."""

SHARD_BYTES = 1024 * 1024
"""Readers aim at this much data a shard: large enough for a disk, small enough to interleave."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """The shape and type of one row of one column; of a column of class numbers, the names of the
    classes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    classes: tuple[str, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


Layout = Mapping[str, ColumnSpec]


@dataclass(frozen=True, slots=True)
class Shard:
    """The smallest part of a data set that one worker reads: rows [first, first + rows) of a key.

    `group` is the stratum to interleave by (a file, a class); `rows` is 0 where the count is known
    only after reading; `read_bytes` is the most memory that reading it takes.
    """

    path: str
    key: str
    first: int
    rows: int
    group: str
    read_bytes: int


class ShardSource(Protocol):
    """A data set that can be read in shards. Implementations hold no open file, so they pickle."""

    def layout(self) -> Layout:
        """The columns that every block has."""
        ...

    def shards(self) -> tuple[Shard, ...]:
        """All that may be read; the same tuple every time. Looks at headers only."""
        ...

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of one shard, in blocks."""
        ...


@runtime_checkable
class OmittingSource(Protocol):
    """A data set with columns that cannot be read as numbers."""

    def omitted(self) -> Mapping[str, str]:
        """Why, by column."""
        ...


def row_bytes(layout: Layout) -> int:
    """Bytes of one row over all columns."""
    return sum(column.row_bytes for column in layout.values())


def rows_in(columns: Columns) -> int:
    """Number of rows of a block."""
    return len(next(iter(columns.values())))


def cut_rows(total: int, step: int) -> Iterator[tuple[int, int]]:
    """(first, rows) of consecutive pieces of at most `step` rows."""
    for first in range(0, total, step):
        yield first, min(step, total - first)


def rows_per_shard(bytes_a_row: int) -> int:
    """Rows that make up about `SHARD_BYTES`."""
    return max(1, SHARD_BYTES // max(1, bytes_a_row))
