# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which function reads which operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from onnx import GraphProto, defs

from edgeinfer.readers.forms import forms_of
from edgeinfer.readers.onnx import (
    attention,
    comparing,
    composed,
    elementwise,
    gathering,
    indexing,
    linear,
    moves,
    quant,
    quantized_ops,
    recurrent,
    reducing,
    resizing,
    space,
    transposed,
)
from edgeinfer.readers.onnx.args import Args
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.fold import FOLDABLE, fold_operator
from edgeinfer.readers.onnx.layout import Const, Value, View, file_shape
from edgeinfer.readers.onnx.merge import concat
from edgeinfer.readers.onnx.ops import (
    MAIN_DOMAINS,
    SPARSE_DOMAIN,
    OnnxOp,
    UnreadableModelError,
    is_choice,
)

Reader = Callable[[Drawing, OnnxOp, Args], Value | list[View]]


STANDARD: Mapping[str, Reader] = {
    **dict.fromkeys((*elementwise.PLAIN, *elementwise.SHAPED), elementwise.activation),
    **dict.fromkeys(
        ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), comparing.compare
    ),
    **dict.fromkeys(("And", "Or", "Xor"), comparing.join_truths),
    **dict.fromkeys(("Cast", "CastLike"), comparing.cast),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), elementwise.binary),
    **dict.fromkeys(("Sum", "Mean", "Max", "Min"), elementwise.variadic),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), space.global_pool),
    **dict.fromkeys(("MaxPool", "AveragePool"), space.pool),
    **dict.fromkeys((*reducing.POOLS, *reducing.OTHERS), reducing.reduce),
    **dict.fromkeys(
        ("CenterCropPad", "Compress", "ReverseSequence"),
        gathering.move_elements,
    ),
    **dict.fromkeys(
        ("Scatter", "TensorScatter", "Trilu"),
        gathering.change_elements,
    ),
    **dict.fromkeys(("ArgMax", "ArgMin"), indexing.arg_extreme),
    **dict.fromkeys(("Resize", "Upsample"), resizing.resize),
    **dict.fromkeys(recurrent.GATES, recurrent.read_recurrent),
    **dict.fromkeys(("Identity", "Dropout"), moves.pass_unchanged),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), composed.layer_norm),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization"), composed.group_norm),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), moves.rearrange_depth),
    "Abs": elementwise.absolute,
    "Attention": attention.attention,
    "BatchNormalization": linear.batch_norm,
    "Clip": elementwise.clip,
    "Col2Im": gathering.add_up_windows,
    "Concat": concat,
    "Conv": linear.conv,
    "ConvInteger": quantized_ops.integer_product(linear.conv),
    "MatMulInteger": quantized_ops.integer_product(linear.matmul),
    "QLinearConv": quantized_ops.qlinear_conv,
    "QLinearMatMul": quantized_ops.qlinear_matmul,
    "ConvTranspose": transposed.conv_transpose,
    "DequantizeLinear": quant.dequantize_linear,
    "Flatten": moves.flatten,
    "Gather": indexing.gather,
    "GatherElements": indexing.gather_elements,
    "GatherND": indexing.gather_numbered,
    "OneHot": indexing.one_hot,
    "ScatterElements": indexing.scatter_elements,
    "ScatterND": indexing.scatter_numbered,
    "TopK": indexing.top,
    "Gemm": linear.gemm,
    **dict.fromkeys(("LpPool", "GlobalLpPool"), reducing.length_pool),
    "Hardmax": indexing.hard_max,
    "IsNaN": comparing.nowhere,
    "LRN": composed.local_norm,
    "LpNormalization": composed.length_norm,
    "MatMul": linear.matmul,
    "Not": comparing.negate_truth,
    "Where": comparing.where,
    "Neg": elementwise.negate_view,
    "PRelu": elementwise.prelu,
    "Pad": gathering.pad,
    "Tile": gathering.tile,
    "Einsum": composed.einsum,
    "Expand": gathering.expand,
    "CumSum": gathering.cumulate,
    "LogSoftmax": reducing.log_softmax,
    "Pow": elementwise.power,
    "QuantizeLinear": quant.quantize_linear,
    "Reshape": moves.reshape,
    "Slice": moves.slices,
    "Softmax": elementwise.softmax,
    "Split": moves.split,
    "Squeeze": moves.squeeze,
    "Transpose": moves.transpose,
    "Unsqueeze": moves.unsqueeze,
}
QONNX: Mapping[str, Reader] = {
    "Quant": quant.quant,
    "IntQuant": quant.quant,
    "BipolarQuant": quant.bipolar_quant,
    "Trunc": quant.trunc,
    "MaxPoolNHWC": partial(space.pool, channels_last=True),
}
MICROSOFT: Mapping[str, Reader] = dict.fromkeys(quantized_ops.MERGES, quantized_ops.qlinear_merge)
CHANNELS_LAST: Mapping[str, Reader] = {
    "Conv": partial(linear.conv, channels_last=True),
    "MaxPool": partial(space.pool, channels_last=True),
    "AveragePool": partial(space.pool, channels_last=True),
    "BatchNormalization": partial(linear.batch_norm, channels_last=True),
}
SPARSE: Mapping[str, Reader] = {"Sites": comparing.sites, "FirstSites": comparing.first_sites}
DOMAINS: Mapping[str, Mapping[str, Reader]] = {
    **dict.fromkeys(MAIN_DOMAINS, STANDARD),
    "com.microsoft": MICROSOFT,
    SPARSE_DOMAIN: SPARSE,
    **dict.fromkeys(("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general"), QONNX),
    **dict.fromkeys(
        ("qonnx.custom_op.channels_last", "finn.custom_op.channels_last"), CHANNELS_LAST
    ),
}
QUANTIZERS = frozenset(
    (
        *("Quant", "IntQuant", "BipolarQuant", "Trunc", "QuantizeLinear", "DequantizeLinear"),
        *("QLinearConv", "QLinearMatMul", *quantized_ops.MERGES),
    )
)
REASONS = {
    "DynamicQuantizeLinear": "its scale follows the data; quantize the model statically",
}
NO_READER = "it can be read with constant inputs only"
_MEASURES = frozenset(("Shape", "Size"))  # of what is known while reading


