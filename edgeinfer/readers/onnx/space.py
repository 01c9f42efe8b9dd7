# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Windows over space: pools, global means, padding, nearest-neighbour resizing."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import assert_never

import numpy as np

from edgeinfer.graph.nodes import (
    PadNode,
    Pads,
    PoolNode,
    PoolNodeKind,
    Shape,
    UpsampleNode,
    same_pads,
)
from edgeinfer.readers.onnx.affine import carry_view
from edgeinfer.readers.onnx.args import Args, constant_or_none, data, number, setting
from edgeinfer.readers.onnx.drawing import Drawing, arranged_tensor
from edgeinfer.readers.onnx.layout import (
    View,
    arrange_axes,
    axis_of,
    file_shape,
    graph_axis,
    settle_scale,
    unfold_view,
    with_all_axes,
    with_batch,
)
from edgeinfer.readers.onnx.moves import reshape_view
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError


def spatial(d: Drawing, x: View, rank: int, *, channels_last: bool = False) -> View:
    """The view with its Graph tensor as (*space, channels)."""
    x = with_batch(d, x)
    if x.rank != rank + 2:
        raise UnreadableModelError(f"its input has rank {x.rank}; {rank + 2} is needed")
    if x.merged:
        raise UnreadableModelError(
            "its first axis counts neither samples nor one image; name the axis of the batch "
            "(batch_axis)"
        )
    return arrange_axes(d, x, None if channels_last else (*range(1, rank + 1), 0))


def pads_of(op: OnnxOp, sizes: Shape, window: Shape, strides: Shape, dilation: Shape) -> Pads:
    """Padding (before, after) for each spatial axis."""
    rank = len(window)
    if not len(sizes) == len(strides) == len(dilation) == rank:
        raise UnreadableModelError(f"its strides or dilations do not fit {rank} spatial axes")
    match op.text("auto_pad", "NOTSET"):
        case "SAME_UPPER":
            return same_pads(sizes, window, strides, dilation)
        case "SAME_LOWER":
            upper = same_pads(sizes, window, strides, dilation)
            return tuple((after, before) for before, after in upper)
        case "VALID":
            return ((0, 0),) * rank
        case "NOTSET" | "":
            pads = op.wholes("pads") or (0,) * (2 * rank)
            if len(pads) != 2 * rank or min(pads) < 0:
                raise UnreadableModelError(f"its pads are {list(pads)}")
            return tuple(zip(pads[:rank], pads[rank:], strict=True))
        case other:
            raise UnreadableModelError(f"auto_pad {other!r} is unknown")


def pool(d: Drawing, op: OnnxOp, args: Args, *, channels_last: bool = False) -> View:
    """MaxPool and AveragePool."""
    kind = PoolNodeKind.AVERAGE if op.kind == "AveragePool" else PoolNodeKind.MAX
    window = op.wholes("kernel_shape")
    if window is None or len(window) not in (1, 2):
        raise UnreadableModelError(f"its window is {window}; one or two spatial axes can be read")
    if any(step != 1 for step in op.wholes("dilations") or ()):
        raise UnreadableModelError("its window is dilated")
    if len([output for output in op.outputs if output]) > 1:
        raise UnreadableModelError("the indices of its maxima are used")
    x = spatial(d, _pool_view(d, data(args, 0), kind), len(window), channels_last=channels_last)
    strides = op.wholes("strides") or (1,) * len(window)
    space = d.shapes[x.tensor][:-1]
    pads = pads_of(op, space, window, strides, (1,) * len(window))
    count_pads = kind is PoolNodeKind.AVERAGE and bool(op.whole("count_include_pad", 0))
    if op.whole("ceil_mode", 0) == 1:
        wider = _ceil_pads(space, window, strides, pads)
        if wider != pads and count_pads:
            raise UnreadableModelError(
                "it counts padding and rounds its size up; set one of them to 0"
            )
        pads = wider
    padded = any(before or after for before, after in pads)
    if count_pads and padded and (x.shift != 0).any():
        x = settle_scale(d, x)
    return _pool(d, op, x, kind, window, strides, pads, count_pads=count_pads and padded)


def _pool_view(d: Drawing, x: View, kind: PoolNodeKind) -> View:
    """What a pool owes as its input did, one number for each channel: a mean always may, a maximum
    if the scale is positive, a sum if nothing is added."""
    x = carry_view(d, x)
    if any(size != 1 for owed in (x.scale, x.shift) for size in owed.shape[:-1]):
        return settle_scale(d, x)
    match kind:
        case PoolNodeKind.AVERAGE:
            passes = True
        case PoolNodeKind.MAX:
            passes = bool((x.scale > 0).all())
        case PoolNodeKind.SUM:
            passes = bool((x.shift == 0).all())
        case _:
            assert_never(kind)
    return x if passes else settle_scale(d, x)


