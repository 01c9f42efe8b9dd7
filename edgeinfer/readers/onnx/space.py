# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Windows over space: pools of any shape, global ones too."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.compose import OperatorSite
from edgeinfer.graph.volumes import VolumeWindow, pool_volume
from edgeinfer.graph.windows import count_windows, dilate_window, same_pads
from edgeinfer.readers.onnx.affine import carry_view
from edgeinfer.readers.onnx.args import Args, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    View,
    arrange_axes,
    settle_scale,
    with_batch,
)
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from quantization.ranges import shrink_array

MOST_TAPS = 64  # of a dilated window: each is a slice


def spatial(d: Drawing, x: View, rank: int, *, channels_last: bool = False) -> View:
    """The view with its Graph tensor as (*space, channels)."""
    x = with_batch(d, x)
    if x.rank != rank + 2:
        raise UnreadableModelError(f"its input has rank {x.rank}; {rank + 2} is needed")
    if x.merged:
        raise UnreadableModelError(
            "its first axis counts neither samples nor one image; name the axis of the batch "
            "(--batch-axis)"
        )
    return arrange_axes(d, x, None if channels_last else (*range(1, rank + 1), 0))


def pads_of(
    op: OnnxOp, sizes: g.Shape, window: g.Shape, strides: g.Shape, dilation: g.Shape
) -> g.Pads:
    """Padding (before, after) for each spatial axis."""
    rank = len(window)
    if not len(sizes) == len(strides) == len(dilation) == rank:
        raise UnreadableModelError(f"its strides or dilations do not fit {rank} spatial axes")
    if min((*window, *strides, *dilation)) < 1:
        raise UnreadableModelError(
            f"its window {list(window)}, strides {list(strides)} or dilations {list(dilation)} "
            f"are not all at least 1"
        )
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
    kind = g.PoolNodeKind.AVERAGE if op.kind == "AveragePool" else g.PoolNodeKind.MAX
    window = op.wholes("kernel_shape")
    if window is None or len(window) not in (1, 2, 3):
        raise UnreadableModelError(f"its window is {window}; up to three spatial axes can be read")
    if len([output for output in op.outputs if output]) > 1:
        raise UnreadableModelError("the indices of its maxima are used")
    x = spatial(d, carry_pool(d, data(args, 0), kind), len(window), channels_last=channels_last)
    strides = op.wholes("strides") or (1,) * len(window)
    space = d.shapes[x.tensor][:-1]
    dilation = op.wholes("dilations") or (1,) * len(window)
    pads = pads_of(op, space, window, strides, dilation)
    count_pads = kind is g.PoolNodeKind.AVERAGE and bool(op.whole("count_include_pad", 0))
    if op.whole("ceil_mode", 0) == 1:
        wider = _ceil_pads(space, dilate_window(window, dilation), strides, pads)
        if wider != pads and count_pads:
            if any(step != 1 for step in dilation):
                raise UnreadableModelError("it counts padding, rounds up and is dilated")
            return _average_inside(d, op, settle_scale(d, x), window, strides, pads, wider)
        pads = wider
    if any(step != 1 for step in dilation):
        return _pool_taps(d, op, x, kind, window, strides, pads, dilation)
    padded = any(before or after for before, after in pads)
    if count_pads and padded and (x.shift != 0).any():
        x = settle_scale(d, x)
    return add_pool(d, op, x, kind, window, strides, pads, count_pads=count_pads and padded)


def carry_pool(d: Drawing, x: View, kind: g.PoolNodeKind) -> View:
    """What a pool owes as its input did, one number for each channel: a mean always may, a maximum
    if the scale is positive, a sum if nothing is added."""
    x = carry_view(d, x)
    if any(size != 1 for owed in (x.scale, x.shift) for size in owed.shape[:-1]):
        return settle_scale(d, x)
    match kind:
        case g.PoolNodeKind.AVERAGE:
            passes = True
        case g.PoolNodeKind.MAX:
            passes = bool((x.scale > 0).all())
        case g.PoolNodeKind.SUM:
            passes = bool((x.shift == 0).all())
        case _:
            assert_never(kind)
    return x if passes else settle_scale(d, x)


