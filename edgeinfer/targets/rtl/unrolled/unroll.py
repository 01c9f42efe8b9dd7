# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Program -> cells: each element of each value a wire, each constant multiplication additions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir import ops
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.layers import matrix_of
from edgeinfer.targets.rtl.unrolled.cells import Circuit, Wire
from edgeinfer.targets.rtl.unrolled.cheapest import NO_SEARCH, AdderSearch, cheapest_graph
from edgeinfer.targets.rtl.unrolled.shift_add import AdderGraph, shared_graph
from edgeinfer.targets.rtl.unrolled.sums import AdderBuilder
from quantization.fixed import Ints, fixed_of_range

Wires = NDArray[Any]  # of Wire, in a value's shape


@dataclass(frozen=True, slots=True)
class UnrolledNetwork:
    """A Program as one circuit, and the wires that carry each of its values."""

    circuit: Circuit
    values: Mapping[str, Wires]
    begins: Mapping[int, str]  # the first wire that is made for a value


def unroll(
    program: Program, used: Mapping[str, int], search: AdderSearch = NO_SEARCH
) -> UnrolledNetwork:
    """All values that lead somewhere."""
    work = _Unroll(program, Circuit(), search)
    begins: dict[int, str] = {}
    for op in program.ops:
        if used[op.name]:
            begins[len(work.circuit.wires)] = op.name
            work.values[op.name] = work.wires_of(op)
    return UnrolledNetwork(work.circuit, work.values, begins)


