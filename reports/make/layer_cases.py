# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The layers of the table of layers: one small model each, as Keras draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Make = Callable[[Any], Any]
Row = tuple[str, str, tuple[int, ...], Make]  # name, operators in ONNX, input, how it is called
VECTOR, SERIES, IMAGE, VOLUME = (6,), (8, 4), (6, 6, 3), (4, 4, 5, 2)
LONG, PICTURE = (100, 6), (6, 6, 1)


@dataclass(frozen=True, slots=True)
class LayerCase:
    """A layer: what it is called here and in ONNX, what it reads, and how Keras calls it."""

    name: str
    group: str
    onnx: str
    shape: tuple[int, ...]
    make: Make


def _layer(name: str, *arguments: Any, **options: Any) -> Make:
    def make(x: Any) -> Any:
        import keras

        return getattr(keras.layers, name)(*arguments, **options)(x)

    return make


def _function(name: str, *arguments: Any, **options: Any) -> Make:
    def make(x: Any) -> Any:
        import keras

        return getattr(keras.ops, name)(x, *arguments, **options)

    return make


def _positive(name: str) -> Make:
    """A function of what is above zero."""

    def make(x: Any) -> Any:
        import keras

        return getattr(keras.ops, name)(keras.ops.sigmoid(x) + 0.25)

    return make


def _inside(name: str, *arguments: Any) -> Make:
    """A layer that the host would compute if the network ended with it."""

    def make(x: Any) -> Any:
        import keras

        return keras.layers.Dense(3)(getattr(keras.layers, name)(*arguments)(x))

    return make


def _merge(name: str) -> Make:
    def make(x: Any) -> Any:
        import keras

        return getattr(keras.layers, name)()([x, keras.layers.ReLU()(x)])

    return make


def _attention(name: str, *arguments: Any) -> Make:
    def make(x: Any) -> Any:
        import keras

        return getattr(keras.layers, name)(*arguments)(x, x)

    return make


def _dot(x: Any) -> Any:
    import keras

    return keras.layers.Dot(axes=2)([x, keras.layers.ReLU()(x)])


def _matmul(x: Any) -> Any:
    import keras

    return keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))


def _operators(x: Any) -> Any:
    return (1.5 - x[:, 1:] / 3) * x[:, :-1]


def _quotient(x: Any) -> Any:
    import keras

    return x / (keras.ops.sigmoid(x) + 0.5)


def _by_order(x: Any) -> Any:
    """Every row's elements, put in another order by those of another row."""
    import keras

    return keras.ops.take_along_axis(x, keras.ops.argsort(x[:, ::-1], axis=-1), axis=-1)


def _embedding(x: Any) -> Any:
    import keras

    return keras.layers.Embedding(4, 3)(keras.ops.argmax(x, axis=-1))


def _one_hot(x: Any) -> Any:
    import keras

    return keras.ops.one_hot(keras.ops.argmax(x, axis=-1), 4) + x


def _largest(x: Any) -> Any:
    import keras

    return keras.ops.top_k(x, 2)[0]


def _einsum(x: Any) -> Any:
    import keras

    return keras.ops.einsum("bij,bkj->bik", x, x)


def _causal(x: Any) -> Any:
    import keras

    return keras.layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)


def _branches(name: str) -> Make:
    def make(x: Any) -> Any:
        import keras

        return getattr(keras.layers, name)()([x, keras.layers.ReLU()(x)])

    return make


def _both_ways(x: Any) -> Any:
    import keras

    return keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(x)


def _cells(x: Any) -> Any:
    import keras

    return keras.layers.RNN([keras.layers.GRUCell(3), keras.layers.SimpleRNNCell(4)])(x)


def _mask_steps(x: Any) -> Any:
    """Steps of which no number is above 0.8 are zero, and masked."""
    import keras

    is_kept = keras.ops.greater(keras.ops.max(x, axis=-1, keepdims=True), 0.8)
    masked = x * keras.ops.cast(is_kept, "float32")
    return keras.layers.GRU(3, return_sequences=True)(keras.layers.Masking()(masked))


def _not_equal(x: Any) -> Any:
    import keras

    positive = keras.layers.ReLU()(x)
    return x * keras.ops.cast(keras.ops.not_equal(positive, 0.0), "float32")


def _where(x: Any) -> Any:
    import keras

    return keras.ops.where(keras.ops.less(x, 0.3), 0.25 * x, keras.ops.tanh(x))


def _at_lit_pixels(x: Any) -> Any:
    """A convolution whose result stays at the pixels that are brighter than a number."""
    import keras

    lit = keras.ops.cast(keras.ops.greater(x, 0.5), "float32")
    return keras.layers.Conv2D(3, 3, padding="same")(x * lit) * lit


def _pooled_sites(x: Any) -> Any:
    """The same a level down, at the windows in which a pixel is lit."""
    import keras

    lit = keras.ops.cast(keras.ops.greater(x, 0.5), "float32")
    fewer = keras.layers.MaxPooling2D(2)(lit)
    return keras.layers.Conv2D(3, 2, strides=2)(x * lit) * fewer


