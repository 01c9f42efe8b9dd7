# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Dense layers and convolutions: products of steps and weights, a bias in their unit, a scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.graph import nodes as g
from edgeinfer.graph.compose import OperatorSite, multiply_rows, reshape, transpose
from edgeinfer.graph.windows import dilate_window, same_pads
from edgeinfer.readers.tflite.multipliers import Multipliers, multipliers_of, scale_of, stored_range
from edgeinfer.readers.tflite.rescaling import Sums, rescale
from edgeinfer.readers.tflite.values import StepDrawing, Steps, UnreadableOperatorError, inner
from quantization.fixed import Ints


def read_dense(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """FULLY_CONNECTED: rows of the input times the rows of the weights."""
    stored, out = stored_input(op, 1), op.outputs[0]
    if not op.options.default_weights or stored.type not in ("INT8", "UINT8"):
        raise UnreadableOperatorError("its weights are shuffled or not of 8 bits")
    if len(stored.shape) != 2 or math.prod(x.shape) % stored.shape[1]:
        raise UnreadableOperatorError(f"weights of {stored.shape} do not fit {x.shape}")
    kernel = _weights(stored, 0).T
    rows = math.prod(x.shape) // stored.shape[1]
    flat = d.reshape(f"{name}_rows", x.tensor, inner((rows, stored.shape[1])))
    kernel, bias = _without_dead(kernel, _bias(op, kernel.shape[-1]), x, op)
    node = g.DenseNode(
        f"{name}_sums",
        name,
        flat,
        d.hold(f"{name}/kernel", kernel),
        None if bias is None else d.hold(f"{name}/bias", bias),
    )
    sums = _bound_sums(d.add(node), kernel, bias, x)
    by = _scales(op, x, stored)
    rescaled = rescale(d, name, sums, by, out, op.options.fused, twice=False)
    tensor = d.reshape(f"{name}_shaped", rescaled.tensor, inner(out.shape))
    return Steps(tensor, out.shape, rescaled.low, rescaled.high, rescaled.scale, rescaled.zero)


def read_conv(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """CONV_2D: weights (out, y, x, in); the input may have several groups of channels."""
    stored = stored_input(op, 1)
    kernel = _weights(stored, 0).transpose(1, 2, 3, 0) if len(stored.shape) == 4 else None
    if kernel is None or len(x.shape) != 4 or x.shape[3] % kernel.shape[2]:
        raise UnreadableOperatorError(f"weights of {stored.shape} do not fit {x.shape}")
    return _convolve(d, name, op, x, kernel, x.shape[3] // kernel.shape[2])


def read_depthwise(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """DEPTHWISE_CONV_2D: weights (1, y, x, out)."""
    stored = stored_input(op, 1)
    if len(stored.shape) != 4 or len(x.shape) != 4 or stored.shape[0] != 1:
        raise UnreadableOperatorError(f"weights of {stored.shape} do not fit {x.shape}")
    kernel = _weights(stored, 3).transpose(1, 2, 0, 3)
    return _convolve(d, name, op, x, kernel, x.shape[3])


def _convolve(
    d: StepDrawing, name: str, op: Operator, x: Steps, kernel: Ints, groups: int
) -> Steps:
    options = op.options
    window = kernel.shape[:2]
    pads = pads_of(
        x.shape[1:3], window, options.strides, options.dilation, same=options.same_padding
    )
    kernel, bias = _without_dead(kernel, _bias(op, kernel.shape[-1]), x, op)
    node = g.ConvNode(
        f"{name}_sums",
        name,
        x.tensor,
        d.hold(f"{name}/kernel", kernel),
        None if bias is None else d.hold(f"{name}/bias", bias),
        options.strides,
        pads,
        options.dilation,
        groups,
    )
    sums = _bound_sums(d.add(node), kernel, bias, x)
    return rescale(d, name, sums, _scales(op, x, stored_input(op, 1)), op.outputs[0], options.fused)


def read_transposed(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """TRANSPOSE_CONV: zeros between the elements, then a convolution with the kernel turned round.

    Its weights are (out, y, x, in), its input comes third.
    """
    stored, out, strides = stored_input(op, 1), op.outputs[0], op.options.strides
    if len(stored.shape) != 4 or len(x.shape) != 4 or len(out.shape) != 4:
        raise UnreadableOperatorError(f"weights of {stored.shape} do not fit {x.shape}")
    kernel = np.flip(_weights(stored, 0).transpose(1, 2, 3, 0), (0, 1))
    window, result_size = kernel.shape[:2], out.shape[1:3]
    cut = pads_of(result_size, window, strides, (1, 1), same=op.options.same_padding)
    before = tuple(width - 1 - pad[0] for width, pad in zip(window, cut, strict=True))
    spread = _spread(d, name, x, strides, result_size, before, window)
    sizes = d.shapes[spread][:2]
    after = tuple(
        size + width - 1 - pad - have
        for size, width, pad, have in zip(result_size, window, before, sizes, strict=True)
    )
    kernel, bias = _without_dead(kernel, _bias(op, kernel.shape[-1], 3), x, op)
    node = g.ConvNode(
        f"{name}_sums",
        name,
        spread,
        d.hold(f"{name}/kernel", kernel),
        None if bias is None else d.hold(f"{name}/bias", bias),
        (1, 1),
        tuple(zip(before, after, strict=True)),
        (1, 1),
    )
    sums = _bound_sums(d.add(node), kernel, bias, x)
    return rescale(d, name, sums, _scales(op, x, stored), out, op.options.fused)


def _spread(
    d: StepDrawing,
    name: str,
    x: Steps,
    strides: g.Shape,
    result_size: g.Shape,
    before: g.Shape,
    window: g.Shape,
) -> str:
    """Zeros after each element, those at the end only as far as the window gets."""
    rows, columns, channels = x.shape[1:]
    alone = d.reshape(f"{name}_alone", x.tensor, (rows, 1, columns, 1, channels))
    pads = ((0, 0), (0, strides[0] - 1), (0, 0), (0, strides[1] - 1), (0, 0))
    apart = d.add(g.PadNode(d.fresh(f"{name}_zeros"), alone, pads))
    sizes = (rows * strides[0], columns * strides[1])
    spread = d.reshape(f"{name}_spread", apart, (*sizes, channels))
    reach = [
        size + width - 1 - pad for size, width, pad in zip(result_size, window, before, strict=True)
    ]
    stops = tuple(min(size, end) for size, end in zip(sizes, reach, strict=True))
    if any(size - stop >= step for size, stop, step in zip(sizes, stops, strides, strict=True)):
        raise UnreadableOperatorError(f"its output {result_size} leaves out some of its input")
    if stops == sizes:
        return spread
    node = g.SliceNode(d.fresh(f"{name}_cut"), spread, (0, 0, 0), (*stops, channels), (1, 1, 1))
    return d.add(node)


def pads_of(
    sizes: g.Shape, window: g.Shape, strides: g.Shape, dilation: g.Shape, *, same: bool
) -> tuple[tuple[int, int], ...]:
    """What TensorFlow's padding puts around an image."""
    if same:
        return same_pads(sizes, window, strides, dilation)
    if any(
        size < reach for size, reach in zip(sizes, dilate_window(window, dilation), strict=True)
    ):
        raise UnreadableOperatorError(f"a window of {window} does not fit {sizes}")
    return ((0, 0),) * len(sizes)


def stored_input(op: Operator, place: int, subject: str = "") -> TfliteTensor:
    """An input that the file must store; the subject of the sentence that refuses any other."""
    tensor = op.input(place)
    if tensor is None or not tensor.constant:
        subject = subject or f"its input {place} is"
        raise UnreadableOperatorError(f"{subject} not stored in the file")
    return tensor


def _weights(stored: TfliteTensor, axis: int) -> Ints:
    """Weights less their zero points, of which the axis of channels may have one for each."""
    stored_range(stored)
    zeros = stored.zero_points
    if stored.per_channel and stored.axis != axis:
        raise UnreadableOperatorError(f"its weights have scales along axis {stored.axis}")
    if zeros.size > 1 and zeros.size != stored.shape[axis]:
        raise UnreadableOperatorError("its zero points do not fit its weights")
    low, high = stored_range(stored)
    if zeros.size and (zeros.min() < low or zeros.max() > high):
        raise UnreadableOperatorError("a zero point of its weights is none of their integers")
    aligned = zeros.reshape([-1 if i == axis else 1 for i in range(len(stored.shape))])
    return stored.integers().astype(np.int64) - (aligned if zeros.size > 1 else zeros.sum())


def _bias(op: Operator, channels: int, place: int = 2) -> Ints | None:
    tensor = op.input(place)
    if tensor is None:
        return None
    if not tensor.constant or tensor.type != "INT32" or tensor.elements != channels:
        raise UnreadableOperatorError(f"its bias is not {channels} stored integers of 32 bits")
    return tensor.integers().astype(np.int64).reshape(-1)


def _scales(op: Operator, x: Steps, stored: TfliteTensor) -> Multipliers:
    out = scale_of(op.outputs[0])
    if stored.scales.size not in (1, op.outputs[0].shape[-1]):
        raise UnreadableOperatorError(f"{stored.scales.size} scales do not fit its weights")
    return multipliers_of(
        float(x.scale) * float(scale) / float(out) for scale in stored.scales.reshape(-1)
    )


def _without_dead(
    kernel: Ints, bias: Ints | None, x: Steps, op: Operator
) -> tuple[Ints, Ints | None]:
    """Weights and biases, zero for channels of which a ReLU leaves nothing: their scales are often
    next to nothing, and their biases so large that all sums would need 32 bits."""
    dead = _bound_sums("", kernel, bias, x).high <= 0
    if op.options.fused not in ("RELU", "RELU6") or not dead.any():
        return kernel, bias
    return np.where(dead, 0, kernel), None if bias is None else np.where(dead, 0, bias)


def _bound_sums(tensor: str, kernel: Ints, bias: Ints | None, x: Steps) -> Sums:
    """The sums that any steps within their bounds make, padding with zero included."""
    axes = tuple(range(kernel.ndim - 1))
    above, below = (np.maximum(sign * kernel, 0).sum(axis=axes) for sign in (1, -1))
    low, high = min(x.low, 0), max(x.high, 0)
    added = 0 if bias is None else bias
    return Sums(tensor, above * low - below * high + added, above * high - below * low + added)


def read_matmul(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """BATCH_MATMUL: matrices of steps times matrices of steps, as many of the one as of the other,
    or one for all."""
    a, b = xs
    out, site = op.outputs[0], OperatorSite(d, name)
    left, right = (_matrices(x) for x in xs)
    if left[0] != right[0] and right[0] != 1:
        raise UnreadableOperatorError(f"matrices of {a.shape} do not fit those of {b.shape}")
    rows = reshape(site, a.tensor, left, "left")
    if op.options.turned[0]:
        rows = transpose(site, rows, (0, 2, 1), "left_turned")
    columns = reshape(site, b.tensor, right, "right")
    if not op.options.turned[1]:
        columns = transpose(site, columns, (0, 2, 1), "right_turned")
    parts, height, length = site.shape(rows)
    if right[0] == 1:
        rows = reshape(site, rows, (1, parts * height, length), "left_rows")
    sums = multiply_rows(site, rows, columns, "sums")
    ends: Ints = np.multiply.outer([a.low, a.high], [b.low, b.high]) * length
    bounds = Sums(sums, ends.min(), ends.max())
    by = multipliers_of([float(a.scale * b.scale / scale_of(out))])
    rescaled = rescale(d, name, bounds, by, out)
    return [
        replace(rescaled, tensor=d.reshape(f"{name}_shaped", rescaled.tensor, inner(out.shape)))
    ]


def _matrices(x: Steps) -> g.Shape:
    if len(x.shape) < 2:
        raise UnreadableOperatorError(f"a tensor of {x.shape} holds no matrices")
    return (math.prod(x.shape[:-2]), *x.shape[-2:])
