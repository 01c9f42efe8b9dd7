# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A fully mixed copy of patch files, made once on disk in two passes and bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.patch_rows import ID_FIELDS
from edgeinfer.data.formats.patches_npy import (
    PatchTable,
    block_dtype,
    pack_records,
    write_table,
)
from edgeinfer.data.formats.scalings import PatchScaling


def premix_tables(
    paths: Sequence[str],
    out_path: str | Path,
    *,
    shape: tuple[int, int],
    seed: int = 0,
    memory_cap_bytes: int = 256 * 1024 * 1024,
) -> int:
    """Write all rows of structured tables to one table, every order equally likely; rows written.

    Rows are thrown into buckets at random, then each bucket is shuffled in memory. The buckets take
    as much room on disk, beside `out_path`, as the tables do.
    """
    source = PatchTable(tuple(paths), shape, PatchScaling.RAW)
    shards = source.shards()
    record = block_dtype(shape)
    total_bytes = sum(shard.rows for shard in shards) * record.itemsize
    # Half of the cap leaves room for the shuffled copy; buckets are not of exactly equal size.
    buckets = max(1, -(-total_bytes * 3 // memory_cap_bytes))
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(dir=Path(out_path).parent, prefix=".premix-") as folder:
        files = [Path(folder, f"{bucket}.rows") for bucket in range(buckets)]
        for shard in shards:
            for block in source.read(shard):
                records = pack_records(block)
                chosen = rng.integers(buckets, size=len(records))
                for bucket in np.unique(chosen):
                    with files[bucket].open("ab") as file:
                        file.write(records[chosen == bucket].tobytes())
        with write_table(out_path, shape) as writer:
            for file in files:
                if file.exists():
                    records = np.fromfile(file, dtype=record)
                    file.unlink()
                    rows = rng.permutation(len(records))
                    for part in np.array_split(rows, -(-len(rows) // 4096)):
                        writer.write(_columns(records[part]))
            return writer.rows


def _columns(records: np.ndarray) -> dict[str, np.ndarray]:
    y = records["y"]
    columns = {"patch": records["x"][..., np.newaxis], "labels": y[:, [0, 1, 3]]}
    return columns | {"michel": y[:, [2]]} | {name: records[name] for name in ID_FIELDS}
