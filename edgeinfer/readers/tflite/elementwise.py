# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sums, differences and products of two tensors, scales brought to others, limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.graph.functions import evaluate
from edgeinfer.graph.nodes import ActivationNode, Function, MergeKind, MergeNode
from edgeinfer.readers.tflite.multipliers import (
    FRAC,
    Multipliers,
    inverse_root_of,
    multipliers_of,
    scale_of,
    steps_allowed,
    zero_of,
)
from edgeinfer.readers.tflite.rescaling import Sums, limit, multiply, rescale, steps_of, whole
from edgeinfer.readers.tflite.values import StepDrawing, Steps, UnreadableOperatorError
from quantization.fixed import Ints, Quantizer, Rounding, fixed_of_range, shift_right

Singles = NDArray[np.float32]
Entries = Callable[[Operator, Steps, TfliteTensor], Ints]
SUM_BITS = 20  # by which steps move up before the kernels bring them to a common scale
ROOT_BITS = 20  # by which one over a root moves up
SQUARE_BITS = 7  # the same where the difference is squared


def read_sum(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """ADD and SUB: both on twice the larger scale, moved up, then the output's scale."""
    a, b = xs
    out = op.outputs[0]
    twice = 2.0 * max(float(a.scale), float(b.scale))
    sign = -1 if op.name == "SUB" else 1
    parts = [
        _raise_steps(d, f"{name}_{side}", x, float(x.scale) / twice, factor, SUM_BITS)
        for side, x, factor in (("a", a, 1), ("b", b, sign))
    ]
    merge = MergeNode(f"{name}_sums", (parts[0].tensor, parts[1].tensor), MergeKind.ADD)
    sums = Sums(d.add(merge), parts[0].low + parts[1].low, parts[0].high + parts[1].high)
    by = multipliers_of([twice / ((1 << SUM_BITS) * float(scale_of(out)))])
    return [rescale(d, name, sums, by, out, op.options.fused)]


def _raise_steps(d: StepDrawing, name: str, x: Steps, scale: float, sign: int, bits: int) -> Sums:
    by = multipliers_of([scale])
    return multiply(d, name, whole(x), by, sign=sign, raised=bits)


def read_squared_difference(
    d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]
) -> list[Steps]:
    """SQUARED_DIFFERENCE: both on twice the larger scale, moved up; their difference squared; then
    the output's scale."""
    a, b = xs
    out = op.outputs[0]
    twice = 2.0 * max(float(a.scale), float(b.scale))
    one, other = (
        _raise_steps(d, f"{name}_{side}", x, float(x.scale) / twice, sign, SQUARE_BITS)
        for side, x, sign in (("a", a, 1), ("b", b, -1))
    )
    merge = MergeNode(f"{name}_differences", (one.tensor, other.tensor), MergeKind.ADD)
    tensor = d.add(merge)
    reach = Sums(tensor, one.low + other.low, one.high + other.high).reach
    squares = d.add(MergeNode(f"{name}_squares", (tensor, tensor), MergeKind.MULTIPLY))
    sums = Sums(squares, np.asarray(0), np.asarray(reach**2))
    by = multipliers_of([twice**2 / ((1 << 2 * SQUARE_BITS) * float(scale_of(out)))])
    return [rescale(d, name, sums, by, out)]


