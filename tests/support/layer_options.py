# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers with the options that the field's networks use, as Keras 2, Keras 3 and PyTorch's two
exporters write them. What a list of cases covers follows what hls4ml's public tests cover: dense
layers, convolutions, pools, functions, norms, merges, shapes, embeddings, nested models, attention,
products of tensors, and recurrent layers, which are refused here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto

from tests.support import onnx_models as m

VECTOR, SERIES, IMAGE = (16,), (10, 4), (8, 8, 3)
Case = tuple[tuple[int, ...], Callable[[Any], Callable[[Any], Any]]]


def _plain(shape: tuple[int, ...], name: str, *arguments: Any, **options: Any) -> Case:
    return shape, lambda L: getattr(L, name)(*arguments, **options)


def _pair(name: str, **options: Any) -> Case:
    """Two branches that meet."""
    return SERIES, lambda L: lambda x: getattr(L, name)(**options)([L.Dense(4)(x), L.ReLU()(x)])


def _twice(L: Any) -> Callable[[Any], Any]:
    shared = L.Dense(4, activation="relu")
    return lambda x: L.Add()([shared(x), shared(shared(x))])


def _residual(L: Any) -> Callable[[Any], Any]:
    def make(x: Any) -> Any:
        y = L.Conv2D(3, 3, padding="same", use_bias=False)(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        return L.Flatten()(L.MaxPooling2D(2)(L.Add()([x, y])))

    return make


def _cnn(L: Any) -> Callable[[Any], Any]:
    def make(x: Any) -> Any:
        y = L.MaxPooling2D(2)(L.Conv2D(4, 3, activation="relu")(x))
        y = L.Dense(8, activation="relu")(L.Flatten()(y))
        return L.Dense(3, activation="softmax")(L.Dropout(0.2)(y))

    return make


def _two_heads(L: Any) -> Callable[[Any], Any]:
    def make(x: Any) -> Any:
        y = L.Dense(8, activation="relu")(x)
        return [L.Dense(3, activation="softmax")(y), L.Dense(1, activation="sigmoid")(y)]

    return make


KERAS: dict[str, Case] = {
    "dense": _plain(VECTOR, "Dense", 5),
    "dense of a sequence": _plain(SERIES, "Dense", 5, use_bias=False),
    **{
        f"dense {name}": _plain(VECTOR, "Dense", 5, activation=name)
        for name in ("relu", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "softmax",
                     "hard_sigmoid", "exponential", "relu6")
    },
    "relu": _plain(SERIES, "ReLU"),
    "relu of 6": _plain(SERIES, "ReLU", max_value=6.0),
    "relu with a slope and a threshold": _plain(SERIES, "ReLU", 4.0, 0.1, 0.2),
    "leaky relu": _plain(SERIES, "LeakyReLU", 0.1),
    "elu layer": _plain(SERIES, "ELU", 0.7),
    "prelu": _plain(SERIES, "PReLU"),
    "prelu shared": _plain(IMAGE, "PReLU", shared_axes=[1, 2]),
    "softmax of a sequence": _plain(SERIES, "Softmax", axis=1),
    **{
        f"conv1d {padding} {strides} {rate}": _plain(
            SERIES, "Conv1D", 4, 3, strides=strides, padding=padding, dilation_rate=rate
        )
        for padding, strides, rate in (("valid", 1, 1), ("same", 2, 1), ("causal", 1, 2))
    },
    "conv1d pointwise": _plain(SERIES, "Conv1D", 5, 1),
    **{
        f"conv2d {padding} {strides}": _plain(IMAGE, "Conv2D", 4, 3, strides, padding)
        for padding in ("valid", "same") for strides in (1, 2, (2, 1))
    },
    "conv2d dilated": _plain(IMAGE, "Conv2D", 4, 3, dilation_rate=2),
    "conv2d grouped": _plain(IMAGE, "Conv2D", 6, 3, groups=3),
    "conv2d of one axis": _plain(IMAGE, "Conv2D", 4, (1, 3), activation="relu"),
    "conv2d pointwise": _plain(IMAGE, "Conv2D", 5, 1, strides=2),
    "conv1d transposed": _plain(SERIES, "Conv1DTranspose", 3, 3, strides=2, padding="same"),
    "conv2d transposed": _plain(IMAGE, "Conv2DTranspose", 3, 3, strides=2),
    "depthwise 1d": _plain(SERIES, "DepthwiseConv1D", 3),
    "depthwise 2d": _plain(IMAGE, "DepthwiseConv2D", 3, padding="same", depth_multiplier=2),
    "separable 1d": _plain(SERIES, "SeparableConv1D", 3, 3),
    "separable 2d": _plain(IMAGE, "SeparableConv2D", 3, 3, padding="same"),
    **{
        f"{kind} {rank}d {padding}": _plain(
            SERIES if rank == 1 else IMAGE, f"{kind}Pooling{rank}D", 3, strides=2, padding=padding
        )
        for kind in ("Max", "Average") for rank in (1, 2) for padding in ("valid", "same")
    },
    **{
        f"global {kind} {rank}d": _plain(
            SERIES if rank == 1 else IMAGE, f"Global{kind}Pooling{rank}D", keepdims=rank == 2
        )
        for kind in ("Max", "Average") for rank in (1, 2)
    },
    "batch norm": _plain(IMAGE, "BatchNormalization"),
    "batch norm of a vector": _plain(VECTOR, "BatchNormalization", scale=False, epsilon=0.01),
    "layer norm": _plain(SERIES, "LayerNormalization", epsilon=1e-2),
    "zero padding 1d": _plain(SERIES, "ZeroPadding1D", (1, 2)),
    "zero padding 2d": _plain(IMAGE, "ZeroPadding2D", ((1, 0), (2, 1))),
    "cropping 1d": _plain(SERIES, "Cropping1D", (1, 2)),
    "cropping 2d": _plain(IMAGE, "Cropping2D", ((1, 0), (0, 2))),
    "upsampling 1d": _plain(SERIES, "UpSampling1D", 2),
    "upsampling 2d": _plain(IMAGE, "UpSampling2D", (2, 3)),
    "bilinear": _plain(IMAGE, "UpSampling2D", 2, interpolation="bilinear"),
    "flatten": _plain(IMAGE, "Flatten"),
    "reshape": _plain(SERIES, "Reshape", (5, 8)),
    "permute": _plain(IMAGE, "Permute", (3, 1, 2)),
    "repeat": _plain(VECTOR, "RepeatVector", 3),
    "time distributed": (SERIES, lambda L: L.TimeDistributed(L.Dense(3, activation="relu"))),
    **{name.lower(): _pair(name) for name in
       ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    "concatenate": _pair("Concatenate"),
    "concatenate of rows": _pair("Concatenate", axis=1),
    "dot": _pair("Dot", axes=(1, 1)),
    "einsum dense": _plain(SERIES, "EinsumDense", "abc,cd->abd", (None, 5), bias_axes="d"),
    "attention": (SERIES, lambda L: lambda x: L.MultiHeadAttention(2, 3)(x, x)),
    "a layer called twice": (SERIES, _twice),
    "a residual block": (IMAGE, _residual),
    "a small network": (IMAGE, _cnn),
    "two heads": (VECTOR, _two_heads),
    "lstm": _plain(SERIES, "LSTM", 3),
    "lstm of a sequence": _plain(SERIES, "LSTM", 3, return_sequences=True),
    "lstm with hard gates": _plain(SERIES, "LSTM", 3, recurrent_activation="hard_sigmoid"),
    "gru": _plain(SERIES, "GRU", 3, return_sequences=True),
    "gru reset before": _plain(SERIES, "GRU", 3, reset_after=False),
    "gru backwards": _plain(SERIES, "GRU", 3, go_backwards=True),
    "simple rnn": _plain(SERIES, "SimpleRNN", 3),
    "both ways": (SERIES, lambda kl: kl.Bidirectional(kl.LSTM(3, return_sequences=True))),
}  # fmt: skip
RNG = np.random.default_rng(11)


def _weights(*shape: int) -> Any:
    return m.floats(RNG, *shape) * np.float32(0.4)


def _torch(
    nodes: list[Any], shape: tuple[int, ...], weights: dict[str, Any], *, dynamo: bool
) -> ModelProto:
    """A file as an exporter names it: the older one numbers its tensors, the newer one keeps
    PyTorch's names and writes operator set 18."""
    size: int | str = "s77" if dynamo else "batch"
    result = m.model(nodes, {"x": (size, *shape)}, ["y"], weights, opset=18 if dynamo else 17)
    result.producer_name = "pytorch"
    return result


def _module(
    kind: str, shape: tuple[int, ...], weights: dict[str, Any], **options: Any
) -> Callable[[bool], ModelProto]:
    """One operator that stands for a module."""

    def write(dynamo: bool) -> ModelProto:
        name = "node_" + kind.lower() if dynamo else f"/{kind.lower()}/{kind}"
        nodes = [m.node(kind, ["x", *weights], ["y"], name, **options)]
        return _torch(nodes, shape, weights, dynamo=dynamo)

    return write


def _linear_of_a_sequence(dynamo: bool) -> ModelProto:
    nodes = [m.node("MatMul", ["x", "onnx::MatMul_7"], ["h"], "/fc/MatMul")]
    nodes += [m.node("Add", ["fc.bias", "h"] if not dynamo else ["h", "fc.bias"], ["y"])]
    return _torch(nodes, (10, 4), {"onnx::MatMul_7": _weights(4, 5), "fc.bias": _weights(5)},
                  dynamo=dynamo)  # fmt: skip


def _flattened(dynamo: bool) -> ModelProto:
    """Conv2d, ReLU, MaxPool2d, a view, Linear."""
    flat = (
        m.node("Reshape", ["p", "val_4"], ["f"], allowzero=1) if dynamo
        else m.node("Flatten", ["p"], ["f"], "/Flatten", axis=1)
    )  # fmt: skip
    nodes = [
        m.node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "/conv/Conv", pads=[1, 1, 1, 1],
               kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1], group=1),
        m.node("Relu", ["c"], ["r"], "/relu/Relu"),
        m.node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0),
        flat,
        m.node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], "/fc/Gemm", transB=1),
    ]  # fmt: skip
    weights = {
        "conv.weight": _weights(4, 3, 3, 3), "conv.bias": _weights(4),
        "fc.weight": _weights(5, 64), "fc.bias": _weights(5),
        **({"val_4": np.array([-1, 64])} if dynamo else {}),
    }  # fmt: skip
    return _torch(nodes, (3, 8, 8), weights, dynamo=dynamo)


