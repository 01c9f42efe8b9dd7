# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The part of a network that patches share: what is the same wherever in a patch it is computed.

An op that treats all places alike, and sees no padding, yields the same numbers for every patch
that contains the place. Such ops at the start of a Program are computed once for each pixel of the
plane. A stride of an op becomes a distance between the places that a patch reads.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.ir.bounds import bounds_of, reach_of_sums, wide
from edgeinfer.ir.ops import (
    Clip,
    Constant,
    Conv,
    Dense,
    Input,
    Moves,
    Op,
    Pair,
    PairKind,
    Pool,
    PoolKind,
    PRelu,
    Requant,
    Reshape,
    Scale,
    Shape,
    Softmax,
    Table,
    Weights,
    inputs_of,
    pack_weights,
)
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Ints
from quantization.ranges import Interval

FLOAT64_INTEGERS = 1 << 53
PICTURE_AXES = 3


@dataclass(frozen=True, slots=True)
class PlaceStage:
    """One step from place to place: what a window of places yields at its first place."""

    window: tuple[int, int]
    step: tuple[int, int]  # pixels between two places of the window
    pool: PoolKind | None  # over the window, where that is all; else `program` sees the window
    program: Program | None  # (rows, columns, channels) -> (1, 1, channels)
    low: int  # what is proved of the result
    high: int
    macs: int


@dataclass(frozen=True, slots=True)
class FirstLayer:
    """The first dense layer behind the shared part: every place and channel of a patch."""

    weights: Weights  # (places, channels, outputs)
    shift: int  # by how much finer the layer's grid is than the products'
    bias: Ints
    reach: int  # largest absolute value of any sum of products, in whatever order


