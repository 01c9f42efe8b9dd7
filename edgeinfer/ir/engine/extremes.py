# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Maxima, minima and sums in ONNX that are right in int64 too.

ONNX Runtime's own Min, Max, Clip, Sign and reductions of int64 are wrong on x86 for some numbers
that need more than 32 bits (its Eigen compares the halves of a number as signed); comparisons,
sums, products and bit operations are right, so the rest is made from those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.values import CarriedTensor, Carrier


def larger(builder: OnnxBuilder, a: str, b: str, carrier: Carrier) -> str:
    """The larger of two tensors, element by element."""
    if carrier.floating:
        return builder.node("Max", a, b)
    return builder.node("Where", builder.node("Greater", a, b), a, b)


def smaller(builder: OnnxBuilder, a: str, b: str, carrier: Carrier) -> str:
    """The smaller of two tensors, element by element."""
    if carrier.floating:
        return builder.node("Min", a, b)
    return builder.node("Where", builder.node("Less", a, b), a, b)


def clip(
    builder: OnnxBuilder, x: CarriedTensor, low: int | None, high: int | None
) -> CarriedTensor:
    """x between two raw integers, low <= high; None leaves a side open."""
    if low is None and high is None:
        return x
    dtype, tensor = x.carrier.dtype, x.tensor
    if x.carrier.floating:
        ends = [
            "" if end is None else builder.constant(np.ldexp(float(end), -x.exponent), dtype)
            for end in (low, high)
        ]
        return replace(x, tensor=builder.node("Clip", tensor, *(ends if ends[1] else ends[:1])))
    if low is not None:
        tensor = larger(builder, tensor, builder.constant(low, dtype), x.carrier)
    if high is not None:
        tensor = smaller(builder, tensor, builder.constant(high, dtype), x.carrier)
    return replace(x, tensor=tensor)


def largest_along(builder: OnnxBuilder, x: CarriedTensor, axis: int, size: int) -> str:
    """The maximum along an axis of the tensor (counted with the batch), which stays, of size 1."""
    if x.carrier.floating:
        return builder.node("ReduceMax", x.tensor, builder.constant([axis], np.int64), keepdims=1)
    return _halve(builder, x.tensor, axis, size, lambda a, b: larger(builder, a, b, x.carrier))


def sum_along(builder: OnnxBuilder, x: CarriedTensor, axis: int, size: int) -> str:
    """The sum along an axis of the tensor (counted with the batch), which stays, of size 1."""
    if x.carrier.floating:
        return builder.node("ReduceSum", x.tensor, builder.constant([axis], np.int64), keepdims=1)
    return _halve(builder, x.tensor, axis, size, lambda a, b: builder.node("Add", a, b))


def _halve(
    builder: OnnxBuilder, tensor: str, axis: int, size: int, combine: Callable[[str, str], str]
) -> str:
    """The first half combined with the second, again and again."""

    def cut(start: int, stop: int) -> str:
        ends = ([start], [stop], [axis])
        return builder.node("Slice", tensor, *(builder.constant(end, np.int64) for end in ends))

    while size > 1:
        half = size // 2
        folded = combine(cut(0, half), cut(half, 2 * half))
        if size % 2:
            folded = builder.node("Concat", folded, cut(2 * half, size), axis=axis)
        tensor, size = folded, size - half
    return tensor
