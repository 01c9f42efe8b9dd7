# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Multipliers of few bits that make the same integers as the kernels' 31 bits and two roundings.

What a kernel makes of a sum is a staircase: it only rises, and it has as many steps as the output
has integers. Any line whose rounding steps at the same sums makes the same integers of all sums
within their bounds; the first one found has the fewest bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Floats
from quantization.fixed import Ints

MOST_LEVELS = 1 << 10  # of an output; sums on a finer scale keep their own multipliers
MOST_STEPS = 1 << 22  # of all channels together: each is searched for
MOST_PRODUCT = 1 << 60
MOST_BITS = 46  # behind the point, so that products stay below 63 bits


@dataclass(frozen=True, slots=True, eq=False)
class RoundedLine:
    """x factor 2^-frac + shift 2^-frac to the nearest integer, halves up, for each channel."""

    factors: Ints
    shifts: Ints
    frac: int


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """Where an integer function of sums steps: at `starts[channel, k]` it reaches `levels`.

    Sums below and beyond the bounds do not occur; levels that are not allowed are no steps.
    """

    low: Ints  # (channels, 1), as all but the steps
    high: Ints
    first: Ints  # the level at the low bound, as far as it is allowed
    last: Ints
    open_below: NDArray[np.bool_]  # whether lower levels than the first are cut off anyway
    open_above: NDArray[np.bool_]
    levels: Ints  # (channels, steps)
    starts: Ints


def staircase_of(
    low: Ints, high: Ints, function: Callable[[Ints], Ints], allowed: tuple[int, int]
) -> Staircase | None:
    """The steps of a rising function between bounds (channels, 1); None where they are many."""
    least, most = function(low), function(high)
    first, last = np.clip(least, *allowed), np.clip(most, *allowed)
    count = int((last - first).max())
    if count > MOST_LEVELS or count * first.size > MOST_STEPS:
        return None
    levels = first + 1 + np.arange(count)
    below, upper = (np.broadcast_to(end, levels.shape).copy() for end in (low, high))
    while (open_ := upper - below > 1).any():
        middle = np.where(open_, below + (upper - below) // 2, upper)
        there = function(middle) >= levels
        upper = np.where(there, middle, upper)
        below = np.where(there, below, middle)
    return Staircase(low, high, first, last, least < allowed[0], most > allowed[1], levels, upper)


def fit_line(stairs: Staircase, scales: Floats) -> RoundedLine | None:
    """The line with about these scales (channels, 1) and the fewest bits that steps where the
    staircase does; None where there is none."""
    for frac in range(1, MOST_BITS + 1):
        rounded = np.rint(np.ldexp(scales, frac)).astype(np.int64)
        factors = np.where(stairs.first == stairs.last, 0, rounded)  # a channel without steps
        if _too_large(stairs, factors):
            return None
        least, most = _shifts_allowed(stairs, factors, frac)
        if (least <= most).all():
            half = np.full_like(least, 1 << (frac - 1))
            return RoundedLine(factors, np.clip(half, least, most) - half, frac)
    return None


def _too_large(stairs: Staircase, factors: Ints) -> bool:
    reach = int(np.maximum(np.abs(stairs.low), np.abs(stairs.high)).max())
    return reach * int(factors.max()) >= MOST_PRODUCT


def _shifts_allowed(stairs: Staircase, factors: Ints, frac: int) -> tuple[Ints, Ints]:
    """Between which shifts a line, rounded down, steps where the staircase does."""
    far = np.int64(1 << 61)
    valid = stairs.levels <= stairs.last
    targets = stairs.levels << frac
    least = np.where(stairs.open_below, -far, (stairs.first << frac) - stairs.low * factors)
    most = np.where(stairs.open_above, far, ((stairs.last + 1) << frac) - 1 - stairs.high * factors)
    distances = np.where(valid, targets - stairs.starts * factors, -far)
    before = np.where(valid, targets - 1 - (stairs.starts - 1) * factors, far)
    least = np.maximum(least, distances.max(axis=1, keepdims=True, initial=-far))
    most = np.minimum(most, before.min(axis=1, keepdims=True, initial=far))
    return least, most