@dataclass(frozen=True, slots=True)
class Cut:
    """A Program cut where places stop being independent."""

    program: Program
    stages: tuple[PlaceStage, ...]
    places: tuple[int, int]  # of the last shared value in a patch
    step: tuple[int, int]  # pixels between two of them
    channels: int
    low: int  # what is proved of the last shared value
    high: int
    first: FirstLayer | None  # None: `tail` reads the places themselves
    tail: Program

    @property
    def patch(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        height, width, _ = self.program.inputs[0].shape
        return height, width

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of pixels that one place sees."""
        (height, width), (rows, columns) = self.patch, self.places
        return height - (rows - 1) * self.step[0], width - (columns - 1) * self.step[1]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why patches of a Program share nothing."""

    reason: str


@dataclass(slots=True)
class _Walk:
    """How far the shared part reaches so far."""

    program: Program
    proved: dict[str, Interval]
    readers: Counter[str]
    last: str
    step: tuple[int, int] = (1, 1)


def cut_program(program: Program) -> Cut | Obstacle:
    """The cut behind the last op that patches share, or why there is none."""
    if len(program.inputs) != 1 or len(program.inputs[0].shape) != PICTURE_AXES:
        return Obstacle("it does not read one picture")
    source = program.inputs[0]
    readers = Counter(x for op in program.ops for x in inputs_of(op))
    readers.update(output.value for output in program.outputs)
    walk = _Walk(program, bounds_of(program), readers, source.name)
    stages: list[PlaceStage] = []
    reason = ""
    while True:
        op = _only_reader(walk)
        reason = "several ops read its picture" if op is None else _objection(op, walk)
        if reason or op is None:
            break
        stages += _stages_of(op, walk)
    first = _first_layer(walk)
    if not stages and first is None:
        return Obstacle(reason)
    shape, range_ = program.shapes[walk.last], walk.proved[walk.last]
    tail = _tail_of_places(walk) if first is None else _tail_of_sums(walk, first[1])
    return Cut(
        program,
        tuple(stages),
        (shape[0], shape[1]),
        walk.step,
        shape[2],
        range_.bottom,
        range_.top,
        None if first is None else first[0],
        tail,
    )


def _only_reader(walk: _Walk) -> Op | None:
    if walk.readers[walk.last] != 1:
        return None
    readers = [op for op in walk.program.ops if walk.last in inputs_of(op)]
    return readers[0] if readers else None


def _objection(op: Op, walk: _Walk) -> str:
    """Why an op cannot be shared; empty where it can."""
    match op:
        case Conv() | Pool():
            if any(pad != (0, 0) for pad in op.pads):
                return f"%{op.name} pads, so what it yields depends on where in the patch it is"
            if walk.program.shapes[op.name][:2] == (1, 1):
                return f"%{op.name} sees the whole patch at once"
            return ""
        case Requant() | Clip() | Table():
            return ""
        case Scale():
            return _objection_to_shapes(op, op.factor.shape, op.bias.shape)
        case PRelu():
            return _objection_to_shapes(op, op.slope.shape)
        case Softmax(axis=2):
            return ""
        case Pair():
            other = walk.program[op.b if op.a == walk.last else op.a]
            if isinstance(other, Constant):
                return _objection_to_shapes(op, other.value.shape)
            return f"%{op.name} joins two values"
        case Dense():
            return ""  # over the channels of each place
        case _:  # the rest may differ from place to place
            return f"%{op.name} ({type(op).__name__}) does not treat all places alike"


def _objection_to_shapes(op: Op, *shapes: Shape) -> str:
    if all(math.prod(shape[:-1]) == 1 for shape in shapes):
        return ""
    return f"%{op.name} has parameters for each place"


def _stages_of(op: Op, walk: _Walk) -> list[PlaceStage]:
    """The stages of one op, and of the ops behind it that look at one place only."""
    before, step = walk.last, walk.step
    program, range_ = walk.program, _by_channel(walk.proved[before])
    op_list: list[Op] = []
    window, strides = (1, 1), (1, 1)
    if isinstance(op, Conv | Pool):
        strides = (op.strides[0], op.strides[1])
        size = op.window if isinstance(op, Pool) else op.weight.shape
        window = (size[0], size[1])
    if isinstance(op, Conv):
        step = (step[0] * op.dilation[0], step[1] * op.dilation[1])
    walk.step = (walk.step[0] * strides[0], walk.step[1] * strides[1])
    pools = _pool_stages(op, walk, window, step) if isinstance(op, Pool) else []
    if not pools:
        shape = (*window, program.shapes[before][2])
        op_list += _on_one_window(op, shape, program.type(before))
    else:
        window, before, range_ = (1, 1), op.name, _by_channel(walk.proved[op.name])
    walk.last = op.name
    while (after := _only_reader(walk)) is not None:
        if isinstance(after, Conv | Pool) or _objection(after, walk):
            break
        op_list.append(after)
        walk.last = after.name
    if not op_list:
        return pools
    shape = (*window, program.shapes[before][2])
    names = {x for each in op_list for x in inputs_of(each)}
    ops = (
        *_proved_input(before, program.type(before), shape, range_),
        *(each for each in program.ops if isinstance(each, Constant) and each.name in names),
        *op_list,
    )
    name = f"{program.name}_{op.name}"
    stage_program = Program(name, ops, (Output("y", walk.last),))
    interval = walk.proved[walk.last]
    stage = PlaceStage(
        window, step, None, stage_program, interval.bottom, interval.top, stage_program.macs
    )
    return [*pools, stage]


def _pool_stages(
    op: Pool, walk: _Walk, window: tuple[int, int], step: tuple[int, int]
) -> list[PlaceStage]:
    """A pool over rows, then over columns: fewer elements to look at."""
    after, before = walk.proved[op.name], walk.proved[op.x]
    rows, columns = window
    if op.kind is PoolKind.SUM:  # the sum over rows alone reaches no further than both ends allow
        low = min(before.bottom, before.bottom * rows, 0)
        high = max(before.top, before.top * rows, 0)
    else:
        low, high = before.bottom, before.top
    return [
        PlaceStage((rows, 1), step, op.kind, None, low, high, 0),
        PlaceStage((1, columns), step, op.kind, None, after.bottom, after.top, 0),
    ]


def _on_one_window(op: Op, shape: Shape, type_: Fixed) -> list[Op]:
    """An op that looks at one window only, taps side by side. A full convolution is a matrix."""
    if not isinstance(op, Conv):
        return [op]
    if op.groups > 1:
        return [replace(op, strides=(1, 1), dilation=(1, 1))]
    flat = f"{op.x} in a row"
    inputs = math.prod(shape)
    weight = op.weight.reshape(inputs, -1)
    row = Reshape(flat, type_, op.x, (1, 1, inputs))
    return [row, Dense(op.name, op.type, flat, weight, op.weight_type, op.bias)]


def _proved_input(name: str, type_: Fixed, shape: Shape, range_: Interval) -> tuple[Op, ...]:
    """A value of the Program as an input. What is proved of it goes with it, as limits that never
    bite: a type alone would say less, and the widths behind it would no longer be proved."""
    if (range_.low <= type_.raw_min).all() and (range_.high >= type_.raw_max).all():
        return (Input(name, type_, shape),)
    source = Input(f"{name} as given", type_, shape)
    if range_.low.size == range_.high.size == 1:
        return (source, Clip(name, type_, source.name, range_.bottom, range_.top))
    low, high = (np.broadcast_to(end, shape).astype(np.int64) for end in (range_.low, range_.high))
    least = Constant(f"least of {name}", type_, pack_weights(low))
    most = Constant(f"most of {name}", type_, pack_weights(high))
    raised = Pair(f"{name} raised", type_, source.name, least.name, PairKind.MAX)
    clamped = Pair(name, type_, raised.name, most.name, PairKind.MIN)
    return (source, least, most, raised, clamped)


def _by_channel(range_: Interval) -> Interval:
    """What holds at every place alike."""
    if max(range_.low.ndim, range_.high.ndim) <= 1:
        return range_
    low, high = np.broadcast_arrays(range_.low, range_.high)
    return Interval(
        low.reshape(-1, low.shape[-1]).min(axis=0), high.reshape(-1, high.shape[-1]).max(axis=0)
    )


def _first_layer(walk: _Walk) -> tuple[FirstLayer, Conv | Dense] | None:
    """The dense layer over all places, behind nothing but moves of elements; or a convolution
    whose window is the whole patch, which is the same."""
    program, shape = walk.program, walk.program.shapes[walk.last]
    name = walk.last
    index = np.arange(math.prod(shape)).reshape(shape)
    while True:
        readers = [op for op in program.ops if name in inputs_of(op)]
        if walk.readers[name] != 1 or len(readers) != 1:
            return None
        op = readers[0]
        if isinstance(op, Moves) and not op.fills(index.shape):
            index, name = op.move(index, 0), op.name
            continue
        break
    if isinstance(op, Conv):
        whole = op.groups == 1 and op.weight.shape[:2] == index.shape[:2]
        if not whole or any(pad != (0, 0) for pad in op.pads):
            return None
    elif not isinstance(op, Dense) or index.ndim != 1:
        return None
    index = index.reshape(-1)
    weights = op.weight.reshape(index.size, -1)
    reach = reach_of_sums(op, walk.proved[op.x], program.shapes[op.x])
    range_ = walk.proved[walk.last]
    largest = (range_.top - range_.bottom) * int(np.abs(wide(weights)).sum(axis=0).max())
    if 2 * max(reach, largest) >= FLOAT64_INTEGERS:
        return None
    if (index != np.arange(index.size)).any() or index.size != math.prod(shape):
        spread = np.zeros((math.prod(shape), weights.shape[1]), np.int64)
        np.add.at(spread, index, weights.astype(np.int64))  # a place may be read more than once
        weights = pack_weights(spread)
    by_place = weights.reshape(-1, shape[2], weights.shape[1])
    shift = op.type.frac - op.weight_type.frac - program.type(op.x).frac
    return FirstLayer(by_place, shift, op.bias.astype(np.int64), reach), op


def _tail_of_sums(walk: _Walk, first: Conv | Dense) -> Program:
    """What follows the first dense layer, from that layer's raw values."""
    program = walk.program
    shape = program.shapes[first.name]
    source_ops = _proved_input(first.name, first.type, shape, walk.proved[first.name])
    return _rest(walk, first.name, source_ops)


def _tail_of_places(walk: _Walk) -> Program:
    """What follows the shared part, from the places of one patch."""
    program, name = walk.program, walk.last
    source_ops = _proved_input(name, program.type(name), program.shapes[name], walk.proved[name])
    return _rest(walk, name, source_ops)


def _rest(walk: _Walk, name: str, source_ops: tuple[Op, ...]) -> Program:
    """The ops that the outputs need beside a value that is given."""
    program = walk.program
    needed = {output.value for output in program.outputs}
    ops: list[Op] = []
    for op in reversed(program.ops):
        if op.name in needed and op.name != name:
            ops.append(op)
            needed.update(inputs_of(op))
    return Program(f"{program.name}_tail", (*source_ops, *reversed(ops)), program.outputs)
