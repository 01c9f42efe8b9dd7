# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Headers of .npy files, read without trust: no pickles, and no more rows than the file holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy_format

from edgeinfer.data.formats.guard import DataFileError, file_bytes

_MAX_HEADER_BYTES = 400_000
"""Room for a record of some 10,000 named fields, far below what a hostile literal needs to hurt."""

_UNREADABLE = (
    ValueError,
    TypeError,
    SyntaxError,
    TokenError,
    RecursionError,
    MemoryError,
    EOFError,
)
"""What NumPy's parser of header literals lets through when the literal is hostile."""


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What an .npy file holds, and where its data begins."""

    path: str
    dtype: np.dtype
    shape: tuple[int, ...]
    data_offset: int


def read_npy_header(path: str | Path) -> NpyHeader:
    """Read and check a header: C order, no objects, and exactly as many bytes as it claims."""
    size = file_bytes(path)
    with Path(path).open("rb") as file:
        try:
            version = npy_format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise DataFileError(path, "", f"npy format version {version} is not supported")
            read = (
                npy_format.read_array_header_1_0
                if version == (1, 0)
                else npy_format.read_array_header_2_0
            )
            shape, fortran_order, dtype = read(file, max_header_size=_MAX_HEADER_BYTES)
        except _UNREADABLE as error:
            reason = str(error).partition("\n")[0].partition(" on line")[0][:160]
            problem = f"not a readable npy header ({reason})"
            raise DataFileError(path, "", problem, hint="Write it with numpy.save.") from None
        offset = file.tell()
    if dtype.hasobject:
        hint = "Unpickling runs code; save plain numbers instead."
        raise DataFileError(path, "", "holds Python objects (a pickle)", hint=hint)
    if fortran_order and len(shape) > 1:
        hint = "Save numpy.ascontiguousarray(x)."
        raise DataFileError(path, "", "is in Fortran order", hint=hint)
    if any(length < 0 for length in shape):
        raise DataFileError(path, "", f"claims the shape {shape}")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != size - offset:
        relation = "truncated" if claimed > size - offset else "longer than its header says"
        problem = f"the header claims {claimed} bytes and {size - offset} follow: it is {relation}"
        raise DataFileError(path, "", problem, hint="Copy or write the file again.")
    return NpyHeader(str(path), dtype, tuple(shape), offset)


def map_rows(header: NpyHeader, first: int, rows: int) -> np.ndarray:
    """Rows [first, first + rows) as a read-only memory map of just those bytes."""
    row_bytes = math.prod(header.shape[1:]) * header.dtype.itemsize
    return np.memmap(
        header.path,
        dtype=header.dtype,
        mode="r",
        offset=header.data_offset + first * row_bytes,
        shape=(rows, *header.shape[1:]),
    )
