# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Wide values that int8 operators must read or yield as tensors though the Program rounds them
later or never, as in detectors: what is only moved or joined before it leaves the network or enters
a softmax, and what a leaky ReLU reads.

Such a value gets the 8-bit type that misses the samples least. That rounding climbs to where values
are made (`narrowing`), and replaces a rounding there that loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.passes import drop_dead, rewire_op
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8.grid import LEVELS
from edgeinfer.targets.edgetpu.int8.output_levels import nearest_type
from quantization.fixed import Ints, Overflow, Rounding, fixed_of_range

HALF: Final = LEVELS // 2  # one more than the highest of levels around zero
FINEST_SLOPE: Final = 15
Sight = Callable[[Program, Collection[str]], Mapping[str, Ints]]


def only_moves(op: ops.Op) -> bool:
    """Whether an op only moves data or takes a maximum."""
    match op:
        case ops.Moves():
            return not op.may_fill
        case ops.Concat():
            return True
        case ops.Pool():
            return op.kind is ops.PoolKind.MAX
        case _:  # all the rest compute new values
            return False


def hold_tensors(program: Program, see: Sight) -> tuple[Program, list[str]]:
    """Moved values of more than 8 bits that leave or enter a softmax, and those that a leaky ReLU
    reads, rounded to 8 bits; `see` gives values of the Program as samples show them."""
    wide_names = {output.value for output in program.outputs}
    wide_names |= {op.x for op in program.ops if isinstance(op, ops.Softmax)}
    wide_names = {name for name in wide_names if only_moves(program[name])}
    wide_names |= {op.x for op in program.ops if isinstance(op, ops.PRelu)}
    wide = {name for name in wide_names if program.type(name).bits > 8}
    if not wide:
        return program, []
    values, new_ops, findings = see(program, wide), [], []
    for op in program.ops:
        new_ops.append(op)
        if op.name in wide:
            type_ = nearest_type(values[op.name], op.type.frac)
            tensor_name = f"{op.name}.int8"
            new_ops.append(ops.Requant(tensor_name, type_, op.name, Rounding.RND, Overflow.SAT))
            findings.append(
                f"{op.name} of {op.type.bits} bits is held in steps of {type_.lsb:g}, from "
                f"{type_.min:g} to {type_.max:g}: what changes least on the samples."
            )
    renamed = {name: f"{name}.int8" for name in wide}
    rewired = [
        rewire_op(op, renamed) if isinstance(op, ops.Softmax | ops.PRelu) else op for op in new_ops
    ]
    outputs = tuple(replace(o, value=renamed.get(o.value, o.value)) for o in program.outputs)
    return Program(program.name, tuple(rewired), outputs), findings


def hold_slopes(program: Program) -> Program:
    """Slopes of leaky ReLUs as 256 levels hold them, the finest that hold the steepest."""
    new_ops: list[ops.Op] = []
    for op in program.ops:
        if isinstance(op, ops.PRelu) and op.slope.size:
            exact = np.ldexp(op.slope.astype(np.float64), -op.slope_type.frac)
            frac = 0
            while frac < FINEST_SLOPE and np.abs(np.rint(np.ldexp(exact, frac + 1))).max() < HALF:
                frac += 1
            slopes = np.rint(np.ldexp(exact, frac)).astype(np.int64)
            type_ = fixed_of_range(min(int(slopes.min()), 0), max(int(slopes.max()), 0), frac)
            op = replace(op, slope=ops.pack_weights(slopes), slope_type=type_)
        new_ops.append(op)
    return replace(program, ops=tuple(new_ops))


def skip_exact_roundings(program: Program) -> Program:
    """Roundings read what another rounding has read, where that one lost nothing."""
    new_ops: dict[str, ops.Op] = {}
    for op in program.ops:
        before = new_ops.get(op.x) if isinstance(op, ops.Requant) else None
        if isinstance(op, ops.Requant) and isinstance(before, ops.Requant):
            x = program.type(before.x)
            low, high = x.min >= before.type.min, x.max <= before.type.max
            if x.frac <= before.type.frac and low and high:
                op = replace(op, x=before.x)
        new_ops[op.name] = op
    return drop_dead(Program(program.name, tuple(new_ops.values()), program.outputs))
