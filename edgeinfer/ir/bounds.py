# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Exact ranges of a Program's values, by interval arithmetic over the actual weights.

An interval is kept once for all elements, once per channel, or per element where a Dense layer has
made the elements differ: never wider than the tensor, never looser than per channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import assert_never

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.program import Program, body_of
from quantization import ranges
from quantization.fixed import MAX_BITS, Fixed, Ints, Overflow, Quantizer
from quantization.ranges import Interval

MOST_APART = 1 << 18  # elements of a moved value whose bounds are kept one by one
ZERO = ranges.of_values(np.zeros((), np.int64))


def bounds_of(program: Program) -> dict[str, Interval]:
    """The proved range of every value, raw on the value's own grid."""
    intervals: dict[str, Interval] = {}
    types = {op.name: op.type for op in program.ops}
    for op in program.ops:
        intervals[op.name] = bound_op(op, intervals, types, program.shapes)
    return intervals


def bound_op(
    op: ops.Op,
    x: Mapping[str, Interval],
    types: Mapping[str, Fixed],
    shapes: Mapping[str, ops.Shape],
) -> Interval:
    """The range of one op's value, given the ranges of what it reads and its own grid."""
    match op:
        case ops.Input():
            return ranges.of_type(op.type)
        case ops.Constant():
            return ranges.of_values(wide(op.value))
        case ops.Conv():
            shift = op.shift(types[op.x].frac)
            return _add_bias(_conv(op, x[op.x], shapes[op.x]), shift, op.bias)
        case ops.Dense():
            shift = op.shift(types[op.x].frac)
            product = ranges.linear(join_pixels(x[op.x], shapes[op.x]), wide(op.weight))
            return _add_bias(product, shift, op.bias)
        case ops.Scale():
            shift = op.shift(types[op.x].frac)
            product = ranges.multiply_ranges(x[op.x], ranges.of_values(wide(op.factor)))
            return _add_bias(product, shift, op.bias)
        case ops.Requant():
            quantizer = op.quantizer
            return ranges.requantize_range(x[op.x], types[op.x].frac, quantizer)
        case ops.Clip():
            y = x[op.x]
            if op.low is not None:
                y = ranges.larger(y, ranges.of_values(np.asarray(op.low)))
            if op.high is not None:
                y = ranges.smaller(y, ranges.of_values(np.asarray(op.high)))
            return y
        case ops.PRelu():
            kept = ranges.shift_range(ranges.larger(x[op.x], ZERO), op.slope_type.frac)
            slope = ranges.of_values(wide(op.slope))
            scaled = ranges.multiply_ranges(ranges.smaller(x[op.x], ZERO), slope)
            return hull(kept, scaled)
        case ops.Table():
            first, last = x[op.x].bottom - op.first, x[op.x].top - op.first
            entries = wide(op.entries[max(first, 0) : last + 1])
            return Interval(np.asarray(entries.min()), np.asarray(entries.max()))
        case ops.Softmax():
            return _softmax(op, shapes[op.x][op.axis])
        case ops.Pool():
            return _pool(op, x[op.x], shapes[op.x])
        case ops.Sites():
            return Interval(np.asarray(0), np.asarray(int(x[op.x].top > op.threshold)))
        case ops.Pair():
            return _pair(op, x[op.a], types[op.a].frac, x[op.b], types[op.b].frac)
        case ops.Concat():
            return _concat(op, x, types, shapes)
        case ops.Scan():
            return bounds_of(body_of(op))[body_of(op).outputs[0].value]
        case ops.Pad():
            flat = join_pixels(x[op.x], shapes[op.x])
            if op.pads[-1] != (0, 0):
                flat = Interval(np.asarray(flat.bottom), np.asarray(flat.top))
            return hull(flat, ranges.of_values(np.asarray(op.value)))
        case ops.Upsample():
            return join_pixels(x[op.x], shapes[op.x])
        case ops.Moves():
            return _move_bounds(op, x[op.x], shapes[op.x])
        case _:
            assert_never(op)


def wide(weights: ops.Weights) -> Ints:
    """Stored integers as int64."""
    return weights.astype(np.int64)


