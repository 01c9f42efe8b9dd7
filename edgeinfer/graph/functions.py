# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Graph's element-wise functions in float64: what tables and float references compute.

A function that integers look up in a table is described in `CURVES` and nowhere else: lowering,
the engines, the bounds of what a format explains and the targets ask the curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
GELU_SLOPE, GELU_CUBE = math.sqrt(2.0 / math.pi), 0.044715  # of its approximation
SMALLEST_POWER_INPUT = (
    1e-7  # QKeras lifts smaller magnitudes to Keras' epsilon before the logarithm
)


class Function(StrEnum):
    """Element-wise functions. Parameters, where there are any, are `ActivationNode.parameters`."""

    LINEAR = "linear"  # y = x; carries a quantizer of its own (QActivation of quantized_bits)
    RELU = "relu"
    RELU6 = "relu6"
    LEAKY_RELU = "leaky_relu"  # parameters: (slope,) for x < 0
    SIGMOID = "sigmoid"
    TANH = "tanh"
    HARD_SIGMOID = "hard_sigmoid"  # clip(slope x + offset, 0, 1); parameters: (slope, offset)
    HARD_TANH = "hard_tanh"  # clip(x, -1, 1)
    SIGN = "sign"  # -1 where x < 0, else +1
    TERNARY = "ternary"  # parameters: (threshold,): -1 where x <= -t, +1 where x >= t, else 0
    ELU = "elu"  # parameters: (alpha,)
    SELU = "selu"
    SOFTPLUS = "softplus"
    SOFTSIGN = "softsign"
    SWISH = "swish"
    HARD_SWISH = "hard_swish"  # x clip(x + shift, 0, bound) / bound; parameters: (shift, bound)
    GELU = "gelu"
    GELU_TANH = "gelu_tanh"  # GELU by its approximation with tanh
    MISH = "mish"
    ERF = "erf"
    LOG = "log"
    SQRT = "sqrt"
    RECIPROCAL = "reciprocal"
    POWER = "power"  # parameters: (exponent,)
    SIN = "sin"
    COS = "cos"
    TAN = "tan"
    ASIN = "asin"
    ACOS = "acos"
    ATAN = "atan"
    SINH = "sinh"
    COSH = "cosh"
    ASINH = "asinh"
    ACOSH = "acosh"
    ATANH = "atanh"
    FLOOR = "floor"
    CEIL = "ceil"
    ROUND = "round"  # halves to even
    TRUNCATE = "truncate"  # towards zero
    THRESHOLDED_RELU = "thresholded_relu"  # x where x > alpha, else 0; parameters: (alpha,)
    SHRINK = "shrink"  # x + bias below -lambd, x - bias above lambd, else 0; (lambd, bias)
    EXPONENTIAL = "exponential"
    RSQRT = "rsqrt"  # 1 / sqrt(max(x, 0) + epsilon); parameters: (epsilon,)
    LOOKUP = "lookup"  # a table between whole numbers; parameters: (first, *entries)
    POWER_OF_TWO = "power_of_two"  # parameters: (lowest exponent, highest exponent, signed 0/1)


def _no_turns(*parameters: float) -> tuple[float, ...]:
    del parameters
    return ()


def _everywhere(*parameters: float) -> tuple[float, float]:
    del parameters
    return -np.inf, np.inf


@dataclass(frozen=True, slots=True)
class TabulatedFunction:
    """A function that a table holds: its values, and where it stops rising or falling.

    operator: ONNX's own, if one operator computes it; its attributes are the parameters.
    domain: where it has a value. winds: how steep it is at most, if it turns or jumps again and
    again.
    """

    values: Callable[..., Floats]  # of x and the parameters
    operator: str = ""
    attributes: tuple[str, ...] = ()
    turns: Callable[..., tuple[float, ...]] = _no_turns  # of the parameters, in order
    domain: Callable[..., tuple[float, float]] = _everywhere  # of the parameters
    winds: float = 0.0


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))  # never overflows, on either side
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _elu(x: Floats, alpha: float) -> Floats:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _hard_swish(x: Floats, shift: float, bound: float) -> Floats:
    return x * np.clip(x + shift, 0.0, bound) / bound  # in this order ties stay ties


