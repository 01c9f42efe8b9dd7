# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HDF5 files whose data sets share their first axis: shards that never split a chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from edgeinfer.data.formats.guard import DataFileError, check_finite
from edgeinfer.data.formats.h5_guard import (
    RowsDue,
    checked_dataset,
    chunk_bytes,
    chunk_rows,
    open_h5,
    read_rows,
)
from edgeinfer.data.formats.shards import (
    Columns,
    Layout,
    Shard,
    cut_rows,
    row_bytes,
    rows_per_shard,
)

_MAX_UNIT_BYTES = 32 * 1024 * 1024


def h5_shards(paths: Sequence[str], due: Sequence[RowsDue], layout: Layout) -> tuple[Shard, ...]:
    """Runs of whole chunks of about a megabyte, of each file whose data sets are what is due."""
    pieces: list[Shard] = []
    for path in paths:
        with open_h5(path) as file:
            pieces += _file_shards(path, [checked_dataset(file, d) for d in due], layout)
    return tuple(pieces)


def _file_shards(path: str, datasets: Sequence[h5py.Dataset], layout: Layout) -> list[Shard]:
    counts = {dataset.name: dataset.shape[0] for dataset in datasets}
    total = datasets[0].shape[0]
    for key, count in counts.items():
        if count != total:
            problem = f"has {count} rows, {datasets[0].name} has {total}"
            raise DataFileError(path, key, problem)
    stored_row = sum(math.prod(d.shape[1:]) * d.dtype.itemsize for d in datasets)
    unit = math.lcm(*(chunk_rows(dataset) for dataset in datasets))
    if unit * stored_row > _MAX_UNIT_BYTES:
        # Then only the largest data set's chunks are kept whole; a small one, such as a list of
        # energies in long chunks, costs little to decompress again for the next shard.
        unit = chunk_rows(max(datasets, key=lambda d: math.prod(d.shape[1:]) * d.dtype.itemsize))
    step = max(1, rows_per_shard(stored_row) // unit) * unit
    in_flight = 3 * max(chunk_bytes(dataset) for dataset in datasets)
    held_row = stored_row + 2 * row_bytes(layout)
    return [
        Shard(path, "", first, rows, path, rows * held_row + in_flight)
        for first, rows in cut_rows(total, step)
    ]


def read_h5_shard(shard: Shard, due: Sequence[RowsDue]) -> Iterator[Columns]:
    """The rows of a shard by key, as stored."""
    columns: dict[str, np.ndarray] = {}
    with open_h5(shard.path) as file:
        for item in due:
            dataset = checked_dataset(file, item)
            columns[item.key] = read_rows(dataset, shard.first, shard.rows)
            check_finite(columns[item.key], shard.path, item.key, first_row=shard.first)
    yield columns
