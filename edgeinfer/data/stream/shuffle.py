# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Blocks of rows to batches: as they come, or drawn at random from a buffer of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edgeinfer.data.formats.shards import Columns, Layout, rows_in


class ShuffleBuffer:
    """Rows in no order: added in blocks, drawn at random, in memory that is taken once."""

    def __init__(self, layout: Layout, capacity_rows: int, rng: np.random.Generator) -> None:
        self._columns = {
            name: np.empty((capacity_rows, *column.shape), dtype=column.dtype)
            for name, column in layout.items()
        }
        self._rng = rng
        # The first `rows` entries name the places in use, the others the free ones.
        self._places = np.arange(capacity_rows)
        self.rows = 0

    @property
    def room(self) -> int:
        """Rows that can still be added."""
        return len(self._places) - self.rows

    def add(self, block: Columns) -> None:
        """Put a block of at most `room` rows in."""
        count = rows_in(block)
        places = self._places[self.rows : self.rows + count]
        for name, values in self._columns.items():
            values[places] = block[name]
        self.rows += count

    def draw(self, count: int) -> Columns:
        """Take `count` of the rows out, every choice and order being equally likely."""
        left = self.rows - count
        picked = self._rng.choice(self.rows, count, replace=False)
        places = self._places[picked]
        stays = np.ones(count, dtype=bool)
        stays[picked[picked >= left] - left] = False
        self._places[picked[picked < left]] = self._places[left : self.rows][stays]
        self._places[left : self.rows] = places
        self.rows = left
        return {name: values[places] for name, values in self._columns.items()}


def batches_mixed(
    blocks: Iterable[Columns],
    layout: Layout,
    batch_rows: int,
    buffer_rows: int,
    rng: np.random.Generator,
) -> Iterator[Columns]:
    """Batches drawn from a full buffer for as long as blocks come, then from what is left in it."""
    buffer = ShuffleBuffer(layout, buffer_rows, rng)
    for block in blocks:
        start, count = 0, rows_in(block)
        while start < count:
            stop = min(count, start + buffer.room)
            buffer.add({name: values[start:stop] for name, values in block.items()})
            start = stop
            if buffer.room == 0:
                yield buffer.draw(batch_rows)
    while buffer.rows:
        yield buffer.draw(min(batch_rows, buffer.rows))


def batches_in_order(blocks: Iterable[Columns], batch_rows: int) -> Iterator[Columns]:
    """Batches of consecutive rows; the last may be shorter."""
    pending: list[Columns] = []
    count = 0
    for block in blocks:
        start, rows = 0, rows_in(block)
        while start < rows:
            stop = min(rows, start + batch_rows - count)
            pending.append({name: values[start:stop] for name, values in block.items()})
            count += stop - start
            start = stop
            if count == batch_rows:
                yield _join_columns(pending)
                pending, count = [], 0
    if pending:
        yield _join_columns(pending)


def _join_columns(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
