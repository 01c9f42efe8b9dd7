# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pools and means, with the division of the reference kernels: to the nearest, halves away."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.graph.nodes import PoolNode, PoolNodeKind, Shape, TransposeNode
from edgeinfer.graph.windows import count_elements
from edgeinfer.readers.tflite.linear import pads_of, stored_input
from edgeinfer.readers.tflite.multipliers import (
    FRAC,
    Multipliers,
    multipliers_of,
    scale_of,
    zero_of,
)
from edgeinfer.readers.tflite.rescaling import Sums, limit, rescale
from edgeinfer.readers.tflite.values import ZERO, StepDrawing, Steps, UnreadableOperatorError, inner
from quantization.fixed import Ints, Overflow, Quantizer, Rounding, fixed_of_range


def same_scale(x: Steps, out: TfliteTensor) -> None:
    """Refuse an output with another scale or zero point than the input has."""
    if scale_of(out) != x.scale or zero_of(out) != x.zero:
        raise UnreadableOperatorError(
            f"its output has the scale {scale_of(out):g} and the zero point {zero_of(out)}, its "
            f"input {x.scale:g} and {x.zero}; only equal ones can be read"
        )


def read_max_pool(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """MAX_POOL_2D."""
    same_scale(x, op.outputs[0])
    tensor = d.add(PoolNode(f"{name}_pool", x.tensor, PoolNodeKind.MAX, *_window(op, x)))
    sums = Sums(tensor, np.asarray(x.low), np.asarray(x.high))
    return limit(d, name, sums, op.outputs[0], op.options.fused)


def read_average_pool(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """AVERAGE_POOL_2D: the sum of stored integers (not of steps) divided by their number."""
    out = op.outputs[0]
    same_scale(x, out)
    window, strides, pads = _window(op, x)
    counts = _counts(x.shape[1:3], window, strides, pads)
    stored = _add_whole(d, f"{name}_stored", x.tensor, x.zero)
    tensor = d.add(PoolNode(f"{name}_sums", stored, PoolNodeKind.SUM, window, strides, pads))
    ends = [(end + x.zero) * math.prod(window) for end in (x.low, x.high)]
    sums = Sums(tensor, np.asarray(min(*ends, 0)), np.asarray(max(*ends, 0)))
    mean = divide(d, name, sums, counts, (x.low + x.zero, x.high + x.zero))
    back = Sums(
        _add_whole(d, f"{name}_steps", mean.tensor, -x.zero), mean.low - x.zero, mean.high - x.zero
    )
    return limit(d, name, back, out, op.options.fused)


def divide(d: StepDrawing, name: str, x: Sums, counts: Ints, bounds: tuple[int, int]) -> Sums:
    """Append x / counts to the nearest integer, halves away from zero; it lies within the bounds.

    The inverse of a count is rounded up so finely that no quotient passes a half that it does not
    reach, and so that a quotient that is a half lies beyond it.
    """
    count = int(counts.max())
    bits = (2 * count * (x.reach + 1)).bit_length()
    exact = int(counts.min()) == count and count.bit_count() == 1
    frac = count.bit_length() - 1 if exact else bits
    inverse = -(-(1 << frac) // counts)
    quantizer = Quantizer(fixed_of_range(*bounds, 0), Rounding.RND_INF, Overflow.SAT)
    tensor = d.affine(d.fresh(f"{name}_mean"), x.tensor, inverse, frac, quantizer)
    return Sums(tensor, np.asarray(bounds[0]), np.asarray(bounds[1]))


def read_mean(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """MEAN: the sum of steps times a scale, of which one over the count is a part."""
    return _read_sum_over_axes(d, name, op, x, mean=True)


def read_reduced_sum(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """SUM: the sum of steps times a scale; the kernel for INT8 computes with real numbers."""
    return _read_sum_over_axes(d, name, op, x, mean=False)


def _read_sum_over_axes(d: StepDrawing, name: str, op: Operator, x: Steps, *, mean: bool) -> Steps:
    out = op.outputs[0]
    tensor, count = _reduce(d, f"{name}_sums", op, x, PoolNodeKind.SUM)
    sums = Sums(tensor, np.asarray(x.low * count), np.asarray(x.high * count))
    by = multipliers_of([float(x.scale) / float(scale_of(out))])
    by = _divide_multiplier(by, count) if mean else by
    away = not mean and out.type == "INT8"
    rescaled = rescale(d, name, sums, by, out, away=away)
    tensor = d.reshape(f"{name}_shaped", rescaled.tensor, inner(out.shape))
    return replace(rescaled, tensor=tensor)


def read_reduced_extreme(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """REDUCE_MAX and REDUCE_MIN: nothing is rounded. A minimum is the maximum of what is negated,
    negated."""
    out = op.outputs[0]
    same_scale(x, out)
    least = op.name == "REDUCE_MIN"
    minus = np.asarray(-1, np.int64)
    turned = d.affine(d.fresh(f"{name}_negated"), x.tensor, minus, 0) if least else x.tensor
    tensor, _ = _reduce(d, f"{name}_largest", op, replace(x, tensor=turned), PoolNodeKind.MAX)
    if least:
        tensor = d.affine(d.fresh(f"{name}_least"), tensor, minus, 0)
    tensor = d.reshape(f"{name}_shaped", tensor, inner(out.shape))
    return replace(x, tensor=tensor, shape=out.shape)


def _reduce(
    d: StepDrawing, name: str, op: Operator, x: Steps, kind: PoolNodeKind
) -> tuple[str, int]:
    """Append a pool over stored axes; its tensor, and how many elements become one."""
    axes = _axes(op, len(x.shape))
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    if inner(x.shape) == x.shape or 0 in axes:
        raise UnreadableOperatorError("it reduces the batch")
    if len(x.shape) == 4 and axes == (1, 2):  # of an image
        rows, window = x.tensor, x.shape[1:3]
    else:
        order = tuple(axis - 1 for axis in (*kept[1:], *axes))
        rows = x.tensor
        if order != tuple(sorted(order)):
            rows = d.add(TransposeNode(d.fresh(f"{name}_turned"), rows, order))
        places = math.prod(x.shape[axis] for axis in kept)
        rows, window = d.reshape(f"{name}_rows", rows, (places, count, 1)), (1, count)
    return d.add(PoolNode(name, rows, kind, window, window, ((0, 0), (0, 0)))), count


def _divide_multiplier(by: Multipliers, count: int) -> Multipliers:
    """A multiplier over a count, as much to the left as the count is long."""
    shift = min(count.bit_length() - 1, FRAC + int(by.shifts[0]))
    return Multipliers((by.factors << shift) // count, by.shifts - shift)


def _axes(op: Operator, rank: int) -> tuple[int, ...]:
    axes = stored_input(op, 1, "its axes are").integers().reshape(-1)
    return tuple(sorted({int(axis) % rank for axis in axes}))


def _add_whole(d: StepDrawing, name: str, x: str, offset: int) -> str:
    """Whole numbers plus a whole number."""
    if not offset:
        return x
    return d.affine(d.fresh(name), x, ZERO + 1, 0, None, np.asarray(offset, np.int64))


def _window(op: Operator, x: Steps) -> tuple[Shape, Shape, tuple[tuple[int, int], ...]]:
    if len(x.shape) != 4 or x.shape[0] != 1:
        raise UnreadableOperatorError(f"an image of {x.shape} cannot be read")
    options = op.options
    pads = pads_of(x.shape[1:3], options.window, options.strides, (1, 1), same=options.same_padding)
    return options.window, options.strides, pads


def _counts(sizes: Shape, window: Shape, strides: Shape, pads: tuple[tuple[int, int], ...]) -> Ints:
    """How many elements lie under the window: one number, or one for each place."""
    counts = count_elements(sizes, window, strides, pads)
    return np.asarray(counts.max() if counts.min() == counts.max() else counts[..., None])
