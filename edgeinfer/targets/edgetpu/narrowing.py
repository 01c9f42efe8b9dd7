# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program made such that every value that must be stored fits 8 bits.

Rounding and saturation grow with their argument, so they may as well come before a maximum or
before data are moved: `Requant` ops climb to where sums are made, and nothing changes. Outputs that
are sums are rounded to 8 bits: to the finest power of two that holds what samples show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgeinfer.ir.engine import Engine
from edgeinfer.ir.ops import (
    Clip,
    Concat,
    Op,
    Pool,
    PoolKind,
    Requant,
    Reshape,
    Slice,
    Transpose,
    Upsample,
    inputs_of,
)
from edgeinfer.ir.program import Program
from edgeinfer.ir.verify import verify
from edgeinfer.samples import drawn
from quantization.fixed import Fixed, Ints, Overflow, Rounding, fixed_for, quantize, Quantizer

LEVELS = 256
DRAWN = 64  # samples for output ranges where none are given
GROWING = (Overflow.SAT, Overflow.SAT_SYM)


@dataclass(frozen=True, slots=True, eq=False)
class Narrowed:
    """The Program, and what had to be decided."""

    program: Program
    findings: tuple[str, ...]


def narrowed(program: Program, raw: Mapping[str, Ints] | None = None) -> Narrowed:
    """The Program for int8 storage; ranges of wide outputs come from the samples."""
    climbed = program
    while True:
        higher = _climbed(climbed)
        if higher is climbed:
            break
        climbed = higher
    rounded, findings = _rounded_outputs(climbed, raw)
    verify(rounded)
    return Narrowed(rounded, tuple(findings))


def _climbed(program: Program) -> Program:
    """One `Requant` moved before the op that it reads; the Program itself where none can be."""
    readers = Counter(x for op in program.ops for x in inputs_of(op))
    readers.update(output.value for output in program.outputs)
    for op in program.ops:
        if not isinstance(op, Requant) or op.overflow not in GROWING:
            continue
        before = program[op.x]
        if readers[op.x] == 1 and _moves(before):
            return _swapped(program, op, before)
    return program


def _moves(op: Op) -> bool:
    """Whether an op only moves data or takes a maximum."""
    match op:
        case Reshape() | Transpose() | Upsample() | Slice() | Concat():
            return True
        case Pool():
            return op.kind is PoolKind.MAX
        case _:
            return False


def _swapped(program: Program, requant: Requant, before: Op) -> Program:
    ops: list[Op] = []
    for op in program.ops:
        if op.name == before.name:
            continue
        if op.name != requant.name:
            ops.append(op)
            continue
        renamed: dict[str, str] = {}
        for number, x in enumerate(dict.fromkeys(inputs_of(before))):
            if _as_it_is(program.type(x), requant.type):
                renamed[x] = x
                continue
            renamed[x] = f"{requant.name}.in{number}"
            ops.append(replace(requant, name=renamed[x], x=x))
        ops.append(_reading(before, renamed, requant))
    return Program(program.name, tuple(ops), program.outputs)


def _as_it_is(x: Fixed, wanted: Fixed) -> bool:
    """Whether a value needs no rounding to be of a type."""
    return x.frac == wanted.frac and x.raw_min >= wanted.raw_min and x.raw_max <= wanted.raw_max


def _reading(op: Op, renamed: Mapping[str, str], requant: Requant) -> Op:
    match op:
        case Concat():
            xs = tuple(renamed[x] for x in op.xs)
            return replace(op, name=requant.name, type=requant.type, xs=xs)
        case Reshape() | Transpose() | Upsample() | Slice() | Pool():
            return replace(op, name=requant.name, type=requant.type, x=renamed[op.x])
        case _:
            raise AssertionError(op)  # `_moves` has said otherwise


def _rounded_outputs(
    program: Program, raw: Mapping[str, Ints] | None
) -> tuple[Program, list[str]]:
    """Outputs wider than 8 bits, rounded to what samples show."""
    wide = [o for o in program.outputs if program.type(o.value).bits > 8]
    if not wide:
        return program, []
    findings: list[str] = []
    if raw is None:
        raw = drawn_inputs(program)
        findings.append(
            f"No samples were given: output ranges come from {DRAWN} drawn from the input types."
        )
    seen = Engine(program).run(raw)
    ops, outputs = list(program.ops), []
    for output in program.outputs:
        if output not in wide:
            outputs.append(output)
            continue
        values = seen[output.name]
        frac, low, high = window_of(values, program.type(output.value).frac)
        type_ = fixed_for(min(low, 0), max(high, 0), frac)
        name = f"{output.name}.int8"
        ops.append(
            Requant(f"{name}.rounded", type_, output.value, Rounding.RND_CONV, Overflow.SAT)
        )
        clipped = fixed_for(low, high, frac)
        ops.append(Clip(name, clipped, f"{name}.rounded", low, high))
        outputs.append(replace(output, value=name))
        findings.append(
            f"{output.name} is a sum of {program.type(output.value).bits} bits; it leaves in steps "
            f"of {2.0**-frac:g}, from {low * 2.0**-frac:g} to {high * 2.0**-frac:g}, as samples "
            f"show."
        )
    return Program(program.name, tuple(ops), tuple(outputs)), findings


def window_of(values: Ints, frac: int) -> tuple[int, int, int]:
    """The finest grid on which 256 levels hold all values and zero: its fractional bits, and the
    lowest and the highest level."""
    bottom, top = min(int(values.min()), 0), max(int(values.max()), 0)
    shift = 0
    while (top >> shift) - (bottom >> shift) + 1 >= LEVELS:
        shift += 1
    if shift == 0:
        low = bottom
    else:
        half = 1 << (shift - 1)
        low = (bottom + half) >> shift
    spare = LEVELS - 1 - (((top + (1 << shift >> 1)) >> shift) - low)
    low -= max(spare, 0) // 2
    return frac - shift, low, low + LEVELS - 1


def drawn_inputs(program: Program) -> dict[str, Ints]:
    """Raw inputs drawn from the input types; always the same."""
    samples = drawn({op.name: (op.shape, op.type) for op in program.inputs}, DRAWN)
    return {
        op.name: quantize(samples.inputs[op.name], Quantizer(op.type)) for op in program.inputs
    }
