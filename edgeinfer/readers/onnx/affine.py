# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Scales and shifts of the file: composed while they are owed, and who lets them pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import ConvNode, DenseNode, Floats, MergeKind, MergeNode
from edgeinfer.readers.grids import fixed_bias
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    ONE,
    View,
    arrange_axes,
    local,
    settle_scale,
    with_all_axes,
    write_affine,
    write_constant,
)
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from quantization.ranges import shrink_array


def carry_view(d: Drawing, view: View) -> View:
    """The view for an operator that lets scales pass; float files keep their order."""
    return view if d.quantized else settle_scale(d, view)


def homogeneous(d: Drawing, view: View) -> View:
    """The view as f takes it where f(s x) = s f(x) for s > 0 and every channel is for itself."""
    view = carry_view(d, view)
    return view if (view.scale > 0).all() and (view.shift == 0).all() else settle_scale(d, view)


def uniform(d: Drawing, view: View) -> View:
    """The view with one scale for all of it and no shift, as linear operators take it."""
    view = carry_view(d, view)
    if view.scale.ndim or float(view.scale) == 0.0 or view.shift.ndim:
        return settle_scale(d, view)
    if float(view.shift) == 0.0:
        return view
    offset = float(view.shift / view.scale)
    if abs(offset - round(offset)) < 1e-6 * max(1.0, abs(offset)):
        offset = float(round(offset))  # a zero point
    moved = write_affine(
        d, replace(view, scale=ONE, shift=np.asarray(offset), label=f"{view.tensor}_offset")
    )
    return replace(moved, scale=view.scale, label=view.label)


def scale_view(
    d: Drawing, op: OnnxOp, view: View, scale: NDArray[Any], shift: NDArray[Any]
) -> View:
    """scale x view + shift, where both are constants of the file."""
    for constant in (scale, shift):
        if not np.isfinite(np.asarray(constant, dtype=np.float64)).all():
            raise UnreadableModelError("its constant has NaN or infinity")
    factor, addend = local(d, view, scale), local(d, view, shift)
    if factor is None or addend is None:
        return _grow_view(d, op, view, scale, shift)
    if (factor == 1.0).all() and (addend == 0.0).all():
        return view
    if (factor == 1.0).all() and (biased := _as_bias(d, view, addend)) is not None:
        return biased
    return replace(
        view,
        scale=shrink_array(view.scale * factor),
        shift=shrink_array(view.shift * factor + addend),
        label=view.label or d.named(op),
    )


def _as_bias(d: Drawing, view: View, addend: Floats) -> View | None:
    """MatMul and Add: the bias of the layer just made, if nothing else reads that."""
    node = d.nodes[view.tensor]
    if not (view.exclusive and view.plain and isinstance(node, ConvNode | DenseNode)):
        return None
    if node.bias is not None or addend.ndim > 1:
        return None
    bias = np.broadcast_to(addend, node.kernel.shape[-1:]).copy()
    if d.quantized:
        fixed = fixed_bias(bias, exact=d.stepwise)
        bias = fixed.values
        d.weights[f"{node.layer}/bias"] = fixed.format
    d.nodes[view.tensor] = replace(node, bias=bias)
    return view


def _grow_view(
    d: Drawing, op: OnnxOp, view: View, scale: NDArray[Any], shift: NDArray[Any]
) -> View:
    """Constants that make the tensor larger: merged as tensors of their own."""
    view = settle_scale(d, view)
    rank = max(np.ndim(scale), np.ndim(shift))
    if d.batch == 1 and (view.merged or rank >= view.rank):
        missing = (None,) * (rank - view.rank)
        view = with_all_axes(view)
        view = replace(view, order=(*missing, *view.order))
    view = arrange_axes(d, view)
    for values, kind, neutral in (
        (scale, MergeKind.MULTIPLY, 1.0),
        (shift, MergeKind.ADD, 0.0),
    ):
        value = np.asarray(values, dtype=np.float64)
        if (value == neutral).all():
            continue
        whole = view.merged and d.batch == 1
        fits = value.ndim < view.rank or (value.ndim == view.rank and len(value) == 1)
        if not whole and (view.merged or not fits):
            raise UnreadableModelError(
                f"a constant of shape {value.shape} does not fit its other input"
            )
        constant = value[0] if value.ndim == view.rank and not whole else value
        name = d.named(op)
        other = write_constant(d, f"{name}_constant", constant)
        view = replace(view, tensor=d.add(MergeNode(name, (view.tensor, other), kind)))
    return view
