# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Cells -> one module of Verilog: instances of cells, and registers between the stages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np

from edgeinfer.base.names import CodeText, CommentText, Identifier
from edgeinfer.ir.ops import PairKind
from edgeinfer.targets.rtl.design.codes import OVERFLOWS, PAIRS, ROUNDINGS
from edgeinfer.targets.rtl.design.folding import UnrolledFigures
from edgeinfer.targets.rtl.design.memory import hex_words
from edgeinfer.targets.rtl.design.netlist import (
    Actor,
    BareTop,
    Block,
    BlockStep,
    Parameter,
    PortNames,
    SizedNumber,
    Stream,
)
from edgeinfer.targets.rtl.emit.emit import literal, render_template
from edgeinfer.targets.rtl.unrolled.cell_work import ADDED, KINDS, read_bits, work_of
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
    bits_of,
    operands,
)
from edgeinfer.targets.rtl.unrolled.registers import Staging
from quantization.fixed import Fixed

TEMPLATE = "pipeline.v.j2"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Wires side by side, each in a type: an output, or a probe."""

    prefix: str
    wires: tuple[Wire, ...]
    type: Fixed
    stage: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A circuit between input streams and output streams."""

    module: str
    circuit: Circuit
    staging: Staging
    inputs: tuple[Stream, ...]
    outputs: tuple[Bundle, ...]
    probes: Mapping[str, Bundle]  # by the names of their streams
    remarks: Mapping[int, CommentText]  # about the wires from there on
    bare: BareTop | None = None  # the module without queues that is inside, if it is apart
    alone: bool = False  # there is nothing but that module

    @property
    def latency(self) -> int:
        """Cycles from a step to its numbers' being there to be kept."""
        return self.staging.last

    def text(self, watched: Collection[str] = ()) -> bytes:
        """The module, with ports for the probes that are watched."""
        probes = [self.probes[name] for name in watched]
        written = self._needed(probes)
        inputs = [
            {"prefix": Identifier(f"s{number}"), "width": stream.width}
            for number, stream in enumerate(self.inputs)
        ]
        template_values = {
            "name": Identifier(self.module),
            "module": Identifier(self.module),
            "bare": None if self.bare is None else Identifier(self.bare.module),
            "alone": self.alone,
            "latency": self.latency,
            "issued": self.latency if self.bare is None else 0,
            "inputs": inputs,
            "cells": list(self._cells(written)),
            "outputs": [written.bundle(bundle, self.latency) for bundle in self.outputs],
            "probes": [written.bundle(bundle, bundle.stage) for bundle in probes],
        }
        return render_template(TEMPLATE, template_values)

    def _needed(self, probes: Collection[Bundle] = ()) -> _ModuleText:
        """The cells that outputs and probes need; all outputs leave in the same stage."""
        written = _ModuleText(self.circuit, self.staging.stages)
        for bundle in self.outputs:
            written.want_all(bundle.wires, self.latency)
        for bundle in probes:
            written.want_all(bundle.wires, bundle.stage)
        return written

    def contents(self) -> dict[str, int]:
        """Bits of work by kind, without the queues around it."""
        return self._needed().contents()

    def figures(self, period_ps: int | None) -> UnrolledFigures:
        """Additions and subtractions, the bits in which each has two operands; stages, registers.
        `period_ps`: what the slowest stage takes."""
        written = self._needed()
        additions = [
            cell
            for cell in written.used()
            if isinstance(cell, Join) and cell.kind in (PairKind.ADD, PairKind.SUB)
        ]
        contents = written.contents()
        return UnrolledFigures(
            len(additions),
            sum(contents[kind] for kind in ADDED),
            self.latency + 1,
            contents["register"],
            period_ps,
        )

    def modules(self) -> frozenset[str]:
        """Modules of the library in it, also those that only probes need."""
        cells = self.circuit.cells
        return frozenset(name for cell in cells if (name := _module(cell)) is not None)

    def tables(self) -> dict[str, bytes]:
        """Memory files of all tables, also of those that only probes need."""
        return {
            f"{cell.table}.mem": hex_words(np.array(cell.entries, np.int64)[:, None], cell.bits)
            for cell in self.circuit.cells
            if isinstance(cell, LookupCell)
        }

    def _cells(self, written: _ModuleText) -> Iterator[dict[str, Any]]:
        """Each cell, followed by its registers, with what is said about it."""
        waiting = sorted(self.remarks.items(), reverse=True)
        bits = [stream.type.bits for stream in self.inputs]
        for number, cell in written.cells(bits):
            remark = None
            while waiting and waiting[-1][0] <= number:
                remark = waiting.pop()[1]
            yield {"remark": remark, **cell}

    def watched(self, probes: Collection[str]) -> dict[str, bytes]:
        """The module's file with ports for some probes."""
        return {f"{self.module}.v": self.text(probes)}

    def block(self, name: str, op: str, outputs: Sequence[Stream]) -> Block:
        """The module's instance."""
        everything = (1 << len(self.inputs)) - 1
        step = BlockStep(reads=everything, frees=everything, reserves=True, yields=True)
        sources = tuple(stream.name for stream in self.inputs)
        sinks = tuple(stream.name for stream in outputs)
        prefixes = tuple(bundle.prefix for bundle in self.outputs)
        written = self._needed()
        return Block(
            self.module,
            name,
            op,
            {},
            sources,
            sinks,
            (Actor(sources, sinks, (step,), 1, self.latency + 1),),
            {f"{self.module}.v": self.text(), **self.tables()},
            PortNames(
                tuple(f"s{number}" for number in range(len(sources))),
                prefixes,
                tuple(f"DEPTH_{prefix.upper()}" for prefix in prefixes),
            ),
            frozenset({"ei_issue", "ei_delay"}) | self.modules(),
            written.contents(),
            self.watched,
        )


