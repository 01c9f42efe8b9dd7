# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that multiply with weights: Conv, Gemm, MatMul, BatchNormalization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgeinfer.graph.nodes import BatchNormNode, ConvNode, DenseNode, Floats, MergeKind
from edgeinfer.readers.onnx.affine import scale_view, uniform
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    ZERO,
    Const,
    View,
    arrange_axes,
    axis_of,
    settle_scale,
    shrink_array,
)
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.space import pads_of, spatial, sum_window
from edgeinfer.readers.onnx.weights import bias_of, finite, kernel_of, move_const, transpose_const


def conv(d: Drawing, op: OnnxOp, args: Args, *, channels_last: bool = False) -> View:
    """Conv; channels_last: x is (batch, *space, channels), weights are (out, *window, in)."""
    x, weights = data(args, 0), constant(args, 1, "weights")
    rank = weights.value.ndim - 2
    if rank not in (1, 2):
        raise UnreadableModelError(f"it has {rank} spatial axes; one or two can be read")
    x = spatial(d, uniform(d, x), rank, channels_last=channels_last)
    space = tuple(range(1, rank + 1))
    weights = transpose_const(
        weights, (*space, rank + 1, 0) if channels_last else (*(a + 1 for a in space), 1, 0)
    )
    window = weights.value.shape[:rank]
    if op.wholes("kernel_shape") not in (None, window):
        raise UnreadableModelError(
            f"its kernel_shape is {op.wholes('kernel_shape')}, its weights' {window}"
        )
    strides = op.wholes("strides") or (1,) * rank
    dilation = op.wholes("dilations") or (1,) * rank
    pads = pads_of(op, d.shapes[x.tensor][:-1], window, strides, dilation)
    groups = op.whole("group", 1)
    plain = len(args) < 3 and weights.grid is None and set(dilation) == {1}
    alone = groups == d.shapes[x.tensor][-1] == weights.value.shape[-1]
    if d.quantized and plain and alone and (weights.value == 1).all():
        return sum_window(d, op, x, window, strides, pads)
    name = d.named(op)

    def node(values: Floats, bias: Floats | None) -> ConvNode:
        return ConvNode(name, name, x.tensor, values, bias, strides, pads, dilation, groups)

    return _linear(d, name, x, weights, constant_or_none(args, 2, "bias"), (1.0, 1.0), node)


def gemm(d: Drawing, op: OnnxOp, args: Args) -> View:
    """alpha A B + beta C."""
    x, weights = data(args, 0), constant(args, 1, "weights")
    if op.whole("transA", 0):
        raise UnreadableModelError("it transposes its input across the batch")
    if op.whole("transB", 0):
        weights = transpose_const(weights, (1, 0))
    bias = args[2] if len(args) > 2 else None
    factors = op.real("alpha", 1.0), op.real("beta", 1.0)
    if not isinstance(bias, View):
        return _dense(d, op, x, weights, bias, factors)
    y = _dense(d, op, x, weights, None, factors)
    if factors[1] != 1.0:
        bias = scale_view(d, op, bias, np.asarray(factors[1]), ZERO)
    return merge_views(d, op, [y, bias], MergeKind.ADD)


def matmul(d: Drawing, op: OnnxOp, args: Args) -> View:
    """x W, or W x with the last two axes of x swapped around it."""
    a, b = args[0], args[1]
    if isinstance(a, View) and isinstance(b, Const):
        return _dense(d, op, a, _matrix(b), None, (1.0, 1.0))
    if isinstance(a, Const) and isinstance(b, View) and a.value.ndim == 2 and b.rank > 2:
        y = _dense(d, op, _swap_operands(d, b), transpose_const(a, (1, 0)), None, (1.0, 1.0))
        return _swap_operands(d, y)
    raise UnreadableModelError("both its inputs depend on the network's input")


def _matrix(const: Const) -> Const:
    shape = const.value.shape
    if len(shape) > 2 and all(size == 1 for size in shape[:-2]):
        return move_const(const, lambda values: values.reshape(shape[-2:]))
    if len(shape) != 2:
        raise UnreadableModelError(f"weights of shape {shape} are not a matrix")
    return const


