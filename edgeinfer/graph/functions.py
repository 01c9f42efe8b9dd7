# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Graph's element-wise functions in float64: what tables and float references compute."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Function

Floats = NDArray[np.float64]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
SMALLEST_POWER_INPUT = (
    1e-7  # QKeras lifts smaller magnitudes to Keras' epsilon before the logarithm
)

PARAMETER_COUNTS = {
    Function.LEAKY_RELU: 1,
    Function.HARD_SIGMOID: 2,
    Function.HARD_SWISH: 2,
    Function.TERNARY: 1,
    Function.ELU: 1,
    Function.POWER_OF_TWO: 3,
}


def evaluate(function: Function, parameters: tuple[float, ...], x: Floats) -> Floats:
    """The function of every element of x; ValueError where the parameters are not its own."""
    wanted = PARAMETER_COUNTS.get(function, 0)
    if len(parameters) != wanted:
        raise ValueError(f"{function} takes {wanted} parameters, not {len(parameters)}")
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
        case Function.SIGMOID:
            return _sigmoid(x)
        case Function.TANH:
            return np.tanh(x)
        case Function.HARD_SIGMOID:
            return np.clip(parameters[0] * x + parameters[1], 0.0, 1.0)
        case Function.HARD_TANH:
            return np.clip(x, -1.0, 1.0)
        case Function.SIGN:
            return np.where(x < 0, -1.0, 1.0)
        case Function.TERNARY:
            return np.where(np.abs(x) >= parameters[0], np.where(x < 0, -1.0, 1.0), 0.0)
        case Function.ELU:
            return np.where(x > 0, x, parameters[0] * np.expm1(np.minimum(x, 0.0)))
        case Function.SELU:
            negative = SELU_ALPHA * np.expm1(np.minimum(x, 0.0))
            return SELU_SCALE * np.where(x > 0, x, negative)
        case Function.SOFTPLUS:
            return np.logaddexp(0.0, x)
        case Function.SOFTSIGN:
            return np.asarray(x / (1.0 + np.abs(x)), dtype=np.float64)
        case Function.SWISH:
            return x * _sigmoid(x)
        case Function.HARD_SWISH:
            shift, bound = parameters
            return x * np.clip(x + shift, 0.0, bound) / bound  # in this order ties stay ties
        case Function.GELU:
            from scipy.special import ndtr

            return np.asarray(x * ndtr(x), dtype=np.float64)
        case Function.EXPONENTIAL:
            with np.errstate(over="ignore"):
                return np.exp(x)
        case Function.POWER_OF_TWO:
            return _power_of_two(x, *parameters)
        case _:
            assert_never(function)


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))  # never overflows, on either side
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _power_of_two(x: Floats, lowest: float, highest: float, signed: float) -> Floats:
    """The nearest power of two on the logarithmic scale; there is no zero, as in QKeras."""
    magnitude = np.abs(x) if signed else x
    exponent = np.rint(np.log2(np.maximum(magnitude, SMALLEST_POWER_INPUT)))
    power = np.exp2(np.clip(exponent, lowest, highest))
    return np.where((x < 0) & bool(signed), -power, power)
