# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Data of any format written anew: as HDF5, or a table of patches mixed once and for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from edgeinfer.base.errors import UsageError
from edgeinfer.base.plan import stage_file
from edgeinfer.data.formats.patches_npy import PatchTable
from edgeinfer.data.formats.shards import Columns, Layout, ShardSource, rows_in, rows_per_shard
from edgeinfer.data.open import DataSet
from edgeinfer.data.stream.batches import BatchStream, StreamSettings
from edgeinfer.data.stream.premix import premix_tables
from edgeinfer.data.stream.split import EventSplit

BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is done to rows on their way."""

    shuffle: bool = False
    seed: int = 0
    workers: int = 0
    memory_bytes: int = 256 * 1024 * 1024
    events: tuple[float, float] | None = None
    """The part of the events that is taken, all rows of an event or none: (0, 0.8)."""


def convert(data: DataSet, output: Path, conversion: Conversion) -> int:
    """Write all rows to an `.h5`, a column a data set; or a table of patches, mixed, to an `.npy`.
    How many rows there are."""
    match output.suffix:
        case ".h5" | ".hdf5":
            return _to_h5(data, output, conversion)
        case ".npy" if isinstance(data.source, PatchTable):
            return _to_table(data.source, output, conversion)
        case ".npy":
            hint = "Write HDF5: name it *.h5."
            raise UsageError(f"{output}: only tables of patches are written as .npy.", hint=hint)
        case _:
            raise UsageError(
                f"{output}: the suffix says what to write, and {output.suffix!r} is not known.",
                hint="Name it *.h5, or *.npy for a table of patches.",
            )


def _to_h5(data: DataSet, output: Path, conversion: Conversion) -> int:
    source: ShardSource = data.source
    if conversion.events is not None:
        source = EventSplit(source, *conversion.events, seed=conversion.seed)
    layout = source.layout()
    settings = StreamSettings(
        min(BATCH_ROWS, rows_per_shard(sum(column.row_bytes for column in layout.values()))),
        workers=conversion.workers,
        seed=conversion.seed,
        mixing="on-the-fly" if conversion.shuffle else "in-order",
        memory_cap_bytes=conversion.memory_bytes,
    )
    with stage_file(output) as temporary:
        return _write(temporary, layout, BatchStream(source, settings).epoch())


def _write(path: Path, layout: Layout, batches: Iterable[Columns]) -> int:
    rows = 0
    with h5py.File(path, "w") as file:
        for name, column in layout.items():
            shape = column.shape
            file.create_dataset(
                name, (0, *shape), column.dtype, maxshape=(None, *shape), compression="gzip",
                chunks=(rows_per_shard(column.row_bytes), *shape), shuffle=True,
                compression_opts=1,
            )  # fmt: skip
        for batch in batches:
            end = rows + rows_in(batch)
            for name, values in batch.items():
                file[name].resize(end, axis=0)
                file[name][rows:end] = np.asarray(values)
            rows = end
    return rows


def _to_table(source: PatchTable, output: Path, conversion: Conversion) -> int:
    if not conversion.shuffle or conversion.workers or conversion.events is not None:
        raise UsageError(
            f"{output}: a table of patches is written to be mixed as a whole, by one process.",
            hint="Give --shuffle alone, or write HDF5: name it *.h5.",
        )
    return premix_tables(
        source.paths,
        output,
        shape=source.shape,
        seed=conversion.seed,
        memory_cap_bytes=conversion.memory_bytes,
    )