def _split(x: Any) -> Any:
    import keras

    first, second = keras.ops.split(x, 2, axis=1)
    return first + second


LINEAR: list[Row] = [
    ("Dense", "Gemm, MatMul", SERIES, _layer("Dense", 5)),
    ("EinsumDense", "MatMul", SERIES, _layer("EinsumDense", "abc,cde->abde", (None, 2, 3))),
    ("Conv1D", "Conv", SERIES, _layer("Conv1D", 3, 3, padding="same")),
    ("Conv2D", "Conv", IMAGE, _layer("Conv2D", 3, 3, strides=2)),
    ("Conv3D", "Conv", VOLUME, _layer("Conv3D", 3, 2)),
    ("DepthwiseConv1D", "Conv", SERIES, _layer("DepthwiseConv1D", 3)),
    ("DepthwiseConv2D", "Conv", IMAGE, _layer("DepthwiseConv2D", 3)),
    ("SeparableConv1D", "Conv", SERIES, _layer("SeparableConv1D", 3, 3)),
    ("SeparableConv2D", "Conv", IMAGE, _layer("SeparableConv2D", 3, 3)),
    ("Conv1DTranspose", "ConvTranspose", SERIES, _layer("Conv1DTranspose", 3, 3, strides=2)),
    ("Conv2DTranspose", "ConvTranspose", IMAGE, _layer("Conv2DTranspose", 3, 3, strides=2)),
    ("Conv3DTranspose", "ConvTranspose", VOLUME, _layer("Conv3DTranspose", 3, 3, strides=2)),
]
NORMS: list[Row] = [
    ("BatchNormalization", "BatchNormalization", IMAGE, _layer("BatchNormalization")),
    ("Rescaling", "Mul, Add", IMAGE, _layer("Rescaling", 0.3, 0.1)),
    ("Normalization", "Sub, Div", VECTOR, _layer("Normalization", mean=0.3, variance=2.0)),
    ("LayerNormalization", "LayerNormalization", SERIES, _layer("LayerNormalization")),
    ("RMSNormalization", "RMSNormalization", SERIES, _layer("RMSNormalization", epsilon=1e-3)),
    ("GroupNormalization", "GroupNormalization", SERIES, _layer("GroupNormalization", 2)),
    ("UnitNormalization", "LpNormalization", SERIES, _layer("UnitNormalization")),
]
FUNCTIONS: list[Row] = [
    ("ReLU", "Relu", VECTOR, _layer("ReLU")),
    ("ReLU(6)", "Clip", VECTOR, _layer("ReLU", 6)),
    ("LeakyReLU", "LeakyRelu", VECTOR, _layer("LeakyReLU", negative_slope=0.1)),
    ("PReLU", "PRelu", VECTOR, _layer("PReLU")),
    ("ELU", "Elu", VECTOR, _layer("ELU")),
    ("Softmax", "Softmax", SERIES, _inside("Softmax")),
    ("sigmoid", "Sigmoid", VECTOR, _inside("Activation", "sigmoid")),
    *(
        (name, onnx, VECTOR, _layer("Activation", name))
        for name, onnx in (
            ("tanh", "Tanh"),
            ("hard_sigmoid", "HardSigmoid"),
            ("selu", "Selu"),
            ("softplus", "Softplus"),
            ("softsign", "Softsign"),
            ("silu", "Swish"),
            ("hard_silu", "HardSwish"),
            ("gelu", "Gelu"),
            ("exponential", "Exp"),
            ("log_sigmoid", "-"),
            ("tanh_shrink", "-"),
            ("soft_shrink", "Shrink"),
            ("hard_shrink", "Shrink"),
        )
    ),
    *(
        (f"ops.{name}", onnx, VECTOR, _function(name))
        for name, onnx in (
            ("absolute", "Abs"),
            ("square", "Mul"),
            ("erf", "Erf"),
            ("sin", "Sin"),
            ("cos", "Cos"),
            ("tan", "Tan"),
            ("arctan", "Atan"),
            ("floor", "Floor"),
            ("ceil", "Ceil"),
        )
    ),
    *(
        (f"ops.{name}", onnx, VECTOR, _positive(name))
        for name, onnx in (
            ("log", "Log"),
            ("sqrt", "Sqrt"),
            ("rsqrt", "Pow"),
            ("reciprocal", "Reciprocal"),
        )
    ),
]
POOLS: list[Row] = [
    ("MaxPooling1D", "MaxPool", SERIES, _layer("MaxPooling1D", 2)),
    ("MaxPooling2D", "MaxPool", IMAGE, _layer("MaxPooling2D", 2)),
    ("MaxPooling3D", "MaxPool", VOLUME, _layer("MaxPooling3D", 2)),
    ("AveragePooling1D", "AveragePool", SERIES, _layer("AveragePooling1D", 2)),
    ("AveragePooling2D", "AveragePool", IMAGE, _layer("AveragePooling2D", 2)),
    ("AveragePooling3D", "AveragePool", VOLUME, _layer("AveragePooling3D", 2)),
    ("GlobalMaxPooling2D", "GlobalMaxPool", IMAGE, _layer("GlobalMaxPooling2D")),
    ("GlobalAveragePooling1D", "GlobalAveragePool", SERIES, _layer("GlobalAveragePooling1D")),
    ("GlobalAveragePooling2D", "GlobalAveragePool", IMAGE, _layer("GlobalAveragePooling2D")),
    ("ops.mean", "ReduceMean", SERIES, _function("mean", axis=-1, keepdims=True)),
    ("ops.max", "ReduceMax", SERIES, _function("max", axis=1)),
]
SHAPES: list[Row] = [
    ("Flatten", "Flatten", SERIES, _layer("Flatten")),
    ("Reshape", "Reshape", SERIES, _layer("Reshape", (4, 8))),
    ("Permute", "Transpose", SERIES, _layer("Permute", (2, 1))),
    ("RepeatVector", "Expand", VECTOR, _layer("RepeatVector", 3)),
    ("ZeroPadding2D", "Pad", IMAGE, _layer("ZeroPadding2D", 1)),
    ("Cropping2D", "Slice", IMAGE, _layer("Cropping2D", 1)),
    ("UpSampling2D", "Resize", IMAGE, _layer("UpSampling2D", 2)),
    (
        "UpSampling2D(bilinear)",
        "Resize",
        IMAGE,
        _layer("UpSampling2D", 2, interpolation="bilinear"),
    ),
    ("ops.flip", "Slice", SERIES, _function("flip", axis=1)),
    ("ops.take", "Gather", SERIES, _function("take", [3, 0, 0, 7], axis=1)),
    ("ops.take_along_axis", "GatherElements, GatherND", SERIES, _by_order),
    ("Embedding", "Gather", SERIES, _embedding),
    ("ops.one_hot", "OneHot", SERIES, _one_hot),
    ("ops.argmax", "ArgMax, ArgMin", SERIES, _function("argmax", axis=-1)),
    ("ops.top_k", "TopK", SERIES, _largest),
    ("ops.sort", "TopK", SERIES, _function("sort", axis=-1)),
    ("ops.split", "Split", SERIES, _split),
    ("ops.tile", "Tile", SERIES, _function("tile", (1, 2, 1))),
]
SEVERAL: list[Row] = [
    *(
        (name, onnx, SERIES, _merge(name))
        for name, onnx in (
            ("Add", "Add"),
            ("Subtract", "Sub"),
            ("Multiply", "Mul"),
            ("Average", "Mean"),
            ("Maximum", "Max"),
            ("Minimum", "Min"),
            ("Concatenate", "Concat"),
        )
    ),
    ("x[1:] / 3, c - x, x * y", "Slice, Mul, Sub", SERIES, _operators),
    ("x / y", "Div", SERIES, _quotient),
    ("ops.not_equal", "Equal", SERIES, _not_equal),
    ("ops.where", "Where", SERIES, _where),
    ("Dot", "MatMul", SERIES, _dot),
    ("ops.matmul", "MatMul", SERIES, _matmul),
    ("ops.einsum", "Einsum", SERIES, _einsum),
    ("Attention", "MatMul, Softmax", SERIES, _branches("Attention")),
    ("AdditiveAttention", "Tanh, Softmax", SERIES, _branches("AdditiveAttention")),
    ("MultiHeadAttention(causal)", "Attention", SERIES, _causal),
    ("MultiHeadAttention", "MatMul, Softmax", SERIES, _attention("MultiHeadAttention", 2, 3)),
    ("GroupQueryAttention", "MatMul, Softmax", SERIES, _attention("GroupQueryAttention", 3, 4, 2)),
]
RECURRENT: list[Row] = [
    ("SimpleRNN", "RNN", SERIES, _layer("SimpleRNN", 4)),
    ("LSTM", "LSTM", SERIES, _layer("LSTM", 4)),
    ("GRU", "GRU", SERIES, _layer("GRU", 4)),
    ("Bidirectional(LSTM)", "LSTM", SERIES, _both_ways),
    ("RNN([GRUCell, SimpleRNNCell])", "-", SERIES, _cells),
    ("LSTM(100 steps)", "LSTM", LONG, _layer("LSTM", 4)),
    ("GRU(Masking)", "-", SERIES, _mask_steps),
    ("LSTM(stateful)", "-", SERIES, _layer("LSTM", 4, stateful=True)),
]
SPARSE: list[Row] = [
    ("Conv2D at lit pixels", "Greater, Conv, Mul", PICTURE, _at_lit_pixels),
    ("Conv2D at pooled sites", "Greater, MaxPool, Conv, Mul", PICTURE, _pooled_sites),
]
CASES = tuple(
    LayerCase(name, group, onnx, shape, make)
    for group, listed in {
        "Dense layers and convolutions": LINEAR,
        "Norms and scales": NORMS,
        "Functions": FUNCTIONS,
        "Pools and reductions": POOLS,
        "Shapes": SHAPES,
        "Several tensors": SEVERAL,
        "Recurrent layers": RECURRENT,
        "Sparse layers": SPARSE,
    }.items()
    for name, onnx, shape, make in listed
)