def sum_window(d: Drawing, op: OnnxOp, x: View, window: Shape, strides: Shape, pads: Pads) -> View:
    """What a convolution of nothing but ones, each channel for itself, means."""
    return _pool(d, op, x, PoolNodeKind.SUM, window, strides, pads)


def _pool(
    d: Drawing,
    op: OnnxOp,
    x: View,
    kind: PoolNodeKind,
    window: Shape,
    strides: Shape,
    pads: Pads,
    *,
    count_pads: bool = False,
) -> View:
    name = d.named(op)
    d.add(PoolNode(name, x.tensor, kind, window, strides, pads, count_pads))
    return replace(x, tensor=name, exclusive=True)


def _ceil_pads(sizes_: Shape, window: Shape, strides: Shape, pads: Pads) -> Pads:
    """Padding that lets the last window hang over the edge, if it begins inside."""
    wider: list[tuple[int, int]] = []
    for size, width, step, (before, after) in zip(sizes_, window, strides, pads, strict=True):
        count = -(-(size + before + after - width) // step) + 1
        if (count - 1) * step >= size + before:
            count -= 1
        reach = (count - 1) * step + width
        wider.append((before, max(after, reach - size - before)))
    return tuple(wider)


def global_pool(d: Drawing, op: OnnxOp, args: Args) -> View:
    """GlobalAveragePool and GlobalMaxPool."""
    kind = PoolNodeKind.AVERAGE if op.kind == "GlobalAveragePool" else PoolNodeKind.MAX
    x = data(args, 0)
    rank = x.rank - 2
    if rank not in (1, 2):
        raise UnreadableModelError(f"it has {rank} spatial axes; one or two can be read")
    x = spatial(d, _pool_view(d, x, kind), rank)
    window = d.shapes[x.tensor][:-1]
    return _pool(d, op, x, kind, window, window, ((0, 0),) * rank)


def reduce(d: Drawing, op: OnnxOp, args: Args) -> View:
    """ReduceMean, ReduceSum and ReduceMax over axes other than the batch."""
    kinds = {
        "ReduceMax": PoolNodeKind.MAX,
        "ReduceMean": PoolNodeKind.AVERAGE,
        "ReduceSum": PoolNodeKind.SUM,
    }
    kind = kinds[op.kind]
    x = _pool_view(d, data(args, 0), kind)
    given = setting(op, args, "axes", 1)
    if not given:
        if op.whole("noop_with_empty_axes", 0):
            return x
        if d.batch != 1:
            raise UnreadableModelError("it reduces all axes, the batch among them")
        given = tuple(range(x.rank))
    if d.batch == 1 and any(axis % x.rank == 0 for axis in given):
        x = with_all_axes(x)
    gone = {axis_of(d, x, axis) for axis in given}
    kept = [place for place in range(len(x.order)) if place not in gone]
    have = file_shape(d, x)
    x = _reduce_view(d, op, x, sorted(gone), kept, kind)
    if op.whole("keepdims", 1) != 1:
        first = 0 if x.merged else 1
        return reshape_view(d, x, tuple(s for p, s in enumerate(have) if p - first not in gone))
    return x


def _reduce_view(
    d: Drawing, op: OnnxOp, x: View, gone: list[int], kept: list[int], kind: PoolNodeKind
) -> View:
    """The view with the axes `gone` of size 1, by a pool over all of them."""
    if x.scale.ndim or x.shift.ndim:
        x = settle_scale(d, x)
    x = arrange_axes(d, x, (*gone, *kept))
    shape = d.shapes[x.tensor]
    window, rest = shape[: len(gone)], shape[len(gone) :]
    if len(gone) in (1, 2) and len(kept) == 1:
        return _pool(d, op, x, kind, window, window, ((0, 0),) * len(gone))
    count = math.prod(window)
    rows = arranged_tensor(d, x.tensor, tuple(range(len(shape))), (count, math.prod(rest)))
    y = _pool(d, op, replace(x, tensor=rows), kind, (count,), (count,), ((0, 0),))
    back = arranged_tensor(d, y.tensor, (0, 1), ((1,) * len(gone)) + rest)
    return replace(y, tensor=back)


def pad(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Pad with a constant."""
    if (mode := op.text("mode", "constant")) != "constant":
        raise UnreadableModelError(f"mode {mode!r} cannot be read; only 'constant' can")
    x = data(args, 0)
    pads = setting(op, args, "pads", 1)
    value = number(op, args, "value", 2, 0.0)
    axes = setting(op, args, "axes", 3) or tuple(range(x.rank))
    if pads is None or len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise UnreadableModelError(f"its pads are {pads}; they must be constant and not negative")
    x = carry_view(d, x)
    if x.scale.ndim or (x.shift != 0).any() or value != 0.0:
        x = settle_scale(d, x)
    x = unfold_view(d, x)
    around = {
        axis % x.rank: (before, after)
        for axis, before, after in zip(axes, pads, pads[len(axes) :], strict=False)
        if before or after
    }
    if not around:
        return x
    places = {axis_of(d, x, axis): width for axis, width in around.items()}
    if any(x.order[place] is None for place in places):
        x = arrange_axes(d, x)
    widths = [(0, 0)] * len(d.shapes[x.tensor])
    for place, width in places.items():
        widths[graph_axis(x, place)] = width
    name = d.add(PadNode(d.named(op), x.tensor, tuple(widths), value))
    return replace(x, tensor=name, exclusive=True)


def resize(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Resize and Upsample where they repeat every element."""
    x = carry_view(d, data(args, 0))
    if x.scale.ndim or x.shift.ndim:
        x = settle_scale(d, x)
    shape = file_shape(d, x)
    factors = [Fraction(1)] * len(shape)
    for axis, factor in zip(*_factors(op, args, shape), strict=True):
        factors[axis % len(shape)] = factor
    if all(factor == 1 for factor in factors):
        return x
    if (mode := op.text("mode", "nearest")) != "nearest":
        raise UnreadableModelError(f"mode {mode!r} cannot be read; only 'nearest' can")
    if any(factor.denominator != 1 or factor < 1 for factor in factors) or factors[0] != 1:
        raise UnreadableModelError(
            f"its factors are {', '.join(map(str, factors))}; whole ones can be read"
        )
    whole = [int(factor) for factor in factors]
    if not all(_repeats(op, size, f) for size, f in zip(shape, whole, strict=True)):
        raise UnreadableModelError("it does not repeat every element as often")
    grown = [place for place, factor in enumerate(whole[1:]) if factor > 1]
    rank = len(shape) - 2
    if x.merged or rank not in (1, 2) or len(grown) > rank:
        raise UnreadableModelError(f"it resizes a tensor of rank {len(shape)}")
    last = len(d.shapes[x.tensor]) - 1
    kept = next(
        (place for place, axis in enumerate(x.order) if axis == last and place not in grown),
        0 if 0 not in grown else next(p for p in range(rank + 1) if p not in grown),
    )
    axes = (*(place for place in range(rank + 1) if place != kept), kept)
    x = arrange_axes(d, x, axes)
    name = d.named(op)
    d.add(UpsampleNode(name, x.tensor, tuple(whole[place + 1] for place in axes[:-1])))
    return replace(x, tensor=name, exclusive=True)


def _factors(op: OnnxOp, args: Args, shape: Shape) -> tuple[tuple[int, ...], list[Fraction]]:
    """The axes that are resized and by how much."""
    axes = op.wholes("axes") or tuple(range(len(shape)))
    place = 1 if op.kind == "Upsample" or op.version < 11 else 2
    given = op.attributes.get("scales")
    scales = constant_or_none(args, place, "scales")
    if given is None and scales is not None and scales.value.size:
        given = scales.value.reshape(-1)
    if given is not None:
        if len(given) != len(axes) or not np.isfinite(given).all():
            raise UnreadableModelError(f"its scales are {list(given)}")
        return axes, [Fraction(float(factor)) for factor in given]
    sizes_ = constant_or_none(args, 3, "sizes")
    if sizes_ is None or sizes_.value.size != len(axes):
        raise UnreadableModelError("its scales are not constant or do not fit its input")
    wanted = [int(size) for size in sizes_.value.reshape(-1)]
    have = [shape[axis] for axis in axes]
    if len(wanted) == len(shape) and wanted[0] == 1:
        have[0] = 1  # a batch of one, written down although the batch is open
    return axes, [Fraction(want, size) for want, size in zip(wanted, have, strict=True)]


def _repeats(op: OnnxOp, size: int, factor: int) -> bool:
    """Whether the element at i comes from i // factor, for every i."""
    if factor == 1:
        return True
    i = np.arange(size * factor)
    mode = op.text("coordinate_transformation_mode", "half_pixel")
    if op.kind == "Upsample" or op.version < 11:
        return True
    match mode:
        case "asymmetric":
            x = i / factor
        case "half_pixel" | "half_pixel_symmetric" | "pytorch_half_pixel":
            x = (i + 0.5) / factor - 0.5
        case _:  # the other modes are not known to repeat evenly
            return False
    match op.text("nearest_mode", "round_prefer_floor"):
        case "round_prefer_floor":
            source = np.ceil(x - 0.5)
        case "round_prefer_ceil":
            source = np.floor(x + 0.5)
        case "floor":
            source = np.floor(x)
        case _:  # "ceil", the last that ONNX defines
            source = np.ceil(x)
    return bool((np.clip(source, 0, size - 1) == i // factor).all())
