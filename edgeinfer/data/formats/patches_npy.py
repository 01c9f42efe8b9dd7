# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Hit-tagger patches as NumPy files: a structured table, or a plain `x.npy` beside its `y.npy`.

The table has the fields run, subrun, evt, tpc, plane, wire, tck, y0..y3 (track, em, michel, none)
and x0..x2303, the patch row by row: wire the slow axis, drift the fast one. Patches of another size
are accepted when their number of pixels is a square, or when the caller states their shape.
A plain `x.npy` is (N, wires, drifts) or (N, wires, drifts, 1); `y.npy` is (N, 4) in the order of
y0..y3. Rows come out as `patch` (wires, drifts, 1), `labels` [track, em, none] and `michel`.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from edgeinfer.base.errors import did_you_mean
from edgeinfer.base.plan import stage_file
from edgeinfer.data.formats.guard import DataFileError, check_finite, file_bytes
from edgeinfer.data.formats.npy_guard import NpyHeader, map_rows, read_npy_header
from edgeinfer.data.formats.patch_rows import (
    DEFAULT_SHAPE,
    ID_FIELDS,
    LABEL_FIELDS,
    join_labels,
    patch_layout,
    split_labels,
)
from edgeinfer.data.formats.scalings import PatchScaling, scale_patches
from edgeinfer.data.formats.shards import (
    Columns,
    Layout,
    Shard,
    cut_rows,
    row_bytes,
    rows_per_shard,
)

_ROWS_LOOKED_AT = 65_536


def table_dtype(shape: tuple[int, int] = DEFAULT_SHAPE) -> np.dtype:
    """The record of a structured patch table, one named field a pixel, without padding."""
    fields = [(name, dtype.str) for name, dtype in ID_FIELDS.items()]
    fields += [(name, "u1") for name in LABEL_FIELDS]
    return np.dtype(fields + [(f"x{i}", "<f4") for i in range(math.prod(shape))])


def block_dtype(shape: tuple[int, int] = DEFAULT_SHAPE) -> np.dtype:
    """The same record with labels and pixels as two array fields: what NumPy handles fast."""
    fields: list[tuple[Any, ...]] = [(name, dtype.str) for name, dtype in ID_FIELDS.items()]
    return np.dtype([*fields, ("y", "u1", (4,)), ("x", "<f4", shape)])


@dataclass(frozen=True, slots=True)
class PatchTable:
    """Patches of one or several structured npy files, one group a file."""

    paths: tuple[str, ...]
    shape: tuple[int, int] = DEFAULT_SHAPE
    scaling: PatchScaling = PatchScaling.SIGNED

    def layout(self) -> Layout:
        """Patch, labels and identity."""
        return patch_layout(self.shape, ids=True)

    def shards(self) -> tuple[Shard, ...]:
        """Runs of about a megabyte of each file that has a sound header."""
        record_bytes = block_dtype(self.shape).itemsize
        pieces: list[Shard] = []
        for path in self.paths:
            header = table_header(path, self.shape)
            step = rows_per_shard(record_bytes)
            for first, rows in cut_rows(header.shape[0], step):
                memory_bytes = rows * (record_bytes + 3 * row_bytes(self.layout()))
                pieces.append(Shard(path, "", first, rows, path, memory_bytes))
        return tuple(pieces)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The patches of one shard, scaled."""
        records = map_table(shard.path, self.shape, shard.first, shard.rows)
        check_finite(records["x"], shard.path, "x", first_row=shard.first)
        labels, michel = split_labels(records["y"], shard.path, shard.first)
        columns = {
            "patch": scale_patches(records["x"], self.scaling)[..., np.newaxis],
            "labels": labels,
            "michel": michel,
        }
        yield columns | {name: np.array(records[name]) for name in ID_FIELDS}


def table_header(path: str | Path, shape: tuple[int, int] = DEFAULT_SHAPE) -> NpyHeader:
    """The header of a structured patch table, its fields checked by name, type and place."""
    file_bytes(path)
    status = Path(path).stat()
    return _checked_header(str(path), shape, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _checked_header(path: str, shape: tuple[int, int], size: int, mtime_ns: int) -> NpyHeader:
    # Parsing 2,300 field names takes longer than reading a shard, so a file's header is kept for
    # as long as its size and time of change stay what they were.
    header = read_npy_header(path)
    if header.dtype.fields is None or len(header.shape) != 1:
        hint = "A plain array of patches is read as x.npy beside its y.npy."
        raise DataFileError(path, "", f"is not a table: its dtype is {header.dtype}", hint=hint)
    due, actual = table_dtype(shape), header.dtype
    names = actual.names or ()
    for name in due.names or ():
        if name not in names:
            near = did_you_mean(name, names)
            hint = near or f"A table of {shape[0]}x{shape[1]} patches needs it."
            raise DataFileError(path, name, "the field is missing", hint=hint)
        if actual[name] != due[name]:
            problem = f"has the type {actual[name]}, {due[name]} is expected"
            raise DataFileError(path, name, problem)
    if names != due.names:
        extra = next((n for n in names if n not in (due.names or ())), names[0])
        hint = f"Patches of {shape[0]}x{shape[1]} were asked for; state their shape if it differs."
        raise DataFileError(path, extra, "an unexpected field, or a field out of order", hint=hint)
    if actual.itemsize != due.itemsize:
        raise DataFileError(path, "x0", "the record is padded; a packed one is expected")
    return header


def map_table(path: str | Path, shape: tuple[int, int], first: int, rows: int) -> np.ndarray:
    """Rows of a structured table as a read-only memory map of `block_dtype` records."""
    header = table_header(path, shape)
    plain = NpyHeader(header.path, block_dtype(shape), header.shape, header.data_offset)
    return map_rows(plain, first, rows)


@dataclass(frozen=True, slots=True)
class PlainPatches:
    """Pairs of a plain `x.npy` and its `y.npy`, one group a pair."""

    pairs: tuple[tuple[str, str], ...]
    shape: tuple[int, int] = DEFAULT_SHAPE
    scaling: PatchScaling = PatchScaling.SIGNED

    def layout(self) -> Layout:
        """Patch and labels; plain files do not say which event a patch is from."""
        return patch_layout(self.shape, ids=False)

    def shards(self) -> tuple[Shard, ...]:
        """Runs of about a megabyte of each sound pair."""
        pieces: list[Shard] = []
        for x_path, y_path in self.pairs:
            header, _ = plain_headers(x_path, y_path, self.shape)
            step = rows_per_shard(row_bytes(self.layout()))
            row_memory_bytes = (math.prod(self.shape) * header.dtype.itemsize) + 3 * row_bytes(
                self.layout()
            )
            for first, rows in cut_rows(header.shape[0], step):
                pieces.append(Shard(x_path, y_path, first, rows, x_path, rows * row_memory_bytes))
        return tuple(pieces)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The patches of one shard, scaled."""
        x_header, y_header = plain_headers(shard.path, shard.key, self.shape)
        x = map_rows(x_header, shard.first, shard.rows)
        check_finite(x, shard.path, "x", first_row=shard.first)
        y = map_rows(y_header, shard.first, shard.rows)
        labels, michel = split_labels(y, shard.key, shard.first)
        patch = scale_patches(x.reshape(shard.rows, *self.shape, 1), self.scaling)
        yield {"patch": np.array(patch), "labels": labels, "michel": michel}


