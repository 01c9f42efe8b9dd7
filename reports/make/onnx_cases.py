# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The layers of the table of layers, as ONNX draws them: nodes in ONNX's own text.

``x`` is the input and ``y`` the output; the input's shape is as ONNX has it, channels first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VECTOR, SERIES, STEPS, LONG = (6,), (4, 10), (8, 4), (100, 6)
IMAGE, VOLUME, PICTURE = (3, 8, 10), (2, 4, 6, 8), (1, 6, 7)
CLASSES = 4  # entries that ArgMax and OneHot tell apart


@dataclass(frozen=True, slots=True)
class OnnxCase:
    """Nodes as text, and what they read beside x: arrays, or the shapes of random weights."""

    shape: tuple[int, ...]
    nodes: str
    weights: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 22


def _integers(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def _number(value: float) -> Any:
    return np.float32(value)


def _function(node: str, **attributes: float) -> OnnxCase:
    options = ", ".join(f"{name} = {value}" for name, value in attributes.items())
    return OnnxCase(VECTOR, f"y = {node} <{options}> (x)" if options else f"y = {node}(x)")


def _positive(node: str, **weights: Any) -> OnnxCase:
    """A function of what is above zero."""
    read = ", ".join(("p", *weights))
    nodes = f"s = Sigmoid(x) p = Add(s, quarter) y = {node}({read})"
    return OnnxCase(VECTOR, nodes, {"quarter": _number(0.25), **weights})


def _pool(node: str, shape: tuple[int, ...]) -> OnnxCase:
    window = [2] * (len(shape) - 1)
    return OnnxCase(shape, f"y = {node} <kernel_shape = {window}, strides = {window}> (x)")


def _pair(node: str) -> OnnxCase:
    return OnnxCase(STEPS, f"r = Relu(x) y = {node}(x, r)")


def _recurrent(node: str, gates: int, shape: tuple[int, ...] = STEPS) -> OnnxCase:
    """A recurrence over the second axis; what its last step yields."""
    nodes = f"""
        t = Transpose <perm = [1, 0, 2]> (x)
        steps, h = {node} <hidden_size = 3> (t, w, r, b)
        y = Squeeze(h, first)
    """
    rows = 3 * gates
    weights = {"w": (1, rows, shape[1]), "r": (1, rows, 3), "b": (1, 2 * rows)}
    return OnnxCase(shape, nodes, {**weights, "first": _integers(0)})


def _heads(name: str) -> str:
    """The input projected to two heads of three numbers."""
    return f"""
        {name}1 = MatMul(x, {name}w)
        {name}2 = Reshape({name}1, heads)
        {name} = Transpose <perm = [0, 2, {"3, 1" if name == "k" else "1, 3"}]> ({name}2)
    """


SLICE = {"starts": _integers(1, 1), "ends": _integers(-1, -1), "axes": _integers(2, 3)}
REVERSED = {
    "start": _integers(-1),
    "end": _integers(-1 << 63),
    "axis": _integers(1),
    "step": _integers(-1),
}
ONNX_CASES: dict[str, OnnxCase] = {
    "Dense": OnnxCase(
        VECTOR,
        "h = Gemm(x, w, b) y = MatMul(h, v)",
        {"w": (6, 5), "b": (5,), "v": (5, 4)},
    ),
    "EinsumDense": OnnxCase(STEPS, "y = MatMul(x, w)", {"w": (4, 5)}),
    "Conv1D": OnnxCase(SERIES, "y = Conv <pads = [1, 1]> (x, w, b)", {"w": (3, 4, 3), "b": (3,)}),
    "Conv2D": OnnxCase(IMAGE, "y = Conv <strides = [2, 2]> (x, w)", {"w": (4, 3, 3, 3)}),
    "Conv3D": OnnxCase(VOLUME, "y = Conv(x, w)", {"w": (3, 2, 2, 2, 2)}),
    "DepthwiseConv1D": OnnxCase(SERIES, "y = Conv <group = 4> (x, w)", {"w": (4, 1, 3)}),
    "DepthwiseConv2D": OnnxCase(IMAGE, "y = Conv <group = 3> (x, w)", {"w": (3, 1, 3, 3)}),
    "SeparableConv1D": OnnxCase(
        SERIES,
        "h = Conv <group = 4> (x, w) y = Conv(h, v)",
        {"w": (4, 1, 3), "v": (3, 4, 1)},
    ),
    "SeparableConv2D": OnnxCase(
        IMAGE,
        "h = Conv <group = 3> (x, w) y = Conv(h, v)",
        {"w": (3, 1, 3, 3), "v": (4, 3, 1, 1)},
    ),
    "Conv1DTranspose": OnnxCase(
        SERIES, "y = ConvTranspose <strides = [2]> (x, w)", {"w": (4, 3, 3)}
    ),
    "Conv2DTranspose": OnnxCase(
        IMAGE, "y = ConvTranspose <strides = [2, 2]> (x, w)", {"w": (3, 4, 3, 3)}
    ),
    "Conv3DTranspose": OnnxCase(
        VOLUME, "y = ConvTranspose <strides = [2, 2, 2]> (x, w)", {"w": (2, 3, 2, 3, 2)}
    ),
    "BatchNormalization": OnnxCase(
        IMAGE,
        "y = BatchNormalization(x, s, b, m, v)",
        {"s": (3,), "b": (3,), "m": (3,), "v": np.array([0.5, 1, 2], np.float32)},
    ),
    "Rescaling": OnnxCase(
        IMAGE, "h = Mul(x, a) y = Add(h, b)", {"a": _number(0.3), "b": _number(0.1)}
    ),
    "Normalization": OnnxCase(
        VECTOR, "h = Sub(x, a) y = Div(h, b)", {"a": _number(0.3), "b": _number(1.4)}
    ),
    "LayerNormalization": OnnxCase(
        STEPS, "y = LayerNormalization <axis = -1> (x, s, b)", {"s": (4,), "b": (4,)}
    ),
    "RMSNormalization": OnnxCase(
        STEPS, "y = RMSNormalization <axis = -1> (x, s)", {"s": (4,)}, opset=23
    ),
    "GroupNormalization": OnnxCase(
        SERIES, "y = GroupNormalization <num_groups = 2> (x, s, b)", {"s": (4,), "b": (4,)}
    ),
    "UnitNormalization": OnnxCase(STEPS, "y = LpNormalization <axis = -1, p = 2> (x)"),
    "ReLU": _function("Relu"),
    "ReLU(6)": OnnxCase(VECTOR, "y = Clip(x, low, high)", {"low": _number(0), "high": _number(6)}),
    "LeakyReLU": _function("LeakyRelu", alpha=0.1),
    "PReLU": OnnxCase(VECTOR, "y = PRelu(x, s)", {"s": (6,)}),
    "ELU": _function("Elu"),
    "Softmax": OnnxCase(STEPS, "h = Softmax <axis = -1> (x) y = MatMul(h, w)", {"w": (4, 3)}),
    "sigmoid": OnnxCase(VECTOR, "h = Sigmoid(x) y = MatMul(h, w)", {"w": (6, 3)}),
    "tanh": _function("Tanh"),
    "hard_sigmoid": _function("HardSigmoid"),
    "selu": _function("Selu"),
    "softplus": _function("Softplus"),
    "softsign": _function("Softsign"),
    "silu": OnnxCase(VECTOR, "y = Swish(x)", opset=24),
    "hard_silu": _function("HardSwish"),
    "gelu": _function("Gelu"),
    "exponential": _function("Exp"),
    "soft_shrink": _function("Shrink", lambd=0.5, bias=0.5),
    "hard_shrink": _function("Shrink", lambd=0.5, bias=0.0),
    "ops.absolute": _function("Abs"),
    "ops.square": OnnxCase(VECTOR, "y = Mul(x, x)"),
    "ops.erf": _function("Erf"),
    "ops.sin": _function("Sin"),
    "ops.cos": _function("Cos"),
    "ops.tan": _function("Tan"),
    "ops.arctan": _function("Atan"),
    "ops.floor": _function("Floor"),
    "ops.ceil": _function("Ceil"),
    "ops.log": _positive("Log"),
    "ops.sqrt": _positive("Sqrt"),
    "ops.rsqrt": _positive("Pow", exponent=_number(-0.5)),
    "ops.reciprocal": _positive("Reciprocal"),
    "MaxPooling1D": _pool("MaxPool", SERIES),
    "MaxPooling2D": _pool("MaxPool", IMAGE),
    "MaxPooling3D": _pool("MaxPool", VOLUME),
    "AveragePooling1D": _pool("AveragePool", SERIES),
    "AveragePooling2D": _pool("AveragePool", IMAGE),
    "AveragePooling3D": _pool("AveragePool", VOLUME),
    "GlobalMaxPooling2D": OnnxCase(IMAGE, "y = GlobalMaxPool(x)"),
    "GlobalAveragePooling1D": OnnxCase(SERIES, "y = GlobalAveragePool(x)"),
    "GlobalAveragePooling2D": OnnxCase(IMAGE, "y = GlobalAveragePool(x)"),
    "ops.mean": OnnxCase(STEPS, "y = ReduceMean(x, axes)", {"axes": _integers(-1)}),
    "ops.max": OnnxCase(STEPS, "y = ReduceMax <keepdims = 0> (x, axes)", {"axes": _integers(1)}),
    "Flatten": OnnxCase(STEPS, "y = Flatten(x)"),
    "Reshape": OnnxCase(STEPS, "y = Reshape(x, sizes)", {"sizes": _integers(0, 4, 8)}),
    "Permute": OnnxCase(  # alone it would move channels to where the Graph has them already
        STEPS, "h = Transpose <perm = [0, 2, 1]> (x) y = MatMul(h, w)", {"w": (8, 3)}
    ),
    "RepeatVector": OnnxCase(
        VECTOR,
        "h = Unsqueeze(x, axes) y = Expand(h, sizes)",
        {"axes": _integers(1), "sizes": _integers(1, 3, 1)},
    ),
    "ZeroPadding2D": OnnxCase(
        IMAGE, "y = Pad(x, pads)", {"pads": _integers(0, 0, 1, 1, 0, 0, 1, 1)}
    ),
    "Cropping2D": OnnxCase(IMAGE, "y = Slice(x, starts, ends, axes)", SLICE),
    "UpSampling2D": OnnxCase(
        IMAGE,
        'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
        'nearest_mode = "floor"> (x, , scales)',
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    "UpSampling2D(bilinear)": OnnxCase(
        IMAGE,
        'y = Resize <mode = "linear"> (x, , scales)',
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    "ops.flip": OnnxCase(
        STEPS,
        "y = Slice(x, start, end, axis, step)",
        REVERSED,
    ),
    "ops.take": OnnxCase(
        STEPS, "y = Gather <axis = 1> (x, places)", {"places": _integers(3, 0, 0, 7)}
    ),
    "ops.take_along_axis": OnnxCase(
        STEPS,
        "v, places = TopK(x, count) y = GatherElements <axis = -1> (x, places)",
        {"count": _integers(4)},
    ),
    "Embedding": OnnxCase(
        STEPS,
        "places = ArgMax <axis = -1, keepdims = 0> (x) y = Gather(table, places)",
        {"table": (CLASSES, 3)},
    ),
    "ops.one_hot": OnnxCase(
        STEPS,
        "places = ArgMax <axis = -1, keepdims = 0> (x) h = OneHot(places, depth, values) "
        "y = Add(h, x)",
        {"depth": np.int64(CLASSES), "values": np.array([0, 1], np.float32)},
    ),
    "ops.argmax": OnnxCase(
        STEPS, "places = ArgMax <axis = -1, keepdims = 0> (x) y = Cast <to = 1> (places)"
    ),
    "ops.top_k": OnnxCase(STEPS, "y, places = TopK(x, count)", {"count": _integers(2)}),
    "ops.sort": OnnxCase(
        STEPS, "y, places = TopK <largest = 0> (x, count)", {"count": _integers(4)}
    ),
    "ops.split": OnnxCase(STEPS, "a, b = Split <axis = 1, num_outputs = 2> (x) y = Add(a, b)"),
    "ops.tile": OnnxCase(STEPS, "y = Tile(x, repeats)", {"repeats": _integers(1, 2, 1)}),
    "Add": _pair("Add"),
    "Subtract": _pair("Sub"),
    "Multiply": _pair("Mul"),
    "Average": _pair("Mean"),
    "Maximum": _pair("Max"),
    "Minimum": _pair("Min"),
    "Concatenate": OnnxCase(STEPS, "r = Relu(x) y = Concat <axis = 2> (x, r)"),
    "x[1:] / 3, c - x, x * y": OnnxCase(
        STEPS,
        "a = Slice(x, one, end, axis) b = Slice(x, zero, last, axis) c = Mul(a, third) "
        "d = Sub(most, c) y = Mul(d, b)",
        {
            "zero": _integers(0),
            "one": _integers(1),
            "last": _integers(-1),
            "end": _integers(8),
            "axis": _integers(1),
            "third": _number(1 / 3),
            "most": _number(1.5),
        },
    ),
    "x / y": OnnxCase(
        STEPS, "s = Sigmoid(x) p = Add(s, half) y = Div(x, p)", {"half": _number(0.5)}
    ),
    "ops.not_equal": OnnxCase(
        STEPS,
        "r = Relu(x) e = Equal(r, zero) n = Not(e) c = Cast <to = 1> (n) y = Mul(x, c)",
        {"zero": _number(0)},
    ),
    "ops.where": OnnxCase(
        STEPS,
        "c = Less(x, limit) a = Mul(x, quarter) b = Tanh(x) y = Where(c, a, b)",
        {"limit": _number(0.3), "quarter": _number(0.25)},
    ),
    "Dot": OnnxCase(STEPS, "r = Relu(x) t = Transpose <perm = [0, 2, 1]> (r) y = MatMul(x, t)"),
    "ops.matmul": OnnxCase(STEPS, "t = Transpose <perm = [0, 2, 1]> (x) y = MatMul(x, t)"),
    "ops.einsum": OnnxCase(STEPS, 'y = Einsum <equation = "bij,bkj->bik"> (x, x)'),
    "Attention": OnnxCase(
        STEPS,
        "r = Relu(x) t = Transpose <perm = [0, 2, 1]> (r) s = MatMul(x, t) "
        "p = Softmax <axis = -1> (s) y = MatMul(p, r)",
    ),
    "AdditiveAttention": OnnxCase(
        STEPS,
        "r = Relu(x) q = Unsqueeze(x, second) k = Unsqueeze(r, first) a = Add(q, k) "
        "t = Tanh(a) s = ReduceSum <keepdims = 0> (t, last) p = Softmax <axis = -1> (s) "
        "y = MatMul(p, r)",
        {"first": _integers(1), "second": _integers(2), "last": _integers(3)},
    ),
    "MultiHeadAttention(causal)": OnnxCase(
        STEPS,
        "y = Attention <q_num_heads = 2, kv_num_heads = 2, is_causal = 1> (x, x, x)",
        opset=23,
    ),
    "MultiHeadAttention": OnnxCase(
        STEPS,
        f"{_heads('q')} {_heads('k')} {_heads('v')} s = MatMul(q, k) d = Mul(s, factor) "
        "p = Softmax <axis = -1> (d) m = MatMul(p, v) t = Transpose <perm = [0, 2, 1, 3]> (m) "
        "j = Reshape(t, joined) y = MatMul(j, ow)",
        {
            **{f"{name}w": (4, 6) for name in "qkv"},
            "ow": (6, 4),
            "heads": _integers(0, 8, 2, 3),
            "joined": _integers(0, 8, 6),
            "factor": _number(3**-0.5),
        },
    ),
    "GroupQueryAttention": OnnxCase(
        STEPS,
        "q = MatMul(x, qw) k = MatMul(x, kw) v = MatMul(x, vw) "
        "a = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v) y = MatMul(a, ow)",
        {"qw": (4, 12), "kw": (4, 6), "vw": (4, 6), "ow": (12, 4)},
        opset=23,
    ),
    "SimpleRNN": _recurrent("RNN", 1),
    "LSTM": _recurrent("LSTM", 4),
    "GRU": _recurrent("GRU", 3),
    "Bidirectional(LSTM)": OnnxCase(
        STEPS,
        """
        t = Transpose <perm = [1, 0, 2]> (x)
        h = LSTM <hidden_size = 3, direction = "bidirectional"> (t, w, r, b)
        u = Transpose <perm = [2, 0, 1, 3]> (h)
        y = Reshape(u, sizes)
        """,
        {"w": (2, 12, 4), "r": (2, 12, 3), "b": (2, 24), "sizes": _integers(0, 8, 6)},
    ),
    "LSTM(100 steps)": _recurrent("LSTM", 4, LONG),
    "Conv2D at lit pixels": OnnxCase(
        PICTURE,
        "g = Greater(x, half) lit = Cast <to = 1> (g) m = Mul(x, lit) "
        "h = Conv <pads = [1, 1, 1, 1]> (m, w, b) y = Mul(h, lit)",
        {"half": _number(0.5), "w": (3, 1, 3, 3), "b": (3,)},
    ),
    "Conv2D at pooled sites": OnnxCase(
        (1, 6, 8),
        "g = Greater(x, half) lit = Cast <to = 1> (g) m = Mul(x, lit) "
        "fewer = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (lit) "
        "h = Conv <strides = [2, 2]> (m, w, b) y = Mul(h, fewer)",
        {"half": _number(0.5), "w": (3, 1, 2, 2), "b": (3,)},
    ),
}
