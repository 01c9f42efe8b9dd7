# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Roundings of a Program replaced by those that every int8 kernel can be made to have.

Which ones a kernel has depends on what is rounded: a layer's sums, which `rounding` explains; a
stored value, which a layer of twos brings to another grid; an element-wise sum or maximum,
which XNNPACK rounds half up; a product, whose ties it sends to even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8.rounding import FLOORS, kernel_rounding
from edgeinfer.targets.edgetpu.int8.sums import can_double, floor_bias
from quantization.fixed import Rounding


def settle_roundings(program: Program) -> tuple[Program, list[str]]:
    """The Program with roundings that the kernels have, and which were replaced by which."""
    replaced: Counter[tuple[Rounding, Rounding]] = Counter()
    new_ops = {op.name: op for op in program.ops}
    for op in program.ops:
        if not isinstance(op, ops.Requant) or program.type(op.x).frac <= op.type.frac:
            continue
        source = source_of(program, op)
        rounding = rounding_of(program, op, source)
        if rounding is op.rounding:
            continue
        new_ops[op.name] = replace(op, rounding=rounding)
        if _is_cut(program, op, source, rounding) and isinstance(source, Accumulates | ops.Scale):
            added = floor_bias(source, program.type(source.x).frac, source.type.frac - op.type.frac)
            bias = source.bias.astype(np.int64) + added.reshape(source.bias.shape)
            new_ops[source.name] = replace(source, bias=ops.pack_weights(bias))
        if op.type.signed or op.rounding is Rounding.RND_CONV:  # others are equal above zero
            replaced[op.rounding, rounding] += 1
    settled = Program(program.name, tuple(new_ops.values()), program.outputs)
    return settled, list(_findings(replaced))


def source_of(program: Program, op: ops.Requant) -> ops.Op:
    """What makes the value that is rounded."""
    source = program[op.x]
    while isinstance(source, ops.Clip):
        source = program[source.x]
    return source


def rounding_of(program: Program, op: ops.Requant, source: ops.Op) -> Rounding:
    """The nearest rounding that the kernels can be made to have for a value of such a source."""
    match source:
        case ops.Scale() if isinstance(program[source.x], ops.Pool):
            shared = np.unique(source.factor)
            power = shared.size == 1 and int(shared[0]).bit_count() == 1
            return _doubled_rounding(op) if power else Rounding.RND_CONV
        case Accumulates() | ops.Scale():
            doubled = can_double(source, program.type(source.x).frac)
            return kernel_rounding(op.rounding, signed=op.type.signed, doubled=doubled)
        case ops.Pair() if source.kind is not ops.PairKind.MUL:
            return Rounding.RND
        case ops.Pair() | ops.PRelu():
            return Rounding.RND_CONV
        case _:  # whatever is stored as it is, a layer of twos brings to another grid
            return _doubled_rounding(op)


def _doubled_rounding(op: ops.Requant) -> Rounding:
    return kernel_rounding(op.rounding, signed=op.type.signed, doubled=True)


def _is_cut(program: Program, op: ops.Requant, source: ops.Op, rounding: Rounding) -> bool:
    """Whether a layer's bias can make a floor out of rounding to nearest."""
    alone = sum(op.x in ops.inputs_of(other) for other in program.ops) == 1
    leaves = any(output.value == op.x for output in program.outputs)
    near = rounding is Rounding.RND_INF and op.rounding is Rounding.TRN
    return near and alone and not leaves and source.name == op.x


def _findings(replaced: Counter[tuple[Rounding, Rounding]]) -> Iterator[str]:
    even = sum(count for (before, _), count in replaced.items() if before is Rounding.RND_CONV)
    if even:
        yield f"{even} roundings do not send ties to even: int8 kernels send them to one side."
    for (before, after), count in replaced.items():
        if before is Rounding.RND_CONV:
            continue
        how = "cut off" if before in FLOORS else f"round as {before}"
        yield f"{count} roundings that {how} became {after}, which the int8 kernels have."
