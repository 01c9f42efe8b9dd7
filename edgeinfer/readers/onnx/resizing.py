# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Resize and Upsample: repetition where that is all, else a constant map of each axis."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from edgeinfer.graph.nodes import Floats, Shape, UpsampleNode
from edgeinfer.readers.onnx.affine import carry_view
from edgeinfer.readers.onnx.args import Args, constant_or_none, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.fold import compute_operator
from edgeinfer.readers.onnx.gathering import multiply_axis
from edgeinfer.readers.onnx.layout import (
    View,
    arrange_axes,
    axis_of,
    file_shape,
    settle_arrays,
    settle_scale,
    sizes,
    with_all_axes,
    with_batch,
)
from edgeinfer.readers.onnx.moves import pick
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError

MOST_WEIGHTS = 1 << 22  # of the map of one axis


def resize(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Resize and Upsample by constant factors."""
    x = settle_arrays(d, carry_view(d, with_batch(d, data(args, 0))))
    shape = file_shape(d, x)
    factors = [Fraction(1)] * len(shape)
    for axis, factor in zip(*_factors(op, args, shape), strict=True):
        factors[axis % len(shape)] = factor
    if all(factor == 1 for factor in factors):
        return x
    if op.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnreadableModelError("it keeps the aspect ratio; export it with the sizes it has")
    whole = [int(factor) for factor in factors]
    grown = [place for place, factor in enumerate(whole[1:]) if factor > 1]
    rank = len(shape) - 2
    repeats = (
        op.text("mode", "nearest") == "nearest"
        and all(factor.denominator == 1 and factor >= 1 for factor in factors)
        and factors[0] == 1
        and all(_repeats(op, size, f) for size, f in zip(shape, whole, strict=True))
        and not (x.merged or rank not in (1, 2) or len(grown) > rank)
    )
    if not repeats:
        return _map_axes(d, op, args, settle_scale(d, x), factors)
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


def _map_axes(d: Drawing, op: OnnxOp, args: Args, x: View, factors: list[Fraction]) -> View:
    """Every axis for itself: elements taken where each result is one, else a matrix product."""
    roi = constant_or_none(args, 1, "region") if op.version > 10 and op.kind == "Resize" else None
    region = np.zeros(0) if roi is None else roi.value.reshape(-1)
    if d.batch == 1 and factors[0] != 1:
        x = with_all_axes(x)
    rank = x.rank
    for axis, factor in enumerate(factors):
        cropped = op.text("coordinate_transformation_mode", "") == "tf_crop_and_resize"
        if factor == 1 and not cropped:
            continue
        ends = (0.0, 1.0)
        if cropped:
            if len(region) != 2 * rank:
                raise UnreadableModelError("its region does not name the ends of every axis")
            ends = float(region[axis]), float(region[rank + axis])
            if factor == 1 and ends == (0.0, 1.0):
                continue
        index = axis_of(d, x, axis)
        matrix = _axis_map(op, sizes(d, x)[index], factor, ends)
        first = matrix.argmax(axis=1)
        if (matrix == np.eye(matrix.shape[1])[first]).all():
            x = pick(d, op, x, index, first.tolist())
        else:
            x = multiply_axis(d, op, x, index, matrix)
    return x


def _axis_map(op: OnnxOp, size: int, factor: Fraction, ends: tuple[float, float]) -> Floats:
    """What ONNX's own reference code makes of one axis, as a matrix (out, in)."""
    if size * size * factor > MOST_WEIGHTS or size * factor < 1:
        raise UnreadableModelError(f"it resizes an axis of {size} by {float(factor):g}")
    proto = NodeProto()
    proto.CopyFrom(op.proto)
    for attribute in [a for a in proto.attribute if a.name in ("axes", "scales")]:
        proto.attribute.remove(attribute)
    scales = np.asarray([1.0, float(factor)], np.float32)
    region = np.asarray([0.0, ends[0], 1.0, ends[1]], np.float32)
    inputs: tuple[str, ...] = ("x", "roi", "scales")
    arrays: list[NDArray[Any] | None] = [region, scales]
    version = op.version
    if version < 11 or op.kind == "Upsample":  # which later became one of several ways
        old = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        proto.attribute.extend(helper.make_attribute(key, value) for key, value in old.items())
        proto.op_type, version = "Resize", 13
    elif Fraction(float(scales[1])) != factor:
        result_size = np.asarray([size, round(size * factor)], np.int64)
        inputs, arrays = ("x", "roi", "", "sizes"), [region, None, result_size]
    del proto.input[:]
    proto.input.extend(inputs)
    alone = replace(op, proto=proto, inputs=inputs, version=version)
    (matrix,) = compute_operator(alone, [np.eye(size), *arrays])
    (offset,) = compute_operator(alone, [np.zeros((size, size)), *arrays])
    if offset.any():
        raise UnreadableModelError("it puts a number of its own where nothing is")
    return np.asarray(matrix.T, np.float64)


def _factors(op: OnnxOp, args: Args, shape: Shape) -> tuple[tuple[int, ...], list[Fraction]]:
    """The axes that are resized and by how much."""
    axes = op.wholes("axes") or tuple(range(len(shape)))
    place = 1 if op.kind == "Upsample" or op.version < 11 else 2
    scale_attribute = op.attributes.get("scales")
    scales = constant_or_none(args, place, "scales")
    if scale_attribute is None and scales is not None and scales.value.size:
        scale_attribute = scales.value.reshape(-1)
    if scale_attribute is not None:
        if len(scale_attribute) != len(axes) or not np.isfinite(scale_attribute).all():
            raise UnreadableModelError(f"its scales are {list(scale_attribute)}")
        return axes, [Fraction(float(factor)) for factor in scale_attribute]
    sizes_ = constant_or_none(args, 3, "sizes")
    if sizes_ is None or sizes_.value.size != len(axes):
        raise UnreadableModelError("its scales are not constant or do not fit its input")
    target_sizes = [int(size) for size in sizes_.value.reshape(-1)]
    have = [shape[axis] for axis in axes]
    if len(target_sizes) == len(shape) and target_sizes[0] == 1:
        have[0] = 1  # a batch of one, written down although the batch is open
    return axes, [Fraction(want, size) for want, size in zip(target_sizes, have, strict=True)]


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
