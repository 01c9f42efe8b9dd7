# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""On which 256 levels a sum leaves the network: as fine as its range allows, as wide as it matters.

Scores that the host turns into probabilities may saturate where a probability is 0 or 1 anyway, and
are the finer where decisions fall. Of some power-of-two steps and places, the one is taken that
changes least on the samples: decisions, probabilities, and the order of the samples. A lone score
whose levels leave few thresholds to select by (`working_points`) leaves a second time, finer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.program import HostFunction
from edgeinfer.targets.edgetpu.int8.grid import LEVELS, Window
from edgeinfer.targets.edgetpu.int8.working_points import (
    FEWEST_THRESHOLDS,
    count_thresholds,
    threshold_range,
)
from quantization.fixed import Fixed, Ints, Quantizer, Rounding, dequantize, quantize

FINER = 6  # steps that are tried below the one that holds every value
APART = 8  # levels between two places that are tried
DECISION = 5.0  # by how much more a sample counts that is decided otherwise than one whose
# probabilities are moved from 0 to 1
MOST_SAMPLES = 4096
Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreRange:
    """Between which values scores are to be told apart; beyond they may saturate."""

    low: float
    high: float

    def window(self, frac: int) -> Window:
        """The finest levels that hold the range, and zero."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        while np.floor(np.ldexp(high, frac)) - np.floor(np.ldexp(low, frac)) >= LEVELS:
            frac -= 1
        return Window(frac, min(int(np.floor(np.ldexp(low, frac))), 0))


def levels_for(
    values: Ints, frac: int, host: HostFunction, score_range: ScoreRange | None = None
) -> Window:
    """The levels for raw values with `frac` fractional bits, as samples show them, or as a range
    of scores says that was asked for."""
    if score_range is not None and host is not HostFunction.NONE:
        return score_range.window(frac)
    few = values[:MOST_SAMPLES]
    return min(_candidates(few, frac), key=lambda w: _rounding_loss(few, frac, w, host))


def finer_levels_for(values: Ints, frac: int, window: Window) -> Window | None:
    """The levels of a second output for the same score, where a window leaves few thresholds in the
    range in which selections are made; None where it leaves enough, or none are finer."""
    scores = np.ldexp(values[:MOST_SAMPLES].astype(np.float64), -frac)
    low, high = threshold_range(scores)
    finer = ScoreRange(low, high).window(frac)
    return None if leaves_enough(values, frac, window) or finer.frac <= window.frac else finer


def leaves_enough(values: Ints, frac: int, window: Window) -> bool:
    """Whether a window leaves as many thresholds as selections need."""
    scores = np.ldexp(values[:MOST_SAMPLES].astype(np.float64), -frac)
    thresholds = count_thresholds(scores, 2.0**-window.frac, window.least, window.most)
    return thresholds >= FEWEST_THRESHOLDS


def nearest_type(values: Ints, frac: int) -> Fixed:
    """The 8-bit type that misses raw values least, whole or cut at its ends."""
    signed = bool((values < 0).any())
    few = values.reshape(-1)[: MOST_SAMPLES * LEVELS]
    exact = np.ldexp(few.astype(np.float64), -frac)
    best, least = Fixed(signed, 8, 8 - frac), np.inf
    for coarser in range(64):
        type_ = Fixed(signed, 8, 8 - frac + coarser)
        rounded = dequantize(quantize(exact, Quantizer(type_, Rounding.RND)), type_)
        loss = float(np.mean((exact - rounded) ** 2))
        if loss < least:
            best, least = type_, loss
        if type_.min <= exact.min(initial=0) and exact.max(initial=0) <= type_.max:
            break
    return best


def round_to_window(values: Ints, frac: int, window: Window) -> Ints:
    """Raw values on a window's grid, ties upwards, saturated."""
    shift = frac - window.frac
    half = 1 << (shift - 1) if shift > 0 else 0
    moved = (values + half) >> shift if shift >= 0 else values << -shift
    clipped: Ints = np.clip(moved, window.low, window.high)
    return clipped


def _candidates(values: Ints, frac: int) -> Iterator[Window]:
    """From the window that holds everything to finer ones, at several places."""
    bottom, top = min(int(values.min()), 0), max(int(values.max()), 0)
    shift = 0
    while _span(bottom, top, shift) > LEVELS:
        shift += 1
    for finer in range(min(FINER, shift) + 1):
        window_frac = frac - shift + finer
        low, high = (_move_limit(end, shift - finer) for end in (bottom, top))
        spare = LEVELS - (high - low + 1)
        places = {low - max(spare, 0) // 2, high - LEVELS + 1, low, -LEVELS // 2}
        middle = _move_limit(int(np.median(values)), shift - finer)
        places.add(middle - LEVELS // 2)
        places.update(range(max(low, 1 - LEVELS), min(high - LEVELS + 1, 0) + 1, APART))
        for place in sorted(places):
            yield Window(window_frac, min(max(place, 1 - LEVELS), 0))


def _move_limit(raw: int, shift: int) -> int:
    return (raw + (1 << shift >> 1)) >> shift


def _span(bottom: int, top: int, shift: int) -> int:
    return _move_limit(top, shift) - _move_limit(bottom, shift) + 1


def _rounding_loss(values: Ints, frac: int, window: Window, host: HostFunction) -> float:
    """How much rounding to a window changes."""
    exact = np.ldexp(values.astype(np.float64), -frac)
    rounded = np.ldexp(round_to_window(values, frac, window).astype(np.float64), -window.frac)
    many = exact.ndim > 1 and exact.shape[-1] > 1
    match host:
        case HostFunction.SOFTMAX if many:
            moved = float(np.abs(_shares(exact) - _shares(rounded)).mean())
            flips = DECISION * _flips(exact, rounded)
            return moved + flips + _ties(_margins(exact), _margins(rounded))
        case HostFunction.SIGMOID | HostFunction.SOFTMAX:
            moved = float(np.abs(_sigmoid(exact) - _sigmoid(rounded)).mean())
            return moved + _ties(exact, rounded)  # decisions stay, see `narrowing`
        case HostFunction.NONE:
            spread = float(exact.std()) or 1.0
            error = float(np.sqrt(np.mean((exact - rounded) ** 2))) / spread
            return error + (_flips(exact, rounded) if many else 0.0)


def _shares(values: Reals) -> Reals:
    grown = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: Reals = grown / grown.sum(axis=-1, keepdims=True)
    return shares


def _sigmoid(values: Reals) -> Reals:
    result: Reals = np.exp(-np.logaddexp(0.0, -values))
    return result


def _flips(exact: Reals, rounded: Reals) -> float:
    return float(np.mean(exact.argmax(axis=-1) != rounded.argmax(axis=-1)))


def _margins(values: Reals) -> Reals:
    """By how much the winner leads."""
    ordered = np.sort(values, axis=-1)
    margins: Reals = ordered[..., -1] - ordered[..., -2]
    return margins


def _ties(exact: Reals, rounded: Reals) -> float:
    """Chance that two samples cannot be told apart any more."""

    def alike(values: Reals) -> float:
        _, counts = np.unique(values, return_counts=True)
        return float(np.sum((counts / counts.sum()) ** 2))

    return max(alike(rounded) - alike(exact), 0.0)
