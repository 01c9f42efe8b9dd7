# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training and test sets split by event, so that all patches of an event fall on the same side, or
by row where rows are from no events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeinfer.base.errors import UsageError
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


@dataclass(frozen=True, slots=True)
class EventSplit:
    """The rows of a source whose event has a position in [low, high): (0, 0.8) and (0.8, 1)."""

    source: ShardSource
    low: float
    high: float
    seed: int = 0

    def layout(self) -> Layout:
        """The columns of the source, which must name the event."""
        layout = self.source.layout()
        missing = [name for name in EVENT_COLUMNS if name not in layout]
        if missing:
            raise UsageError(
                "A division by event needs the columns run, subrun and evt, but there is no "
                f"{missing[0]!r} in these data.",
                hint="They do not say which event a row is from: divide the files instead.",
            )
        return layout

    def shards(self) -> tuple[Shard, ...]:
        """The shards of the source; both sides read them all and keep their own rows."""
        self.layout()
        return self.source.shards()

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of this side."""
        for block in self.source.read(shard):
            position = event_position(block, self.seed)
            mine = (position >= self.low) & (position < self.high)
            if mine.any():
                yield {name: values[mine] for name, values in block.items()}


@dataclass(frozen=True, slots=True)
class RowSplit:
    """The same, row by row, of a source whose rows are not from events."""

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
        mixed = _scramble(np.array(self.seed & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64))
        number = np.uint64(self.shards().index(shard))
        first = 0
        for block in self.source.read(shard):
            count = len(next(iter(block.values())))
            rows = np.arange(first, first + count, dtype=np.uint64)
            position = _fraction(_scramble(_scramble(mixed ^ number) ^ rows))
            first += count
            mine = (position >= self.low) & (position < self.high)
            if mine.any():
                yield {name: values[mine] for name, values in block.items()}


def divide_rows(source: ShardSource, low: float, high: float, seed: int) -> ShardSource:
    """A side of a division: by events where the rows name these, else by rows."""
    by_event = all(name in source.layout() for name in EVENT_COLUMNS)
    return (EventSplit if by_event else RowSplit)(source, low, high, seed)
