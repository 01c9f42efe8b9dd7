# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that find elements by whole numbers which the network reads or computes: look-ups and
sums by index, the largest elements and where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import compose_indexing
from edgeinfer.graph.compose import OperatorSite, reshape
from edgeinfer.graph.moves import GatherNode
from edgeinfer.graph.nodes import MergeKind
from edgeinfer.readers.onnx import gathering, moves
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.args import Args, constant, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    ZERO,
    Const,
    View,
    arrange_axes,
    axis_of,
    file_shape,
    settle_scale,
    sizes,
    with_all_axes,
    write_constant,
)
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError

TENSOR_K = 10  # from this operator set on, TopK has K as an input
ONE_AXIS = 13  # from this operator set on, Hardmax works along one axis
DEEPEST = 1 << 12  # rows of a unit matrix
ACROSS = (
    "its index chooses among samples too; export the model for one sample, or look up with "
    "GatherElements"
)


def gather(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Gather: whole entries of an axis, of a tensor or of a constant table."""
    if not isinstance(args[1], View):
        return moves.gather(d, op, args)
    if isinstance(args[0], Const):
        return _look_in_constant(d, op, args[0].value, args[1])
    if d.batch != 1:
        raise UnreadableModelError(ACROSS)
    x, index = (_for_one_sample(d, data(args, place)) for place in (0, 1))
    axis = axis_of(d, x, op.whole("axis", 0))
    site = OperatorSite(d, d.named(op))
    return _view_of(d, compose_indexing.look_up_rows(site, x.tensor, index.tensor, axis), x)


def _look_in_constant(d: Drawing, op: OnnxOp, table: NDArray[Any], index: View) -> View:
    values = np.asarray(table, np.float64)
    if op.whole("axis", 0) % max(values.ndim, 1):
        raise UnreadableModelError("it looks along another axis of a constant than the first")
    site = OperatorSite(d, d.named(op))
    rows = write_constant(d, site.name("table"), values.reshape(len(values), -1))
    index = arrange_axes(d, settle_scale(d, index))
    shape = (*d.shapes[index.tensor], *values.shape[1:])
    tensor = compose_indexing.look_up_rows(site, rows, index.tensor, 0)
    return _view_of(d, reshape(site, tensor, shape, "shaped"), index)


def gather_elements(d: Drawing, op: OnnxOp, args: Args) -> View:
    """GatherElements: an index of its own for each element."""
    if not isinstance(args[1], View):
        return gathering.move_elements(d, op, args)
    x, index = _alike(d, data(args, 0), args[1])
    axis = axis_of(d, x, op.whole("axis", 0))
    narrow = _narrow(d, index.tensor, axis)
    site = OperatorSite(d, d.named(op))
    return _view_of(d, compose_indexing.look_up_elements(site, x.tensor, narrow, axis), x)


def gather_numbered(d: Drawing, op: OnnxOp, args: Args) -> View:
    """GatherND: whole entries of a sample's first axis, by indices of one number each."""
    if not isinstance(args[1], View):
        return gathering.move_elements(d, op, args)
    x, index = data(args, 0), args[1]
    if op.whole("batch_dims", 0) == 1 and not (x.merged or index.merged):
        x, index = (arrange_axes(d, settle_scale(d, each)) for each in (x, index))
    elif op.whole("batch_dims", 0) == 0 and d.batch == 1:
        x, index = _for_one_sample(d, x), _for_one_sample(d, index)
    else:
        raise UnreadableModelError(ACROSS)
    site = OperatorSite(d, d.named(op))
    numbers = _single_numbers(d, site, index.tensor)
    return _view_of(d, compose_indexing.look_up_rows(site, x.tensor, numbers, 0), x)


def _single_numbers(d: Drawing, site: OperatorSite, index: str) -> str:
    """The index without its last axis, along which there must be one number."""
    *places, numbers = d.shapes[index]
    if numbers != 1:
        raise UnreadableModelError(
            f"its indices are {numbers} numbers each; single numbers, which mean whole entries, "
            f"can be read"
        )
    return reshape(site, index, tuple(places), "numbers")


def scatter_elements(d: Drawing, op: OnnxOp, args: Args) -> View:
    """ScatterElements that adds, or whose index is constant."""
    if isinstance(index := args[1], Const):
        if not isinstance(args[2], View):
            return gathering.change_elements(d, op, args)
        updates = with_all_axes(args[2]) if d.batch == 1 else args[2]
        return _scatter_rows(d, op, args, updates, _rows_of(index.value, op.whole("axis", 0)))
    updates, index = _alike(d, data(args, 2), data(args, 1))
    axis = axis_of(d, updates, op.whole("axis", 0))
    site = OperatorSite(d, d.named(op))
    return _add_up(d, op, args, site, updates, _narrow(d, index.tensor, axis), axis)


def scatter_numbered(d: Drawing, op: OnnxOp, args: Args) -> View:
    """ScatterND of whole entries of the first axis, by indices of one number each; it adds, or the
    indices are constant."""
    if isinstance(args[1], Const) and not isinstance(args[2], View):
        return gathering.change_elements(d, op, args)
    if d.batch != 1:
        raise UnreadableModelError(ACROSS)
    if isinstance(index := args[1], Const):
        if index.value.ndim != 2 or index.value.shape[1] != 1:
            raise UnreadableModelError(f"its indices are {index.value.shape}; a column can be read")
        updates = with_all_axes(data(args, 2))
        return _scatter_rows(d, op, args, updates, ScatteredRows(0, index.value.reshape(-1)))
    updates, index = (_for_one_sample(d, data(args, place)) for place in (2, 1))
    site = OperatorSite(d, d.named(op))
    numbers = _single_numbers(d, site, index.tensor)
    places, rest = d.shapes[numbers], (1,) * (len(d.shapes[updates.tensor]) - 1)
    if len(places) != 1:
        raise UnreadableModelError(f"its indices have {len(places)} axes; one can be read")
    column = reshape(site, numbers, (*places, *rest), "column")
    return _add_up(d, op, args, site, updates, column, 0)


@dataclass(frozen=True, slots=True, eq=False)
class ScatteredRows:
    """To which entry of an axis of the file each entry of the updates goes."""

    axis: int
    places: NDArray[np.int64]


def _rows_of(index: NDArray[np.int64], axis: int) -> ScatteredRows:
    columns = np.moveaxis(index, axis, 0).reshape(index.shape[axis], -1)
    if (columns != columns[:, :1]).any():
        raise UnreadableModelError("its constant index differs along other axes than its own")
    return ScatteredRows(axis % index.ndim, columns[:, 0])


def _scatter_rows(d: Drawing, op: OnnxOp, args: Args, updates: View, rows: ScatteredRows) -> View:
    """Whole entries of an axis put, or added, where constants say: a product with a matrix of zeros
    and ones."""
    reduction, onto = op.text("reduction", "none"), args[0]
    assert onto is not None, "the operator demands it"
    shape = onto.value.shape if isinstance(onto, Const) else file_shape(d, onto)
    count, have = int(shape[rows.axis]), list(file_shape(d, updates))
    have[rows.axis] = count
    places = np.where(rows.places < 0, rows.places + count, rows.places)
    if have != list(shape) or not ((places >= 0) & (places < count)).all():
        raise UnreadableModelError(f"its updates do not fill whole entries of {list(shape)}")
    if reduction != "add" and (reduction != "none" or len(set(places.tolist())) < len(places)):
        raise UnreadableModelError(
            f"reduction {reduction!r} of updates that meet in one entry; 'add' can be read"
        )
    matrix = (np.arange(count)[:, None] == places[None, :]).astype(np.float64)
    sums = gathering.multiply_axis(d, op, updates, axis_of(d, updates, rows.axis), matrix)
    if reduction == "none":
        sides = [count if axis == rows.axis else 1 for axis in range(len(shape))]
        left = (1.0 - matrix.sum(axis=1)).reshape(sides)
        onto = (
            Const(onto.value * left)
            if isinstance(onto, Const)
            else scale_view(d, op, onto, left, ZERO)
        )
    if isinstance(onto, Const) and not np.any(onto.value):
        return sums
    if isinstance(onto, Const) and not updates.merged:
        if (onto.value != onto.value[:1]).any():
            raise UnreadableModelError("it changes one sample otherwise than another")
        onto = Const(onto.value[:1])
    return merge_views(d, op, [sums, onto], MergeKind.ADD)


def _add_up(
    d: Drawing, op: OnnxOp, args: Args, site: OperatorSite, updates: View, index: str, axis: int
) -> View:
    """What is added to, with the updates added to it."""
    if (reduction := op.text("reduction", "none")) != "add":
        raise UnreadableModelError(
            f"reduction {reduction!r} by an index that is not constant; 'add' can be read"
        )
    onto = args[0]
    assert onto is not None, "the operator demands it"
    shape = onto.value.shape if isinstance(onto, Const) else file_shape(d, onto)
    count = int(shape[axis + (0 if updates.merged else 1)])
    tensor = compose_indexing.add_up_elements(site, updates.tensor, index, axis, count)
    sums = _view_of(d, tensor, updates)
    if isinstance(onto, Const) and not np.any(onto.value):
        return sums
    return merge_views(d, op, [sums, onto], MergeKind.ADD)


def arg_extreme(d: Drawing, op: OnnxOp, args: Args) -> View:
    """ArgMax and ArgMin: the place of the first, or the last, of the largest."""
    x, axis = _along(d, data(args, 0), op.whole("axis", 0))
    site = OperatorSite(d, d.named(op))
    smallest, last = op.kind == "ArgMin", bool(op.whole("select_last_index", 0))
    tensor = compose_indexing.rank_elements(site, x.tensor, axis, 1, smallest=smallest, last=last)
    places = replace(_view_of(d, tensor, x), integer="int64")
    if op.whole("keepdims", 1):
        return places
    return replace(places, order=(*places.order[:axis], *places.order[axis + 1 :]))


def top(d: Drawing, op: OnnxOp, args: Args) -> list[View]:
    """TopK: the largest, or smallest, elements along an axis, and where they are."""
    x, axis = _along(d, data(args, 0), op.whole("axis", -1))
    whole_count = op.whole("k", 0)
    count = (
        whole_count if op.version < TENSOR_K else int(constant(args, 1, "K").value.reshape(-1)[0])
    )
    if not 1 <= count <= sizes(d, x)[axis]:
        raise UnreadableModelError(f"K is {count} for {sizes(d, x)[axis]} elements")
    site = OperatorSite(d, d.named(op))
    smallest = not op.whole("largest", 1)
    places = compose_indexing.rank_elements(site, x.tensor, axis, count, smallest=smallest)
    values = compose_indexing.look_up_elements(site, x.tensor, places, axis)
    return [_view_of(d, values, x), replace(_view_of(d, places, x), integer="int64")]


def one_hot(d: Drawing, op: OnnxOp, args: Args) -> View:
    """OneHot: the row of a unit matrix that an index means."""
    depth = int(constant(args, 1, "depth").value.reshape(-1)[0])
    off, on = (float(v) for v in constant(args, 2, "values").value.reshape(-1))
    index = arrange_axes(d, settle_scale(d, data(args, 0)))
    axis = op.whole("axis", -1)
    if off or axis not in (-1, index.rank) or not 1 <= depth <= DEEPEST:
        raise UnreadableModelError(
            f"it has {off:g} elsewhere, axis {axis} and depth {depth}; zeros, a new last axis and "
            f"up to {DEEPEST} can be read"
        )
    site = OperatorSite(d, d.named(op))
    unit = write_constant(d, site.name("unit"), on * np.eye(depth))
    return _view_of(d, compose_indexing.look_up_rows(site, unit, index.tensor, 0), index)


def hard_max(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Hardmax: 1 for the first of the largest along an axis, 0 for all others."""
    if op.version < ONE_AXIS:
        raise UnreadableModelError(f"it flattens axes before operator set {ONE_AXIS}")
    x, axis = _along(d, data(args, 0), op.whole("axis", -1))
    if axis != len(d.shapes[x.tensor]) - 1:
        raise UnreadableModelError("it works along another axis than the last")
    site = OperatorSite(d, d.named(op))
    places = compose_indexing.rank_elements(site, x.tensor, axis, 1, smallest=False)
    *rest, size = d.shapes[x.tensor]
    unit = write_constant(d, site.name("unit"), np.eye(size))
    flat = reshape(site, places, tuple(rest), "flat")
    return _view_of(d, compose_indexing.look_up_rows(site, unit, flat, 0), x)


def _along(d: Drawing, x: View, axis: int) -> tuple[View, int]:
    """The tensor with its axes as in the file, and one of them as an axis of it."""
    x = settle_scale(d, x)
    if d.batch == 1 and axis % x.rank == 0:
        x = with_all_axes(x)
    return arrange_axes(d, x), axis_of(d, x, axis)


def _alike(d: Drawing, x: View, index: View) -> tuple[View, View]:
    """Two tensors whose axes are the same, the batch's too."""
    if d.batch == 1:
        return _for_one_sample(d, x), _for_one_sample(d, index)
    if x.merged or index.merged:
        raise UnreadableModelError(ACROSS)
    return arrange_axes(d, settle_scale(d, x)), arrange_axes(d, settle_scale(d, index))


def _for_one_sample(d: Drawing, view: View) -> View:
    """All of a tensor's axes, the first among them, as the file has them."""
    return arrange_axes(d, with_all_axes(settle_scale(d, view)))


def _view_of(d: Drawing, tensor: str, like: View) -> View:
    """A tensor whose axes are as the file has them."""
    order = tuple(range(len(d.shapes[tensor])))
    return replace(like, tensor=tensor, order=order, exclusive=True, integer="")


def _narrow(d: Drawing, index: str, axis: int) -> str:
    """The index without repetition along other axes than its own: exporters spread one column."""
    tensor = index
    while isinstance(node := d.nodes[tensor], GatherNode):
        shape = d.shapes[node.x]
        if node.axis == axis or shape[node.axis] != 1:
            break
        tensor = node.x
        if math.prod(shape) == shape[axis]:
            return tensor
    return index
