# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Element-wise functions as ONNX nodes in float32; `graph/functions.py` says what they mean."""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.graph.functions import (
    CURVES,
    GELU_CUBE,
    GELU_SLOPE,
    SELU_ALPHA,
    SELU_SCALE,
    SMALLEST_POWER_INPUT,
    Function,
)
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder


def apply_function(
    builder: OnnxBuilder, function: Function, parameters: tuple[float, ...], x: str
) -> str:
    """The function of every element of a float32 tensor."""
    node = builder.node

    def number(value: float) -> str:
        return builder.constant(value, np.float32)

    match function:
        case Function.LINEAR:
            return x
        case Function.RELU:
            return node("Relu", x)
        case Function.RELU6:
            return node("Clip", x, number(0.0), number(6.0))
        case Function.LEAKY_RELU:
            return node("LeakyRelu", x, alpha=parameters[0])
        case Function.HARD_SIGMOID:
            line = node("Add", node("Mul", x, number(parameters[0])), number(parameters[1]))
            return node("Clip", line, number(0.0), number(1.0))
        case Function.HARD_TANH:
            return node("Clip", x, number(-1.0), number(1.0))
        case Function.SIGN:
            return _sign(builder, x)
        case Function.TERNARY:
            outside = node("GreaterOrEqual", node("Abs", x), number(parameters[0]))
            return node("Mul", builder.cast(outside, np.float32), _sign(builder, x))
        case Function.SELU:
            return node("Selu", x, alpha=SELU_ALPHA, gamma=SELU_SCALE)
        case Function.SWISH:
            return node("Mul", x, node("Sigmoid", x))
        case Function.HARD_SWISH:
            shift, bound = (number(value) for value in parameters)
            gate = node("Clip", node("Add", x, shift), number(0.0), bound)
            return node("Div", node("Mul", x, gate), bound)
        case Function.GELU:
            below = node("Erf", node("Mul", x, number(math.sqrt(0.5))))
            return node("Mul", node("Mul", x, number(0.5)), node("Add", below, number(1.0)))
        case Function.RSQRT:
            raised = node("Add", node("Relu", x), number(parameters[0]))
            return node("Reciprocal", node("Sqrt", raised))
        case Function.POWER_OF_TWO:
            lowest, highest, signed = parameters
            magnitude = node("Max", node("Abs", x) if signed else x, number(SMALLEST_POWER_INPUT))
            exponent = node("Round", node("Div", node("Log", magnitude), number(math.log(2.0))))
            limited = node("Clip", exponent, number(lowest), number(highest))
            power = node("Pow", number(2.0), limited)
            return node("Mul", power, _sign(builder, x)) if signed else power
        case Function.GELU_TANH:
            cube = node("Mul", node("Mul", x, x), node("Mul", x, number(GELU_CUBE)))
            bend = node("Tanh", node("Mul", node("Add", x, cube), number(GELU_SLOPE)))
            return node("Mul", node("Mul", x, number(0.5)), node("Add", bend, number(1.0)))
        case Function.LOOKUP:
            return _look_up(builder, parameters, x)
        case Function.POWER:
            return node("Pow", x, number(parameters[0]))
        case Function.TRUNCATE:
            return node("Mul", node("Sign", x), node("Floor", node("Abs", x)))
        case _:  # every other function has a curve with its operator, a new one too
            curve = CURVES[function]
            attributes = dict(zip(curve.attributes, parameters, strict=True))
            return node(curve.operator, x, **attributes)


def _look_up(builder: OnnxBuilder, parameters: tuple[float, ...], x: str) -> str:
    """Straight lines between the entries of a table."""
    first, *entries = parameters
    node, last = builder.node, len(entries) - 1

    def number(value: float) -> str:
        return builder.constant(value, np.float32)

    place = node("Clip", node("Sub", x, number(first)), number(0.0), number(last))
    below = node("Min", node("Floor", place), number(last - 1))
    index = builder.cast(below, np.int64)
    starts, rises = (
        node("Gather", builder.constant(values, np.float32), index)
        for values in (entries[:-1], np.diff(entries))
    )
    return node("Add", starts, node("Mul", node("Sub", place, below), rises))


def _sign(builder: OnnxBuilder, x: str) -> str:
    """-1 below zero, else 1."""
    negative = builder.node("Less", x, builder.constant(0.0, np.float32))
    ends = builder.constant(-1.0, np.float32), builder.constant(1.0, np.float32)
    return builder.node("Where", negative, *ends)
