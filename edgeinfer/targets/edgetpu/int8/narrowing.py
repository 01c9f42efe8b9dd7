# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program made such that every value that must be stored fits 8 bits.

Rounding and saturation grow with their argument, so they may as well come before a maximum or
before data are moved: `Requant` ops climb to where sums are made, and nothing changes. Two things
do change, and are said: the int8 kernels know no ties to even, so that ties go to the side that a
kernel sends them to; and outputs that are sums are rounded to 8 bits, a lone score upwards so that
its sign, which is the decision, stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.data.samples import draw_samples
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.builder import prove_again
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.ops import (
    Clip,
    Concat,
    Dense,
    Input,
    Moves,
    Op,
    Pair,
    Pool,
    PoolKind,
    Requant,
    Softmax,
    Table,
    inputs_of,
    pack_weights,
)
from edgeinfer.ir.passes import drop_dead
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.edgetpu.int8.grid import LEVELS
from edgeinfer.targets.edgetpu.int8.output_levels import levels_for, nearest_type
from quantization.fixed import (
    Fixed,
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
    quantize,
    requantize,
)

DRAWN = 64  # samples for output ranges where none are given
FLAT_FRAC = 4  # beyond +-8, where sigmoid and tanh are flat, a finer index is worth more
GROWING = (Overflow.SAT, Overflow.SAT_SYM)


@dataclass(frozen=True, slots=True, eq=False)
class NarrowedProgram:
    """The Program, and what had to be decided."""

    program: Program
    findings: tuple[str, ...]


def narrow_program(
    program: Program, raw: Mapping[str, Ints] | None = None, *, sampled: bool = True
) -> NarrowedProgram:
    """The Program for int8 storage. Ranges of wide inputs and outputs come from the samples, or
    from drawn ones; or, where nothing is to be run, from what is proved."""
    climbed, entered = _narrow_inputs(_plain_indices(program), raw)
    while True:
        higher = _move_requant_up(climbed)
        if higher is climbed:
            break
        climbed = higher
    tied, said = _one_sided(climbed)
    tabled, read = _rounded_tables(tied)
    settled = prove_again(tabled)
    held = _narrow_raw(program, settled, raw)
    rounded, findings = _rounded_sums(settled, held, sampled)
    verify(rounded)
    return NarrowedProgram(rounded, (*entered, *said, *read, *findings))


def _narrow_inputs(program: Program, raw: Mapping[str, Ints] | None) -> tuple[Program, list[str]]:
    """Inputs of more than 8 bits brought to the 8 that miss the samples least."""
    findings: list[str] = []
    ops: list[Op] = []
    for op in program.ops:
        if not isinstance(op, Input) or op.type.bits <= 8:
            ops.append(op)
            continue
        ends = np.asarray([op.type.raw_min, op.type.raw_max], np.int64)
        type_ = nearest_type(ends if raw is None else raw[op.name], op.type.frac)
        ops.append(replace(op, type=type_))
        findings.append(
            f"The input {op.name} of {op.type.bits} bits is stored as {type_}, in steps of "
            f"{type_.lsb:g} from {type_.min:g} to {type_.max:g}."
        )
    if not findings:
        return program, []
    return prove_again(Program(program.name, tuple(ops), program.outputs)), findings


def _narrow_raw(
    program: Program, small: Program, raw: Mapping[str, Ints] | None
) -> dict[str, Ints] | None:
    """Raw inputs of a Program as those of the one with 8-bit inputs."""
    if raw is None:
        return None
    found: dict[str, Ints] = {}
    for before, after in zip(program.inputs, small.inputs, strict=True):
        quantizer = Quantizer(after.type)
        found[after.name] = requantize(raw[after.name], before.type.frac, quantizer)
    return found


