# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Program -> netlist: each op's blocks, with width converters and forks where streams meet."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

import numpy as np

from edgeinfer.base.names import Identifier, identifier
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates, NamedValue
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design import blocks
from edgeinfer.targets.rtl.design.folding import Folding
from edgeinfer.targets.rtl.design.layers import (
    ALL_MEET,
    layer_of,
    matrix_of,
    pointwise,
    tiles_rows,
)
from edgeinfer.targets.rtl.design.netlist import (
    Block,
    Netlist,
    NetlistPort,
    Stream,
    share_weights,
)
from edgeinfer.targets.rtl.design.recurrence import (
    count_readers,
    lanes_of_state,
    repeated_body,
    steps_of,
)
from edgeinfer.targets.rtl.design.sliding import Sliding
from edgeinfer.targets.rtl.sparse.ops import SiteOp
from edgeinfer.targets.rtl.sparse.place import place_site_op
from quantization.fixed import Fixed, Ints, Overflow, Rounding

Connect = Callable[[Stream, Stream], Block]


def build_netlist(program: Program, folding: Folding) -> Netlist:
    """The design of a Program that `check` has found nothing against; queues are still short."""
    build = Build(program, folding, count_readers(program))
    for op in program.ops:
        if build.uses[op.name] and not isinstance(op, ops.Constant):
            build.add(op)
    return build.netlist(tuple(build.output(o.name, o.value) for o in program.outputs))


