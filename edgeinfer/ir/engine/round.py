# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Requantisation in ONNX: every rounding and overflow mode, exact in floats and in int64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import numpy as np

from edgeinfer.ir.engine.extremes import clip
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.rewrite import Limits, clip_number
from edgeinfer.ir.engine.values import (
    FLOAT64_INTEGERS,
    LARGEST_EXPONENT,
    CarriedTensor,
    Carrier,
    number_beside,
    rescale,
)
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, shift_right
from quantization.ranges import Interval

_HALVES = (Rounding.RND, Rounding.RND_ZERO, Rounding.RND_INF, Rounding.RND_MIN_INF)


def largest_in_requant(x: Interval, frac: int, quantizer: Quantizer) -> int:
    """Largest integer that floats must hold exactly to requantise x, counted in the finest unit
    that occurs; beyond what any float holds where only int64 will do."""
    largest = max(abs(x.bottom), abs(x.top))
    shift = frac - quantizer.type.frac
    if abs(shift) > LARGEST_EXPONENT:
        return max(largest, FLOAT64_INTEGERS << 1)
    if shift > 0 and quantizer.rounding in _HALVES:
        largest += 1 << (shift - 1)
    y = _rounded_range(x, shift, quantizer.rounding)
    if quantizer.overflow is Overflow.WRAP and not _inside(y, quantizer.type):
        largest = max(
            largest, (max(abs(y[0]), abs(y[1])) + (1 << quantizer.type.bits)) << max(shift, 0)
        )
    return largest


def rounded_to_bytes(
    builder: OnnxBuilder,
    x: CarriedTensor,
    frac: int,
    range_: Interval,
    quantizer: Quantizer,
    limits: Limits,
    byte: Carrier,
) -> CarriedTensor:
    """The same as `requantize_tensor` where x is float32, loses bits, is rounded half to even and
    saturated, and the result fits a byte: ONNX does it in one step."""
    shift = frac - quantizer.type.frac
    on_grid = rescale(builder, replace(x, exponent=x.exponent - shift), 0)
    low, high = _rounded_range(range_, shift, quantizer.rounding)
    ends = np.iinfo(byte.dtype)  # there the step itself saturates
    ends_reached = max(low, int(ends.min)), min(high, int(ends.max))
    kept = clip(builder, on_grid, *narrow_limits(_saturation(quantizer, limits), ends_reached))
    one, zero = builder.constant(1.0, np.float32), builder.constant(0, byte.dtype)
    tensor = builder.node("QuantizeLinear", kept.tensor, one, zero)
    return replace(kept, tensor=tensor, carrier=byte)


def _rounded_range(x: Interval, shift: int, rounding: Rounding) -> tuple[int, int]:
    """The range of x on the new grid, before anything overflows."""
    if shift <= 0:
        return x.bottom << -shift, x.top << -shift
    low, high = shift_right(np.array([x.bottom, x.top], dtype=np.int64), shift, rounding)
    return int(low), int(high)


def _inside(y: tuple[int, int], type_: Fixed) -> bool:
    return type_.raw_min <= y[0] and y[1] <= type_.raw_max


def requantize_tensor(
    builder: OnnxBuilder,
    x: CarriedTensor,
    frac: int,
    range_: Interval,
    quantizer: Quantizer,
    limits: Limits = (None, None),
) -> CarriedTensor:
    """x, on a grid of `frac` bits and proved to lie in `range_`, brought to the quantizer's type
    and then between the limits."""
    shift = frac - quantizer.type.frac
    if not x.carrier.floating:
        return _in_int64(builder, x, shift, range_, quantizer, limits)
    y = _rounded_range(range_, shift, quantizer.rounding)
    on_grid = replace(x, exponent=x.exponent - shift)  # raw on the new grid, not yet rounded
    if shift > 0 or abs(on_grid.exponent) > LARGEST_EXPONENT:
        on_grid = rescale(builder, on_grid, 0)
    match quantizer.overflow:
        case Overflow.SAT | Overflow.SAT_SYM:
            low, high = narrow_limits(_saturation(quantizer, limits), y)
            kept = clip(builder, on_grid, low, high)
            positive = range_.bottom >= 0 or (low is not None and low >= 0)
            return _round_tensor(builder, kept, shift, quantizer.rounding, positive)
        case Overflow.SAT_ZERO | Overflow.WRAP:
            whole = _round_tensor(builder, on_grid, shift, quantizer.rounding, range_.bottom >= 0)
            if not _inside(y, quantizer.type):
                if quantizer.overflow is Overflow.SAT_ZERO:
                    whole = _zero_outside(builder, whole, quantizer.type, y)
                else:
                    whole = _wrap_tensor(builder, whole, quantizer.type)
                y = quantizer.type.raw_min, quantizer.type.raw_max
            return clip(builder, whole, *narrow_limits(limits, y))
        case _:
            assert_never(quantizer.overflow)


