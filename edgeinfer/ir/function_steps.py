# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where a rounded function steps: the few inputs at which its output changes, found by bisection
over ranges that are far too wide to be listed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgeinfer.graph.functions import CURVES, Floats, Function, evaluate
from quantization.fixed import HUGE, Ints, Overflow, Quantizer, quantize
from quantization.ranges import Interval

MOST_STEPS = 1 << 16
FALLING = (Overflow.WRAP, Overflow.SAT_ZERO)  # a growing value may come back smaller


@dataclass(frozen=True, slots=True)
class RoundedFunction:
    """A function of raw integers on a grid, brought to raw integers of a format."""

    function: Function
    parameters: tuple[float, ...]
    frac: int
    quantizer: Quantizer

    def values(self, raw: Ints) -> Floats:
        """The function before it is rounded."""
        points = np.ldexp(raw.astype(np.float64), -self.frac)
        low, high = self.domain
        values = evaluate(self.function, self.parameters, np.clip(points, low, high))
        return np.clip(values, -HUGE, HUGE)

    def __call__(self, raw: Ints) -> Ints:
        return quantize(self.values(raw), self.quantizer)

    @property
    def domain(self) -> tuple[float, float]:
        """Where the function has a value; outside it goes on as at the nearer end."""
        curve = CURVES.get(self.function)
        return (-math.inf, math.inf) if curve is None else curve.domain(*self.parameters)

    @property
    def turns(self) -> tuple[float, ...]:
        """Where the function stops falling or rising."""
        return CURVES[self.function].turns(*self.parameters)


def steps_of(rounded: RoundedFunction, range_: Interval) -> Ints | None:
    """Every raw input, in order, whose output differs from that of the input before it; None where
    there are too many of them, or where overflow makes them hard to find."""
    if rounded.quantizer.overflow in FALLING:
        return None
    ends = [range_.bottom, range_.top]
    for turn in rounded.turns:
        last = math.floor(math.ldexp(turn, rounded.frac))
        if range_.bottom <= last < range_.top:
            ends[-1:] = [last, last + 1, range_.top]
    steps_of_functions = []
    for low, high in pairwise(ends):
        steps = _between(rounded, low, high)
        if steps is None:
            return None
        steps_of_functions.append(steps)
    return np.unique(np.concatenate(steps_of_functions))


def _between(rounded: RoundedFunction, low: int, high: int) -> Ints | None:
    """The steps in low < raw <= high, where the function only rises or only falls."""
    first, last = (int(y) for y in rounded(np.asarray([low, high], np.int64)))
    if abs(last - first) > MOST_STEPS:
        return None
    sign = 1 if last >= first else -1
    levels = np.arange(1, abs(last - first) + 1, dtype=np.int64) * sign + first
    below, upper = np.full(levels.shape, low), np.full(levels.shape, high)
    while (open_ := upper - below > 1).any():
        middle = np.where(open_, below + (upper - below) // 2, upper)
        there = sign * rounded(middle) >= sign * levels
        upper = np.where(there, middle, upper)
        below = np.where(there, below, middle)
    return np.unique(upper)
