# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Truth values, which are 0 and 1 in the Graph, choices by them, and casts between types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper

from edgeinfer.graph.nodes import Function, MergeKind, SitesNode
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.args import Args, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.elementwise import SMALLEST, add_activation, combine, subtract
from edgeinfer.readers.onnx.layout import Const, Value, View, settle_scale, sizes
from edgeinfer.readers.onnx.masking import choose_by_mask
from edgeinfer.readers.onnx.merge import merge_views
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError, float_types, integer_type
from edgeinfer.readers.onnx.space import spatial
from edgeinfer.readers.onnx.steps import type_range
from edgeinfer.readers.onnx.weights import finite

ONE = np.ones(())
BOOL = "bool"
IMAGE_RANK = 4  # samples, channels, rows, columns
EXACT_BITS: dict[int, int] = {TensorProto.FLOAT16: 11, TensorProto.BFLOAT16: 8}  # of whole numbers
TRUTHS = {"And": MergeKind.MULTIPLY, "Or": MergeKind.MAXIMUM}


def compare(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Comparisons, by the sign of the difference."""
    a, b = _input_of(args, 0), _input_of(args, 1)
    match op.kind:
        case "Less":  # a - b below zero
            return _is_negative(d, op, subtract(d, op, a, b), negative=True)
        case "GreaterOrEqual":
            return _is_negative(d, op, subtract(d, op, a, b), negative=False)
        case "Greater" if (sites := _find_sites(d, op, a, b)) is not None:
            return sites
        case "Greater":
            return _is_negative(d, op, subtract(d, op, b, a), negative=True)
        case "LessOrEqual":
            return _is_negative(d, op, subtract(d, op, b, a), negative=False)
        case _:  # "Equal", the last of the five
            return negate_truth(d, op, (_is_not_zero(d, op, subtract(d, op, a, b)),))


def _find_sites(d: Drawing, op: OnnxOp, x: Value, limit: Value) -> View | None:
    """Which pixels of images with one channel are brighter than a number, if that is asked."""
    if not isinstance(x, View) or not isinstance(limit, Const) or limit.value.size != 1:
        return None
    if x.rank != IMAGE_RANK or x.merged or sizes(d, x)[0] != 1 or not x.plain:
        return None
    image = spatial(d, x, IMAGE_RANK - 2)
    threshold = float(finite(limit, "constant").reshape(()))
    mask = d.add(SitesNode(d.named(op), image.tensor, threshold))
    return replace(image, tensor=mask, integer=BOOL)


def sites(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Sites of a sparse network: the pixels of which some channel lies above a threshold."""
    image = spatial(d, settle_scale(d, data(args, 0)), IMAGE_RANK - 2)
    mask = d.add(SitesNode(d.named(op), image.tensor, op.real("threshold", 0.0)))
    return replace(image, tensor=mask, exclusive=True)


def first_sites(d: Drawing, op: OnnxOp, args: Args) -> View:
    """FirstSites of a sparse network: of the lit pixels, row by row, as many as `most` says."""
    mask = data(args, 0)
    node = d.nodes[mask.tensor]
    if not isinstance(node, SitesNode) or node.most is not None or not mask.plain:
        raise UnreadableModelError("it does not count the sites of a mask")
    most = op.whole("most", 0)
    name = d.add(SitesNode(d.named(op), node.x, node.threshold, most))
    return replace(mask, tensor=name, exclusive=True)


def _input_of(args: Args, place: int) -> Value:
    value = args[place] if place < len(args) else None
    if value is None:
        raise UnreadableModelError(f"it has no input {place}")
    return value


def _is_negative(d: Drawing, op: OnnxOp, x: View, *, negative: bool) -> View:
    sign = add_activation(d, op, x, Function.SIGN)
    half = np.asarray(-0.5 if negative else 0.5)
    return replace(scale_view(d, op, sign, half, np.asarray(0.5)), integer=BOOL)


def _is_not_zero(d: Drawing, op: OnnxOp, x: View) -> View:
    sign = add_activation(d, op, x, Function.TERNARY, (SMALLEST,))
    return replace(merge_views(d, op, [sign, sign], MergeKind.MULTIPLY), integer=BOOL)


def negate_truth(d: Drawing, op: OnnxOp, args: Args) -> View:
    """Not."""
    return replace(scale_view(d, op, data(args, 0), -ONE, ONE), integer=BOOL)


def join_truths(d: Drawing, op: OnnxOp, args: Args) -> View:
    """And, Or, Xor."""
    a, b = _input_of(args, 0), _input_of(args, 1)
    if op.kind in TRUTHS:
        return replace(merge_views(d, op, [a, b], TRUTHS[op.kind]), integer=BOOL)
    apart = merge_views(d, op, [a, b], MergeKind.SUBTRACT)
    return replace(merge_views(d, op, [apart, apart], MergeKind.MULTIPLY), integer=BOOL)


def nowhere(d: Drawing, op: OnnxOp, args: Args) -> Const:
    """IsNaN: every number of a quantized network is one."""
    del op
    return Const(np.zeros((1,) * data(args, 0).rank, np.bool_))


def where(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """Where: condition x a + (1 - condition) x b."""
    condition, a, b = (_input_of(args, place) for place in range(3))
    if isinstance(condition, Const):
        other: Value = Const(1.0 - finite(condition, "condition"))
    else:
        other = negate_truth(d, op, (condition,))
    hidden = choose_by_mask(d, op, condition, a, b, other)
    if hidden is not None:
        return hidden
    taken, left = _product(d, op, condition, a), _product(d, op, other, b)
    integer = next((value.integer for value in (a, b) if isinstance(value, View)), "")
    if isinstance(taken, Const) and isinstance(left, Const):
        return Const(taken.value + left.value)
    return replace(combine(d, op, MergeKind.ADD, taken, left), integer=integer)


def _product(d: Drawing, op: OnnxOp, a: Value, b: Value) -> Value:
    if isinstance(a, Const) and isinstance(b, Const):
        return Const(finite(a, "condition") * finite(b, "constant"))
    return combine(d, op, MergeKind.MULTIPLY, a, b)


def cast(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """Cast and CastLike: what changes no number passes, reals are cut towards zero."""
    if isinstance(like := args[-1], View) and isinstance(const := args[0], Const):
        return Const(const.value.astype(like.integer or np.float32), const.grid)
    x, to = data(args, 0), op.whole("to", TensorProto.FLOAT)
    if op.kind == "CastLike":
        like = _input_of(args, 1)
        dtype = np.dtype(like.integer or np.float32) if isinstance(like, View) else like.value.dtype
        to = helper.np_dtype_to_tensor_dtype(dtype)
    kind = TensorProto.DataType.Name(to)
    if to in (TensorProto.FLOAT, TensorProto.DOUBLE):
        return replace(x, integer="")
    if to in float_types():
        if x.integer and max(map(abs, _range(x.integer))) <= 1 << EXACT_BITS[to]:
            return replace(x, integer="")
        if to == TensorProto.FLOAT16 and not x.integer:
            d.findings.append(
                f"{op.place}: the cast to float16 is left out. It changes nothing in formats of up "
                f"to 11 bits; wider ones keep what it rounds."
            )
            return x
        raise UnreadableModelError(
            f"it rounds to {kind}, whose steps grow with the value: no fixed ones do"
        )
    name = integer_type(to)
    if to == TensorProto.BOOL:
        return x if x.integer == BOOL else _is_not_zero(d, op, x)
    try:
        low, high = type_range(name)
    except UnreadableModelError:
        raise UnreadableModelError(f"it casts a tensor to {kind}") from None
    if not x.integer:
        if high < (1 << 7) - 1:
            raise UnreadableModelError(f"it casts a tensor to {kind}")
        return replace(add_activation(d, op, x, Function.TRUNCATE), integer=name)
    least, most = _range(x.integer)
    if least < low or most > high:
        raise UnreadableModelError(f"it wraps {x.integer} to {name}")
    return replace(x, integer=name)


def _range(integer: str) -> tuple[int, int]:
    return (0, 1) if integer == BOOL else type_range(integer)
