# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What depends on two stored integers: a table with an entry for each pair of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.base.tflite.model import Operator
from edgeinfer.graph.nodes import MergeKind, MergeNode
from edgeinfer.readers.tflite.curves import PAIRS, curve_of
from edgeinfer.readers.tflite.elementwise import look_up
from edgeinfer.readers.tflite.multipliers import (
    FRAC,
    Multipliers,
    multipliers_of,
    scale_of,
    steps_allowed,
)
from edgeinfer.readers.tflite.rescaling import shift_away
from edgeinfer.readers.tflite.softmax import REFINEMENTS, SLOPE, START, TWO_BITS
from edgeinfer.readers.tflite.values import (
    ZERO,
    Leaving,
    StepDrawing,
    Steps,
    TabledReals,
    UnreadableOperatorError,
    inner,
)
from quantization.fixed import Ints, Rounding, shift_right

MOST_PAIRS = 1 << 16
LONGEST_SHIFT = 31  # of a 32-bit integer that C++ defines


def read_quotient(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """DIV of integers by integers: times one over the divisor, then times the scales, each rounded
    at 31 bits, then a shift. Where the kernel would shift by more bits than an integer has, which
    C++ leaves undefined, the quotient is rounded like the others."""
    a, b = xs
    out = op.outputs[0]
    place = _place_of_pair(d, name, op, a, b)
    by = multipliers_of([float(a.scale / (b.scale * scale_of(out)))])
    quotients = _divide(*_all_pairs(a, b), by)
    if b.low <= 0 <= b.high:
        d.findings.append(
            f"{name}: a divisor of zero, which ends TensorFlow Lite with an error, gives zero."
        )
    entries = np.clip(quotients, *steps_allowed(out, op.options.fused))
    return [look_up(d, name, place, out, entries)]


def read_pair_of_curves(
    d: StepDrawing, name: str, op: Operator, a: Leaving | TabledReals, b: Leaving | TabledReals
) -> TabledReals:
    """An operator between real numbers of two tensors, each of which depends on one integer."""
    if op.options.fused != "NONE":
        raise UnreadableOperatorError(f"its activation {op.options.fused} works on real numbers")
    one, other = curve_of(a), curve_of(b)
    with np.errstate(all="ignore"):
        if one.steps.tensor == other.steps.tensor:
            return TabledReals(one.steps, PAIRS[op.name](one.reals, other.reals))
        reals = PAIRS[op.name](one.reals[:, None], other.reals[None, :])
    place = _place_of_pair(d, name, op, one.steps, other.steps)
    return TabledReals(place, reals.reshape(-1))


def _place_of_pair(d: StepDrawing, name: str, op: Operator, a: Steps, b: Steps) -> Steps:
    """Where a pair stands among all pairs: those with the least a come first, the least b first."""
    width = b.high - b.low + 1
    count = (a.high - a.low + 1) * width
    if count > MOST_PAIRS:
        raise UnreadableOperatorError(
            f"what it reads takes {count:,} pairs of values; a table has {MOST_PAIRS:,} entries at "
            f"most"
        )
    first = ZERO - a.low * width - b.low
    row = d.affine(d.fresh(f"{name}_row"), a.tensor, ZERO + width, 0, None, first)
    tensor = d.add(MergeNode(d.fresh(f"{name}_pair"), (row, b.tensor), MergeKind.ADD))
    shape = op.outputs[0].shape
    if d.shapes[tensor] != inner(shape):
        raise UnreadableOperatorError(
            f"it makes {d.shapes[tensor]}; its output is declared as {shape}"
        )
    return Steps(tensor, shape, 0, count - 1, np.float32(1.0), 0)


def _all_pairs(a: Steps, b: Steps) -> tuple[Ints, Ints]:
    one, other = (np.arange(x.low, x.high + 1, dtype=np.int64) for x in (a, b))
    return np.repeat(one, other.size), np.tile(other, one.size)


def _divide(a: Ints, b: Ints, by: Multipliers) -> Ints:
    """a / b times a scale as the kernel rounds it; zero where b is zero."""
    a, divisor = np.where(b < 0, -a, a), np.maximum(np.abs(b), 1)
    inverse, halvings = _invert(divisor)
    room = LONGEST_SHIFT - _bit_length(np.where(a < 0, -2 * a - 1, 2 * a)) + 1
    quotient = _high(_high(a << room, inverse), by.factors)
    right = halvings + room - by.shifts
    if (right < 0).any():
        raise UnreadableOperatorError("its output's scale is too small")
    return np.where(b == 0, 0, shift_away(quotient, right))


def _invert(x: Ints) -> tuple[Ints, Ints]:
    """One over x, brought to between one and two, with 31 fractional bits; by how many bits x was
    above that."""
    above = _bit_length(x) - 1
    half = x << (FRAC - above) >> 1
    result = START + _high(half, np.asarray(SLOPE))
    for _ in range(REFINEMENTS):
        result = result + 4 * _high(result, (1 << TWO_BITS) - _high(half, result))
    return np.minimum(2 * result, (1 << FRAC) - 1), above


def _high(a: Ints, b: Ints) -> Ints:
    return shift_right(a * b, FRAC, Rounding.RND)


def _bit_length(x: Ints) -> Ints:
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)
