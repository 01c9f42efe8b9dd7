# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a circuit of cells computes, in Python's integers, and whether each keeps to its range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from edgeinfer.ir.ops import PairKind
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.recurrence import count_readers
from edgeinfer.targets.rtl.unrolled.cell_work import read_bits
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
)
from edgeinfer.targets.rtl.unrolled.cheapest import NO_SEARCH, AdderSearch
from edgeinfer.targets.rtl.unrolled.unroll import unroll
from quantization.fixed import Ints, apply_overflow, shift_right


def computed(
    program: Program, raw: Mapping[str, Ints], search: AdderSearch = NO_SEARCH
) -> dict[str, Ints]:
    """All values of a Program, by way of its circuit."""
    uses = count_readers(program)
    result = unroll(program, uses, search)
    ports = [raw[op.name] for op in program.inputs if uses[op.name]]
    batch = len(next(iter(raw.values())))
    numbers = _evaluated(
        result.circuit, [port.reshape(batch, -1).astype(object) for port in ports], batch
    )
    for name, wires in result.values.items():
        type_ = program[name].type
        assert all(type_.raw_min <= w.low and w.high <= type_.raw_max for w in wires.flat), name
    return {
        name: np.stack([numbers[w.number] for w in wires.flat], axis=1).reshape(batch, *wires.shape)
        for name, wires in result.values.items()
    }


def outputs_of_read_bits(program: Program, raw: Mapping[str, Ints]) -> dict[str, Ints]:
    """The outputs if no wire has more of its lowest bits than are said to be read."""
    uses = count_readers(program)
    network = unroll(program, uses)
    circuit = network.circuit
    leaving = [w for output in program.outputs for w in network.values[output.value].flat]
    read = read_bits(circuit, range(len(circuit.wires)), leaving)
    ports = [raw[op.name].reshape(len(raw[op.name]), -1).astype(object) for op in program.inputs]
    numbers: list[Ints] = []
    for wire, cell in zip(circuit.wires, circuit.cells, strict=True):
        number = np.broadcast_to(_value(cell, numbers, ports).astype(object), (len(ports[0]),))
        bits = wire.bits if wire.constant else read[wire.number]
        number = number % (1 << bits)
        sign = wire.signed and bits == wire.bits
        numbers.append(
            np.where(number >> bits - 1 & 1, number - (1 << bits), number) if sign else number
        )
    return {
        output.name: np.stack(
            [numbers[w.number] for w in network.values[output.value].flat], axis=1
        ).reshape(-1, *program.shapes[output.value])
        for output in program.outputs
    }


def _evaluated(circuit: Circuit, ports: list[Ints], batch: int) -> list[Ints]:
    numbers: list[Ints] = []
    for wire, cell in zip(circuit.wires, circuit.cells, strict=True):
        result = np.broadcast_to(_value(cell, numbers, ports).astype(object), (batch,))
        assert wire.low <= result.min() and result.max() <= wire.high, cell
        numbers.append(result)
    return numbers


def _value(cell: Cell, numbers: list[Ints], ports: list[Ints]) -> Ints:
    def of(wire: Wire) -> Ints:
        return numbers[wire.number]

    match cell:
        case InputCell():
            return ports[cell.port][:, cell.element]
        case Literal():
            return np.array(cell.value, object)
        case Join():
            return _joined(cell.kind, of(cell.a) << cell.shift_a, of(cell.b) << cell.shift_b)
        case ShiftCell():
            return of(cell.x) << cell.shift
        case RoundCell():
            return shift_right(of(cell.x), cell.shift, cell.rounding)
        case LimitCell():
            return apply_overflow(of(cell.x), cell.type, cell.overflow)
        case BoundCell():
            return np.clip(of(cell.x), cell.low, cell.high)
        case LookupCell():
            return np.array(cell.entries, object)[(of(cell.x) - cell.first).astype(np.int64)]
        case TruthCell():
            pattern = of(cell.x).astype(np.int64) & (len(cell.entries) - 1)
            return np.array(cell.entries, object)[pattern]
        case FieldsCell():
            assert all(of(part).min() >= 0 for part, _ in cell.parts)
            return np.bitwise_or.reduce([of(part) << n for part, n in cell.parts]) | cell.constant
        case BranchCell():
            return np.where(of(cell.x) >= 0, of(cell.x) << cell.shift, of(cell.other))
        case _:
            assert_never(cell)


def _joined(kind: PairKind, a: Ints, b: Ints) -> Ints:
    match kind:
        case PairKind.ADD:
            return a + b
        case PairKind.SUB:
            return a - b
        case PairKind.MUL:
            return a * b
        case PairKind.MAX:
            return np.maximum(a, b)
        case PairKind.MIN:
            return np.minimum(a, b)
        case _:
            assert_never(kind)
