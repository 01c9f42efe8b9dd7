# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The footprint place by place in float32, as `edgeinfer event` computed it before it multiplied
bytes by unit: the reference that the benchmark compares with, on one processor and in one process.

Where a patch holds no charge, the convolution yields a constant, so the first dense layer of an
empty patch is one precomputed vector. What remains is the difference that charge makes: the
convolution runs once for each touched place of the picture, shared by all patches that see it, and
only touched places enter the dense layer's sum. Integers make the rearranged sum identical.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edgeinfer.ir.bounds import bounds_of, reach_of_sums, wide
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import windows
from edgeinfer.ir.ops import (
    Clip,
    Constant,
    Conv,
    Dense,
    Input,
    Op,
    Pair,
    PairKind,
    PRelu,
    Requant,
    Reshape,
    Scale,
    Table,
    inputs_of,
    pack_weights,
)
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Ints
from quantization.ranges import Interval

CHUNK = 4096  # patches whose sums stay in the cache while the weights stream past
SUMS = "first_layer_sums"
FLOAT32_INTEGERS, FLOAT64_INTEGERS = 1 << 24, 1 << 53


@dataclass(frozen=True, slots=True)
class Split:
    """A tagger cut where places stop being independent."""

    head: Program  # one window of pixels -> the channels of one place
    first: Dense  # all places of a patch -> the first dense layer
    tail: Program  # that layer's sums -> the outputs
    patch: tuple[int, int]
    window: tuple[int, int]
    empty: Ints  # channels of a place without charge
    baseline: Ints  # what a patch without charge adds up to in the first dense layer
    weights: NDArray[np.floating]  # of that layer, by place, channel and output

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of places in a patch."""
        (height, width), (rows, columns) = self.patch, self.window
        return height - rows + 1, width - columns + 1


def split(program: Program) -> Split | None:
    """The cut, or None where the program has no part that patches can share: it must begin with
    one valid convolution of stride 1, element-wise ops, and a dense layer over the whole patch."""
    chain = _chain(program)
    if chain is None:
        return None
    source, conv, between, first = chain
    proved = bounds_of(program)
    if 2 * reach_of_sums(first, proved[first.x], program.shapes[first.x]) >= FLOAT64_INTEGERS:
        return None
    rows, columns = (
        (size - 1) * step + 1
        for size, step in zip(conv.weight.shape[:2], conv.dilation, strict=True)
    )
    window = replace(source, shape=(rows, columns, source.shape[-1]))
    last = between[-1].name if between else conv.name
    head = Program(f"{program.name}_head", (window, conv, *between), (Output("y", last),))
    at = [op.name for op in program.ops].index(first.name)
    rest = (*_proved_input(first, proved[first.name], program), *program.ops[at + 1 :])
    tail = Program(f"{program.name}_tail", rest, program.outputs)
    zero = np.zeros((1, *window.shape), np.int64)
    empty = Engine(head, threads=1).run({source.name: zero})["y"].reshape(-1)
    height, width = source.shape[:2]
    places = first.weight.shape[0] // empty.size
    baseline = np.tile(empty, places) @ wide(first.weight)
    reached = proved[first.x]
    weights = _exact_weights(first, empty, max(abs(reached.bottom), abs(reached.top)))
    return Split(head, first, tail, (height, width), (rows, columns), empty, baseline, weights)


def _proved_input(first: Dense, range_: Interval, program: Program) -> tuple[Op, ...]:
    """The sums as an input. What is proved of each goes with them, as limits that never bite:
    an input's type alone would say less, and the widths behind it would no longer be proved."""
    shape = program.shapes[first.name]
    sums = Input(SUMS, first.type, shape)
    low, high = (np.broadcast_to(end, shape).astype(np.int64) for end in (range_.low, range_.high))
    least = Constant(f"{SUMS}_least", first.type, pack_weights(low))
    most = Constant(f"{SUMS}_most", first.type, pack_weights(high))
    raised = Pair(f"{SUMS}_raised", first.type, SUMS, least.name, PairKind.MAX)
    held = Pair(first.name, first.type, raised.name, most.name, PairKind.MIN)
    return (sums, least, most, raised, held)


def _chain(program: Program) -> tuple[Input, Conv, list[Op], Dense] | None:
    readers = Counter(x for op in program.ops for x in inputs_of(op))
    readers.update(output.value for output in program.outputs)
    ops = iter(program.ops)
    source, conv = next(ops, None), next(ops, None)
    if not isinstance(source, Input) or len(program.inputs) != 1 or len(source.shape) != 3:
        return None
    if not isinstance(conv, Conv) or conv.x != source.name or conv.strides != (1, 1):
        return None
    if any(pad != (0, 0) for pad in conv.pads):
        return None
    between: list[Op] = []
    last: Op = conv
    if readers[source.name] != 1:
        return None
    for op in ops:
        if inputs_of(op) != (last.name,) or readers[last.name] != 1:
            return None
        if isinstance(op, Reshape) and len(op.shape) == 1:
            first = next(ops, None)
            whole = isinstance(first, Dense) and first.x == op.name and readers[op.name] == 1
            return (source, conv, between, first) if whole and isinstance(first, Dense) else None
        if not _same_everywhere(op):
            return None
        between.append(op)
        last = op
    return None


