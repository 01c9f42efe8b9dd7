# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tensors as they travel: little-endian bytes or lists of numbers with a datatype and a shape.

FP32 is a real number, which is rounded as the Program's recipe says. Every integer type is raw: it
is the Program's own integer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.serve.faults import invalid
from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding, quantize
from quantization.ranges import describe_outlier, find_outlier

REAL = "FP32"
DATATYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        REAL: np.dtype("<f4"),
        "INT8": np.dtype("<i1"),
        "UINT8": np.dtype("<u1"),
        "INT16": np.dtype("<i2"),
        "UINT16": np.dtype("<u2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
    }
)
INPUT_DATATYPES = tuple(name for name in DATATYPES if name != "INT64")
OUTPUT_DATATYPES = (REAL, "INT8", "INT16", "INT32", "INT64")
MOST_AXES = 32  # of what NumPy can shape
FLOAT32_BITS = 24  # integers of so many bits, and their halves, are float32 numbers
SMALLEST_NORMAL = -126  # exponents of float32
LARGEST_NORMAL = 127


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A tensor of a request or an answer under its name outside."""

    name: str
    datatype: str
    values: NDArray[Any]


def tensor_of_bytes(
    name: str, datatype: str, shape: Sequence[int], content: bytes | memoryview
) -> WireTensor:
    """A tensor from its little-endian bytes, not copied."""
    dtype = _dtype_of(name, datatype)
    count = _count(name, shape)
    if len(content) != count * dtype.itemsize:
        raise invalid(
            f"The input {name!r} has {len(content)} bytes; {datatype} of the shape "
            f"{list(shape)} takes {count * dtype.itemsize}."
        )
    return WireTensor(name, datatype, np.frombuffer(content, dtype).reshape(tuple(shape)))


def tensor_of_numbers(name: str, datatype: str, shape: Sequence[int], numbers: Any) -> WireTensor:
    """A tensor from numbers in a list, flat or nested."""
    dtype = _dtype_of(name, datatype)
    count = _count(name, shape)
    try:
        array = np.asarray(numbers)
    except ValueError:
        raise invalid(f"The data of the input {name!r} are no array of numbers.") from None
    if array.size != count:
        raise invalid(
            f"The input {name!r} has {array.size} numbers; the shape {list(shape)} takes {count}."
        )
    kinds = "iuf" if dtype.kind == "f" else "iu"
    if array.dtype.kind not in kinds and array.size:
        raise invalid(f"The data of the input {name!r} are not {datatype} numbers.")
    if dtype.kind != "f" and array.size:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise invalid(f"The data of the input {name!r} lie beyond {datatype}.")
    with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite, and is refused
        return WireTensor(name, datatype, array.astype(dtype).reshape(tuple(shape)))


def bytes_of(tensor: WireTensor) -> bytes:
    """The tensor's little-endian bytes."""
    return tensor.values.astype(DATATYPES[tensor.datatype], copy=False).tobytes()


def _dtype_of(name: str, datatype: str) -> np.dtype[Any]:
    if datatype not in INPUT_DATATYPES:
        raise invalid(
            f"The input {name!r} is sent as {datatype or 'no datatype'}; it may be "
            f"{REAL} (real numbers) or {', '.join(INPUT_DATATYPES[1:])} (raw integers)."
        )
    return DATATYPES[datatype]


def _count(name: str, shape: Sequence[int]) -> int:
    if len(shape) > MOST_AXES or any(size < 0 for size in shape):
        raise invalid(f"The input {name!r} has a shape that no tensor has: {list(shape)[:8]}.")
    return math.prod(shape)


def narrowest_datatype(type_: Fixed) -> str:
    """The narrowest datatype of raw outputs that holds a type."""
    for datatype in OUTPUT_DATATYPES[1:]:
        limits = np.iinfo(DATATYPES[datatype])
        if limits.min <= type_.raw_min and type_.raw_max <= limits.max:
            return datatype
    return OUTPUT_DATATYPES[-1]


@functools.cache
def raw_dtype(type_: Fixed) -> np.dtype[Any]:
    """The narrowest NumPy type of a type's raw integers, as the engine is given them."""
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= type_.raw_min and type_.raw_max <= limits.max:
            return np.dtype(dtype)
    return np.dtype(np.int64)


def raw_values(tensor: WireTensor, quantizer: Quantizer, into: NDArray[Any]) -> None:
    """The Program's integers of a tensor, put into an array of `raw_dtype`."""
    type_, values = quantizer.type, tensor.values
    if tensor.datatype != REAL:
        outlier = find_outlier(values, type_, into)
        if outlier is not None:
            raise invalid(describe_outlier(f"The input {tensor.name!r}", outlier, type_))
    elif _is_plain(quantizer):
        _round_quickly(tensor, type_, into)
    else:
        try:
            into[...] = quantize(values, quantizer)
        except FormatError:
            raise _not_finite(tensor) from None


def _is_plain(quantizer: Quantizer) -> bool:
    """Whether float32 arithmetic rounds exactly as `quantize` does: the factor is a power of two,
    ties go to even, and the ends of the range are float32 numbers. A product that is too small for
    float32 is far below a half and one that is too large is infinite, so both come out right."""
    type_ = quantizer.type
    return (
        quantizer.rounding is Rounding.RND_CONV
        and quantizer.overflow is Overflow.SAT
        and type_.bits <= FLOAT32_BITS
        and SMALLEST_NORMAL <= type_.frac <= LARGEST_NORMAL
    )


def _round_quickly(tensor: WireTensor, type_: Fixed, into: NDArray[Any]) -> None:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = np.multiply(tensor.values, np.float32(type_.lsb**-1))
        low, high = scaled.min(), scaled.max()  # NaN where any value is
        largest = max(abs(low), abs(high))
        if not np.isfinite(largest) and not np.isfinite(tensor.values).all():
            raise _not_finite(tensor)
        np.rint(scaled, out=scaled)
        np.clip(scaled, np.float32(type_.raw_min), np.float32(type_.raw_max), out=scaled)
    np.copyto(into, scaled, casting="unsafe")  # whole numbers within the type


def _not_finite(tensor: WireTensor) -> Exception:
    return invalid(f"The input {tensor.name!r} holds NaN or infinity, which no integer stands for.")
