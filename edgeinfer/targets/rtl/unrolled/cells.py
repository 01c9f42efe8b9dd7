# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A circuit as data: cells without memory, and the wires between them.

A wire carries one integer of a proved range. A circuit knows no clock: `registers.py` says into how
many stages it is cut, and where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from edgeinfer.ir.ops import PairKind
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from quantization.ranges import Interval, requantize_range


@dataclass(frozen=True, slots=True)
class Wire:
    """An integer somewhere in a circuit: its range, the levels of logic before it, and how many of
    its lowest bits are always zero."""

    number: int
    low: int
    high: int
    depth: int
    zeros: int = 0

    @property
    def constant(self) -> bool:
        """Whether it is always the same."""
        return self.low == self.high

    @property
    def signed(self) -> bool:
        """Whether it can be negative."""
        return self.low < 0

    @property
    def bits(self) -> int:
        """The fewest that hold it, as many as that may be."""
        return bits_of(self.low, self.high)

    @property
    def register_bits(self) -> int:
        """The bits that a register of it has: one that is always zero needs none."""
        return max(self.bits - self.zeros, 0)


def bits_of(low: int, high: int) -> int:
    """The fewest bits that hold a range: two's complement where it has negative numbers."""
    below = (-low - 1).bit_length() if low < 0 else 0
    return max(max(high, 0).bit_length(), below, int(low >= 0)) + int(low < 0)


@dataclass(frozen=True, slots=True)
class InputCell:
    """An element of an input."""

    port: int
    element: int
    type: Fixed


@dataclass(frozen=True, slots=True)
class Literal:
    """A number that never changes."""

    value: int


@dataclass(frozen=True, slots=True)
class Join:
    """Two numbers, each shifted to the left, added, subtracted, multiplied or compared."""

    kind: PairKind
    a: Wire
    b: Wire
    shift_a: int
    shift_b: int


@dataclass(frozen=True, slots=True)
class ShiftCell:
    """x 2^shift: no logic at all."""

    x: Wire
    shift: int


@dataclass(frozen=True, slots=True)
class RoundCell:
    """x 2^-shift on the integer grid."""

    x: Wire
    shift: int
    rounding: Rounding


@dataclass(frozen=True, slots=True)
class LimitCell:
    """x brought into a type's range."""

    x: Wire
    type: Fixed
    overflow: Overflow


@dataclass(frozen=True, slots=True)
class BoundCell:
    """x, but not below `low` and not above `high`."""

    x: Wire
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class LookupCell:
    """entry[x - first] of a table."""

    x: Wire
    first: int
    table: str
    entries: tuple[int, ...]
    bits: int


@dataclass(frozen=True, slots=True)
class TruthCell:
    """An entry for each pattern of the few bits of x: logic that synthesis joins with others."""

    x: Wire
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FieldsCell:
    """Numbers side by side, each from a bit of its own on, and a constant's bits elsewhere: no
    logic at all."""

    parts: tuple[tuple[Wire, int], ...]  # from the lowest on
    constant: int


@dataclass(frozen=True, slots=True)
class BranchCell:
    """x 2^shift where x >= 0, else another number."""

    x: Wire
    shift: int
    other: Wire


Cell = (
    InputCell
    | Literal
    | Join
    | ShiftCell
    | RoundCell
    | LimitCell
    | BoundCell
    | LookupCell
    | TruthCell
    | FieldsCell
    | BranchCell
)

# Levels of logic, in units of an adder with what it takes to get there.
JOINED = 1
COMPARED = 2  # a difference, and a choice by its sign
MULTIPLIED = 3
ROUNDED = 1
LIMITED = 1
LOOKED = 2
LOOKED_BITS = 1  # where one LUT reads all bits of the index
LUT_BITS = 6
TRUTH_BITS = 8  # of an index whose entries are logic, not a memory
FIELDS_BITS = 12  # the same where the index is bits of several numbers


def operands(cell: Cell) -> tuple[Wire, ...]:
    """What a cell reads."""
    match cell:
        case InputCell() | Literal():
            return ()
        case Join():
            return (cell.a, cell.b)
        case BranchCell():
            return (cell.x, cell.other)
        case FieldsCell():
            return tuple(wire for wire, _ in cell.parts)
        case _:  # the type checker sees that every other cell has one `x`
            return (cell.x,)