def hull(a: Interval, b: Interval) -> Interval:
    """The smallest interval that holds both."""
    return Interval(np.minimum(a.low, b.low), np.maximum(a.high, b.high))


def reach_of_sums(op: ops.Conv | ops.Dense, x: Interval, x_shape: ops.Shape) -> int:
    """Largest absolute value of any partial sum of products, in whatever order they are added,
    before shift and bias: what an arithmetic without wrap-around must be able to hold."""
    weights = np.abs(op.weight.astype(np.float64))
    match op:
        case ops.Dense():
            magnitude = join_pixels(x, x_shape).magnitude.astype(np.float64)
            sums = np.broadcast_to(magnitude, (op.weight.shape[0],)) @ weights
        case ops.Conv():
            magnitude = join_pixels(x, x_shape).magnitude.astype(np.float64)
            channels = np.broadcast_to(magnitude, (x_shape[-1],))
            inside, outside = op.weight.shape[-2], op.weight.shape[-1] // op.groups
            taps = weights.reshape(-1, inside, op.groups, outside).sum(axis=0)
            sums = np.einsum("gi,igo->go", channels.reshape(op.groups, inside), taps)
        case _:
            assert_never(op)
    return int(np.ceil(sums.max(initial=0.0)))


def _add_bias(product: Interval, shift: int, bias: ops.Weights) -> Interval:
    return ranges.add_ranges(ranges.shift_range(product, shift), ranges.of_values(wide(bias)))


def join_pixels(x: Interval, shape: ops.Shape) -> Interval:
    """The same bounds for each channel: all axes but the last are joined."""
    if x.low.ndim <= 1 and x.high.ndim <= 1:
        return x
    axes = tuple(range(len(shape) - 1))
    low, high = np.broadcast_to(x.low, shape), np.broadcast_to(x.high, shape)
    return Interval(low.min(axis=axes), high.max(axis=axes))


def _conv(op: ops.Conv, x: Interval, shape: ops.Shape) -> Interval:
    inside, outside = op.weight.shape[-2], op.weight.shape[-1] // op.groups
    taps = int(np.prod(op.window))
    joined = join_pixels(x, shape)
    if any(pad != (0, 0) for pad in op.pads):
        joined = hull(joined, ZERO)
    low = np.broadcast_to(joined.low, (inside * op.groups,))
    high = np.broadcast_to(joined.high, (inside * op.groups,))
    weight = wide(op.weight).reshape(taps * inside, op.groups * outside)
    parts = []
    for group in range(op.groups):
        channels = slice(group * inside, (group + 1) * inside)
        window = Interval(np.tile(low[channels], taps), np.tile(high[channels], taps))
        parts.append(ranges.linear(window, weight[:, group * outside : (group + 1) * outside]))
    return Interval(
        np.concatenate([part.low for part in parts]), np.concatenate([part.high for part in parts])
    )


def _pool(op: ops.Pool, x: Interval, shape: ops.Shape) -> Interval:
    flat = join_pixels(x, shape)
    match op.kind:
        case ops.PoolKind.MAX:
            return flat
        case ops.PoolKind.SUM:
            if any(pad != (0, 0) for pad in op.pads):
                flat = hull(flat, ZERO)
            count = int(np.prod(op.window))
            return ranges.multiply_ranges(flat, ranges.of_values(np.asarray(count)))
        case _:
            assert_never(op.kind)


def _pair(op: ops.Pair, a: Interval, frac_a: int, b: Interval, frac_b: int) -> Interval:
    if op.kind is ops.PairKind.MUL:
        if op.a == op.b:  # a square is never negative
            square = ranges.multiply_ranges(a, a)
            low = np.where((a.low <= 0) & (a.high >= 0), 0, np.minimum(a.low**2, a.high**2))
            return Interval(low, square.high)
        return ranges.multiply_ranges(a, b)
    a = ranges.shift_range(a, op.type.frac - frac_a)
    b = ranges.shift_range(b, op.type.frac - frac_b)
    match op.kind:
        case ops.PairKind.ADD:
            return ranges.add_ranges(a, b)
        case ops.PairKind.SUB:
            return ranges.add_ranges(a, ranges.negate_range(b))
        case ops.PairKind.MAX:
            return ranges.larger(a, b)
        case ops.PairKind.MIN:
            return ranges.smaller(a, b)
        case _:
            assert_never(op.kind)


