# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Real tensors that are known up to a bound, and the operations on them that a network is made of.

A tensor whose elements all lie on one grid, and are small enough for float64, is known exactly;
most tensors of a quantized network are. Where an operation may round, the bound says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeinfer.graph.indexing import IndexingNode, LookNode, ScatterNode, SitesNode
from edgeinfer.graph.nodes import Floats, Pads, Shape
from quantization.fixed import Overflow, Quantizer, dequantize, quantize

EXACT = 2.0**53  # steps of a grid that a float64 counts exactly
HIDDEN = -1e9  # what no softmax counts
UNIT = 2.0**-52  # more than the relative error of one operation


@dataclass(frozen=True, slots=True, eq=False)
class Enclosure:
    """centre - radius <= x <= centre + radius for each element, the batch first; without a radius
    x is the centre. `frac`: all elements are multiples of 2^-frac; None where that is not known."""

    centre: Floats
    radius: Floats | None = None
    frac: int | None = None

    @property
    def low(self) -> Floats:
        """Lower ends."""
        return self.centre if self.radius is None else self.centre - self.radius

    @property
    def high(self) -> Floats:
        """Upper ends."""
        return self.centre if self.radius is None else self.centre + self.radius

    @property
    def top(self) -> float:
        """Largest absolute value."""
        return float(np.maximum(np.abs(self.low), np.abs(self.high)).max(initial=0.0))


def between(low: Floats, high: Floats, frac: int | None = None) -> Enclosure:
    """Whatever lies between two ends."""
    if np.array_equal(low, high):
        return Enclosure(low, None, frac)
    radius = (high - low) / 2
    centre = low + radius
    return Enclosure(centre, radius + UNIT * np.abs(centre), None)


def compute_floats(
    value: Floats, radius: Floats | None, frac: int | None, reach: float, steps: int = 1
) -> Enclosure:
    """What float64 made of a sum: exact where `reach`, the largest sum of magnitudes, counts few
    enough steps of the result's grid, else off by at most so many roundings of it."""
    if (
        radius is None
        and frac is not None
        and reach < math.ldexp(EXACT, -min(max(frac, -900), 900))
    ):
        return Enclosure(value, None, frac)
    slack = (steps + 2) * UNIT * reach
    return Enclosure(value, slack + (0.0 if radius is None else radius * (1 + UNIT)) + 0.0 * value)


def linear(
    x: Enclosure, weight: Floats, frac: int | None, bias: Floats, bias_frac: int | None
) -> Enclosure:
    """x @ weight + bias; x is (..., inputs), weight (inputs, outputs)."""
    value = x.centre @ weight + bias
    magnitude = np.abs(weight)
    radius = None if x.radius is None else x.radius @ magnitude
    reach = x.top * float(magnitude.sum(axis=-2).max(initial=0.0)) + _top(bias)
    grid = finest(None if x.frac is None or frac is None else x.frac + frac, bias_frac)
    return compute_floats(value, radius, grid, reach, weight.shape[-2])


def scale(
    x: Enclosure, factor: Floats, frac: int | None, shift: Floats, shift_frac: int | None
) -> Enclosure:
    """x factor + shift, element by element."""
    value = x.centre * factor + shift
    radius = None if x.radius is None else x.radius * np.abs(factor) + 0.0 * value
    grid = finest(None if x.frac is None or frac is None else x.frac + frac, shift_frac)
    return compute_floats(value, radius, grid, x.top * _top(factor) + _top(shift), 2)


def combine(a: Enclosure, b: Enclosure, operation: Callable[[Floats, Floats], Floats]) -> Enclosure:
    """A sum or a difference."""
    value = operation(a.centre, b.centre)
    radius = None
    if a.radius is not None or b.radius is not None:
        radius = _spread(a) + _spread(b) + 0.0 * value
    return compute_floats(value, radius, finest(a.frac, b.frac), a.top + b.top)


def product(a: Enclosure, b: Enclosure) -> Enclosure:
    """a b, element by element."""
    value, radius = a.centre * b.centre, None
    if a.radius is not None or b.radius is not None:
        radius = np.abs(a.centre) * _spread(b) + (np.abs(b.centre) + _spread(b)) * _spread(a)
    frac = None if a.frac is None or b.frac is None else a.frac + b.frac
    return compute_floats(value, radius, frac, a.top * b.top)


def widen(x: Enclosure, by: Floats | float) -> Enclosure:
    """x, off by at most so much more."""
    return Enclosure(x.centre, (0.0 if x.radius is None else x.radius) + by + 0.0 * x.centre)


def map_values(
    x: Enclosure, function: Callable[[Floats], Floats], frac: int | None = None
) -> Enclosure:
    """A function that never falls, of every element."""
    if x.radius is None:
        return Enclosure(function(x.centre), None, frac)
    return between(function(x.low), function(x.high), frac)


def move_elements(x: Enclosure, move: Callable[[Floats], Floats]) -> Enclosure:
    """The same elements in other places."""
    return Enclosure(move(x.centre), None if x.radius is None else move(x.radius), x.frac)