def read_product(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """MUL: products of steps, then the output's scale."""
    a, b = xs
    out = op.outputs[0]
    merge = MergeNode(f"{name}_sums", (a.tensor, b.tensor), MergeKind.MULTIPLY)
    ends: Ints = np.multiply.outer([a.low, a.high], [b.low, b.high])
    sums = Sums(d.add(merge), ends.min(), ends.max())
    by = multipliers_of([float(a.scale * b.scale / scale_of(out))])
    return [rescale(d, name, sums, by, out, op.options.fused)]


def read_requantization(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """QUANTIZE of integers: another scale, another zero point, perhaps another type."""
    out = op.outputs[0]
    by = multipliers_of([float(x.scale) / float(scale_of(out))])
    return rescale(d, name, whole(x), by, out)


def read_relu(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """RELU, RELU6 and RELU_N1_TO_1 as operators of their own."""
    out = op.outputs[0]
    by = multipliers_of([float(x.scale / scale_of(out))])
    return rescale(d, name, whole(x), by, out, op.name)


def read_prelu(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """PRELU: a scale from zero on, below it another one and a slope for each channel. Of the two,
    which are rounded by themselves, one is always zero."""
    x, slope = xs
    out = op.outputs[0]
    above = d.add(ActivationNode(d.fresh(f"{name}_above"), x.tensor, Function.RELU))
    below = d.clip(f"{name}_below", x.tensor, None, 0)
    merge = MergeNode(d.fresh(f"{name}_sloped"), (below, slope.tensor), MergeKind.MULTIPLY)
    ends: Ints = np.multiply.outer([min(x.low, 0), min(x.high, 0)], [slope.low, slope.high])
    parts = (
        multiply(d, f"{name}_{side}", sums, multipliers_of([float(scale / scale_of(out))]))
        for side, sums, scale in (
            ("upper", Sums(above, np.asarray(max(x.low, 0)), np.asarray(max(x.high, 0))), x.scale),
            ("lower", Sums(d.add(merge), ends.min(), ends.max()), x.scale * slope.scale),
        )
    )
    one, other = parts
    both = MergeNode(d.fresh(f"{name}_both"), (one.tensor, other.tensor), MergeKind.ADD)
    sums = Sums(d.add(both), one.low + other.low, one.high + other.high)
    return [limit(d, name, sums, out)]


def read_lookup(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """Functions of one integer: for each that can be stored, what the kernels make of it."""
    return look_up(d, name, x, op.outputs[0], TABLES[op.name](op, x, op.outputs[0]))


def look_up(d: StepDrawing, name: str, x: Steps, out: TfliteTensor, entries: Ints) -> Steps:
    """Append a table with an entry, in steps of the output, for each step of x from its least."""
    tensor = enter_table(d, f"{name}_table", x.tensor, x.low, entries)
    return steps_of(tensor, out, int(entries.min()), int(entries.max()))


def enter_table(d: StepDrawing, name: str, x: str, first: int, entries: Ints) -> str:
    """Append a table of whole numbers, one for each whole number from the first on."""
    parameters = (float(first), *entries.astype(np.float64).tolist())
    if len(parameters) == 2:
        parameters = (*parameters, parameters[1])  # a table has two entries at least
    node = ActivationNode(d.fresh(name), x, Function.LOOKUP, parameters)
    return d.add(node, Quantizer(fixed_of_range(int(entries.min()), int(entries.max()), 0)))


def _steps(x: Steps) -> Ints:
    return np.arange(x.low, x.high + 1, dtype=np.int64)


def _table_of(function: Callable[[Singles], Singles]) -> Entries:
    """A function in float32 to the nearest step of the output, halves away from zero."""

    def entries(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
        del op
        inverse = np.float32(1.0) / scale_of(out)
        return round_reals(x, out, lambda real: function(real) * inverse)

    return entries


def round_reals(x: Steps, out: TfliteTensor, scaled: Callable[[Singles], Singles]) -> Ints:
    """For each step of x what a function in float32, which is in steps of the output, is nearest
    to, halves away from zero, as far as it can be stored."""
    with np.errstate(over="ignore"):  # what is infinite is the most that can be stored
        scaled_steps = scaled(x.scale * _steps(x).astype(np.float32)).astype(np.float64)
    nearest = np.copysign(np.floor(np.abs(scaled_steps) + 0.5), scaled_steps)
    return np.clip(nearest, *steps_allowed(out)).astype(np.int64)


def _sigmoid(x: Singles) -> Singles:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-x))


def _gelu(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """x times a normal number's chance to be below it, or the approximation of it by tanh."""
    function = Function.GELU_TANH if op.options.approximate else Function.GELU
    single = _table_of(
        lambda real: evaluate(function, (), real.astype(np.float64)).astype(np.float32)
    )
    return single(op, x, out)


def _log(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """Logarithms; what has none is the least that can be stored."""
    entries = _table_of(lambda real: np.log(np.where(real > 0, real, np.float32(1.0))))(op, x, out)
    return np.where(_steps(x) > 0, entries, steps_allowed(out)[0])


def _root(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """Roots, whose fractions are cut off; the kernel has none below zero."""
    del op
    reals = np.sqrt(x.scale * np.maximum(_steps(x), 0).astype(np.float32))
    entries: Ints = np.trunc(reals / scale_of(out)).astype(np.int64)
    return np.clip(entries, *steps_allowed(out))


def _elu(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    single = _table_of(lambda real: np.where(real < 0, np.expm1(real), real).astype(np.float32))
    return single(op, x, out)


def _absolute(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    del op
    by = multipliers_of([float(x.scale / scale_of(out))])
    return np.clip(multiply_steps(np.abs(_steps(x)), by), *steps_allowed(out))


def _negative(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """What is stored, negated: the kernel heeds no zero points, and leaves the least as it is."""
    del op
    stored = -(_steps(x) + x.zero)
    return np.where(stored > 127, -128, stored) - zero_of(out)


def _inverse_root(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """One over the root, by five of Newton's steps; the kernel has none below zero, and the most
    that can be stored at zero."""
    del op
    low, high = steps_allowed(out)
    real = 1.0 / (math.sqrt(float(x.scale)) * float(scale_of(out)))
    by = multipliers_of([real])
    by = Multipliers(by.factors, by.shifts - ROOT_BITS)
    entries = []
    for value in _steps(x).tolist():
        if value <= 0:
            entries.append(high)
            continue
        root = inverse_root_of(value)
        root = Multipliers(root.factors, root.shifts + ROOT_BITS)
        raised = multiply_steps(np.asarray([1], np.int64), root)
        entries.append(int(multiply_steps(raised, by)[0]))
    return np.clip(np.asarray(entries, np.int64), low, high)


def _leaky(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """Two scales: one from zero on, one below."""
    steps = _steps(x)
    scales = (x.scale * np.float32(op.options.slope), x.scale)
    below, above = (
        multiply_steps(steps, multipliers_of([float(scale / scale_of(out))])) for scale in scales
    )
    return np.clip(np.where(steps < 0, below, above), *steps_allowed(out))


def multiply_steps(steps: Ints, by: Multipliers) -> Ints:
    """Steps times a scale, rounded twice."""
    left, right = max(int(by.shifts[0]), 0), max(-int(by.shifts[0]), 0)
    first = shift_right((steps << left) * by.factors, FRAC, Rounding.RND)
    return shift_right(first, right, Rounding.RND_INF)


def _hard_swish(op: Operator, x: Steps, out: TfliteTensor) -> Ints:
    """x relu6(x + 3) / 6 in 16-bit numbers, as the kernels compute it."""
    del op
    fine = np.float32(1.0 / 128.0) * x.scale
    to_out, to_gate = (
        multipliers_of([float(fine / unit)]) for unit in (scale_of(out), np.float32(3.0 / 32768.0))
    )
    if to_out.shifts[0] > 0:
        raise UnreadableOperatorError("its output's scale is too small")
    hires = _steps(x) << 7
    scaled = _multiply_high(hires, _short(to_out))
    gate, shift = hires, int(to_gate.shifts[0])
    if shift > 0:
        gate = _sixteen(gate << (shift - 1))
    gate = _multiply_high(gate, _short(to_gate))
    gate = _sixteen(gate << 1) if shift > 0 else shift_right(gate, -shift, Rounding.RND_INF)
    gate = (gate + (1 << 15)) >> 1
    product = shift_right(gate * scaled, 15, Rounding.TRN_ZERO)
    product_steps = shift_right(product, -int(to_out.shifts[0]), Rounding.RND_INF)
    return np.clip(product_steps, *steps_allowed(out))


def _short(by: Multipliers) -> int:
    """A multiplier in 16 bits."""
    return min((int(by.factors[0]) + (1 << 15)) >> 16, (1 << 15) - 1)


def _sixteen(raw: Ints) -> Ints:
    return np.clip(raw, -(1 << 15), (1 << 15) - 1)


def _multiply_high(raw: Ints, factor: int) -> Ints:
    """The upper 16 bits of twice a product, to the nearest, halves up."""
    return shift_right(raw * factor, 15, Rounding.RND)


TABLES: dict[str, Entries] = {
    "LOGISTIC": _table_of(_sigmoid),
    "TANH": _table_of(np.tanh),
    "LEAKY_RELU": _leaky,
    "HARD_SWISH": _hard_swish,
    "ABS": _absolute,
    "EXP": _table_of(np.exp),
    "GELU": _gelu,
    "LOG": _log,
    "RSQRT": _inverse_root,
    "NEG": _negative,
    "SQRT": _root,
    "ELU": _elu,
}
