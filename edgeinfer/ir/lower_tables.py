# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A function as a table. Where the input has too many values for one, a rounded function still has
few steps: the table then reads an index that is made such that every step stays where it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph.functions import CURVES
from edgeinfer.graph.nodes import ActivationNode, Function
from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.function_steps import RoundedFunction, steps_of
from edgeinfer.ir.ops import PairKind, Table, pack_weights
from quantization.calibrate import fit_quantizer
from quantization.fixed import (
    HUGE,
    MAX_BITS,
    Fixed,
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
    requantize,
)
from quantization.ranges import Interval

MOST_ENTRIES = 1 << 16  # of a table
INDEX_BITS = 14  # of an index that had to be rounded
SATURATION = 8.0  # where sigmoid and tanh are flat to 4e-4
FINEST = Quantizer(Fixed(True, MAX_BITS, 16))  # shows a curve where no format is given


def tabulate(
    b: ProgramBuilder,
    node: ActivationNode,
    name: str,
    x: str,
    out: Quantizer | None,
    findings: list[str],
) -> str:
    """Append a function as tables. Every result is the rounded function of the raw input, unless a
    finding says how far it may be off."""
    range_ = b.ranges[x]
    curve = RoundedFunction(node.function, node.parameters, b.frac(x), out or FINEST)
    reach = math.ldexp(range_.bottom, -b.frac(x)), math.ldexp(range_.top, -b.frac(x))
    low, high = curve.domain
    if reach[0] < low or reach[1] > high:
        findings.append(
            f"{name}: {node.function} has no value outside of {low:g} to {high:g}; where "
            f"{node.x} is there, its table holds what it has at the nearer end."
        )
    if range_.top - range_.bottom < MOST_ENTRIES:
        return _fill_table(b, curve, name, x, out, findings)
    if CURVES[node.function].winds:
        raise ProgramError(
            f"{b.name}: {name}: a table of {node.function} over "
            f"{range_.top - range_.bottom + 1} inputs is too large.",
            hint=f"Give {node.x} a format of at most 16 bits in the recipe.",
        )
    index = _coarse(node, range_, b.frac(x))
    if out is not None:
        steps = steps_of(curve, range_)
        if steps is not None and not _keeps(curve, index, steps, range_):
            exact = _exact(b, curve, name, x, steps)
            if exact is not None:
                return exact
        if steps is None or not _keeps(curve, index, steps, range_):
            findings.append(
                f"{name}: a table over {range_.top - range_.bottom + 1} inputs is too large; its "
                f"index is rounded to {index.type} first, which moves its results by up to "
                f"{_error(curve, index, range_)} steps of {out.type}."
            )
    else:
        findings.append(
            f"{name}: a table over {range_.top - range_.bottom + 1} inputs is too large; "
            f"its index is rounded to {index.type} first."
        )
    x = b.requant(f"{name}.index", x, index)
    return _fill_table(b, replace(curve, frac=b.frac(x)), name, x, out, findings)


def _fill_table(
    b: ProgramBuilder,
    curve: RoundedFunction,
    name: str,
    x: str,
    out: Quantizer | None,
    findings: list[str],
) -> str:
    """A table with an entry for every raw integer that x holds."""
    first, last = b.ranges[x].bottom, b.ranges[x].top
    points = np.arange(first, last + 1, dtype=np.int64)
    if out is None:
        values = curve.values(points)
        quantizer = fit_quantizer(values[np.abs(values) < HUGE], 16)  # infinities saturate
        findings.append(f"{name}: no format is given; its table holds {quantizer}.")
        curve = replace(curve, quantizer=quantizer)
    return b.add(Table(name, curve.quantizer.type, x, first, pack_weights(curve(points))))


def _coarse(node: ActivationNode, range_: Interval, frac: int) -> Quantizer:
    """A type of few bits for x, which saturates where the function is flat."""
    reach = math.ldexp(max(range_.top, -range_.bottom), -frac)
    if node.function in (Function.SIGMOID, Function.TANH):
        reach = min(reach, SATURATION)
    elif node.function is Function.HARD_SIGMOID and node.parameters[0]:
        slope, offset = node.parameters
        reach = min(reach, max(abs(offset), abs(1.0 - offset)) / abs(slope))
    integer = math.ceil(math.log2(reach)) + 1
    return Quantizer(Fixed(True, INDEX_BITS, integer), Rounding.RND_CONV, Overflow.SAT)