def _average_inside(
    d: Drawing, op: OnnxOp, x: View, window: g.Shape, strides: g.Shape, pads: g.Pads, wider: g.Pads
) -> View:
    """An average over what lies inside the padding; what rounding up adds beyond is not counted."""
    y = add_pool(d, op, x, g.PoolNodeKind.SUM, window, strides, wider)
    counts = np.ones(())
    for size, width, step, inner, outer in zip(
        d.shapes[x.tensor][:-1], window, strides, pads, wider, strict=True
    ):
        starts = np.arange(0, size + sum(outer) - width + 1, step)
        counts = np.multiply.outer(counts, np.minimum(starts + width, size + sum(inner)) - starts)
    return replace(y, scale=shrink_array(1.0 / counts[..., None]), label=d.named(op))


def _pool_taps(
    d: Drawing,
    op: OnnxOp,
    x: View,
    kind: g.PoolNodeKind,
    window: g.Shape,
    strides: g.Shape,
    pads: g.Pads,
    dilation: g.Shape,
) -> View:
    """A window with holes, one strided slice for each of its elements."""
    if any(map(any, pads)) or math.prod(window) > MOST_TAPS:
        raise UnreadableModelError(
            f"its window {list(window)} is dilated and has padding, or more than {MOST_TAPS} "
            f"elements"
        )
    *space, channels = d.shapes[x.tensor]
    counts = count_windows(tuple(space), dilate_window(window, dilation), strides, pads)
    taps: list[str] = []
    for place in np.ndindex(*window):
        starts = tuple(at * step for at, step in zip(place, dilation, strict=True))
        stops = tuple(
            start + (count - 1) * step + 1
            for start, count, step in zip(starts, counts, strides, strict=True)
        )
        node = g.SliceNode(d.named(op), x.tensor, (*starts, 0), (*stops, channels), (*strides, 1))
        taps.append(d.add(replace(node, name=d.fresh(f"{node.name}_tap"))))
    merge = g.MergeKind.MAXIMUM if kind is g.PoolNodeKind.MAX else g.MergeKind.AVERAGE
    if len(taps) == 1:
        return replace(x, tensor=taps[0], exclusive=True)
    return replace(x, tensor=d.add(g.MergeNode(d.named(op), tuple(taps), merge)), exclusive=True)


def add_pool(
    d: Drawing,
    op: OnnxOp,
    x: View,
    kind: g.PoolNodeKind,
    window: g.Shape,
    strides: g.Shape,
    pads: g.Pads,
    *,
    count_pads: bool = False,
) -> View:
    name = d.named(op)
    if len(window) == 3:
        site, over = OperatorSite(d, name), VolumeWindow(window, strides, pads)
        refuse_window(d, x, over)
        y = pool_volume(site, x.tensor, kind, over, count_pads=count_pads)
        return replace(x, tensor=y, exclusive=True)
    d.add(g.PoolNode(name, x.tensor, kind, window, strides, pads, count_pads))
    return replace(x, tensor=name, exclusive=True)


def refuse_window(d: Drawing, x: View, over: VolumeWindow) -> None:
    """Refuse a window that does not fit into a volume."""
    try:
        over.places(d.shapes[x.tensor][:-1])
    except ValueError as error:
        raise UnreadableModelError(str(error)) from None


def _ceil_pads(sizes_: g.Shape, window: g.Shape, strides: g.Shape, pads: g.Pads) -> g.Pads:
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
    kind = g.PoolNodeKind.AVERAGE if op.kind == "GlobalAveragePool" else g.PoolNodeKind.MAX
    x = data(args, 0)
    rank = x.rank - 2
    if rank not in (1, 2, 3):
        raise UnreadableModelError(f"it has {rank} spatial axes; up to three can be read")
    x = spatial(d, carry_pool(d, x, kind), rank)
    window = d.shapes[x.tensor][:-1]
    return add_pool(d, op, x, kind, window, window, ((0, 0),) * rank)
