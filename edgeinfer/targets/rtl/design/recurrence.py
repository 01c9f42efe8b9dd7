# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A recurrence as blocks: its body once, through which the steps of a frame go one after the other.

To the body's blocks a step is a frame. A state's stream begins with the state of the first step and
goes on with what the steps leave; what the last one leaves is let go of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from edgeinfer.ir.ops import Dense, Input, Scan, inputs_of
from edgeinfer.ir.passes import drop_dead
from edgeinfer.ir.program import Output, Program, body_of, states_of
from edgeinfer.targets.rtl.settings import Fold


def steps_of(op: Scan, program: Program) -> int:
    """How often the body runs in a frame."""
    return program.shapes[op.xs[0]][0]


def repeated_body(op: Scan, program: Program) -> Program:
    """What of the body is needed. Its outputs are what a step yields, and, under the name of the
    state, what the next step reads: nothing where there is only one step, or where none reads it.
    """
    body = body_of(op)
    goes_on = [Output(state.name, value) for value, state in states_of(op)]
    goes_on = goes_on if steps_of(op, program) > 1 else []
    while True:
        body = drop_dead(replace(body_of(op), outputs=(body.outputs[0], *goes_on)))
        read = {x for each in body.ops for x in inputs_of(each)} | {o.value for o in body.outputs}
        if all(output.name in read for output in goes_on):
            return body
        goes_on = [output for output in goes_on if output.name in read]


def count_readers(program: Program) -> dict[str, int]:
    """How many readers a value has, outputs among them; what leads nowhere has none."""
    uses = dict.fromkeys(program.shapes, 0)
    for output in program.outputs:
        uses[output.value] += 1
    for op in reversed(program.ops):
        if not uses[op.name]:
            continue
        if isinstance(op, Scan):
            body = repeated_body(op, program)
            inside = count_readers(body)
            read = zip(inputs_of(op), body.inputs, strict=True)
            for x in (x for x, port in read if inside[port.name]):
                uses[x] += 1
        else:
            for x in inputs_of(op):
                uses[x] += 1
    return uses


def lanes_of_state(state: Input, body: Program, folds: Mapping[str, Fold]) -> int:
    """As many elements of a state at once as the layer that reads it takes; else as many as layers
    of the body make, which is what it meets."""
    size = math.prod(state.shape)
    for op in body.ops:
        if isinstance(op, Dense) and op.x == state.name:
            return math.gcd(size, folds[op.name].simd)
    widths = [folds[op.name].pe for op in body.ops if isinstance(op, Dense) and op.name in folds]
    return math.gcd(size, max(widths, default=1))


def part_beside_sequences(op: Scan, program: Program) -> str:
    """What of a recurrence does not go along with its sequences, in words: a sequence of which no
    step reads anything, or a state that follows from states alone, so that its steps run ahead of
    the sequence. Nothing says in which cycle such a part is ready."""
    body = repeated_body(op, program)
    inside = count_readers(body)
    entries = [port.name for port in body.inputs[: len(op.xs)]]
    for x, entry in zip(op.xs, entries, strict=True):
        if not inside[entry]:
            return f"reads nothing of the sequence %{x}"
    states = {output.name: output.value for output in body.outputs[1:]}
    reached = set(entries)
    before = -1
    while len(reached) > before:
        before = len(reached)
        reached |= {each.name for each in body.ops if reached & set(inputs_of(each))}
        reached |= {state for state, value in states.items() if value in reached}
    free = [state for state in states if state not in reached]
    return f"has a state %{free[0]} that follows from states alone" if free else ""
