# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that bring integers to other places; the stored integers stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from edgeinfer.base.tflite.model import Operator
from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import FlipNode, GatherNode
from edgeinfer.readers.tflite.linear import stored_input
from edgeinfer.readers.tflite.pooling import same_scale
from edgeinfer.readers.tflite.values import StepDrawing, Steps, UnreadableOperatorError, inner

Entry = TypeVar("Entry")


def place_steps(x: Steps, op: Operator, tensor: str, place: int = 0) -> Steps:
    """The same steps elsewhere."""
    same_scale(x, op.outputs[place])
    return replace(x, tensor=tensor, shape=op.outputs[place].shape)


def read_reshape(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the file declares the shape that they lead to."""
    return place_steps(x, op, d.reshape(name, x.tensor, inner(op.outputs[0].shape)))


def read_pad(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """PAD: the zero point around a tensor."""
    pads = [(int(before), int(after)) for before, after in numbers_of(op, 1).reshape(-1, 2)]
    if min(map(min, pads)) < 0:
        raise UnreadableOperatorError(f"its padding {pads} is negative")
    padded = d.add(g.PadNode(name, x.tensor, tuple(_without_batch(x, pads, (0, 0)))))
    return replace(place_steps(x, op, padded), low=min(x.low, 0), high=max(x.high, 0))


def read_transpose(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """TRANSPOSE; the batch stays in front."""
    order = [int(axis) for axis in numbers_of(op, 1).reshape(-1)]
    lead = lead_of(x)
    if lead and order[:1] != [0]:
        raise UnreadableOperatorError(f"its order {order} moves the batch")
    node = g.TransposeNode(name, x.tensor, tuple(axis - lead for axis in order[lead:]))
    return place_steps(x, op, d.add(node))


def read_slice(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """SLICE: so many entries of each axis from a start; -1: up to the end."""
    starts, counts = (numbers_of(op, place).reshape(-1).tolist() for place in (1, 2))
    parts = [
        (start, size if count == -1 else start + count, 1)
        for start, count, size in zip(starts, counts, x.shape, strict=True)
    ]
    return _cut(d, name, op, x, parts)


def read_strided_slice(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """STRIDED_SLICE, backwards along the axes whose step is negative."""
    options = op.options
    starts, stops, steps = (numbers_of(op, place).reshape(-1).tolist() for place in (1, 2, 3))
    places = _sliced_axes(op, len(starts), len(x.shape))
    if 0 in steps:
        raise UnreadableOperatorError(f"its steps {steps} cannot be read")
    parts: list[tuple[int, int, int]] = [(0, size, 1) for size in x.shape]
    backwards: list[int] = []
    for place, axis in places.items():
        size, bit, step = x.shape[axis], 1 << place, steps[place]
        ends = (0, size) if step > 0 else (size - 1, -1)
        first = ends[0] if options.begin_mask & bit else _index(starts[place], size, ends)
        last = ends[1] if options.end_mask & bit else _index(stops[place], size, ends)
        indices = range(first, last, step)
        if options.shrink_mask & bit:
            indices = range(first, first + 1)
        elif step < 0:
            backwards.append(axis)
            indices = indices[::-1]
        if not indices:
            raise UnreadableOperatorError(f"it takes none of axis {axis} of {x.shape}")
        parts[axis] = (indices[0], indices[-1] + 1, abs(step))
    lead = lead_of(x)
    turned = tuple(axis - lead for axis in sorted(backwards) if axis >= lead)
    return _cut(d, name, op, x, parts, turned)


def _sliced_axes(op: Operator, entries: int, rank: int) -> dict[int, int]:
    """Which axis each entry of a slice cuts. Entries for new axes cut none."""
    options, axes, axis = op.options, {}, 0
    masks = options.ellipsis_mask | options.new_axis_mask
    cutting = sum(not masks & 1 << place for place in range(entries))
    for place in range(entries):
        if options.ellipsis_mask & 1 << place:
            axis += rank - cutting
        elif not options.new_axis_mask & 1 << place:
            axes[place] = axis
            axis += 1
    if cutting > rank:
        raise UnreadableOperatorError(f"it cuts {cutting} axes of {rank}")
    return axes


def _index(index: int, size: int, ends: tuple[int, int]) -> int:
    return min(max(index + size if index < 0 else index, min(ends)), max(ends))


def _cut(
    d: StepDrawing,
    name: str,
    op: Operator,
    x: Steps,
    parts: Sequence[tuple[int, int, int]],
    backwards: tuple[int, ...] = (),
) -> Steps:
    if any(
        not 0 <= start < stop <= size for (start, stop, _), size in zip(parts, x.shape, strict=True)
    ):
        raise UnreadableOperatorError(f"it takes {list(parts)} of {x.shape}")
    starts, stops, steps = zip(*_without_batch(x, parts, (0, 1, 1)), strict=True)
    part = d.add(g.SliceNode(name, x.tensor, starts, stops, steps))
    if backwards:
        part = d.add(FlipNode(d.fresh(f"{name}_backwards"), part, backwards))
    return place_steps(x, op, d.reshape(f"{name}_shaped", part, inner(op.outputs[0].shape)))


def read_nearest(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """RESIZE_NEAREST_NEIGHBOR: each place takes the element that its own falls on, in float32."""
    if len(x.shape) != 4 or len(op.outputs[0].shape) != 4:
        raise UnreadableOperatorError(f"an image of {x.shape} cannot be read")
    tensor, options = x.tensor, op.options
    for axis in (1, 2):
        size, result_size = x.shape[axis], op.outputs[0].shape[axis]
        aligned = options.align_corners and result_size > 1
        ratio = (
            np.float32(size - 1) / np.float32(result_size - 1)
            if aligned
            else (np.float32(size) / np.float32(result_size))
        )
        places = np.arange(result_size, dtype=np.float32)
        exact = (places + np.float32(0.5 if options.half_pixel else 0.0)) * ratio
        near = np.floor(exact + np.float32(0.5)) if options.align_corners else np.floor(exact)
        indices = np.clip(near.astype(np.int64), 0, size - 1)
        if indices.tolist() != list(range(size)):
            node = GatherNode(d.fresh(f"{name}_{axis}"), tensor, axis - 1, tuple(indices.tolist()))
            tensor = d.add(node)
    return place_steps(x, op, tensor)


def read_concatenation(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """CONCATENATION of tensors with the output's scale."""
    if op.options.fused != "NONE":
        raise UnreadableOperatorError(f"its activation {op.options.fused} cannot be read")
    axis = op.options.axis % len(xs[0].shape) - lead_of(xs[0])
    if axis < 0:
        raise UnreadableOperatorError("it joins samples of a batch")
    for x in xs:
        same_scale(x, op.outputs[0])
    joined = d.add(g.ConcatNode(name, tuple(x.tensor for x in xs), axis))
    low, high = min(x.low for x in xs), max(x.high for x in xs)
    return [replace(xs[0], tensor=joined, shape=op.outputs[0].shape, low=low, high=high)]


def read_extremes(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """MAXIMUM and MINIMUM of two tensors with the output's scale."""
    for x in xs:
        same_scale(x, op.outputs[0])
    extremes = d.add(g.MergeNode(name, tuple(x.tensor for x in xs), g.MergeKind(op.name.lower())))
    low, high = min(x.low for x in xs), max(x.high for x in xs)
    return [replace(xs[0], tensor=extremes, shape=op.outputs[0].shape, low=low, high=high)]


def read_split(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """SPLIT into equal parts along an axis."""
    (x,) = xs
    axis, count = int(numbers_of(op, 0).reshape(-1)[0]) % len(x.shape), len(op.outputs)
    if x.shape[axis] % count:
        raise UnreadableOperatorError(f"{x.shape} has not {count} equal parts along axis {axis}")
    width = x.shape[axis] // count
    split_parts = []
    for part in range(count):
        parts = [(0, size, 1) for size in x.shape]
        parts[axis] = (part * width, (part + 1) * width, 1)
        starts, stops, steps = zip(*_without_batch(x, parts, (0, 1, 1)), strict=True)
        node = g.SliceNode(d.fresh(f"{name}_{part}"), x.tensor, starts, stops, steps)
        split_parts.append(place_steps(x, op, d.add(node), part))
    return split_parts


def lead_of(x: Steps) -> int:
    """How many axes of the file the Graph leaves out."""
    return len(x.shape) - len(inner(x.shape))


def _without_batch(x: Steps, entries: Sequence[Entry], whole: Entry) -> Sequence[Entry]:
    """One entry for each axis of the Graph; the batch must be taken as it is."""
    lead = lead_of(x)
    if len(entries) != len(x.shape) or any(entry != whole for entry in entries[:lead]):
        raise UnreadableOperatorError(f"{list(entries)} does not fit the axes of {x.shape}")
    return entries[lead:]


def numbers_of(op: Operator, place: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Whole numbers that the file stores as an input."""
    return stored_input(op, place).integers().astype(np.int64)
