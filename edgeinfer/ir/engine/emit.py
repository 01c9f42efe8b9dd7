# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as an ONNX graph that computes the very same integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.byte_products import largest_operand
from edgeinfer.ir.engine.choice import (
    OpArithmetic,
    arithmetic_of,
    float_for,
    reach_of,
    requants_to_bytes,
)
from edgeinfer.ir.engine.elementwise import pair, prelu, scale, shift_tensor, softmax, table
from edgeinfer.ir.engine.extremes import clip
from edgeinfer.ir.engine.moving import move_elements
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.placing import place_at_sites
from edgeinfer.ir.engine.rewrite import RewrittenProgram, rewrite_program
from edgeinfer.ir.engine.round import narrow_limits, requantize_tensor, rounded_to_bytes
from edgeinfer.ir.engine.site_rows import PlacedTensor, SiteRows
from edgeinfer.ir.engine.site_tables import SiteTables, find_sites
from edgeinfer.ir.engine.space_to_pixels import SpaceToPixels
from edgeinfer.ir.engine.values import (
    LARGEST_EXPONENT,
    CarriedTensor,
    Carrier,
    axis_in,
    cast_to,
    integers_in,
    lay_out,
    rescale,
)
from edgeinfer.ir.engine.window import conv, dense, dense_in_bytes, pool
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program, body_of
from quantization.ranges import Interval


@dataclass(frozen=True, slots=True)
class EngineModel:
    """An ONNX model and how to read it: what feeds it, what comes out, how each op is computed."""

    model: bytes
    inputs: tuple[tuple[str, str, Carrier], ...]  # Program's name, ONNX name, element type
    outputs: tuple[tuple[str, str], ...]  # Program's name, ONNX name
    pixels: Mapping[str, str]  # of outputs that are rows: ONNX name of the numbers of their pixels
    arithmetic: tuple[OpArithmetic, ...]


def emit_model(
    program: Program,
    proved: Mapping[str, Interval],
    kept: Sequence[str],
    *,
    only_integers: bool = False,
    as_rows: bool = False,
) -> EngineModel:
    """The graph that computes the values in `kept`, none of them an input or a constant.

    With `only_integers`, int64 carries every value: slower, and no float anywhere. With `as_rows`,
    values that are held at sites come out so, beside the numbers of their pixels in the batch.
    """
    emitter = _start_emitter(program, proved, kept, OnnxBuilder(), only_integers, sparse=True)
    read = [op for op in emitter.state.ops if isinstance(op, ops.Input)]
    inputs = [(op.name, *emitter.take(op)) for op in read]
    emitter.emit_all()
    rows = [name for name in kept if as_rows and name in emitter.state.site_sets]
    outputs = tuple(
        (name, emitter.rows(name) if name in rows else emitter.result(name)) for name in kept
    )
    pixels = {name: emitter.pixels(name) for name in rows}
    model = emitter.builder.model(sorted({*dict(outputs).values(), *pixels.values()}))
    return EngineModel(model, tuple(inputs), outputs, pixels, tuple(emitter.arithmetic.values()))


def _start_emitter(
    program: Program,
    proved: Mapping[str, Interval],
    kept: Sequence[str],
    builder: OnnxBuilder,
    only_integers: bool,
    *,
    sparse: bool = False,
) -> Emitter:
    state = rewrite_program(program, proved, kept)
    if sparse:
        state = place_at_sites(state, kept)
    to_bytes = {} if only_integers else requants_to_bytes(state, kept)
    return Emitter(state, _exponents(state, kept), to_bytes, builder, only_integers)


def _exponents(state: RewrittenProgram, kept: Sequence[str]) -> dict[str, int]:
    """The power of two to leave in each value's tensor so that its requantisation need not divide.

    It is asked for by a requantisation, handed on by what commutes with it, and granted by a
    product, whose weights take it up.
    """
    readers = Counter(x for op in state.ops for x in ops.inputs_of(op))
    types = state.types
    exponents: dict[str, int] = {}
    for op in reversed(state.ops):
        match op:
            case ops.Requant():
                exponent = types[op.x].frac - op.type.frac
            case ops.Clip() | ops.Pool() | ops.Moves():
                exponent = exponents.get(op.name, 0)
            case _:  # the other ops cannot leave a power of two for later
                continue
        if 0 < exponent <= LARGEST_EXPONENT and readers[op.x] == 1 and op.x not in kept:
            exponents[op.x] = exponent
    return exponents


