# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program whose towers are one: ops that several values go through alike, with the same weights,
become a body that the values go through one after the other. The integers stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph.moves import bounds_along
from edgeinfer.graph.towers import (
    Tower,
    TowerStep,
    form_of,
    largest_tower,
    steps_behind,
    values_of,
)
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.ops import Concat, Constant, Input, Op, Reshape, Scan, Slice, inputs_of, macs_of
from edgeinfer.ir.passes import rewire_op
from edgeinfer.ir.program import Output, Program
from edgeinfer.ir.verify import verify


def join_towers(program: Program) -> Program:
    """The Program with each tower once, whose calls are the steps of a recurrence without a state.
    It is the same object where no layer is called twice."""
    beside: set[str] = set()
    while True:
        steps = tuple(_step_of(op, program) for op in program.ops)
        outputs = {output.value for output in program.outputs}
        tower = largest_tower(steps, outputs, beside)
        if not tower:
            return program
        try:
            joined = _join(program, tower, steps)
            verify(joined)
        except ProgramError:  # a table that is too short for what the body's input could be
            beside |= values_of(tower, steps)
        else:
            program = joined


def _step_of(op: Op, program: Program) -> TowerStep:
    """An op as the search for towers sees it. A layer reads anything of its type and shape."""
    operands = [each.name for each in fields(op) if "operand" in each.metadata]
    form = None if isinstance(op, Input | Scan) else form_of(op, ("name", *operands))
    if isinstance(op, Accumulates):
        form = (form, program.shapes[op.x], str(program.type(op.x)))
    return TowerStep(
        op.name,
        inputs_of(op),
        form,
        macs_of(op, program.shapes),
        begins=isinstance(op, Accumulates),
        is_constant=isinstance(op, Constant),
    )


def _join(program: Program, tower: Tower, steps: tuple[TowerStep, ...]) -> Program:
    """The Program with these calls as steps of one body; their results keep their names."""
    inside = values_of(tower, steps)
    behind = steps_behind(steps, inside)
    before = [op for op in program.ops if op.name not in behind]
    after = [op for op in program.ops if op.name in behind and op.name not in inside]
    return _widen_types(program.name, (*before, *_turns(program, tower), *after), program.outputs)


def _widen_types(name: str, ops: tuple[Op, ...], outputs: tuple[Output, ...]) -> Program:
    """These ops as a Program. A body knows the type of its inputs, and not what is proved of them
    outside, so some sums need more bits to be proved; no integer changes."""
    builder = ProgramBuilder(name)
    for op in ops:
        builder.add(op)
        range_, type_ = builder.ranges[op.name], op.type
        if range_.bottom < type_.raw_min or type_.raw_max < range_.top:
            type_ = range_.type(type_.frac)
            builder.ops[-1] = replace(op, type=type_)
            builder.types[op.name] = type_
    return builder.program(outputs)


def _turns(program: Program, tower: Tower) -> Iterator[Op]:
    """What the calls read as sequences, the body, and each call's result from what it makes."""
    first, end = tower[0], program[tower[0].steps[-1]]
    renamed: dict[str, str] = {}
    ports: list[Op] = []
    sequences: list[str] = []
    for number, entry in enumerate(first.entries):
        shape, type_ = program.shapes[entry], program.type(entry)
        sequence = f"{end.name}.sequence{number}"
        rows = []
        for turn, call in enumerate(tower):
            rows.append(f"{sequence}.{turn}")
            yield Reshape(rows[-1], type_, call.entries[number], (1, *shape))
        yield Concat(sequence, type_, tuple(rows), 0)
        sequences.append(sequence)
        renamed[entry] = f"{end.name}.entry{number}"
        ports.append(Input(renamed[entry], type_, shape))
    inside = (rewire_op(program[name], renamed) for name in first.steps)
    body = _widen_types(program.name, (*ports, *inside), (Output("y", end.name),))
    turns, shape, type_ = f"{end.name}.turns", program.shapes[end.name], body.yielded_type
    yield Scan(turns, type_, tuple(sequences), (), body, stacked=True)
    for turn, call in enumerate(tower):
        bounds = bounds_along((len(tower), *shape), 0, turn, turn + 1)
        row = Slice(f"{turns}.{turn}", type_, turns, *bounds)
        yield row
        yield Reshape(call.steps[-1], type_, row.name, shape)
