# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which values of a Program a float32 framework computes exactly, and how far off the others are.

Meant is a framework, such as QKeras, that computes the same network in float32: products and sums
in whatever order, then straight-through rounding x + (q - x). Sums are exact in every order while
all partial sums stay within 2^24 steps of the finest grid involved. Where they do not, errors are
bounded by the standard model (each operation is off by at most 2^-24 of its result) and carried
on: a value that is off may be rounded to the neighbouring step.
Not meant are convolutions by transforms (Winograd, FFT), whose intermediates lie on no grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir import ops
from edgeinfer.ir.bounds import reach_of_sums, wide
from edgeinfer.ir.float32_rounding import (
    COUNTED,
    INFLATION,
    UNIT,
    RoundingError,
    clip_error,
    gamma,
    requant_error,
    table_error,
)
from edgeinfer.ir.program import Program, body_of, inputs_given, states_of
from edgeinfer.ir.verify import verify
from quantization.fixed import Ints
from quantization.ranges import Interval

SMALLEST_EXPONENT, LARGEST_EXPONENT = -126, 127  # of normal float32 numbers
AVERAGE_SLACK = 2.0**-17  # how far a fixed-point 1/n may lie from 1/n, of 1/n


@dataclass(frozen=True, slots=True)
class Float32Entry:
    """What a float32 framework makes of one value."""

    value: str
    exact: bool
    bound_value: float  # largest absolute error, in the value's own unit
    bound_steps: float  # the same in steps of the value's grid
    reason: str  # why it is not exact; empty where it is


def float32_report(program: Program) -> tuple[Float32Entry, ...]:
    """One entry for every value, in the Program's order."""
    walk = _Walk(program, verify(program), {})
    walk.run({})
    entries = []
    for op in program.ops:
        error = walk.errors[op.name]
        steps = math.ldexp(error.size, op.type.frac)
        entries.append(Float32Entry(op.name, error.size == 0.0, error.size, steps, error.reason))
    return tuple(entries)


