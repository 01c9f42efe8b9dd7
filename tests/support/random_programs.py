# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random Programs that obey every law, and inputs that reach the ends of their types.

A seed makes a Program and nothing else does, so that a failure is named by one number. Every op is
drawn; what a law forbids (a range beyond 63 bits, a window that does not fit) is simply not taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgeinfer.errors import ProgramError
from edgeinfer.ir.builder import Builder, provisional
from edgeinfer.ir.ops import (
    Clip,
    Concat,
    Constant,
    Conv,
    Dense,
    Input,
    Pad,
    Pair,
    PairKind,
    Pool,
    PoolKind,
    PRelu,
    Requant,
    Reshape,
    Scale,
    Shape,
    Slice,
    Softmax,
    Table,
    Transpose,
    Upsample,
    packed,
)
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Ints, Overflow, Rounding

LARGEST_VALUE = 400  # elements of a value
LARGEST_TABLE = 512  # entries


def random_program(seed: int, *, max_ops: int = 9, widths: tuple[int, int] = (1, 24)) -> Program:
    """A Program of up to `max_ops` ops besides its inputs, weights and values of these widths."""
    draw = _Draw(np.random.default_rng(seed), widths, Builder(f"random{seed}"))
    for _ in range(draw.between(1, 2)):
        draw.add_input()
    for _ in range(draw.between(1, max_ops)):
        draw.add_op()
    return draw.program()


def random_inputs(program: Program, seed: int, batch: int) -> dict[str, Ints]:
    """Raw inputs: all at the top, all at the bottom, ends mixed at random, and anything between."""
    rng = np.random.default_rng(seed)
    found: dict[str, Ints] = {}
    for op in program.inputs:
        low, high = op.type.raw_min, op.type.raw_max
        raw = rng.integers(low, high, (batch, *op.shape), dtype=np.int64, endpoint=True)
        ends = rng.choice(np.array([low, high, 0], dtype=np.int64), raw.shape)
        raw = np.where(rng.random((batch, *[1] * len(op.shape))) < 0.3, ends, raw)
        small = np.clip(rng.integers(-3, 4, raw.shape), low, high)
        raw = np.where(rng.random((batch, *[1] * len(op.shape))) < 0.2, small, raw)
        raw[:1], raw[1:2] = high, low
        found[op.name] = raw
    return found


@dataclass(slots=True)
class _Draw:
    rng: np.random.Generator
    widths: tuple[int, int]
    builder: Builder
    inputs: list[str] = field(default_factory=list)

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of[T](self, items: list[T]) -> T:
        return items[self.between(0, len(items) - 1)]
