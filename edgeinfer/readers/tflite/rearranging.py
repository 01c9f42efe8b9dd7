# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that join and part tensors along new axes, and those that take elements by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeinfer.base.tflite.model import Operator
from edgeinfer.graph.moves import FlipNode, GatherNode, bounds_along
from edgeinfer.graph.nodes import ConcatNode, SliceNode, TransposeNode
from edgeinfer.readers.tflite.moving import lead_of, numbers_of, place_steps
from edgeinfer.readers.tflite.pooling import same_scale
from edgeinfer.readers.tflite.values import StepDrawing, Steps, UnreadableOperatorError, inner
from quantization.fixed import Ints


def read_pack(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """PACK: tensors of one shape along a new axis."""
    out = op.outputs[0]
    axis = _inner_axis(op.options.axis, out.shape)
    parts = []
    for x in xs:
        same_scale(x, out)
        shape = list(inner(out.shape))
        shape[axis] = 1
        parts.append(d.reshape(f"{name}_part", x.tensor, tuple(shape)))
    joined = d.add(ConcatNode(name, tuple(parts), axis))
    low, high = min(x.low for x in xs), max(x.high for x in xs)
    return [replace(xs[0], tensor=joined, shape=out.shape, low=low, high=high)]


def read_unpack(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """UNPACK: the entries of an axis, which goes."""
    (x,) = xs
    axis = op.options.axis % len(x.shape)
    return _part(d, name, op, x, axis, [1] * len(op.outputs))


def read_split_sizes(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """SPLIT_V: parts of given sizes along an axis; -1: what is left."""
    (x,) = xs
    axis = int(numbers_of(op, 2).reshape(-1)[0]) % len(x.shape)
    sizes = numbers_of(op, 1).reshape(-1).tolist()
    rest = x.shape[axis] - sum(size for size in sizes if size != -1)
    return _part(d, name, op, x, axis, [rest if size == -1 else size for size in sizes])


def _part(
    d: StepDrawing, name: str, op: Operator, x: Steps, axis: int, sizes: Sequence[int]
) -> list[Steps]:
    place, shape = _inner_axis(axis, x.shape), inner(x.shape)
    if sum(sizes) != x.shape[axis] or min(sizes) < 1:
        raise UnreadableOperatorError(f"{list(sizes)} are no parts of {x.shape} along axis {axis}")
    parts, first = [], 0
    for number, size in enumerate(sizes):
        bounds = bounds_along(shape, place, first, first + size)
        first += size
        node = SliceNode(d.fresh(f"{name}_{number}"), x.tensor, *bounds)
        part = d.reshape(f"{node.name}_shaped", d.add(node), inner(op.outputs[number].shape))
        parts.append(place_steps(x, op, part, number))
    return parts


def read_gather(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """GATHER of stored indices along an axis."""
    indices = numbers_of(op, 1)
    axis = _inner_axis(op.options.axis, x.shape)
    if op.options.batch_dims or axis < 0:
        raise UnreadableOperatorError("it gathers for each entry of another axis")
    if indices.size and int(indices.min()) < 0:
        raise UnreadableOperatorError("its indices are negative")
    return _take(d, name, op, x, {axis: indices.reshape(-1).tolist()})


def read_mirror_pad(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """MIRROR_PAD: what lies inside, reflected; with the edge twice where it is symmetric."""
    mode = "symmetric" if op.options.symmetric else "reflect"
    pads = numbers_of(op, 1).reshape(-1, 2)
    _check_sizes(op, np.asarray(x.shape) + pads.sum(axis=1))
    places = [
        np.pad(np.arange(size), (int(before), int(after)), mode)  # type: ignore[call-overload]
        for size, (before, after) in zip(x.shape, pads, strict=True)
    ]
    return _take_all(d, name, op, x, [each.tolist() for each in places])


def read_tile(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """TILE: a tensor so many times along each axis."""
    counts = numbers_of(op, 1).reshape(-1).tolist()
    _check_sizes(op, np.asarray(x.shape) * np.asarray(counts, np.int64))
    places = [list(range(size)) * n for size, n in zip(x.shape, counts, strict=True)]
    return _take_all(d, name, op, x, places)


def _check_sizes(op: Operator, sizes: Ints) -> None:
    """Refuse what a file says of its output and does not declare, before anything is so large."""
    if sizes.tolist() != list(op.outputs[0].shape):
        raise UnreadableOperatorError(
            f"it makes {sizes.tolist()}; its output is declared as {op.outputs[0].shape}"
        )


def _take_all(
    d: StepDrawing, name: str, op: Operator, x: Steps, places: Sequence[list[int]]
) -> Steps:
    lead = lead_of(x)
    if any(each != [0] for each in places[:lead]):
        raise UnreadableOperatorError("it repeats samples of a batch")
    return _take(d, name, op, x, dict(enumerate(places[lead:])))


def _take(d: StepDrawing, name: str, op: Operator, x: Steps, places: dict[int, list[int]]) -> Steps:
    tensor = x.tensor
    for axis, indices in places.items():
        if indices != list(range(d.shapes[tensor][axis])):
            node = GatherNode(d.fresh(f"{name}_{axis}"), tensor, axis, tuple(indices))
            tensor = d.add(node)
    return place_steps(x, op, d.reshape(f"{name}_shaped", tensor, inner(op.outputs[0].shape)))


def read_reverse(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """REVERSE_V2: axes from their end to their beginning."""
    axes = tuple(sorted(_inner_axis(int(n), x.shape) for n in numbers_of(op, 1).reshape(-1)))
    return place_steps(x, op, d.add(FlipNode(name, x.tensor, axes)))


def read_depth_to_space(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """DEPTH_TO_SPACE: channels become blocks of pixels."""
    block, (_, height, width, channels) = op.options.block, x.shape
    shape = (height, width, block, block, channels // block**2)
    parted = d.reshape(f"{name}_parted", x.tensor, shape)
    turned = d.add(TransposeNode(d.fresh(f"{name}_turned"), parted, (0, 2, 1, 3, 4)))
    return place_steps(x, op, d.reshape(name, turned, inner(op.outputs[0].shape)))


def read_space_to_depth(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """SPACE_TO_DEPTH: blocks of pixels become channels."""
    block, (_, height, width, channels) = op.options.block, x.shape
    shape = (height // block, block, width // block, block, channels)
    parted = d.reshape(f"{name}_parted", x.tensor, shape)
    turned = d.add(TransposeNode(d.fresh(f"{name}_turned"), parted, (0, 2, 1, 3, 4)))
    return place_steps(x, op, d.reshape(name, turned, inner(op.outputs[0].shape)))


def _inner_axis(axis: int, shape: Sequence[int]) -> int:
    """An axis of the file in the Graph, which leaves out the batch."""
    lead = len(shape) - len(inner(tuple(shape)))
    place = axis % len(shape) - lead
    if place < 0:
        raise UnreadableOperatorError("it works along the batch")
    return place
