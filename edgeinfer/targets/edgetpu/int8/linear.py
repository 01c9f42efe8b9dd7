# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers with weights as int8 operators, their sums rounded as the Program rounds them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeinfer.base.tflite.model import TfliteTensor
from edgeinfer.base.tflite.options import Options
from edgeinfer.graph.nodes import Pads, Shape
from edgeinfer.graph.windows import same_pads
from edgeinfer.ir import ops
from edgeinfer.targets.edgetpu.int8.grid import Window
from edgeinfer.targets.edgetpu.int8.rounding import NOTHING, ending_of
from edgeinfer.targets.edgetpu.int8.sheet import Sheet, window_of
from edgeinfer.targets.edgetpu.int8.sums import ChannelSums, settle_sums
from quantization.fixed import Ints, Rounding


def constants(
    sheet: Sheet, name: str, x: TfliteTensor, sums: ChannelSums, raw: Ints, axis: int
) -> list[TfliteTensor | None]:
    """An operator's input, weights and biases."""
    factors = np.asarray([tilt.factor for tilt in sums.tilts])
    scales = np.ldexp(factors, -sums.weights.fracs)
    few = scales[:1] if sums.uniform else scales
    kernel = sheet.weights(f"{name}/kernel", raw, few, axis if few.size > 1 else 0)
    units = few * 2.0 ** -window_of(x).frac
    return [x, kernel, sheet.weights(f"{name}/bias", sums.bias, units, 0, kind="INT32")]


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
    grown_pads = sheet.numbers(f"{x.name}/pads", amounts)
    return sheet.operator("PAD", [x, grown_pads], shape, window_of(x)), False


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
    sums = settle_sums(op, window_of(x).frac, x.shape[-1], window, rounding)
    laid = sums.weights.raw
    raw = laid[None] if laid.ndim == 3 else laid  # (y, x, in / groups, out)
    strides, dilation = lift_pair(op.strides, 1), lift_pair(op.dilation, 1)
    x, same = pad_image(sheet, x, raw.shape[:2], strides, dilation, lifted_pads(op.pads))
    options = Options(fused=fused, strides=strides, dilation=dilation, same_padding=same)
    channels = x.shape[-1]
    if op.groups == 1:
        inputs = constants(sheet, op.name, x, sums, np.moveaxis(raw, -1, 0), 0)
        return sheet.operator("CONV_2D", inputs, shape, window, options)
    if op.groups == channels:
        inputs = constants(sheet, op.name, x, sums, raw.reshape(1, *raw.shape[:2], -1), 3)
        deep = replace(options, depth_multiplier=raw.shape[-1] // channels)
        return sheet.operator("DEPTHWISE_CONV_2D", inputs, shape, window, deep)
    axis = sheet.numbers(f"{op.name}/axis", 3)
    each = (*x.shape[:-1], channels // op.groups)
    parts = [sheet.tensor(f"{op.name}/{i}", each, window_of(x)) for i in range(op.groups)]
    sheet.append("SPLIT", [axis, x], parts, Options(count=op.groups))
    wide = raw.shape[-1] // op.groups
    results: list[TfliteTensor] = []
    for i, part in enumerate(parts):
        own = slice(i * wide, (i + 1) * wide)
        name = f"{op.name}/group{i}"
        inputs = constants(sheet, name, part, sums.part(own), np.moveaxis(raw[..., own], -1, 0), 0)
        one = (*shape[:-1], wide)
        results.append(sheet.operator("CONV_2D", inputs, one, window, options))
    return sheet.operator("CONCATENATION", results, shape, window, Options(axis=3))


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
    sums = settle_sums(op, window_of(x).frac, x.shape[-1], window, rounding)
    laid = np.moveaxis(sums.weights.raw, -1, 0)
    if len(shape) == 2 and sums.uniform:
        flat = sheet.reshape(x, (1, op.weight.shape[0]))
        inputs = constants(sheet, op.name, flat, sums, laid, 0)
        return sheet.operator("FULLY_CONNECTED", inputs, shape, window, Options(fused=fused))
    places = int(np.prod(shape[:-1], dtype=int))
    image = sheet.reshape(x, (1, 1, places, op.weight.shape[0]))
    inputs = constants(sheet, op.name, image, sums, laid[:, None, None], 0)
    wide = (1, 1, places, shape[-1])
    return sheet.operator("CONV_2D", inputs, wide, window, Options(fused=fused))


def mean(
    sheet: Sheet,
    x: TfliteTensor,
    pool: ops.Pool,
    factor: ops.Scale,
    shape: Shape,
    window: Window,
    rounding: Rounding | None,
) -> TfliteTensor:
    """The mean over a window brought to other levels at once: a sum that the kernel multiplies by
    the Program's own factor. Ones are stored as twos, so that roundings can be nudged where the
    factor is a power of two; by any other, XNNPACK sends ties to even."""
    height, width = lift_pair(pool.window, 1)
    channels = x.shape[-1]
    share = float(factor.factor.flat[0]) * 2.0**-factor.factor_type.frac
    end = NOTHING
    exponent = float(np.log2(share))
    if rounding is not None and exponent.is_integer():
        shift = window_of(x).frac - window.frac - int(exponent)
        end = ending_of(rounding, shift + 1, doubled=True) if shift > 0 else NOTHING
    scale = share / 2 * end.tilt.factor
    twos = np.full((1, height, width, channels), 2)
    kernel = sheet.weights(f"{pool.name}/twos", twos, [scale], 0)
    unit = scale * 2.0 ** -window_of(x).frac
    added = np.full(channels, end.added)
    bias = sheet.weights(f"{pool.name}/bias", added, [unit], 0, kind="INT32")
    # A window that covers an axis takes no step along it; Ethos-U has none of more than 3.
    steps = zip(lift_pair(pool.strides, 1), (height, width), x.shape[1:3], strict=True)
    strides = tuple(1 if reach == size else step for step, reach, size in steps)
    options = Options(strides=lift_pair(strides, 1), depth_multiplier=1)
    return sheet.operator("DEPTHWISE_CONV_2D", [x, kernel, bias], shape, window, options)


def regrid_tensor(
    sheet: Sheet, op: ops.Requant, x: TfliteTensor, window: Window, fused: str
) -> TfliteTensor | None:
    """A stored value rounded to a coarser grid by a convolution with twos, whose bias can be nudged
    as that of QUANTIZE cannot; None where QUANTIZE rounds as well, in every set of kernels."""
    shift = window_of(x).frac - window.frac
    if shift < 1 or (shift == 1 and op.rounding is Rounding.RND):
        return None
    channels = x.shape[-1]
    image = sheet.reshape(x, (1, 1, int(np.prod(x.shape[:-1], dtype=int)), channels))
    end = ending_of(op.rounding, shift + 1, doubled=True)
    scale = end.tilt.factor / 2
    kernel = sheet.weights(f"{op.name}/twos", np.full((1, 1, 1, channels), 2), [scale], 0)
    unit = scale * 2.0 ** -window_of(x).frac
    added = np.full(channels, end.added)
    bias = sheet.weights(f"{op.name}/bias", added, [unit], 0, kind="INT32")
    options = Options(fused=fused, depth_multiplier=1)
    inputs = [image, kernel, bias]
    regridded = sheet.operator("DEPTHWISE_CONV_2D", inputs, image.shape, window, options)
    return sheet.reshape(regridded, x.shape)


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
    sums = settle_sums(op, window_of(x).frac, channels, window, rounding)
    raw = sums.weights.raw.reshape(1, 1, 1, channels)
    inputs = constants(sheet, op.name, x, sums, raw, 3)
    options = Options(fused=fused, depth_multiplier=1)
    return sheet.operator("DEPTHWISE_CONV_2D", inputs, x.shape, window, options)
