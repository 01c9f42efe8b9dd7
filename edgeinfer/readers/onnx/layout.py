# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a tensor of the file lies in the Graph.

A file's tensor is a View of a Graph tensor: its axes in another order, and a scale and shift that
are still owed. Transposes, squeezes and scales are thus written down only where something needs
them, and most cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import AffineNode, ConstantNode, Floats, Shape
from edgeinfer.readers.grids import fixed_bias
from edgeinfer.readers.onnx.drawing import Drawing, arranged_tensor
from edgeinfer.readers.onnx.ops import UnreadableModelError
from quantization.ranges import shrink_array

ONE: Floats = np.ones(())
ZERO: Floats = np.zeros(())


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A constant on a quantization grid: value = whole x step, element by element."""

    whole: Floats
    step: Floats  # as large as the constant
    low: int
    high: int  # what the whole numbers could be


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A tensor that depends on no input."""

    value: NDArray[Any]
    grid: Grid | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FoldedAxes:
    """A Graph tensor flattened as it lay, where the file reorders its axes before it flattens."""

    shape: Shape  # before flattening
    order: Shape  # in which the file has those axes

    @property
    def index(self) -> NDArray[np.int64]:
        """Where in the Graph tensor each element of the file's tensor is."""
        count = math.prod(self.shape)
        return np.arange(count).reshape(self.shape).transpose(self.order).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The file's tensor = scale x (a Graph tensor with its axes reordered) + shift.

    order: for each axis after the batch the Graph's axis, None for one of size 1 that the Graph
    leaves out. merged: the file's first axis counts batch x the first of `order`.
    scale and shift broadcast against the Graph tensor.
    """

    tensor: str
    order: tuple[int | None, ...]
    merged: bool = False
    folded: FoldedAxes | None = None
    scale: Floats = field(default_factory=lambda: ONE)
    shift: Floats = field(default_factory=lambda: ZERO)
    exclusive: bool = True  # nothing else reads the Graph tensor
    integer: str = ""  # the type of integers, or bool, that the file has there
    label: str = ""  # what the owed scale and shift will be called

    @property
    def plain(self) -> bool:
        """Nothing is owed."""
        return bool((self.scale == 1.0).all() and (self.shift == 0.0).all())

    @property
    def rank(self) -> int:
        """Number of axes in the file, the batch counted."""
        return len(self.order) + (0 if self.merged else 1)


Value = View | Const


def sizes(d: Drawing, view: View) -> Shape:
    """Sizes of the file's axes after the batch."""
    shape = d.shapes[view.tensor]
    return tuple(1 if axis is None else shape[axis] for axis in view.order)


def file_shape(d: Drawing, view: View) -> Shape:
    """The tensor's shape as the file means it, batch included."""
    after = sizes(d, view)
    if not view.merged:
        return (d.batch, *after)
    return (d.batch * after[0], *after[1:]) if after else ()


def axis_of(d: Drawing, view: View, axis: int) -> int:
    """A file's axis as an index into `order`."""
    if not -view.rank <= axis < view.rank:
        raise UnreadableModelError(f"axis {axis} does not exist in a tensor of rank {view.rank}")
    positive = axis % view.rank
    if view.merged and (positive > 0 or d.batch == 1):
        return positive
    if positive == 0:
        raise UnreadableModelError("it works along the batch axis")
    return positive - 1


def with_all_axes(view: View) -> View:
    """The view of a tensor for one sample, its first axis an axis like the others."""
    return view if view.merged else replace(view, order=(None, *view.order), merged=True)


def with_batch(d: Drawing, view: View) -> View:
    """The view with a first axis of size 1, in a network for one sample, taken for the batch."""
    if view.merged and d.batch == 1 and view.order and sizes(d, view)[0] == 1:
        return replace(view, order=view.order[1:], merged=False)
    return view


def graph_axis(view: View, index: int) -> int:
    """The Graph's axis of an axis after the batch."""
    axis = view.order[index]
    if axis is None:
        raise UnreadableModelError("it works along an axis of size 1 that was added before")
    return axis


