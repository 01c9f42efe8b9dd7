# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Rows of a source held in memory: all of them, or as many as a cap allows, spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeinfer.data.formats.shards import Columns, ShardSource, row_bytes, rows_in
from edgeinfer.data.stream.batches import BatchStream, StreamSettings

BATCH_BYTES = 4 * 1024 * 1024
READING_BYTES = 1024 * 1024 * 1024
"""What reading may take beside the rows that are held: a chunk of HDF5 can be large."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are held, in their order, and how many the source has."""

    columns: Columns
    total: int


def thinned_rows(source: ShardSource, names: Sequence[str], most_bytes: int) -> Rows:
    """Some columns of a source in their own types, read as a stream. Where they would take more
    than `most_bytes`, every row is as likely as any other: they are spread evenly over the whole.
    """
    layout = source.layout()
    chosen_layout = {name: layout[name] for name in names}
    most = max(1, most_bytes // max(1, row_bytes(chosen_layout)))
    rows_at_once = max(1, BATCH_BYTES // max(1, row_bytes(layout)))
    settings = StreamSettings(rows_at_once, mixing="in-order", memory_cap_bytes=READING_BYTES)
    stream = BatchStream(source, settings)
    total_rows = sum(s.rows for s in stream.shards) if all(s.rows for s in stream.shards) else None
    room = most if total_rows is None else min(total_rows, most)
    columns = {
        name: np.empty((room, *chosen_layout[name].shape), chosen_layout[name].dtype)
        for name in names
    }
    if total_rows is None:
        return _halve_rows(stream, columns, room)
    positions = np.linspace(0, total_rows - 1, room).astype(np.int64)
    start = at = 0
    for block in stream.epoch():
        end = start + rows_in(block)
        stop = int(np.searchsorted(positions, end))
        chosen = slice(None) if room == total_rows else positions[at:stop] - start
        for name in names:
            columns[name][at:stop] = block[name][chosen]
        start, at = end, stop
    return Rows({name: values[:at] for name, values in columns.items()}, start)


def _halve_rows(stream: BatchStream, columns: Columns, room: int) -> Rows:
    """How many rows come is known at the end: whenever there is no room left, every second one
    goes, and from then on half as many are taken."""
    step, total, at = 1, 0, 0
    for block in stream.epoch():
        for row in range(-total % step, rows_in(block), step):
            if (total + row) % step:
                continue
            if at == room and room > 1:
                at = (room + 1) // 2
                for values in columns.values():
                    values[:at] = values[:room:2].copy()
                step *= 2
                if (total + row) % step:
                    continue
            if at < room:
                for name, values in columns.items():
                    values[at] = block[name][row]
                at += 1
        total += rows_in(block)
    return Rows({name: values[:at] for name, values in columns.items()}, total)
