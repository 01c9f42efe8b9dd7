# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions that a Functional model calls without a layer: `x + y`, `keras.ops.mean`, `tf.concat`.

Both libraries go through one list, under the names of `keras.ops`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgeinfer.graph.nodes import ActivationNode, Function, MergeKind, PoolNodeKind
from edgeinfer.readers.forms import forms_of
from edgeinfer.readers.keras import (
    arithmetic,
    combining,
    comparing,
    indexing,
    rearranging,
    reducing,
    windowing,
)
from edgeinfer.readers.keras.arguments import (
    Arguments,
    CallTensor,
    as_constant,
    check_axis_of_bias,
    parse_arguments,
)
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from edgeinfer.readers.keras.functions import (
    FloatStep,
    GraphFunction,
    Plain,
    SoftmaxAlong,
    add_affine,
    add_function,
    add_gated_half,
    add_hard_shrink,
    add_soft_shrink,
    add_threshold,
    rectifier,
)
from edgeinfer.readers.keras.resampling import add_resizing

Result = str | tuple[str, ...]
Reader = Callable[[Site, Arguments], Result]

_TENSORFLOW = re.compile(
    r"tf\.(?:(?:compat\.v1\.)?(?:math|nn|linalg)\.|compat\.v1\.|__operators__\.)?(\w+)"
)
_IMAGES = re.compile(r"tf\.image\.(\w+)")
_GRAPH = re.compile(r"tf\.raw_ops\.(\w+)")
_KERAS_NAMES = {  # of functions that have another name too
    "add_v2": "add",
    "batch_norm": "batch_normalization",
    "real_div": "true_divide",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "div": "true_divide",
    "divide": "true_divide",
    "neg": "negative",
    "pow": "power",
    "getitem": "get_item",
    "reduce_mean": "mean",
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_std": "std",
    "reduce_variance": "var",
    "reduce_prod": "prod",
    "reduce_logsumexp": "logsumexp",
    "concat": "concatenate",
    "clip_by_value": "clip",
    "reverse": "flip",
    "swish": "silu",
    "hard_swish": "hard_silu",
    "amax": "max",
    "amin": "min",
    "resize": "image.resize",
    "abs": "absolute",
    "gather_v2": "gather",
    "arg_max": "argmax",
    "arg_min": "argmin",
}

_IN_GRAPHS = frozenset(  # nodes whose inputs stand as in keras.ops
    {
        *("add", "bias_add", "subtract", "multiply", "true_divide", "negative", "square"),
        *("relu", "relu6", "sigmoid", "tanh", "exp", "elu", "selu", "softplus", "softsign"),
        *("absolute", "maximum", "minimum", "softmax", "leaky_relu", "identity"),
        *("mean", "sum", "max", "min", "reshape", "transpose"),
    }
)


CURVES = {  # functions without parameters
    "erf": Function.ERF,
    "log": Function.LOG,
    "sqrt": Function.SQRT,
    "sin": Function.SIN,
    "cos": Function.COS,
    "tan": Function.TAN,
    "arcsin": Function.ASIN,
    "arccos": Function.ACOS,
    "arctan": Function.ATAN,
    "sinh": Function.SINH,
    "cosh": Function.COSH,
    "arcsinh": Function.ASINH,
    "arccosh": Function.ACOSH,
    "arctanh": Function.ATANH,
    "asin": Function.ASIN,
    "acos": Function.ACOS,
    "atan": Function.ATAN,
    "asinh": Function.ASINH,
    "acosh": Function.ACOSH,
    "atanh": Function.ATANH,
    "floor": Function.FLOOR,
    "ceil": Function.CEIL,
    "rint": Function.ROUND,
    "trunc": Function.TRUNCATE,
    "mish": Function.MISH,
}


def read_operation(site: Site) -> tuple[str, ...]:
    """Append what an operation computes; the names of the tensors that it makes."""
    called = site.layer.operation or ""
    reader = READERS.get(canonical_name(called))
    if reader is None:
        reason = REASONS.get(canonical_name(called), "which is not known")
        raise UnsupportedLayerError(f"it calls {called}, {reason}")
    try:
        arguments = parse_arguments(site)
        result = reader(site, arguments)
    except UnsupportedLayerError as reason:
        raise UnsupportedLayerError(f"it calls {called}: {reason}") from None
    except (ValueError, TypeError, LookupError, OverflowError):  # a file may hold anything
        raise UnsupportedLayerError(f"it calls {called} with arguments of another kind") from None
    arguments.check_rest()
    return (result,) if isinstance(result, str) else result


