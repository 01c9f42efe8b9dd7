# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HDF5 files opened with suspicion: no way out of the file, no size that it cannot hold."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ModelError
from edgeinfer.readers.hdf5_attributes import DamagedAttributeError, Raw, check_attributes

MAX_TOTAL_BYTES = 2 << 30
MAX_RATIO = 1100  # deflate cannot do better
MAX_DEPTH = 64
MAX_OBJECTS = 200_000
MAX_ATTRIBUTE_BYTES = 64 << 20
_KNOWN_FILTERS = {
    1,
    2,
    3,
    4,
    5,
    6,
    32000,
}  # those that come with HDF5 and h5py; no plugin is loaded

Group = h5py.Group


@contextmanager
def open_file(source: str, content: Path | bytes) -> Iterator[h5py.File]:
    """Open a file or bytes in memory; problems of HDF5 become a ModelError naming the source."""
    try:
        handle = io.BytesIO(content) if isinstance(content, bytes) else content
        with h5py.File(handle, "r") as file, _raw(content) as raw:
            _inspect(source, file, raw)
            yield file
    except DamagedAttributeError as reason:
        raise ModelError(
            f"{source} is a damaged HDF5 file: {reason}.",
            hint="Save or copy the model again.",
        ) from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{source} is not an HDF5 file that can be read: {str(error).splitlines()[0]}.",
            hint="It is cut short or damaged; save or copy the model again.",
        ) from None


@contextmanager
def _raw(content: Path | bytes) -> Iterator[Raw]:
    """The file's bytes."""
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        yield raw


def _inspect(source: str, file: h5py.File, raw: Raw) -> None:
    """Walk the whole file once and refuse what no Keras file has."""
    total, size = 0, len(raw)
    addresses: set[int] = set()
    check_attributes(raw, h5py.h5o.get_info(file.id).addr)
    todo: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while todo:
        path, group, depth = todo.pop()
        if depth > MAX_DEPTH or len(addresses) > MAX_OBJECTS:
            raise _refusal(source, path or "/", "is nested or split beyond reason")
        for name in group:
            link = group.get(name, getlink=True)
            here = f"{path}/{name}"
            if not isinstance(link, h5py.HardLink):
                raise _refusal(source, here, "is a link to somewhere else")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in addresses:
                raise _refusal(source, here, "is a second name of something else in the file")
            addresses.add(address)
            check_attributes(raw, address)
            if isinstance(item, h5py.Group):
                todo.append((here, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                total += _inspected_bytes(source, here, item, size)
                if total > MAX_TOTAL_BYTES:
                    raise _refusal(
                        source, here, f"takes the weights beyond {MAX_TOTAL_BYTES:,} bytes"
                    )


def _inspected_bytes(source: str, here: str, item: h5py.Dataset, file_size: int) -> int:
    """The bytes a dataset takes in memory, once they are found to be in the file."""
    if item.shape is None or item.dtype.hasobject:
        return 0  # strings and empty datasets are never read
    properties = item.id.get_create_plist()
    if item.is_virtual or properties.get_external_count():
        raise _refusal(source, here, "keeps its values outside this file")
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if filters - _KNOWN_FILTERS:
        raise _refusal(source, here, "is compressed by a plugin")
    needed = int(np.prod(item.shape, dtype=object)) * int(item.dtype.itemsize)
    stored = int(item.id.get_storage_size())
    offset = int(item.id.get_offset() or 0)
    unpacked = stored * (MAX_RATIO if filters else 1)
    if needed > MAX_TOTAL_BYTES or stored > file_size or offset + stored > file_size:
        raise _refusal(source, here, f"claims {needed:,} bytes in a file of {file_size:,}")
    if needed > unpacked:
        raise _refusal(source, here, f"claims {needed:,} bytes but stores {stored:,}")
    return needed


def _refusal(source: str, here: str, why: str) -> ModelError:
    return ModelError(
        f"{source}: {here} {why}.",
        hint="Keras writes no such file: it is damaged or hostile. Save the model again.",
    )


def text_attribute(group: h5py.Group, name: str) -> str | None:
    """A string attribute, or None."""
    if name not in group.attrs:
        return None
    if group.attrs.get_id(name).get_storage_size() > MAX_ATTRIBUTE_BYTES:
        return None
    value = group.attrs[name]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def names_attribute(group: h5py.Group, name: str) -> list[str] | None:
    """A list of names; long ones are split over `name0`, `name1`, ... as Keras does."""
    if name in group.attrs:
        return _strings(group.attrs[name])
    names: list[str] = []
    part = 0
    while f"{name}{part}" in group.attrs:
        names += _strings(group.attrs[f"{name}{part}"])
        part += 1
    return names if part else None


def _strings(value: object) -> list[str]:
    return [
        v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in np.ravel(np.asarray(value))
    ]


def values(source: str, what: str, dataset: h5py.Dataset) -> NDArray[np.float32]:
    """A weight as float32 (float64 files keep their precision); NaN and infinity are refused."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiub":
        raise ModelError(
            f"{source}: the weight {what} holds no numbers.", hint="Save the model again."
        )
    if dataset.dtype.kind != "f":
        raise ModelError(
            f"{source}: the weight {what} is stored as {dataset.dtype}, not as floats: integers "
            f"mean nothing without a scale.",
            hint="Save the float model, and choose formats with edgeinfer quantize.",
        )
    array = np.asarray(dataset[()])
    array = array if array.dtype == np.float64 else array.astype(np.float32)
    if not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ModelError(
            f"{source}: the weight {what} has {bad} values that are NaN or infinite.",
            hint="The training diverged; train again with a smaller learning rate.",
        )
    return array
