# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How an error passes through the ops that are not linear: roundings, limits and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from edgeinfer.ir.bounds import wide
from edgeinfer.ir.ops import Clip, Op, Requant, Table
from quantization.fixed import Fixed, Overflow
from quantization.ranges import Interval

UNIT = 2.0**-24  # a float32 operation is off by at most this much of its result
COUNTED = 2.0**24  # integers up to here are float32 numbers, all of them
INFLATION = 1.0 + 2.0**-16  # pays for computing the bounds in float64
FUNCTION_ERROR = 2.0**-20  # of a float32 framework's exp, tanh and their kin, relative to max(1, y)
NARROWED_BITS = 14  # of a table's index that lowering had to round (and a framework does not)
NARROWED_FROM = 1 << 16  # values of x, from where on it does
FLAT_ERROR = 2.0**-11  # of sigmoid and tanh where that index saturates, at 8


class RoundingError(NamedTuple):
    """The largest absolute error of a value in its own unit, and where it comes from."""

    size: float
    reason: str


def gamma(operations: int) -> float:
    """Relative error of that many float32 operations in a chain."""
    off = operations * UNIT
    return off / (1.0 - off) if off < 0.5 else math.inf


def requant_error(op: Requant, x: Interval, x_type: Fixed, error: RoundingError) -> RoundingError:
    """Rounding moves by whole steps; x + (q - x) is off where a saturation is very far."""
    type_, lsb = op.type, op.type.lsb
    low, high = math.ldexp(x.bottom, -x_type.frac), math.ldexp(x.top, -x_type.frac)
    below = type_.min - low if type_.min < 0 else 0.0  # x + (0 - x) is 0, whatever x
    excess = max(high - type_.max, below, 0.0)
    drift = 0.0
    if excess and (error.size or excess / min(lsb, x_type.lsb) > COUNTED):
        excess += error.size
        drift = UNIT * (excess + type_.max + UNIT * excess)
    if not error.size:
        return RoundingError(
            drift, "it saturates from so far that q - x is not a float32" if drift else ""
        )
    bounded = op.overflow in (Overflow.SAT, Overflow.SAT_SYM)
    leaves = max(high - type_.max, type_.min - low) + error.size > 0
    if not bounded and leaves:
        return RoundingError(type_.max - type_.min, error.reason)
    steps = math.floor(error.size / lsb) + 1
    return RoundingError(min(steps * lsb, type_.max - type_.min) + drift, error.reason)


def clip_error(op: Clip, magnitude: float, error: RoundingError) -> RoundingError:
    """A limit moves no error apart, except where it stands for a step (sign, ternary)."""
    if not error.size:
        return error
    size = error.size + UNIT * (magnitude + error.size)
    if op.low is None or op.high is None:
        return RoundingError(size, error.reason)
    width = math.ldexp(op.high - op.low, -op.type.frac)
    return RoundingError(width if op.high - op.low <= 1 else min(size, width), error.reason)


def table_error(
    op: Table, x: Op, ranges: Mapping[str, Interval], error: RoundingError
) -> RoundingError:
    """A function in float32 may fall to the other side of a threshold: one step at least."""
    entries = np.ldexp(wide(op.entries).astype(np.float64), -op.type.frac)
    jump = float(np.abs(np.diff(entries)).max(initial=0.0))
    off = FUNCTION_ERROR * max(1.0, float(np.abs(entries).max()))
    if error.size:
        off += jump * (math.floor(error.size / x.type.lsb) + 1)
    if _is_narrowed(x, ranges):
        off += jump + FLAT_ERROR
    lsb = op.type.lsb
    steps = math.floor(off / lsb) + 1
    reason = error.reason or "functions in float32 are not exact to the last bit"
    return RoundingError(min(steps * lsb, op.type.max - op.type.min), reason)


def _is_narrowed(x: Op, ranges: Mapping[str, Interval]) -> bool:
    """Whether x is an index that was rounded for the table's sake."""
    if not isinstance(x, Requant) or (x.type.bits, x.type.signed) != (NARROWED_BITS, True):
        return False
    before = ranges[x.x]
    return before.top - before.bottom >= NARROWED_FROM