def nearest_operation(called: str) -> str:
    """The form that can be read and stands nearest to a function of `keras.ops` or TensorFlow."""
    unknown = "functions of docs/keras.md that compute the same"
    return forms_of("keras-operations").get(canonical_name(called), unknown)


def canonical_name(called: str) -> str:
    """'keras.ops.TrueDivide' and 'tf.math.truediv' -> 'true_divide'."""
    if called.startswith("keras.ops."):
        name = called.removeprefix("keras.ops.")
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        return _KERAS_NAMES.get(name, name)
    if (node := _GRAPH.fullmatch(called)) is not None:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node[1]).lower()
        name = _KERAS_NAMES.get(name, name)
        return name if name in _IN_GRAPHS else called
    if (image := _IMAGES.fullmatch(called)) is not None:
        return f"image.{image[1]}"
    match = _TENSORFLOW.fullmatch(called)
    return _KERAS_NAMES.get(match[1], match[1]) if match else called


def _plain(name: str) -> Reader:
    return _function(lambda arguments: Plain(name))


def _with_default(name: str, parameter: str, default: float) -> Reader:
    """A function of which one value of its parameter is read."""

    def choose(arguments: Arguments) -> FloatStep:
        value = _number(arguments, default, parameter)
        if value != default:
            raise UnsupportedLayerError(f"its {parameter} is {value:g}; {default:g} is read")
        return Plain(name)

    return _function(choose)


def _function(choose: Callable[[Arguments], FloatStep]) -> Reader:
    """A reader of a function of one tensor, which takes its parameters from the arguments."""

    def read(site: Site, arguments: Arguments) -> str:
        return add_function(site, arguments.tensor(), choose(arguments), site.name())

    return read


def _curve(function: Function) -> Reader:
    return _function(lambda arguments: GraphFunction(function))


def _before(function: Function, factor: float, shift: float) -> Reader:
    """A function of factor x + shift."""

    def read(site: Site, arguments: Arguments) -> str:
        line = add_affine(site, arguments.tensor(), factor, shift, site.name("line"))
        return site.add(ActivationNode(site.name(), line, function))

    return read


def _behind(function: Function, factor: float, shift: float) -> Reader:
    """factor times a function, plus shift."""

    def read(site: Site, arguments: Arguments) -> str:
        curve = site.add(ActivationNode(site.name("curve"), arguments.tensor(), function))
        return add_affine(site, curve, factor, shift, site.name())

    return read


def _number(arguments: Arguments, default: float | None, *names: str) -> float:
    return Fields({names[0]: arguments.option(*names, default=default)}).number(names[0])


def _optional(arguments: Arguments, *names: str) -> float | None:
    return Fields({names[0]: arguments.option(*names)}).optional(names[0])


def _relu(arguments: Arguments) -> FloatStep:
    slope = _optional(arguments, "negative_slope", "alpha")
    return rectifier(slope, _optional(arguments, "max_value"), _optional(arguments, "threshold"))


def _leaky(arguments: Arguments) -> FloatStep:
    slope = _number(arguments, 0.2, "negative_slope", "alpha")
    return GraphFunction(Function.LEAKY_RELU, (slope,))


def _gelu(arguments: Arguments) -> FloatStep:
    close = arguments.option("approximate", default=False)
    return GraphFunction(Function.GELU_TANH if close else Function.GELU)


def _round(arguments: Arguments) -> FloatStep:
    decimals = _number(arguments, 0.0, "decimals")
    if decimals:
        raise UnsupportedLayerError(f"it rounds to {decimals:g} decimals; whole numbers are read")
    return GraphFunction(Function.ROUND)


def _softmax(arguments: Arguments) -> FloatStep:
    axis = Fields({"axis": arguments.option("axis", "dim", default=-1)}).integer("axis")
    return SoftmaxAlong(axis)


def _glu(site: Site, arguments: Arguments) -> str:
    x = arguments.tensor()
    axis = arguments.option("axis", default=-1)
    return add_gated_half(site, x, rearranging.axis_in(site, x, axis), site.name())


def _shrink(site: Site, arguments: Arguments, add: Callable[[Site, str, float, str], str]) -> str:
    return add(site, arguments.tensor(), _number(arguments, 0.5, "threshold"), site.name())


