# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program whose inputs or roundings were changed, with the grids and the widths of every exact
value proved anew."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import PairKind
from edgeinfer.ir.program import Program


def prove_again(program: Program) -> Program:
    """The same ops; types that are stated stay, types that are proved are proved again."""
    builder = ProgramBuilder(program.name)
    for op in program.ops:
        _append(builder, op)
    return builder.program(program.outputs)


def _append(b: ProgramBuilder, op: ops.Op) -> None:
    match op:
        case ops.Input() | ops.Constant() | ops.Requant() | ops.Softmax() | ops.Table():
            b.add(op)
        case ops.Conv() | ops.Dense():
            least = b.frac(op.x) + op.weight_type.frac
            b.exact(replace(op, type=provisional(max(op.type.frac, least))))
        case ops.Scale():
            least = b.frac(op.x) + op.factor_type.frac
            b.exact(replace(op, type=provisional(max(op.type.frac, least))))
        case ops.PRelu():
            b.exact(replace(op, type=provisional(b.frac(op.x) + op.slope_type.frac)))
        case ops.Pair():
            fracs = b.frac(op.a), b.frac(op.b)
            frac = sum(fracs) if op.kind is PairKind.MUL else max(fracs)
            b.exact(replace(op, type=provisional(frac)))
        case ops.Concat():
            b.exact(replace(op, type=provisional(max(b.frac(x) for x in op.xs))))
        case ops.Clip():
            shift = op.type.frac - b.frac(op.x)
            low, high = (_move_limit(b, op.name, limit, shift) for limit in (op.low, op.high))
            b.exact(replace(op, type=provisional(b.frac(op.x)), low=low, high=high))
        case ops.Pad():
            shift = op.type.frac - b.frac(op.x)
            value = _move_limit(b, op.name, op.value, shift) or 0
            b.exact(replace(op, type=provisional(b.frac(op.x)), value=value))
        case ops.Scan():
            raise AssertionError(op)  # `convert` has unrolled it
        case ops.Pool() | ops.Moves():
            b.exact(replace(op, type=provisional(b.frac(op.x))))
        case _:
            assert_never(op)


def _move_limit(b: ProgramBuilder, name: str, limit: int | None, shift: int) -> int | None:
    """A limit on a grid that is coarser by some bits (or finer)."""
    if limit is None:
        return None
    if shift <= 0:
        return limit << -shift
    if limit & ((1 << shift) - 1):
        raise ProgramError(f"{b.name}: {name}: its limit {limit} is not on the grid of 8 bits.")
    return limit >> shift