def _gelu(x: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(x * ndtr(x), dtype=np.float64)


def _gelu_tanh(x: Floats) -> Floats:
    return 0.5 * x * (1.0 + np.tanh(GELU_SLOPE * (x + GELU_CUBE * x * x * x)))


def _before(x: float) -> float:
    """The number before, for a function that jumps at x itself."""
    return float(np.nextafter(x, -np.inf))


def _power_turns(exponent: float) -> tuple[float, ...]:
    if exponent < 0:
        return (_before(0.0), 0.0)
    return (0.0,) if exponent % 2 == 0 else ()


def _power_domain(exponent: float) -> tuple[float, float]:
    return (-np.inf if exponent.is_integer() else 0.0), np.inf


def _clear_below(x: Floats, alpha: float) -> Floats:
    return np.where(x > alpha, x, 0.0)


def _shrink(x: Floats, lambd: float, bias: float) -> Floats:
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0.0))


def _erf(x: Floats) -> Floats:
    from scipy.special import erf

    return np.asarray(erf(x), dtype=np.float64)


def _look_up(x: Floats, first: float, *entries: float) -> Floats:
    """Entry k at first + k, straight lines between entries, the ends beyond."""
    return np.interp(x, first + np.arange(len(entries)), entries)


def _lookup_turns(first: float, *entries: float) -> tuple[float, ...]:
    """Where the entries stop rising, falling or staying as they are."""
    signs = np.sign(np.diff(entries))
    return tuple((first + 1 + np.flatnonzero(signs[1:] != signs[:-1])).tolist())


def _power_of_two(x: Floats, lowest: float, highest: float, signed: float) -> Floats:
    """The nearest power of two on the logarithmic scale; there is no zero, as in QKeras."""
    magnitude = np.abs(x) if signed else x
    exponent = np.rint(np.log2(np.maximum(magnitude, SMALLEST_POWER_INPUT)))
    power = np.exp2(np.clip(exponent, lowest, highest))
    return np.where((x < 0) & bool(signed), -power, power)