def join(xs: list[Enclosure], join: Callable[[list[Floats]], Floats]) -> Enclosure:
    """Several tensors made one."""
    radius = None
    if any(x.radius is not None for x in xs):
        radius = join([_spread(x) for x in xs])
    frac: int | None = 0
    for x in xs:
        frac = finest(frac, x.frac)
    return Enclosure(join([x.centre for x in xs]), radius, frac)


def round_values(x: Enclosure, quantizer: Quantizer) -> Enclosure:
    """x brought into a format, in every way that its bound leaves open."""
    type_ = quantizer.type

    def apply_overflow(values: Floats, like: Quantizer) -> Floats:
        return dequantize(quantize(values, like), type_)

    frac = type_.frac if type_.bits <= 53 else None
    if x.radius is None:
        return Enclosure(apply_overflow(x.centre, quantizer), None, frac)
    saturating = Quantizer(type_, quantizer.rounding, Overflow.SAT)
    low, high = apply_overflow(x.low, saturating), apply_overflow(x.high, saturating)
    match quantizer.overflow:
        case Overflow.SAT:
            pass
        case Overflow.SAT_SYM:
            low, high = apply_overflow(x.low, quantizer), apply_overflow(x.high, quantizer)
        case Overflow.WRAP | Overflow.SAT_ZERO:
            inside = (x.low > type_.min) & (x.high < type_.max)
            everything = quantizer.overflow is Overflow.WRAP
            least = type_.min if everything else np.minimum(low, 0.0)
            most = type_.max if everything else np.maximum(high, 0.0)
            same = x.low == x.high
            only = apply_overflow(x.centre, quantizer)
            low = np.where(same, only, np.where(inside, low, least))
            high = np.where(same, only, np.where(inside, high, most))
    return between(low, high, frac)


def hide(x: Enclosure, mask: Floats) -> Enclosure:
    """x where the mask is above zero, far below it elsewhere."""
    kept = np.broadcast_to(mask > 0, x.centre.shape)
    radius = None if x.radius is None else np.where(kept, x.radius, 0.0)
    return Enclosure(np.where(kept, x.centre, HIDDEN), radius)


def choose_elements(node: IndexingNode, reads: list[Enclosure]) -> Enclosure:
    """What a node finds by whole numbers; anything that it could find, where those are not sure."""
    x = reads[0]
    if isinstance(node, SitesNode):
        return _find_sites(node, x)
    if reads[-1].radius is not None:
        return _any_choice(node, reads)
    index = [each.centre for each in reads[1:]]
    value = node.values(x.centre, *index)
    radius = None if x.radius is None else node.values(x.radius, *index)
    if not isinstance(node, ScatterNode):
        return Enclosure(value, radius, x.frac if isinstance(node, LookNode) else 0)
    places = x.centre.shape[1]
    return compute_floats(value, radius, x.frac, x.top * places, places)


def _find_sites(node: SitesNode, x: Enclosure) -> Enclosure:
    """The pixels that are lit for sure, and those that may be; where a limit may leave out one that
    is not sure, every pixel behind may be either."""
    if x.radius is None:
        return Enclosure(node.values(x.centre), None, 0)
    every = replace(node, most=None)
    low, high = every.values(x.low), every.values(x.high)
    if node.most is not None:
        fewest, most = (
            np.cumsum(lit.reshape(len(lit), -1), axis=1).reshape(lit.shape) for lit in (low, high)
        )
        low, high = low * (most <= node.most), high * (fewest - low < node.most)
    return between(low, high, 0)


def _any_choice(node: IndexingNode, reads: list[Enclosure]) -> Enclosure:
    x = reads[0]
    shape = (len(x.centre), *node.shape_of(*(each.centre.shape[1:] for each in reads)))
    low, high = (np.broadcast_to(end, shape) for end in _reach_of_choice(node, x))
    return between(low + np.zeros(shape), high + np.zeros(shape))


def _reach_of_choice(node: IndexingNode, x: Enclosure) -> tuple[Floats, Floats]:
    """The lowest and the highest that may be found."""
    below, above = np.minimum(x.low, 0.0), np.maximum(x.high, 0.0)
    match node:
        case LookNode():
            return below.min(axis=1, keepdims=True), above.max(axis=1, keepdims=True)
        case ScatterNode():
            return below.sum(axis=1, keepdims=True), above.sum(axis=1, keepdims=True)
        case _:  # the others yield places among the elements of a row
            return np.zeros(()), np.asarray(float(x.centre.shape[-1] - 1))


def unfold_windows(
    x: Floats, window: Shape, strides: Shape, pads: Pads, dilation: Shape, fill: float
) -> Floats:
    """All positions of a window: (batch, *positions, channels, *window)."""
    rank = len(window)
    around = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    reach = tuple((width - 1) * step + 1 for width, step in zip(window, dilation, strict=True))
    view = sliding_window_view(around, reach, axis=tuple(range(1, rank + 1)))
    every = tuple(slice(None, None, step) for step in strides)
    taps = tuple(slice(None, None, step) for step in dilation)
    taps_view: Floats = view[(slice(None), *every, slice(None), *taps)]
    return taps_view


def finest(a: int | None, b: int | None) -> int | None:
    """The grid that holds both of two grids."""
    return None if a is None or b is None else max(a, b)


def _spread(x: Enclosure) -> Floats:
    return np.zeros_like(x.centre) if x.radius is None else x.radius


def _top(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0))
