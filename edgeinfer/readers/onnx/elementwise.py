# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that work on every element for itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.graph.nodes import ActivationNode, Function, MergeKind, PReluNode, SoftmaxNode
from edgeinfer.readers.grids import fixed_bias
from edgeinfer.readers.onnx.affine import homogeneous, scale_view
from edgeinfer.readers.onnx.args import Args, constant, data, number
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    ONE,
    ZERO,
    Const,
    Value,
    View,
    arrange_axes,
    axis_of,
    file_shape,
    graph_axis,
    local,
    settle_scale,
    sizes,
    unfold_view,
)
from edgeinfer.readers.onnx.masking import add_mask, take_mask
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.moves import reshape_view
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.weights import finite

ONES, ZEROS = np.ones(()), np.zeros(())
PLAIN = {  # operators that are one function without parameters
    "Acos": Function.ACOS,
    "Acosh": Function.ACOSH,
    "Asin": Function.ASIN,
    "Asinh": Function.ASINH,
    "Atan": Function.ATAN,
    "Atanh": Function.ATANH,
    "Ceil": Function.CEIL,
    "Cos": Function.COS,
    "Cosh": Function.COSH,
    "Erf": Function.ERF,
    "Exp": Function.EXPONENTIAL,
    "Floor": Function.FLOOR,
    "Log": Function.LOG,
    "Mish": Function.MISH,
    "Reciprocal": Function.RECIPROCAL,
    "Round": Function.ROUND,
    "Sigmoid": Function.SIGMOID,
    "Sin": Function.SIN,
    "Sinh": Function.SINH,
    "Softplus": Function.SOFTPLUS,
    "Softsign": Function.SOFTSIGN,
    "Sqrt": Function.SQRT,
    "Tan": Function.TAN,
    "Tanh": Function.TANH,
}
SHAPED = (  # operators that are a function with parameters, or made of one
    "Celu",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Relu",
    "Selu",
    "Shrink",
    "Sign",
    "Swish",
    "ThresholdedRelu",
)
SMALLEST = 2.0**-149  # of float32: where Sign leaves zero
PAIRS = {"Add": MergeKind.ADD, "Sub": MergeKind.SUBTRACT, "Mul": MergeKind.MULTIPLY}
POWERS = {0.5: Function.SQRT, -1.0: Function.RECIPROCAL}
SELU = (1.67326319217681884765625, 1.05070102214813232421875)  # ONNX's defaults


def add_activation(
    d: Drawing,
    op: OnnxOp,
    x: View,
    function: Function,
    parameters: tuple[float, ...] = (),
    *,
    passes_scale: bool = False,
) -> View:
    """An Activation node; passes_scale: f(s x) = s f(x) for s > 0."""
    x = homogeneous(d, x) if passes_scale else settle_scale(d, x)
    name = d.named(op)
    d.add(ActivationNode(name, x.tensor, function, parameters))
    return replace(x, tensor=name, exclusive=True)


def activation(d: Drawing, op: OnnxOp, args: Args) -> View:
    """The functions of one tensor."""
    x = data(args, 0)
    match op.kind:
        case "Relu":
            return add_activation(d, op, x, Function.RELU, passes_scale=True)
        case "LeakyRelu":
            slope = op.real("alpha", 0.01)
            return add_activation(d, op, x, Function.LEAKY_RELU, (slope,), passes_scale=True)
        case "HardSigmoid":
            line = (op.real("alpha", 0.2), op.real("beta", 0.5))
            return add_activation(d, op, x, Function.HARD_SIGMOID, line)
        case "HardSwish":
            gate = add_activation(d, op, x, Function.HARD_SIGMOID, (1 / 6, 0.5))
            return merge_views(d, op, [x, gate], MergeKind.MULTIPLY)
        case "Elu":
            return add_activation(d, op, x, Function.ELU, (op.real("alpha", 1.0),))
        case "Selu":
            alpha_gamma = op.real("alpha", SELU[0]), op.real("gamma", SELU[1])
            if np.allclose(alpha_gamma, SELU, rtol=1e-6):
                return add_activation(d, op, x, Function.SELU)
            y = add_activation(d, op, x, Function.ELU, (alpha_gamma[0],))
            return scale_view(d, op, y, np.asarray(alpha_gamma[1]), ZEROS)
        case "Gelu":
            smooth = op.text("approximate", "none") == "tanh"
            return add_activation(d, op, x, Function.GELU_TANH if smooth else Function.GELU)
        case "Celu":  # alpha ELU(x / alpha)
            alpha = _positive(op, "alpha")
            y = _scale_by(d, op, x, 1 / alpha)
            return _scale_by(d, op, add_activation(d, op, y, Function.ELU, (1.0,)), alpha)
        case "Swish":  # swish(alpha x) / alpha
            alpha = _positive(op, "alpha")
            y = add_activation(d, op, _scale_by(d, op, x, alpha), Function.SWISH)
            return _scale_by(d, op, y, 1 / alpha)
        case "Sign":
            return add_activation(d, op, x, Function.TERNARY, (SMALLEST,))
        case "ThresholdedRelu":
            return add_activation(d, op, x, Function.THRESHOLDED_RELU, (op.real("alpha", 1.0),))
        case "Shrink":
            bounds = (op.real("lambd", 0.5), op.real("bias", 0.0))
            if bounds[0] < 0:
                raise UnreadableModelError(f"its lambd is {bounds[0]:g}; it must not be negative")
            return add_activation(d, op, x, Function.SHRINK, bounds)
        case _:  # the others have no parameters
            return add_activation(d, op, x, PLAIN[op.kind])


