# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What to do with a file that is not what it should be: name it, and the key in it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edgeinfer.base.errors import InputError, did_you_mean

MAX_BLOCK_BYTES = 512 * 1024 * 1024
"""No single array of a data file may claim more than this, whatever the size of the file."""


PREDICATES = frozenset(["is", "holds", "has", "fits", "claims", "stores", "covers", "cannot"])
"""Words with which a problem begins that says something of the file, or of the key in it."""


class DataFileError(InputError):
    """A data file that breaks its format: the file, the key inside it, and what is wrong."""

    def __init__(self, path: str | Path, key: str, problem: str, *, hint: str = "") -> None:
        self.path = str(path)
        self.key = key
        self.problem = problem
        where = f"{self.path}: {key!r}" if key else self.path
        joint = " " if problem.partition(" ")[0] in PREDICATES else ": "
        super().__init__(f"{where}{joint}{problem}.", hint=hint)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _rebuild_error, (self.path, self.key, self.problem, self.hint)


def _rebuild_error(path: str, key: str, problem: str, hint: str) -> DataFileError:
    return DataFileError(path, key, problem, hint=hint)


def missing_key(path: str | Path, key: str, keys: Iterable[str]) -> DataFileError:
    """The error for a key that is not in the file, naming the nearest that are."""
    names = sorted(keys)
    if not names:
        hint = "The file holds nothing at that level."
    else:
        listed = ", ".join(repr(name) for name in names[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        hint = f"{did_you_mean(key, names)} It holds {listed}{more}.".strip()
    return DataFileError(path, key, "not found in the file", hint=hint)


def file_bytes(path: str | Path) -> int:
    """Size of a data file; one that is absent, empty or no regular file is refused."""
    file = Path(path)
    if not file.exists():
        near = did_you_mean(file.name, _siblings(file))
        raise DataFileError(path, "", "no such file", hint=near)
    if not file.is_file():
        raise DataFileError(path, "", "not a regular file")
    size = file.stat().st_size
    if size == 0:
        raise DataFileError(path, "", "the file is empty", hint="Copy it again, or leave it out.")
    return size


def _siblings(file: Path) -> list[str]:
    if not file.parent.is_dir():
        return []
    return [other.name for _, other in zip(range(10_000), file.parent.iterdir(), strict=False)]


def check_finite(array: np.ndarray, path: str | Path, key: str, *, first_row: int = 0) -> None:
    """Refuse NaN and infinities, naming the first row that holds one."""
    for name in array.dtype.names or ():
        check_finite(array[name], path, f"{key}: {name}", first_row=first_row)
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)[0]
        where = f"row {first_row + int(bad[0])}" if array.ndim else "the value"
        raise DataFileError(path, key, f"{where} holds NaN or infinity")


def inflate(data: bytes, expected_bytes: int, path: str | Path, key: str, wbits: int = 15) -> bytes:
    """Decompress a zlib stream that must hold exactly `expected_bytes`, in no more memory."""
    worker = zlib.decompressobj(wbits)
    try:
        out = worker.decompress(data, expected_bytes + 1)
    except zlib.error as error:
        raise DataFileError(path, key, f"the compressed data is damaged ({error})") from None
    if len(out) > expected_bytes:
        raise DataFileError(
            path, key, f"decompresses to more than the {expected_bytes} bytes expected"
        )
    if len(out) < expected_bytes or not worker.eof:
        problem = f"the compressed data ends early: {len(out)} of {expected_bytes} bytes"
        raise DataFileError(path, key, problem, hint="The file is truncated; copy it again.")
    return out
