# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HDF5 files of anyone's making: the data sets of a group, or the fields of a table, as columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from edgeinfer.data.formats.guard import DataFileError, missing_key
from edgeinfer.data.formats.h5_guard import RowsDue, checked_dataset, open_h5
from edgeinfer.data.formats.h5_rows import h5_shards, read_h5_shard
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard
from edgeinfer.data.formats.words import LONGEST_NAME, MOST_CLASSES

CLASSES = "classes"  # an attribute: the names of the classes whose numbers a data set holds
KINDS = "fiubVS"  # of NumPy types that are read


@dataclass(frozen=True, slots=True)
class H5Arrays:
    """Data sets that share their first axis; `keys` are their places in the file."""

    paths: tuple[str, ...]
    keys: tuple[str, ...]

    def layout(self) -> Layout:
        """One column a data set, called as it is; of a table, one a field."""
        columns: dict[str, ColumnSpec] = {}
        with open_h5(self.paths[0]) as file:
            for key in self.keys:
                dataset = checked_dataset(file, RowsDue(key, None))
                if dataset.dtype.names is None:
                    classes = _stored_classes(dataset)
                    columns[_name(key)] = ColumnSpec(dataset.shape[1:], dataset.dtype, classes)
                    continue
                for field in dataset.dtype.names:
                    part = dataset.dtype[field]
                    base, shape = part.subdtype or (part, ())
                    columns[field] = ColumnSpec((*dataset.shape[1:], *shape), base)
        return columns

    def omitted(self) -> dict[str, str]:
        """Data sets of text of variable length beside those that are read."""
        reason = "holds text of variable length; write bytes, labels.astype('S')"
        with open_h5(self.paths[0]) as file:
            folders = {key.rpartition("/")[0] for key in self.keys}
            return {
                name: reason
                for folder in sorted(folders)
                for name in _columns_of(file[folder] if folder else file, "O")
            }

    def shards(self) -> tuple[Shard, ...]:
        """Whole chunks of each file."""
        return h5_shards(self.paths, self._due(), self.layout())

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows of one shard, as they are in the file."""
        for columns in read_h5_shard(shard, self._due()):
            columns_read: dict[str, np.ndarray] = {}
            for key, values in columns.items():
                if values.dtype.names is None:
                    columns_read[_name(key)] = values
                else:
                    columns_read |= {field: values[field] for field in values.dtype.names}
            yield columns_read

    def _due(self) -> tuple[RowsDue, ...]:
        return tuple(RowsDue(key, None) for key in self.keys)


def keys_of(path: str, choice: str) -> tuple[str, ...]:
    """The data sets that a choice names: a data set, a group, or several with commas; without one,
    those of the only place that holds any."""
    with open_h5(path) as file:
        if choice:
            keys = [
                key for part in choice.split(",") for key in _dataset_names(file, part.strip(" /"))
            ]
        else:
            keys = _only(file)
    return tuple(dict.fromkeys(keys))


def _dataset_names(file: h5py.File, key: str) -> list[str]:
    place = file if not key else _group(file, key)
    if place is None:
        return [key]
    keys = [f"{key}/{name}".lstrip("/") for name in _datasets(place)]
    if not keys:
        raise DataFileError(file.filename, key, "is a group without data sets")
    return keys


def _group(file: h5py.File, key: str) -> h5py.Group | None:
    """A group of this very file; None where the key is something else in it."""
    place = file
    for part in key.split("/"):
        if not isinstance(place, h5py.Group):
            raise DataFileError(file.filename, key, "lies beyond a data set")
        link = place.get(part, getlink=True)
        if link is None:
            raise missing_key(file.filename, key, _everything(file))
        if not isinstance(link, h5py.HardLink):
            problem = "is a link to another place; only data in the file is read"
            raise DataFileError(file.filename, key, problem)
        place = place[part]
    return place if isinstance(place, h5py.Group) else None


def _only(file: h5py.File) -> list[str]:
    """The data sets at the top; else those of the only group that holds any."""
    here = _datasets(file)
    if here:
        return here
    groups: dict[str, list[str]] = {}
    for key in _everything(file):
        folder, _, _ = key.rpartition("/")
        groups.setdefault(folder, []).append(key)
    if not groups:
        raise DataFileError(file.filename, "", "the file holds no data sets of numbers")
    if len(groups) > 1:
        listed = ", ".join(sorted(groups)[:5])
        problem = f"holds data sets in several groups ({listed})"
        hint = f"Name one: {file.filename}:{sorted(groups)[0]}."
        raise DataFileError(file.filename, "", problem, hint=hint)
    return next(iter(groups.values()))


def _datasets(place: h5py.Group) -> list[str]:
    """Names of the data sets of numbers and words that hang directly in a group."""
    return _columns_of(place, KINDS)


def _columns_of(place: h5py.Group, kinds: str) -> list[str]:
    names = []
    for name in place:
        if isinstance(place.get(name, getlink=True), h5py.HardLink):
            item = place[name]
            if isinstance(item, h5py.Dataset) and item.ndim and item.dtype.kind in kinds:
                names.append(name)
    return names


def _stored_classes(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of the classes that `convert` has written beside their numbers."""
    try:
        names = np.asarray(dataset.attrs.get(CLASSES, ()))
    except (OSError, RuntimeError, TypeError, ValueError):
        return ()
    if dataset.ndim != 1 or names.ndim != 1 or len(names) > MOST_CLASSES:
        return ()
    words = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in names]
    return tuple(word[:LONGEST_NAME] for word in words if isinstance(word, str))


def _everything(file: h5py.File) -> list[str]:
    """Every data set that is read, in groups too, each visited once, whatever links to it."""
    names: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim and item.dtype.kind in KINDS:
            names.append(name)

    file.visititems(visit)
    return names


def _name(key: str) -> str:
    return key.rpartition("/")[2]
