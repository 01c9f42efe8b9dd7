# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Plain NumPy files (.npy): one array a column, in one or several files; or a table of fields."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.npy_guard import NpyHeader, map_rows, read_npy_header
from edgeinfer.data.formats.shards import (
    Columns,
    ColumnSpec,
    Layout,
    Shard,
    cut_rows,
    row_bytes,
    rows_per_shard,
)


@dataclass(frozen=True, slots=True)
class NpyArrays:
    """Arrays that share their first axis, each in a file of its own, by the columns' names."""

    files: tuple[tuple[str, str], ...]
    """Name and path."""

    def layout(self) -> Layout:
        """One column a file; of a table, one a field."""
        columns: dict[str, ColumnSpec] = {}
        for name, header in self._headers():
            if header.dtype.names is None:
                columns[name] = ColumnSpec(header.shape[1:], header.dtype)
                continue
            for field in header.dtype.names:
                part = header.dtype[field]
                base, shape = part.subdtype or (part, ())
                columns[field] = ColumnSpec(tuple(shape), base)
        return columns

    def shards(self) -> tuple[Shard, ...]:
        """Runs of about a megabyte."""
        headers = self._headers()
        rows = headers[0][1].shape[0]
        for _, header in headers:
            if header.shape[0] != rows:
                problem = f"has {header.shape[0]} rows and {headers[0][1].path} has {rows}"
                raise DataFileError(header.path, "", problem)
        bytes_a_row = row_bytes(self.layout())
        step = rows_per_shard(bytes_a_row)
        path = headers[0][1].path
        return tuple(
            Shard(path, "", first, count, path, 2 * count * bytes_a_row)
            for first, count in cut_rows(rows, step)
        )

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of one shard, as they are in the files."""
        columns: Columns = {}
        for name, header in self._headers():
            rows = np.array(map_rows(header, shard.first, shard.rows))
            if rows.dtype.names is None:
                columns[name] = rows
            else:
                columns |= {field: rows[field] for field in rows.dtype.names}
        yield columns

    def _headers(self) -> list[tuple[str, NpyHeader]]:
        headers = []
        for name, path in self.files:
            header = read_npy_header(path)
            if not header.shape:
                hint = "The first axis counts samples."
                raise DataFileError(path, "", "is a single number", hint=hint)
            if not math.prod(header.shape[1:]) * header.dtype.itemsize:
                raise DataFileError(path, "", f"has rows of shape {header.shape[1:]}: nothing")
            headers.append((name, header))
        return headers


def labels_beside(path: Path) -> Path | None:
    """Labels that lie beside inputs: y.npy beside x.npy, y_test.npy beside X_test.npy."""
    if path.stem[:1] not in ("x", "X"):
        return None
    for letter in ("y", "Y"):
        other = path.with_name(letter + path.name[1:])
        if other.is_file():
            return other
    return None
