# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Roundings to the nearest as floors: what they add first goes into the sum before them.

round(x) = floor((x + half) / 2^shift), and a sum of products has a constant anyway. So the rounding
costs nothing, where that sum has no other reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.recurrence import count_readers
from quantization.fixed import MAX_BITS, Ints, Rounding


def fold_halves(program: Program) -> tuple[Program, frozenset[str]]:
    """The same outputs with fewer roundings, and the values that are no longer what they were."""
    search = _Search(program, count_readers(program))
    ranges = bounds_of(program)
    floors: set[str] = set()
    for op in program.ops:
        if not isinstance(op, ops.Requant):
            continue
        shift = program.type(op.x).frac - op.type.frac
        added = _find_addend(op.rounding, shift, is_positive=ranges[op.x].bottom >= 0)
        if added is None:
            continue
        offset = np.full(program.shapes[op.x], added, np.int64)
        if search.raise_value(op.x, offset):
            floors.add(op.name)
    if not floors:
        return program, frozenset()
    builder = ProgramBuilder(program.name)
    for op in program.ops:
        if op.name in search.raised:
            builder.exact(replace(search.raised[op.name], type=provisional(op.type.frac)))
        elif op.name in floors:
            assert isinstance(op, ops.Requant)
            builder.add(replace(op, rounding=Rounding.TRN))
        else:
            builder.add(op)
    return builder.program(program.outputs), frozenset(search.raised)


def _find_addend(rounding: Rounding, shift: int, *, is_positive: bool) -> int | None:
    """What is added before the floor, or None where it depends on the number."""
    if not 0 < shift < MAX_BITS:
        return None
    half = 1 << (shift - 1)
    match rounding:
        case Rounding.RND:
            return half
        case Rounding.RND_MIN_INF:
            return half - 1
        case Rounding.RND_INF:
            return half if is_positive else None
        case Rounding.RND_ZERO:
            return half - 1 if is_positive else None
        case _:  # ties to even look at the number, and the others are floors or have no half
            return None


@dataclass(slots=True)
class _Search:
    """The ops that change so that values are larger by an offset."""

    program: Program
    readers: Mapping[str, int]
    raised: dict[str, ops.Op] = field(default_factory=dict)

    def raise_value(self, name: str, offset: Ints) -> bool:
        """Make a value larger by an offset for each element, if a sum before it can take it up."""
        op = self.program[name]
        if self.readers[name] != 1 or op.type.bits > MAX_BITS - 2:
            return False
        match op:
            case Accumulates():
                channels = offset.reshape(-1, offset.shape[-1])
                if (channels != channels[0]).any():
                    return False
                bias = ops.pack_weights(op.bias.astype(np.int64) + channels[0])
                self.raised[name] = replace(op, bias=bias)
                return True
            case ops.Scale():
                return self._raise_scaled(op, offset)
            case ops.Clip():
                # What is below zero becomes zero, and the offset alone is dropped by the floor.
                if op.low not in (None, 0) or op.high is not None:
                    return False
                before = offset
            case ops.Reshape():
                before = offset.reshape(self.program.shapes[op.x])
            case ops.Transpose():
                before = offset.transpose(np.argsort(op.order))
            case ops.Pool(kind=ops.PoolKind.MAX):
                channels = offset.reshape(-1, offset.shape[-1])
                if (channels != channels[0]).any() or any(map(any, op.pads)):
                    return False
                before = np.broadcast_to(channels[0], self.program.shapes[op.x])
            case _:  # every other op has more operands, or no constant that may grow
                return False
        if not self.raise_value(op.x, before):
            return False
        self.raised[name] = op
        return True

    def _raise_scaled(self, op: ops.Scale, offset: Ints) -> bool:
        """Through powers of two: an element without bits stays zero, and of one that moves up, the
        bits below it make no difference to the floor."""
        if op.bias.any():
            self.raised[op.name] = replace(op, bias=ops.pack_weights(op.bias + offset))
            return True
        factor = op.factor.astype(np.int64) << op.shift(self.program.type(op.x).frac)
        if self.program.shapes[op.x] != offset.shape or (factor & (factor - 1)).any():
            return False
        before = np.where(factor > 0, offset // np.maximum(factor, 1), 0)
        if (factor < 0).any() or not self.raise_value(op.x, before):
            return False
        self.raised[op.name] = op
        return True