@dataclass(slots=True)
class _Unroll:
    program: Program
    circuit: Circuit
    search: AdderSearch
    values: dict[str, Wires] = field(default_factory=dict)
    ports: int = 0

    def wires_of(self, op: ops.Op) -> Wires:
        """The wires of a value."""
        circuit, values = self.circuit, self.values
        shape = self.program.shapes[op.name]
        match op:
            case ops.Input():
                port, self.ports = self.ports, self.ports + 1
                return _array(
                    [circuit.source(port, i, op.type) for i in range(math.prod(shape))], shape
                )
            case ops.Constant():
                return self.literals(op.value)
            case ops.Dense():
                return self.dense(op, values[op.x])
            case ops.Conv():
                return self.conv(op, values[op.x], shape)
            case ops.Scale():
                factor = np.broadcast_to(op.factor.astype(np.int64), shape)
                bias = np.broadcast_to(op.bias.astype(np.int64), shape)
                shift = op.shift(self.frac(op.x))
                return self.multiply(values[op.x], factor, shift, bias)
            case ops.PRelu():
                slope = np.broadcast_to(op.slope.astype(np.int64), shape)
                other = self.multiply(values[op.x], slope, 0, np.zeros(shape, np.int64))
                shift = op.slope_type.frac
                spread = np.broadcast_to(values[op.x], shape)
                each = zip(spread.flat, other.flat, slope.flat, strict=True)
                return _array([circuit.branch(x, shift, y, int(s)) for x, y, s in each], shape)
            case ops.Requant():
                quantizer = op.quantizer
                frac = self.frac(op.x)
                return _each(values[op.x], lambda x: circuit.requantise(x, frac, quantizer))
            case ops.Clip():
                return _each(values[op.x], lambda x: circuit.bound(x, op.low, op.high))
            case ops.Table():
                return _each(values[op.x], self.table(op.name, op.first, op.entries))
            case ops.Softmax():
                raise AssertionError(f"{op.name}: a softmax was not taken apart")
            case ops.Scan():
                raise AssertionError(f"{op.name}: a recurrence was not refused")
            case ops.Sites():
                raise AssertionError(f"{op.name}: sites with a limit were not refused")
            case ops.Pool():
                return self.pool(op, values[op.x], shape)
            case ops.Pair():
                return self.pair(op, shape)
            case ops.Concat():
                parts = [self.refine(x, op.type.frac) for x in op.xs]
                return np.concatenate(parts, axis=op.axis)
            case ops.Reshape():
                return values[op.x].reshape(shape)
            case ops.Moves():
                fill = circuit.literal(op.fill)
                flat = values[op.x].reshape(-1)
                order = op.sources(self.program.shapes[op.x])
                return _array([fill if i < 0 else flat[i] for i in order], shape)
            case _:
                assert_never(op)

    def frac(self, name: str) -> int:
        return self.program[name].type.frac

    def literals(self, raw: ops.Weights) -> Wires:
        return _array([self.circuit.literal(int(v)) for v in raw.reshape(-1)], raw.shape)

    def refine(self, name: str, frac: int) -> Wires:
        """A value on a finer grid."""
        shift = frac - self.frac(name)
        return _each(self.values[name], lambda x: self.circuit.shift(x, shift))

    # Sums

    def dense(self, op: ops.Dense, x: Wires) -> Wires:
        shift = op.shift(self.frac(op.x))
        rows = x.reshape(-1, x.shape[-1])
        shape = (*x.shape[:-1], op.weight.shape[1])
        side_by_side = [self.fields(row, op, shift) for row in rows]
        if all(wires is not None for wires in side_by_side):
            return _array([wire for wires in side_by_side for wire in wires or ()], shape)
        graph = self.cheapest(op.x, op.weight.astype(np.int64))
        sums = [self.vector(row, graph, shift, op.bias) for row in rows]
        return _array(list(itertools.chain(*sums)), shape)

    def fields(self, xs: Wires, op: ops.Dense, shift: int) -> list[Wire] | None:
        """Sums that only put numbers side by side, as the index of a table of several numbers is;
        None where one of them adds."""
        wires: list[Wire] = []
        bias = np.broadcast_to(op.bias, op.weight.shape[1])
        for column, constant in zip(op.weight.T.tolist(), bias.tolist(), strict=True):
            read = [(x, weight) for x, weight in zip(xs, column, strict=True) if weight]
            if not read or any(weight < 0 or weight & (weight - 1) for _, weight in read):
                return None
            parts = [(x, weight.bit_length() - 1 + shift) for x, weight in read if not x.constant]
            constant += sum(x.low * weight << shift for x, weight in read if x.constant)
            wire = self.circuit.fields(parts, constant) if parts else self.circuit.literal(constant)
            if wire is None:
                return None
            wires.append(wire)
        return wires

    def cheapest(self, x: str, matrix: Ints) -> AdderGraph:
        return cheapest_graph(matrix, self.program[x].type, self.search)

    def vector(self, xs: Wires, graph: AdderGraph, shift: int, bias: ops.Weights) -> list[Wire]:
        adders = AdderBuilder(self.circuit, list(xs))
        return adders.product(graph, shift, [int(b) for b in bias.reshape(-1)])

    def conv(self, op: ops.Conv, x: Wires, shape: ops.Shape) -> Wires:
        graph = self.cheapest(op.x, matrix_of(op))
        shift = op.shift(self.frac(op.x))
        nothing = self.circuit.literal(0)
        window = op.window
        windows = _windows(x, window, op.strides, op.dilation, op.pads, shape[:-1])
        wires: list[Wire] = []
        for places in windows:
            taps = [nothing] * x.shape[-1]
            row = [w for at in places for w in (taps if at is None else list(x[at]))]
            wires += self.vector(_array(row, (len(row),)), graph, shift, op.bias)
        return _array(wires, shape)

    def multiply(
        self, x: Wires, factor: NDArray[np.int64], shift: int, bias: NDArray[np.int64]
    ) -> Wires:
        """Element by element, by constants."""
        spread = np.broadcast_to(x, factor.shape)
        graphs = {int(f): shared_graph(np.array([[f]])) for f in np.unique(factor)}
        wires = [
            AdderBuilder(self.circuit, [w]).product(graphs[int(f)], shift, [int(b)])[0]
            for w, f, b in zip(spread.flat, factor.flat, bias.flat, strict=True)
        ]
        return _array(wires, factor.shape)

    def tree(self, kind: ops.PairKind, wires: list[Wire]) -> Wire:
        """Many numbers as one: what is ready first is joined first."""
        waiting = sorted(wires, key=lambda w: w.depth, reverse=True)
        while len(waiting) > 1:
            a, b = waiting.pop(), waiting.pop()
            waiting.append(self.circuit.join(kind, a, b))
            waiting.sort(key=lambda w: w.depth, reverse=True)
        return waiting[0]

    # The others

    def pool(self, op: ops.Pool, x: Wires, shape: ops.Shape) -> Wires:
        kind = ops.PairKind.ADD if op.kind is ops.PoolKind.SUM else ops.PairKind.MAX
        ones = (1,) * len(op.window)
        wires: list[Wire] = []
        for places in _windows(x, op.window, op.strides, ones, op.pads, shape[:-1]):
            inside = [x[at] for at in places if at is not None]
            for channel in range(shape[-1]):
                taps = [pixel[channel] for pixel in inside]
                wires.append(self.tree(kind, taps) if taps else self.circuit.literal(0))
        return _array(wires, shape)

    def pair(self, op: ops.Pair, shape: ops.Shape) -> Wires:
        a, b = (np.broadcast_to(self.values[x], shape) for x in (op.a, op.b))
        moved = op.kind is not ops.PairKind.MUL
        by_a = op.type.frac - self.frac(op.a) if moved else 0
        by_b = op.type.frac - self.frac(op.b) if moved else 0
        pairs = zip(a.flat, b.flat, strict=True)
        return _array([self.circuit.join(op.kind, p, q, by_a, by_b) for p, q in pairs], shape)

    def table(self, name: str, first: int, entries: ops.Weights) -> Callable[[Wire], Wire]:
        integers = tuple(int(e) for e in entries)
        bits = fixed_of_range(min(integers), max(integers), 0).bits
        return lambda x: self.circuit.look_up(x, first, name, integers, bits)


def _each(x: Wires, function: Callable[[Wire], Wire]) -> Wires:
    return _array([function(w) for w in x.flat], x.shape)


def _array(wires: list[Any], shape: ops.Shape) -> Wires:
    array = np.empty(len(wires), dtype=object)
    array[:] = wires
    return array.reshape(shape)


def _windows(
    x: Wires, window: ops.Shape, strides: ops.Shape, dilation: ops.Shape,
    pads: tuple[tuple[int, int], ...], positions: ops.Shape,
) -> list[list[ops.Shape | None]]:  # fmt: skip
    """For every position its pixels' places, tap by tap; None: outside."""
    windows = []
    for position in np.ndindex(*positions):
        taps: list[ops.Shape | None] = []
        for tap in np.ndindex(*window):
            place = tuple(
                p * s + t * d - before
                for p, s, t, d, (before, _) in zip(
                    position, strides, tap, dilation, pads, strict=True
                )
            )
            inside = all(0 <= i < size for i, size in zip(place, x.shape, strict=False))
            taps.append(place if inside else None)
        windows.append(taps)
    return windows