@dataclass(frozen=True, slots=True)
class _Walk:
    """One pass over the Program: the error of each value so far."""

    program: Program
    ranges: Mapping[str, Interval]
    errors: dict[str, RoundingError]

    def run(self, start_errors: Mapping[str, RoundingError]) -> None:
        """The errors of all values, where some inputs have errors of their own."""
        for op in self.program.ops:
            self.errors[op.name] = start_errors.get(op.name) or self.error_of(op)

    def error_of(self, op: ops.Op) -> RoundingError:
        """The error of an op's value, in its unit, counting what its rounded copy may be off by."""
        infinite = [x for x in ops.inputs_of(op) if math.isinf(self.errors[x].size)]
        if infinite:
            return RoundingError(math.inf, f"it reads %{infinite[0]}, about which nothing is known")
        size, reason = self._raw_error(op)
        lsb, top = op.type.lsb, self._magnitude(op.name)
        if top and not (-op.type.frac >= SMALLEST_EXPONENT and top < 2.0**LARGEST_EXPONENT):
            return RoundingError(math.inf, "it is beyond the exponents of a float32")
        if size >= lsb / 2:  # a rounding to this very grid is no op here, but one in the framework
            size += lsb / 2
        return RoundingError(size * INFLATION, reason if size else "")

    def _raw_error(self, op: ops.Op) -> RoundingError:
        match op:
            case ops.Input() | ops.Constant():
                return self._held(op)
            case ops.Conv() | ops.Dense():
                return self._linear(op)
            case ops.Scale():
                return self._scale(op)
            case ops.Requant():
                x, error = self.ranges[op.x], self._of(op)
                return requant_error(op, x, self.program.type(op.x), error)
            case ops.Clip():
                return clip_error(op, self._magnitude(op.x), self._of(op))
            case ops.PRelu():
                return self._prelu(op)
            case ops.Table():
                return table_error(op, self.program[op.x], self.ranges, self._of(op))
            case ops.Softmax():
                reason = "its tables are integers; a framework's exponentials are not"
                return RoundingError(op.type.max - op.type.min, reason)
            case ops.Pool():
                return self._pool(op)
            case ops.Sites():
                return self._sites(op)
            case ops.Pair():
                return self._pair(op)
            case ops.Scan():
                return self._scan(op)
            case ops.Concat() | ops.Moves():
                return self._of(op)
            case _:
                assert_never(op)

    def _scan(self, op: ops.Scan) -> RoundingError:
        """Step by step: what a state is off by goes into the next step."""
        body, worst = body_of(op), RoundingError(0.0, "")
        body_errors = {one.name: self.errors[x] for x, one in inputs_given(op)}
        ranges = verify(body)
        for _ in range(self.program.shapes[op.xs[0]][0]):
            walk = _Walk(body, ranges, {})
            walk.run({name: error for name, error in body_errors.items() if error.size})
            scan_error = walk.errors[body.outputs[0].value]
            worst = max(worst, scan_error, key=_size)
            after = {state.name: walk.errors[value] for value, state in states_of(op)}
            if all(after[name].size <= body_errors[name].size for name in after):
                break  # every later step is like this one
            body_errors |= {name: max(body_errors[name], after[name], key=_size) for name in after}
        return worst

    def _of(self, op: ops.Op) -> RoundingError:
        """The largest error among what an op reads."""
        worst = max(ops.inputs_of(op), key=lambda x: self.errors[x].size)
        size = self.errors[worst].size
        return RoundingError(size, f"it reads %{worst}, which is inexact" if size else "")

    def _magnitude(self, name: str) -> float:
        """Largest absolute value, in its unit."""
        return math.ldexp(float(self.ranges[name].magnitude.max()), -self.program.type(name).frac)

    def _held(self, op: ops.Input | ops.Constant) -> RoundingError:
        reach = float(self.ranges[op.name].magnitude.max())
        if reach <= COUNTED:
            return RoundingError(0.0, "")
        return RoundingError(self._magnitude(op.name) * UNIT, _too_far("its values", reach))

    def _linear(self, op: ops.Conv | ops.Dense) -> RoundingError:
        frac, x, shape = self.program.type(op.x).frac, self.ranges[op.x], self.program.shapes[op.x]
        shift = op.shift(frac)
        weight, bias = wide(op.weight), wide(op.bias)
        channels = weight.reshape(-1, weight.shape[-1])
        coarse = _lowest_bits(channels)
        steps = np.minimum(coarse * 2.0**shift, _lowest_bits(bias[None]))
        steps = np.where(np.isinf(steps), 1.0, steps)
        bare = replace(op, weight=weight // np.where(np.isinf(coarse), 1, coarse).astype(np.int64))
        finer = np.where(np.isinf(coarse), 0.0, coarse * 2.0**shift / steps).max()
        reach = float(_reach_either_way(bare, x, shape)) * float(finer)
        reach += float((np.abs(bias) / steps).max())
        error = self._of(op)
        if not error.size and reach <= COUNTED:
            return error
        one = Interval(np.asarray(-1), np.asarray(1))
        total = math.ldexp(float(reach_of_sums(op, one, shape)), -op.weight_type.frac)
        size = total * error.size
        whole = math.ldexp(float(reach_of_sums(op, x, shape)), -frac - op.weight_type.frac)
        whole += size + math.ldexp(float(np.abs(bias).max()), -op.type.frac)
        size += gamma(channels.shape[0] + 2) * whole
        return RoundingError(size, error.reason or _too_far("partial sums", reach))

    def _scale(self, op: ops.Scale) -> RoundingError:
        frac = self.program.type(op.x).frac
        shift = op.shift(frac)
        factor, bias = np.broadcast_arrays(wide(op.factor), wide(op.bias))
        steps = np.minimum(_lowest_bits(factor[None]) * 2.0**shift, _lowest_bits(bias[None]))
        magnitude = self.ranges[op.x].magnitude.astype(np.float64)
        product = magnitude * np.ldexp(np.abs(factor).astype(np.float64), shift)
        reach = float(((product + np.abs(bias)) / steps).max())
        error, gap = self._of(op), self._average_gap(op)
        if not error.size and not gap and reach <= COUNTED:
            return error
        largest = math.ldexp(float(np.abs(factor).max()), -op.factor_type.frac)
        size = largest * error.size + gap
        whole = math.ldexp(float((product + np.abs(bias)).max()), -op.type.frac) + size
        reason = error.reason or (
            "a framework divides where the integers multiply by a rounded 1/n"
            if gap
            else _too_far("products", reach)
        )
        return RoundingError(size + gamma(4) * whole, reason)

    def _average_gap(self, op: ops.Scale) -> float:
        """What a division by n differs from the multiplication that stands for it."""
        if not isinstance(self.program[op.x], ops.Pool | ops.Pair) or wide(op.bias).any():
            return 0.0
        factor = np.ldexp(wide(op.factor).astype(np.float64), -op.factor_type.frac)
        if (factor <= 0).any():
            return 0.0
        inverse = 1.0 / np.rint(1.0 / factor) if (factor <= 1).all() else factor
        gap = np.abs(inverse - factor)
        if (gap > AVERAGE_SLACK * factor).any():
            return 0.0  # no average: a scale of its own
        return float(gap.max()) * self._magnitude(op.x)

    def _prelu(self, op: ops.PRelu) -> RoundingError:
        slope = np.abs(wide(op.slope)) / _lowest_bits(wide(op.slope)[None])
        reach = float((self.ranges[op.x].magnitude * slope).max())
        error = self._of(op)
        if not error.size and reach <= COUNTED:
            return error
        largest = math.ldexp(float(np.abs(wide(op.slope)).max()), -op.slope_type.frac)
        size = max(1.0, largest) * error.size
        size += UNIT * (self._magnitude(op.name) + size)
        return RoundingError(size, error.reason or _too_far("products", reach))

    def _pool(self, op: ops.Pool) -> RoundingError:
        error, count = self._of(op), math.prod(op.window)
        match op.kind:
            case ops.PoolKind.MAX:
                return error
            case ops.PoolKind.SUM:
                reach = count * float(self.ranges[op.x].magnitude.max())
                if not error.size and reach <= COUNTED:
                    return error
                whole = count * (self._magnitude(op.x) + error.size)
                size = count * error.size + gamma(count + 1) * whole
                return RoundingError(size, error.reason or _too_far("sums", reach))
            case _:
                assert_never(op.kind)

    def _sites(self, op: ops.Sites) -> RoundingError:
        error = self._of(op)
        if not error.size:
            return error
        return RoundingError(1.0, f"{error.reason}, and may lie on the other side of a threshold")

    def _pair(self, op: ops.Pair) -> RoundingError:
        a, b = self.errors[op.a].size, self.errors[op.b].size
        error = self._of(op)
        reach = float(self.ranges[op.name].magnitude.max())
        match op.kind:
            case ops.PairKind.MAX | ops.PairKind.MIN:
                return error
            case ops.PairKind.ADD | ops.PairKind.SUB:
                size, what = a + b, "sums"
            case ops.PairKind.MUL:
                size, what = (
                    self._magnitude(op.a) * b + self._magnitude(op.b) * a + a * b,
                    "products",
                )
            case _:
                assert_never(op.kind)
        if not size and reach <= COUNTED:
            return error
        size += UNIT * (self._magnitude(op.name) + size)
        return RoundingError(size, error.reason or _too_far(what, reach))


def _size(error: RoundingError) -> float:
    return error.size


def _reach_either_way(op: ops.Conv | ops.Dense, x: Interval, shape: ops.Shape) -> int:
    """As `reach_of_sums`, knowing that a partial sum takes from its positive products or from its
    negative ones, and at most all of either."""
    weight = wide(op.weight)
    positive = replace(op, weight=np.maximum(weight, 0))
    negative = replace(op, weight=np.maximum(-weight, 0))
    above, below = np.maximum(x.high, 0), np.maximum(-x.low, 0)
    up, down = Interval(np.minimum(above, 0), above), Interval(np.minimum(below, 0), below)

    def both(one: Interval, other: Interval) -> int:
        return reach_of_sums(positive, one, shape) + reach_of_sums(negative, other, shape)

    return min(max(both(up, down), both(down, up)), reach_of_sums(op, x, shape))


def _lowest_bits(columns: Ints) -> NDArray[np.float64]:
    """The largest power of two that divides every integer of a column; infinity if all are 0."""
    merged = np.bitwise_or.reduce(columns, axis=0)
    lowest: NDArray[np.float64] = np.where(merged == 0, np.inf, (merged & -merged).astype(float))
    return lowest


def _too_far(what: str, reach: float) -> str:
    return f"{what} reach 2^{math.log2(reach):.1f} steps, and a float32 counts to 2^24"
