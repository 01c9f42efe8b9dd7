# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers with weights as int8 operators, their sums rounded as the Program rounds them."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

from edgeinfer.base.tflite.model import TfliteTensor
from edgeinfer.base.tflite.options import Options
from edgeinfer.graph.nodes import Pads, Shape
from edgeinfer.graph.windows import same_pads
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.targets.edgetpu.int8.grid import MOST_WEIGHT, ChannelWeights, Window, by_channel
from edgeinfer.targets.edgetpu.int8.sheet import Sheet, window_of
from quantization.fixed import Fixed, Ints, Rounding

INT32 = np.iinfo(np.int32)


def bias_units(rounding: Rounding, shift: int, *, halved: bool) -> int:
    """What to add to a sum, in its own units, so that the reference kernels' division by 2^shift
    rounds in a given way (sums that end at zero or above).

    Dense kernels round ties upwards. Those of convolutions halve first, ties upwards, and round the
    rest away from zero: together floor((sum + 1 + 2^(shift-1)) / 2^shift).
    """
    if shift < 1:
        return 0
    half_up = -1 if halved and shift > 1 else 0
    match rounding:
        case Rounding.RND | Rounding.RND_INF | Rounding.RND_CONV:  # ties to even there are none
            return half_up
        case Rounding.RND_ZERO | Rounding.RND_MIN_INF:
            return half_up - 1
        case Rounding.TRN | Rounding.TRN_ZERO:
            return half_up - (1 << (shift - 1))
        case _:
            assert_never(rounding)


def held_weights(
    weight: ops.Weights, frac: int, x: Window, bias: Ints, bias_frac: int
) -> ChannelWeights:
    """Weights as int8; what does not fit was refused before.

    Where a bias is finer than the products, weights that leave room are stored on a finer grid, so
    that the products are as fine as the bias.
    """
    held = by_channel(weight, frac)
    if held is None:
        raise AssertionError("weights wider than 8 bits should have been refused before")
    most = int(np.abs(held.raw).max(initial=0))
    raised = 0
    while bias.any() and _finer(bias, bias_frac, held.fracs + x.frac + raised):
        if most << (raised + 1) > MOST_WEIGHT:
            break
        raised += 1
    return ChannelWeights(held.raw << raised, held.fracs + raised)


def _channel_weights(
    op: Accumulates | ops.Scale, weight: ops.Weights, type_: Fixed, x: TfliteTensor
) -> ChannelWeights:
    bias = op.bias.astype(np.int64)
    return held_weights(weight, type_.frac, window_of(x), bias, op.type.frac)


def rounds_bias(op: Accumulates, x_frac: int) -> bool:
    """Whether a layer's bias is finer than its products, whatever grid its weights are given."""
    bias = op.bias.astype(np.int64)
    x = Window(x_frac, 0)
    held = held_weights(op.weight, op.weight_type.frac, x, bias, op.type.frac)
    return _finer(bias, op.type.frac, held.fracs + x_frac)


def _finer(bias: Ints, bias_frac: int, fracs: Ints) -> bool:
    """Whether a bias is not a whole number of products."""
    spare = np.maximum(bias_frac - fracs, 0)
    wide = np.broadcast_to(bias.reshape(-1), fracs.shape)
    return bool((wide & ((1 << spare) - 1)).any())


def biases(
    op: Accumulates | ops.Scale, fracs: Ints, window: Window, rounding: Rounding | None
) -> Ints:
    """A layer's biases on the grids of its channels' sums, nudged as the kernels need it."""
    wide = np.broadcast_to(op.bias.reshape(-1), fracs.shape).astype(np.float64)
    whole = np.rint(np.ldexp(wide, fracs - op.type.frac))
    if rounding is not None:
        halved = not isinstance(op, ops.Dense)
        whole += [bias_units(rounding, int(f) - window.frac, halved=halved) for f in fracs]
    return np.clip(whole, INT32.min, INT32.max).astype(np.int64)