def _concat(
    op: ops.Concat,
    x: Mapping[str, Interval],
    types: Mapping[str, Fixed],
    shapes: Mapping[str, ops.Shape],
) -> Interval:
    parts = [ranges.shift_range(x[name], op.type.frac - types[name].frac) for name in op.xs]
    if op.axis < len(shapes[op.xs[0]]) - 1:
        joined = [join_pixels(part, shapes[name]) for part, name in zip(parts, op.xs, strict=True)]
        return reduce(hull, joined)
    flat = [
        (join_pixels(part, shapes[name]), shapes[name][-1:])
        for part, name in zip(parts, op.xs, strict=True)
    ]
    return Interval(
        np.concatenate([np.broadcast_to(part.low, size) for part, size in flat]),
        np.concatenate([np.broadcast_to(part.high, size) for part, size in flat]),
    )


def _move_bounds(op: ops.Moves, x: Interval, shape: ops.Shape) -> Interval:
    """Bounds that follow the elements to their new places."""
    if x.low.size == x.high.size == 1:
        moved = Interval(x.low.reshape(()), x.high.reshape(()))
        return moved if not op.fills(shape) else hull(moved, ranges.of_values(np.asarray(op.fill)))
    if math.prod(shape) > MOST_APART:
        return _move_large(op, join_pixels(x, shape), shape)
    low, high = np.broadcast_to(x.low, shape), np.broadcast_to(x.high, shape)
    return Interval(op.move(low, op.fill), op.move(high, op.fill))


def _move_large(op: ops.Moves, x: Interval, shape: ops.Shape) -> Interval:
    """Bounds for each channel where one for each element would be too many."""
    low, high = (np.broadcast_to(end, shape[-1:]) for end in (x.low, x.high))
    filled = op.fills(shape)
    after, before = op.shape_of(shape)[-1], shape[-1]
    stays = isinstance(op, ops.Transpose) and op.order[-1] == len(shape) - 1
    if (isinstance(op, ops.Reshape) or stays) and before % after == 0:
        y = Interval(low.reshape(-1, after).min(axis=0), high.reshape(-1, after).max(axis=0))
    elif isinstance(op, ops.Reshape) and after % before == 0:
        y = Interval(np.tile(low, after // before), np.tile(high, after // before))
    else:
        y = Interval(np.asarray(low.min()), np.asarray(high.max()))
    return hull(y, ranges.of_values(np.asarray(op.fill))) if filled else y


def _softmax(op: ops.Softmax, channels: int) -> Interval:
    e, r = (
        Interval(np.asarray(table.min()), np.asarray(table.max()))
        for table in (wide(op.exp), wide(op.inverse))
    )
    ranges.multiply_ranges(e, ranges.of_values(np.asarray(channels)))  # refuses a sum that may wrap
    product = ranges.multiply_ranges(e, r)
    quantizer = op.quantizer
    return ranges.requantize_range(product, op.exp_type.frac + op.inverse_type.frac, quantizer)


def exact_requant(op: ops.Requant, x: Interval, x_type: Fixed) -> bool:
    """Whether a requantisation changes no value: no finer grid is lost, nothing can overflow."""
    return op.type.frac >= x_type.frac and stays_within(op, x, x_type)


def stays_within(op: ops.Requant, x: Interval, x_type: Fixed) -> bool:
    """Whether no rounded value can be beyond the range of the type."""
    free = Quantizer(Fixed(True, MAX_BITS, MAX_BITS - op.type.frac), op.rounding, Overflow.SAT)
    y = ranges.requantize_range(x, x_type.frac, free)
    symmetric = op.type.signed and op.overflow is Overflow.SAT_SYM
    lowest = -op.type.raw_max if symmetric else op.type.raw_min
    return lowest <= y.bottom and y.top <= op.type.raw_max
