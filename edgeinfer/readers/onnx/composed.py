# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that are drawn as several nodes: norms of one sample, and products of two tensors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph.compose import OperatorSite
from edgeinfer.graph.compose_einsum import multiply_along, multiply_by_constant, split_equation
from edgeinfer.graph.nodes import Floats, MergeKind, Shape
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data, epsilon_of
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.elementwise import add_power
from edgeinfer.readers.onnx.gathering import multiply_axis
from edgeinfer.readers.onnx.layout import (
    View,
    arrange_axes,
    axis_of,
    settle_scale,
    sizes,
    with_all_axes,
)
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.weights import finite

PER_CHANNEL = 21  # from this operator set on, GroupNormalization has a scale for each channel
DIRECTION = 1e-24  # what is added to a squared length: nothing beside any but zero


def layer_norm(d: Drawing, op: OnnxOp, args: Args) -> View:
    """LayerNormalization and RMSNormalization: the axes from `axis` on, for each sample."""
    if any(op.outputs[1:]):
        raise UnreadableModelError("it also returns its mean or its deviation")
    x = settle_scale(d, data(args, 0))
    first = axis_of(d, x, op.whole("axis", -1))
    x = arrange_axes(d, x)
    axes, centred = len(x.order) - first, op.kind == "LayerNormalization"
    site = OperatorSite(d, d.named(op))
    normal = compose.normalize_last_axes(site, x.tensor, axes, epsilon_of(op), centred=centred)
    scale = constant(args, 1, "scale").value
    bias = constant_or_none(args, 2, "bias")
    shift = np.zeros(()) if bias is None else bias.value
    return scale_view(d, op, replace(x, tensor=normal), scale, shift)