def _layer_norm(dynamo: bool) -> ModelProto:
    """The older exporter writes a norm out before operator set 17."""
    if dynamo:
        return _module("LayerNormalization", (10, 4), {"w": _weights(4), "b": _weights(4)},
                       axis=-1, epsilon=1e-2)(dynamo)  # fmt: skip
    nodes = [
        m.node("ReduceMean", ["x"], ["mean"], axes=[-1]),
        m.node("Sub", ["x", "mean"], ["d"]),
        m.node("Pow", ["d", "two"], ["s"]),
        m.node("ReduceMean", ["s"], ["v"], axes=[-1]),
        m.node("Add", ["v", "eps"], ["e"]),
        m.node("Sqrt", ["e"], ["q"]),
        m.node("Div", ["d", "q"], ["n"]),
        m.node("Mul", ["n", "w"], ["scaled"]),
        m.node("Add", ["scaled", "b"], ["y"]),
    ]
    weights = {"two": np.float32(2), "eps": np.float32(1e-2), "w": _weights(4), "b": _weights(4)}
    return _torch(nodes, (10, 4), weights, dynamo=False)


def _gelu(dynamo: bool) -> ModelProto:
    nodes = [
        m.node("Div", ["x", "root"], ["d"]) if not dynamo else m.node("Mul", ["x", "rev"], ["d"]),
        m.node("Erf", ["d"], ["e"]),
        m.node("Add", ["e", "one"], ["a"]),
        m.node("Mul", ["x", "a"], ["p"]),
        m.node("Mul", ["p", "half"], ["y"]),
    ]
    weights = {"one": np.float32(1), "half": np.float32(0.5)}
    weights |= {"rev": np.float32(2**-0.5)} if dynamo else {"root": np.float32(2**0.5)}
    return _torch(nodes, (10, 4), weights, dynamo=dynamo)


