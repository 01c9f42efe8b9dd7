# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random Programs that obey every law, and inputs that reach the ends of their types.

A seed makes a Program and nothing else does, so that a failure is named by one number. Every op is
drawn; what a law forbids (a range beyond 63 bits, a window that does not fit) is simply not taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import (
    Concat,
    Constant,
    Conv,
    Dense,
    Input,
    Pad,
    PairKind,
    Pool,
    PoolKind,
    PRelu,
    Requant,
    Reshape,
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
from quantization.fixed import Fixed, Ints, Overflow, Rounding
from tests.support.random_moves import MOVES

T = TypeVar("T")

LARGEST_VALUE = 400  # elements of a value
LARGEST_TABLE = 512  # entries


def random_program(seed: int, *, max_ops: int = 9, widths: tuple[int, int] = (1, 24)) -> Program:
    """A Program of up to `max_ops` ops besides its inputs, weights and values of these widths."""
    draw = _Draw(np.random.default_rng(seed), widths, ProgramBuilder(f"random{seed}"))
    for _ in range(draw.between(1, 2)):
        draw.add_input()
    for _ in range(draw.between(1, max_ops)):
        draw.add_op()
    return draw.program()


def random_recurrence(seed: int, *, max_ops: int = 6, widths: tuple[int, int] = (1, 12)) -> Program:
    """A Program with one to three recurrences among other ops; a body may hold one too."""
    for attempt in range(50):
        rng = np.random.default_rng([seed, attempt])
        draw = _Draw(rng, widths, ProgramBuilder(f"recurrence{seed}"))
        for _ in range(draw.between(1, 2)):
            draw.add_input()
        for _ in range(draw.between(1, 3)):
            draw.try_to_add([draw.add_scan])
            for _ in range(draw.between(0, max_ops // 2)):
                draw.add_op()
        program = draw.program()
        if any(isinstance(op, Scan) for op in program.ops):
            return program
    raise AssertionError(f"seed {seed}: no recurrence fits")


def random_inputs(program: Program, seed: int, batch: int) -> dict[str, Ints]:
    """Raw inputs: all at the top, all at the bottom, ends mixed at random, and anything between."""
    rng = np.random.default_rng(seed)
    results: dict[str, Ints] = {}
    for op in program.inputs:
        low, high = op.type.raw_min, op.type.raw_max
        raw = rng.integers(low, high, (batch, *op.shape), dtype=np.int64, endpoint=True)
        ends = rng.choice(np.array([low, high, 0], dtype=np.int64), raw.shape)
        raw = np.where(rng.random((batch, *[1] * len(op.shape))) < 0.3, ends, raw)
        small = np.clip(rng.integers(-3, 4, raw.shape), low, high)
        raw = np.where(rng.random((batch, *[1] * len(op.shape))) < 0.2, small, raw)
        raw[:1], raw[1:2] = high, low
        results[op.name] = raw
    return results


@dataclass(slots=True)
class _Draw:
    rng: np.random.Generator
    widths: tuple[int, int]
    builder: ProgramBuilder
    inputs: list[str] = field(default_factory=list)
    stem: str = ""  # what the names in a body begin with

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, items: Sequence[T]) -> T:
        return items[self.between(0, len(items) - 1)]

    # Numbers

    def type(self) -> Fixed:
        bits = self.between(*self.widths)
        return Fixed(self.chance(0.6), bits, self.between(-3, bits + 3))

    def integers(self, type_: Fixed, shape: Shape) -> Ints:
        low, high = type_.raw_min, type_.raw_max
        raw = self.rng.integers(low, high, shape, dtype=np.int64, endpoint=True)
        if self.chance(0.2):
            raw = np.where(self.rng.random(shape) < 0.5, high, low)
        return np.asarray(raw, dtype=np.int64)

    def weights(self, shape: Shape) -> tuple[Ints, Fixed]:
        type_ = self.type()
        return self.integers(type_, shape), type_

    def bias(self, shape: Shape) -> Ints:
        if self.chance(0.3):
            return np.zeros(shape, dtype=np.int64)
        return self.integers(Fixed(True, self.between(1, 20), 0), shape)

    def finer(self, frac: int) -> int:
        """Fractional bits of a result: what the products have, or some more for the bias."""
        return frac + (self.between(1, 5) if self.chance(0.3) else 0)

    # Shapes

    def shape(self) -> Shape:
        match self.between(0, 3):
            case 0:
                return (self.between(1, 8),)
            case 1:
                return (self.between(2, 9), self.between(1, 4))
            case _:
                return (self.between(2, 7), self.between(2, 7), self.between(1, 4))

    def fresh(self) -> str:
        return f"{self.stem}v{len(self.builder.ops)}"

    def value(self) -> str:
        """Some value, the latest ones more often."""
        names = [op.name for op in self.builder.ops if not isinstance(op, Constant)]
        back = min(int(self.rng.exponential(1.2)), len(names) - 1)
        return names[-1 - back]

    def add_input(self) -> None:
        earlier = self.inputs and self.chance(0.5)
        shape = self.builder.shapes[self.inputs[0]] if earlier else self.shape()
        name = f"in{len(self.inputs)}"
        self.builder.add(Input(name, self.type(), shape))
        self.inputs.append(name)

    def add_op(self) -> None:
        kinds: list[Callable[[], None]] = [
            *[self.add_conv] * 3,
            *[self.add_dense] * 2,
            *[self.add_requant] * 4,
            *[self.add_pool] * 2,
            *[self.add_pair] * 3,
            *[self.add_clip] * 2,
            self.add_scale,
            self.add_prelu,
            self.add_table,
            self.add_softmax,
            self.add_concat,
            self.add_constant_pair,
            self.add_move,
            self.add_move,
        ]
        self.try_to_add(kinds)

    def try_to_add(self, kinds: Sequence[Callable[[], None]]) -> None:
        """One op, or some that belong together, of a kind that the laws allow here."""
        before = len(self.builder.ops)
        for _ in range(20):
            try:
                self.one_of(kinds)()
            except (ProgramError, ValueError):  # forbidden here: something else is drawn
                self.forget(before)
            if len(self.builder.ops) > before:
                return

    def forget(self, kept: int) -> None:
        """Undo what was appended after the first `kept` ops."""
        builder = self.builder
        del builder.ops[kept:]
        names = {op.name for op in builder.ops}
        builder.types = {k: v for k, v in builder.types.items() if k in names}
        builder.shapes = {k: v for k, v in builder.shapes.items() if k in names}
        builder.ranges = {k: v for k, v in builder.ranges.items() if k in names}

    def program(self) -> Program:
        result = [op.name for op in self.builder.ops if not isinstance(op, Input | Constant)]
        read = {x for op in self.builder.ops for x in inputs_of(op)}
        loose = [name for name in result if name not in read]
        chosen = loose[-3:] or self.inputs
        if result and self.chance(0.2):
            chosen = [*chosen, self.one_of(result)]
        outputs = tuple(Output(f"out{i}", name) for i, name in enumerate(chosen))
        return self.builder.program(outputs)

    # Ops

    def add_requant(self) -> None:
        self.requantize(self.value(), self.between(*self.widths))

    def requantize(self, x: str, bits: int) -> str:
        """A type near the range of x, sometimes far from it; any rounding, any overflow."""
        range_, frac = self.builder.ranges[x], self.builder.frac(x)
        span = max(range_.top.bit_length(), (-range_.bottom).bit_length(), 1)
        spread = 70 if self.chance(0.05) else 3
        drop = span - bits + self.between(-spread, spread)
        if self.chance(0.2):
            drop = self.between(-6, 6)
        type_ = Fixed(self.chance(0.6), bits, bits - (frac - drop))
        rounding, overflow = self.one_of(list(Rounding)), self.one_of(list(Overflow))
        return self.builder.add(Requant(self.fresh(), type_, x, rounding, overflow))

    def add_clip(self) -> None:
        x = self.value()
        low = self.one_of([0, 0, None, self.between(-40, 40)])
        high = None if self.chance(0.5) else (low or 0) + self.between(0, 200)
        self.builder.clip(self.fresh(), x, low, high)

    def windows(self, x: Shape) -> tuple[Shape, Shape, tuple[tuple[int, int], ...]]:
        rank = len(x) - 1
        window = tuple(self.between(1, 3) for _ in range(rank))
        strides = tuple(self.between(1, 3) for _ in range(rank))
        pads = tuple((self.between(0, w - 1), self.between(0, w - 1)) for w in window)
        return window, strides, pads if self.chance(0.6) else ((0, 0),) * rank

    def add_conv(self) -> None:
        x = self.value()
        shape = self.builder.shapes[x]
        if len(shape) not in (2, 3):
            return
        window, strides, pads = self.windows(shape)
        dilation = tuple(self.between(1, 2) if self.chance(0.3) else 1 for _ in window)
        channels = shape[-1]
        groups = self.one_of([g for g in range(1, channels + 1) if channels % g == 0])
        outputs = groups * self.between(1, 3)
        weight, type_ = self.weights((*window, channels // groups, outputs))
        frac = self.finer(self.builder.frac(x) + type_.frac)
        op = Conv(
            self.fresh(), provisional(frac), x, pack_weights(weight), type_,
            pack_weights(self.bias((outputs,))), strides, pads, dilation, groups,
        )  # fmt: skip
        self.small(shape_of(op, self.builder.shapes))
        self.builder.exact(op)

    def small(self, shape: Shape) -> None:
        if math.prod(shape) > LARGEST_VALUE:
            raise ValueError("too large to be compared quickly")

    def add_dense(self) -> None:
        x = self.value()
        shape = self.builder.shapes[x]
        if len(shape) > 1 and self.chance(0.5):
            x = self.builder.exact(
                Reshape(self.fresh(), self.builder.types[x], x, (math.prod(shape),))
            )
            shape = self.builder.shapes[x]
        outputs = self.between(1, 6)
        weight, type_ = self.weights((shape[-1], outputs))
        frac = self.finer(self.builder.frac(x) + type_.frac)
        bias = pack_weights(self.bias((outputs,)))
        op = Dense(self.fresh(), provisional(frac), x, pack_weights(weight), type_, bias)
        self.builder.exact(op)

    def broadcast(self, shape: Shape) -> Shape:
        """A shape that broadcasts against another."""
        kept = tuple(size if self.chance(0.6) else 1 for size in shape)
        return kept[self.between(0, len(shape)) :]

    def add_scale(self) -> None:
        x = self.value()
        shape = self.builder.shapes[x]
        factor, type_ = self.weights(self.broadcast(shape))
        frac = self.finer(self.builder.frac(x) + type_.frac)
        bias = pack_weights(self.bias(self.broadcast(shape)))
        op = Scale(self.fresh(), provisional(frac), x, pack_weights(factor), type_, bias)
        self.builder.exact(op)

    def add_prelu(self) -> None:
        x = self.value()
        bits = self.between(*self.widths)
        type_ = Fixed(self.chance(0.6), bits, self.between(0, bits))
        slope = self.integers(type_, self.broadcast(self.builder.shapes[x]))
        frac = self.builder.frac(x) + type_.frac
        self.builder.exact(PRelu(self.fresh(), provisional(frac), x, pack_weights(slope), type_))

    def add_table(self) -> None:
        x = self.value()
        range_ = self.builder.ranges[x]
        if range_.top - range_.bottom >= LARGEST_TABLE:
            x = self.requantize(x, self.between(1, 8))
            range_ = self.builder.ranges[x]
        first = range_.bottom - self.between(0, 3)
        count = range_.top - first + 1 + self.between(0, 3)
        if count > LARGEST_TABLE:
            raise ValueError("a table of many entries")
        entries, type_ = self.weights((count,))
        self.builder.add(Table(self.fresh(), type_, x, first, pack_weights(entries)))

    def add_softmax(self) -> None:
        x = self.value()
        range_, shape = self.builder.ranges[x], self.builder.shapes[x]
        axis = self.between(0, len(shape) - 1)
        exp_type = Fixed(False, self.between(2, 16), 1)
        inverse_type = Fixed(False, self.between(2, 16), 1)
        spread = max((range_.top - range_.bottom).bit_length(), 1)
        exp = np.sort(self.integers(exp_type, (self.between(1, 40),)))[::-1]
        inverse = np.sort(self.integers(inverse_type, (self.between(1, 40),)))[::-1]
        op = Softmax(
            self.fresh(), self.type(), x, axis,
            pack_weights(exp), exp_type, max(spread - self.between(1, 8), 0),
            pack_weights(inverse), inverse_type, self.between(0, exp_type.bits),
            self.one_of(list(Rounding)), self.one_of(list(Overflow)),
        )  # fmt: skip
        self.builder.add(op)

    def add_pool(self) -> None:
        x = self.value()
        shape = self.builder.shapes[x]
        if len(shape) not in (2, 3):
            return
        window, strides, pads = self.windows(shape)
        kind = self.one_of(list(PoolKind))
        if self.chance(0.2):
            window, pads = shape[:-1], ((0, 0),) * (len(shape) - 1)
        type_ = provisional(self.builder.frac(x))
        self.builder.exact(Pool(self.fresh(), type_, x, kind, window, strides, pads))

    def add_pair(self) -> None:
        a = self.value()
        shape = self.builder.shapes[a]
        partners = [
            name
            for name, other in self.builder.shapes.items()
            if len(other) == len(shape)
            and all(m == n or 1 in (m, n) for m, n in zip(other, shape, strict=True))
        ]
        b = self.one_of(partners)
        if self.chance(0.5):
            a, b = b, a
        self.small(np.broadcast_shapes(shape, self.builder.shapes[b]))
        self.builder.pair(self.fresh(), a, b, self.one_of(list(PairKind)))

    def add_constant_pair(self) -> None:
        """A value with something that is computed from constants alone."""
        x = self.value()
        shape = self.builder.shapes[x]
        raw, type_ = self.weights(tuple(s if self.chance(0.6) else 1 for s in shape))
        c = self.builder.add(Constant(self.fresh(), type_, pack_weights(raw)))
        if self.chance(0.5):
            c = self.builder.clip(self.fresh(), c, 0, None)
        if self.builder.shapes[c] == shape and self.chance(0.4):
            frac = max(self.builder.frac(x), self.builder.frac(c))
            axis = self.between(0, len(shape) - 1)
            self.builder.exact(Concat(self.fresh(), provisional(frac), (x, c, x), axis))
            return
        self.builder.pair(self.fresh(), x, c, self.one_of(list(PairKind)))

    def add_concat(self) -> None:
        x = self.value()
        shape = self.builder.shapes[x]
        axis = self.between(0, len(shape) - 1)
        rest = (shape[:axis], shape[axis + 1 :])
        partners = [
            name
            for name, other in self.builder.shapes.items()
            if len(other) == len(shape) and (other[:axis], other[axis + 1 :]) == rest
        ]
        xs = [x, *(self.one_of(partners) for _ in range(self.between(0, 2)))]
        self.rng.shuffle(xs)
        frac = max(self.builder.frac(name) for name in xs)
        op = Concat(self.fresh(), provisional(frac), tuple(xs), axis)
        self.small(shape_of(op, self.builder.shapes))
        self.builder.exact(op)

    def add_scan(self, depth: int = 0) -> None:
        """A recurrence with up to three states over one or two sequences."""
        x = self.value()
        xs = [x, x] if self.chance(0.2) else [x]
        shape = self.builder.shapes[x]
        if len(shape) < 2:
            raise ValueError("no sequence")
        inner = _Draw(self.rng, self.widths, ProgramBuilder(f"{self.fresh()}.body"))
        inner.stem = f"{self.stem}{self.fresh()}b"
        for each in xs:
            inner.add_named_input(self.builder.types[each], shape[1:])
        starts, states = [], []
        for _ in range(self.between(0, 3)):
            size = (self.between(1, 5),)
            type_ = self.type()
            known = [n for n, s in self.builder.shapes.items() if s == size]
            if known and self.chance(0.3):
                quantizer = (self.one_of(list(Rounding)), self.one_of(list(Overflow)))
                start = self.builder.add(
                    Requant(self.fresh(), type_, self.one_of(known), *quantizer)
                )
            else:
                raw = pack_weights(self.integers(type_, size))
                start = self.builder.add(Constant(self.fresh(), type_, raw))
            starts.append(start)
            states.append(inner.add_named_input(type_, size))
        for _ in range(self.between(1, 4)):
            if depth == 0 and self.chance(0.1):
                inner.try_to_add([lambda: inner.add_scan(1)])
            inner.add_op()
        after = [inner.becomes(state) for state in states]
        result = [inner.mixed() if self.chance(0.6) else inner.value(), *after]
        outputs = tuple(Output(f"y{i}", name) for i, name in enumerate(result))
        grid = provisional(inner.builder.frac(result[0]))
        body = inner.builder.program(outputs)
        self.builder.exact(
            Scan(self.fresh(), grid, tuple(xs), tuple(starts), body, self.chance(0.6))
        )

    def add_named_input(self, type_: Fixed, shape: Shape) -> str:
        """An input of a body."""
        name = f"{self.stem}in{len(self.inputs)}"
        self.builder.add(Input(name, type_, shape))
        self.inputs.append(name)
        return name

    def becomes(self, state: str) -> str:
        """Some value brought to a state's shape and type; or a state as it is."""
        builder = self.builder
        if self.chance(0.15):
            return state
        x = self.mixed() if self.chance(0.5) else self.value()
        (size,), type_ = builder.shapes[state], builder.types[state]
        product = self.product(self.flat(x), size)
        rounding, overflow = self.one_of(list(Rounding)), self.one_of(list(Overflow))
        return builder.add(Requant(self.fresh(), type_, product, rounding, overflow))

    def mixed(self) -> str:
        """What a layer makes of an entry of the sequence and something else."""
        part = self.flat(self.inputs[0])
        size = self.between(1, 6)
        entry, other = self.product(part, size), self.product(self.flat(self.value()), size)
        return self.builder.pair(self.fresh(), entry, other, PairKind.ADD)

    def flat(self, x: str) -> str:
        """A value as a vector."""
        count = math.prod(self.builder.shapes[x])
        return self.builder.exact(Reshape(self.fresh(), self.builder.types[x], x, (count,)))

    def product(self, x: str, outputs: int) -> str:
        """A vector times a matrix."""
        weight, type_ = self.weights((self.builder.shapes[x][0], outputs))
        grid = provisional(self.finer(self.builder.frac(x) + type_.frac))
        bias = pack_weights(self.bias((outputs,)))
        op = Dense(self.fresh(), grid, x, pack_weights(weight), type_, bias)
        return self.builder.exact(op)

    def add_move(self) -> None:
        x = self.value()
        shape, name = self.builder.shapes[x], self.fresh()
        type_ = self.builder.types[x]
        kinds = list(MOVES)
        kind = kinds[self.between(0, len(kinds) - 1)]
        if kind is Pad:
            type_ = provisional(type_.frac)
        op = kind(name, type_, x, *MOVES[kind](self.rng, shape))
        self.small(shape_of(op, self.builder.shapes))
        self.builder.exact(op)