def _positive(op: OnnxOp, key: str) -> float:
    value = op.real(key, 1.0)
    if not value > 0:
        raise UnreadableModelError(f"its {key} is {value:g}; it must be positive")
    return value


def _scale_by(d: Drawing, op: OnnxOp, x: View, factor: float) -> View:
    return scale_view(d, op, x, np.asarray(factor), ZEROS)


def prelu(d: Drawing, op: OnnxOp, args: Args) -> View:
    """PRelu with constant slopes."""
    x = homogeneous(d, data(args, 0))
    slope = local(d, x, finite(constant(args, 1, "slope"), "slope"))
    if slope is None:
        raise UnreadableModelError("its slope does not fit its input")
    name = d.named(op)
    if d.stepwise:
        d.weights[f"{name}/slope"] = fixed_bias(slope, exact=True).format
    d.add(PReluNode(name, name, x.tensor, np.atleast_1d(slope)))
    return replace(x, tensor=name, exclusive=True)


def clip(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Clip: ReLU, ReLU6 and hard tanh by name, other bounds as minimum and maximum."""
    x = data(args, 0)
    low = number(op, args, "min", 1, -np.inf)
    high = number(op, args, "max", 2, np.inf)
    huge = float(np.finfo(np.float32).max)
    low, high = (-np.inf if low <= -huge else low), (np.inf if high >= huge else high)
    match (low, high):
        case (0.0, 6.0):
            return add_activation(d, op, x, Function.RELU6)
        case (-1.0, 1.0):
            return add_activation(d, op, x, Function.HARD_TANH)
        case _:  # no function has these bounds by name
            return clip_view(d, op, x, low, high)


def clip_view(d: Drawing, op: OnnxOp, x: View, low: float, high: float) -> View:
    """min(max(x, low), high); infinities leave a side open."""
    if low == 0.0:
        x = add_activation(d, op, x, Function.RELU, passes_scale=True)
    elif low > -np.inf:
        x = merge_views(d, op, [x, Const(np.asarray(low))], MergeKind.MAXIMUM)
    if high < np.inf:
        x = merge_views(d, op, [x, Const(np.asarray(high))], MergeKind.MINIMUM)
    return x


def holds_integers(value: Value | None) -> bool:
    """Whether the file has integers there, for which some operators mean something else."""
    if isinstance(value, Const):
        return np.asarray(value.value).dtype.kind in "iub"
    return value is not None and bool(value.integer)


def binary(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Add, Sub, Mul, Div of two tensors, or of a tensor and a constant."""
    a, b = args[0], args[1]
    if a is None or b is None:
        raise UnreadableModelError("it has fewer than two inputs")
    if op.kind == "Div" and (holds_integers(a) or holds_integers(b)):
        raise UnreadableModelError("it divides integers, which drops what remains")
    view, const = (a, b) if isinstance(a, View) else (b, a)
    if isinstance(view, View) and isinstance(const, Const):
        hidden = add_mask(d, op, view, const)
        if hidden is not None:
            return hidden
    if op.kind != "Div":
        return combine(d, op, PAIRS[op.kind], a, b)
    if isinstance(b, View):
        return combine(d, op, MergeKind.MULTIPLY, a, invert_view(d, op, b))
    divisor = finite(b, "constant")
    if (divisor == 0).any():
        raise UnreadableModelError("it divides by zero")
    return combine(d, op, MergeKind.MULTIPLY, a, Const(1.0 / divisor))


def combine(d: Drawing, op: OnnxOp, kind: MergeKind, a: Value, b: Value) -> View:
    """A sum, difference or product of two tensors, or of a tensor and a constant."""
    if isinstance(a, View) and isinstance(b, View):
        return merge_views(d, op, [a, b], kind)
    view, const = (a, b) if isinstance(a, View) else (b, a)
    if not isinstance(view, View) or not isinstance(const, Const):
        raise UnreadableModelError("it works on constants only")
    value = finite(const, "constant")
    if kind is MergeKind.MULTIPLY:
        return scale_view(d, op, view, value, ZEROS)
    if kind is MergeKind.ADD:
        return scale_view(d, op, view, ONES, value)
    sign = 1.0 if view is a else -1.0
    return scale_view(d, op, view, sign * ONES, -sign * value)


def subtract(d: Drawing, op: OnnxOp, a: Value, b: Value) -> View:
    """a - b, of which one may be constant."""
    return combine(d, op, MergeKind.SUBTRACT, a, b)


def invert_view(d: Drawing, op: OnnxOp, x: View) -> View:
    """1 / x."""
    return add_activation(d, op, x, Function.RECIPROCAL)


def variadic(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Sum, Mean, Max, Min of any number of tensors."""
    values = [value for value in args if value is not None]
    if len(values) == 1:
        return data(args, 0)
    kinds = {
        "Sum": MergeKind.ADD,
        "Mean": MergeKind.AVERAGE,
        "Max": MergeKind.MAXIMUM,
        "Min": MergeKind.MINIMUM,
    }
    return merge_views(d, op, values, kinds[op.kind])


def negate_view(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Neg."""
    return scale_view(d, op, data(args, 0), -ONES, ZEROS)


def absolute(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Abs: max(x, -x)."""
    x = settle_scale(d, data(args, 0))
    return merge_views(d, op, [x, negate_view(d, op, (x,))], MergeKind.MAXIMUM)


def power(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Pow with a constant exponent; a square is a product."""
    x, exponent = data(args, 0), number(op, args, "exponent", 1, 1.0)
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return merge_views(d, op, [x, x], MergeKind.MULTIPLY)
    if not np.isfinite(exponent) or (holds_integers(x) and exponent < 0):
        raise UnreadableModelError(f"an exponent of {exponent:g} cannot be read")
    return add_power(d, op, x, exponent)


def add_power(d: Drawing, op: OnnxOp, x: View, exponent: float) -> View:
    """A power of each element, by its table."""
    if exponent in POWERS:
        return add_activation(d, op, x, POWERS[exponent])
    return add_activation(d, op, x, Function.POWER, (exponent,))


def softmax(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Softmax; before operator set 13 it flattened the axes from `axis` on."""
    x = unfold_view(d, settle_scale(d, data(args, 0)))
    axis = axis_of(d, x, op.whole("axis", 1 if op.version < 13 else -1))
    if op.version < 13:
        wide = [place for place in range(axis, len(x.order)) if sizes(d, x)[place] > 1]
        if len(wide) > 1:
            have, first = file_shape(d, x), axis + (0 if x.merged else 1)
            flat = reshape_view(d, x, (*have[:first], math.prod(have[first:])))
            return reshape_view(d, _softmax(d, op, flat, len(flat.order) - 1), have)
        axis = wide[0] if wide else axis
    return _softmax(d, op, x, axis)


def _softmax(d: Drawing, op: OnnxOp, x: View, axis: int) -> View:
    x, mask = take_mask(d, unfold_view(d, x))
    if x.order[axis] is None and mask is None:
        x = arrange_axes(d, x)
    name = d.named(op)
    d.add(SoftmaxNode(name, x.tensor, graph_axis(x, axis), mask))
    return replace(x, tensor=name, scale=ONE, shift=ZERO, exclusive=True)