@dataclass(slots=True)
class Build:
    """A netlist in the making."""

    program: Program
    folding: Folding
    uses: dict[str, int]
    streams: dict[str, Stream] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    inputs: list[NetlistPort] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[Stream]] = field(default_factory=dict)  # by value, one for each reader
    names: dict[str, str] = field(default_factory=dict)

    # Names and streams

    def netlist(self, outputs: tuple[NetlistPort, ...]) -> Netlist:
        """What was built."""
        return Netlist(
            identifier(self.program.name), self.streams, share_weights(self.blocks),
            tuple(self.inputs),
            outputs, {}, self.values,
        )  # fmt: skip

    def name(self, name_wanted: str) -> Identifier:
        """An identifier that nothing else in the design has, in any case."""
        plain = base = identifier(name_wanted)
        count = 1
        while plain.lower() in self.names:
            count += 1
            plain = Identifier(f"{base}_{count}")
        self.names[plain.lower()] = name_wanted
        return plain

    def stream(self, name: str, type_: Fixed, lanes: int, elements: int) -> Stream:
        result = Stream(self.name(name), type_, lanes, elements // lanes)
        self.streams[result.name] = result
        return result

    def place(self, block: Block) -> None:
        self.blocks.append(block)

    def deliver(self, op: NamedValue, stream: Stream) -> None:
        """A value has its stream; each of its readers gets one of its own."""
        self.values[op.name] = stream.name
        self.share(op.name, stream)

    def share(self, value: str, stream: Stream) -> None:
        ends = [stream]
        for number in range(1, self.uses[value]):
            x = ends.pop()
            elements = x.beats * x.lanes
            a = self.stream(f"{value}_to{number}", x.type, x.lanes, elements)
            b = self.stream(f"{value}_rest{number}", x.type, x.lanes, elements)
            self.place(blocks.fork(x, a, b, value))
            ends += [a, b]
        self.waiting[value] = ends

    def read(self, value: str) -> Stream:
        """The next unread stream of a value."""
        return self.waiting[value].pop(0)

    def with_lanes(self, x: Stream, lanes: int, op: str) -> Stream:
        """The same elements, so many at a time."""
        if x.lanes == lanes:
            return x
        if x.lanes % lanes == 0:
            convert: Callable[[Stream, Stream, str], Block] = blocks.narrow
        elif lanes % x.lanes == 0:
            convert = blocks.widen
        else:
            return self.with_lanes(self.with_lanes(x, math.gcd(x.lanes, lanes), op), lanes, op)
        y = self.stream(f"{x.name}_by{lanes}", x.type, lanes, x.beats * x.lanes)
        self.place(convert(x, y, op))
        return y

    def output(self, name: str, value: str) -> NetlistPort:
        x = self.read(value)
        self.place(blocks.egress(x, value, self.name(f"{name}_out")))
        return NetlistPort(name, x.name)

    def resize(self, x: Stream, type_: Fixed, op: str) -> Stream:
        """The same integers in a type of another width, which holds them by proof."""
        if x.type == type_:
            return x
        y = self.stream(f"{op}_{type_.bits}b", type_, x.lanes, x.beats * x.lanes)
        self.place(blocks.requant(x, y, op, Rounding.TRN, Overflow.WRAP))
        return y

    # Ops

    def add(self, op: ops.Op | SiteOp) -> None:
        size = math.prod(self.program.shapes[op.name])
        match op:
            case SiteOp():
                place_site_op(op, self, self.folding.lanes_after(op.name, self.program))
            case ops.Constant():
                return
            case ops.Input():
                stream = self.stream(op.name, op.type, self.folding.lanes[op.name], size)
                self.inputs.append(NetlistPort(op.name, stream.name))
                self.place(blocks.ingress(stream, op.name))
                self.deliver(op, stream)
            case Accumulates():
                self.deliver(op, self.layer(op, size))
            case ops.Pool():
                self.deliver(op, self.pool(op, size))
            case ops.Requant():
                self.each(op, lambda x, y: blocks.requant(x, y, y.name, op.rounding, op.overflow))
            case ops.Clip():
                self.each(op, lambda x, y: blocks.clip(x, y, y.name, op.low, op.high))
            case ops.Sites():
                self.deliver(op, self.first(op))
            case ops.Table():
                entries = op.entries.astype(np.int64)
                self.each(op, lambda x, y: blocks.table(x, y, y.name, op.first, entries))
            case ops.Scale() | ops.PRelu():
                self.deliver(op, self.scale(op))
            case ops.Pair():
                self.deliver(op, self.pair(op))
            case ops.Concat():
                self.deliver(op, self.concat(op))
            case ops.Reshape():
                self.deliver(op, self.resize(self.read(op.x), op.type, op.name))
            case ops.Moves():
                self.deliver(op, self.move(op))
            case ops.Softmax():
                raise AssertionError(f"{op.name}: a softmax was not taken apart")
            case ops.Scan():
                self.deliver(op, self.scan(op))
            case _:
                assert_never(op)

    def each(self, op: ops.Requant | ops.Clip | ops.Table, connect: Connect) -> None:
        x = self.read(op.x)
        y = self.stream(op.name, op.type, x.lanes, x.beats * x.lanes)
        self.place(connect(x, y))
        self.deliver(op, y)

    def first(self, op: ops.Sites) -> Stream:
        """Sites with a limit, of bits; `prepare_program` has left no others."""
        assert op.most is not None
        x = self.with_lanes(self.read(op.x), 1, op.name)
        y = self.stream(op.name, op.type, 1, x.beats)
        counter = self.name(f"{op.name}_dropped")
        self.place(blocks.first(x, y, op.name, op.most, counter))
        return y

    def layer(self, op: Accumulates, size: int) -> Stream:
        fold = self.folding.folds[op.name]
        x = self.read(op.x)
        layer = layer_of(op, self.program)
        assert layer is not None
        grouping = layer.grouping(fold)
        grouped = grouping != ALL_MEET
        lanes = layer.lanes(fold)
        if isinstance(op, ops.Conv) and not self.comes_in_order(op, x, lanes, grouping.rounds):
            shape = Sliding(
                self.program.shapes[op.x],
                op.window,
                op.strides,
                op.dilation,
                op.pads,
            )
            own = grouping.at_once * grouping.channels if grouped else shape.channels
            x = self.windows(x, op.name, shape, own, layer.vectors, lanes, fill=0)
        else:
            x = self.with_lanes(x, lanes, op.name)
        y = self.stream(op.name, op.type, fold.pe, size)
        shift = op.shift(x.type.frac)
        bias = op.bias.astype(np.int64)
        weight = op.weight.reshape(layer.inputs, -1).astype(np.int64) if grouped else matrix_of(op)
        self.place(blocks.mac(x, y, y.name, weight, op.weight_type, bias, shift, grouping))
        return y

    def comes_in_order(self, op: ops.Conv, x: Stream, lanes: int, rounds: int) -> bool:
        """Whether a stream is a convolution's windows as it is."""
        if pointwise(op):
            return True
        even = x.lanes % lanes == 0 or lanes % x.lanes == 0
        return even and rounds == 1 and tiles_rows(op, self.program.shapes[op.x])

    def windows(
        self,
        x: Stream,
        op: str,
        shape: Sliding,
        channels: int,
        vectors: int,
        chunk: int,
        fill: int,
    ) -> Stream:
        pixels = self.with_lanes(x, channels, op)
        y = self.stream(f"{op}_window", x.type, chunk, vectors * shape.taps)
        self.place(blocks.window(pixels, y, op, shape, fill))
        return y

    def pool(self, op: ops.Pool, size: int) -> Stream:
        x, image = self.read(op.x), self.program.shapes[op.x]
        add = int(op.kind is ops.PoolKind.SUM)
        if not add or x.type.bits > op.type.bits:
            x = self.resize(x, op.type, op.name)
        out = self.program.shapes[op.name]
        if _tiles(op, image, out):
            rows = [1] * (3 - len(image))
            x = self.with_lanes(x, math.gcd(x.lanes, image[-1]), op.name)
            y = self.stream(op.name, op.type, x.lanes, size)
            self.place(blocks.pool(x, y, y.name, (*rows, *image), (*rows, *op.window), add))
            return y
        ones = (1,) * len(op.window)
        shape = Sliding(image, op.window, op.strides, ones, op.pads)
        fill = 0 if add else x.type.raw_min  # which no maximum can see
        positions = math.prod(out[:-1])
        x = self.windows(x, op.name, shape, shape.channels, positions, shape.taps, fill)
        y = self.stream(op.name, op.type, image[-1], size)
        self.place(blocks.reduce(x, y, y.name, add))
        return y

    def scale(self, op: ops.Scale | ops.PRelu) -> Stream:
        shape = self.program.shapes[op.name]
        x = self.spread(self.read(op.x), self.program.shapes[op.x], shape, op.name)
        y = self.stream(op.name, op.type, x.lanes, x.beats * x.lanes)
        match op:
            case ops.Scale():
                factor, type_, bias = op.factor, op.factor_type, op.bias
                shift, prelu = op.type.frac - x.type.frac - type_.frac, 0
            case ops.PRelu():
                factor, type_, bias = op.slope, op.slope_type, np.zeros((), np.int64)
                shift, prelu = op.slope_type.frac, 1
            case _:
                assert_never(op)
        self.place(
            blocks.affine(
                x,
                y,
                y.name,
                _fill_shape(factor, shape),
                type_,
                _fill_shape(bias, shape),
                shift,
                prelu,
            )
        )
        return y

    def spread(self, x: Stream, have: ops.Shape, want: ops.Shape, op: str) -> Stream:
        """A value broadcast to a shape."""
        if have == want:
            return x
        if _by_channel(have, want):
            one = self.with_lanes(x, 1, op)
            y = self.stream(f"{op}_spread", x.type, want[-1], math.prod(want))
            self.place(blocks.repeat(one, y, op))
            return y
        places = np.arange(math.prod(have)).reshape(have)
        return self.gather(x, np.broadcast_to(places, want).reshape(-1), f"{op}_spread", 0, op)

    def operand(self, value: str, shape: ops.Shape, lanes: int, op: str) -> Stream:
        """A value that an op reads beside another, broadcast; constants come from a memory."""
        source = self.program[value]
        if isinstance(source, ops.Constant):
            y = self.stream(f"{op}_{value}", source.type, lanes, math.prod(shape))
            self.place(blocks.constant(y, op, _fill_shape(source.value, shape)))
            return y
        x = self.spread(self.read(value), self.program.shapes[value], shape, op)
        return self.with_lanes(x, lanes, op)

    def common_lanes(self, values: tuple[str, ...], size: int) -> int:
        """Lanes that suit all of an op's operands and divide so many elements."""
        lanes = size
        for value in values:
            if not isinstance(self.program[value], ops.Constant):
                lanes = math.gcd(lanes, self.waiting[value][0].lanes)
        return lanes

    def pair(self, op: ops.Pair) -> Stream:
        shape = self.program.shapes[op.name]
        size = math.prod(shape)
        shapes = {x: self.program.shapes[x] for x in (op.a, op.b)}
        whole = tuple(
            x
            for x, have in shapes.items()
            if have == shape and not isinstance(self.program[x], ops.Constant)
        )
        even = all(have == shape or _by_channel(have, shape) for have in shapes.values())
        lanes = self.common_lanes(whole, size) if even and whole else 1
        a, b = (self.operand(x, shape, lanes, op.name) for x in (op.a, op.b))
        y = self.stream(op.name, op.type, lanes, size)
        self.place(blocks.pair(a, b, y, op.name, op.kind))
        return y

    def concat(self, op: ops.Concat) -> Stream:
        """Pieces joined one by one; an only piece is brought to the type."""
        shapes = [self.program.shapes[x] for x in op.xs]
        runs = [math.prod(shape[op.axis :]) for shape in shapes]
        outer = math.prod(shapes[0][: op.axis])
        lanes = self.common_lanes(op.xs, math.gcd(*runs))
        pieces = [self.operand(x, s, lanes, op.name) for x, s in zip(op.xs, shapes, strict=True)]
        joined, length = pieces[0], runs[0]
        if len(pieces) == 1:
            y = self.stream(op.name, op.type, lanes, outer * length)
            self.place(blocks.requant(joined, y, y.name, Rounding.TRN, Overflow.WRAP))
            return y
        for number, (piece, run) in enumerate(zip(pieces[1:], runs[1:], strict=True), start=2):
            name = op.name if number == len(pieces) else f"{op.name}_{number}"
            y = self.stream(name, op.type, lanes, outer * (length + run))
            self.place(blocks.concat(joined, piece, y, op.name, length // lanes, run // lanes))
            joined, length = y, length + run
        return joined

    def scan(self, op: ops.Scan) -> Stream:
        """The body's blocks, to which a step is a frame, and a loop for each of its states."""
        steps, body = steps_of(op, self.program), repeated_body(op, self.program)
        inner = Build(body, self.folding, count_readers(body), names=self.names)
        loops: dict[str, Stream] = {}
        for number, (x, port) in enumerate(zip(ops.inputs_of(op), body.inputs, strict=True)):
            if not inner.uses[port.name]:
                continue
            size = math.prod(port.shape)
            if number < len(op.xs):
                whole = self.resize(self.read(x), port.type, port.name)
                whole = self.with_lanes(whole, math.gcd(whole.lanes, size), op.name)
                inner.deliver(port, replace(whole, beats=size // whole.lanes))
                continue
            lanes = lanes_of_state(port, body, self.folding.folds)
            start = self.operand(x, port.shape, lanes, port.name)
            if steps == 1:
                inner.deliver(port, self.resize(start, port.type, port.name))
                continue
            back = self.stream(f"{port.name}_next", port.type, lanes, (steps - 1) * size)
            state = self.stream(port.name, port.type, lanes, steps * size)
            self.place(blocks.concat(start, back, state, op.name, start.beats, back.beats))
            inner.deliver(port, replace(state, beats=start.beats))
            loops[port.name] = back
        for each in body.ops:
            if inner.uses[each.name] and not isinstance(each, ops.Constant | ops.Input):
                inner.add(each)
        yielded, *after = body.outputs
        y = inner.leaving(yielded.value, None, op.name)
        ends: list[tuple[Stream, Stream]] = []
        for output in after:
            back = loops[output.name]
            left = inner.leaving(output.value, back.lanes, output.name)
            ends.append((inner.resize(left, back.type, output.name), back))
        self.repeat(inner, steps)
        for left, back in ends:
            self.place(blocks.keep(replace(left, beats=steps * left.beats), back, op.name, 0))
        whole = replace(y, beats=steps * y.beats)
        if not op.stacked and steps > 1:
            last = self.stream(f"{op.name}_last", y.type, y.lanes, y.beats * y.lanes)
            self.place(blocks.keep(whole, last, op.name, whole.beats - last.beats))
            whole = last
        return self.resize(whole, op.type, op.name)

    def leaving(self, value: str, lanes: int | None, op: str) -> Stream:
        """A value that a step hands out, so many lanes wide, or as wide as it is."""
        stream = self.waiting.get(value)
        wide = lanes or (stream[0].lanes if stream else 1)
        return self.operand(value, self.program.shapes[value], wide, op)

    def repeat(self, inner: Build, steps: int) -> None:
        """Take over what was built for a step, which comes so many times in a frame. What a body
        leaves out has no port."""
        for name, stream in inner.streams.items():
            self.streams[name] = replace(stream, beats=steps * stream.beats)
        for block in inner.blocks:
            actors = (replace(one, repeats=steps * one.repeats) for one in block.actors)
            self.blocks.append(replace(block, actors=tuple(actors), counter=""))

    def move(self, op: ops.Moves) -> Stream:
        x = self.resize(self.read(op.x), op.type, op.name)
        order = op.sources(self.program.shapes[op.x])
        if order.size == x.beats * x.lanes and bool(np.all(order == np.arange(order.size))):
            return x
        return self.gather(x, order, op.name, op.fill, op.name)

    def gather(self, x: Stream, order: Ints, name: str, fill: int, op: str) -> Stream:
        """Elements in another order, as many at a time as stay together."""
        lanes = _together(order, math.gcd(x.lanes, order.size))
        x = self.with_lanes(x, lanes, op)
        y = self.stream(name, x.type, lanes, order.size)
        first = order.reshape(-1, lanes)[:, 0]
        beats = np.where(first < 0, -1, first // lanes)
        self.place(blocks.gather(x, y, op, beats, fill))
        return y


def _tiles(op: ops.Pool, image: ops.Shape, out: ops.Shape) -> bool:
    """Whether windows touch and do not overlap, or there is only one."""
    axes = zip(op.window, op.strides, op.pads, image[:-1], out[:-1], strict=True)
    return all(
        pad == (0, 0) and (stride == width or places == 1) and size // width == places
        for width, stride, pad, size, places in axes
    )


def _together(order: Ints, lanes: int) -> int:
    """The most lanes, dividing `lanes`, in which whole beats stay whole beats."""
    for count in range(lanes, 1, -1):
        if lanes % count:
            continue
        groups = order.reshape(-1, count)
        first = groups[:, :1]
        kept = (first % count == 0) & (groups == first + np.arange(count))
        if bool(np.all(kept | ((first < 0) & (groups < 0)))):
            return count
    return 1


def _by_channel(have: ops.Shape, want: ops.Shape) -> bool:
    """Whether a value has one number for all channels of each pixel."""
    return len(have) == len(want) > 1 and have[:-1] == want[:-1] and have[-1] == 1


def _fill_shape(values: ops.Weights, shape: ops.Shape) -> Ints:
    """Constants for every element of a shape."""
    return np.broadcast_to(values.astype(np.int64), shape).reshape(-1)