def unfold_view(d: Drawing, view: View) -> View:
    """The view without `folded`: what was flattened comes into the file's order."""
    folded = view.folded
    if folded is None:
        return view
    view = settle_arrays(d, view)
    opened = arranged_tensor(d, view.tensor, (0,), folded.shape)
    flat = arranged_tensor(d, opened, folded.order, (math.prod(folded.shape),))
    return replace(view, tensor=flat, folded=None)


def arrange_axes(d: Drawing, view: View, axes: tuple[int, ...] | None = None) -> View:
    """A view whose Graph tensor has exactly these axes (indices into `order`), in this order."""
    view = unfold_view(d, view)
    axes = tuple(range(len(view.order))) if axes is None else axes
    axis_order = [view.order[axis] for axis in axes]
    shape = d.shapes[view.tensor]
    if axis_order == list(range(len(shape))):
        return view
    view = settle_arrays(d, view)
    kept = [axis for axis in axis_order if axis is not None]
    order = (*kept, *(axis for axis in range(len(shape)) if axis not in kept))
    target = tuple(1 if axis is None else shape[axis] for axis in axis_order)
    tensor = arranged_tensor(d, view.tensor, order, target)
    places: list[int | None] = [0] * len(axes)
    for place, axis in enumerate(axes):
        places[axis] = place
    return replace(view, tensor=tensor, order=tuple(places))


def settle_scale(d: Drawing, view: View) -> View:
    """The view with its scale and shift written down as an Affine node."""
    return view if view.plain else write_affine(d, view)


def settle_arrays(d: Drawing, view: View) -> View:
    """The view without factors and shifts of its single elements, which would not move with them;
    one number for all of them may still be owed."""
    return settle_scale(d, view) if view.scale.ndim or view.shift.ndim else view


def write_affine(d: Drawing, view: View) -> View:
    """What the view owes becomes a node."""
    name = d.fresh(view.label or f"{view.tensor}_scale")
    tensor = d.add(AffineNode(name, name, view.tensor, view.scale, view.shift))
    return replace(view, tensor=tensor, scale=ONE, shift=ZERO, label="")


def write_constant(d: Drawing, name_wanted: str, values: Floats) -> str:
    """A constant as a node; its tensor's name."""
    name = d.fresh(name_wanted)
    if d.quantized:
        fixed = fixed_bias(values, exact=d.stepwise)
        values = fixed.values
        d.weights[f"{name}/value"] = fixed.format
    return d.add(ConstantNode(name, values))


def local(d: Drawing, view: View, constant: NDArray[Any]) -> Floats | None:
    """A constant that broadcasts against the file's tensor, brought to the Graph tensor's axes.

    None where the file's tensor would grow.
    """
    value = np.asarray(constant, dtype=np.float64)
    if value.ndim > view.rank:
        return None
    value = value.reshape((1,) * (view.rank - value.ndim) + value.shape)
    if not view.merged:
        if value.shape[0] != 1:
            return None
        value = value[0]
    shape, after = d.shapes[view.tensor], sizes(d, view)
    if any(have not in (1, size) for have, size in zip(value.shape, after, strict=True)):
        return None
    if view.folded is not None and value.shape[place := view.order.index(0)] > 1:
        ordered = np.empty_like(value)
        np.moveaxis(ordered, place, -1)[..., view.folded.index] = np.moveaxis(value, place, -1)
        value = ordered
    places = {axis: place for place, axis in enumerate(view.order) if axis is not None}
    spare = [place for place, axis in enumerate(view.order) if axis is None]
    moved = value.transpose([*(places[axis] for axis in sorted(places)), *spare])
    return shrink_array(moved.reshape(_spread(moved.shape, sorted(places), len(shape))))


def _spread(have: Shape, axes: list[int], rank: int) -> Shape:
    target = [1] * rank
    for size, axis in zip(have, axes, strict=False):
        target[axis] = size
    return tuple(target)
