# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sites in ops that every target has: a difference from the threshold, cut to 0 and 1.

That is the same number for every pixel as long as all lit pixels stay. Which are the first of an
image depends on those before it, which no other op says; a target has a block for that or refuses.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import numpy as np

from edgeinfer.base.errors import Offence
from edgeinfer.graph.moves import bounds_along
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Op, Pair, PairKind, Scale, Scan, Sites, Slice, pack_weights
from edgeinfer.ir.program import Program, body_of
from quantization.fixed import Fixed


def is_limited(op: Op, program: Program) -> bool:
    """Whether an op may leave lit pixels out."""
    if not isinstance(op, Sites) or op.most is None:
        return False
    return op.most < math.prod(program.shapes[op.x][:-1])


def limited_sites(program: Program, what: str) -> tuple[Offence, ...]:
    """The sites with a limit, for a target that counts no pixels."""
    offences = [
        Offence(
            op.name,
            "Sites",
            f"only the first {op.most} lit pixels stay, and {what} does not count pixels. Make the "
            f"model without that limit, or take the rtl target",
        )
        for op in program.ops
        if isinstance(op, Sites) and is_limited(op, program)
    ]
    for op in program.ops:
        if isinstance(op, Scan):
            offences += limited_sites(body_of(op), what)
    return tuple(offences)


def spell_sites(program: Program) -> Program:
    """The Program without sites of all lit pixels, in bodies of recurrences too; the same integers
    under the same names."""
    ops = tuple(
        replace(op, body=spell_sites(body_of(op))) if isinstance(op, Scan) else op
        for op in program.ops
    )
    if any(new is not old for new, old in zip(ops, program.ops, strict=True)):
        program = replace(program, ops=ops)
    if not any(isinstance(op, Sites) and not is_limited(op, program) for op in program.ops):
        return program
    builder = ProgramBuilder(program.name)
    for op in program.ops:
        if isinstance(op, Sites) and not is_limited(op, program):
            _spell(builder, op)
        else:
            builder.add(op)
    return builder.program(program.outputs)


def _spell(builder: ProgramBuilder, op: Sites) -> None:
    x = _brightest(builder, op)
    range_, frac = builder.ranges[x], builder.frac(x)
    if not range_.bottom <= op.threshold < range_.top:  # then no pixel is lit, or every one
        low = high = int(range_.bottom > op.threshold)
        factor, bias = np.zeros((), np.int64), np.asarray(low)
    else:
        low, high = op.threshold, op.threshold + 1
        factor, bias = np.ones((), np.int64), np.asarray(-low)
        x = builder.clip(f"{op.name}.near", x, low, high)
    whole = Fixed(False, 1, 1 + frac)
    scale = Scale(op.name, op.type, x, pack_weights(factor), whole, pack_weights(bias))
    builder.add(scale)


def _brightest(builder: ProgramBuilder, op: Sites) -> str:
    """The largest channel of every pixel."""
    shape, grid = builder.shapes[op.x], provisional(builder.frac(op.x))
    if shape[-1] == 1:
        return op.x
    parts = []
    for channel in range(shape[-1]):
        name, bounds = f"{op.name}.channel{channel}", bounds_along(shape, -1, channel, channel + 1)
        parts.append(builder.exact(Slice(name, grid, op.x, *bounds)))

    def larger(a: str, b: str) -> str:
        return builder.exact(Pair(f"{b}.most", grid, a, b, PairKind.MAX))

    return reduce(larger, parts)
