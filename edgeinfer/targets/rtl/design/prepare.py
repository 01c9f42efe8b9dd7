# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as the blocks can make it: constants folded, each softmax in the ops it consists of."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.plain_sites import is_limited, spell_sites
from edgeinfer.ir.program import Program, body_of
from quantization.fixed import Fixed, Overflow, Rounding, fixed_of_range


def prepare_program(program: Program, *, sites: bool = False) -> Program:
    """The same integers under the same names, without a softmax, in bodies of recurrences too.
    `sites`: those of an image stay as they are, for blocks that take tokens."""
    folded = fold_constants(program)
    if not sites:
        folded = _with_sites_of_bits(spell_sites(folded))
    folded = replace(folded, ops=tuple(map(_with_prepared_body, folded.ops)))
    if not any(isinstance(op, ops.Softmax) for op in folded.ops):
        return folded
    builder = ProgramBuilder(folded.name)
    for op in folded.ops:
        if isinstance(op, ops.Softmax):
            _add_softmax(builder, op)
        else:
            builder.add(op)
    return builder.program(folded.outputs)


@functools.lru_cache(maxsize=1)
def prepare_once(program: Program, sparse: str) -> Program:
    """As the blocks can make it; kept, because many designs of one Program are tried."""
    return prepare_program(program, sites=sparse == "tokens")


def _with_prepared_body(op: ops.Op) -> ops.Op:
    return replace(op, body=prepare_program(body_of(op))) if isinstance(op, ops.Scan) else op


def _with_sites_of_bits(program: Program) -> Program:
    """Sites with a limit as the first of those without one, which are bits for the block."""
    if not any(is_limited(op, program) and _sees_numbers(op, program) for op in program.ops):
        return program
    new_ops: list[ops.Op] = []
    for op in program.ops:
        if isinstance(op, ops.Sites) and is_limited(op, program) and _sees_numbers(op, program):
            lit = replace(op, name=f"{op.name}.lit", most=None)
            new_ops += [lit, replace(op, x=lit.name, threshold=0)]
        else:
            new_ops.append(op)
    return spell_sites(replace(program, ops=tuple(new_ops)))


def _sees_numbers(op: ops.Op, program: Program) -> bool:
    """Whether the sites are found by more than bits."""
    return isinstance(op, ops.Sites) and (
        op.threshold != 0 or program.shapes[op.x][-1] != 1 or program.type(op.x).bits != 1
    )


def _add_softmax(builder: ProgramBuilder, op: ops.Softmax) -> None:
    """As the interpreter has it: d = max - x; e = exp[d]; r = inverse[sum of e]; y = e r."""
    shape, type_ = builder.shapes[op.x], builder.types[op.x]
    rank = len(shape)
    order = (*(axis for axis in range(rank) if axis != op.axis), op.axis)
    turned = tuple(shape[axis] for axis in order)
    size = shape[op.axis]
    lines = math.prod(turned[:-1])
    x = op.x
    if order != tuple(range(rank)):
        x = builder.add(ops.Transpose(f"{op.name}.turned", type_, x, order))
    matrix = builder.add(ops.Reshape(f"{op.name}.lines", type_, x, (lines, size)))

    most = _over_lines(builder, f"{op.name}.max", matrix, ops.PoolKind.MAX)
    below = builder.pair(f"{op.name}.below", most, matrix, ops.PairKind.SUB)
    e = _entry(builder, f"{op.name}.exp", below, op.exp, op.exp_type, op.exp_shift)
    total = _over_lines(builder, f"{op.name}.sum", e, ops.PoolKind.SUM)
    name = f"{op.name}.inverse"
    r = _entry(builder, name, total, op.inverse, op.inverse_type, op.inverse_shift)
    product = builder.exact(
        ops.Pair(f"{op.name}.product", provisional(op.exp_type.frac + op.inverse_type.frac), e, r,
             ops.PairKind.MUL)
    )  # fmt: skip

    low = builder.add(ops.Requant(f"{op.name}.rounded", op.type, product, op.rounding, op.overflow))
    if order == tuple(range(rank)):
        builder.add(ops.Reshape(op.name, op.type, low, shape))
        return
    back = builder.add(ops.Reshape(f"{op.name}.shaped", op.type, low, turned))
    inverse = tuple(int(axis) for axis in np.argsort(order))
    builder.add(ops.Transpose(op.name, op.type, back, inverse))


def _over_lines(builder: ProgramBuilder, name: str, x: str, kind: ops.PoolKind) -> str:
    """The maximum or the sum of each line, as a column."""
    lines, size = builder.shapes[x]
    flat: ops.Shape = (lines * size, 1)
    column = builder.add(ops.Reshape(f"{name}.flat", builder.types[x], x, flat))
    pool = ops.Pool(name, provisional(builder.frac(x)), column, kind, (size,), (size,), ((0, 0),))
    return builder.exact(pool)


def _entry(
    builder: ProgramBuilder, name: str, x: str, entries: ops.Weights, type_: Fixed, shift: int
) -> str:
    """entries[min(x >> shift, last)]; x is not negative, whatever its range says."""
    frac = builder.frac(x) - shift
    top = max(builder.ranges[x].top >> shift, 1)
    index = ops.Requant(
        f"{name}.index", fixed_of_range(0, top, frac), x, Rounding.TRN, Overflow.SAT
    )
    clipped = builder.clip(f"{name}.last", builder.add(index), None, entries.size - 1)
    return builder.add(ops.Table(name, type_, clipped, 0, entries))