def _kernel_rounding(program: Program, op: Requant) -> Rounding:
    """How the kernel that makes a value rounds ties: upwards, or away from zero below it."""
    source = program[op.x]
    while isinstance(source, Clip):
        source = program[source.x]
    dense = isinstance(source, Dense) and len(program.shapes[source.x]) == 1
    halved = source.type.frac - op.type.frac == 1 and not dense
    return Rounding.RND if halved or not op.type.signed else Rounding.RND_INF


def _one_sided(program: Program) -> tuple[Program, list[str]]:
    """Ties to the side that the kernels send them to, instead of to even."""
    even = [
        op for op in program.ops if isinstance(op, Requant) and op.rounding is Rounding.RND_CONV
    ]
    for op in even:
        if _as_it_is(program.type(op.x), op.type):
            continue
        program = program.replace_op(replace(op, rounding=_kernel_rounding(program, op)))
    said = f"{len(even)} roundings do not send ties to even: int8 kernels send them to one side."
    return program, [said] if even else []


def _move_requant_up(program: Program) -> Program:
    """One `Requant` moved before the op that it reads; the Program itself where none can be."""
    readers = Counter(x for op in program.ops for x in inputs_of(op))
    readers.update(output.value for output in program.outputs)
    for op in program.ops:
        if not isinstance(op, Requant) or op.overflow not in GROWING:
            continue
        before = program[op.x]
        if readers[op.x] == 1 and _moves(before):
            return _swap_ops(program, op, before)
    return program


def _moves(op: Op) -> bool:
    """Whether an op only moves data or takes a maximum."""
    match op:
        case Moves():
            return not op.may_fill
        case Concat():
            return True
        case Pool():
            return op.kind is PoolKind.MAX
        case _:  # all the rest compute new values
            return False


def _swap_ops(program: Program, requant: Requant, before: Op) -> Program:
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
        case Moves() | Pool():
            return replace(op, name=requant.name, type=requant.type, x=renamed[op.x])
        case _:
            raise AssertionError(op)  # `_moves` has said otherwise


def _plain_indices(program: Program) -> Program:
    """Tables that are read at an index which a second table makes exact (`ir.lower_tables`): 256
    levels are coarser than what that brings, so the index is rounded as it is."""
    ops: list[Op] = []
    for op in program.ops:
        if isinstance(op, Requant) and op.rounding is Rounding.TRN:
            moved = program[op.x]
            nudge = program[moved.b] if isinstance(moved, Pair) else None
            cell = program[nudge.x] if isinstance(nudge, Table) else None
            if isinstance(moved, Pair) and isinstance(cell, Requant) and cell.x == moved.a:
                op = replace(op, x=moved.a, rounding=Rounding.RND)
        ops.append(op)
    return drop_dead(replace(program, ops=tuple(ops)))