def _swap_operands(d: Drawing, view: View) -> View:
    last, before = axis_of(d, view, -1), axis_of(d, view, -2)
    order = list(view.order)
    order[last], order[before] = order[before], order[last]
    return replace(view, order=tuple(order))


def _dense(
    d: Drawing,
    op: OnnxOp,
    x: View,
    weights: Const,
    bias: Const | None,
    factors: tuple[float, float],
) -> View:
    if weights.value.ndim != 2:
        raise UnreadableModelError(f"weights of shape {weights.value.shape} are not a matrix")
    last = axis_of(d, x, -1)
    x = uniform(d, x)
    axes = len(d.shapes[x.tensor])
    if x.order[last] != axes - 1 or len([a for a in x.order if a is not None]) < axes:
        x = arrange_axes(d, x)
    if x.folded is not None:
        index = x.folded.index
        if len(index) != weights.value.shape[0]:
            raise UnreadableModelError(
                f"{weights.value.shape} weights do not fit {len(index)} inputs"
            )
        back = np.argsort(index)
        weights = move_const(weights, lambda values: values[back])
        x = replace(x, folded=None)
    name = d.named(op)

    def node(values: Floats, bias: Floats | None) -> DenseNode:
        return DenseNode(name, name, x.tensor, values, bias)

    return _linear(d, name, x, weights, bias, factors, node)


def _linear(
    d: Drawing,
    name: str,
    x: View,
    weights: Const,
    bias: Const | None,
    factors: tuple[float, float],
    node: Callable[[Floats, Floats | None], ConvNode | DenseNode],
) -> View:
    """The node, its formats, and what it leaves owed."""
    kernel = kernel_of(d, weights, name)
    channels = kernel.values.shape[-1]
    scale = shrink_array(x.scale * kernel.scale * factors[0])
    added = bias_of(d, bias, factors[1], scale, channels)
    d.add(node(kernel.values, added.inside))
    if kernel.format is not None:
        d.weights[f"{name}/kernel"] = kernel.format
    if added.format is not None:
        d.weights[f"{name}/bias"] = added.format
    return replace(
        x, tensor=name, scale=scale, shift=added.after, exclusive=True, label=f"{name}_scale"
    )


def batch_norm(d: Drawing, op: OnnxOp, args: Args, *, channels_last: bool = False) -> View:
    """BatchNormalization as in inference."""
    if op.whole("training_mode", 0):
        raise UnreadableModelError("it is in training mode; export the model for inference")
    if op.whole("spatial", 1) != 1:
        raise UnreadableModelError("its statistics are not by channel (spatial=0)")
    if len([output for output in op.outputs if output]) > 1 and op.version >= 14:
        raise UnreadableModelError("it also yields statistics; export the model for inference")
    x = data(args, 0)
    gamma, beta, mean, variance = (
        finite(constant(args, place, what), what).reshape(-1)
        for place, what in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance"))
    )
    counts = {len(values) for values in (gamma, beta, mean, variance)}
    if len(counts) > 1:
        raise UnreadableModelError(f"its statistics count {sorted(counts)} channels")
    epsilon = op.real("epsilon", 1e-5)
    if (variance + epsilon <= 0).any():
        raise UnreadableModelError("its variance has values that are not positive")
    channel = axis_of(d, x, x.rank - 1 if channels_last else 1)
    if d.quantized:
        scale = gamma / np.sqrt(variance + epsilon)
        spread = (len(gamma), *(1,) * (len(x.order) - channel - 1))
        shift = beta - mean * scale
        return scale_view(d, op, x, scale.reshape(spread), shift.reshape(spread))
    x = settle_scale(d, x)
    if x.order[channel] != len(d.shapes[x.tensor]) - 1:
        x = arrange_axes(d, x, (*(a for a in range(len(x.order)) if a != channel), channel))
    if x.folded is not None:
        back = np.argsort(x.folded.index)
        gamma, beta, mean, variance = (v[back] for v in (gamma, beta, mean, variance))
    if d.shapes[x.tensor][-1] != len(gamma):
        raise UnreadableModelError(
            f"{len(gamma)} scales do not fit {d.shapes[x.tensor][-1]} channels"
        )
    name = d.named(op)
    d.add(BatchNormNode(name, name, x.tensor, gamma, beta, mean, variance, epsilon))
    return replace(x, tensor=name, exclusive=True)
