# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole numbers multiplied by a scale and limited to what an output stores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeinfer.base.tflite.model import TfliteTensor
from edgeinfer.graph.nodes import ActivationNode, Function
from edgeinfer.readers.tflite.multipliers import (
    FRAC,
    Multipliers,
    scale_of,
    steps_allowed,
    zero_of,
)
from edgeinfer.readers.tflite.narrowing import fit_line, staircase_of
from edgeinfer.readers.tflite.values import ZERO, StepDrawing, Steps, UnreadableOperatorError
from quantization.fixed import (
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
    shift_left,
    shift_right,
)

INT32 = 1 << 31
OVERFLOW = "its sums may leave the 32 bits in which TensorFlow Lite holds them"
MOST_PRODUCT = 1 << 61  # so that what is added to it stays below 63 bits


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """A tensor of whole numbers with its bounds, the same for all or one for each channel."""

    tensor: str
    low: Ints
    high: Ints

    @property
    def reach(self) -> int:
        """The largest magnitude."""
        return max(int(np.abs(self.low).max()), int(np.abs(self.high).max()))


def whole(steps: Steps) -> Sums:
    """Steps as whole numbers with bounds."""
    return Sums(steps.tensor, np.asarray(steps.low), np.asarray(steps.high))


def multiply(
    d: StepDrawing,
    name: str,
    x: Sums,
    by: Multipliers,
    *,
    twice: bool = True,
    sign: int = 1,
    raised: int = 0,
    allowed: tuple[int, int] | None = None,
) -> Sums:
    """Append x times a scale as an integer. A sign belongs to the scale, and x moves up by `raised`
    bits before. Where a range is allowed, the last rounding saturates near it.

    Once rounded, halves go up. Twice rounded, halves go up after the multiplier and away from zero
    after the power of two that divides.
    """
    if x.reach << raised >= INT32:
        raise UnreadableOperatorError(OVERFLOW)
    left, right = _powers(by, twice=twice)
    factors, left, right = _without_idle(x, by, left + raised, right)
    negative = allowed is None or allowed[0] < 0 or sign < 0
    if right.any() and not negative and _room(x, factors, left - right):
        # What is below zero ends at zero, and for the rest both roundings are one: the half of the
        # first, moved down by the second's power of two, is added before the second.
        return _round_once(d, name, x, factors, left - right, allowed, first=right)
    scaled = _round_once(d, name, x, sign * factors, left, None if right.any() else allowed)
    if not right.any():
        return scaled
    low, high = (shift_away(end, right) for end in (scaled.low, scaled.high))
    top = int(right.max())
    powers = np.left_shift(np.int64(1), top - right)
    quantizer = _saturating(low, high, Rounding.RND_INF, allowed)
    tensor = d.affine(d.fresh(f"{name}_shifted"), scaled.tensor, powers, top, quantizer)
    return Sums(tensor, low, high)


def _powers(by: Multipliers, *, twice: bool) -> tuple[Ints, Ints]:
    """By how many bits a product moves up before it is first rounded, and down after that."""
    if twice:
        return np.maximum(by.shifts, 0), np.maximum(-by.shifts, 0)
    return by.shifts, np.zeros_like(by.shifts)


def _without_idle(x: Sums, by: Multipliers, left: Ints, right: Ints) -> tuple[Ints, Ints, Ints]:
    """Factors and powers; where all products of a channel are zero, those that cost least, for the
    scale of an unused channel may be far below those of the others."""
    if by.factors.size == 1:
        return by.factors, left, right
    reach = np.maximum(np.abs(x.low), np.abs(x.high)).astype(np.float64)
    idle = reach * np.ldexp(by.factors.astype(np.float64), left - right - FRAC) < 0.25
    if idle.all():
        return np.zeros_like(by.factors), np.zeros_like(left), np.zeros_like(right)
    most, least = int(left[~idle].max()), int(right[~idle].min())
    return np.where(idle, 0, by.factors), np.where(idle, most, left), np.where(idle, least, right)


def _room(x: Sums, factors: Ints, powers: Ints) -> bool:
    """Whether products of factors with these powers of two fit a raw integer."""
    spread = int(powers.max() - powers.min())
    return x.reach * int(np.abs(factors).max()) << min(spread, 64) < MOST_PRODUCT


def _round_once(
    d: StepDrawing,
    name: str,
    x: Sums,
    factors: Ints,
    powers: Ints,
    allowed: tuple[int, int] | None,
    first: Ints | None = None,
) -> Sums:
    """Append x factor 2^(power - 31) to the nearest integer, halves up. `first` counts the bits
    that a rounding before this one would have left; its half is added."""
    if not _room(x, factors, powers):
        raise UnreadableOperatorError("the scales of its channels are too far apart")
    least = int(powers.min())
    factor, frac = factors << (powers - least), FRAC - least
    halves = ZERO
    if first is not None:
        halves = np.where(first > 0, np.left_shift(np.int64(1), int(first.max()) - first), 0)
    half_frac = int(first.max()) + 1 if first is not None else 0
    added = shift_left(halves, frac - half_frac) if first is not None else halves
    ends = [shift_right(end * factor + added, frac, Rounding.RND) for end in (x.low, x.high)]
    low, high = np.minimum(*ends), np.maximum(*ends)
    if max(-int(low.min()), int(high.max())) >= INT32:
        raise UnreadableOperatorError(OVERFLOW)
    tensor = d.affine(
        d.fresh(f"{name}_scaled"),
        x.tensor,
        factor,
        frac,
        _saturating(low, high, Rounding.RND, allowed),
        halves,
        half_frac,
    )
    return Sums(tensor, low, high)


