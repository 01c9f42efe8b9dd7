# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program without recurrences: the ops of each body once for every step, the same integers."""

from __future__ import annotations

from dataclasses import replace

from edgeinfer.graph.moves import bounds_along
from edgeinfer.ir.ops import Concat, Input, Op, Reshape, Scan, Shape, Slice
from edgeinfer.ir.passes import rewire_op
from edgeinfer.ir.program import Program, body_of, states_of
from quantization.fixed import Fixed


def recurrences_of(program: Program) -> tuple[str, ...]:
    """The values that recurrences make."""
    return tuple(op.name for op in program.ops if isinstance(op, Scan))


def count_unrolled(program: Program) -> int:
    """How many ops a Program has without its recurrences."""
    return sum(
        program.shapes[op.xs[0]][0] * count_unrolled(body_of(op)) if isinstance(op, Scan) else 1
        for op in program.ops
    )


def unroll_recurrences(program: Program) -> Program:
    """The Program with each recurrence's steps one after the other, each of which cuts its entry
    from the sequence."""
    if not recurrences_of(program):
        return program
    steps: list[Op] = []
    for op in program.ops:
        if isinstance(op, Scan):
            steps += _steps_of(op, program)
        else:
            steps.append(op)
    return Program(program.name, tuple(steps), program.outputs)


def _steps_of(op: Scan, program: Program) -> list[Op]:
    """The steps, and last an op of the recurrence's own name."""
    body, unrolled = unroll_recurrences(body_of(op)), list[Op]()
    states, rows = list(op.starts), []
    steps = program.shapes[op.xs[0]][0]
    for step in range(steps):
        names = dict(zip((state.name for _, state in states_of(op)), states, strict=True))
        for x, one in zip(op.xs, body.inputs, strict=False):
            type_, name = program.type(x), f"{one.name}@{step}"
            row = _row(f"{name}.row", type_, x, step, one.shape)
            unrolled += [row, Reshape(name, type_, row.name, one.shape)]
            names[one.name] = name
        for inner in body.ops:
            if not isinstance(inner, Input):
                names[inner.name] = f"{inner.name}@{step}"
                unrolled.append(replace(rewire_op(inner, names), name=names[inner.name]))
        states = [names[value] for value, _ in states_of(op)]
        y = body.outputs[0].value
        if op.stacked or step == steps - 1:
            shape = body.shapes[y]
            last = Reshape(f"{op.name}@{step}", op.type, names[y], (1, *shape))
            unrolled.append(last if op.stacked else replace(last, name=op.name, shape=shape))
            rows.append(last.name)
    if op.stacked:
        unrolled.append(Concat(op.name, op.type, tuple(rows), 0))
    return unrolled


def _row(name: str, type_: Fixed, x: str, step: int, entry: Shape) -> Slice:
    """One entry of a sequence."""
    return Slice(name, type_, x, *bounds_along((step + 1, *entry), 0, step, step + 1))
