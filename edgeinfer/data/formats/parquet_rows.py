# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Parquet files: columns of numbers, of lists of numbers that all have the same length, or of words
that are names of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.extras import require_extra
from edgeinfer.data.formats.guard import MAX_BLOCK_BYTES, DataFileError, file_bytes
from edgeinfer.data.formats.shards import (
    Columns,
    ColumnSpec,
    Layout,
    Shard,
    row_bytes,
    rows_per_shard,
)
from edgeinfer.data.formats.words import WordColumns, WordTally, count_once, number_words

_THRIFT_BYTES = 64 * 1024 * 1024
"""Of a footer, which names the columns and says where they lie."""
WORDS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class ParquetFiles:
    """Rows of one or several files that have the same columns."""

    paths: tuple[str, ...]

    def layout(self) -> Layout:
        """The columns of numbers; how long a list is, the first row says."""
        with _open(self.paths[0]) as file:
            arrow = file.schema_arrow
            names = [name for name in arrow.names if _is_numeric(arrow.field(name).type)]
            words = self._words().specs()
            if not names and not words:
                raise DataFileError(self.paths[0], "", "has no column of numbers")
            if len(set(arrow.names)) != len(arrow.names):
                raise DataFileError(self.paths[0], "", "has two columns of one name")
            columns = dict(words)
            for batch in file.iter_batches(batch_size=1, columns=names):
                for name in names:
                    values = _array(batch.column(name), self.paths[0], name, 0)
                    columns[name] = ColumnSpec(values.shape[1:], values.dtype)
                break
            return {name: columns[name] for name in arrow.names if name in columns}

    def omitted(self) -> Mapping[str, str]:
        """Columns of more words than there are classes, and of neither numbers nor words."""
        reasons = dict(self._words().left_out)
        with _open(self.paths[0]) as file:
            for name, kind in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True):
                if not _is_numeric(kind) and not _is_text(kind):
                    reasons[name] = f"holds {kind}"
        return reasons

    def _words(self) -> WordColumns:
        return count_once(self.paths, "parquet", lambda: _count_words(self.paths))

    def shards(self) -> tuple[Shard, ...]:
        """Row groups; the key is a group's number."""
        pieces: list[Shard] = []
        for path in self.paths:
            with _open(path) as file:
                pieces += self._groups(path, file.metadata)
        return tuple(pieces)

    def _groups(self, path: str, metadata: Any) -> Iterator[Shard]:
        first = 0
        for number in range(metadata.num_row_groups):
            group = _checked_group(path, metadata, number)
            if group.num_rows:
                memory_bytes = 2 * group.total_byte_size + 3 * 1024 * 1024
                yield Shard(path, str(number), first, group.num_rows, path, memory_bytes)
            first += group.num_rows

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of one group, about a megabyte at a time."""
        layout = self.layout()
        first = shard.first
        with _open(shard.path) as file:
            missing = set(layout) - set(file.schema_arrow.names)
            if missing:
                raise DataFileError(shard.path, sorted(missing)[0], "the column is missing")
            step = rows_per_shard(row_bytes(layout))
            for batch in file.iter_batches(step, [int(shard.key)], list(layout)):
                columns = {}
                for name, column in layout.items():
                    if column.classes:
                        texts = _texts(batch.column(name), shard.path, name, first)
                        columns[name] = number_words(texts, column.classes, shard.path, name, first)
                        continue
                    values = _array(batch.column(name), shard.path, name, first)
                    if values.shape[1:] != column.shape:
                        problem = f"row {first} holds a list of {values.shape[1:]}, others "
                        problem += f"hold {column.shape}"
                        raise DataFileError(shard.path, name, problem)
                    columns[name] = values
                first += len(batch)
                yield columns


def _checked_group(path: str, metadata: Any, number: int) -> Any:
    """A row group that is not too large to be read."""
    group = metadata.row_group(number)
    if not 0 <= group.total_byte_size <= MAX_BLOCK_BYTES:
        problem = f"has a row group of {group.total_byte_size:,} bytes"
        hint = "Write it with smaller row groups: row_group_size=10_000."
        raise DataFileError(path, "", problem, hint=hint)
    return group


def _is_numeric(kind: Any) -> bool:
    import pyarrow.types as types

    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _count_words(paths: Sequence[str]) -> WordColumns:
    """The different words of the columns of text, read a part at a time."""
    with _open(paths[0]) as file:
        arrow = file.schema_arrow
        tally = WordTally(name for name in arrow.names if _is_text(arrow.field(name).type))
    for path in paths if tally.open_columns else ():
        with _open(path) as file:
            there = [name for name in tally.open_columns if name in file.schema_arrow.names]
            for number in range(file.metadata.num_row_groups):
                _checked_group(path, file.metadata, number)
            for batch in file.iter_batches(WORDS_AT_ONCE, columns=there):
                for name in there:
                    if name in tally.open_columns:
                        tally.add(name, filter(None, batch.column(name).unique().to_pylist()))
    return tally.columns()


def _texts(column: Any, path: str, name: str, first: int) -> list[str]:
    """Words of a batch, each of which must be there."""
    words: list[str] = column.to_pylist()
    if column.null_count or "" in words:
        raise DataFileError(path, name, f"is empty in some row from {first} on")
    return words


def _array(column: Any, path: str, name: str, first: int) -> np.ndarray:
    """A column of a batch; lists must all have the length of the first."""
    import pyarrow.types as types

    shape: list[int] = [len(column)]
    while not (types.is_primitive(column.type)):
        if column.null_count:
            raise DataFileError(path, name, f"is empty in some row from {first} on")
        parts = np.asarray(column.value_lengths())
        if len(parts) and (parts != parts[0]).any():
            row = first + int(np.flatnonzero(parts != parts[0])[0]) * shape[0] // len(parts)
            problem = f"row {row} holds a list of another length than row {first}"
            hint = "Every sample must have the same shape: pad the lists."
            raise DataFileError(path, name, problem, hint=hint)
        shape.append(int(parts[0]) if len(parts) else 0)
        column = column.flatten()
    if column.null_count:
        raise DataFileError(path, name, f"is empty in some row from {first} on")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """A file opened to read; failures of the library name the file."""
    require_extra("tables", f"{path} is a Parquet file: reading it")
    import pyarrow
    import pyarrow.parquet as parquet

    size = file_bytes(path)
    try:
        file = parquet.ParquetFile(
            Path(path),
            thrift_string_size_limit=min(size, _THRIFT_BYTES),
            thrift_container_size_limit=min(size, _THRIFT_BYTES),
        )
        with file:
            yield file
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        hint = "It may be truncated; copy it again."
        problem = f"is not a readable Parquet file ({reason})"
        raise DataFileError(path, "", problem, hint=hint) from None
