# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Interval arithmetic on raw integers: what a sum or a product can be at most, proved.

An interval holds two integer arrays that broadcast against the tensor they bound, so a bound may be
given once for all elements, once per channel, or for each element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from quantization.fixed import (
    MAX_BITS,
    Fixed,
    FormatError,
    Ints,
    Overflow,
    Quantizer,
    fixed_of_range,
    requantize,
)

CACHED_BYTES = 1 << 18  # that stay in a core's own cache beside other things
LIMIT = 1 << 62  # bounds stay below this, so that one more addition cannot wrap an int64


class RangeError(FormatError):
    """A range that no 63-bit integer holds."""


@dataclass(frozen=True, slots=True)
class Interval:
    """low <= value <= high, element by element."""

    low: Ints
    high: Ints

    def __post_init__(self) -> None:
        if (self.low > self.high).any():
            raise RangeError("An interval's low end lies above its high end.")

    @property
    def bottom(self) -> int:
        """Smallest value of any element."""
        return int(self.low.min())

    @property
    def top(self) -> int:
        """Largest value of any element."""
        return int(self.high.max())

    @property
    def magnitude(self) -> Ints:
        """Largest absolute value, element by element."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def type(self, frac: int) -> Fixed:
        """The narrowest type that holds every element."""
        return fixed_of_range(self.bottom, self.top, frac)


def of_type(type_: Fixed) -> Interval:
    """Everything the type can hold."""
    return Interval(np.asarray(type_.raw_min), np.asarray(type_.raw_max))


def of_values(raw: Ints) -> Interval:
    """Known integers: each is its own bound."""
    return Interval(raw, raw)


def is_within(dtype: np.dtype[Any], type_: Fixed) -> bool:
    """Whether a type holds all integers that a NumPy type has."""
    if dtype.kind == "f":
        return False
    limits = np.iinfo(dtype)
    return type_.raw_min <= limits.min and int(limits.max) <= type_.raw_max


def find_outlier(raw: NDArray[Any], type_: Fixed, into: NDArray[Any] | None = None) -> int | None:
    """The raw integer farthest below a type, or else above it; None if it holds all. `into`: where
    they are copied on the way.

    Some are read at a time, as many as stay in the caches: to look at them and to copy them then
    costs one way through the memory. They are looked at where they lie at even addresses: NumPy may
    be ten times slower elsewhere. Nothing is looked at where no integer can lie beyond the type.
    """
    if is_within(raw.dtype, type_):
        if into is not None:
            into[...] = raw
        return None
    low = high = 0
    flat = raw.reshape(-1)
    copies = None if into is None else into.reshape(-1)
    count = CACHED_BYTES // flat.itemsize
    for at in range(0, flat.size, count):
        some = np.require(flat[at : at + count], requirements="A")
        low, high = min(low, int(some.min())), max(high, int(some.max()))
        if copies is not None:
            np.copyto(copies[at : at + count], some, casting="unsafe")
    if low < type_.raw_min:
        return low
    return high if high > type_.raw_max else None


def describe_outlier(what: str, outlier: int, type_: Fixed) -> str:
    """What is said of it."""
    return (
        f"{what} holds the raw integer {outlier}; its type {type_} holds "
        f"{type_.raw_min}..{type_.raw_max}."
    )


def shrink_array(values: NDArray[Any]) -> NDArray[Any]:
    """The smallest array that broadcasts to the same numbers."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        if values.shape[axis] > 1 and (values == first).all():
            values = first
    while values.ndim and values.shape[0] == 1:
        values = values[0]
    return values


def check_bounds(magnitude: float, what: str) -> None:
    """Refuse a bound that an int64 could not hold."""
    if not magnitude < LIMIT:
        bits = int(np.floor(np.log2(magnitude))) + 2  # a number as large, and its sign
        raise RangeError(f"{what} may need {bits} bits; at most 63 are held.")


def shift_range(x: Interval, shift: int) -> Interval:
    """x times 2^shift, shift >= 0."""
    top = int(x.magnitude.max())
    if top << shift >= LIMIT:
        raise RangeError(
            f"A widened value may need {top.bit_length() + shift + 1} bits; at most 63 are held."
        )
    bounded = min(shift, MAX_BITS)  # beyond, only zero is left
    return Interval(x.low << bounded, x.high << bounded)


def add_ranges(a: Interval, b: Interval) -> Interval:
    """a + b."""
    check_bounds(float(a.magnitude.max()) + float(b.magnitude.max()), "A sum")
    return Interval(a.low + b.low, a.high + b.high)


def negate_range(x: Interval) -> Interval:
    """-x."""
    return Interval(-x.high, -x.low)


def multiply_ranges(a: Interval, b: Interval) -> Interval:
    """a x b."""
    check_bounds(float(a.magnitude.max()) * float(b.magnitude.max()), "A product")
    corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    return Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))


def hull(a: Interval, b: Interval) -> Interval:
    """What a or b may be, whichever element: one interval for all."""
    low, high = min(a.bottom, b.bottom), max(a.top, b.top)
    return Interval(np.asarray(low), np.asarray(high))


def larger(a: Interval, b: Interval) -> Interval:
    """The larger of a and b."""
    return Interval(np.maximum(a.low, b.low), np.maximum(a.high, b.high))


def smaller(a: Interval, b: Interval) -> Interval:
    """The smaller of a and b."""
    return Interval(np.minimum(a.low, b.low), np.minimum(a.high, b.high))


def requantize_range(x: Interval, frac: int, quantizer: Quantizer) -> Interval:
    """Bounds after a requantisation. Every mode is monotone as long as nothing overflows to the
    other side; where something may, the whole type is the bound."""
    saturating = Quantizer(quantizer.type, quantizer.rounding)
    low, high = requantize(x.low, frac, quantizer), requantize(x.high, frac, quantizer)
    free = Quantizer(Fixed(True, 63, 63 - quantizer.type.frac), quantizer.rounding)
    inside = np.array_equal(low, requantize(x.low, frac, free)) and np.array_equal(
        high, requantize(x.high, frac, free)
    )
    if inside:
        return Interval(low, high)
    match quantizer.overflow:
        case Overflow.SAT | Overflow.SAT_SYM:
            return Interval(low, high)
        case Overflow.SAT_ZERO:
            low = np.minimum(requantize(x.low, frac, saturating), 0)
            return Interval(low, np.maximum(requantize(x.high, frac, saturating), 0))
        case Overflow.WRAP:
            return of_type(quantizer.type)
        case _:
            assert_never(quantizer.overflow)


def linear(x: Interval, weights: Ints) -> Interval:
    """Bounds of x @ weights, weights (inputs, outputs), x broadcastable to (..., inputs)."""
    inputs = weights.shape[0]
    low = np.broadcast_to(x.low, (*x.low.shape[:-1], inputs) if x.low.ndim else (inputs,))
    high = np.broadcast_to(x.high, (*x.high.shape[:-1], inputs) if x.high.ndim else (inputs,))
    wide = weights.astype(np.float64)
    reach = np.maximum(np.abs(low), np.abs(high)).astype(np.float64) @ np.abs(wide)
    check_bounds(float(reach.max(initial=0.0)), "An accumulator")
    if 4.0 * float(reach.max(initial=0.0)) < 2.0**53:  # float64 sums of such integers are exact
        centre, width = (low + high).astype(np.float64) @ wide, (high - low) @ np.abs(wide)
        return Interval(
            ((centre - width) / 2).astype(np.int64), ((centre + width) / 2).astype(np.int64)
        )
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    return Interval(
        low @ positive + high @ negative,
        high @ positive + low @ negative,
    )
