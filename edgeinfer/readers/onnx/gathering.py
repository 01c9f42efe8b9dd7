# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Elements that come from elsewhere in a tensor: repeated, mirrored, gathered, resized."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.moves import GatherNode, PadNode
from edgeinfer.graph.nodes import DenseNode, Floats, MergeKind, Shape
from edgeinfer.graph.windows import count_windows, dilate_window
from edgeinfer.readers.onnx.affine import carry_view, scale_view
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data, number, setting
from edgeinfer.readers.onnx.drawing import Drawing, arranged_tensor
from edgeinfer.readers.onnx.fold import compute_operator, refuse_large, refuse_places
from edgeinfer.readers.onnx.layout import (
    View,
    arrange_axes,
    axis_of,
    file_shape,
    graph_axis,
    settle_scale,
    sizes,
    unfold_view,
    with_all_axes,
)
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.moves import cut, pick
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError

Mirror = Literal["reflect", "edge", "wrap"]
MODES: dict[str, Mirror] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}  # of Pad
FEW_SAMPLES = 16  # a fixed batch that is tried as it is


def tile(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Tile: every axis repeated as a whole."""
    x = data(args, 0)
    repeats = [int(count) for count in constant(args, 1, "repeats").value.reshape(-1)]
    if len(repeats) != x.rank or min(repeats, default=1) < 1:
        raise UnreadableModelError(f"its repeats are {repeats} for a tensor of rank {x.rank}")
    if d.batch == 1 and repeats and repeats[0] > 1:
        x = with_all_axes(x)
    for axis, count in enumerate(repeats):
        if count > 1:
            index = axis_of(d, x, axis)
            x = pick(d, op, x, index, list(range(sizes(d, x)[index])) * count)
    return x


def expand(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Expand: axes of size 1 repeated, new ones put in front."""
    x = data(args, 0)
    target_shape = tuple(int(size) for size in constant(args, 1, "shape").value.reshape(-1))
    if len(target_shape) > x.rank:
        if d.batch != 1:
            raise UnreadableModelError("it puts an axis before the batch")
        x = replace(
            with_all_axes(x),
            order=(*(None,) * (len(target_shape) - x.rank), *with_all_axes(x).order),
        )
    have = file_shape(d, x)
    target_shape = (*have[: len(have) - len(target_shape)], *target_shape)
    if any(size not in (1, old) and old != 1 for size, old in zip(target_shape, have, strict=True)):
        raise UnreadableModelError(f"{list(have)} cannot be expanded to {list(target_shape)}")
    if d.batch == 1 and target_shape and target_shape[0] > 1:
        x = with_all_axes(x)
    for axis, (size, old) in enumerate(zip(target_shape, have, strict=True)):
        if old == 1 and size > 1:
            x = pick(d, op, x, axis_of(d, x, axis), [0] * size)
    return x


def pad(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Pad with a constant, or with what is near; negative pads cut."""
    mode = op.text("mode", "constant")
    if mode != "constant" and mode not in MODES:
        raise UnreadableModelError(f"mode {mode!r} is unknown")
    x = data(args, 0)
    pads = setting(op, args, "pads" if op.version > 1 else "paddings", 1)
    value = number(op, args, "value", 2, 0.0)
    axes = setting(op, args, "axes", 3) or tuple(range(x.rank))
    if pads is None or len(pads) != 2 * len(axes):
        raise UnreadableModelError(f"its pads are {pads}; they must be constant, two for each axis")
    x = carry_view(d, x)
    if x.scale.ndim or (x.shift != 0).any() or value != 0.0:
        x = settle_scale(d, x)
    x = unfold_view(d, x)
    around = {
        axis % x.rank: (before, after)
        for axis, before, after in zip(axes, pads, pads[len(axes) :], strict=False)
        if before or after
    }
    if d.batch == 1 and 0 in around:
        x = with_all_axes(x)
    places = {axis_of(d, x, axis): width for axis, width in around.items()}
    for place, (before, after) in places.items():
        size = sizes(d, x)[place]
        if min(before, after) < 0:
            x = cut(d, op, x, place, max(-before, 0), size - max(-after, 0))
    grown_pads = {
        place: (max(before, 0), max(after, 0))
        for place, (before, after) in places.items()
        if max(before, after) > 0
    }
    if mode == "constant":
        return _pad_constant(d, op, x, grown_pads, value)
    if any(min(places[place]) < 0 for place in grown_pads):
        raise UnreadableModelError(f"mode {mode!r} with one side cut cannot be read")
    for place, width in grown_pads.items():
        size = sizes(d, x)[place]
        if mode == "reflect" and max(width) >= size:
            raise UnreadableModelError(f"it mirrors {max(width)} of {size} elements")
        indices = np.pad(np.arange(size), width, MODES[mode])
        x = pick(d, op, x, place, indices.tolist())
    return x


def _pad_constant(
    d: Drawing, op: OnnxOp, x: View, pads: dict[int, tuple[int, int]], value: float
) -> View:
    if not pads:
        return x
    if any(x.order[place] is None for place in pads):
        x = arrange_axes(d, x)
    widths = [(0, 0)] * len(d.shapes[x.tensor])
    for place, width in pads.items():
        widths[graph_axis(x, place)] = width
    name = d.add(PadNode(d.named(op), x.tensor, tuple(widths), value))
    return replace(x, tensor=name, exclusive=True)


def move_elements(d: Drawing, op: OnnxOp, args: Args) -> View:
    """An operator that only moves elements, with constant settings: where each comes from is found
    by ONNX's own reference code, which moves their numbers."""
    x = unfold_view(d, settle_scale(d, data(args, 0)))
    if x.merged and d.batch != 1:
        raise UnreadableModelError("its input mixes the batch with another axis")
    batch = d.batch if d.batch <= FEW_SAMPLES else 2
    x = with_all_axes(x) if d.batch == 1 else x
    have = (*(() if x.merged else (batch,)), *sizes(d, x))
    marks = np.arange(1, math.prod(have) + 1, dtype=np.int64).reshape(have)
    moved = _apply(op, args, marks)
    if x.merged:
        return _take(d, op, x, moved - 1)
    size = math.prod(have[1:])
    steps = np.arange(batch).reshape(-1, *(1,) * (moved.ndim - 1)) * size
    rest = np.where(moved > 0, moved - steps, 0)
    if len(moved) != batch or (rest != rest[0]).any() or rest.max(initial=0) > size:
        raise UnreadableModelError("it moves elements from one sample to another")
    return _take(d, op, x, rest[0] - 1)


def _apply(op: OnnxOp, args: Args, values: NDArray[Any]) -> NDArray[Any]:
    """The operator's first result on other values of its first input."""
    rest = []
    for place in range(1, len(args)):
        const = constant_or_none(args, place, f"input {place}")
        rest.append(None if const is None else const.value)
    refuse_large(op, [values, *(array for array in rest if array is not None)])
    return compute_operator(op, [values, *rest])[0]


def _take(d: Drawing, op: OnnxOp, x: View, sources: NDArray[np.int64]) -> View:
    """Elements by their places, row-major; -1: zero."""
    if not sources.size:
        raise UnreadableModelError("it leaves nothing of its input")
    x = arrange_axes(d, x)
    shape = d.shapes[x.tensor]
    count = math.prod(shape)
    flat = arranged_tensor(d, x.tensor, tuple(range(len(shape))), (count,))
    places = sources.reshape(-1)
    if (places < 0).any():
        flat = d.add(PadNode(d.fresh(f"{d.named(op)}_zero"), flat, ((0, 1),)))
        places = np.where(places < 0, count, places)
    name = d.add(GatherNode(d.named(op), flat, 0, tuple(places.tolist())))
    merged = x.merged and not (d.batch == 1 and sources.shape[:1] == (1,))
    shape = sources.shape if merged or not x.merged else sources.shape[1:]
    tensor = arranged_tensor(d, name, (0,), shape)
    order = tuple(range(len(shape)))
    return replace(x, tensor=tensor, order=order, merged=merged, exclusive=True)


def add_up_windows(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Col2Im, PyTorch's fold: each element of an image is the sum of the places of windows that lie
    on it. It is gathered as often as windows may lie on one element, and added up."""
    x = unfold_view(d, settle_scale(d, data(args, 0)))
    if x.merged and d.batch != 1:
        raise UnreadableModelError("its input mixes the batch with another axis")
    have = sizes(d, x)[1:] if x.merged else sizes(d, x)
    image, block = (
        tuple(int(size) for size in constant(args, place, what).value.reshape(-1))
        for place, what in ((1, "image shape"), (2, "block shape"))
    )
    sources = _sources_of_windows(op, have, image, block)
    parts = [_take(d, op, x, each[np.newaxis] if x.merged else each) for each in sources]
    return parts[0] if len(parts) == 1 else merge_views(d, op, parts, MergeKind.ADD)


def _sources_of_windows(op: OnnxOp, have: Shape, image: Shape, block: Shape) -> NDArray[np.int64]:
    """(most windows on one element, channels, *image): places in an input of (channels x block,
    windows), or -1."""
    rank = len(image)
    strides, dilation = (op.wholes(key) or (1,) * rank for key in ("strides", "dilations"))
    pads = op.wholes("pads") or (0,) * (2 * rank)
    fits = len(block) == len(strides) == len(dilation) == len(pads) // 2 == rank > 0
    if not fits or min((*block, *strides, *dilation)) < 1:
        raise UnreadableModelError(f"its settings do not fit an image of {list(image)}")
    taps = math.prod(block)
    reach = dilate_window(block, dilation)
    around = tuple(zip(pads[:rank], pads[rank:], strict=True))
    steps = count_windows(image, reach, strides, around)
    windows = math.prod(steps)
    if taps < 1 or len(have) != 2 or have[0] % taps or have[1] != windows:
        raise UnreadableModelError(
            f"{windows} windows of {list(block)} on an image of {list(image)} do not fit its "
            f"input of {list(have)}"
        )
    refuse_places(taps * (have[0] // taps) * math.prod(image))
    sources = np.full((taps, *image), -1, np.int64)
    numbers = np.arange(windows).reshape(steps)
    for tap, place in enumerate(np.ndindex(*block)):
        along = [
            np.arange(count) * step - before + at * hole
            for count, step, (before, _), at, hole in zip(
                steps, strides, around, place, dilation, strict=True
            )
        ]
        inside = [
            np.flatnonzero((line >= 0) & (line < size))
            for line, size in zip(along, image, strict=True)
        ]
        on = tuple(line[kept] for line, kept in zip(along, inside, strict=True))
        sources[tap][np.ix_(*on)] = tap * windows + numbers[np.ix_(*inside)]
    sources = -np.sort(-sources, axis=0)  # those that are there first
    sources = sources[: max(int((sources >= 0).sum(axis=0).max(initial=0)), 1)]
    channels = np.arange(have[0] // taps).reshape(-1, *(1,) * rank) * taps * windows
    spread = sources[:, np.newaxis]
    return np.where(spread >= 0, spread + channels, -1)


def change_elements(d: Drawing, op: OnnxOp, args: Args) -> View:
    """An operator that multiplies elements by constants or adds some, each for itself: ONNX's own
    reference code says by and of how much."""
    x = data(args, 0)
    if x.merged and d.batch != 1:
        raise UnreadableModelError("its input mixes the batch with another axis")
    if (reduction := op.text("reduction", "none")) in ("max", "min"):
        raise UnreadableModelError(f"reduction {reduction!r} cannot be read")
    have = file_shape(d, x) if d.batch <= FEW_SAMPLES else (1, *sizes(d, x))
    zero, one, three = (_apply(op, args, np.full(have, v, np.float64)) for v in (0.0, 1.0, 3.0))
    scale = one - zero
    if zero.shape != have or not np.allclose(three, zero + 3 * scale, rtol=1e-12, atol=1e-12):
        raise UnreadableModelError("it does not change each element for itself")
    if not x.merged:
        if (scale != scale[0]).any() or (zero != zero[0]).any():
            raise UnreadableModelError("it changes one sample otherwise than another")
        scale, zero = scale[:1], zero[:1]
    return scale_view(d, op, x, scale, zero)


def cumulate(d: Drawing, op: OnnxOp, args: Args) -> View:
    """CumSum: a product with a triangle of ones."""
    x = data(args, 0)
    axis = int(constant(args, 1, "axis").value.reshape(-1)[0])
    if d.batch == 1 and axis % x.rank == 0:
        x = with_all_axes(x)
    index = axis_of(d, x, axis)
    count = sizes(d, x)[index]
    ones = np.tri(count, count, -1 if op.whole("exclusive", 0) else 0)
    return multiply_axis(d, op, x, index, ones.T if op.whole("reverse", 0) else ones)


def multiply_axis(d: Drawing, op: OnnxOp, x: View, index: int, matrix: Floats) -> View:
    """A constant matrix (out, in) times every column along one axis (an index into `order`)."""
    x = settle_scale(d, x)
    others = [place for place in range(len(x.order)) if place != index]
    x = arrange_axes(d, x, (*others, index))
    name = d.named(op)
    d.add(DenseNode(name, name, x.tensor, np.ascontiguousarray(matrix.T), None))
    return replace(x, tensor=name, exclusive=True)