@dataclass(slots=True)
class _ModuleText:
    """The cells that something needs, the stage in which each wire is made and those in which it
    is read."""

    circuit: Circuit
    made: Sequence[int]  # by wire
    stages: dict[int, set[int]] = field(default_factory=dict)  # by wire
    leaving: list[Wire] = field(default_factory=list)

    def want_all(self, wires: Sequence[Wire], stage: int) -> None:
        """Wires are read in a stage, and so is what makes them in its own."""
        self.leaving += wires
        waiting = [(wire, stage) for wire in wires]
        while waiting:
            wire, stage = waiting.pop()
            if wire.constant:
                continue
            fresh = wire.number not in self.stages
            self.stages.setdefault(wire.number, set()).add(stage)
            if fresh:
                cell = self.circuit.cells[wire.number]
                waiting += [(x, self.made[wire.number]) for x in operands(cell)]

    def cells(self, source_bits: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each cell, followed by its registers."""
        for number in sorted(self.stages):
            wire, cell = self.circuit.wires[number], self.circuit.cells[number]
            yield number, self.describe(wire, cell, source_bits)
            before = self.made[number]
            for stage in sorted(self.stages[number] - {self.made[number]}):
                yield (
                    number,
                    {
                        "kind": "cell",
                        "name": self.net(wire, stage),
                        "bits": wire.bits,
                        "module": Identifier("ei_delay"),
                        "parameters": [
                            (Identifier("BITS"), wire.bits),
                            (Identifier("STAGES"), stage - before),
                        ],
                        "pins": [
                            (Identifier("clk"), Identifier("clk")),
                            (Identifier("x"), self.net(wire, before)),
                        ],
                    },
                )
                before = stage

    def contents(self) -> dict[str, int]:
        """Bits of work by kind: added, registered, chosen, compared, multiplied, looked up."""
        counts = dict.fromkeys(KINDS, 0)
        read = read_bits(self.circuit, self.stages, self.leaving)
        for number, stages in self.stages.items():
            wire, cell = self.circuit.wires[number], self.circuit.cells[number]
            held = max(read[number] - wire.zeros, 0)
            counts["register"] += held * (max(stages) - self.made[number])
            for kind, bits in work_of(cell, wire, read[number]):
                counts[kind] += bits
        return counts

    def used(self) -> Iterator[Cell]:
        """The cells that something needs."""
        return (self.circuit.cells[number] for number in sorted(self.stages))

    def bundle(self, bundle: Bundle, stage: int) -> dict[str, Any]:
        """Where each wire lies among a bundle's bits, and what fills it up to its type."""
        width = bundle.type.bits
        parts: list[dict[str, Any]] = [
            {
                "top": width * (place + 1) - 1,
                "bottom": width * place,
                "net": self.net(wire, stage),
                "missing": 0 if wire.constant else width - wire.bits,
                "sign": wire.bits - 1 if wire.signed else None,
            }
            for place, wire in enumerate(bundle.wires)
        ]
        for part, wire in zip(parts, bundle.wires, strict=True):
            if wire.constant:
                part["net"] = literal(SizedNumber(width, wire.low))
        return {
            "prefix": Identifier(bundle.prefix),
            "depth": Identifier(f"DEPTH_{bundle.prefix.upper()}"),
            "width": width * len(bundle.wires),
            "stage": stage,
            "parts": parts,
        }

    def net(self, wire: Wire, stage: int) -> CodeText:
        """What a wire is called in a stage, or its number if it is always the same."""
        if wire.constant:
            return literal(SizedNumber(wire.bits, wire.low))
        own = f"n{wire.number}"
        return Identifier(own if stage == self.made[wire.number] else f"{own}_{stage}")

    def describe(self, wire: Wire, cell: Cell, source_bits: Sequence[int]) -> dict[str, Any]:
        """A cell as the template wants it."""
        stage = self.made[wire.number]
        description: dict[str, Any] = {"name": self.net(wire, stage), "bits": wire.bits}
        match cell:
            case InputCell():
                bits = source_bits[cell.port]
                return description | {
                    "kind": "source",
                    "net": Identifier(f"s{cell.port}_data"),
                    "top": bits * (cell.element + 1) - 1,
                    "bottom": bits * cell.element,
                }
            case ShiftCell():
                return description | {
                    "kind": "raised", "net": self.net(cell.x, stage), "shift": cell.shift,
                }  # fmt: skip
            case FieldsCell():
                return description | {"kind": "fields", "pieces": self.pieces(cell, wire)}
            case Literal():
                raise AssertionError("a number needs no cell")
            case _:  # the template knows every cell by its pins
                return description | {
                    "kind": "cell",
                    "module": Identifier(_module(cell) or ""),
                    "parameters": [
                        (Identifier(key), literal(value))
                        for key, value in _parameters(cell, wire).items()
                    ],
                    "pins": [
                        (Identifier(pin), self.net(x, stage))
                        for pin, x in zip(_pins(cell), operands(cell), strict=True)
                    ],
                }

    def pieces(self, cell: FieldsCell, wire: Wire) -> list[CodeText]:
        """What lies side by side, the highest first, with the constant's bits between."""
        stage = self.made[wire.number]
        pieces: list[CodeText] = []
        at = 0
        for part, shift in [*cell.parts, (None, wire.bits)]:
            if shift > at:
                between = cell.constant >> at & (1 << shift - at) - 1
                pieces.append(literal(SizedNumber(shift - at, between)))
            if part is not None:
                pieces.append(self.net(part, stage))
                at = shift + part.bits
        return pieces[::-1]


def _module(cell: Cell) -> str | None:
    match cell:
        case InputCell() | Literal() | ShiftCell() | FieldsCell():
            return None
        case Join():
            return "ei_binary"
        case RoundCell():
            return "ei_round"
        case LimitCell():
            return "ei_limit"
        case BoundCell():
            return "ei_bound"
        case LookupCell():
            return "ei_lookup"
        case TruthCell():
            return "ei_truth"
        case BranchCell():
            return "ei_branch"
        case _:
            assert_never(cell)


def _pins(cell: Cell) -> tuple[str, ...]:
    match cell:
        case Join():
            return ("a", "b")
        case BranchCell():
            return ("x", "other")
        case _:  # the strict `zip` above finds a cell with more operands
            return ("x",)


def _parameters(
    cell: Join | RoundCell | LimitCell | BoundCell | LookupCell | TruthCell | BranchCell, wire: Wire
) -> dict[str, Parameter]:
    out = wire.bits
    match cell:
        case Join():
            return {
                "A_BITS": cell.a.bits, "A_SIGNED": int(cell.a.signed),
                "SHIFT_A": cell.shift_a, "B_BITS": cell.b.bits,
                "B_SIGNED": int(cell.b.signed), "SHIFT_B": cell.shift_b,
                "KIND": PAIRS.index(cell.kind), "OUT_BITS": out,
            }  # fmt: skip
        case RoundCell():
            return {
                "BITS": cell.x.bits, "SIGNED": int(cell.x.signed), "SHIFT": cell.shift,
                "ROUNDING": ROUNDINGS.index(cell.rounding), "OUT": out,
            }  # fmt: skip
        case LimitCell():
            return {
                "BITS": cell.x.bits, "SIGNED": int(cell.x.signed),
                "OUT_BITS": cell.type.bits, "OUT_SIGNED": int(cell.type.signed),
                "OVERFLOW": OVERFLOWS.index(cell.overflow), "Y_BITS": out,
            }  # fmt: skip
        case BoundCell():
            low, high = cell.low or 0, cell.high or 0
            ends = [cell.x.low, cell.x.high, low, high, -1]
            width = max(bits_of(min(ends), max(ends)), cell.x.bits + 1, out)
            return {
                "IN_BITS": cell.x.bits, "IN_SIGNED": int(cell.x.signed),
                "OUT_BITS": out, "W_BITS": width, "HAS_LOW": int(cell.low is not None),
                "HAS_HIGH": int(cell.high is not None), "LOW": SizedNumber(width, low),
                "HIGH": SizedNumber(width, high),
            }  # fmt: skip
        case LookupCell():
            return {
                "IN_BITS": cell.x.bits, "IN_SIGNED": int(cell.x.signed),
                "FIRST": SizedNumber(64, cell.first), "ENTRIES": len(cell.entries),
                "WORD_BITS": cell.bits, "OUT_BITS": out, "TABLE": f"{cell.table}.mem",
            }  # fmt: skip
        case TruthCell():
            planes = [
                sum((entry >> bit & 1) << place for place, entry in enumerate(cell.entries))
                for bit in range(out)
            ]
            size = len(cell.entries)
            number = sum(plane << size * bit for bit, plane in enumerate(planes))
            return {
                "IN_BITS": cell.x.bits, "OUT_BITS": out,
                "PLANES": SizedNumber(size * out, number),
            }  # fmt: skip
        case BranchCell():
            return {
                "X_BITS": cell.x.bits, "SHIFT": cell.shift,
                "OTHER_BITS": cell.other.bits, "OTHER_SIGNED": int(cell.other.signed),
                "OUT_BITS": out,
            }  # fmt: skip
        case _:
            assert_never(cell)