def _read(curve: RoundedFunction, index: Quantizer, raw: Ints) -> Ints:
    """What a table yields that is read at a rounded index."""
    return replace(curve, frac=index.type.frac)(requantize(raw, curve.frac, index))


def _keeps(curve: RoundedFunction, index: Quantizer, steps: Ints, range_: Interval) -> bool:
    """Whether a rounded index leaves every step where it is."""
    ends = np.asarray([range_.bottom, range_.top], np.int64)
    places = np.concatenate([steps, steps - 1, ends])
    return bool(np.array_equal(_read(curve, index, places), curve(places)))


def _error(curve: RoundedFunction, index: Quantizer, range_: Interval) -> int:
    """By how many steps a rounded index moves results: at most, and where it is worst."""
    type_, shift = index.type, curve.frac - index.type.frac
    middles = np.arange(type_.raw_min, type_.raw_max + 1, dtype=np.int64)
    half = 1 << max(shift - 1, 0)
    edges = [range_.bottom, range_.top]
    if shift > 0:
        near = [middles << shift, (middles << shift) - half, (middles << shift) + half]
        edges += np.clip(np.concatenate(near), range_.bottom, range_.top).tolist()
    places = np.asarray(edges, np.int64)
    return int(np.abs(_read(curve, index, places) - curve(places)).max())


def _exact(b: ProgramBuilder, curve: RoundedFunction, name: str, x: str, steps: Ints) -> str | None:
    """The function of x, limited to where it steps: as one table, or as a table over cells of which
    none has more than one step. None where the steps lie too close for that."""
    if not steps.size:  # a constant: any step that is none will do
        steps = np.asarray([b.ranges[x].top], np.int64)
    low, high = int(steps[0]) - 1, int(steps[-1])
    listed = high - low < MOST_ENTRIES
    shift = _cell_bits(steps)
    if not listed and (high >> shift) - (low >> shift) + 1 >= MOST_ENTRIES:
        return None
    limited = b.clip(f"{name}.limited", x, low, high)
    if listed:
        return _fill_table(b, curve, name, limited, curve.quantizer, [])
    return _nudge(b, curve, name, limited, steps, shift)


def _cell_bits(steps: Ints) -> int:
    """Of the widest cells, all alike, of which none has more than one step, be it inside or at the
    end, where the next cell starts."""
    shift = 0
    while True:
        cells = (steps - 1) >> (shift + 1)
        if shift > MAX_BITS - 3 or (cells[1:] == cells[:-1]).any():
            return shift
        shift += 1


def _nudge(
    b: ProgramBuilder, curve: RoundedFunction, name: str, x: str, steps: Ints, shift: int
) -> str:
    """Add to x what brings its cell's step to the cell's end; the table then needs the cell only.

    What is added is less than a cell, so that no x is pushed further than into the next one, whose
    start has the value that follows the step.
    """
    frac, range_ = b.frac(x), b.ranges[x]
    first, last = range_.bottom >> shift, range_.top >> shift
    cells = Quantizer(fixed_of_range(first, last, frac - shift), Rounding.TRN, Overflow.SAT)
    cell = b.requant(f"{name}.cell", x, cells)
    nudges = np.zeros(last - first + 1, np.int64)
    stepping = (steps - 1) >> shift
    nudges[stepping - first] = ((stepping + 1) << shift) - steps
    type_ = fixed_of_range(0, int(nudges.max()), frac)
    nudge = b.add(Table(f"{name}.nudge", type_, cell, first, pack_weights(nudges)))
    moved = b.pair(f"{name}.moved", x, nudge, PairKind.ADD)
    wider = Quantizer(fixed_of_range(first, last + 1, frac - shift), Rounding.TRN, Overflow.SAT)
    place = b.requant(f"{name}.place", moved, wider)
    starts = np.arange(b.ranges[place].bottom, b.ranges[place].top + 1, dtype=np.int64) << shift
    entries = curve(np.clip(starts, range_.bottom, range_.top))
    return b.add(
        Table(name, curve.quantizer.type, place, b.ranges[place].bottom, pack_weights(entries))
    )
