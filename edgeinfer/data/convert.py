# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Data of any format written anew: as HDF5, or a table of patches mixed once and for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from edgeinfer.base.errors import UsageError
from edgeinfer.base.plan import stage_file
from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.h5_arrays import CLASSES, keys_of
from edgeinfer.data.formats.h5_guard import open_h5
from edgeinfer.data.formats.patches_npy import PatchTable
from edgeinfer.data.formats.shards import (
    Columns,
    Layout,
    ShardSource,
    row_bytes,
    rows_in,
    rows_per_shard,
)
from edgeinfer.data.open import DataSet, existing
from edgeinfer.data.stream.batches import BatchStream, StreamSettings
from edgeinfer.data.stream.premix import premix_tables
from edgeinfer.data.stream.split import RowSplit
from edgeinfer.data.stream.standards import (
    FeatureStandard,
    StandardizedSource,
    choose_features,
    measure_standards,
)

BATCH_ROWS = 256
MEAN, DEVIATION = "mean", "deviation"  # attributes of what was standardised


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is done to rows on their way."""

    shuffle: bool = False
    seed: int = 0
    workers: int = 0
    memory_bytes: int = 256 * 1024 * 1024
    events: tuple[float, float] | None = None
    """The part of the events that is taken, all rows of an event or none: (0, 0.8). Of rows where
    they name no events."""
    standardize: tuple[str, ...] = ()
    """Patterns of the columns that are brought to mean 0 and deviation 1."""
    standards_of: Path | None = None
    """A file that `convert` has standardised, whose means and deviations are taken."""


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
        source = RowSplit(source, *conversion.events, seed=conversion.seed)
    standards = _standards(source, conversion)
    if standards:
        source = StandardizedSource(source, standards)
    layout = source.layout()
    settings = _read_in_order(layout, conversion)
    if conversion.shuffle:
        settings = replace(settings, seed=conversion.seed, mixing="on-the-fly")
    with stage_file(output) as temporary:
        return _write(temporary, layout, standards, BatchStream(source, settings).epoch())


def _standards(source: ShardSource, conversion: Conversion) -> dict[str, FeatureStandard]:
    """What is subtracted and divided by: measured now, or that of another file."""
    if conversion.standards_of is not None:
        standards = read_standards(conversion.standards_of)
        choose_features(source.layout(), tuple(standards))
        return standards
    if not conversion.standardize:
        return {}
    layout = source.layout()
    names = choose_features(layout, conversion.standardize)
    return measure_standards(source, names, _read_in_order(layout, conversion))


def _read_in_order(layout: Layout, conversion: Conversion) -> StreamSettings:
    return StreamSettings(
        min(BATCH_ROWS, rows_per_shard(row_bytes(layout))),
        workers=conversion.workers,
        mixing="in-order",
        memory_cap_bytes=conversion.memory_bytes,
    )


def read_standards(path: Path) -> dict[str, FeatureStandard]:
    """What a file that `convert` has standardised was standardised by."""
    standards = {}
    with open_h5(existing(path)) as file:
        for key in keys_of(str(path), ""):
            attributes = file[key].attrs
            if MEAN in attributes and DEVIATION in attributes:
                mean, deviation = (
                    np.asarray(attributes[name], dtype=np.float64) for name in (MEAN, DEVIATION)
                )
                if not (np.isfinite(mean).all() and (deviation > 0).all()):
                    raise DataFileError(path, key, "states a mean or a deviation that cannot be")
                standards[key.rpartition("/")[2]] = FeatureStandard(mean, deviation)
    if not standards:
        hint = "Write one with edgeinfer convert DATA -o F.h5 --standardize '*'."
        raise UsageError(f"{path} states no means and deviations.", hint=hint)
    return standards


def _write(
    path: Path,
    layout: Layout,
    standards: Mapping[str, FeatureStandard],
    batches: Iterable[Columns],
) -> int:
    rows = 0
    with h5py.File(path, "w", track_order=True) as file:  # columns keep their order
        for name, column in layout.items():
            shape, kind = column.shape, _stored_type(column.dtype)
            file.create_dataset(
                name, (0, *shape), kind, maxshape=(None, *shape), compression="gzip",
                chunks=(rows_per_shard(column.row_bytes), *shape), shuffle=True,
                compression_opts=1,
            )  # fmt: skip
            if column.classes:
                file[name].attrs[CLASSES] = [word.encode() for word in column.classes]
            if name in standards:
                file[name].attrs[MEAN] = standards[name].mean
                file[name].attrs[DEVIATION] = standards[name].deviation
        for batch in batches:
            end = rows + rows_in(batch)
            for name, values in batch.items():
                file[name].resize(end, axis=0)
                words = values.dtype.kind == "U"
                file[name][rows:end] = np.char.encode(values, "utf-8") if words else values
            rows = end
    return rows


def _stored_type(dtype: np.dtype) -> np.dtype:
    """HDF5 has no text of a fixed number of letters, but one of bytes."""
    return np.dtype(f"S{dtype.itemsize}") if dtype.kind == "U" else dtype


def _to_table(source: PatchTable, output: Path, conversion: Conversion) -> int:
    standard = conversion.standardize or conversion.standards_of is not None
    if not conversion.shuffle or conversion.workers or conversion.events or standard:
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
