# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which of a Program's values become int8 tensors, on which 256 levels, and which have no equal.

A sum that only a rounding reads is no tensor of its own: the kernel that makes it rounds it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import Offence
from edgeinfer.graph.functions import evaluate
from edgeinfer.graph.nodes import Function, Shape
from edgeinfer.graph.windows import same_pads
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.ops import PoolKind, inputs_of
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8.grid import LEVELS, Window, by_channel, window_for
from quantization.fixed import Overflow, Quantizer, requantize
from quantization.ranges import Interval

LOGISTIC = Window(8, 0)  # what the int8 kernels of sigmoid, softmax and tanh yield
TANH = Window(7, -LEVELS // 2)
FUNCTIONS = {Function.SIGMOID: LOGISTIC, Function.TANH: TANH, Function.SWISH: LOGISTIC}
TABLE_ERROR = 2.0**-7  # by which a table may miss the function that the chip has
MEAN_ERROR = 2.0**-10  # by which a fixed-point 1/n may miss the mean's own
Levels = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The plan of a Program's tensors."""

    program: Program
    windows: Mapping[str, Window]  # of the stored values
    fused: frozenset[str]  # values that are no tensors
    lows: Mapping[str, int]  # the lowest level, where it has to be enforced
    functions: Mapping[str, Function]  # what a table holds
    offences: tuple[Offence, ...]

    def reader(self, value: str) -> ops.Op:
        """The only op that reads a fused value."""
        return next(op for op in self.program.ops if value in inputs_of(op))

    def final(self, value: str) -> str:
        """The stored value that a fused one becomes."""
        readers = {x: op.name for op in self.program.ops for x in inputs_of(op)}
        while value in self.fused:
            value = readers[value]
        return value


def plan_storage(program: Program) -> Storage:
    """Find a tensor for every value of a Program, or say why there is none."""
    walk = _Walk(program)
    for op in program.ops:
        walk.visit(op)
    return Storage(
        program,
        walk.windows,
        frozenset(walk.fused),
        walk.lows,
        walk.functions,
        tuple(walk.offences),
    )


class _Walk:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.bounds: dict[str, Interval] = bounds_of(program)
        self.leaving = {output.value for output in program.outputs}
        self.readers: dict[str, list[ops.Op]] = {op.name: [] for op in program.ops}
        for op in program.ops:
            for x in inputs_of(op):
                self.readers[x].append(op)
        self.windows: dict[str, Window] = {}
        self.lows: dict[str, int] = {}
        self.fused: set[str] = set()
        self.functions: dict[str, Function] = {}
        self.offences: list[Offence] = []
        self.levels: dict[str, Levels] = {}

    def refuse(self, op: ops.Op, reason: str) -> None:
        """Note what has no equal."""
        self.offences.append(Offence(op.name, type(op).__name__, reason))

    def visit(self, op: ops.Op) -> None:
        """One op: the levels of its value, whether it is a tensor, and what is wrong with it."""
        self.levels[op.name] = self._levels(op)
        self._check(op)
        if self._is_fused(op):
            self.fused.add(op.name)
            return
        window = self._window(op)
        if window is None:
            low, high = self.levels[op.name]
            self.refuse(
                op,
                f"a value of {high - low + 1:,} levels from {low} to {high} must be stored; int8 "
                f"has {LEVELS}, zero among them",
            )
            window = Window(op.type.frac, -LEVELS // 2)
        self.windows[op.name] = window
        low = self.levels[op.name][0]
        if low > window.low and self._lowest(op) < low:
            self.lows[op.name] = low

    def _is_fused(self, op: ops.Op) -> bool:
        if op.name in self.leaving or len(self.readers[op.name]) != 1:
            return False
        reader = self.readers[op.name][0]
        match op:
            case Accumulates() | ops.Pair() | ops.PRelu() | ops.Scale():
                return isinstance(reader, ops.Requant | ops.Clip)
            case ops.Pool():
                return op.kind is PoolKind.SUM and isinstance(reader, ops.Scale)
            case ops.Requant():
                return isinstance(reader, ops.Clip)
            case ops.Clip():
                rounds_again = isinstance(reader, ops.Requant) and self._is_rounded(op)
                limits = isinstance(reader, ops.Requant | ops.Clip)
                return limits and op.x in self.fused and not rounds_again
            case _:  # the other ops are kernels of their own
                return False

    def _is_rounded(self, op: ops.Op) -> bool:
        """Whether a value without a tensor was rounded on the way: a kernel rounds only once."""
        while isinstance(op, ops.Clip) and op.x in self.fused:
            op = self.program[op.x]
        return isinstance(op, ops.Requant)

    def _lowest(self, op: ops.Op) -> int:
        """The lowest level that the sum behind a value may have, by proof and without limits."""
        source = op
        while isinstance(source, ops.Requant | ops.Clip) and source.x in self.fused:
            source = self.program[source.x]
        if isinstance(source, ops.Requant | ops.Clip):
            source = self.program[source.x]
        bottom = self.bounds[source.name].bottom
        shift = op.type.frac - source.type.frac
        if shift >= 0:
            return bottom << shift
        # A ReLU costs nothing, so that it is there even where only a tie could fall below zero.
        half = 0 if self.levels[op.name][0] == 0 else 1 << -shift >> 1
        return (bottom + half) >> -shift

    def _levels(self, op: ops.Op) -> Levels:
        """The raw integers that a value may have: by its type where that has 8 bits, by proof where
        it is wider, and by every limit on the way."""
        low, high = op.type.raw_min, op.type.raw_max
        proved = self.bounds[op.name]
        if op.type.bits > 8:
            low, high = max(low, proved.bottom), min(high, proved.top)
        match op:
            case ops.Clip():
                before = self.levels[op.x]
                low, high = max(low, before[0]), min(high, before[1])
                low = low if op.low is None else max(low, op.low)
                high = high if op.high is None else min(high, op.high)
            case ops.Requant():
                if op.overflow is Overflow.SAT_SYM and op.type.signed:
                    low = -high
                source = self.program[op.x]
                if isinstance(source, ops.Clip) and op.overflow is not Overflow.WRAP:
                    ends = np.asarray(self.levels[op.x])
                    quantizer = op.quantizer
                    bottom, top = requantize(ends, source.type.frac, quantizer).tolist()
                    low = max(low, min(bottom, 0))
                    high = min(high, max(top, 0))
            case _:  # the type alone limits the others
                pass
        return min(low, 0), max(high, 0)

    def _window(self, op: ops.Op) -> Window | None:
        match op:
            case ops.Moves():
                return self.windows[op.x]
            case ops.Pool() if op.kind is PoolKind.MAX:
                return self.windows[op.x]
            case ops.Concat():
                windows = [self.windows[x] for x in op.xs]
                if all(window == windows[0] for window in windows):
                    return windows[0]
                shifts = [op.type.frac - self.program.type(x).frac for x in op.xs]
                low = min(self.levels[x][0] << s for x, s in zip(op.xs, shifts, strict=True))
                high = max(self.levels[x][1] << s for x, s in zip(op.xs, shifts, strict=True))
                self.levels[op.name] = (low, high)
                return window_for(low, high, op.type.frac)
            case ops.Clip() if op.x in self.windows:
                return self.windows[op.x]
            case _:  # the others get levels of their own
                return window_for(*self.levels[op.name], op.type.frac)

    def _check(self, op: ops.Op) -> None:
        """What has no equal among the int8 operators, apart from width."""
        match op:
            case Accumulates():
                self._check_weights(op, op.weight, op.weight_type.frac)
                if isinstance(op, ops.Conv) and not 1 <= len(op.strides) <= 2:
                    self.refuse(op, f"a window of {len(op.strides)} axes")
            case ops.Scale():
                source = self.program[op.x]
                if isinstance(source, ops.Pool) and source.kind is PoolKind.SUM:
                    if not is_mean(source, op, self.program):
                        self.refuse(op, "a sum over a window that is not a mean")
                else:
                    if any(size != 1 for size in (*op.factor.shape[:-1], *op.bias.shape[:-1])):
                        self.refuse(op, "factors that differ between positions")
                    self._check_weights(op, op.factor.reshape(-1), op.factor_type.frac)
            case ops.Pool() if op.kind is PoolKind.SUM:
                if not self._is_fused(op):
                    self.refuse(op, "a sum over a window that is not a mean")
            case ops.Pool():
                if any(pad != (0, 0) for pad in op.pads) and self.levels[op.x][0] < 0:
                    self._check_pool(op)
            case ops.Requant():
                folds = op.overflow in (Overflow.WRAP, Overflow.SAT_ZERO)
                if folds and not self._inside(op):
                    self.refuse(op, f"{op.overflow} where int8 saturates")
            case ops.PRelu():
                slope = op.slope.astype(np.float64) * 2.0**-op.slope_type.frac
                if slope.size and float(slope.max()) > 1:
                    self.refuse(op, "a slope above 1")
            case ops.Table():
                function = function_of(op, self.program)
                if function is None:
                    self.refuse(op, "a table that is not a sigmoid, tanh or swish")
                else:
                    self.functions[op.name] = function
            case ops.Softmax():
                if op.axis != len(self.program.shapes[op.x]) - 1:
                    self.refuse(op, "a softmax over another axis than the last")
            case ops.Pad():
                if op.value != 0:
                    self.refuse(op, f"padding with {op.value}")
            case ops.Reshape() | ops.Transpose() | ops.Upsample() | ops.Slice():
                pass
            case ops.Scan() | ops.Sites():
                raise AssertionError(op)  # `convert` has written other ops for it, or refused it
            case ops.Moves():
                self.refuse(op, "a move that no int8 operator makes")
            case ops.Input() | ops.Constant() | ops.Clip() | ops.Pair() | ops.Concat():
                pass
            case _:
                assert_never(op)

    def _check_weights(self, op: ops.Op, weight: ops.Weights, frac: int) -> None:
        if by_channel(weight, frac) is None:
            bits = int(np.abs(weight.astype(np.int64)).max(initial=0)).bit_length() + 1
            self.refuse(op, f"weights of {bits} bits; int8 holds 8")

    def _check_pool(self, op: ops.Pool) -> None:
        sizes = self.program.shapes[op.x][:-1]
        if op.pads != same_pads(sizes, op.window, op.strides, (1,) * len(op.window)):
            self.refuse(op, "a maximum over padding of another kind than 'same'")

    def _inside(self, op: ops.Requant) -> bool:
        """Whether a value can be proved not to overflow."""
        source, proved = self.program[op.x], self.bounds[op.x]
        ends = np.asarray([proved.bottom, proved.top])
        wide = Quantizer(op.type, op.rounding, Overflow.SAT)
        inner_ends = requantize(ends, source.type.frac, wide)
        free = np.ldexp(ends.astype(np.float64), op.type.frac - source.type.frac)
        return bool((np.abs(inner_ends - free) <= 1).all())


def is_mean(pool: ops.Pool, scale: ops.Scale, program: Program) -> bool:
    """Whether a factor makes a sum over a window its mean, as an operator can take it."""
    sizes = program.shapes[pool.x][:-1]
    if scale.bias.any():
        return False
    if divides_evenly(pool, scale):
        return True
    same = pool.pads == same_pads(sizes, pool.window, pool.strides, (1,) * len(pool.window))
    return same and _is(scale, count_window_elements(pool, sizes)[..., None])


def divides_evenly(pool: ops.Pool, scale: ops.Scale) -> bool:
    """Whether the mean is over the whole window, what lies in padding counted."""
    return _is(scale, np.asarray(float(np.prod(pool.window))))


def leaves_padding_out(program: Program, scale: ops.Scale) -> bool:
    """Whether a factor makes means of what a window has inside the tensor alone."""
    pool = program[scale.x]
    return isinstance(pool, ops.Pool) and not divides_evenly(pool, scale)


def count_window_elements(pool: ops.Pool, sizes: Shape) -> NDArray[np.float64]:
    """How many elements of the tensor lie under the window, at each position."""
    counts = np.ones((), np.float64)
    for size, width, step, (before, after) in zip(
        sizes, pool.window, pool.strides, pool.pads, strict=True
    ):
        starts = np.arange(0, size + before + after - width + 1, step) - before
        inside = np.minimum(starts + width, size) - np.maximum(starts, 0)
        counts = np.multiply.outer(counts, inside)
    return counts


def _is(scale: ops.Scale, counts: NDArray[np.float64]) -> bool:
    """Whether a factor is one over the counts, as nearly as fixed point holds it."""
    factor = scale.factor.astype(np.float64) * 2.0**-scale.factor_type.frac
    return bool(np.all(np.abs(factor * counts - 1) < MEAN_ERROR))


def function_of(op: ops.Table, program: Program) -> Function | None:
    """The function that a table holds, as far as the chip has it."""
    frac = program.type(op.x).frac
    points = np.ldexp(np.arange(op.entries.size, dtype=np.float64) + op.first, -frac)
    entries = np.ldexp(op.entries.astype(np.float64), -op.type.frac)
    for function in FUNCTIONS:
        exact = np.clip(evaluate(function, (), points), op.type.min, op.type.max)
        if float(np.abs(entries - exact).max(initial=0)) <= TABLE_ERROR + op.type.lsb:
            return function
    return None
