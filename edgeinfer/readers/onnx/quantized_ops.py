# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators on integers with their scales: read as the same on reals between (de)quantizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgeinfer.graph.nodes import MergeKind
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import Const, Value, View
from edgeinfer.readers.onnx.linear import conv, matmul
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.quant import dequantize_linear, quantize_linear

MERGES = {"QLinearAdd": MergeKind.ADD, "QLinearMul": MergeKind.MULTIPLY}


def qlinear_conv(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """QLinearConv: x, w and y each with a scale and a zero point, then the bias."""
    x = _real(d, op, args, 0)
    weights = _real(d, op, args, 3, axis=0)
    bias = constant_or_none(args, 8, "bias")
    if bias is not None:
        step = constant(args, 1, "scale").value * constant(args, 4, "scale").value
        bias_op = replace(op, attributes={**op.attributes, "axis": 0})
        real = dequantize_linear(d, bias_op, (bias, Const(np.asarray(step))))
        assert isinstance(real, Const)
        bias = real
    y = conv(d, op, (x, weights) if bias is None else (x, weights, bias))
    return _whole(d, op, y, args, 6)


def qlinear_matmul(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """QLinearMatMul: a, b and y each with a scale and a zero point."""
    a, b = _real(d, op, args, 0, axis=-2), _real(d, op, args, 3, axis=-1)
    return _whole(d, op, matmul(d, op, (a, b)), args, 6)


def qlinear_merge(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """ONNX Runtime's QLinearAdd and QLinearMul."""
    both = [_real(d, op, args, 0), _real(d, op, args, 3)]
    return _whole(d, op, merge_views(d, op, both, MERGES[op.kind]), args, 6)


def integer_product(multiply: Callable[[Drawing, OnnxOp, Args], View]) -> Callable[..., View]:
    """ConvInteger and MatMulInteger: x and w less their zero points, with no scales."""

    def read(d: Drawing, op: OnnxOp, args: Args) -> View:
        x, weights = data(args, 0), constant(args, 1, "weights").value
        zeros: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
        for place in (2, 3):
            const = constant_or_none(args, place, "zero point")
            zeros.append(np.zeros(()) if const is None else const.value.astype(np.float64))
        if zeros[0].size != 1:
            raise UnreadableModelError("its zero point varies from row to row")
        if op.kind == "ConvInteger" and zeros[1].size > 1:
            zeros[1] = zeros[1].reshape(-1, *(1,) * (weights.ndim - 1))
        x = scale_view(d, op, x, np.ones(()), -zeros[0].reshape(()))
        y = multiply(d, op, (x, Const(weights.astype(np.float64) - zeros[1])))
        return replace(y, integer="int32")

    return read


def _real(d: Drawing, op: OnnxOp, args: Args, place: int, axis: int | None = None) -> Value:
    """The number that an integer, its scale and its zero point stand for."""
    own = {} if axis is None else {"axis": axis}
    zero = args[place + 2] if len(args) > place + 2 else None
    return dequantize_linear(d, replace(op, attributes=own), (args[place], args[place + 1], zero))


def _whole(d: Drawing, op: OnnxOp, y: View, args: Args, place: int) -> Value:
    zero = args[place + 1] if len(args) > place + 1 else None
    return quantize_linear(d, replace(op, attributes={}), (y, args[place], zero))