def plain_headers(
    x_path: str | Path, y_path: str | Path, shape: tuple[int, int]
) -> tuple[NpyHeader, NpyHeader]:
    """The headers of a pair, checked against each other and the patch shape."""
    x, y = read_npy_header(x_path), read_npy_header(y_path)
    for header in (x, y):
        if header.dtype.kind not in "fiu":
            raise DataFileError(header.path, "", f"holds {header.dtype}, numbers are expected")
    if x.shape[1:] not in (shape, (*shape, 1)):
        problem = f"has rows of shape {x.shape[1:]}, {shape} is expected"
        raise DataFileError(x_path, "x", problem, hint="State the patch shape if it differs.")
    if y.shape[1:] != (4,):
        hint = "The columns are track, em, michel, none."
        raise DataFileError(
            y_path, "y", f"has rows of shape {y.shape[1:]}, (4,) is expected", hint=hint
        )
    if x.shape[0] != y.shape[0]:
        problem = f"has {y.shape[0]} rows and {x.path} has {x.shape[0]}"
        raise DataFileError(y_path, "y", problem)
    return x, y


def patches_in(x_path: Path, y_path: Path, *, stated: bool) -> tuple[int, int] | None:
    """The shape of the patches of a plain pair; None where its labels are those of four classes,
    which a pair has that is no pair of patches. `stated`: whether someone says that it is."""
    x, y = read_npy_header(x_path), read_npy_header(y_path)
    if x.shape[3:] not in ((), (1,)) or len(x.shape) < 3 or y.shape[1:] != (4,) or not y.shape[0]:
        return None
    labels = np.array(map_rows(y, 0, min(y.shape[0], _ROWS_LOOKED_AT)))
    try:
        split_labels(labels, y_path, 0)
    except DataFileError:
        return None
    one_hot = bool((labels.sum(axis=1) == 1).all())
    if one_hot and not stated:
        hint = (
            f"As patches with the labels track, em, michel, none, write {x_path}:signed (ADC "
            f"-50..150 to -5..15), {x_path}:unit (0..30 to 0..1) or {x_path}:raw; as arrays, "
            f"{x_path}:arrays."
        )
        problem = "fits two formats: patches of a hit tagger, and an array with four classes"
        raise DataFileError(x_path, "", problem, hint=hint)
    return x.shape[1], x.shape[2]


def pack_records(columns: Columns) -> np.ndarray:
    """A block of patch columns as `block_dtype` records; identity columns that are absent are 0."""
    patch = columns["patch"]
    records = np.zeros(len(patch), dtype=block_dtype(patch.shape[1:3]))
    records["x"] = patch.reshape(patch.shape[:3])
    records["y"] = join_labels(columns["labels"], columns["michel"])
    for name in ID_FIELDS:
        if name in columns:
            records[name] = columns[name]
    return records


@dataclass(slots=True)
class PatchTableWriter:
    """A structured table that is written block by block."""

    file: IO[bytes]
    shape: tuple[int, int]
    rows: int = 0

    def write_header(self) -> None:
        """Say how many rows there are, so far, at the beginning of the file."""
        # NumPy pads the header so that a longer row count fits in the same bytes.
        descr = npy_format.dtype_to_descr(table_dtype(self.shape))
        header = {"descr": descr, "fortran_order": False, "shape": (self.rows,)}
        self.file.seek(0)
        npy_format.write_array_header_1_0(self.file, header)

    def write(self, columns: Columns) -> None:
        """Append a block of unscaled patches with their labels and, where known, identity."""
        records = pack_records(columns)
        self.file.write(records.tobytes())
        self.rows += len(records)


@contextlib.contextmanager
def write_table(path: str | Path, shape: tuple[int, int]) -> Iterator[PatchTableWriter]:
    """A structured table to write to; the file appears under its name when the block succeeds."""
    with stage_file(Path(path)) as temporary, temporary.open("xb") as file:
        writer = PatchTableWriter(file, shape)
        writer.write_header()
        yield writer
        writer.write_header()
