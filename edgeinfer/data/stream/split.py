# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training and test sets split by event, so that all patches of an event fall on the same side, or
by row where rows are from no events."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.shards import Columns, Layout, Shard, ShardSource

EVENT_COLUMNS = ("run", "subrun", "evt")


def event_position(columns: Columns, seed: int) -> np.ndarray:
    """A number in [0, 1) for each row, the same for all rows of an event; uniform over events."""
    mixed = np.full(len(columns["run"]), seed & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
    for name in EVENT_COLUMNS:
        mixed = _scramble(mixed ^ columns[name].astype(np.uint64))
    return _fraction(mixed)


def _fraction(mixed: np.ndarray) -> np.ndarray:
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def _scramble(value: np.ndarray) -> np.ndarray:
    """The splitmix64 step: a bijection whose output bits all depend on all input bits."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def row_position(columns: Columns, seed: int, shard: Shard, first: int) -> np.ndarray:
    """The same for rows that name no event, each on its own; `first`: rows of the shard before."""
    name = f"{Path(shard.path).name} {shard.key} {shard.first}".encode()
    place = np.array(seed & 0xFFFFFFFF | zlib.crc32(name) << 32, dtype=np.uint64)
    rows = np.arange(first, first + _count_rows(columns), dtype=np.uint64)
    return _fraction(_scramble(_scramble(place) ^ rows))


def _count_rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


@dataclass(frozen=True, slots=True)
class RowSplit:
    """The rows of a source that have a position in [low, high): (0, 0.8) and (0.8, 1). Rows that
    name an event have that event's position."""

    source: ShardSource
    low: float
    high: float
    seed: int = 0

    def layout(self) -> Layout:
        """The columns of the source."""
        return self.source.layout()

    def shards(self) -> tuple[Shard, ...]:
        """The shards of the source; both sides read them all and keep their own rows."""
        return self.source.shards()

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of this side."""
        by_event = all(name in self.layout() for name in EVENT_COLUMNS)
        first = 0
        for block in self.source.read(shard):
            position = (
                event_position(block, self.seed)
                if by_event
                else row_position(block, self.seed, shard, first)
            )
            first += _count_rows(block)
            mine = (position >= self.low) & (position < self.high)
            if mine.any():
                yield {name: values[mine] for name, values in block.items()}
