# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Axes reduced to one number: sums, means, extremes, norms, and what is made of them."""

from __future__ import annotations

import math
from dataclasses import replace

from edgeinfer.graph.nodes import Function, MergeKind, PoolNodeKind
from edgeinfer.readers.onnx.args import Args, data, setting
from edgeinfer.readers.onnx.drawing import Drawing, arranged_tensor
from edgeinfer.readers.onnx.elementwise import absolute, add_activation, negate_view, subtract
from edgeinfer.readers.onnx.layout import (
    View,
    arrange_axes,
    axis_of,
    file_shape,
    settle_arrays,
    settle_scale,
    sizes,
    with_all_axes,
)
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.moves import cut, reshape_view
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.space import add_pool, carry_pool, pads_of, spatial

MOST_FACTORS = 64  # of a product: each is a node
POOLS = {
    "ReduceMax": PoolNodeKind.MAX,
    "ReduceMean": PoolNodeKind.AVERAGE,
    "ReduceSum": PoolNodeKind.SUM,
}
OTHERS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMin", "ReduceProd"),
    "ReduceSumSquare",
)


def reduce(d: Drawing, op: OnnxOp, args: Args) -> View:
    """The operators Reduce..., over any axes but the batch."""
    x = data(args, 0)
    if op.kind == "ReduceMean" and x.integer:
        raise UnreadableModelError("it takes the mean of integers, which drops what remains")
    axes = setting(op, args, "axes", 1)
    if not axes:
        if op.whole("noop_with_empty_axes", 0):
            if op.kind in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"):
                return x
            raise UnreadableModelError("it reduces no axes")
        if d.batch != 1:
            raise UnreadableModelError("it reduces all axes, the batch among them")
        axes = tuple(range(x.rank))
    if d.batch == 1 and any(axis % x.rank == 0 for axis in axes):
        x = with_all_axes(x)
    removed = sorted({axis_of(d, x, axis) for axis in axes})
    have = file_shape(d, x)
    y = _reduce_kind(d, op, x, removed)
    if op.whole("keepdims", 1) != 1:
        first = 0 if x.merged else 1
        return reshape_view(d, y, tuple(s for p, s in enumerate(have) if p - first not in removed))
    return y


def _reduce_kind(d: Drawing, op: OnnxOp, x: View, removed: list[int]) -> View:
    """The axes `removed` (indices into `order`) of size 1."""
    match op.kind:
        case "ReduceMin":
            largest = _reduce_view(d, op, negate_view(d, op, (x,)), removed, PoolNodeKind.MAX)
            return negate_view(d, op, (largest,))
        case "ReduceL1":
            return _reduce_view(d, op, absolute(d, op, (x,)), removed, PoolNodeKind.SUM)
        case "ReduceL2" | "ReduceSumSquare":
            square = merge_views(d, op, [x, x], MergeKind.MULTIPLY)
            total = _reduce_view(d, op, square, removed, PoolNodeKind.SUM)
            return total if op.kind != "ReduceL2" else add_activation(d, op, total, Function.SQRT)
        case "ReduceLogSum":
            total = _reduce_view(d, op, x, removed, PoolNodeKind.SUM)
            return add_activation(d, op, total, Function.LOG)
        case "ReduceLogSumExp":
            x = settle_scale(d, x)
            largest = _reduce_view(d, op, x, removed, PoolNodeKind.MAX)
            rest = _log_of_sum(d, op, subtract(d, op, x, largest), removed)
            return merge_views(d, op, [rest, largest], MergeKind.ADD)
        case "ReduceProd":
            return _multiply_axes(d, op, settle_scale(d, x), removed)
        case _:  # the three that are pools
            return _reduce_view(d, op, x, removed, POOLS[op.kind])