def group_norm(d: Drawing, op: OnnxOp, args: Args) -> View:
    """GroupNormalization, and InstanceNormalization, whose groups are the channels."""
    x = settle_scale(d, data(args, 0))
    if x.merged or len(x.order) < 1:
        raise UnreadableModelError("its input has no axis of channels after the batch")
    rank = len(x.order)
    x = arrange_axes(d, x, (*range(1, rank), 0))
    channels = d.shapes[x.tensor][-1]
    whole = op.kind == "InstanceNormalization"
    groups = channels if whole else op.whole("num_groups", 0)
    if groups < 1 or channels % groups:
        raise UnreadableModelError(f"{channels} channels do not form {groups} groups")
    site = OperatorSite(d, d.named(op))
    normal = compose.normalize_groups(site, x.tensor, groups, epsilon_of(op))
    scale, shift = (
        np.asarray(constant(args, place, what).value, np.float64).reshape(-1)
        for place, what in ((1, "scale"), (2, "bias"))
    )
    if not whole and op.version < PER_CHANNEL:
        scale, shift = (np.repeat(each, channels // groups) for each in (scale, shift))
    by_channel = (channels, *(1,) * (rank - 1))
    return scale_view(
        d,
        op,
        replace(x, tensor=normal),
        _reshape_scales(scale, by_channel),
        _reshape_scales(shift, by_channel),
    )


def _reshape_scales(values: Floats, shape: Shape) -> Floats:
    if values.size != math.prod(shape):
        raise UnreadableModelError(f"it has {values.size} scales for {shape[0]} channels")
    return values.reshape(shape)


def length_norm(d: Drawing, op: OnnxOp, args: Args) -> View:
    """LpNormalization with p = 2: vectors of length one along an axis."""
    if op.whole("p", 2) != 2:
        raise UnreadableModelError("it divides by a sum of magnitudes; p = 2 can be read")
    x = settle_scale(d, data(args, 0))
    axis = axis_of(d, x, op.whole("axis", -1))
    others = [other for other in range(len(x.order)) if other != axis]
    x = arrange_axes(d, x, (*others, axis))
    site = OperatorSite(d, d.named(op))
    normal = compose.normalize_last_axes(site, x.tensor, 1, DIRECTION, centred=False, mean=False)
    return replace(x, tensor=normal)


def local_norm(d: Drawing, op: OnnxOp, args: Args) -> View:
    """LRN: each element divided by a power of the squares of the channels around it."""
    x = settle_scale(d, data(args, 0))
    axis, width = axis_of(d, x, 1), op.whole("size", 0)
    alpha, beta, bias = op.real("alpha", 1e-4), op.real("beta", 0.75), op.real("bias", 1.0)
    if width < 1 or not np.isfinite((alpha, beta, bias)).all():
        raise UnreadableModelError(
            f"its size is {width}, its alpha {alpha:g}, its beta {beta:g}, its bias {bias:g}"
        )
    place = np.arange(sizes(d, x)[axis])
    apart = place - place[:, np.newaxis]  # of a channel in front of and behind another
    near = (-((width - 1) // 2) <= apart) & (apart <= width // 2)
    squares = merge_views(d, op, [x, x], MergeKind.MULTIPLY)
    summed = multiply_axis(d, op, squares, axis, near.astype(np.float64) * (alpha / width))
    base = scale_view(d, op, summed, np.ones(()), np.asarray(bias))
    return merge_views(d, op, [x, add_power(d, op, base, -beta)], MergeKind.MULTIPLY)


def multiply_tensors(d: Drawing, op: OnnxOp, a: View, b: View) -> View:
    """MatMul of two tensors that both depend on the network's input."""
    if a.merged != b.merged:
        raise UnreadableModelError("one of its inputs counts samples along its first axis")
    views = [arrange_axes(d, settle_scale(d, view)) for view in (a, b)]
    left, right = (d.shapes[view.tensor] for view in views)
    if min(len(left), len(right)) < 2:
        raise UnreadableModelError("it multiplies tensors of different samples, or single vectors")
    counts_samples = a.merged and d.batch != 1
    lead = _common_lead(left[:-2], right[:-2], counts_samples=counts_samples)
    if left[-1] != right[-2]:
        raise UnreadableModelError(f"tensors of {left} and {right} cannot be multiplied")
    site, parts = OperatorSite(d, d.named(op)), math.prod(lead)
    one, other = (
        compose.spread(site, view.tensor, (*lead, *d.shapes[view.tensor][-2:]), label)
        for view, label in zip(views, ("rows", "columns"), strict=True)
    )
    rows = compose.reshape(site, one, (parts, *left[-2:]), "rows")
    turned = (*range(len(lead)), len(lead) + 1, len(lead))
    columns = compose.transpose(site, other, turned, "columns")
    columns = compose.reshape(site, columns, (parts, right[-1], right[-2]), "columns")
    product = compose.multiply_rows(site, rows, columns, "products")
    shape = (*lead, left[-2], right[-1])
    tensor = compose.reshape(site, product, shape, "product")
    return View(tensor, tuple(range(len(shape))), merged=a.merged)


def _common_lead(left: Shape, right: Shape, *, counts_samples: bool) -> Shape:
    """The leading axes of a product, of which none but the samples' may be one in one of them."""
    axes = zip(left, right, strict=False)
    differ = [place for place, sizes in enumerate(axes) if len({*sizes}) > 1 and 1 not in sizes]
    if len(left) != len(right) or differ or (counts_samples and left[:1] != right[:1]):
        raise UnreadableModelError(
            f"its inputs have the leading axes {left} and {right}; as many axes can be read, each "
            f"equal in both or 1 in one of them"
        )
    return np.broadcast_shapes(left, right)


def einsum(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Einsum of two values, one of them a tensor."""
    values = [value for value in args if value is not None]
    if len(values) != 2:
        raise UnreadableModelError(f"it has {len(values)} inputs; two can be read")
    text = op.text("equation", "")
    ranks = [v.rank if isinstance(v, View) else v.value.ndim for v in values]
    axes = list(split_equation(text, (ranks[0], ranks[1])))
    if not isinstance(values[0], View):  # a constant comes second
        values, axes[:2] = values[::-1], axes[1::-1]
    x, other = values
    assert isinstance(x, View)
    views = [v for v in values if isinstance(v, View)]
    whole = d.batch == 1
    tensors = [
        arrange_axes(d, with_all_axes(v) if whole else v)
        for v in (settle_scale(d, v) for v in views)
    ]
    if not whole:
        batched = {part[:1] for part in (*axes[: len(views)], axes[2])}
        others = axes[1][1:] if len(views) == 2 else axes[1]
        if any(view.merged for view in tensors) or len(batched) != 1 or axes[0][:1] in others:
            raise UnreadableModelError(f"its equation {text!r} works along the batch")
        axes = [part.removeprefix(axes[0][0]) for part in axes]
    site, named = OperatorSite(d, d.named(op)), (axes[0], axes[1], axes[2])
    if isinstance(other, View):
        product = multiply_along(site, tensors[0].tensor, tensors[1].tensor, named)
    else:
        kernel = finite(other, "constant")
        product = multiply_by_constant(site, site.name(), tensors[0].tensor, kernel, named)
    order = tuple(range(len(d.shapes[product])))
    return replace(tensors[0], tensor=product, order=order, exclusive=True, integer="")