def _threshold(site: Site, arguments: Arguments) -> str:
    x, bound = arguments.tensor(), _number(arguments, None, "threshold")
    default = _number(arguments, None, "default_value")
    return add_threshold(site, x, bound, default, site.name())


def _same(site: Site, arguments: Arguments) -> str:
    return arguments.tensor()


def _cast(site: Site, arguments: Arguments) -> str:
    dtype = arguments.take(1, "dtype")
    if dtype not in ("float32", "float64"):
        raise UnsupportedLayerError(f"it makes numbers of the type {dtype!r}; float32 is read")
    return arguments.tensor()


def _resize(site: Site, arguments: Arguments) -> str:
    """`tf.image.resize` and `keras.ops.image.resize`."""
    x = arguments.tensor()
    method = str(arguments.option("method", "interpolation", default="bilinear")).lower()
    size = np.atleast_1d(as_constant(arguments.option("size"))).astype(int).tolist()
    arguments.option("fill_mode")
    arguments.option("fill_value")
    shape = site.shape(x)
    if method not in ("nearest", "bilinear") or len(shape) != 3 or len(size) != 2:
        raise UnsupportedLayerError(f"it brings a tensor of {shape} to {size} by {method}")
    if arguments.option("data_format", default="channels_last") != "channels_last":
        raise UnsupportedLayerError("its channels are first")
    return add_resizing(site, x, (size[0], size[1]), smooth=method == "bilinear")


def _shape(site: Site, arguments: Arguments) -> str:
    """`tf.shape`: sizes that are known, but that of the batch, for which -1 stands."""
    x, name = arguments.tensor(), site.name()
    arguments.option("out_type")
    site.builder.sizes[name] = [-1, *site.shape(x)]
    return name


def _merge(site: Site, arguments: Arguments, kind: MergeKind) -> str:
    return arithmetic.add_pair(site, kind, *_operands(arguments))


def _add(site: Site, arguments: Arguments) -> str:
    a, b = _operands(arguments)
    of_keras = (site.layer.operation or "").startswith("keras.ops.")
    if of_keras and isinstance(a, CallTensor) and not isinstance(b, CallTensor):
        check_axis_of_bias(site.shape(a.name), as_constant(b))
    return arithmetic.add_pair(site, MergeKind.ADD, a, b)


def _operands(arguments: Arguments) -> tuple[Any, Any]:
    return arguments.take(0, "x", "x1", "a", "value"), arguments.take(1, "y", "x2", "b", "bias")


def _divide(site: Site, arguments: Arguments) -> str:
    return arithmetic.add_quotient(site, *_operands(arguments))


def _power(site: Site, arguments: Arguments) -> str:
    return arithmetic.add_power(site, *_operands(arguments))


_ACROSS = (
    "which sums along the batch; multiply by the transposed keras.ops.one_hot(index, num_segments) "
    "instead, which sums within each sample"
)
REASONS = {"segment_sum": _ACROSS, "segment_max": "which works along the batch"}