def narrow_limits(limits: Limits, y: tuple[int, int]) -> Limits:
    """Limits without the sides that values in a range never meet."""
    low, high = limits
    if low is not None and low <= y[0]:
        low = None
    if high is not None and high >= y[1]:
        high = None
    return low, high


def _saturation(quantizer: Quantizer, limits: Limits) -> tuple[int, int]:
    type_ = quantizer.type
    low, high = type_.raw_min, type_.raw_max
    if quantizer.overflow is Overflow.SAT_SYM and type_.signed:
        low = -high
    return clip_number(low, limits), clip_number(high, limits)


def _round_tensor(
    builder: OnnxBuilder, x: CarriedTensor, shift: int, rounding: Rounding, positive: bool
) -> CarriedTensor:
    """Float x, on the new grid, to integers. `positive`: nothing below zero occurs."""
    if shift <= 0:
        return x
    half = number_beside(builder, 0.5, x)
    node = builder.node

    def mirrored(magnitude: Callable[[str], str]) -> str:
        if positive:
            return magnitude(x.tensor)
        return node("Mul", node("Sign", x.tensor), magnitude(node("Abs", x.tensor)))

    match rounding:
        case Rounding.TRN:
            y = node("Floor", x.tensor)
        case Rounding.RND_CONV:
            y = node("Round", x.tensor)
        case Rounding.RND:
            y = node("Floor", node("Add", x.tensor, half))
        case Rounding.RND_MIN_INF:
            y = node("Ceil", node("Sub", x.tensor, half))
        case Rounding.TRN_ZERO:
            y = mirrored(lambda tensor: node("Floor", tensor))
        case Rounding.RND_INF:
            y = mirrored(lambda tensor: node("Floor", node("Add", tensor, half)))
        case Rounding.RND_ZERO:
            y = mirrored(lambda tensor: node("Ceil", node("Sub", tensor, half)))
        case _:
            assert_never(rounding)
    return replace(x, tensor=y)


def _zero_outside(
    builder: OnnxBuilder, x: CarriedTensor, type_: Fixed, y: tuple[int, int]
) -> CarriedTensor:
    """x where the type holds it, else zero."""
    tensor = x.tensor
    for end, beyond, inside in (
        (type_.raw_min, y[0] < type_.raw_min, "GreaterOrEqual"),
        (type_.raw_max, y[1] > type_.raw_max, "LessOrEqual"),
    ):
        if beyond:
            limit = np.ldexp(float(end), -x.exponent) if x.carrier.floating else end
            kept = builder.node(inside, x.tensor, number_beside(builder, limit, x))
            tensor = builder.node("Mul", tensor, builder.cast(kept, x.carrier.dtype))
    return replace(x, tensor=tensor)


def _wrap_tensor(builder: OnnxBuilder, x: CarriedTensor, type_: Fixed) -> CarriedTensor:
    """x modulo 2^bits, in the type's range."""
    x = rescale(builder, x, 0)
    node = builder.node
    modulus, turns = (number_beside(builder, 2.0**power, x) for power in (type_.bits, -type_.bits))
    above = x.tensor
    if type_.signed:
        above = node("Sub", above, number_beside(builder, type_.raw_min, x))
    whole = node("Mul", node("Floor", node("Mul", above, turns)), modulus)
    return replace(x, tensor=node("Sub", x.tensor, whole))


def _in_int64(
    builder: OnnxBuilder,
    x: CarriedTensor,
    shift: int,
    range_: Interval,
    quantizer: Quantizer,
    limits: Limits,
) -> CarriedTensor:
    """The definition itself (see `quantization.fixed.requantize`) in int64 nodes."""
    type_ = quantizer.type
    if shift < 0:
        fold = _widened_wrapping if quantizer.overflow is Overflow.WRAP else _widen_tensor
        return clip(builder, fold(builder, x, -shift, quantizer), *limits)
    whole, y = x, (range_.bottom, range_.top)
    if shift > 0:
        whole = _shifted_right(builder, x, shift, range_, quantizer.rounding)
        y = _rounded_range(range_, shift, quantizer.rounding)
    match quantizer.overflow:
        case Overflow.SAT | Overflow.SAT_SYM:
            return clip(builder, whole, *narrow_limits(_saturation(quantizer, limits), y))
        case Overflow.SAT_ZERO:
            return clip(builder, _zero_outside(builder, whole, type_, y), *limits)
        case Overflow.WRAP:
            return clip(builder, _wrapped_bits(builder, whole, type_), *limits)
        case _:
            assert_never(quantizer.overflow)


def _int64(builder: OnnxBuilder, value: int) -> str:
    return builder.constant(value, np.int64)