@dataclass(slots=True)
class Circuit:
    """Cells in the making. Equal cells are made once."""

    wires: list[Wire] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)  # of logic that each cell is
    placed: dict[Cell, Wire] = field(default_factory=dict)

    def place(self, cell: Cell, low: int, high: int, cost: int) -> Wire:
        """A cell, unless there is an equal one; a wire that cannot vary is a number."""
        if low == high and not isinstance(cell, Literal):
            return self.literal(low)
        placed_wire = self.placed.get(cell)
        if placed_wire is not None:
            return placed_wire
        before = max((x.depth for x in operands(cell) if not x.constant), default=0)
        wire = Wire(len(self.wires), low, high, before + cost, zeros_of(cell))
        self.wires.append(wire)
        self.cells.append(cell)
        self.levels.append(cost)
        self.placed[cell] = wire
        return wire

    def source(self, port: int, element: int, type_: Fixed) -> Wire:
        """An element of an input, anywhere in its type."""
        return self.place(InputCell(port, element, type_), type_.raw_min, type_.raw_max, 0)

    def literal(self, value: int) -> Wire:
        """A number."""
        return self.place(Literal(value), value, value, 0)

    def shift(self, x: Wire, shift: int) -> Wire:
        """x 2^shift."""
        if not shift:
            return x
        return self.place(ShiftCell(x, shift), x.low << shift, x.high << shift, 0)

    def fields(self, parts: Sequence[tuple[Wire, int]], constant: int) -> Wire | None:
        """The sum of numbers, each 2^shift times, and of a constant, where no two of them have a
        bit in common; else None."""
        taken = constant
        for wire, shift in parts:
            bits = (1 << wire.bits) - 1 << shift
            if wire.signed or taken & bits:
                return None
            taken |= bits
        if constant < 0:
            return None
        if len(parts) == 1 and not constant:
            return self.shift(*parts[0])
        low, high = (
            constant + sum(end << shift for end, shift in ends)
            for ends in zip(*(((w.low, s), (w.high, s)) for w, s in parts), strict=True)
        )
        cell = FieldsCell(tuple(sorted(parts, key=lambda part: part[1])), constant)
        return self.place(cell, low, high, 0)

    def join(
        self, kind: PairKind, a: Wire, b: Wire, shift_a: int = 0, shift_b: int = 0,
        within: tuple[int, int] | None = None,
    ) -> Wire:  # fmt: skip
        """Two numbers as one; `within` is a range proved elsewhere."""
        al, ah, bl, bh = a.low << shift_a, a.high << shift_a, b.low << shift_b, b.high << shift_b
        match kind:
            case PairKind.ADD:
                low, high, cost = al + bl, ah + bh, JOINED
            case PairKind.SUB:
                low, high, cost = al - bh, ah - bl, JOINED
            case PairKind.MUL:
                ends = (al * bl, al * bh, ah * bl, ah * bh)
                low, high, cost = min(ends), max(ends), MULTIPLIED
                if a == b:
                    low = max(low, 0)
            case PairKind.MAX:
                low, high, cost = max(al, bl), max(ah, bh), COMPARED
            case PairKind.MIN:
                low, high, cost = min(al, bl), min(ah, bh), COMPARED
        if within is not None:
            low, high = max(low, within[0]), min(high, within[1])
        alone = self._without_the_other(kind, a, b, shift_a, shift_b)
        if alone is not None:
            return alone
        return self.place(Join(kind, a, b, shift_a, shift_b), low, high, cost)

    def _without_the_other(
        self, kind: PairKind, a: Wire, b: Wire, shift_a: int, shift_b: int
    ) -> Wire | None:
        """One of two operands, where the other changes nothing."""
        a_low, a_high = a.low << shift_a, a.high << shift_a
        b_low, b_high = b.low << shift_b, b.high << shift_b
        match kind:
            case PairKind.ADD | PairKind.SUB:
                first, second = b_low == b_high == 0, a_low == a_high == 0 and kind is PairKind.ADD
            case PairKind.MAX:
                first, second = a_low >= b_high, b_low >= a_high
            case PairKind.MIN:
                first, second = a_high <= b_low, b_high <= a_low
            case PairKind.MUL:
                first, second = b_low == b_high == 1, a_low == a_high == 1
        if first:
            return self.shift(a, shift_a)
        return self.shift(b, shift_b) if second else None

    def requantise(self, x: Wire, x_frac: int, quantizer: Quantizer) -> Wire:
        """A number brought to another type, in two steps: its grid, then its range."""
        shift = x_frac - quantizer.type.frac
        free = Fixed(True, 63, 63 - quantizer.type.frac)
        y = x
        if shift > 0:
            low, high = _ends(x, x_frac, Quantizer(free, quantizer.rounding))
            cost = 0 if quantizer.rounding is Rounding.TRN else ROUNDED
            y = self.place(RoundCell(x, shift, quantizer.rounding), low, high, cost)
        elif shift < 0:  # far enough is enough: whatever is not zero is out of range by then
            y = self.shift(x, min(-shift, quantizer.type.bits + 1))
        low, high = _ends(x, x_frac, quantizer)
        type_ = quantizer.type
        if quantizer.overflow is Overflow.SAT_SYM and type_.signed:
            fits = -type_.raw_max <= y.low and y.high <= type_.raw_max
        else:
            fits = type_.raw_min <= y.low and y.high <= type_.raw_max
        if fits:
            return y
        cost = 0 if quantizer.overflow is Overflow.WRAP else LIMITED
        return self.place(LimitCell(y, type_, quantizer.overflow), low, high, cost)

    def bound(self, x: Wire, low: int | None, high: int | None) -> Wire:
        """A number limited on one side or on both."""
        low = low if low is not None and low > x.low else None
        high = high if high is not None and high < x.high else None
        if low is None and high is None:
            return x
        least, most = (int(np.clip(end, low, high)) for end in (x.low, x.high))
        sign_only = high is None and low == 0
        return self.place(BoundCell(x, low, high), least, most, JOINED if sign_only else COMPARED)

    def look_up(self, x: Wire, first: int, table: str, entries: tuple[int, ...], bits: int) -> Wire:
        """An entry of a table; `bits` is the width of all of them. What is added to the index moves
        the table instead, and of a few bits the entries are logic."""
        x, moved = self._without_offset(x)
        first -= moved
        used_entries = entries[max(x.low - first, 0) : x.high - first + 1]
        in_fields = isinstance(self.cells[x.number], FieldsCell)
        if x.bits <= (FIELDS_BITS if in_fields else TRUTH_BITS):
            return self.truth(x, used_entries)
        cell = LookupCell(x, first, table, entries, bits)
        return self.place(cell, min(used_entries), max(used_entries), LOOKED)

    def truth(self, x: Wire, reached: Sequence[int]) -> Wire:
        """The entries of all numbers that x can be, from the lowest, as logic: of the bits of x
        alone that they depend on. A pattern that x never is has the entry of an end."""
        low, high = x.low, x.high
        patterns = [low + (place - low) % (1 << x.bits) for place in range(1 << x.bits)]
        entries = [reached[min(max(number, low), high) - low] for number in patterns]
        if x.bits > 1 and entries[::2] == entries[1::2]:
            half = self.requantise(x, 1, Quantizer(Fixed(True, 62, 62), Rounding.TRN))
            pairs = range(low >> 1, (high >> 1) + 1)
            return self.truth(half, [reached[max(2 * pair, low) - low] for pair in pairs])
        return self._look(x, tuple(entries))

    def _look(self, x: Wire, entries: tuple[int, ...]) -> Wire:
        cost = LOOKED_BITS if x.bits <= LUT_BITS else LOOKED
        return self.place(TruthCell(x, entries), min(entries), max(entries), cost)

    def raised(self, x: Wire, offset: int) -> Wire | None:
        """x + offset where x comes from a table, which can hold the sums instead; else None."""
        cell = self.cells[x.number]
        if not isinstance(cell, TruthCell):
            return None
        return self._look(cell.x, tuple(entry + offset for entry in cell.entries))

    def _without_offset(self, x: Wire) -> tuple[Wire, int]:
        """What a wire is the sum of, if it is a sum with a number: the rest, and the number."""
        cell = self.cells[x.number]
        if isinstance(cell, FieldsCell) and cell.constant:
            rest = self.fields(cell.parts, 0)
            assert rest is not None, "without a constant, fields stay apart"
            return rest, cell.constant
        if isinstance(cell, TruthCell):  # whose entries may have been raised
            return self.raised(x, -x.low) or x, x.low
        if isinstance(cell, Join) and cell.kind is PairKind.ADD and not cell.shift_a:
            if cell.b.constant:
                return cell.a, cell.b.low << cell.shift_b
            if cell.a.constant and not cell.shift_b:
                return cell.b, cell.a.low
        return x, 0

    def branch(self, x: Wire, shift: int, other: Wire, slope: int) -> Wire:
        """x 2^shift where x >= 0, else the other, which is x slope."""
        if x.low >= 0:
            return self.shift(x, shift)
        if x.high < 0:
            return other
        ends = (x.low * slope, -slope)  # of the other, where it counts
        low, high = min(*ends, 0), max(*ends, x.high << shift)
        return self.place(BranchCell(x, shift, other), low, high, JOINED)


def _ends(x: Wire, frac: int, quantizer: Quantizer) -> tuple[int, int]:
    y = requantize_range(Interval(np.asarray(x.low), np.asarray(x.high)), frac, quantizer)
    return y.bottom, y.top


def _zeros(value: int) -> int:
    return (value & -value).bit_length() - 1


def zeros_of(cell: Cell) -> int:
    """Lowest bits of what a cell makes that are zero whatever it reads; there may be more."""
    match cell:
        case Literal():
            return _zeros(cell.value) if cell.value else 0
        case ShiftCell():
            return cell.x.zeros + cell.shift
        case Join():
            if cell.kind is PairKind.MUL:
                return cell.a.zeros + cell.b.zeros
            return min(cell.a.zeros + cell.shift_a, cell.b.zeros + cell.shift_b)
        case RoundCell():
            return max(cell.x.zeros - cell.shift, 0)
        case LimitCell():
            return cell.x.zeros if cell.overflow is Overflow.WRAP else 0
        case BoundCell():
            ends = [_zeros(end) for end in (cell.low, cell.high) if end]
            return min([cell.x.zeros, *ends])
        case InputCell() | LookupCell() | TruthCell() | FieldsCell() | BranchCell():
            return 0
        case _:
            assert_never(cell)
