# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that multiply with weights: Conv, Gemm, MatMul, BatchNormalization."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgeinfer.graph import volumes
from edgeinfer.graph.compose import OperatorSite
from edgeinfer.graph.nodes import (
    BatchNormNode,
    ConvNode,
    DenseNode,
    Floats,
    MergeKind,
    PoolNodeKind,
)
from edgeinfer.graph.volumes import VolumeWindow
from edgeinfer.readers.onnx.affine import scale_view, uniform
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data, epsilon_of
from edgeinfer.readers.onnx.composed import multiply_tensors
from edgeinfer.readers.onnx.drawing import Drawing, arranged_tensor
from edgeinfer.readers.onnx.layout import (
    ZERO,
    Const,
    Value,
    View,
    arrange_axes,
    axis_of,
    file_shape,
    settle_scale,
    sizes,
    with_all_axes,
)
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.moves import reshape_view
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.space import add_pool, pads_of, refuse_window, spatial
from edgeinfer.readers.onnx.weights import bias_of, finite, kernel_of, move_const, transpose_const
from quantization.ranges import shrink_array


def conv(d: Drawing, op: OnnxOp, args: Args, *, channels_last: bool = False) -> View:
    """Conv; channels_last: x is (batch, *space, channels), weights are (out, *window, in)."""
    x, weights = data(args, 0), constant(args, 1, "weights")
    rank = weights.value.ndim - 2
    if rank not in (1, 2, 3):
        raise UnreadableModelError(f"it has {rank} spatial axes; up to three can be read")
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
        return add_pool(d, op, x, PoolNodeKind.SUM, window, strides, pads)  # ones: a sum of windows
    name = d.named(op)
    if rank == 3:
        over = VolumeWindow(window, strides, pads, dilation)
        return conv_volume(d, op, x, weights, constant_or_none(args, 2, "bias"), over, groups)

    def node(values: Floats, bias: Floats | None) -> ConvNode:
        return ConvNode(name, name, x.tensor, values, bias, strides, pads, dilation, groups)

    return add_linear(d, name, x, weights, constant_or_none(args, 2, "bias"), node)


def conv_volume(
    d: Drawing,
    op: OnnxOp,
    x: View,
    weights: Const,
    bias: Const | None,
    over: VolumeWindow,
    groups: int,
) -> View:
    """A convolution of a volume, as one of a tall image."""
    sizes, channels = d.shapes[x.tensor][:-1], d.shapes[x.tensor][-1]
    refuse_window(d, x, over)
    if groups < 1 or channels % groups:
        raise UnreadableModelError(f"{channels} channels do not form {groups} groups")
    name = d.named(op)
    site = OperatorSite(d, name)
    image = volumes.stack_slices(site, x.tensor, over, groups)
    place = (over.strides[1:], ((0, 0), (0, 0)), over.dilation[1:], groups)

    def node(values: Floats, shift: Floats | None) -> ConvNode:
        return ConvNode(name, name, image, values, shift, *place)

    kernel = move_const(weights, volumes.flatten_kernel)
    y = add_linear(d, name, replace(x, tensor=image), kernel, bias, node)
    return replace(y, tensor=volumes.unstack_slices(site, y.tensor, over, sizes))


def gemm(d: Drawing, op: OnnxOp, args: Args) -> View:
    """alpha A B + beta C."""
    factors = op.real("alpha", 1.0), op.real("beta", 1.0)
    bias = args[2] if len(args) > 2 else None
    if isinstance(args[0], Const):
        return _gemm_from_left(d, op, args[0], data(args, 1), bias, factors)
    x, weights = data(args, 0), constant(args, 1, "weights")
    if op.whole("transA", 0):
        if d.batch != 1:
            raise UnreadableModelError("it transposes its input across the batch")
        x = _swap_operands(d, with_all_axes(x))
    if op.whole("transB", 0):
        weights = transpose_const(weights, (1, 0))
    if not isinstance(bias, View) and (bias is None or _is_row(bias)):
        return _dense(d, op, x, weights, bias, factors)
    return _add(d, op, _dense(d, op, x, weights, None, factors), bias, factors[1])


def _is_row(bias: Const) -> bool:
    return all(size == 1 for size in bias.value.shape[:-1])


def _gemm_from_left(
    d: Drawing,
    op: OnnxOp,
    weights: Const,
    x: View,
    bias: Value | None,
    factors: tuple[float, float],
) -> View:
    """A constant matrix times a tensor, both perhaps transposed."""
    if d.batch != 1:
        raise UnreadableModelError("it multiplies along the batch")
    x = with_all_axes(x)
    if not op.whole("transB", 0):
        x = _swap_operands(d, x)
    if not op.whole("transA", 0):
        weights = transpose_const(weights, (1, 0))
    y = _swap_operands(d, _dense(d, op, x, weights, None, (factors[0], 1.0)))
    return y if bias is None else _add(d, op, y, bias, factors[1])


