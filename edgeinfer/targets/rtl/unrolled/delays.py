# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long each cell of a circuit takes: in levels of logic, or in a family's picoseconds.

A number is not there all at once. In a sum the lowest bit is first and the carry comes to the
highest bit last, so that a second adder begins while the first one ends: the carry's way counts
once, not twice. So times are kept of the lowest and of the highest bit, and a cell says how long
each of its result's takes from each of its operand's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from edgeinfer.ir.ops import PairKind
from edgeinfer.targets.rtl.estimate.delays import FabricDelays
from edgeinfer.targets.rtl.unrolled.cells import (
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

Moment = tuple[int, int]  # of the lowest bit, of the highest
NEVER = -(1 << 40)
BY_SIGN = (Rounding.TRN_ZERO, Rounding.RND_ZERO, Rounding.RND_INF)


@dataclass(frozen=True, slots=True)
class CellDelay:
    """From the lowest and the highest bit of an operand to the same of the result; NEVER where one
    does not hang on the other."""

    low_low: int
    low_high: int
    high_low: int
    high_high: int

    def after(self, time: Moment) -> Moment:
        """When the result is there."""
        low, high = time
        return (
            max(low + self.low_low, high + self.high_low),
            max(low + self.low_high, high + self.high_high),
        )

    def before(self, left: Moment) -> Moment:
        """How long it is from the operand's bits, if it is so long from the result's."""
        low, high = left
        return (
            max(low + self.low_low, high + self.low_high),
            max(low + self.high_low, high + self.high_high),
        )

    def at_most(self, most: int) -> CellDelay:
        """The same, where nothing takes longer."""
        return CellDelay(
            min(self.low_low, most), min(self.low_high, most), min(self.high_low, most),
            min(self.high_high, most),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogicDelays:
    """Of a circuit: each cell's, by operand; what goes before and behind them in a stage."""

    start: int  # until a register's bits are there
    source: int  # until an input's are
    setup: int  # what a register needs
    cells: tuple[tuple[CellDelay, ...], ...]


def in_levels(circuit: Circuit) -> LogicDelays:
    """Every adder is one level, whatever the family; an input is as late as behind one."""
    cells = tuple(
        (_whole(levels),) * len(operands(cell))
        for cell, levels in zip(circuit.cells, circuit.levels, strict=True)
    )
    return LogicDelays(0, 1, 0, cells)


def in_picoseconds(circuit: Circuit, fabric: FabricDelays, *, queued: bool) -> LogicDelays:
    """As the family has it; `queued`: inputs come out of a queue's memory, not of registers."""
    cells = tuple(
        delays_of_cell(cell, wire, fabric)
        for cell, wire in zip(circuit.cells, circuit.wires, strict=True)
    )
    source = fabric.clock_to_q + (fabric.level if queued else 0)
    return LogicDelays(fabric.clock_to_q, source, fabric.setup, cells)


def delays_of_cell(cell: Cell, wire: Wire, fabric: FabricDelays) -> tuple[CellDelay, ...]:
    """A cell's delays by operand."""
    match cell:
        case InputCell() | Literal():
            return ()
        case ShiftCell():
            return (WIRES,)
        case FieldsCell():  # any bit may lie anywhere
            return (_whole(0),) * len(cell.parts)
        case Join():
            return (_join_delay(cell, wire, fabric),) * 2
        case RoundCell():
            return (_round_delay(cell, wire, fabric),)
        case LimitCell():
            if cell.overflow is Overflow.WRAP:
                return (WIRES,)
            beyond = fabric.reduction(cell.x.bits - cell.type.bits + 1)
            return (_by_highest(fabric.level, beyond + fabric.level),)
        case BoundCell():
            if cell.high is None and cell.low == 0:
                return (_by_highest(fabric.level, fabric.level),)
            return (_whole(fabric.step + fabric.carries(cell.x.bits) + fabric.level),)
        case LookupCell():
            return (_whole(fabric.choice(cell.x.bits)),)
        case TruthCell():
            return (_whole(fabric.choice(cell.x.bits)),)
        case BranchCell():
            straight = CellDelay(fabric.level, NEVER, NEVER, fabric.level)
            return (_by_highest(fabric.level, fabric.level), straight)
        case _:
            assert_never(cell)


def _join_delay(cell: Join, wire: Wire, fabric: FabricDelays) -> CellDelay:
    step = fabric.step
    match cell.kind:
        case PairKind.ADD | PairKind.SUB:
            return _sum_delay(0, wire, fabric)
        case PairKind.MAX | PairKind.MIN:  # the sign of a difference chooses
            return _whole(step + fabric.carries(wire.bits) + fabric.level)
        case PairKind.MUL:  # rows of digits, added in pairs
            rows = min(cell.a.bits, cell.b.bits)
            adders = (rows - 1).bit_length()
            return _whole(fabric.level + adders * step + fabric.carries(wire.bits))
        case _:
            assert_never(cell.kind)


def _round_delay(cell: RoundCell, wire: Wire, fabric: FabricDelays) -> CellDelay:
    """The bits that go say whether a one is added to those that stay."""
    if cell.rounding is Rounding.TRN:
        return WIRES
    if cell.rounding is Rounding.RND:
        return _sum_delay(0, wire, fabric)
    said = fabric.reduction(cell.shift + 1)
    if cell.rounding in BY_SIGN:
        return _whole(said + fabric.step + fabric.carries(wire.bits))
    return _sum_delay(said, wire, fabric)


def _sum_delay(before: int, wire: Wire, fabric: FabricDelays) -> CellDelay:
    """An addition, with something before its lowest bit. What looks its carries ahead needs as long
    from each bit."""
    step, whole = fabric.step, before + fabric.step + fabric.carries(wire.bits)
    if fabric.look_ahead:
        return _whole(whole)
    return CellDelay(before + step, whole, NEVER, step)


def _whole(time: int) -> CellDelay:
    return CellDelay(time, time, time, time)


def _by_highest(low: int, high: int) -> CellDelay:
    """Each bit is itself or not as the highest say."""
    return CellDelay(low, NEVER, high, high)


WIRES = CellDelay(0, NEVER, NEVER, 0)