CURVES: dict[Function, TabulatedFunction] = {
    Function.SIGMOID: TabulatedFunction(_sigmoid, "Sigmoid"),
    Function.TANH: TabulatedFunction(np.tanh, "Tanh"),
    Function.HARD_SIGMOID: TabulatedFunction(
        lambda x, slope, offset: np.clip(slope * x + offset, 0.0, 1.0)
    ),
    Function.ELU: TabulatedFunction(
        _elu, "Elu", ("alpha",), turns=lambda alpha: (0.0,) if alpha < 0 else ()
    ),
    Function.SELU: TabulatedFunction(lambda x: SELU_SCALE * _elu(x, SELU_ALPHA)),
    Function.SOFTPLUS: TabulatedFunction(lambda x: np.logaddexp(0.0, x), "Softplus"),
    Function.SOFTSIGN: TabulatedFunction(lambda x: x / (1.0 + np.abs(x)), "Softsign"),
    Function.SWISH: TabulatedFunction(
        lambda x: x * _sigmoid(x), turns=lambda: (-1.2784645427610738,)
    ),
    Function.HARD_SWISH: TabulatedFunction(
        _hard_swish, turns=lambda shift, bound: (min(-shift / 2, bound - shift),)
    ),
    Function.GELU: TabulatedFunction(_gelu, turns=lambda: (-0.7517915246935645,)),
    Function.GELU_TANH: TabulatedFunction(_gelu_tanh, turns=lambda: (-0.7524614220710162,)),
    Function.MISH: TabulatedFunction(
        lambda x: x * np.tanh(np.logaddexp(0.0, x)), "Mish", turns=lambda: (-1.1924312145154952,)
    ),
    Function.LOG: TabulatedFunction(np.log, "Log", domain=lambda: (0.0, np.inf)),
    Function.SQRT: TabulatedFunction(np.sqrt, "Sqrt", domain=lambda: (0.0, np.inf)),
    Function.RECIPROCAL: TabulatedFunction(
        np.reciprocal, "Reciprocal", turns=lambda: (_before(0.0), 0.0)
    ),
    Function.POWER: TabulatedFunction(np.power, turns=_power_turns, domain=_power_domain),
    Function.SIN: TabulatedFunction(np.sin, "Sin", winds=1.0),
    Function.COS: TabulatedFunction(np.cos, "Cos", winds=1.0),
    Function.TAN: TabulatedFunction(np.tan, "Tan", winds=np.inf),
    Function.ASIN: TabulatedFunction(np.arcsin, "Asin", domain=lambda: (-1.0, 1.0)),
    Function.ACOS: TabulatedFunction(np.arccos, "Acos", domain=lambda: (-1.0, 1.0)),
    Function.ATAN: TabulatedFunction(np.arctan, "Atan"),
    Function.SINH: TabulatedFunction(np.sinh, "Sinh"),
    Function.COSH: TabulatedFunction(np.cosh, "Cosh", turns=lambda: (0.0,)),
    Function.ASINH: TabulatedFunction(np.arcsinh, "Asinh"),
    Function.ACOSH: TabulatedFunction(np.arccosh, "Acosh", domain=lambda: (1.0, np.inf)),
    Function.ATANH: TabulatedFunction(np.arctanh, "Atanh", domain=lambda: (-1.0, 1.0)),
    Function.FLOOR: TabulatedFunction(np.floor, "Floor"),
    Function.CEIL: TabulatedFunction(np.ceil, "Ceil"),
    Function.ROUND: TabulatedFunction(np.rint, "Round"),
    Function.TRUNCATE: TabulatedFunction(np.trunc),
    Function.THRESHOLDED_RELU: TabulatedFunction(
        _clear_below,
        "ThresholdedRelu",
        ("alpha",),
        turns=lambda alpha: (alpha,),
    ),
    Function.SHRINK: TabulatedFunction(
        _shrink, "Shrink", ("lambd", "bias"), turns=lambda lambd, bias: (_before(-lambd), lambd)
    ),
    Function.ERF: TabulatedFunction(_erf, "Erf"),
    Function.EXPONENTIAL: TabulatedFunction(np.exp, "Exp"),
    Function.RSQRT: TabulatedFunction(
        lambda x, epsilon: 1.0 / np.sqrt(np.maximum(x, 0.0) + epsilon)
    ),
    Function.LOOKUP: TabulatedFunction(_look_up, turns=_lookup_turns),
    Function.POWER_OF_TWO: TabulatedFunction(_power_of_two),
}
LEAST_LOOKUP = 3  # the first number and two entries
PARAMETER_COUNTS = {
    Function.LEAKY_RELU: 1,
    Function.HARD_SIGMOID: 2,
    Function.HARD_SWISH: 2,
    Function.TERNARY: 1,
    Function.ELU: 1,
    Function.RSQRT: 1,
    Function.POWER_OF_TWO: 3,
    Function.POWER: 1,
    Function.THRESHOLDED_RELU: 1,
    Function.SHRINK: 2,
}


def evaluate(function: Function, parameters: tuple[float, ...], x: Floats) -> Floats:
    """The function of every element of x; ValueError where the parameters are not its own."""
    count = PARAMETER_COUNTS.get(function, 0)
    if function is Function.LOOKUP:  # which has as many entries as it likes, but two
        count = max(len(parameters), LEAST_LOOKUP)
    if len(parameters) != count:
        raise ValueError(f"{function} takes {count} parameters, not {len(parameters)}")
    y: Floats = _evaluate(function, parameters, np.asarray(x, dtype=np.float64))
    return y


def _evaluate(function: Function, parameters: tuple[float, ...], x: Floats) -> Floats:
    match function:
        case Function.LINEAR:
            return x.copy()
        case Function.RELU:
            return np.maximum(x, 0.0)
        case Function.RELU6:
            return np.clip(x, 0.0, 6.0)
        case Function.LEAKY_RELU:
            return np.where(x >= 0, x, parameters[0] * x)
        case Function.HARD_TANH:
            return np.clip(x, -1.0, 1.0)
        case Function.SIGN:
            return np.where(x < 0, -1.0, 1.0)
        case Function.TERNARY:
            return np.where(np.abs(x) >= parameters[0], np.where(x < 0, -1.0, 1.0), 0.0)
        case _:  # every other function has a curve, a new one too
            with np.errstate(all="ignore"):  # infinite, or no number, where ONNX has that too
                return np.asarray(CURVES[function].values(x, *parameters), dtype=np.float64)
