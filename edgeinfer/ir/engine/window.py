# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions, matrix products and pools in ONNX.

ONNX Runtime has float32 convolutions only; in other element types a convolution is a matrix
product over gathered windows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.engine.byte_products import space_rows, wide_pairs
from edgeinfer.ir.engine.extremes import largest_along, sum_along
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.values import (
    CarriedTensor,
    Carrier,
    cast_to,
    integers_in,
    lay_out,
    rescale,
)
from edgeinfer.ir.ops import Conv, Dense, Pads, Pool, PoolKind, Shape

NATIVE_RANKS = (1, 2, 3)  # spatial axes that ONNX Runtime's convolutions and pools know


def conv(
    builder: OnnxBuilder,
    op: Conv,
    x: CarriedTensor,
    shapes: tuple[Shape, Shape],
    shift: int,
    exponent: int,
) -> CarriedTensor:
    """(sum of x weight) 2^shift + bias, times 2^-exponent in a float tensor."""
    x_shape, y_shape = shapes
    move = x.exponent + shift - exponent
    weight = integers_in(op.weight, move, x.carrier)
    bias = integers_in(op.bias, -exponent, x.carrier)
    rank = len(op.strides)
    if x.carrier is Carrier.FLOAT32 and rank in NATIVE_RANKS:
        x = lay_out(builder, x, x_shape, True)
        tensor = builder.node(
            "Conv",
            x.tensor,
            builder.constant(np.moveaxis(weight, (-1, -2), (0, 1))),
            builder.constant(bias),
            kernel_shape=list(op.window),
            strides=list(op.strides),
            pads=onnx_pads(op.pads),
            dilations=list(op.dilation),
            group=op.groups,
        )
        return CarriedTensor(tensor, x.carrier, y_shape, True, exponent)
    window = op.window
    windows = _windows(builder, x, x_shape, window, op.strides, op.pads, op.dilation, 0)
    product = _grouped_product(builder, windows, weight.reshape(-1, *weight.shape[-2:]), op.groups)
    tensor = builder.node("Add", product, builder.constant(bias))
    return CarriedTensor(builder.reshape(tensor, y_shape), x.carrier, y_shape, False, exponent)