def length_pool(d: Drawing, op: OnnxOp, args: Args) -> View:
    """LpPool and GlobalLpPool: the p-th root of the sum of magnitudes to the power of p."""
    power = op.real("p", 2)
    if power < 1:
        raise UnreadableModelError(f"its p is {power:g}; 1 and more can be read")
    if any(step != 1 for step in op.wholes("dilations") or ()) or op.whole("ceil_mode", 0):
        raise UnreadableModelError("its window is dilated, or its size is rounded up")
    x = settle_scale(d, data(args, 0))
    rank = x.rank - 2
    square = power == 2
    parts = merge_views(d, op, [x, x], MergeKind.MULTIPLY) if square else absolute(d, op, (x,))
    if power > 2:
        parts = add_activation(d, op, parts, Function.POWER, (power,))
    parts = spatial(d, parts, rank)
    space, ones = d.shapes[parts.tensor][:-1], (1,) * rank
    if op.kind == "GlobalLpPool":
        window, strides, pads = space, ones, ((0, 0),) * rank
    else:
        window, strides = op.wholes("kernel_shape") or (), op.wholes("strides") or ones
        if len(window) != rank or rank not in (1, 2, 3):
            raise UnreadableModelError(f"its window {window} does not fit {rank} spatial axes")
        pads = pads_of(op, space, window, strides, ones)
    total = add_pool(d, op, parts, PoolNodeKind.SUM, window, strides, pads)
    if power == 1:
        return total
    if square:
        return add_activation(d, op, total, Function.SQRT)
    return add_activation(d, op, total, Function.POWER, (1.0 / power,))


def log_softmax(d: Drawing, op: OnnxOp, args: Args) -> View:
    """x - max(x) - log(sum(exp(x - max(x)))), which no exponential overflows; before operator set
    13 over all axes from `axis` on."""
    x = settle_scale(d, data(args, 0))
    axis = axis_of(d, x, op.whole("axis", 1 if op.version < 13 else -1))
    have = file_shape(d, x)
    if op.version < 13:
        first = axis + (0 if x.merged else 1)
        x = reshape_view(d, x, (*have[:first], math.prod(have[first:])))
        axis = len(x.order) - 1
    below = subtract(d, op, x, _reduce_view(d, op, x, [axis], PoolNodeKind.MAX))
    return reshape_view(d, subtract(d, op, below, _log_of_sum(d, op, below, [axis])), have)


def _log_of_sum(d: Drawing, op: OnnxOp, x: View, removed: list[int]) -> View:
    powers = add_activation(d, op, x, Function.EXPONENTIAL)
    total = _reduce_view(d, op, powers, removed, PoolNodeKind.SUM)
    return add_activation(d, op, total, Function.LOG)


def _multiply_axes(d: Drawing, op: OnnxOp, x: View, removed: list[int]) -> View:
    for axis in removed:
        count = sizes(d, x)[axis]
        if count > MOST_FACTORS:
            raise UnreadableModelError(
                f"it multiplies {count} numbers; at most {MOST_FACTORS} can be read"
            )
        if count > 1:
            parts = [cut(d, op, x, axis, i, i + 1) for i in range(count)]
            x = merge_views(d, op, parts, MergeKind.MULTIPLY)
    return x


def _reduce_view(d: Drawing, op: OnnxOp, x: View, removed: list[int], kind: PoolNodeKind) -> View:
    """The view with the axes `removed` of size 1, by a pool over all of them."""
    x = carry_pool(d, x, kind)
    kept = [place for place in range(len(x.order)) if place not in removed]
    x = arrange_axes(d, settle_arrays(d, x), (*removed, *kept))
    shape = d.shapes[x.tensor]
    window, rest = shape[: len(removed)], shape[len(removed) :]
    if len(removed) in (1, 2) and len(kept) == 1:
        return add_pool(d, op, x, kind, window, window, ((0, 0),) * len(removed))
    count = math.prod(window)
    rows = arranged_tensor(d, x.tensor, tuple(range(len(shape))), (count, math.prod(rest)))
    y = add_pool(d, op, replace(x, tensor=rows), kind, (count,), (count,), ((0, 0),))
    back = arranged_tensor(d, y.tensor, (0, 1), ((1,) * len(removed)) + rest)
    return replace(y, tensor=back)
