# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Real numbers between two tensors of integers.

The converter leaves an operator without a kernel for integers in real numbers, between DEQUANTIZE
and QUANTIZE. As long as each of these numbers depends on one stored integer, all of them together
are a table with an entry for each integer, whatever float32 makes of it on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.graph.nodes import ActivationNode, Function
from edgeinfer.readers.tflite.elementwise import look_up
from edgeinfer.readers.tflite.multipliers import scale_of, steps_allowed
from edgeinfer.readers.tflite.rescaling import steps_of
from edgeinfer.readers.tflite.values import (
    Leaving,
    Reals,
    StepDrawing,
    Steps,
    TabledReals,
    UnreadableOperatorError,
)
from quantization.fixed import Ints, Quantizer, fixed_of_range

WIDEST = 32  # bits of a real number that leaves the network through a table
Doubles = NDArray[np.float64]


def _exactly(function: Callable[[Doubles], Doubles]) -> Callable[[Reals], Reals]:
    """A function rounded once to float32, as mathematical libraries nearly always do."""
    return lambda x: np.asarray(function(x.astype(np.float64)), np.float32)


FUNCTIONS: dict[str, Callable[[Reals], Reals]] = {
    "ABS": np.abs,
    "NEG": np.negative,
    "SQUARE": np.square,
    "SQRT": np.sqrt,
    "RSQRT": lambda x: np.reciprocal(np.sqrt(x)),
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND": np.rint,
    "SIGN": np.sign,
    "EXP": _exactly(np.exp),
    "LOG": _exactly(np.log),
    "SIN": _exactly(np.sin),
    "COS": _exactly(np.cos),
    "ELU": _exactly(lambda x: np.where(x < 0, np.expm1(x), x)),
}
PAIRS: dict[str, Callable[[Reals, Reals], Reals]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "POW": lambda x, y: np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32),
}


def curve_of(x: Leaving | TabledReals) -> TabledReals:
    """Real numbers as a curve: what leaves is its steps times its scale."""
    if isinstance(x, TabledReals):
        return x
    if x.softmax:
        raise UnreadableOperatorError("it computes with what a softmax on the host makes")
    steps = np.arange(x.steps.low, x.steps.high + 1).astype(np.float32)
    return TabledReals(x.steps, x.steps.scale * steps)


def read_function(op: Operator, x: Leaving | TabledReals) -> TabledReals:
    """A function of one real number."""
    curve = curve_of(x)
    with np.errstate(all="ignore"):
        return replace(curve, reals=FUNCTIONS[op.name](curve.reals))


def read_pair(op: Operator, x: Leaving | TabledReals) -> TabledReals:
    """An operator between real numbers and one number that is stored in the file."""
    curve, constant = curve_of(x), stored_real(op)
    if op.options.fused != "NONE":
        raise UnreadableOperatorError(f"its activation {op.options.fused} works on real numbers")
    first = op.inputs[0]
    sides = (constant, curve.reals) if first and first.constant else (curve.reals, constant)
    with np.errstate(all="ignore"):
        return replace(curve, reals=PAIRS[op.name](*sides))


def stored_real(op: Operator) -> Reals:
    """The one real number that a file stores for an operator of two operands."""
    for tensor in op.inputs:
        if tensor is not None and tensor.constant and tensor.elements == 1:
            return tensor.singles().reshape(())
    raise UnreadableOperatorError(
        "it computes with many real constants; with one constant or another tensor it can be read, "
        "and 8-bit integers can"
    )


def store_curve(d: StepDrawing, name: str, x: Leaving | TabledReals, out: TfliteTensor) -> Steps:
    """QUANTIZE: real numbers to the nearest step, halves away from zero."""
    curve = curve_of(x)
    _check_finite(curve)
    scaled = (curve.reals / scale_of(out)).astype(np.float64)
    nearest = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
    entries = np.clip(nearest, *steps_allowed(out)).astype(np.int64)
    if (curve.steps.low, curve.steps.high) == (0, 1):  # a line through two numbers
        return _draw_line(d, name, curve.steps, out, entries)
    return look_up(d, name, curve.steps, out, entries)


def _draw_line(d: StepDrawing, name: str, x: Steps, out: TfliteTensor, ends: Ints) -> Steps:
    first, last = ends
    tensor = d.affine(d.fresh(name), x.tensor, last - first, 0, None, first)
    return steps_of(tensor, out, int(min(ends)), int(max(ends)))


def leave_curve(d: StepDrawing, name: str, x: TabledReals) -> str:
    """An output of the network in real numbers, from a table with at most 32 bits an entry."""
    _check_finite(x)
    reals = x.reals.astype(np.float64)
    largest = float(np.abs(reals).max(initial=0.0)) or 1.0
    frac = WIDEST - 1 - math.frexp(largest)[1]
    rounded = np.ldexp(np.rint(np.ldexp(reals, frac)), -frac)
    if (rounded != reals).any():
        d.findings.append(
            f"{name}: its real numbers are rounded to steps of 2^{-frac}; the file has them in "
            f"float32."
        )
    raw = np.ldexp(rounded, frac).astype(np.int64)
    spare = _spare_bits(raw)
    low, high = int(raw.min()) >> spare, int(raw.max()) >> spare
    parameters = (float(x.steps.low), *rounded.tolist())
    if len(parameters) == 2:
        parameters = (*parameters, parameters[1])  # a table has two entries at least
    node = ActivationNode(name, x.steps.tensor, Function.LOOKUP, parameters)
    return d.add(node, Quantizer(fixed_of_range(low, high, frac - spare)))


def _spare_bits(raw: Ints) -> int:
    """How many of the last bits are zero in all of them."""
    used = int(np.bitwise_or.reduce(np.abs(raw)))
    return (used & -used).bit_length() - 1 if used else WIDEST - 1


def _check_finite(x: TabledReals) -> None:
    if not np.isfinite(x.reals).all():
        raise UnreadableOperatorError(
            "its real numbers are not finite for every integer that may come; keep what it reads "
            "where the function is defined, by a clip or an activation before it"
        )