@dataclass(slots=True)
class Emitter:
    """ONNX nodes for one op after the other, and which tensor holds which value."""

    state: RewrittenProgram
    exponents: Mapping[str, int]
    to_bytes: Mapping[str, Carrier]
    builder: OnnxBuilder
    only_integers: bool = False
    values: dict[str, CarriedTensor] = field(default_factory=dict)
    constants: dict[str, ops.Constant] = field(default_factory=dict)
    arithmetic: dict[str, OpArithmetic] = field(default_factory=dict)
    reach: dict[str, int] = field(default_factory=dict)

    def take(self, op: ops.Input) -> tuple[str, Carrier]:
        """A tensor from outside for an input, and its element type."""
        carrier = float_for(max(abs(op.type.raw_min), op.type.raw_max))
        carrier = Carrier.INT64 if self.only_integers else carrier
        tensor = self.builder.input(carrier.dtype, op.shape)
        self.values[op.name] = CarriedTensor(tensor, carrier, op.shape)
        return tensor, carrier

    def emit_all(self) -> None:
        """Nodes for every op but the inputs, which have been taken."""
        for op in self.state.ops:
            if isinstance(op, ops.Constant):
                self.constants[op.name] = op
            elif not isinstance(op, ops.Input):
                self.emit(op)

    def emit(self, op: ops.Op) -> None:
        """Nodes for one op."""
        reach = {x: self.reach.get(x, 0) for x in ops.inputs_of(op)}
        arithmetic = arithmetic_of(op, self.state, reach)
        if self.only_integers:
            arithmetic = replace(arithmetic, carrier=Carrier.INT64, why="integers were asked for")
        if sites := self.state.site_sets.get(op.name):
            why = f"{arithmetic.why}; at the sites of %{sites.mask} alone"
            arithmetic = replace(arithmetic, why=why)
        self.arithmetic[op.name] = arithmetic
        self.reach[op.name] = reach_of(op, self.state, reach, arithmetic.largest)
        value = self.emit_op(op, arithmetic)
        if abs(value.exponent) > LARGEST_EXPONENT:
            value = rescale(self.builder, value, 0)
        self.values[op.name] = value

    def pixels(self, name: str) -> str:
        """The number in the batch, row by row, of the pixel of each row of a value at sites."""
        sites = self.state.site_sets[name]
        tables = self._rows.tables
        numbers = tables.numbers(tables.places(sites), sites.sizes, (1,) * len(sites.sizes))
        return self.builder.result(numbers)

    def rows(self, name: str) -> str:
        """A tensor of the raw integers of a value at sites, a row for each; made by a node."""
        return self.builder.result(rescale(self.builder, self.values[name], 0).tensor)

    def result(self, name: str) -> str:
        """A tensor of the value's raw integers under its own shape, made by a node."""
        if name in self.state.site_sets:
            value = self._rows.bring(self._placed(name, self.values[name].carrier), None)
        else:
            value = lay_out(self.builder, self.values[name], self.state.shapes[name], False)
        return self.builder.result(rescale(self.builder, value, 0).tensor)

    def carrier_of(self, name: str) -> Carrier:
        """The element type in which a value lies; of a constant, the one that suits it."""
        if name in self.values:
            return self.values[name].carrier
        return Carrier.INT64 if self.only_integers else Carrier.FLOAT64

    def sampled(self, name: str, carrier: Carrier, like: str) -> str:
        """A tensor of the value's raw integers in an element type, once for each sample."""
        value = rescale(self.builder, self.shaped(name, carrier, False), 0)
        if name in self.values:
            return value.tensor
        return self.builder.each_sample(value.tensor, self.values[like].tensor, len(value.layout))

    def read(self, name: str, carrier: Carrier) -> CarriedTensor:
        """A value in an element type."""
        if name in self.constants:
            raw = self.constants[name].value
            tensor = self.builder.constant(integers_in(raw, 0, carrier)[None])
            return CarriedTensor(tensor, carrier, raw.shape)
        return cast_to(self.builder, self.values[name], carrier)

    def shaped(self, name: str, carrier: Carrier, first: bool | None = None) -> CarriedTensor:
        """A value under its own shape; in the layout it has unless another is asked for."""
        x, shape = self.read(name, carrier), self.state.shapes[name]
        keeps = x.first and x.layout == shape
        return lay_out(self.builder, x, shape, keeps if first is None else first)

    def emit_op(self, op: ops.Op, arithmetic: OpArithmetic) -> CarriedTensor:
        """The op's value, in the arithmetic that is exact for it."""
        builder, carrier, shapes = self.builder, arithmetic.carrier, self.state.shapes
        exponent = self.exponents.get(op.name, 0) if carrier is not Carrier.INT64 else 0
        if (value_at_sites := self._at_sites(op, carrier, exponent)) is not None:
            return value_at_sites
        match op:
            case ops.Input() | ops.Constant():
                return self.values[op.name]
            case ops.Conv():
                shift = op.shift(self.state.types[op.x].frac)
                x = self.read(op.x, carrier)
                return conv(builder, op, x, (shapes[op.x], shapes[op.name]), shift, exponent)
            case ops.Dense():
                shift = op.shift(self.state.types[op.x].frac)
                x = self.read(op.x, carrier)
                if carrier in (Carrier.UINT8, Carrier.INT8):
                    sums = float_for(arithmetic.largest)
                    largest = largest_operand(carrier, self.state.ranges[op.x].top)
                    return dense_in_bytes(builder, op, x, shift, exponent, sums, largest)
                return dense(builder, op, x, (shapes[op.x], shapes[op.name]), shift, exponent)
            case ops.Scale():
                x = self.shaped(op.x, carrier)
                shift = op.shift(self.state.types[op.x].frac)
                return scale(builder, op, x, shapes[op.name], shift, exponent)
            case ops.Requant():
                return self.requantize(op, carrier)
            case ops.Clip():
                x = self.read(op.x, carrier)
                range_ = self.state.ranges[op.x]
                limits = narrow_limits((op.low, op.high), (range_.bottom, range_.top))
                return clip(builder, x, *limits)
            case ops.PRelu():
                return prelu(builder, op, self.shaped(op.x, carrier), shapes[op.name])
            case ops.Table():
                return table(builder, op, self.read(op.x, carrier), carrier)
            case ops.Softmax():
                return softmax(builder, op, self.shaped(op.x, carrier), self.state.ranges[op.x])
            case ops.Pool():
                x = self.read(op.x, carrier)
                least = self.state.ranges[op.x].bottom
                return pool(builder, op, x, (shapes[op.x], shapes[op.name]), least)
            case ops.Sites():
                x = rescale(builder, self.shaped(op.x, carrier, False), 0)
                return find_sites(builder, x, op.threshold, op.most)
            case ops.Pair():
                a, b = self.read(op.a, carrier), self.read(op.b, carrier)
                fracs = self.state.types[op.a].frac, self.state.types[op.b].frac
                both = shapes[op.a], shapes[op.b], shapes[op.name]
                return pair(builder, op, (a, b), fracs, both)
            case ops.Concat():
                return self._concatenated(op, carrier)
            case ops.Scan():
                return self._scanned(op)
            case ops.Reshape():
                return self.values[op.x]
            case ops.Moves():
                x = self.read(op.x, carrier)
                fill = integers_in(np.asarray(op.fill), -x.exponent, carrier)
                return move_elements(builder, op, x, shapes[op.x], fill)
            case _:
                assert_never(op)

    @property
    def _rows(self) -> SiteRows:
        return SiteRows(self.builder, SiteTables(self.builder, self._mask))

    def _mask(self, name: str) -> str:
        return self.shaped(name, self.carrier_of(name), False).tensor

    def _placed(self, name: str, carrier: Carrier) -> PlacedTensor:
        sites = self.state.site_sets.get(name)
        if sites is None:
            return PlacedTensor(self.shaped(name, carrier, False), self.state.shapes[name], None)
        return PlacedTensor(self.read(name, carrier), self.state.images[name], sites)

    def _at_sites(self, op: ops.Op, carrier: Carrier, exponent: int) -> CarriedTensor | None:
        """The value where it, or what it reads, is held at sites in a way of its own."""
        sites = self.state.site_sets.get(op.name)
        match op:
            case ops.Conv() if sites is not None:
                shift = op.shift(self.state.types[op.x].frac)
                return self._rows.conv(op, self._placed(op.x, carrier), sites, shift, exponent)
            case ops.Pool() if sites is not None:
                return self._rows.pool(op, self._placed(op.x, carrier), sites)
            case SpaceToPixels() if sites is not None:
                return self._rows.pixels(op, self._placed(op.x, carrier), sites)
            case ops.Reshape() if sites is not None or op.x in self.state.site_sets:
                return self._rows.bring(self._placed(op.x, carrier), sites)
            case _:  # the others are computed row by row, or do not touch what is held so
                return None

    def requantize(self, op: ops.Requant, carrier: Carrier) -> CarriedTensor:
        """A requantisation, with the clips that were folded into it."""
        quantizer = op.quantizer
        limits = self.state.limits.get(op.name, (None, None))
        frac = self.state.types[op.x].frac
        x = self.read(op.x, carrier)
        range_ = self.state.ranges[op.x]
        byte = self.to_bytes.get(op.name)
        if byte is not None and carrier is Carrier.FLOAT32 and frac > op.type.frac:
            return rounded_to_bytes(self.builder, x, frac, range_, quantizer, limits, byte)
        return requantize_tensor(self.builder, x, frac, range_, quantizer, limits)

    def _concatenated(self, op: ops.Concat, carrier: Carrier) -> CarriedTensor:
        shape = self.state.shapes[op.name]
        parts = [self.shaped(x, carrier) for x in op.xs]
        first = len(shape) > 1 and 2 * sum(part.first for part in parts) >= len(parts)
        exponents = [
            part.exponent + op.type.frac - self.state.types[x].frac
            for x, part in zip(op.xs, parts, strict=True)
        ]
        common = exponents[0] if carrier.floating and len(set(exponents)) == 1 else 0
        tensors = []
        for x, exponent in zip(op.xs, exponents, strict=True):
            part = self._batched(self.shaped(x, carrier, first), x, op)
            part = shift_tensor(self.builder, part, exponent, common)
            tensors.append(part.tensor)
        tensor = self.builder.node("Concat", *tensors, axis=axis_in(shape, first, op.axis))
        return CarriedTensor(tensor, carrier, shape, first, common)

    def _batched(self, part: CarriedTensor, name: str, op: ops.Concat | ops.Scan) -> CarriedTensor:
        """A constant once for every sample of the batch."""
        if name in self.values:
            return part
        like = next(self.values[x].tensor for x in ops.inputs_of(op) if x in self.values)
        tensor = self.builder.each_sample(part.tensor, like, len(part.layout))
        return replace(part, tensor=tensor)

    def _scanned(self, op: ops.Scan) -> CarriedTensor:
        """A loop whose body is emitted as any Program is; states stay in the inputs' carriers."""
        body = fold_constants(body_of(op))
        kept = [output.value for output in body.outputs]
        read = [port.name for port in body.inputs]
        builder = self.builder.body()
        inner = _start_emitter(body, bounds_of(body), kept + read, builder, self.only_integers)
        states = body.inputs[len(op.xs) :]
        for port in (*states, *body.inputs[: len(op.xs)]):  # in ONNX, states come first
            inner.take(port)
        inner.emit_all()
        carriers = [inner.values[x].carrier for x in read]
        outer = [
            self._batched(self.shaped(x, carrier, False), x, op)
            for x, carrier in zip(ops.inputs_of(op), carriers, strict=True)
        ]
        tensors = [rescale(self.builder, value, 0).tensor for value in outer]
        after = [
            inner.sampled(value, carrier, read[0])
            for value, carrier in zip(kept[1:], carriers[len(op.xs) :], strict=True)
        ]
        y = inner.sampled(kept[0], inner.carrier_of(kept[0]), read[0])
        self.arithmetic |= inner.arithmetic
        xs, starts = tensors[: len(op.xs)], tensors[len(op.xs) :]
        tensor = self.builder.scan(builder, starts, xs, after, y, stacked=op.stacked)
        return CarriedTensor(tensor, inner.carrier_of(kept[0]), self.state.shapes[op.name])