def _add(d: Drawing, op: OnnxOp, y: View, bias: Value, factor: float) -> View:
    if isinstance(bias, Const):
        return scale_view(d, op, y, np.ones(()), factor * finite(bias, "bias"))
    if factor != 1.0:
        bias = scale_view(d, op, bias, np.asarray(factor), ZERO)
    return merge_views(d, op, [y, bias], MergeKind.ADD)


def matmul(d: Drawing, op: OnnxOp, args: Args) -> View:
    """x W, or W x with the last two axes of x swapped around it; W may be a stack of matrices."""
    a, b = args[0], args[1]
    if isinstance(a, View) and isinstance(b, Const):
        if b.value.ndim == 1:
            column = move_const(b, lambda values: values.reshape(-1, 1))
            y = _dense(d, op, a, column)
            return reshape_view(d, y, file_shape(d, y)[:-1])
        return _times(d, op, a, b)
    if isinstance(a, Const) and isinstance(b, View) and a.value.ndim >= 2 and b.rank > 1:
        if d.batch == 1 and b.rank == 2:
            b = with_all_axes(b)
        order = (*range(a.value.ndim - 2), a.value.ndim - 1, a.value.ndim - 2)
        return _swap_operands(d, _times(d, op, _swap_operands(d, b), transpose_const(a, order)))
    if isinstance(a, View) and isinstance(b, View):
        return multiply_tensors(d, op, a, b)
    raise UnreadableModelError("it multiplies a vector, or a constant, with what it cannot read")


def _times(d: Drawing, op: OnnxOp, x: View, weights: Const) -> View:
    shape = weights.value.shape
    if all(size == 1 for size in shape[:-2]) and len(shape) <= max(x.rank, 2):
        return _dense(d, op, x, _matrix(weights))
    if d.batch == 1 and len(shape) == x.rank and shape[0] > 1:
        x = with_all_axes(x)
    lead = shape[:-2] if x.merged else shape[1:-2]
    have = sizes(d, x)
    stacked = len(shape) == x.rank and have[:-2] == lead and (x.merged or shape[0] == 1)
    if not stacked or have[-1] != shape[-2]:
        raise UnreadableModelError(
            f"weights of shape {shape} do not fit a tensor of {file_shape(d, x)}; a matrix can be "
            f"read, or a stack of them, one for each matrix of the tensor"
        )
    return _multiply_stacks(d, op, x, weights, math.prod(lead))


def _multiply_stacks(d: Drawing, op: OnnxOp, x: View, weights: Const, count: int) -> View:
    """Matrices times matrices: a convolution of width 1 that has a group for each."""
    x = uniform(d, x)
    have = sizes(d, x)
    steps, width, out = have[-2], have[-1], weights.value.shape[-1]
    lead = tuple(range(len(have) - 2))
    x = arrange_axes(d, x, (len(have) - 2, *lead, len(have) - 1))
    axes = tuple(range(len(have)))
    rows = arranged_tensor(d, x.tensor, axes, (steps, count * width))
    kernel = move_const(
        weights,
        lambda values: values.reshape(count, width, out).swapaxes(0, 1).reshape(1, width, -1),
    )
    name = d.named(op)

    def node(values: Floats, bias: Floats | None) -> ConvNode:
        return ConvNode(name, name, rows, values, bias, (1,), ((0, 0),), (1,), count)

    y = add_linear(d, name, replace(x, tensor=rows), kernel, None, node)
    y = settle_scale(d, y) if y.scale.ndim else y
    back = arranged_tensor(d, y.tensor, (0, 1), (steps, *have[:-2], out))
    return replace(y, tensor=back, order=(*(axis + 1 for axis in lead), 0, len(have) - 1))


def _matrix(const: Const) -> Const:
    shape = const.value.shape
    if len(shape) > 2:
        return move_const(const, lambda values: values.reshape(shape[-2:]))
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
    bias: Const | None = None,
    factors: tuple[float, float] = (1.0, 1.0),
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

    return add_linear(d, name, x, weights, bias, node, factors)


def add_linear(
    d: Drawing,
    name: str,
    x: View,
    weights: Const,
    bias: Const | None,
    node: Callable[[Floats, Floats | None], ConvNode | DenseNode],
    factors: tuple[float, float] = (1.0, 1.0),
) -> View:
    """A layer by its node, whose kernel counts output channels last, its formats, and what it
    leaves owed. The factors are those of kernel and bias."""
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
    epsilon = epsilon_of(op)
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