def constants(
    sheet: Sheet, name: str, x: TfliteTensor, held: ChannelWeights, raw: Ints, bias: Ints, axis: int
) -> list[TfliteTensor | None]:
    """An operator's input, weights and biases."""
    scales = np.ldexp(1.0, -held.fracs)
    few = scales[:1] if held.uniform else scales
    kernel = sheet.weights(f"{name}/kernel", raw, few, axis if few.size > 1 else 0)
    sums = few * 2.0 ** -window_of(x).frac
    return [x, kernel, sheet.weights(f"{name}/bias", bias, sums, 0, kind="INT32")]


def pad_image(
    sheet: Sheet,
    x: TfliteTensor,
    window: Shape,
    strides: Shape,
    dilation: Shape,
    pads: Pads,
    *,
    whole: bool = False,
) -> tuple[TfliteTensor, bool]:
    """An image with its padding, and whether the operator pads it itself, as 'same'. With `whole`,
    zeros are there to be counted, so that the operator does not pad."""
    if all(pad == (0, 0) for pad in pads):
        return x, False
    if not whole and same_pads(x.shape[1:-1], window, strides, dilation) == pads:
        return x, True
    amounts = [(0, 0), *pads, (0, 0)]
    shape = tuple(s + sum(a) for s, a in zip(x.shape, amounts, strict=True))
    held = sheet.numbers(f"{x.name}/pads", amounts)
    return sheet.operator("PAD", [x, held], shape, window_of(x)), False


def lift_pair(values: Shape, fill: int) -> tuple[int, int]:
    """What belongs to one axis or two, for y and x."""
    return (fill, values[0]) if len(values) == 1 else (values[0], values[1])


def lifted_pads(pads: Pads) -> Pads:
    """Padding in y and x."""
    return ((0, 0), *pads) if len(pads) == 1 else pads


