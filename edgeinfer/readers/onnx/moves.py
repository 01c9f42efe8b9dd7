# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that only move elements: Reshape, Transpose, Squeeze, Slice, Split and their kin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.graph.moves import FlipNode, GatherNode, SliceNode, bounds_along
from edgeinfer.graph.nodes import Shape
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data, setting
from edgeinfer.readers.onnx.drawing import Drawing, arranged_tensor
from edgeinfer.readers.onnx.layout import (
    FoldedAxes,
    View,
    arrange_axes,
    axis_of,
    file_shape,
    graph_axis,
    settle_arrays,
    sizes,
    unfold_view,
    with_all_axes,
)
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError


def reshape(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Reshape to a shape that is known."""
    x = data(args, 0)
    target_shape = setting(op, args, "shape", 1)
    if target_shape is None:
        raise UnreadableModelError("it has no shape to go to")
    have = file_shape(d, x)
    if target_shape[:1] == (1,) and have[:1] == (d.batch,):
        have = (1, *have[1:])  # a batch of one, written down although the batch is open
    return reshape_view(d, x, _target(have, target_shape, zero_copies=not op.whole("allowzero", 0)))


def _target(have: Shape, target_shape: Shape, *, zero_copies: bool) -> Shape:
    sizes_ = list(target_shape)
    for place, size in enumerate(sizes_):
        if size == 0 and zero_copies:
            if place >= len(have):
                raise UnreadableModelError(f"{list(target_shape)} copies an axis that is not there")
            sizes_[place] = have[place]
    if sizes_.count(-1) > 1 or min(sizes_, default=1) < -1:
        raise UnreadableModelError(f"{list(target_shape)} is not a shape")
    if -1 in sizes_:
        stated = math.prod(size for size in sizes_ if size != -1)
        if stated == 0 or math.prod(have) % stated:
            raise UnreadableModelError(f"{list(have)} cannot be reshaped to {list(target_shape)}")
        sizes_[sizes_.index(-1)] = math.prod(have) // stated
    return tuple(sizes_)


def flatten(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Flatten to two axes."""
    x = data(args, 0)
    shape = file_shape(d, x)
    axis = op.whole("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return reshape_view(d, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def reshape_view(d: Drawing, x: View, target: Shape) -> View:
    """The view under a new shape of the file, which counts the batch."""
    have = file_shape(d, x)
    if math.prod(target) * d.batch == math.prod(have) and target[:1] == (1,):
        target = (d.batch, *target[1:])  # a batch of one, written down although the batch is open
    if math.prod(target) != math.prod(have) or min(target, default=1) < 1:
        raise UnreadableModelError(f"{list(have)} cannot be reshaped to {list(target)}")
    merged, after = _without_batch(d, target)
    if after == sizes(d, x):
        return replace(x, merged=merged)
    x = settle_arrays(d, x)
    if (order := _same_but_ones(d, x, after)) is not None:
        return replace(x, order=order, merged=merged)
    x = unfold_view(d, x)
    shape = d.shapes[x.tensor]
    kept = [axis for axis in x.order if axis is not None]
    moving = [axis for axis in kept if shape[axis] > 1]
    if len(after) == 1 and moving != sorted(moving):
        rest = [axis for axis in range(len(shape)) if axis not in kept]
        flat = arranged_tensor(d, x.tensor, tuple(range(len(shape))), after)
        return replace(
            x, tensor=flat, order=(0,), merged=merged, folded=FoldedAxes(shape, (*kept, *rest))
        )
    if moving == sorted(moving):
        tensor = arranged_tensor(d, x.tensor, tuple(range(len(shape))), after)
    else:
        x = arrange_axes(d, x)
        tensor = arranged_tensor(d, x.tensor, tuple(range(len(x.order))), after)
    return replace(x, tensor=tensor, order=tuple(range(len(after))), merged=merged)


def _without_batch(d: Drawing, target: Shape) -> tuple[bool, Shape]:
    if target[:1] == (d.batch,):
        return False, target[1:]
    if d.batch == 1 and not target:
        return True, ()
    if not target or target[0] == 0 or target[0] % d.batch:
        raise UnreadableModelError(f"the shape {list(target)} mixes the batch with other axes")
    return True, (target[0] // d.batch, *target[1:])


def _same_but_ones(d: Drawing, x: View, after: Shape) -> tuple[int | None, ...] | None:
    """The order after axes of size 1 came or went; None if more than that changed."""
    moving = [axis for axis, size in zip(x.order, sizes(d, x), strict=True) if size > 1]
    if [size for size in sizes(d, x) if size > 1] != [size for size in after if size > 1]:
        return None
    waiting = iter(moving)
    return tuple(next(waiting) if size > 1 else None for size in after)


def transpose(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Transpose: only the view changes."""
    x = data(args, 0)
    order = op.wholes("perm") or tuple(reversed(range(x.rank)))
    if sorted(order) != list(range(x.rank)):
        raise UnreadableModelError(f"{list(order)} is not an order of {x.rank} axes")
    if x.merged and d.batch == 1:
        return replace(x, order=tuple(x.order[axis] for axis in order))
    if order[:1] != (0,):
        if d.batch == 1:  # all axes as they are in the file, none of them special
            flat = replace(x, order=(None, *x.order), merged=True)
            turned = tuple(flat.order[axis] for axis in order)
            if turned[0] is None:
                return replace(x, order=turned[1:])
            return replace(flat, order=turned)
        raise UnreadableModelError("it moves the batch axis")
    if x.merged:
        return replace(x, order=(x.order[0], *(x.order[axis] for axis in order[1:])))
    return replace(x, order=tuple(x.order[axis - 1] for axis in order[1:]))


def squeeze(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Squeeze axes of size 1."""
    x = data(args, 0)
    shape = file_shape(d, x)
    axis_list = setting(op, args, "axes", 1)
    if axis_list is None:
        axes = {place for place, size in enumerate(shape) if size == 1}
    else:
        axes = {axis % len(shape) for axis in axis_list}
    if any(shape[axis] != 1 for axis in axes):
        raise UnreadableModelError(f"it squeezes axes of {list(shape)} that are not of size 1")
    return reshape_view(d, x, tuple(s for place, s in enumerate(shape) if place not in axes))


def unsqueeze(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Unsqueeze: new axes of size 1."""
    x = data(args, 0)
    axes = setting(op, args, "axes", 1) or ()
    shape = list(file_shape(d, x))
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    if d.batch != 1 and shape[:1] == [1]:
        raise UnreadableModelError("it puts an axis before the batch")
    return reshape_view(d, x, tuple(shape))


def cut(d: Drawing, op: OnnxOp, x: View, index: int, start: int, stop: int, step: int = 1) -> View:
    """start <= position < stop along one axis (an index into `order`)."""
    x = settle_arrays(d, unfold_view(d, x))
    if (start, stop, step) == (0, sizes(d, x)[index], 1):
        return x
    x, axis = _with_own_axis(d, x, index)
    if stop <= start:
        raise UnreadableModelError("it leaves nothing of its input")
    bounds = bounds_along(d.shapes[x.tensor], axis, start, stop, step)
    name = d.add(SliceNode(d.named(op), x.tensor, *bounds))
    return replace(x, tensor=name, exclusive=True)


def _with_own_axis(d: Drawing, x: View, index: int) -> tuple[View, int]:
    """The view as a move of the entries of one axis takes it, and the Graph's axis of these."""
    x = settle_arrays(d, unfold_view(d, x))
    if x.order[index] is None:
        x = arrange_axes(d, x)
    return x, graph_axis(x, index)


def flip_axis(d: Drawing, op: OnnxOp, x: View, index: int) -> View:
    """One axis (an index into `order`) the other way round."""
    x, axis = _with_own_axis(d, x, index)
    name = d.add(FlipNode(d.named(op), x.tensor, (axis,)))
    return replace(x, tensor=name, exclusive=True)


def slices(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Slice with constant bounds; a step of -1 over a whole axis turns it round."""
    x = data(args, 0)
    starts, ends = setting(op, args, "starts", 1), setting(op, args, "ends", 2)
    if starts is None or ends is None:
        raise UnreadableModelError("it has no bounds")
    axes = setting(op, args, "axes", 3) or tuple(range(len(starts)))
    steps = setting(op, args, "steps", 4) or (1,) * len(starts)
    shape = file_shape(d, x)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        turned = range(shape[axis % len(shape)])[slice(start, end, step)]
        if step == -1 and len(turned) == shape[axis % len(shape)]:
            x = flip_axis(d, op, x, axis_of(d, x, axis))
            continue
        if step < 1:
            raise UnreadableModelError(f"a step of {step} cannot be read")
        size = shape[axis % len(shape)]
        first, last, _ = slice(start, end, step).indices(size)
        if (first, last, step) != (0, size, 1):
            x = cut(d, op, x, axis_of(d, x, axis), first, last, step)
    return x


def split(d: Drawing, op: OnnxOp, args: Args) -> list[View]:
    """Split into parts of given or equal sizes."""
    x = data(args, 0)
    index = axis_of(d, x, op.whole("axis", 0))
    size = sizes(d, x)[index]
    parts = setting(op, args, "split", 1)
    if parts is None:
        count = op.whole("num_outputs", len(op.outputs))
        if count != len(op.outputs):
            raise UnreadableModelError(
                f"it makes {len(op.outputs)} parts, but num_outputs is {count}"
            )
        width = -(-size // count)
        parts = tuple(max(min(width, size - place * width), 0) for place in range(count))
    if sum(parts) != size or len(parts) != len(op.outputs) or min(parts) < 1:
        raise UnreadableModelError(f"{size} elements cannot be split into {list(parts)}")
    ends = np.cumsum(parts)
    return [
        cut(d, op, x, index, int(end - part), int(end))
        for part, end in zip(parts, ends, strict=True)
    ]


def pick(d: Drawing, op: OnnxOp, x: View, index: int, places: list[int]) -> View:
    """Entries of one axis (an index into `order`): a slice where they follow each other."""
    if places == list(range(places[0], places[0] + len(places))):
        return cut(d, op, x, index, places[0], places[-1] + 1)
    x, axis = _with_own_axis(d, x, index)
    name = d.add(GatherNode(d.named(op), x.tensor, axis, tuple(places)))
    return replace(x, tensor=name, exclusive=True)


def gather(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Gather with constant indices."""
    x = data(args, 0)
    if d.batch == 1 and x.rank and op.whole("axis", 0) % x.rank == 0:
        x = with_all_axes(x)
    index = axis_of(d, x, op.whole("axis", 0))
    indices = constant(args, 1, "indices").value
    size = sizes(d, x)[index]
    rows_wanted = [int(value) for value in indices.reshape(-1)]
    if not rows_wanted or not all(-size <= value < size for value in rows_wanted):
        raise UnreadableModelError(f"its indices {rows_wanted[:8]} are not those of {size} entries")
    part = pick(d, op, x, index, [value % size for value in rows_wanted])
    if indices.ndim == 1:
        return part
    shape, place = file_shape(d, part), index + (0 if part.merged else 1)
    return reshape_view(d, part, (*shape[:place], *indices.shape, *shape[place + 1 :]))


def rearrange_depth(d: Drawing, op: OnnxOp, args: Args) -> View:
    """DepthToSpace and SpaceToDepth, as reshapes around a transposition."""
    x, block = data(args, 0), op.whole("blocksize", 1)
    if x.rank != 4 or x.merged:
        raise UnreadableModelError(f"its input has rank {x.rank}; 4 is needed")
    if block < 1:
        raise UnreadableModelError(f"its block size is {block}")
    batch, channels, height, width = file_shape(d, x)
    order: tuple[int, ...]
    if op.kind == "SpaceToDepth":
        split_ = (batch, channels, height // block, block, width // block, block)
        order = (2, 4, 0, 1, 3)
        target = (batch, channels * block * block, height // block, width // block)
    else:
        depth = channels // (block * block)
        first = op.text("mode", "DCR") == "DCR"
        blocks = (block, block, depth) if first else (depth, block, block)
        split_ = (batch, *blocks, height, width)
        order = (2, 3, 0, 4, 1) if first else (0, 3, 1, 4, 2)
        target = (batch, depth, height * block, width * block)
    x = reshape_view(d, x, split_)
    return reshape_view(d, replace(x, order=tuple(x.order[a] for a in order)), target)


def pass_unchanged(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Identity, Dropout in inference, casts between float types."""
    del d
    if op.kind == "Dropout":
        training = constant_or_none(args, 2, "training_mode")
        if training is not None and bool(training.value.reshape(-1)[0]):
            raise UnreadableModelError("it is in training mode; export the model for inference")
        if len([output for output in op.outputs if output]) > 1:
            raise UnreadableModelError("its mask is used; export the model for inference")
    return data(args, 0)