def _rounded_tables(program: Program) -> tuple[Program, list[str]]:
    """Tables with more than 256 entries, read at 256 of them."""
    ops: list[Op] = []
    findings: list[str] = []
    for op in program.ops:
        if not isinstance(op, Table) or program.type(op.x).bits <= 8:
            ops.append(op)
            continue
        frac, end = program.type(op.x).frac, op.first + op.entries.size - 1
        first, last = min(op.first, 0), max(end, 0)  # int8 levels have zero among them
        shift = 0
        while (last >> shift) - (first >> shift) >= LEVELS and frac - shift > FLAT_FRAC:
            shift += 1
        low = max(first >> shift, -LEVELS // 2)
        high = min(last >> shift, low + LEVELS - 1)
        places = np.clip(np.arange(low, high + 1) << shift, op.first, end) - op.first
        type_ = fixed_of_range(low, high, frac - shift)
        index, source = f"{op.name}.int8_index", program[op.x]
        x = op.x
        if isinstance(source, Clip) or (
            isinstance(source, Requant) and source.overflow is Overflow.SAT
        ):
            x = source.x  # rounded and limited once
        ops.append(Requant(f"{index}.rounded", type_, x, Rounding.RND, Overflow.SAT))
        ops.append(Clip(index, type_, f"{index}.rounded", low, high))
        ops.append(replace(op, x=index, first=low, entries=op.entries[places]))
        findings.append(f"{op.name} is read in steps of {2.0 ** (shift - frac):g}: int8 holds 256.")
    return drop_dead(Program(program.name, tuple(ops), program.outputs)), findings


def _rounded_sums(
    program: Program, raw: Mapping[str, Ints] | None, sampled: bool
) -> tuple[Program, list[str]]:
    """Outputs and scores wider than 8 bits, rounded to what samples show."""
    wide = {
        op.x: HostFunction.SOFTMAX
        for op in program.ops
        if isinstance(op, Softmax) and program.type(op.x).bits > 8
    }
    wide |= {o.value: o.host for o in program.outputs if program.type(o.value).bits > 8}
    if not wide:
        return program, []
    findings: list[str] = []
    if sampled and raw is None:
        raw = drawn_inputs(program)
        findings.append(
            f"No samples were given: output ranges come from {DRAWN} drawn from the input types."
        )
    if sampled and raw is not None:
        seen = Engine(program).run(raw, taps=tuple(wide))
    else:
        bounds = bounds_of(program)
        ends = {name: (bounds[name].bottom, bounds[name].top) for name in wide}
        seen = {name: np.asarray(both, np.int64)[:, None] for name, both in ends.items()}
    ops: list[Op] = []
    renamed: dict[str, str] = {}
    for op in program.ops:
        if op.name not in wide:
            if isinstance(op, Softmax) and op.x in wide:
                op = replace(op, x=renamed[op.x])
            ops.append(op)
            continue
        window = levels_for(seen[op.name], op.type.frac, wide[op.name])
        scores = wide[op.name] is not HostFunction.NONE
        ops.append(_deciding_alike(program, op, window.frac) if scores else op)
        type_ = fixed_of_range(window.low, window.high, window.frac)
        name = renamed[op.name] = f"{op.name}.int8"
        step = Requant(f"{name}.rounded", type_, op.name, Rounding.RND, Overflow.SAT)
        ops.append(replace(step, rounding=_kernel_rounding(program, step)))
        ops.append(Clip(name, type_, f"{name}.rounded", window.low, window.high))
        findings.append(
            f"{op.name} is a sum of {op.type.bits} bits; it is held in steps of "
            f"{2.0**-window.frac:g}, from {window.least:g} to {window.most:g}: what changes least "
            f"on the samples."
        )
    outputs = tuple(replace(o, value=renamed.get(o.value, o.value)) for o in program.outputs)
    return prove_again(Program(program.name, tuple(ops), outputs)), findings


def _deciding_alike(program: Program, op: Op, frac: int) -> Op:
    """Scores with less than a step of the coarser grid added, so that rounding them there changes
    as few decisions as can be. What others read too stays.

    A lone score is rounded up: a level above zero then means a sum above zero. Among several the
    first of equal ones wins, so scores that are equal after rounding are put apart beforehand: each
    class an equal share of a step above the one before it, which halves the decisions that change.
    """
    shift = op.type.frac - frac
    readers = [other for other in program.ops if op.name in inputs_of(other)]
    if not isinstance(op, Accumulates) or readers or shift < 2:
        return op
    classes = op.bias.size
    if classes == 1:
        added = np.array([(1 << (shift - 1)) - 1])
    else:
        places = np.arange(classes) - (classes - 1) / 2  # around zero, so that nothing is biased
        added = np.rint(places / classes * (1 << shift)).astype(np.int64)
    return replace(op, bias=pack_weights(op.bias.astype(np.int64) + added))


def drawn_inputs(program: Program) -> dict[str, Ints]:
    """Raw inputs drawn from the input types; always the same."""
    samples = draw_samples({op.name: (op.shape, op.type) for op in program.inputs}, DRAWN)
    return {op.name: quantize(samples.inputs[op.name], Quantizer(op.type)) for op in program.inputs}