def convolution(
    sheet: Sheet,
    op: ops.Conv,
    x: TfliteTensor,
    shape: Shape,
    window: Window,
    rounding: Rounding | None,
    fused: str,
) -> TfliteTensor:
    """A convolution of an image, by channels of its own, or group by group."""
    held = _channel_weights(op, op.weight, op.weight_type, x)
    raw = held.raw[None] if held.raw.ndim == 3 else held.raw  # (y, x, in / groups, out)
    strides, dilation = lift_pair(op.strides, 1), lift_pair(op.dilation, 1)
    x, same = pad_image(sheet, x, raw.shape[:2], strides, dilation, lifted_pads(op.pads))
    options = Options(fused=fused, strides=strides, dilation=dilation, same_padding=same)
    sums = held.fracs + window_of(x).frac
    bias = biases(op, sums, window, rounding)
    channels = x.shape[-1]
    if op.groups == 1:
        laid = np.moveaxis(raw, -1, 0)
        inputs = constants(sheet, op.name, x, held, laid, bias, 0)
        return sheet.operator("CONV_2D", inputs, shape, window, options)
    if op.groups == channels:
        laid = raw.reshape(1, *raw.shape[:2], -1)
        inputs = constants(sheet, op.name, x, held, laid, bias, 3)
        deep = replace(options, depth_multiplier=raw.shape[-1] // channels)
        return sheet.operator("DEPTHWISE_CONV_2D", inputs, shape, window, deep)
    axis = sheet.numbers(f"{op.name}/axis", 3)
    each = (*x.shape[:-1], channels // op.groups)
    parts = [sheet.tensor(f"{op.name}/{i}", each, window_of(x)) for i in range(op.groups)]
    sheet.append("SPLIT", [axis, x], parts, Options(count=op.groups))
    wide = raw.shape[-1] // op.groups
    made: list[TfliteTensor] = []
    for i, part in enumerate(parts):
        own = slice(i * wide, (i + 1) * wide)
        grid = ChannelWeights(held.raw[..., own], held.fracs[own])
        laid = np.moveaxis(raw[..., own], -1, 0)
        name = f"{op.name}/group{i}"
        inputs = constants(sheet, name, part, grid, laid, bias[own], 0)
        one = (*shape[:-1], wide)
        made.append(sheet.operator("CONV_2D", inputs, one, window, options))
    return sheet.operator("CONCATENATION", made, shape, window, Options(axis=3))


def product(
    sheet: Sheet,
    op: ops.Dense,
    x: TfliteTensor,
    shape: Shape,
    window: Window,
    rounding: Rounding | None,
    fused: str,
) -> TfliteTensor:
    """A dense layer; over several positions, or with grids by channel, a 1x1 convolution."""
    held = _channel_weights(op, op.weight, op.weight_type, x)
    sums = held.fracs + window_of(x).frac
    laid = np.moveaxis(held.raw, -1, 0)
    if len(shape) == 2 and held.uniform:
        bias = biases(op, sums, window, rounding)
        flat = sheet.reshape(x, (1, op.weight.shape[0]))
        inputs = constants(sheet, op.name, flat, held, laid, bias, 0)
        return sheet.operator("FULLY_CONNECTED", inputs, shape, window, Options(fused=fused))
    places = int(np.prod(shape[:-1], dtype=int))
    image = sheet.reshape(x, (1, 1, places, op.weight.shape[0]))
    bias = biases(op, sums, window, None)
    if rounding is not None:
        bias += [bias_units(rounding, int(f) - window.frac, halved=True) for f in sums]
    inputs = constants(sheet, op.name, image, held, laid[:, None, None], bias, 0)
    wide = (1, 1, places, shape[-1])
    return sheet.operator("CONV_2D", inputs, wide, window, Options(fused=fused))


def mean(sheet: Sheet, x: TfliteTensor, op: ops.Pool, shape: Shape, window: Window) -> TfliteTensor:
    """The mean over a window brought to other levels at once: a sum that the kernel divides."""
    height, width = lift_pair(op.window, 1)
    channels, count = x.shape[-1], height * width
    ones = np.ones((1, height, width, channels), np.int64)
    kernel = sheet.weights(f"{op.name}/ones", ones, [1 / count], 0)
    unit = 2.0 ** -window_of(x).frac / count
    zeros = sheet.weights(f"{op.name}/zero", np.zeros(channels, np.int64), [unit], 0, kind="INT32")
    options = Options(strides=lift_pair(op.strides, 1), depth_multiplier=1)
    return sheet.operator("DEPTHWISE_CONV_2D", [x, kernel, zeros], shape, window, options)


FLOORS = (Rounding.TRN, Rounding.TRN_ZERO)


def regrid_tensor(
    sheet: Sheet, op: ops.Requant, x: TfliteTensor, window: Window, fused: str
) -> TfliteTensor | None:
    """A stored value rounded to a coarser grid by a convolution with ones, whose bias can be nudged
    as that of QUANTIZE cannot; None where QUANTIZE rounds as well."""
    shift = window_of(x).frac - window.frac
    exact = shift < 1 or (op.rounding not in FLOORS and (op.type.signed or shift == 1))
    if exact:
        return None
    channels = x.shape[-1]
    image = sheet.reshape(x, (1, 1, int(np.prod(x.shape[:-1], dtype=int)), channels))
    kernel = sheet.weights(f"{op.name}/ones", np.ones((1, 1, 1, channels)), [1.0], 0)
    units = bias_units(op.rounding, shift, halved=True)
    step = 2.0 ** -window_of(x).frac
    bias = sheet.weights(f"{op.name}/bias", np.full(channels, units), [step], 0, kind="INT32")
    options = Options(fused=fused, depth_multiplier=1)
    inputs = [image, kernel, bias]
    made = sheet.operator("DEPTHWISE_CONV_2D", inputs, image.shape, window, options)
    return sheet.reshape(made, x.shape)


def scale_channels(
    sheet: Sheet,
    op: ops.Scale,
    x: TfliteTensor,
    window: Window,
    rounding: Rounding | None,
    fused: str,
) -> TfliteTensor:
    """A factor and a bias for each channel: a depthwise convolution of one pixel."""
    channels = x.shape[-1]
    wide = np.broadcast_to(op.factor.reshape(-1), (channels,)).astype(np.int64)
    held = _channel_weights(op, ops.pack_weights(wide), op.factor_type, x)
    bias = biases(op, held.fracs + window_of(x).frac, window, rounding)
    raw = held.raw.reshape(1, 1, 1, channels)
    inputs = constants(sheet, op.name, x, held, raw, bias, 3)
    options = Options(fused=fused, depth_multiplier=1)
    return sheet.operator("DEPTHWISE_CONV_2D", inputs, x.shape, window, options)