READERS: dict[str, Reader] = {
    **{
        name: _plain(name)
        for name in (
            *("relu6", "sigmoid", "tanh", "hard_tanh", "selu", "softplus", "softsign"),
            *("hard_sigmoid", "log_sigmoid", "sparse_sigmoid", "sparse_plus", "tanh_shrink"),
        )
    },
    **{name: _curve(function) for name, function in CURVES.items()},
    "reciprocal": _function(lambda a: GraphFunction(Function.RECIPROCAL)),
    "round": _function(_round),
    "rsqrt": _function(lambda a: GraphFunction(Function.POWER, (-0.5,))),
    "exp": _plain("exponential"),
    "log1p": _before(Function.LOG, 1.0, 1.0),
    "exp2": _before(Function.EXPONENTIAL, math.log(2.0), 0.0),
    "expm1": _behind(Function.EXPONENTIAL, 1.0, -1.0),
    "log2": _behind(Function.LOG, 1.0 / math.log(2.0), 0.0),
    "log10": _behind(Function.LOG, 1.0 / math.log(10.0), 0.0),
    "silu": _plain("swish"),
    "hard_silu": _plain("hard_swish"),
    "absolute": _plain("abs"),
    "relu": _function(_relu),
    "leaky_relu": _function(_leaky),
    "elu": _function(lambda a: GraphFunction(Function.ELU, (_number(a, 1.0, "alpha"),))),
    "celu": _with_default("celu", "alpha", 1.0),
    "squareplus": _with_default("squareplus", "b", 4.0),
    "gelu": _function(_gelu),
    "softmax": _function(_softmax),
    "glu": _glu,
    "soft_shrink": partial(_shrink, add=add_soft_shrink),
    "hard_shrink": partial(_shrink, add=add_hard_shrink),
    "threshold": _threshold,
    "identity": _same,
    "stop_gradient": _same,
    "image.resize": _resize,
    "convert_to_tensor": _same,
    "cast": _cast,
    "shape": _shape,
    "add": _add,
    "bias_add": partial(_merge, kind=MergeKind.ADD),
    "subtract": partial(_merge, kind=MergeKind.SUBTRACT),
    "multiply": partial(_merge, kind=MergeKind.MULTIPLY),
    "maximum": partial(_merge, kind=MergeKind.MAXIMUM),
    "minimum": partial(_merge, kind=MergeKind.MINIMUM),
    "true_divide": _divide,
    "power": _power,
    "greater": comparing.read_comparison,
    "less": partial(comparing.read_comparison, swapped=True),
    "greater_equal": partial(comparing.read_comparison, swapped=True, opposite="less"),
    "less_equal": partial(comparing.read_comparison, opposite="greater"),
    "equal": comparing.read_equal,
    "not_equal": comparing.read_not_equal,
    "sign": comparing.read_sign,
    "any": comparing.read_any,
    "logical_not": comparing.read_not,
    "logical_and": partial(comparing.read_joined, kind=MergeKind.MULTIPLY),
    "logical_or": partial(comparing.read_joined, kind=MergeKind.MAXIMUM),
    "where": comparing.read_where,
    "square": arithmetic.read_square,
    "negative": arithmetic.read_negative,
    "clip": arithmetic.read_clip,
    "add_n": arithmetic.read_sum_of_list,
    "matmul": arithmetic.read_matmul,
    "einsum": arithmetic.read_einsum,
    "mean": partial(reducing.read_reduction, kind=PoolNodeKind.AVERAGE),
    "sum": partial(reducing.read_reduction, kind=PoolNodeKind.SUM),
    "max": partial(reducing.read_reduction, kind=PoolNodeKind.MAX),
    "min": reducing.read_min,
    "var": combining.read_variance,
    "std": combining.read_deviation,
    "norm": combining.read_norm,
    "normalize": combining.read_normalize,
    "logsumexp": combining.read_log_sum,
    "log_softmax": combining.read_log_softmax,
    "prod": combining.read_product,
    "cumsum": combining.read_running_sum,
    "mod": combining.read_remainder,
    "batch_normalization": combining.read_batch_norm,
    "conv": windowing.read_conv,
    "depthwise_conv": windowing.read_depthwise,
    "max_pool": partial(windowing.read_pool, kind=PoolNodeKind.MAX),
    "average_pool": partial(windowing.read_pool, kind=PoolNodeKind.AVERAGE),
    "get_item": rearranging.read_item,
    "reshape": rearranging.read_reshape,
    "transpose": rearranging.read_transpose,
    "expand_dims": rearranging.read_expand,
    "squeeze": rearranging.read_squeeze,
    "concatenate": rearranging.read_concat,
    "stack": rearranging.read_stack,
    "unstack": rearranging.read_unstack,
    "split": rearranging.read_split,
    "slice": rearranging.read_slice,
    "pad": rearranging.read_pad,
    "flip": rearranging.read_flip,
    "roll": rearranging.read_roll,
    "take": indexing.read_take,
    "gather": indexing.read_gather,
    "take_along_axis": indexing.read_take_along_axis,
    "one_hot": indexing.read_one_hot,
    "argmax": partial(indexing.read_place, smallest=False),
    "argmin": partial(indexing.read_place, smallest=True),
    "top_k": indexing.read_top,
    "argsort": indexing.read_order,
    "sort": indexing.read_sorted,
    "tile": rearranging.read_tile,
    "repeat": rearranging.read_repeat,
    "swapaxes": rearranging.read_swap,
    "moveaxis": rearranging.read_move_axis,
    "depth_to_space": rearranging.read_depth_to_space,
    "space_to_depth": rearranging.read_space_to_depth,
}
