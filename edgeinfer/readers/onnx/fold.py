# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators whose inputs are all constant, computed while reading, by ONNX's own reference code.

Only operators of this list are computed, and none whose result would be unreasonably large.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from edgeinfer.readers.onnx.layout import Const
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.weights import move_const

MAX_ELEMENTS = 1 << 26
MOVES = frozenset(("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"))
_ARITHMETIC = """
Abs Add And BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape Cos
CumSum Div Dropout Equal Erf Exp Expand Floor Gather GatherElements GatherND Gemm Greater
GreaterOrEqual Less LessOrEqual Log MatMul Max Mean Min Mod Mul Neg NonZero Not OneHot Or
Pad Pow Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Round
ScatterND Shape Sigmoid Sign Sin Size Slice Softmax Split Sqrt Sub Sum Tanh Tile Trilu
Where Xor
"""
FOLDABLE = MOVES | frozenset(_ARITHMETIC.split())


def fold_operator(op: OnnxOp, args: tuple[Const | None, ...]) -> list[Const]:
    """The results of an operator on constants."""
    if op.kind not in FOLDABLE:
        raise UnreadableModelError(
            "it works on constants only and cannot be computed while reading"
        )
    arrays = [None if arg is None else arg.value for arg in args]
    if op.kind == "Constant":
        return [Const(_constant(op))]
    refuse_large(op, [array for array in arrays if array is not None])
    if (op.kind in MOVES or _widens(op)) and (first := args[0]) is not None:
        rest = arrays[1:]
        return [move_const(first, lambda values: compute_operator(op, [values, *rest])[0])]
    return [Const(array) for array in compute_operator(op, arrays)]


def _widens(op: OnnxOp) -> bool:
    """A cast that changes no number."""
    return op.kind == "Cast" and op.whole("to", 1) == TensorProto.DOUBLE


def _constant(op: OnnxOp) -> NDArray[Any]:
    for key, value in op.attributes.items():
        match key:
            case "value":
                return np.asarray(value)
            case "value_float" | "value_floats":
                return np.asarray(value, dtype=np.float32)
            case "value_int" | "value_ints":
                return np.asarray(value, dtype=np.int64)
            case _:  # strings and sparse tensors are refused below
                continue
    raise UnreadableModelError("it holds no numbers")


def compute_operator(op: OnnxOp, arrays: list[NDArray[Any] | None]) -> list[NDArray[Any]]:
    """An operator's results on arrays."""
    from onnx import TypeProto, helper
    from onnx.reference import ReferenceEvaluator

    arrays_by_name = {
        name: array
        for name, array in zip(op.inputs, arrays, strict=True)
        if name and array is not None
    }
    outputs = [name for name in op.outputs if name]
    graph = helper.make_graph(
        [op.proto],
        "constants",
        [helper.make_value_info(name, TypeProto()) for name in arrays_by_name],
        [helper.make_value_info(name, TypeProto()) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", op.version)])
    try:
        with np.errstate(all="ignore"):
            computed = ReferenceEvaluator(model).run(None, arrays_by_name)
    except Exception as error:  # whatever NumPy or the reference code finds wrong with the inputs
        reason = str(error).split("\n", 1)[0][:200]
        raise UnreadableModelError(f"its constants do not fit together ({reason})") from None
    return [np.asarray(array) for array in computed]


def refuse_large(op: OnnxOp, arrays: list[NDArray[Any]]) -> None:
    """Some operators make much of little."""
    shapes = [array.shape for array in arrays]
    products = 0.0
    match op.kind:
        case "ConstantOfShape":
            products = _product(arrays[0])
        case "Expand":
            products = _product(arrays[1]) * max(arrays[0].size, 1)
        case "Tile":
            products = arrays[0].size * _product(arrays[1])
        case "Range":
            start, limit, delta = (float(array.reshape(-1)[0]) for array in arrays[:3])
            products = abs((limit - start) / delta) if delta else math.inf
        case "OneHot":
            products = arrays[0].size * abs(float(arrays[1].reshape(-1)[0]))
        case "Pad":
            widths = arrays[1].reshape(-1) if len(arrays) > 1 else np.zeros(2)
            products = arrays[0].size + _product(np.abs(widths.astype(np.float64)) + 16)
        case "MatMul" | "Gemm" | "Gather" | "GatherND" | "GatherElements":
            products = float(math.prod(array.size for array in arrays[:2]))
            products = products if products <= MAX_ELEMENTS else _outer(op, arrays)
        case _:  # the others are element-wise, or make no more than they read
            try:
                products = math.prod(np.broadcast_shapes(*shapes))
            except ValueError:
                products = sum(array.size for array in arrays)
    refuse_places(products)


def refuse_places(count: float) -> None:
    """More than a file should make us compute."""
    if not count <= MAX_ELEMENTS:
        raise UnreadableModelError(f"it would make a constant of {count:.1e} elements")


def _outer(op: OnnxOp, arrays: list[NDArray[Any]]) -> float:
    a, b = arrays[:2]
    inner = max(min(a.shape[-1:] + b.shape[:1], default=1), 1)
    return float(a.size) * float(b.size) / inner**2 if op.kind in ("MatMul", "Gemm") else math.inf


def _product(sizes: NDArray[Any]) -> float:
    return float(np.prod(np.abs(sizes.astype(np.float64))))
