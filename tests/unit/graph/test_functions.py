# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Element-wise functions mean what Keras means by them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeinfer.graph.functions import PARAMETER_COUNTS, evaluate
from edgeinfer.graph.nodes import Function

PARAMETERS = {
    Function.LEAKY_RELU: (0.25,),
    Function.HARD_SIGMOID: (0.2, 0.5),
    Function.HARD_SWISH: (3.0, 6.0),
    Function.TERNARY: (0.3,),
    Function.ELU: (1.5,),
    Function.RSQRT: (0.001,),
    Function.POWER_OF_TWO: (-4.0, 2.0, 1.0),
    Function.POWER: (3.0,),
    Function.THRESHOLDED_RELU: (0.3,),
    Function.SHRINK: (1.0, 0.5),
    Function.LOOKUP: (-1.0, 3.0, 5.0, -1.0),
}

KNOWN = [
    (Function.LINEAR, 1.25, 1.25),
    (Function.RELU, -2.0, 0.0),
    (Function.RELU6, 7.0, 6.0),
    (Function.LEAKY_RELU, -2.0, -0.5),
    (Function.SIGMOID, 0.0, 0.5),
    (Function.SIGMOID, -800.0, 0.0),
    (Function.TANH, 0.5, math.tanh(0.5)),
    (Function.HARD_SIGMOID, 1.0, 0.7),
    (Function.HARD_TANH, -3.0, -1.0),
    (Function.SIGN, 0.0, 1.0),
    (Function.SIGN, -0.1, -1.0),
    (Function.TERNARY, 0.3, 1.0),
    (Function.TERNARY, -0.29, 0.0),
    (Function.ELU, -1.0, 1.5 * math.expm1(-1.0)),
    (Function.SELU, 1.0, 1.0507009873554805),
    (Function.SOFTPLUS, 800.0, 800.0),
    (Function.SOFTSIGN, -3.0, -0.75),
    (Function.SWISH, 2.0, 2.0 / (1.0 + math.exp(-2.0))),
    (Function.HARD_SWISH, -1.5, -0.375),
    (Function.HARD_SWISH, 8.0, 8.0),
    (Function.GELU, 1.0, 0.5 * (1.0 + math.erf(1.0 / math.sqrt(2.0)))),
    (Function.GELU_TANH, 1.0, 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * 1.044715))),
    (Function.MISH, -1.0, -math.tanh(math.log1p(math.exp(-1.0)))),
    (Function.LOG, 0.0, -math.inf),
    (Function.LOG, 2.0, math.log(2.0)),
    (Function.SQRT, 2.25, 1.5),
    (Function.RECIPROCAL, -4.0, -0.25),
    (Function.POWER, -2.0, -8.0),
    (Function.SIN, 0.5, math.sin(0.5)),
    (Function.COS, 0.5, math.cos(0.5)),
    (Function.ASIN, 0.5, math.asin(0.5)),
    (Function.ACOS, 0.5, math.acos(0.5)),
    (Function.TAN, 1.0, math.tan(1.0)),
    (Function.ATAN, -2.0, math.atan(-2.0)),
    (Function.SINH, 0.5, math.sinh(0.5)),
    (Function.COSH, 0.5, math.cosh(0.5)),
    (Function.ASINH, 0.5, math.asinh(0.5)),
    (Function.ACOSH, 1.5, math.acosh(1.5)),
    (Function.ATANH, 0.5, math.atanh(0.5)),
    (Function.FLOOR, -1.5, -2.0),
    (Function.CEIL, -1.5, -1.0),
    (Function.ROUND, 2.5, 2.0),
    (Function.TRUNCATE, -1.5, -1.0),
    (Function.THRESHOLDED_RELU, 0.3, 0.0),
    (Function.THRESHOLDED_RELU, 0.5, 0.5),
    (Function.SHRINK, -2.0, -1.5),
    (Function.SHRINK, 1.0, 0.0),
    (Function.LOOKUP, 1.0, -1.0),
    (Function.LOOKUP, -0.75, 3.5),
    (Function.LOOKUP, -9.0, 3.0),
    (Function.ERF, -0.5, math.erf(-0.5)),
    (Function.EXPONENTIAL, 1.0, math.e),
    (Function.RSQRT, 0.25, 1.0 / math.sqrt(0.251)),
    (Function.RSQRT, -3.0, 1.0 / math.sqrt(0.001)),
    (Function.POWER_OF_TWO, 0.0, 0.0625),
    (Function.POWER_OF_TWO, -0.7, -0.5),
    (Function.POWER_OF_TWO, 100.0, 4.0),
]


@pytest.mark.parametrize(("function", "x", "y"), KNOWN)
def test_known_values(function: Function, x: float, y: float) -> None:
    result = evaluate(function, PARAMETERS.get(function, ()), np.array([x]))
    assert result[0] == pytest.approx(y, rel=1e-14, abs=1e-300)


def test_every_function_has_a_known_value() -> None:
    assert {function for function, _, _ in KNOWN} == set(Function)


def test_an_unsigned_power_of_two_takes_what_is_negative_for_the_least() -> None:
    result = evaluate(Function.POWER_OF_TWO, (-3.0, 3.0, 0.0), np.array([-5.0, 0.0, 5.0]))
    assert result.tolist() == [0.125, 0.125, 4.0]


@pytest.mark.parametrize("function", list(Function))
def test_wrong_parameters_are_refused(function: Function) -> None:
    with pytest.raises(ValueError, match="parameters"):
        evaluate(function, (1.0,) * (PARAMETER_COUNTS.get(function, 0) + 1), np.zeros(1))
