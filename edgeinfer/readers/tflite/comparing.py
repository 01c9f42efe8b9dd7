# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Comparisons, what joins them, and choices by what they say.

The kernels compare real numbers in 256ths: both sides are multiplied by 256 times their scale and
rounded twice. So numbers that are nearer to each other than that may count as equal, here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.tflite.model import Operator
from edgeinfer.graph.indexing import SitesNode
from edgeinfer.graph.nodes import MergeKind, MergeNode
from edgeinfer.readers.tflite.curves import curve_of, stored_real
from edgeinfer.readers.tflite.elementwise import enter_table, multiply_steps
from edgeinfer.readers.tflite.multipliers import multipliers_of
from edgeinfer.readers.tflite.pooling import same_scale
from edgeinfer.readers.tflite.rescaling import Sums, multiply, steps_of, whole
from edgeinfer.readers.tflite.values import (
    ZERO,
    Leaving,
    StepDrawing,
    Steps,
    StoredTruth,
    TabledReals,
    UnreadableOperatorError,
    inner,
)
from quantization.fixed import Ints

RAISED_BITS = 8  # by which steps move up before they are brought to a scale of 1
Truths = NDArray[np.bool_]
COMPARISONS: dict[str, Callable[..., Truths]] = {
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "EQUAL": np.equal,
    "NOT_EQUAL": np.not_equal,
}
# By comparison: whether it is a > b, b > a, or either of them; and whether it is the contrary.
ORDERS = {
    "GREATER": ((1,), False),
    "GREATER_EQUAL": ((-1,), True),
    "LESS": ((-1,), False),
    "LESS_EQUAL": ((1,), True),
    "EQUAL": ((1, -1), True),
    "NOT_EQUAL": ((1, -1), False),
}


def compare_steps(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> StoredTruth:
    """Two tensors of integers, of which one may be one number for all."""
    a, b = xs
    for x in xs:
        if not x.scale < 1.0:
            raise UnreadableOperatorError(
                f"a scale of what it compares is {x.scale:g}; the kernel takes those below 1"
            )
    shape = op.outputs[0].shape
    for x, other, sides in ((a, b, 1), (b, a, -1)):
        if other.low == other.high and inner(x.shape) == inner(shape):
            alone = np.arange(x.low, x.high + 1), np.asarray([other.low])
            scaled = [_in_parts(n, each) for n, each in zip(alone, (x, other), strict=True)]
            truths = COMPARISONS[op.name](*scaled[::sides])
            return StoredTruth(mark_entries(d, name, x, truths), shape)
    one, two = (
        multiply(
            d, f"{name}_{side}", whole(x), multipliers_of([float(x.scale)]), sign=sign,
            raised=RAISED_BITS,
        )
        for side, x, sign in (("a", a, 1), ("b", b, -1))
    )  # fmt: skip
    merge = MergeNode(d.fresh(f"{name}_difference"), (one.tensor, two.tensor), MergeKind.ADD)
    difference = Sums(d.add(merge), one.low + two.low, one.high + two.high)
    signs, contrary = ORDERS[op.name]
    above = [
        _mark_above(d, f"{name}_above", _turn(d, name, difference.tensor, sign), 0)
        for sign in signs
    ]
    truth = above[0] if len(above) == 1 else _join(d, name, above, MergeKind.MAXIMUM)
    return StoredTruth(_negate(d, name, truth) if contrary else truth, shape)


def _in_parts(steps: Ints, x: Steps) -> Ints:
    """Steps in 256ths."""
    return multiply_steps(steps.astype(np.int64) << RAISED_BITS, multipliers_of([float(x.scale)]))


def compare_reals(d: StepDrawing, name: str, op: Operator, x: Leaving | TabledReals) -> StoredTruth:
    """Real numbers, each of which depends on one integer, with one number."""
    curve, constant = curve_of(x), stored_real(op)
    first = op.inputs[0]
    sides = (constant, curve.reals) if first and first.constant else (curve.reals, constant)
    truths = COMPARISONS[op.name](*sides)
    return StoredTruth(mark_entries(d, name, curve.steps, truths), op.outputs[0].shape)


def mark_entries(d: StepDrawing, name: str, x: Steps, truths: Truths) -> str:
    """1 for each step of which it is true: all from one on or up to one, or a table."""
    changes = np.flatnonzero(truths[1:] != truths[:-1])
    if len(changes) != 1:
        return enter_table(d, name, x.tensor, x.low, truths.astype(np.int64))
    above = _mark_above(d, f"{name}_above", x.tensor, x.low + int(changes[0]))
    return above if truths[-1] else _negate(d, name, above)


def _mark_above(d: StepDrawing, name: str, x: str, threshold: int) -> str:
    """Which numbers are above one: those of one channel are pixels."""
    shape = d.shapes[x]
    column = x if shape[-1] == 1 and len(shape) > 1 else d.reshape(f"{name}_column", x, (*shape, 1))
    marked = d.add(SitesNode(d.fresh(name), column, float(threshold)))
    return d.reshape(f"{name}_shaped", marked, shape)


def _turn(d: StepDrawing, name: str, x: str, sign: int) -> str:
    return x if sign > 0 else d.affine(d.fresh(f"{name}_turned"), x, ZERO - 1, 0)


def _negate(d: StepDrawing, name: str, truth: str) -> str:
    """1 where it was 0."""
    return d.affine(d.fresh(f"{name}_not"), truth, ZERO - 1, 0, None, ZERO + 1)


def _join(d: StepDrawing, name: str, truths: Sequence[str], kind: MergeKind) -> str:
    return d.add(MergeNode(d.fresh(f"{name}_joined"), tuple(truths), kind))


def read_logical(d: StepDrawing, name: str, op: Operator, xs: Sequence[StoredTruth]) -> StoredTruth:
    """LOGICAL_NOT, LOGICAL_AND and LOGICAL_OR."""
    if op.name == "LOGICAL_NOT":
        return StoredTruth(_negate(d, name, xs[0].tensor), op.outputs[0].shape)
    kind = MergeKind.MULTIPLY if op.name == "LOGICAL_AND" else MergeKind.MAXIMUM
    return StoredTruth(_join(d, name, [x.tensor for x in xs], kind), op.outputs[0].shape)


def read_choice(
    d: StepDrawing, name: str, op: Operator, truth: StoredTruth, xs: Sequence[Steps]
) -> Steps:
    """SELECT and SELECT_V2: a where it is true, else b; b and, where it is true, a - b."""
    out = op.outputs[0]
    if op.name == "SELECT" and inner(truth.shape) not in ((), (1,), inner(out.shape)):
        raise UnreadableOperatorError("it chooses whole rows, by a condition for each sample")
    for x in xs:
        same_scale(x, out)
    a, b = xs
    low, high = min(a.low, b.low), max(a.high, b.high)
    if b.low == b.high == 0:
        return steps_of(
            _join(d, name, (truth.tensor, a.tensor), MergeKind.MULTIPLY), out, low, high
        )
    pair = (a.tensor, b.tensor)
    apart = d.add(MergeNode(d.fresh(f"{name}_apart"), pair, MergeKind.SUBTRACT))
    added = _join(d, name, (truth.tensor, apart), MergeKind.MULTIPLY)
    chosen = d.add(MergeNode(d.fresh(name), (b.tensor, added), MergeKind.ADD))
    return steps_of(chosen, out, low, high)
