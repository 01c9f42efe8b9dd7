# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Element-wise ops and tables in ONNX, exact in floats and in int64."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

from edgeinfer.ir.engine.extremes import clip, larger, largest_along, smaller, sum_along
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.round import narrow_limits, requantize_tensor
from edgeinfer.ir.engine.values import (
    CarriedTensor,
    Carrier,
    axis_in,
    cast_to,
    integers_in,
    lay_out,
    parameter,
    rescale,
)
from edgeinfer.ir.ops import Pair, PairKind, PRelu, Scale, Shape, Softmax, Table, Weights
from quantization.fixed import MAX_BITS, Fixed, Quantizer, Rounding
from quantization.ranges import Interval


def shift_tensor(
    builder: OnnxBuilder, x: CarriedTensor, exponent: int, common: int
) -> CarriedTensor:
    """x held as if its tensor had `exponent`, brought to `common`; in int64, multiplied out."""
    if x.carrier.floating:
        return rescale(builder, replace(x, exponent=exponent), common)
    if exponent == 0:
        return x
    factor = builder.constant(integers_in(np.asarray(1), exponent, Carrier.INT64))
    return replace(x, tensor=builder.node("Mul", x.tensor, factor))


def scale(
    builder: OnnxBuilder, op: Scale, x: CarriedTensor, shape: Shape, shift: int, exponent: int
) -> CarriedTensor:
    """(x factor) 2^shift + bias, times 2^-exponent in a float tensor."""
    like = replace(x, layout=shape)
    factor = parameter(builder, op.factor, like, shift=x.exponent + shift - exponent)
    tensor = builder.node("Mul", x.tensor, factor)
    if op.bias.any():
        tensor = builder.node("Add", tensor, parameter(builder, op.bias, like, shift=-exponent))
    return replace(like, tensor=tensor, exponent=exponent)


def prelu(builder: OnnxBuilder, op: PRelu, x: CarriedTensor, shape: Shape) -> CarriedTensor:
    """x where x >= 0, else x slope, on the finer grid of the product."""
    like = replace(x, layout=shape)
    if x.carrier is Carrier.FLOAT32 and x.layout == shape:
        slope = parameter(builder, op.slope, like, shift=-op.slope_type.frac)
        tensor = builder.node("PRelu", x.tensor, slope)
        return replace(x, tensor=tensor, exponent=x.exponent + op.slope_type.frac)
    node, zero = builder.node, builder.constant(0, x.carrier.dtype)
    one = builder.constant(integers_in(np.asarray(1), op.slope_type.frac, x.carrier))
    slope = parameter(builder, op.slope, like)
    kept = node("Mul", larger(builder, x.tensor, zero, x.carrier), one)
    sloped = node("Mul", smaller(builder, x.tensor, zero, x.carrier), slope)
    return replace(like, tensor=node("Add", kept, sloped))


def pair(
    builder: OnnxBuilder,
    op: Pair,
    operands: tuple[CarriedTensor, CarriedTensor],
    fracs: tuple[int, int],
    shapes: tuple[Shape, Shape, Shape],
) -> CarriedTensor:
    """Two tensors element by element, on the finer of their grids."""
    first = any(x.first and x.layout == s for x, s in zip(operands, shapes[:2], strict=True))
    a, b = (lay_out(builder, x, s, first) for x, s in zip(operands, shapes[:2], strict=True))
    if op.kind is PairKind.MUL:
        tensor = builder.node("Mul", a.tensor, b.tensor)
        return CarriedTensor(tensor, a.carrier, shapes[2], first, a.exponent + b.exponent)
    up_a, up_b = (x.exponent + op.type.frac - f for x, f in zip((a, b), fracs, strict=True))
    common = up_a if a.carrier.floating and up_a == up_b else 0
    a, b = shift_tensor(builder, a, up_a, common), shift_tensor(builder, b, up_b, common)
    match op.kind:
        case PairKind.ADD:
            tensor = builder.node("Add", a.tensor, b.tensor)
        case PairKind.SUB:
            tensor = builder.node("Sub", a.tensor, b.tensor)
        case PairKind.MAX:
            tensor = larger(builder, a.tensor, b.tensor, a.carrier)
        case PairKind.MIN:
            tensor = smaller(builder, a.tensor, b.tensor, a.carrier)
        case _:
            assert_never(op.kind)
    return CarriedTensor(tensor, a.carrier, shapes[2], first, common)


def table(builder: OnnxBuilder, op: Table, x: CarriedTensor, carrier: Carrier) -> CarriedTensor:
    """entries[x - first]."""
    index = cast_to(builder, x, Carrier.INT64)
    if op.first:
        first = builder.constant(op.first, np.int64)
        index = replace(index, tensor=builder.node("Sub", index.tensor, first))
    return _look_up(builder, op.entries, index, carrier)


def _look_up(
    builder: OnnxBuilder, entries: Weights, index: CarriedTensor, carrier: Carrier
) -> CarriedTensor:
    values = builder.constant(integers_in(entries, 0, carrier))
    tensor = builder.node("Gather", values, index.tensor, axis=0)
    return replace(index, tensor=tensor, carrier=carrier)


def softmax(builder: OnnxBuilder, op: Softmax, x: CarriedTensor, range_: Interval) -> CarriedTensor:
    """The two tables of the definition, one after the other."""
    carrier, node = x.carrier, builder.node
    x = rescale(builder, x, 0)
    axis, count = axis_in(x.layout, x.first, op.axis), x.layout[op.axis]
    highest = largest_along(builder, x, axis, count)
    below = replace(x, tensor=node("Sub", highest, x.tensor))
    spread = Interval(np.asarray(0), np.asarray(range_.top - range_.bottom))
    e = _through(builder, op.exp, op.exp_shift, below, spread)
    total = replace(e, tensor=sum_along(builder, e, axis, count))
    sums = Interval(np.asarray(0), np.asarray(count * int(op.exp.max())))
    r = _through(builder, op.inverse, op.inverse_shift, total, sums)
    product = replace(x, tensor=node("Mul", e.tensor, r.tensor), carrier=carrier)
    interval = Interval(np.asarray(0), np.asarray(int(op.exp.max()) * int(op.inverse.max())))
    quantizer = op.quantizer
    return requantize_tensor(
        builder, product, op.exp_type.frac + op.inverse_type.frac, interval, quantizer
    )


def _through(
    builder: OnnxBuilder, entries: Weights, shift: int, x: CarriedTensor, range_: Interval
) -> CarriedTensor:
    """entries[min(x >> shift, last)]."""
    shift, last = min(shift, MAX_BITS), entries.size - 1
    down = Quantizer(Fixed(False, MAX_BITS, MAX_BITS + shift), Rounding.TRN)
    index = requantize_tensor(builder, x, 0, range_, down)
    index = clip(builder, index, *narrow_limits((None, last), (0, range_.top >> shift)))
    return _look_up(builder, entries, cast_to(builder, index, Carrier.INT64), x.carrier)
