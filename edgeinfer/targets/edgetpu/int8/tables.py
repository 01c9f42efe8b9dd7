# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program's tables as the int8 kernels have them: 256 entries, each the function's own nearest
level.

Both sets of kernels compute sigmoid and tanh to the nearest of their 256 levels, so a table that
holds such a function is replaced by these levels, and what comes after rounds them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from edgeinfer.base.errors import Offence
from edgeinfer.graph.functions import evaluate
from edgeinfer.graph.nodes import Function
from edgeinfer.ir.builder import provisional
from edgeinfer.ir.ops import Clip, Op, Pair, PairKind, Requant, Softmax, Table, pack_weights
from edgeinfer.ir.passes import drop_dead
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8.grid import LEVELS
from edgeinfer.targets.edgetpu.int8.storage import function_of
from quantization.fixed import Fixed, Overflow, Rounding, fixed_of_range

FLAT_FRAC: Final = 4  # beyond +-8, where sigmoid and tanh are flat, a finer index is worth more
KERNEL_TYPES: Final = {Function.SIGMOID: Fixed(False, 8, 0), Function.TANH: Fixed(True, 8, 1)}


def plain_indices(program: Program) -> Program:
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


def tables_cut_off(program: Program) -> tuple[Offence, ...]:
    """Tables at whole numbers that hold something else beyond the 256 that int8 levels reach: those
    of networks of tables, in which one entry says nothing about the next."""
    offences = []
    for op in program.ops:
        if not isinstance(op, Table) or program.type(op.x).frac > 0 or op.entries.size <= LEVELS:
            continue
        places = np.arange(op.entries.size) + op.first
        low = max(min(op.first, 0), -LEVELS // 2)
        reached = np.clip(np.clip(places, low, low + LEVELS - 1), places[0], places[-1])
        if (op.entries != op.entries[reached - op.first]).any():
            reason = (
                f"it has {op.entries.size:,} entries at whole numbers, and an int8 index reaches "
                f"{LEVELS} of them. Use RTL or HLS"
            )
            offences.append(Offence(op.name, "Table", reason))
    return tuple(offences)


def read_fewer_entries(program: Program) -> tuple[Program, list[str]]:
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


def hold_kernel_tables(program: Program) -> Program:
    """Tables of functions that int8 kernels have, as the kernels hold them: a swish is a product
    with a sigmoid. A softmax leaves on the levels of a sigmoid."""
    ops: list[Op] = []
    for op in program.ops:
        if isinstance(op, Softmax) and op.type.bits > 8:
            ops.append(replace(op, type=KERNEL_TYPES[Function.SIGMOID], overflow=Overflow.SAT))
            continue
        function = function_of(op, program) if isinstance(op, Table) else None
        if not isinstance(op, Table) or function is None or program.type(op.x).bits > 8:
            ops.append(op)
            continue
        swish = function is Function.SWISH
        function_of_table = Function.SIGMOID if swish else function
        type_, x = KERNEL_TYPES[function_of_table], program.type(op.x)
        places = np.ldexp(np.arange(op.entries.size, dtype=np.float64) + op.first, -x.frac)
        nearest = np.rint(np.ldexp(evaluate(function_of_table, (), places), type_.frac))
        entries = np.clip(nearest, type_.raw_min, type_.raw_max).astype(np.int64)
        name = f"{op.name}.kernel"
        ops.append(Table(name, type_, op.x, op.first, pack_weights(entries)))
        if swish:
            grid = provisional(x.frac + type_.frac)
            ops.append(Pair(f"{op.name}.product", grid, op.x, name, PairKind.MUL))
            name = f"{op.name}.product"
        ops.append(Requant(op.name, op.type, name, Rounding.RND, Overflow.SAT))
    return replace(program, ops=tuple(ops))
