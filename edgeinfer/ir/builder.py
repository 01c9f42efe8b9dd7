# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Builds a Program op by op: each exact op gets the narrowest type that its proved range allows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bound_op
from edgeinfer.ir.ops import (
    Clip,
    Constant,
    Input,
    Op,
    Pad,
    Pair,
    PairKind,
    Requant,
    Scale,
    Scan,
    Shape,
    Softmax,
    Table,
    inputs_of,
    pack_weights,
    shape_of,
)
from edgeinfer.ir.program import Output, Program
from quantization.fixed import (
    MAX_BITS,
    Fixed,
    FormatError,
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
    shift_left,
)
from quantization.ranges import LIMIT, Interval, RangeError, shrink_array

ONE = Fixed(False, 1, 1)


def provisional(frac: int) -> Fixed:
    """A stand-in that fixes the grid only, for an op whose width is still to be proved."""
    return Fixed(True, 63, 63 - frac)


@dataclass(slots=True)
class ProgramBuilder:
    """A Program in the making: what is proved so far about each value."""

    name: str
    ops: list[Op] = field(default_factory=list)
    types: dict[str, Fixed] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    ranges: dict[str, Interval] = field(default_factory=dict)

    def add(self, op: Op) -> str:
        """Append an op whose type is given."""
        try:
            self.shapes[op.name] = shape_of(op, self.shapes)
            self.ranges[op.name] = bound_op(op, self.ranges, self.types, self.shapes)
        except RangeError as error:
            raise ProgramError(
                f"{self.name}: {op.name}: {error}",
                hint="Give the tensors before it narrower formats in the recipe.",
            ) from None
        except ValueError as error:
            message = str(error).rstrip(".")
            raise ProgramError(f"{self.name}: {op.name}: {message}.") from None
        self.types[op.name] = op.type
        self.ops.append(op)
        return op.name

    def exact(self, op: Op) -> str:
        """Append an op of a `provisional` type; the proof replaces the width."""
        frac = op.type.frac
        name = self.add(op)
        try:
            type_ = self.ranges[name].type(frac)
        except ValueError as error:
            raise ProgramError(f"{self.name}: {name}: {error}") from None
        self.ops[-1] = replace(op, type=type_)
        self.types[name] = type_
        return name

    def frac(self, x: str) -> int:
        """A value's fractional bits."""
        return self.types[x].frac

    def requant(self, name: str, x: str, quantizer: Quantizer) -> str:
        """Append a requantisation."""
        overflow = quantizer.overflow
        if overflow is Overflow.SAT_SYM and not quantizer.type.signed:
            overflow = Overflow.SAT  # which is the same, and one Program has one name for it
        return self.add(Requant(name, quantizer.type, x, quantizer.rounding, overflow))

    def refine(self, name: str, x: str, frac: int) -> str:
        """The same values on a grid with at least `frac` fractional bits."""
        if self.frac(x) >= frac:
            return x
        shift = frac - self.frac(x)
        range_ = self.ranges[x]
        try:
            type_ = fixed_of_range(range_.bottom << shift, range_.top << shift, frac)
        except FormatError as error:
            raise ProgramError(f"{self.name}: {name}: {error}") from None
        return self.requant(name, x, Quantizer(type_, Rounding.TRN, Overflow.SAT))

    def clip(self, name: str, x: str, low: int | None, high: int | None) -> str:
        """Append a limit on the raw integers of x; the range is cut so that the type is narrow. A
        limit that no integer of the Program can reach limits nothing."""
        if any(limit is not None and abs(limit) >= LIMIT for limit in (low, high)):
            range_ = self.ranges[x]
            low = None if low is not None and low <= range_.bottom else low
            high = None if high is not None and range_.top <= high else high
            if any(limit is not None and abs(limit) >= LIMIT for limit in (low, high)):
                raise ProgramError(
                    f"{self.name}: {name}: a limit on the grid of {self.types[x]} needs more than "
                    f"{MAX_BITS} bits.",
                    hint="Give the tensors before it fewer fractional bits in the recipe.",
                )
        return self.exact(Clip(name, provisional(self.frac(x)), x, low, high))

    def affine(
        self, name: str, x: str, factor: Ints, factor_type: Fixed, bias: Ints, bias_frac: int
    ) -> str:
        """Append x factor + bias, both on their coarsest grids and in the fewest numbers, so that
        equal multipliers are equal ops; x itself where nothing changes it."""
        whole = self.shapes[x]
        grows = np.broadcast_shapes(whole, factor.shape, bias.shape) != whole
        if not grows:
            factor, bias = shrink_array(factor), shrink_array(bias)
        if not grows and not bias.any() and (factor == 2**factor_type.frac).all():
            return x
        factor, frac = align_integers(factor, factor_type.frac, -MAX_BITS if factor.any() else 0)
        factor_type = fixed_of_range(int(factor.min()), max(int(factor.max()), 0), frac)
        least = self.frac(x) + factor_type.frac
        try:
            bias, frac = align_integers(bias, bias_frac, least)
        except FormatError as error:
            raise ProgramError(
                f"{self.name}: {name}: what is added lies on the grid of {least} fractional bits "
                f"of the product. {error}",
                hint="Give the tensor before it or the factor fewer fractional bits in the recipe.",
            ) from None
        op = Scale(
            name, provisional(frac), x, pack_weights(factor), factor_type, pack_weights(bias)
        )
        return self.exact(op)

    def shifted(self, name: str, x: str, exponent: int, offset: int, frac: int) -> str:
        """Append x 2^exponent + offset, the offset raw on a grid of `frac` bits."""
        if abs(offset) >= LIMIT:
            raise ProgramError(
                f"{self.name}: {name}: an offset on the grid of {frac} fractional bits needs more "
                f"than {MAX_BITS} bits.",
                hint="Give the tensors before it fewer fractional bits in the recipe.",
            )
        power = Fixed(False, 1, 1 + exponent)
        one = np.ones((), np.int64)
        return self.affine(name, x, one, power, np.asarray(offset, np.int64), frac)

    def pair(self, name: str, a: str, b: str, kind: PairKind) -> str:
        """Append an operation on two values."""
        fa, fb = self.frac(a), self.frac(b)
        frac = fa + fb if kind is PairKind.MUL else max(fa, fb)
        return self.exact(Pair(name, provisional(frac), a, b, kind))

    def program(self, outputs: tuple[Output, ...]) -> Program:
        """What was built."""
        return Program(self.name, tuple(self.ops), outputs)


