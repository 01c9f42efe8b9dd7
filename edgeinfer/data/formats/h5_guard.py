# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HDF5 data sets, read without trust: what is stored must be there, and decompress to what is due.

Chunks are decompressed here and not by the HDF5 library, which lets a chunk grow without limit.
Only what experiments use is accepted: contiguous data, or chunks with gzip, shuffle and fletcher32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from edgeinfer.data.formats.guard import (
    MAX_BLOCK_BYTES,
    DataFileError,
    file_bytes,
    inflate,
    missing_key,
)

_DEFLATE, _SHUFFLE, _FLETCHER32 = (
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
)


@dataclass(frozen=True, slots=True)
class RowsDue:
    """What a data set must be: its key, and the shape of one row (None accepts any length; in
    place of the shape, any row of numbers or of words of a fixed length, or of such fields)."""

    key: str
    row_shape: tuple[int | None, ...] | None
    may_add_axes: bool = False
    """Accept further axes of length 1, as in (N, 1) for (N,)."""


@contextmanager
def open_h5(path: str | Path) -> Iterator[h5py.File]:
    """An HDF5 file opened to read; failures of the library name the file."""
    file_bytes(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = " ".join(str(error).split())[:160]
        hint = "It may be truncated; copy it again."
        raise DataFileError(
            path, "", f"is not a readable HDF5 file ({reason})", hint=hint
        ) from None
    with file:
        yield file


def checked_dataset(file: h5py.File, due: RowsDue) -> h5py.Dataset:
    """The data set of a key, if it is what is due and is wholly stored in this very file."""
    path, key = file.filename, due.key
    for end in [index for index, letter in enumerate(key) if letter == "/"] + [len(key)]:
        link = file.get(key[:end], getlink=True)
        if link is None:
            raise missing_key(path, key, file)
        if not isinstance(link, h5py.HardLink):
            raise DataFileError(
                path, key, "is a link to another place; only data in the file is read"
            )
    try:
        dataset = file[key]
    except (KeyError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataFileError(path, key, f"cannot be read ({reason})") from None
    if not isinstance(dataset, h5py.Dataset):
        raise DataFileError(path, key, f"is a {type(dataset).__name__.lower()}, no data set")
    if not _holds_numbers(dataset.dtype, fields=due.row_shape is None):
        raise DataFileError(path, key, f"holds {dataset.dtype}, numbers are expected")
    if dataset.is_virtual or dataset.external:
        raise DataFileError(path, key, "keeps its data in other files; repack it into one")
    _check_shape(dataset, due)
    _check_storage(dataset)
    return dataset


def _holds_numbers(dtype: np.dtype, *, fields: bool) -> bool:
    if dtype.names is None:
        return (dtype.subdtype or (dtype,))[0].kind in ("fiubS" if fields else "fiu")
    return fields and all(_holds_field(dtype[name]) for name in dtype.names)


def _holds_field(dtype: np.dtype) -> bool:
    return dtype.kind == "S" or _holds_numbers(dtype, fields=False)


def _check_shape(dataset: h5py.Dataset, due: RowsDue) -> None:
    if due.row_shape is None:
        if dataset.ndim == 0:
            raise DataFileError(dataset.file.filename, dataset.name, "is a single number")
        return
    row_shape = dataset.shape[1:]
    if due.may_add_axes:
        row_shape = tuple(n for n in row_shape if n != 1)
    row_due = due.row_shape
    fits = len(row_shape) == len(row_due) and all(
        w in (None, n) for n, w in zip(row_shape, row_due, strict=True)
    )
    if dataset.ndim == 0 or not fits:
        text = ", ".join(["N", *("any" if w is None else str(w) for w in row_due)])
        problem = f"has the shape {dataset.shape}, ({text}) is expected"
        raise DataFileError(dataset.file.filename, dataset.name, problem)


def _check_storage(dataset: h5py.Dataset) -> None:
    path, key = dataset.file.filename, dataset.name
    claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if stored > file_bytes(path):
        raise DataFileError(path, key, f"claims {stored} stored bytes, more than the file has")
    if dataset.chunks is None:
        if stored != claimed:
            problem = f"claims {claimed} bytes and stores {stored}"
            hint = "It was declared and never filled."
            raise DataFileError(path, key, problem, hint=hint)
        return
    if math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_BLOCK_BYTES:
        problem = f"has chunks of {dataset.chunks}, more than {MAX_BLOCK_BYTES} bytes each"
        raise DataFileError(path, key, problem)
    chunks_due = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    if dataset.id.get_num_chunks() != chunks_due:
        problem = f"stores {dataset.id.get_num_chunks()} of its {chunks_due} chunks"
        hint = "Its writer was interrupted, or declared more rows than it filled."
        raise DataFileError(path, key, problem, hint=hint)
    filters = _filters(dataset)
    unknown = [f for f in filters if f not in (_DEFLATE, _SHUFFLE, _FLETCHER32)]
    if unknown:
        hint = "Repack it with gzip: h5repack -f GZIP=4 IN OUT."
        problem = f"is compressed with a filter that is not read (number {unknown[0]})"
        raise DataFileError(path, key, problem, hint=hint)


def _filters(dataset: h5py.Dataset) -> list[int]:
    creation = dataset.id.get_create_plist()
    return [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]


def chunk_rows(dataset: h5py.Dataset) -> int:
    """Rows that are stored, hence read, together."""
    return dataset.chunks[0] if dataset.chunks else 1


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of one decompressed chunk; 0 for contiguous data."""
    return math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0


def read_rows(dataset: h5py.Dataset, first: int, rows: int) -> np.ndarray:
    """Rows [first, first + rows) of a checked data set."""
    path, key = dataset.file.filename, dataset.name
    try:
        if dataset.chunks is None:
            return dataset[first : first + rows]
        return _read_chunks(dataset, first, rows)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        problem = f"rows {first} to {first + rows - 1} cannot be read ({reason})"
        raise DataFileError(path, key, problem) from None


def _read_chunks(dataset: h5py.Dataset, first: int, rows: int) -> np.ndarray:
    out = np.empty((rows, *dataset.shape[1:]), dtype=dataset.dtype)
    region = (slice(first, first + rows), *(slice(0, n) for n in dataset.shape[1:]))
    for chunk in dataset.iter_chunks(region):
        # iter_chunks cuts its slices to the region; the chunk they lie in starts on the grid.
        grid = zip(chunk, dataset.chunks, strict=True)
        origin = tuple(part.start // size * size for part, size in grid)
        values = _decode_chunk(dataset, origin)
        starts = zip(chunk, origin, strict=True)
        inside = tuple(slice(p.start - o, p.stop - o) for p, o in starts)
        out[(slice(chunk[0].start - first, chunk[0].stop - first), *chunk[1:])] = values[inside]
    return out


def _decode_chunk(dataset: h5py.Dataset, origin: tuple[int, ...]) -> np.ndarray:
    path, key = dataset.file.filename, f"{dataset.name} chunk {origin}"
    expected = chunk_bytes(dataset)
    mask, data = dataset.id.read_direct_chunk(origin)
    for position, code in reversed(list(enumerate(_filters(dataset)))):
        if mask >> position & 1:
            continue
        if code == _FLETCHER32:
            data = data[:-4]
        elif code == _DEFLATE:
            data = inflate(data, expected, path, key)
        elif code == _SHUFFLE:
            planes = np.frombuffer(data, dtype=np.uint8).reshape(dataset.dtype.itemsize, -1)
            data = planes.T.tobytes()
    if len(data) != expected:
        raise DataFileError(path, key, f"holds {len(data)} bytes, {expected} are expected")
    return np.frombuffer(data, dtype=dataset.dtype).reshape(dataset.chunks)