def _causal_attention(dynamo: bool) -> ModelProto:
    """scaled_dot_product_attention(x, x, x, is_causal=True), written out."""
    low = np.where(np.tri(10, dtype=bool), 0, -np.inf).astype(np.float32)
    nodes = [
        m.node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        m.node("Mul", ["x", "root"], ["q"]),
        m.node("Mul", ["t", "root"], ["k"]),
        m.node("MatMul", ["q", "k"], ["s"]),
        m.node("Add", ["s", "mask"], ["a"]),
        m.node("Softmax", ["a"], ["w"], axis=-1),
    ]
    if dynamo:  # which also clears rows that see nothing
        nodes += [m.node("IsNaN", ["w"], ["n"]), m.node("Where", ["n", "zero", "w"], ["c"])]
    nodes += [m.node("MatMul", ["c" if dynamo else "w", "x"], ["y"])]
    weights = {"root": np.float32(4**-0.25), "mask": low}
    weights |= {"zero": np.float32(0)} if dynamo else {}
    return _torch(nodes, (10, 4), weights, dynamo=dynamo)


def _picked(dynamo: bool) -> ModelProto:
    """torch.gather along the places, by the order of one channel."""
    last = {"axes": np.array([-1])}
    nodes = [
        m.node("TopK", ["x", "k"], ["values", "places"], axis=1, largest=1, sorted=1),
        m.node("GatherElements", ["x", "places"], ["g"], axis=1),
        m.node("ReduceSum", ["g", "axes"], ["y"], keepdims=0),
    ]
    return _torch(nodes, (10, 4), {"k": np.array([3]), **last}, dynamo=dynamo)