def _grouped_product(builder: OnnxBuilder, windows: str, weight: NDArray[Any], groups: int) -> str:
    """(batch, positions, taps, channels) times (taps, channels in group, outputs)."""
    taps, inside, outputs = weight.shape
    if groups == 1:
        columns = builder.reshape(windows, (-1, taps * inside))
        return builder.node("MatMul", columns, builder.constant(weight.reshape(-1, outputs)))
    apart = builder.reshape(windows, (-1, taps, groups, inside))
    apart = builder.node("Transpose", apart, perm=[0, 3, 1, 2, 4])
    columns = builder.reshape(apart, (groups, -1, taps * inside))
    matrices = weight.reshape(taps * inside, groups, outputs // groups).swapaxes(0, 1)
    product = builder.node("MatMul", columns, builder.constant(matrices))
    together = builder.node("Transpose", product, perm=[0, 2, 1, 3])
    return builder.reshape(together, (-1, outputs))


def _windows(
    builder: OnnxBuilder,
    x: CarriedTensor,
    shape: Shape,
    window: Shape,
    strides: Shape,
    pads: Pads,
    dilation: Shape,
    fill: int,
) -> str:
    """All positions of a window, gathered: (batch, positions, taps, channels)."""
    x = lay_out(builder, x, shape, False)
    tensor = x.tensor
    padded = tuple(size + sum(pad) for size, pad in zip(shape[:-1], pads, strict=True))
    if padded != shape[:-1]:
        before, after = [pad[0] for pad in pads], [pad[1] for pad in pads]
        around = builder.constant([0, *before, 0, 0, *after, 0], np.int64)
        tensor = builder.node("Pad", tensor, around, builder.constant(fill, x.carrier.dtype))
    flat = builder.reshape(tensor, (math.prod(padded), shape[-1]))
    places = np.arange(math.prod(padded)).reshape(padded)
    reach = tuple((width - 1) * step + 1 for width, step in zip(window, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(places, reach)
    view = view[tuple(slice(None, None, step) for step in (*strides, *dilation))]
    index = view.reshape(-1, math.prod(window))
    return builder.node("Gather", flat, builder.constant(index, np.int64), axis=1)


def dense(
    builder: OnnxBuilder,
    op: Dense,
    x: CarriedTensor,
    shapes: tuple[Shape, Shape],
    shift: int,
    exponent: int,
) -> CarriedTensor:
    """(x @ weight) 2^shift + bias, times 2^-exponent in a float tensor."""
    x_shape, y_shape = shapes
    weight = integers_in(op.weight, x.exponent + shift - exponent, x.carrier)
    bias = integers_in(op.bias, -exponent, x.carrier)
    if len(x_shape) == 1 and x.carrier.floating:
        flat, weight = rows(builder, x, weight)
        tensor = builder.node("Gemm", flat, builder.constant(weight), builder.constant(bias))
        return CarriedTensor(tensor, x.carrier, y_shape, False, exponent)
    x = lay_out(builder, x, x_shape, False)
    tensor = builder.node("MatMul", x.tensor, builder.constant(weight))
    if bias.any():
        tensor = builder.node("Add", tensor, builder.constant(bias))
    return CarriedTensor(tensor, x.carrier, y_shape, False, exponent)


def rows(builder: OnnxBuilder, x: CarriedTensor, weight: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """x as rows in the order in which it lies, and the weights in the same order."""
    if len(x.layout) == 1:
        return x.tensor, weight
    if x.first:
        order = np.moveaxis(np.arange(math.prod(x.layout)).reshape(x.layout), -1, 0).ravel()
        weight = weight[order]
    return builder.reshape(x.tensor, (weight.shape[0],)), weight


def dense_in_bytes(
    builder: OnnxBuilder,
    op: Dense,
    x: CarriedTensor,
    shift: int,
    exponent: int,
    sums: Carrier,
    largest: int,
) -> CarriedTensor:
    """The same in products of bytes of up to `largest`, summed in int32, then carried on in floats.

    Inputs whose products might leave 16 bits together with their neighbours' are multiplied apart,
    each beside a row of zeros.
    """
    flat, weight = rows(builder, x, op.weight.astype(np.int8))
    apart = wide_pairs(weight, largest)
    alone = space_rows(weight[apart])
    if apart.size:
        weight = weight.copy()
        weight[apart] = 0
    product = builder.node("MatMulInteger", flat, builder.constant(weight))
    if apart.size:
        index = builder.constant(np.repeat(apart, 2), np.int64)
        few = builder.node("Gather", flat, index, axis=1)
        rest = builder.node("MatMulInteger", few, builder.constant(alone))
        product = builder.node("Add", product, rest)
    y = CarriedTensor(builder.cast(product, sums.dtype), sums, (weight.shape[1],), False, -shift)
    y = rescale(builder, y, exponent)
    if not op.bias.any():
        return y
    bias = builder.constant(integers_in(op.bias, -exponent, sums))
    return replace(y, tensor=builder.node("Add", y.tensor, bias))


def pool(
    builder: OnnxBuilder, op: Pool, x: CarriedTensor, shapes: tuple[Shape, Shape], least: int
) -> CarriedTensor:
    """Maximum or sum over windows; `least` is a raw integer that no element of x lies below."""
    x_shape, y_shape = shapes
    match op.kind:
        case PoolKind.MAX:
            return _max_pool(builder, op, x, x_shape, y_shape, least)
        case PoolKind.SUM:
            return _sum_pool(builder, op, x, x_shape, y_shape)
        case _:
            assert_never(op.kind)


def _max_pool(
    builder: OnnxBuilder, op: Pool, x: CarriedTensor, x_shape: Shape, y_shape: Shape, least: int
) -> CarriedTensor:
    if x.carrier.floating and len(op.window) in NATIVE_RANKS:
        x = lay_out(builder, x, x_shape, True)
        tensor = builder.node(
            "MaxPool",
            x.tensor,
            kernel_shape=list(op.window),
            strides=list(op.strides),
            pads=onnx_pads(op.pads),
        )
        return replace(x, tensor=tensor, layout=y_shape)
    x = cast_to(builder, x, Carrier.INT64)
    ones = (1,) * len(op.window)
    windows = _windows(builder, x, x_shape, op.window, op.strides, op.pads, ones, least)
    taps = replace(x, tensor=windows)
    tensor = largest_along(builder, taps, 2, math.prod(op.window))
    return CarriedTensor(builder.reshape(tensor, y_shape), x.carrier, y_shape)


def _sum_pool(
    builder: OnnxBuilder, op: Pool, x: CarriedTensor, x_shape: Shape, y_shape: Shape
) -> CarriedTensor:
    rank = len(op.window)
    padded = any(pad != (0, 0) for pad in op.pads)
    if op.window == x_shape[:-1] and not padded and x.carrier.floating:
        x = lay_out(builder, x, x_shape, x.first)
        axes = builder.constant([axis + (2 if x.first else 1) for axis in range(rank)], np.int64)
        tensor = builder.node("ReduceSum", x.tensor, axes, keepdims=1)
        return replace(x, tensor=tensor, layout=y_shape)
    if x.carrier is Carrier.FLOAT32 and rank in NATIVE_RANKS:
        x = lay_out(builder, x, x_shape, True)
        channels = x_shape[-1]
        tensor = builder.node(
            "Conv",
            x.tensor,
            builder.constant(np.ones((channels, 1, *op.window), np.float32)),
            kernel_shape=list(op.window),
            strides=list(op.strides),
            pads=onnx_pads(op.pads),
            group=channels,
        )
        return replace(x, tensor=tensor, layout=y_shape)
    windows = _windows(builder, x, x_shape, op.window, op.strides, op.pads, (1,) * rank, 0)
    tensor = sum_along(builder, replace(x, tensor=windows), 2, math.prod(op.window))
    return CarriedTensor(builder.reshape(tensor, y_shape), x.carrier, y_shape, False, x.exponent)


def onnx_pads(pads: Pads) -> list[int]:
    """Padding as ONNX lists it: all that comes before, then all that comes after."""
    return [*(before for before, _ in pads), *(after for _, after in pads)]
