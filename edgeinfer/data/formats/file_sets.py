# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Data sets of one small file an event: a sorted list of names; a shard is a run of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgeinfer.data.formats.shards import Shard, cut_rows

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one folder, by name; about 100 bytes of memory a file."""

    folder: str
    names: tuple[str, ...]

    def shards(self, *, rows_a_shard: int, held_a_row: int) -> tuple[Shard, ...]:
        """Runs of at most `rows_a_shard` files."""
        return tuple(
            Shard(self.folder, "", first, rows, self.folder, rows * held_a_row)
            for first, rows in cut_rows(len(self.names), rows_a_shard)
        )

    def read_each(self, shard: Shard, read: Callable[[Path], Item]) -> list[Item]:
        """What `read` makes of each file of a shard."""
        names = self.names[shard.first : shard.first + shard.rows]
        return [read(Path(self.folder, name)) for name in names]
