# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How the engine holds a Program's integers in ONNX tensors: element type, layout, power of two.

A tensor may lie channels first, under the shape it had before a reshape, and multiplied by a power
of two; all of it is undone only where an op needs it so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.ops import Shape
from quantization.fixed import MAX_BITS

FLOAT32_INTEGERS = 1 << 24  # up to here every integer is a float32
FLOAT64_INTEGERS = 1 << 53
LARGEST_EXPONENT = 48  # of powers of two left in a tensor: far from what float32 can hold
BEYOND = MAX_BITS + LARGEST_EXPONENT  # a number raised so far is proved to be zero


class Carrier(StrEnum):
    """The element type that carries integers."""

    UINT8 = "uint8"
    INT8 = "int8"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT64 = "int64"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The same as NumPy names it."""
        return np.dtype(self.value)

    @property
    def floating(self) -> bool:
        """Whether powers of two can be left in the tensor."""
        return self in (Carrier.FLOAT32, Carrier.FLOAT64)


@dataclass(frozen=True, slots=True)
class CarriedTensor:
    """A value of the Program in a tensor: raw = tensor x 2^exponent.

    `layout` is the shape, channels last and without the batch, under which the tensor is kept; the
    value's own shape is a row-major reshape of it. `first`: the tensor lies channels first.
    """

    tensor: str
    carrier: Carrier
    layout: Shape
    first: bool = False
    exponent: int = 0


def shape_in_tensor(shape: Shape, first: bool) -> Shape:
    """The tensor's shape without the batch."""
    return (shape[-1], *shape[:-1]) if first else shape


def axis_in(shape: Shape, first: bool, axis: int) -> int:
    """Where an axis (counted without the batch) lies in the tensor (counted with it)."""
    if not first:
        return axis + 1
    return 1 if axis == len(shape) - 1 else axis + 2


def lay_out(builder: OnnxBuilder, value: CarriedTensor, shape: Shape, first: bool) -> CarriedTensor:
    """The value under its own shape, channels first or last."""
    if value.layout != shape:
        last = _turn(builder, value, False)
        tensor = builder.reshape(last.tensor, shape)
        value = replace(last, tensor=tensor, layout=shape)
    return _turn(builder, value, first)


def _turn(builder: OnnxBuilder, value: CarriedTensor, first: bool) -> CarriedTensor:
    if value.first == first:
        return value
    shape, rank = value.layout, len(value.layout)
    if shape[-1] == 1 or math.prod(shape[:-1]) == 1:
        tensor = builder.reshape(value.tensor, shape_in_tensor(shape, first))
    else:
        order = [0, rank, *range(1, rank)] if first else [0, *range(2, rank + 1), 1]
        tensor = builder.node("Transpose", value.tensor, perm=order)
    return replace(value, tensor=tensor, first=first)


def rescale(builder: OnnxBuilder, value: CarriedTensor, exponent: int) -> CarriedTensor:
    """The same integers with another power of two left in the tensor."""
    if value.exponent == exponent:
        return value
    raised = value.exponent - exponent
    factor = number_beside(builder, 0.0 if raised > BEYOND else 2.0**raised, value)
    tensor = builder.node("Mul", value.tensor, factor)
    return replace(value, tensor=tensor, exponent=exponent)


def cast_to(builder: OnnxBuilder, value: CarriedTensor, carrier: Carrier) -> CarriedTensor:
    """The same integers in another element type."""
    if value.carrier is carrier:
        return value
    if not carrier.floating:
        value = rescale(builder, value, 0)
    return replace(value, tensor=builder.cast(value.tensor, carrier.dtype), carrier=carrier)


def number_beside(builder: OnnxBuilder, number: float, x: CarriedTensor) -> str:
    """One number as a constant with as many axes as a tensor has: measured, where that ends in a
    single channel, ONNX Runtime is 80 times slower with a number that has no axes."""
    return builder.constant(np.full((1,) * (1 + len(x.layout)), number), x.carrier.dtype)


def parameter(
    builder: OnnxBuilder,
    raw: NDArray[Any],
    like: CarriedTensor,
    *,
    shift: int = 0,
) -> str:
    """raw x 2^shift as a constant that broadcasts against a tensor, laid out like it."""
    rank = len(like.layout)
    array = integers_in(raw, shift, like.carrier)
    array = array.reshape((1,) * (1 + rank - array.ndim) + array.shape)
    if like.first:
        array = np.moveaxis(array, -1, 1)
    return builder.constant(array)


def integers_in(raw: NDArray[Any], shift: int, carrier: Carrier) -> NDArray[Any]:
    """raw x 2^shift in a carrier's element type."""
    if shift > BEYOND:
        return np.zeros(raw.shape, carrier.dtype)
    if carrier.floating:
        return np.ldexp(raw.astype(np.float64), shift).astype(carrier.dtype)
    whole = raw.astype(np.int64)
    if shift >= 64:  # only where the product is proved to be zero
        return np.zeros_like(whole)
    return (whole << shift).astype(carrier.dtype)
