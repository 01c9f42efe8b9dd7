# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Trees in ROOT files: branches of numbers, or of arrays of one length, as columns."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeinfer.data.formats.guard import (
    MAX_BLOCK_BYTES,
    DataFileError,
    check_finite,
    file_bytes,
    missing_key,
)
from edgeinfer.data.formats.root_blocks import check_blocks
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

TREES = ("TTree", "TNtuple", "TNtupleD")
_KEY = struct.Struct(">ihiihh")
"""The head of a basket's key: bytes, version, bytes of the object, date, bytes of the key."""


@dataclass(frozen=True, slots=True)
class RootTrees:
    """The entries of one tree, in one or several files."""

    paths: tuple[str, ...]
    tree: str

    def layout(self) -> Layout:
        """The branches that hold numbers, or arrays of one length."""
        with _open(self.paths[0]) as file:
            tree = _tree(file, self.paths[0], self.tree)
            columns = _columns(tree)
            if not columns:
                hint = "Branches must be numbers, or arrays of one length."
                raise DataFileError(self.paths[0], self.tree, "has no such branch", hint=hint)
            return columns

    def shards(self) -> tuple[Shard, ...]:
        """Runs of entries of about a megabyte."""
        pieces: list[Shard] = []
        layout = self.layout()
        for path in self.paths:
            with _open(path) as file:
                tree = _tree(file, path, self.tree)
                found_here = [name for name in layout if name in tree]
                largest = sum(_largest_basket(path, tree[name]) for name in found_here)
                bytes_a_row = row_bytes(layout)
                for first, rows in cut_rows(tree.num_entries, rows_per_shard(bytes_a_row)):
                    memory_bytes = 3 * rows * bytes_a_row + 2 * largest + SHARD_BYTES
                    pieces.append(Shard(path, self.tree, first, rows, path, memory_bytes))
        return tuple(pieces)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The entries of one shard."""
        layout = self.layout()
        columns: Columns = {}
        with _open(shard.path) as file:
            tree = _tree(file, shard.path, self.tree)
            for name in layout:
                if name not in tree:
                    raise missing_key(shard.path, name, tree.keys())
                columns[name] = _values(file, tree[name], shard)
        yield columns


def trees_in(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the trees of a file, and of its directories at the top."""
    with _open(path) as file:
        classes = _read_or_refuse(path, "", lambda: file.classnames(cycle=False))
    trees = [name for name, kind in classes.items() if kind in TREES]
    folders = [name for name, kind in classes.items() if kind.startswith("TDirectory")]
    return tuple(trees), tuple(name for name in folders if "/" not in name)


@contextmanager
def _open(path: str) -> Iterator[Any]:
    import uproot

    file_bytes(path)
    try:
        file = uproot.open(path, object_cache=None, array_cache=None)
    except Exception as error:  # uproot raises whatever its parsing ran into
        raise _damage_error(path, "", error) from None
    with file:
        if file.file.fEND > file_bytes(path):
            problem = f"is truncated: it has {file_bytes(path)} of {file.file.fEND} bytes"
            raise DataFileError(path, "", problem, hint="Copy it again.")
        yield file


def _damage_error(path: str, key: str, error: Exception) -> DataFileError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    hint = "The file is damaged or truncated; copy it again."
    if not key:
        return DataFileError(path, "", f"is not a readable ROOT file ({reason})", hint=hint)
    return DataFileError(path, key, f"cannot be read ({reason})", hint=hint)


def _read_or_refuse(path: str, key: str, read: Any) -> Any:
    try:
        return read()
    except DataFileError:
        raise
    except Exception as error:  # as above
        raise _damage_error(path, key, error) from None


def _tree(file: Any, path: str, name: str) -> Any:
    """A tree, after what it is packed in was found to hold no more than it says."""
    classes = _read_or_refuse(path, "", lambda: file.classnames(cycle=False))
    if name not in classes:
        raise missing_key(path, name, classes)
    if classes[name] not in TREES:
        raise DataFileError(path, name, f"is a {classes[name]}, a tree is expected")
    key = _read_or_refuse(path, name, lambda: file.key(name))
    start, stop = key.fSeekKey + key.fKeylen, key.fSeekKey + key.fNbytes
    check_blocks(_bytes(file, path, name, start, stop), key.fObjlen, path, name)
    return _read_or_refuse(path, name, lambda: file[name])


def _bytes(file: Any, path: str, key: str, start: int, stop: int) -> bytes:
    if not 0 <= stop - start <= min(MAX_BLOCK_BYTES, file_bytes(path)):
        raise DataFileError(path, key, f"claims {stop - start} stored bytes")
    content: bytes = _read_or_refuse(
        path, key, lambda: bytes(file.file.source.chunk(start, stop).raw_data)
    )
    return content


def _columns(tree: Any) -> dict[str, ColumnSpec]:
    """Branches that uproot reads as an array of one type, each entry of the same shape."""
    import uproot

    columns = {}
    for branch in tree.branches:
        try:
            kind = branch.interpretation
        except Exception:  # a branch that uproot does not know is none of ours
            continue
        if type(kind) is not uproot.interpretation.numerical.AsDtype:
            continue
        base, shape = kind.to_dtype.subdtype or (kind.to_dtype, ())
        if base.kind in "fiub":
            columns[branch.name] = ColumnSpec(tuple(shape), base)
    return columns


def _largest_basket(path: str, branch: Any) -> int:
    sizes: list[int] = _read_or_refuse(
        path,
        branch.name,
        lambda: [branch.basket_uncompressed_bytes(at) for at in range(branch.num_baskets)],
    )
    return max(sizes, default=0)


def _values(file: Any, branch: Any, shard: Shard) -> np.ndarray:
    """Some entries of a branch; the baskets that they lie in are checked first."""
    where = f"{shard.key}: {branch.name}"
    first, stop = shard.first, shard.first + shard.rows
    offsets = branch.entry_offsets
    for number in range(branch.num_baskets):
        if offsets[number] < stop and offsets[number + 1] > first:
            _check_basket(file, branch, number, shard.path, where)
    values = _read_or_refuse(
        shard.path,
        where,
        lambda: branch.array(entry_start=first, entry_stop=stop, library="np", array_cache=None),
    )
    check_finite(values, shard.path, where, first_row=first)
    if len(values) != shard.rows:
        raise DataFileError(shard.path, where, f"has {len(values)} of {shard.rows} entries")
    return np.asarray(values)


def _check_basket(file: Any, branch: Any, number: int, path: str, where: str) -> None:
    seeks, sizes = branch.member("fBasketSeek"), branch.member("fBasketBytes")
    if number >= len(seeks) or not seeks[number]:
        return  # it lies in the tree itself, which was checked
    start = int(seeks[number])
    content = _bytes(file, path, where, start, start + int(sizes[number]))
    if len(content) < _KEY.size:
        raise DataFileError(path, where, "a basket is truncated")
    _, _, object_bytes, _, key_bytes, _ = _KEY.unpack_from(content)
    check_blocks(content[key_bytes:], object_bytes, path, where)