def why_unknown(op: OnnxOp) -> str | None:
    """Why nothing can read this kind of operator; None if something can."""
    if any(isinstance(value, GraphProto) for value in op.attributes.values()):
        return "it contains a graph of its own; export the model without control flow"
    if is_choice(op.kind, op.domain):
        return None
    if op.domain not in DOMAINS:
        return f"the domain {op.domain!r} is unknown"
    known_ops = set(DOMAINS[op.domain])
    if op.domain in MAIN_DOMAINS:
        known_ops |= FOLDABLE | _MEASURES
    if op.kind in known_ops:
        return None
    return REASONS.get(op.kind, "no such operator can be read")


def nearest_operator(op: OnnxOp) -> str:
    """The form that can be read and stands nearest to an operator; other domains may use ONNX's
    names."""
    forms = forms_of("onnx") if op.domain in DOMAINS else {}
    return forms.get(op.kind, "operators of ONNX or QONNX that docs/onnx.md lists")


def reads_tensors(op: OnnxOp) -> bool:
    """Whether it can be read where its inputs are not constant."""
    return op.kind in DOMAINS[op.domain] or op.kind in _MEASURES


def read_op(d: Drawing, op: OnnxOp, args: Args) -> list[Value]:
    """The operator's results; nodes are added to the drawing."""
    _refuse_few(op)
    reader = DOMAINS[op.domain].get(op.kind)
    constants = tuple(arg for arg in args if not isinstance(arg, View))
    if op.domain in MAIN_DOMAINS:
        if op.kind in _MEASURES and isinstance(args[0], View):
            return [_shape_const(d, op, args[0])]
        if len(constants) == len(args) and op.kind not in QUANTIZERS:
            return list(fold_operator(op, constants))
    if reader is None:
        raise UnreadableModelError(NO_READER)
    result = reader(d, op, args)
    return list(result) if isinstance(result, list) else [result]


def _refuse_few(op: OnnxOp) -> None:
    """Inputs and outputs that ONNX itself demands."""
    if not any(op.outputs):
        raise UnreadableModelError("it has no outputs")
    if op.domain not in MAIN_DOMAINS or not defs.has(op.kind, op.version):
        return
    least = defs.get_schema(op.kind, op.version).min_input
    if len(op.inputs) < least or not all(op.inputs[:least]):
        raise UnreadableModelError(f"it has {len(op.inputs)} inputs; at least {least} are needed")


def _shape_const(d: Drawing, op: OnnxOp, x: View) -> Const:
    shape = np.asarray(file_shape(d, x), dtype=np.int64)
    if op.kind == "Size":
        return Const(np.asarray(np.prod(shape)))
    end = op.attributes.get("end")
    return Const(shape[op.whole("start", 0) : None if end is None else int(end)])