TORCH: dict[str, Callable[[bool], ModelProto]] = {
    "Linear": _module("Gemm", (16,), {"w": _weights(5, 16), "b": _weights(5)}, transB=1),
    "Linear of a sequence": _linear_of_a_sequence,
    "Conv1d": _module("Conv", (4, 10), {"w": _weights(3, 4, 3), "b": _weights(3)},
                      kernel_shape=[3], pads=[1, 1], strides=[2], dilations=[1], group=1),
    "Conv2d depthwise": _module("Conv", (4, 8, 8), {"w": _weights(4, 1, 3, 3)},
                                kernel_shape=[3, 3], group=4),
    "ConvTranspose2d": _module("ConvTranspose", (3, 6, 6), {"w": _weights(3, 2, 3, 3)},
                               kernel_shape=[3, 3], strides=[2, 2]),
    "a small network": _flattened,
    "BatchNorm2d": _module(
        "BatchNormalization", (3, 6, 6),
        {"w": _weights(3), "b": _weights(3), "m": _weights(3), "v": np.abs(_weights(3)) + 1},
    ),
    **{
        name: _module(kind, (10, 4), {}, **options)
        for name, kind, options in (
            ("ReLU", "Relu", {}), ("LeakyReLU", "LeakyRelu", {"alpha": 0.1}),
            ("ELU", "Elu", {"alpha": 1.0}), ("Sigmoid", "Sigmoid", {}), ("Tanh", "Tanh", {}),
            ("Softmax", "Softmax", {"axis": -1}), ("Softplus", "Softplus", {}),
            ("Hardswish", "HardSwish", {}),
            ("Threshold", "ThresholdedRelu", {"alpha": 0.3}),
        )
    },
    "PReLU": _module("PRelu", (3, 6, 6), {"w": _weights(3, 1, 1)}),
    "MaxPool1d": _module("MaxPool", (4, 10), {}, kernel_shape=[2], strides=[2]),
    "AvgPool2d": _module("AveragePool", (3, 8, 8), {}, kernel_shape=[2, 2], strides=[2, 2],
                         count_include_pad=1, ceil_mode=0),
    "AdaptiveAvgPool2d": _module("GlobalAveragePool", (3, 8, 8), {}),
    "LayerNorm": _layer_norm,
    "GELU": _gelu,
    "attention": _causal_attention,
    "gather": _picked,
}  # fmt: skip
