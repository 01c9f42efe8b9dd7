# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Elements that only move, in ONNX: for values of a Program and for tensors of a Graph alike."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.moves import Move, Padding, Repetition, Shape, Slicing, Transposition
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.values import CarriedTensor, axis_in, lay_out, shape_in_tensor


def move_elements(
    builder: OnnxBuilder, move: Move, x: CarriedTensor, shape: Shape, fill: NDArray[Any]
) -> CarriedTensor:
    """Elements of x, whose own shape is given, at their new places, by ONNX's own operator where it
    has one. The fill, which the tensor holds as it is given, is where nothing comes from."""
    after = move.shape_of(shape)
    if isinstance(move, Repetition):
        return _repeat(builder, move.factors, x, (shape, after))
    if not isinstance(move, Transposition | Padding | Slicing):
        return _gather(builder, move, lay_out(builder, x, shape, False), shape, fill)
    x = lay_out(builder, x, shape, x.first and x.layout == shape)
    axes = [axis_in(shape, x.first, axis) for axis in range(len(shape))]
    if isinstance(move, Transposition):
        order = [0, *(axes[axis] for axis in move.order)]
        tensor = builder.node("Transpose", x.tensor, perm=order)
        return replace(x, tensor=tensor, layout=after, first=False)
    if isinstance(move, Padding):
        around = np.zeros((2, len(shape) + 1), dtype=np.int64)
        around[:, axes] = np.transpose(move.pads)
        pads = builder.constant(around.ravel()), builder.constant(fill)
        return replace(x, tensor=builder.node("Pad", x.tensor, *pads), layout=after)
    bounds = (builder.constant(b, np.int64) for b in (move.starts, move.stops, axes, move.steps))
    return replace(x, tensor=builder.node("Slice", x.tensor, *bounds), layout=after)


def _gather(
    builder: OnnxBuilder, move: Move, x: CarriedTensor, shape: Shape, fill: NDArray[Any]
) -> CarriedTensor:
    """Every element from its place, whatever the move; the fill, which the tensor holds as it is
    given, lies behind the last one where something comes from nowhere. x: channels last."""
    size, places = math.prod(shape), move.sources(shape)
    flat = builder.reshape(x.tensor, (size,))
    if move.fills(shape):
        behind = builder.constant(np.array([0, 0, 0, 1], np.int64))
        flat = builder.node("Pad", flat, behind, builder.constant(fill))
    tensor = builder.node(
        "Gather", flat, builder.constant(np.where(places < 0, size, places)), axis=1
    )
    out = move.shape_of(shape)
    return replace(x, tensor=builder.reshape(tensor, out), layout=out)


def _repeat(
    builder: OnnxBuilder, factors: Shape, x: CarriedTensor, shapes: tuple[Shape, Shape]
) -> CarriedTensor:
    """Each element repeated along the spatial axes."""
    x_shape, y_shape = shapes
    x = lay_out(builder, x, x_shape, x.first)
    apart: list[int] = []
    times: list[int] = []
    for size, factor in zip(
        shape_in_tensor(x_shape, x.first), shape_in_tensor((*factors, 1), x.first), strict=True
    ):
        apart += [size, 1]
        times += [size, factor]
    wide = builder.reshape(x.tensor, apart)
    tensor = builder.node("Expand", wide, builder.constant([1, *times], np.int64))
    tensor = builder.reshape(tensor, shape_in_tensor(y_shape, x.first))
    return replace(x, tensor=tensor, layout=y_shape)
