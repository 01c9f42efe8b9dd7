# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""NumPy archives (.npz): every array a column, unpacked a megabyte at a time."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgeinfer.data.formats.guard import MAX_BLOCK_BYTES, DataFileError
from edgeinfer.data.formats.shards import (
    SHARD_BYTES,
    Columns,
    ColumnSpec,
    Layout,
    Shard,
    cut_rows,
    row_bytes,
    rows_per_shard,
)

HOW_TO = "Write it with numpy.savez(path, x=inputs, y=labels)."
UNREADABLE = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class _Member:
    """One array of an archive, as its header describes it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


@dataclass(frozen=True, slots=True)
class Archive:
    """The arrays of an archive, which share their first axis."""

    path: str

    def layout(self) -> Layout:
        """One column an array, by its name."""
        return {m.name: ColumnSpec(m.shape[1:], m.dtype) for m in self._members()}

    def shards(self) -> tuple[Shard, ...]:
        """The archive as a whole: what is packed can only be read from its beginning."""
        members = self._members()
        whole = sum(math.prod(m.shape) * m.dtype.itemsize for m in members if m.fortran)
        counts = {m.name: m.shape[0] for m in members}
        rows = next(iter(counts.values()))
        for name, count in counts.items():
            if count != rows:
                problem = f"{name!r} has {count} samples, another array has {rows}"
                hint = "Every array must have one entry for each sample."
                raise DataFileError(self.path, "", problem, hint=hint)
        if not rows:
            return ()
        memory_bytes = 2 * SHARD_BYTES + 3 * row_bytes(self.layout()) + whole
        return (Shard(self.path, "", 0, rows, self.path, memory_bytes),)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows, about a megabyte at a time."""
        members = self._members()
        try:
            with ExitStack() as stack:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                arrays = {m.name: _Rows(stack, archive, m) for m in members}
                step = rows_per_shard(row_bytes(self.layout()))
                for _, rows in cut_rows(shard.rows, step):
                    yield {name: array.take(rows) for name, array in arrays.items()}
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from None

    def _members(self) -> tuple[_Member, ...]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = tuple(_member(archive, info) for info in archive.infolist())
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from None
        if not members:
            raise DataFileError(self.path, "", "the archive holds no arrays", hint=HOW_TO)
        for member in members:
            if not member.shape:
                hint = "The first axis counts samples."
                raise DataFileError(self.path, "", f"{member.name!r} is a single number", hint=hint)
        return members


class _Rows:
    """An array that is unpacked row by row; in Fortran order it must be there as a whole."""

    def __init__(self, stack: ExitStack, archive: zipfile.ZipFile, member: _Member) -> None:
        self._file = stack.enter_context(archive.open(f"{member.name}.npy"))
        self._member = member
        self._first = 0
        self._whole: np.ndarray | None = None
        if member.fortran:
            self._whole = npy.read_array(self._file, allow_pickle=False)
        else:
            _header(self._file)

    def take(self, rows: int) -> np.ndarray:
        """The next rows."""
        member, first = self._member, self._first
        self._first += rows
        if self._whole is not None:
            return self._whole[first : first + rows]
        shape = (rows, *member.shape[1:])
        due = math.prod(shape) * member.dtype.itemsize
        data = self._file.read(due)
        if len(data) < due:
            raise EOFError(f"{member.name} ends early")
        return np.frombuffer(data, dtype=member.dtype).reshape(shape)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays by name as a compressed archive."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict(arrays))  # type: ignore[arg-type]  # none is allow_pickle
    return stream.getvalue()


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """One member, after its header was found to claim no more than it holds."""
    with archive.open(info) as file:
        shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds Python objects, not numbers")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > info.file_size:
        raise ValueError(f"{info.filename} claims {claimed:,} bytes and has {info.file_size:,}")
    fortran = fortran and len(shape) > 1
    if fortran and claimed > MAX_BLOCK_BYTES:
        raise ValueError(f"{info.filename} is in Fortran order; save numpy.ascontiguousarray(x)")
    return _Member(info.filename.removesuffix(".npy"), tuple(shape), dtype, fortran)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran, dtype = read(file)
    return shape, fortran, dtype


def _unreadable(path: str, error: Exception) -> DataFileError:
    reason = str(error).partition("\n")[0][:160]
    problem = f"is not a NumPy archive that can be read: {reason}"
    return DataFileError(path, "", problem, hint=HOW_TO)