def _same_everywhere(op: Op) -> bool:
    """Whether an op treats every place alike."""
    match op:
        case Requant() | Clip() | Table():
            return True
        case Scale():
            return op.factor.ndim <= 1 and op.bias.ndim <= 1
        case PRelu():
            return op.slope.ndim <= 1
        case _:  # the rest may differ from place to place
            return False


def tag_touched(cut: Split, picture: Ints, corners: NDArray[np.intp]) -> dict[str, Ints]:
    """Outputs for patches whose upper left corners are given."""
    delta, row_of = differences(cut, picture)
    return Engine(cut.tail).run({SUMS: _dense_sums(cut, delta, row_of, corners)})


def differences(cut: Split, picture: Ints) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """What charge changes: a row of channels for each touched place of the picture, and for every
    place the number of its row, or -1 where nothing is touched."""
    rows, columns = cut.window
    seen = windows(picture[None], cut.window, (1, 1), ((0, 0), (0, 0)), (1, 1), fill=0)[0]
    charged = (picture != 0).any(axis=-1)
    touched = np.zeros(seen.shape[:2], np.bool_)
    for dy in range(rows):
        for dx in range(columns):
            touched |= charged[dy : dy + touched.shape[0], dx : dx + touched.shape[1]]
    row_of = np.where(touched, np.cumsum(touched).reshape(touched.shape) - 1, -1)
    if not touched.any():
        return np.zeros((0, cut.empty.size), np.float32), row_of
    pixels = np.moveaxis(seen[touched], 1, -1)  # (places, window rows, window columns, channels)
    results = Engine(cut.head).run({cut.head.inputs[0].name: pixels})["y"]
    return (results.reshape(-1, cut.empty.size) - cut.empty).astype(np.float32), row_of


def _dense_sums(
    cut: Split,
    delta: NDArray[np.float32],
    row_of: NDArray[np.intp],
    corners: NDArray[np.intp],
) -> Ints:
    """The first dense layer's raw values for each patch."""
    shift = cut.first.type.frac - cut.first.weight_type.frac
    shift -= cut.head.type(cut.head.outputs[0].value).frac
    flat = row_of.reshape(-1)
    width = row_of.shape[1]
    origin = corners[:, 0] * width + corners[:, 1]
    groups = _exact_groups(cut, delta)
    sums = np.empty((len(corners), cut.baseline.size), np.int64)
    with threadpool_limits(limits=1, user_api="blas"):  # the products are too small to share
        for start in range(0, len(corners), CHUNK):
            here = origin[start : start + CHUNK]
            total = np.zeros((len(here), cut.baseline.size))
            for group in groups:
                partial = np.zeros(total.shape, cut.weights.dtype)
                for place in group:
                    row, column = divmod(place, cut.places[1])
                    rows = flat[here + (row * width + column)]
                    chosen = np.flatnonzero(rows >= 0)
                    if chosen.size:
                        partial[chosen] += delta[rows[chosen]] @ cut.weights[place]
                total += partial
            sums[start : start + CHUNK] = total.astype(np.int64)
    return (sums + cut.baseline << shift) + wide(cut.first.bias)


def _exact_groups(cut: Split, delta: NDArray[np.float32]) -> list[range]:
    """Runs of places whose partial sums, all together, stay exact in the weights' float type."""
    spread = np.abs(delta).max(axis=0, initial=0.0).astype(np.float64)
    reach = np.einsum("c,pco->po", spread, np.abs(cut.weights), dtype=np.float64).max(axis=1)
    limit = FLOAT32_INTEGERS if cut.weights.dtype == np.float32 else FLOAT64_INTEGERS
    groups: list[range] = []
    first, held = 0, 0.0
    for place, more in enumerate(reach.tolist()):
        if held + more > limit and place > first:
            groups.append(range(first, place))
            first, held = place, 0.0
        held += more
    return [*groups, range(first, len(reach))]


def _exact_weights(first: Dense, empty: Ints, largest: int) -> NDArray[np.floating]:
    """The weights by place, in float32 where the sum over one place's channels is an exact integer
    whatever the charge, else in float64."""
    weight = first.weight.reshape(-1, empty.size, first.weight.shape[-1])
    reach = 2 * largest * int(np.abs(weight.astype(np.int32)).sum(axis=1).max(initial=0))
    return weight.astype(np.float32 if reach <= FLOAT32_INTEGERS else np.float64)
