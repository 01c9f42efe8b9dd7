# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the cells of a circuit take, in bits that synthesis leaves.

A bit that nothing reads is not made: what wraps behind a sum takes the sum's upper bits away, and
the upper bits of the sums before it. A bit in which one of two numbers is always zero takes no
adder, only its place in the carry chain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from edgeinfer.ir.ops import PairKind
from edgeinfer.targets.rtl.estimate.work import carry_joints
from edgeinfer.targets.rtl.unrolled.cells import (
    LUT_BITS,
    BoundCell,
    BranchCell,
    Cell,
    Circuit,
    FieldsCell,
    InputCell,
    Join,
    LimitCell,
    Literal,
    LookupCell,
    RoundCell,
    ShiftCell,
    TruthCell,
    Wire,
    operands,
)
from quantization.fixed import Overflow, Rounding

ADDED = ("add", "half_add")  # the bits of an addition
KINDS = (
    *ADDED, "look_ahead", "register", "short_add", "select", "compare", "product", "fetch",
    "truth",
)  # fmt: skip


def read_bits(circuit: Circuit, needed: Iterable[int], outputs: Iterable[Wire]) -> dict[int, int]:
    """Of each wire that is needed, how many of its lowest bits something reads."""
    read = dict.fromkeys(needed, 0)
    for wire in outputs:
        if not wire.constant:
            read[wire.number] = wire.bits
    for number in sorted(read, reverse=True):  # a reader's number is greater than its operand's
        cell = circuit.cells[number]
        for x, bits in zip(operands(cell), _bits_read(cell, read[number]), strict=True):
            if not x.constant:
                read[x.number] = max(read[x.number], min(bits, x.bits))
    return read


def _bits_read(cell: Cell, bits: int) -> tuple[int, ...]:
    """Of each operand, how many of its lowest bits make so many of the result's."""
    if not bits:
        return (0,) * len(operands(cell))
    match cell:
        case InputCell() | Literal():
            return ()
        case Join():
            if cell.kind in (PairKind.ADD, PairKind.SUB):
                return bits - cell.shift_a, bits - cell.shift_b
            if cell.kind is PairKind.MUL:
                return bits, bits
            return cell.a.bits, cell.b.bits
        case ShiftCell():
            return (bits - cell.shift,)
        case RoundCell():
            by_sign = cell.rounding in (Rounding.TRN_ZERO, Rounding.RND_ZERO, Rounding.RND_INF)
            return (cell.x.bits if by_sign else bits + cell.shift,)
        case LimitCell():
            wraps = cell.overflow is Overflow.WRAP
            return (min(bits, cell.type.bits) if wraps else cell.x.bits,)
        case FieldsCell():
            return tuple(bits - shift for _, shift in cell.parts)
        case BranchCell():
            return cell.x.bits, bits
        case BoundCell() | LookupCell() | TruthCell():
            return (cell.x.bits,)
        case _:
            assert_never(cell)


def work_of(cell: Cell, wire: Wire, read: int) -> list[tuple[str, int]]:
    """What a cell does for so many of its lowest bits, in bits by kind."""
    bits = max(read - wire.zeros, 0)
    if not bits:
        return []
    match cell:
        case InputCell() | Literal() | ShiftCell() | FieldsCell():
            return []
        case Join():
            match cell.kind:
                case PairKind.ADD | PairKind.SUB:
                    return _addition(cell, read)
                case PairKind.MUL:
                    return [("product", cell.a.bits * cell.b.bits)]
                case PairKind.MAX | PairKind.MIN:
                    return [("compare", wire.bits), ("select", bits)]
                case _:
                    assert_never(cell.kind)
        case RoundCell():
            return [] if cell.rounding is Rounding.TRN else [("short_add", bits)]
        case LimitCell():
            if cell.overflow is Overflow.WRAP:
                return []
            return [("compare", max(cell.x.bits - cell.type.bits, 1)), ("select", bits)]
        case BoundCell():
            ends = [end for end in (cell.low, cell.high) if end is not None]
            return [("compare", cell.x.bits * len(ends)), ("select", bits * len(ends))]
        case LookupCell():
            return [("fetch", -(-len(cell.entries) // 16) * bits)]
        case TruthCell():
            return [("truth", bits << max(cell.x.bits - LUT_BITS, 0))]
        case BranchCell():
            return [("select", bits)]
        case _:
            assert_never(cell)


def _addition(cell: Join, read: int) -> list[tuple[str, int]]:
    """Bits below the first that both numbers have are one number's own."""
    first = cell.shift_b + cell.b.zeros
    if cell.kind is PairKind.ADD:
        first = max(first, cell.shift_a + cell.a.zeros)
    whole = max(read - first, 0)
    both = _varying(cell.a, cell.shift_a, read) & _varying(cell.b, cell.shift_b, read)
    added = (both >> first).bit_count()
    return [("add", added), ("half_add", whole - added), ("look_ahead", carry_joints(whole))]


def _varying(x: Wire, shift: int, bits: int) -> int:
    """A mask of those of the lowest bits of x 2^shift that are not always the same."""
    if x.constant:
        return 0
    end = bits if x.signed else min(shift + x.bits, bits)
    return max((1 << end) - (1 << shift + x.zeros), 0)