def _shifted_right(
    builder: OnnxBuilder, x: CarriedTensor, shift: int, range_: Interval, rounding: Rounding
) -> CarriedTensor:
    node = builder.node
    if shift > 62:  # 2^shift is no int64; few steps are left, each at a known place
        return _steps(builder, x, shift, range_, rounding)
    rest = node("BitwiseAnd", x.tensor, _int64(builder, (1 << shift) - 1))
    floor = node("Div", node("Sub", x.tensor, rest), _int64(builder, 1 << shift))
    half, zero = _int64(builder, 1 << (shift - 1)), _int64(builder, 0)
    above, reaches = node("Greater", rest, half), node("GreaterOrEqual", rest, half)
    negative = node("Less", x.tensor, zero)
    match rounding:
        case Rounding.TRN:
            return replace(x, tensor=floor)
        case Rounding.TRN_ZERO:
            up = node("And", negative, node("Greater", rest, zero))
        case Rounding.RND:
            up = reaches
        case Rounding.RND_MIN_INF:
            up = above
        case Rounding.RND_ZERO:
            up = node("Or", above, node("And", negative, reaches))
        case Rounding.RND_INF:
            up = node("Or", above, node("And", node("Not", negative), reaches))
        case Rounding.RND_CONV:
            odd = node("Equal", node("BitwiseAnd", floor, _int64(builder, 1)), _int64(builder, 1))
            up = node("Or", above, node("And", odd, reaches))
        case _:
            assert_never(rounding)
    return replace(x, tensor=node("Add", floor, builder.cast(up, np.int64)))


def _steps(
    builder: OnnxBuilder, x: CarriedTensor, shift: int, range_: Interval, rounding: Rounding
) -> CarriedTensor:
    """Rounding is monotone: the result is its least value and one more at each place it steps."""

    def after(raw: int) -> int:
        return int(shift_right(np.asarray(raw, dtype=np.int64), shift, rounding))

    least, most = after(range_.bottom), after(range_.top)
    total = _fill_like(builder, x, least)
    for step in range(least + 1, most + 1):
        low, high = range_.bottom, range_.top  # after(low) < step <= after(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if after(middle) >= step else (middle, high)
        passed = builder.node("GreaterOrEqual", x.tensor, _int64(builder, high))
        total = builder.node("Add", total, builder.cast(passed, np.int64))
    return replace(x, tensor=total)


def _fill_like(builder: OnnxBuilder, x: CarriedTensor, value: int) -> str:
    """A tensor of x's shape that is the same integer everywhere."""
    nothing = builder.node("Mul", x.tensor, _int64(builder, 0))
    return builder.node("Add", nothing, _int64(builder, value))


def _widen_tensor(
    builder: OnnxBuilder, x: CarriedTensor, shift: int, quantizer: Quantizer
) -> CarriedTensor:
    """x shifted left; what would leave the type is cut before, so that nothing wraps around."""
    node, type_ = builder.node, quantizer.type
    least, most = -(-type_.raw_min >> shift), type_.raw_max >> shift
    low, high = _saturation(quantizer, (None, None))
    factor = _int64(builder, 1 << min(shift, 62))  # beyond, only zero is left to be shifted
    inside = replace(x, tensor=node("Mul", clip(builder, x, least, most).tensor, factor))
    tensor = clip(builder, inside, low, high).tensor
    if quantizer.overflow is Overflow.SAT_ZERO:
        low = high = 0
    below = node("Less", x.tensor, _int64(builder, least))
    above = node("Greater", x.tensor, _int64(builder, most))
    tensor = node("Where", below, _int64(builder, low), tensor)
    return replace(x, tensor=node("Where", above, _int64(builder, high), tensor))


def _widened_wrapping(
    builder: OnnxBuilder, x: CarriedTensor, shift: int, quantizer: Quantizer
) -> CarriedTensor:
    type_ = quantizer.type
    kept = type_.bits - shift  # upper bits vanish modulo 2^bits
    if kept <= 0:
        return replace(x, tensor=_fill_like(builder, x, 0))
    low_bits = builder.node("BitwiseAnd", x.tensor, _int64(builder, (1 << kept) - 1))
    shifted = builder.node("Mul", low_bits, _int64(builder, 1 << shift))
    return _wrapped_bits(builder, replace(x, tensor=shifted), type_)


def _wrapped_bits(builder: OnnxBuilder, x: CarriedTensor, type_: Fixed) -> CarriedTensor:
    wrapped = builder.node("BitwiseAnd", x.tensor, _int64(builder, (1 << type_.bits) - 1))
    if type_.signed:
        sign = _int64(builder, 1 << (type_.bits - 1))
        wrapped = builder.node("Sub", builder.node("BitwiseXor", wrapped, sign), sign)
    return replace(x, tensor=wrapped)
