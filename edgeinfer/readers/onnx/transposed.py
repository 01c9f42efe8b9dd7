# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ConvTranspose: zeros put between the elements, then a convolution with the mirrored kernel; or,
where the windows lie side by side, a product for each element whose channels become pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.graph.volumes import VolumeWindow
from edgeinfer.graph.windows import dilate_window
from edgeinfer.readers.onnx.affine import uniform
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import Const, View
from edgeinfer.readers.onnx.linear import add_linear, conv_volume
from edgeinfer.readers.onnx.moves import cut
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.space import spatial
from edgeinfer.readers.onnx.weights import move_const


def conv_transpose(d: Drawing, op: OnnxOp, args: Args) -> View:
    """ConvTranspose over one to three spatial axes."""
    x, weights = data(args, 0), constant(args, 1, "weights")
    rank, groups = weights.value.ndim - 2, op.whole("group", 1)
    if rank not in (1, 2, 3):
        raise UnreadableModelError(f"it has {rank} spatial axes; up to three can be read")
    x = spatial(d, uniform(d, x), rank)
    window = weights.value.shape[2:]
    strides = op.wholes("strides") or (1,) * rank
    dilation = op.wholes("dilations") or (1,) * rank
    space = d.shapes[x.tensor][:-1]
    fits = len(strides) == len(dilation) == rank and min((*window, *strides, *dilation)) >= 1
    if not fits or weights.value.shape[0] % groups:
        raise UnreadableModelError(f"its strides, dilations or groups do not fit {window}")
    reach = dilate_window(window, dilation)
    pads = _pads(op, space, reach, strides)
    around = tuple(
        (width - 1 - before, width - 1 - after)
        for width, (before, after) in zip(reach, pads, strict=True)
    )
    name = d.named(op)
    if groups == 1 and window == strides and set(dilation) == {1} and _tiles(around):
        return _tile(d, name, x, weights, constant_or_none(args, 2, "bias"))
    spread = _spread(d, name, x.tensor, strides)
    grown: g.Pads = tuple((max(before, 0), max(after, 0)) for before, after in around)
    kernel = move_const(weights, lambda values: _mirror(values, groups))
    ones, bias = (1,) * rank, constant_or_none(args, 2, "bias")
    wide = replace(x, tensor=spread)

    def node(values: g.Floats, shift: g.Floats | None) -> g.ConvNode:
        return g.ConvNode(name, name, spread, values, shift, ones, grown, dilation, groups)

    if rank == 3:
        over = VolumeWindow(window, ones, grown, dilation)
        y = conv_volume(d, op, wide, kernel, bias, over, groups)
    else:
        y = add_linear(d, name, wide, kernel, bias, node)
    for axis, (before, after) in enumerate(around):
        size = d.shapes[y.tensor][axis]
        if min(before, after) >= 0:
            continue
        y = cut(d, op, y, y.order.index(axis), max(-before, 0), size - max(-after, 0))
    return y


def _tiles(around: g.Pads) -> bool:
    """Whether windows that lie side by side are all kept whole."""
    return all(after == 0 for _, after in around)


def _tile(d: Drawing, name: str, x: View, weights: Const, bias: Const | None) -> View:
    """Windows that do not overlap: each pixel is multiplied with the whole window, whose places
    are channels first and pixels then."""
    inputs, outputs, *window = weights.value.shape
    taps, rank = math.prod(window), len(window)
    kernel = move_const(weights, lambda v: np.moveaxis(v, 1, -1).reshape(inputs, taps * outputs))
    repeated = None if bias is None else move_const(bias, lambda v: np.tile(v, taps))

    def node(values: g.Floats, shift: g.Floats | None) -> g.DenseNode:
        return g.DenseNode(name, name, x.tensor, values, shift)

    y = uniform(d, add_linear(d, name, x, kernel, repeated, node))
    space = d.shapes[y.tensor][:-1]
    pairs = zip(range(rank), range(rank, 2 * rank), strict=True)
    order = (*(axis for pair in pairs for axis in pair), 2 * rank)
    fine = tuple(size * width for size, width in zip(space, window, strict=True))
    apart = d.add(g.ReshapeNode(d.fresh(f"{name}_apart"), y.tensor, (*space, *window, outputs)))
    turned = d.add(g.TransposeNode(d.fresh(f"{name}_turned"), apart, order))
    return replace(
        y, tensor=d.add(g.ReshapeNode(d.fresh(f"{name}_fine"), turned, (*fine, outputs)))
    )


def _mirror(values: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """(in, out / groups, *window) -> (*window, in / groups, out), the window turned round."""
    inputs, outputs, *window = values.shape
    space = tuple(range(2, values.ndim))
    turned = np.flip(values, space).reshape(groups, inputs // groups, outputs, *window)
    first = np.moveaxis(turned, (1, 0, 2), (-3, -2, -1))
    return first.reshape(*window, inputs // groups, groups * outputs)


def _spread(d: Drawing, name: str, tensor: str, strides: g.Shape) -> str:
    """Zeros between the elements: each gets an axis of its own, padded, and the end is left off."""
    *space, channels = d.shapes[tensor]
    if all(step == 1 for step in strides):
        return tensor
    alone = [size for each in space for size in (each, 1)] + [channels]
    apart = d.add(g.ReshapeNode(d.fresh(f"{name}_apart"), tensor, tuple(alone)))
    pads: list[tuple[int, int]] = [(0, 0)] * len(alone)
    for axis, step in enumerate(strides):
        pads[2 * axis + 1] = (0, step - 1)
    padded = d.add(g.PadNode(d.fresh(f"{name}_zeros"), apart, tuple(pads)))
    sizes = [each * step for each, step in zip(space, strides, strict=True)]
    return d.add(g.ReshapeNode(d.fresh(f"{name}_spread"), padded, (*sizes, channels)))


def _pads(op: OnnxOp, space: g.Shape, reach: g.Shape, strides: g.Shape) -> g.Pads:
    """What the file cuts from both ends, less what the zeros after the last element add."""
    rank = len(space)
    extra = op.wholes("output_padding") or (0,) * rank
    output_shape = op.wholes("output_shape")
    auto = op.text("auto_pad", "NOTSET")
    if output_shape is not None:
        output_shape = output_shape[-rank:]
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = tuple(size * step for size, step in zip(space, strides, strict=True))
    pad_attribute = op.wholes("pads") or (0,) * (2 * rank)
    if (
        len(pad_attribute) != 2 * rank
        or len(extra) != rank
        or (output_shape and len(output_shape) != rank)
    ):
        raise UnreadableModelError(f"its pads {list(pad_attribute)} do not fit {rank} spatial axes")
    pads: list[tuple[int, int]] = []
    for axis, (size, width, step) in enumerate(zip(space, reach, strides, strict=True)):
        before, after = pad_attribute[axis], pad_attribute[axis + rank]
        if auto == "VALID":
            before = after = 0
        if output_shape is not None:
            total = step * (size - 1) + extra[axis] + width - output_shape[axis]
            if total < 0:
                raise UnreadableModelError(f"its output shape {list(output_shape)} is too large")
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            after = total - before
        pads.append((before, after - extra[axis] + step - 1))
    return tuple(pads)