def prove_again(program: Program) -> Program:
    """The same ops after inputs or roundings were changed: types that are stated stay, types that
    are proved are proved again."""
    builder = ProgramBuilder(program.name)
    for op in program.ops:
        _append(builder, op)
    return builder.program(program.outputs)


def _append(b: ProgramBuilder, op: Op) -> None:
    match op:
        case Input() | Constant() | Requant() | Softmax() | Table():
            b.add(op)
        case Clip():
            shift = op.type.frac - b.frac(op.x)
            low, high = (_move_limit(b, op.name, limit, shift) for limit in (op.low, op.high))
            b.exact(replace(op, type=provisional(b.frac(op.x)), low=low, high=high))
        case Pad():
            shift = op.type.frac - b.frac(op.x)
            value = _move_limit(b, op.name, op.value, shift) or 0
            b.exact(replace(op, type=provisional(b.frac(op.x)), value=value))
        case Scan():
            raise AssertionError(op)  # whoever proves again has unrolled it
        case Accumulates() | Scale():  # a bias may ask for a finer grid
            b.exact(replace(op, type=provisional(max(op.type.frac, _least(b, op)))))
        case _:  # the others take the coarsest grid that holds them
            b.exact(replace(op, type=provisional(_least(b, op))))


def _least(b: ProgramBuilder, op: Op) -> int:
    return op.grid(*(b.frac(x) for x in inputs_of(op)))[0]


def _move_limit(b: ProgramBuilder, name: str, limit: int | None, shift: int) -> int | None:
    """A limit on a grid that is coarser by some bits (or finer)."""
    if limit is None:
        return None
    if shift <= 0:
        return limit << -shift
    if limit & ((1 << shift) - 1):
        raise ProgramError(f"{b.name}: {name}: its limit {limit} is not on its operand's grid.")
    return limit >> shift


def align_integers(raw: Ints, frac: int, least: int) -> tuple[Ints, int]:
    """Integers on the coarsest grid of at least `least` fractional bits that holds them all; a
    FormatError where they are too large for that grid."""
    whole = np.asarray(raw, np.int64)
    spare = frac - least
    nonzero = whole[whole != 0]
    while spare > 0 and not (nonzero & 1).any():
        whole, nonzero, spare = whole >> 1, nonzero >> 1, spare - 1 if nonzero.size else 0
    if spare < 0:
        whole, spare = shift_left(whole, -spare), 0
    return np.asarray(whole), least + spare  # NumPy makes scalars of what has no axes
