# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators on several tensors: brought to one layout and one scale, then merged or joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import ConcatNode, MergeKind, MergeNode
from edgeinfer.readers.onnx.affine import carry_view
from edgeinfer.readers.onnx.args import Args
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    ONE,
    ZERO,
    Const,
    Value,
    View,
    arrange_axes,
    axis_of,
    graph_axis,
    settle_scale,
    unfold_view,
    write_constant,
)
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from quantization.ranges import shrink_array


def merge_views(d: Drawing, op: OnnxOp, values: Sequence[Value], kind: MergeKind) -> View:
    """Element-wise combination, broadcasting as ONNX does."""
    views = align_views(d, ranked_views(d, op, values))
    views, scale, shift = _in_one_scale(d, views, kind)
    name = d.named(op)
    d.add(MergeNode(name, tuple(view.tensor for view in views), kind))
    return replace(
        views[0],
        tensor=name,
        scale=scale,
        shift=shift,
        exclusive=True,
        label=f"{name}_scale",
    )


def concat(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Concat along an axis other than the batch."""
    values = [value for value in args if value is not None]
    views = align_views(d, ranked_views(d, op, values))
    views, scale, shift = _in_one_scale(d, views, MergeKind.MAXIMUM)
    axis = axis_of(d, views[0], op.whole("axis", 1))
    if views[0].merged and axis == 0 and d.batch != 1:
        raise UnreadableModelError("it works along the batch axis")
    if any(view.order[axis] is None for view in views):
        views = [arrange_axes(d, view) for view in views]
    name = d.named(op)
    d.add(ConcatNode(name, tuple(view.tensor for view in views), graph_axis(views[0], axis)))
    return replace(
        views[0], tensor=name, scale=scale, shift=shift, exclusive=True, label=f"{name}_scale"
    )


def ranked_views(d: Drawing, op: OnnxOp, values: Sequence[Value]) -> list[View]:
    """All as tensors of one rank."""
    views = [value for value in values if isinstance(value, View)]
    rank = max(view.rank for view in views)
    if d.batch == 1:
        shapes = [value.value.shape for value in values if isinstance(value, Const)]
        rank = max(rank, *(len(shape) for shape in shapes), 0)
    return [_tensor(d, op, value, rank) for value in values]


def _tensor(d: Drawing, op: OnnxOp, value: Value, rank: int) -> View:
    if isinstance(value, View):
        missing = rank - value.rank
        if missing > 0 and d.batch != 1:
            raise UnreadableModelError(
                f"tensors of rank {value.rank} and {rank} cannot be combined"
            )
        if not missing:
            return value
        leading: tuple[None, ...] = (None,) * (missing - int(value.merged))
        return replace(value, order=(*leading, *value.order), merged=False)
    array = np.asarray(value.value, dtype=np.float64)
    if not np.isfinite(array).all():
        raise UnreadableModelError("its constant has NaN or infinity")
    return constant_view(d, op, array, rank)


def constant_view(d: Drawing, op: OnnxOp, array: NDArray[Any], rank: int) -> View:
    """A constant as a tensor of its own."""
    array = np.asarray(array, dtype=np.float64)
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    alone = array.ndim == rank and rank > 0 and array.shape[0] == 1
    if array.ndim != rank or not (alone or d.batch == 1):
        raise UnreadableModelError(f"its constant has the shape {array.shape}")
    inner = array[0] if alone else array
    name = write_constant(d, f"{d.named(op)}_constant", inner)
    return View(name, tuple(range(inner.ndim)), merged=not alone)


def align_views(d: Drawing, views: list[View]) -> list[View]:
    """The views with their Graph tensors' axes in one order."""
    if len({view.merged for view in views}) > 1:
        if d.batch != 1:
            raise UnreadableModelError("one of its inputs mixes the batch with another axis")
        views = [
            view if view.merged else replace(view, order=(None, *view.order), merged=True)
            for view in views
        ]
    if len({(view.order, _fold(view), len(d.shapes[view.tensor])) for view in views}) == 1:
        return views
    views = [unfold_view(d, view) for view in views]
    model = max(views, key=lambda view: len([a for a in view.order if a is not None]))
    spare = [place for place, axis in enumerate(model.order) if axis is None]
    places = {axis: place for place, axis in enumerate(model.order) if axis is not None}
    axes = (*spare, *(places[axis] for axis in sorted(places)))
    return [arrange_axes(d, view, axes) for view in views]


def _fold(view: View) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    return None if view.folded is None else (view.folded.shape, view.folded.order)


def _in_one_scale(
    d: Drawing, views: list[View], kind: MergeKind
) -> tuple[list[View], NDArray[np.float64], NDArray[np.float64]]:
    """The views free of what they owe, and what their combination owes instead."""
    views = [carry_view(d, view) for view in views]
    first = views[0]
    uniform = all(view.scale.ndim == 0 and view.shift.ndim == 0 for view in views)
    same = uniform and all(
        view.scale == first.scale and view.shift == first.shift and view.scale > 0 for view in views
    )
    unshifted = uniform and all(view.shift == 0.0 for view in views)
    bare = [replace(view, scale=ONE, shift=ZERO, label="") for view in views]
    match kind:
        case MergeKind.MAXIMUM | MergeKind.MINIMUM if same:
            return bare, first.scale, first.shift
        case MergeKind.ADD | MergeKind.SUBTRACT | MergeKind.AVERAGE if same and unshifted:
            return bare, first.scale, ZERO
        case MergeKind.MULTIPLY if unshifted:
            scale = np.prod([view.scale for view in views])
            return bare, shrink_array(np.asarray(scale)), ZERO
        case _:  # the scales cannot stay outside the merge
            return [settle_scale(d, view) for view in views], ONE, ZERO