def shift_away(raw: Ints, right: Ints) -> Ints:
    """raw 2^-right to the nearest integer, halves away from zero."""
    half = np.left_shift(np.int64(1), right) >> 1
    magnitude = (np.abs(raw) + half) >> right
    return np.asarray(np.where(raw < 0, -magnitude, magnitude))


def _saturating(
    low: Ints, high: Ints, rounding: Rounding, allowed: tuple[int, int] | None
) -> Quantizer:
    """Whole numbers of a range, or of the part of it that is allowed."""
    least, most = int(low.min()), int(high.max())
    if allowed is not None:
        least, most = _within(least, most, allowed)
    return Quantizer(fixed_of_range(least, most, 0), rounding, Overflow.SAT)


def _round_away(
    d: StepDrawing, name: str, x: Sums, by: Multipliers, allowed: tuple[int, int]
) -> Sums:
    """Append x times a scale to the nearest integer, halves away from zero."""
    if not _room(x, by.factors, by.shifts):
        raise UnreadableOperatorError(OVERFLOW)
    frac = FRAC - int(by.shifts.max())
    ends = [shift_away(end * by.factors, np.asarray(frac)) for end in (x.low, x.high)]
    low, high = np.minimum(*ends), np.maximum(*ends)
    quantizer = _saturating(low, high, Rounding.RND_INF, allowed)
    tensor = d.affine(d.fresh(f"{name}_scaled"), x.tensor, by.factors, frac, quantizer)
    return Sums(tensor, low, high)


def _narrow(
    d: StepDrawing,
    name: str,
    x: Sums,
    by: Multipliers,
    allowed: tuple[int, int],
    *,
    twice: bool,
    away: bool,
) -> Sums | None:
    """Append x times a scale with a multiplier of few bits that makes the same integers."""
    left, right = _powers(by, twice=twice and not away)
    if x.reach >= INT32 or x.reach << int(left.max(initial=0)) >= INT32:
        return None  # as it is refused, or nearly so
    flat = np.broadcast_arrays(x.low, x.high, by.factors, left, right)
    low, high, factors, up, down = (np.reshape(each, (-1, 1)) for each in flat)
    drop = FRAC - np.minimum(up, 0)
    raised = factors << np.maximum(up, 0)

    def product(sums: Ints) -> Ints:
        if away:
            return shift_away(sums * raised, drop)
        first = (sums * raised + np.left_shift(np.int64(1), drop - 1)) >> drop
        return shift_away(first, down)

    least, most = product(low), product(high)
    stairs = staircase_of(low, high, product, allowed)
    if stairs is None or max(-int(least.min()), int(most.max())) >= INT32:
        return None
    scales = np.ldexp(factors.astype(np.float64), up - down - FRAC)
    line = fit_line(stairs, scales)
    if line is None:
        return None
    shape = np.shape(flat[0])
    factor, shift = line.factors.reshape(shape), line.shifts.reshape(shape)
    quantizer = _saturating(least, most, Rounding.RND, allowed)
    tensor = d.affine(
        d.fresh(f"{name}_scaled"),
        x.tensor,
        factor,
        line.frac,
        quantizer,
        shift,
        line.frac,
        scales.reshape(shape),
    )
    return Sums(tensor, least.reshape(shape), most.reshape(shape))


def rescale(
    d: StepDrawing,
    name: str,
    x: Sums,
    by: Multipliers,
    out: TfliteTensor,
    fused: str = "NONE",
    *,
    twice: bool = True,
    away: bool = False,
) -> Steps:
    """Append x times a scale, limited to what the output and a fused activation allow. `away`:
    rounded once, halves away from zero, with one scale for all."""
    allowed = steps_allowed(out, fused)
    scaled = _narrow(d, name, x, by, allowed, twice=twice, away=away)
    if scaled is None and away:
        scaled = _round_away(d, name, x, by, allowed)
    elif scaled is None:
        scaled = multiply(d, name, x, by, twice=twice, allowed=allowed)
    if fused in ("RELU", "RELU6"):
        # Before the last rounding, which then saturates there: the Program needs no op for it.
        quantizer = d.activations.pop(scaled.tensor)
        node = ActivationNode(d.fresh(f"{name}_relu"), scaled.tensor, Function.RELU)
        scaled = Sums(d.add(node, quantizer), scaled.low, scaled.high)
    return limit(d, name, scaled, out, fused)


def limit(d: StepDrawing, name: str, x: Sums, out: TfliteTensor, fused: str = "NONE") -> Steps:
    """Append an output's limits to whole numbers: those of an activation, which are the network's
    own, and those of what is stored as far as the last rounding does not keep them."""
    low, high = allowed = steps_allowed(out, fused)
    least, most = int(x.low.min()), int(x.high.max())
    rounded = d.activations.get(x.tensor)
    if rounded is not None:
        least, most = max(least, rounded.type.raw_min), min(most, rounded.type.raw_max)
    rectified = fused == "NONE" or isinstance(d.nodes[x.tensor], ActivationNode)
    below = least < low or not rectified
    above = most > high or fused in ("RELU6", "RELU_N1_TO_1")
    tensor = d.clip(name, x.tensor, low if below else None, high if above else None)
    return steps_of(tensor, out, *_within(least, most, allowed))


def steps_of(tensor: str, out: TfliteTensor, low: int, high: int) -> Steps:
    """A tensor as the steps of one of the file."""
    return Steps(tensor, out.shape, low, high, scale_of(out), zero_of(out))


def _within(low: int, high: int, allowed: tuple[int, int]) -> tuple[int, int]:
    """The part of a range that is allowed; where none is, the nearest end."""
    least, most = allowed
    return min(max(low, least), most), max(min(high, most), least)
