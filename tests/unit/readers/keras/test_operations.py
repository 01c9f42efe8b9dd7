# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions called without a layer, by Keras 3 and by TensorFlow: the Graph computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.support.keras_models import compare, compare_integers, model_of

keras = pytest.importorskip("keras")
K = keras.ops
RNG = np.random.default_rng(5)
ROW = RNG.normal(size=6).astype(np.float32)
MATRIX = RNG.normal(size=(6, 3)).astype(np.float32)
ROWS = RNG.normal(size=(2, 4)).astype(np.float32)
KERNEL = RNG.normal(size=(2, 2, 3, 4)).astype(np.float32)
ROWS3 = np.ones((3, 1, 1), np.float32)
TABLE, IMAGE = (4, 6), (4, 6, 8)

CHOSEN = RNG.random((4, 6)) < 0.5
EARLIER = np.tri(4, dtype=bool)


def attended(x: Any, hide: Callable[[Any], Any]) -> Any:
    """Attention written by hand, whose softmax is not to see some scores."""
    scores = hide(K.einsum("bqc,bkc->bqk", x, x) * 0.4)
    return K.einsum("bqk,bkc->bqc", K.softmax(scores, axis=-1), x)


def see_no_later(scores: Any) -> Any:
    """As a causal mask hides them."""
    return K.where(EARLIER, scores, -1e9)


def see_none_below(scores: Any) -> Any:
    """A choice by what the network computes."""
    return K.where(scores < 0.1, -1e30, scores)


KERAS3: list[tuple[str, tuple[int, ...], Callable[[Any], Any]]] = [
    ("x + c", TABLE, lambda x: x + 0.7),
    ("c + x", TABLE, lambda x: 0.7 + x),
    ("x - c", TABLE, lambda x: x - 0.7),
    ("c - x", TABLE, lambda x: 0.7 - x),
    ("x c", TABLE, lambda x: x * -3),
    ("x / c", TABLE, lambda x: x / 3),
    ("-x", TABLE, lambda x: -x),
    ("x + row", TABLE, lambda x: x + ROW),
    ("row - x", TABLE, lambda x: K.convert_to_tensor(ROW) - x),
    ("column x", TABLE, lambda x: x * ROWS[:1].reshape(4, 1)),
    ("batched constant", TABLE, lambda x: x * ROWS[:1].reshape(1, 4, 1)),
    ("a number less a number", (6,), lambda x: K.max(x, axis=-1) - K.min(x, axis=-1)),
    ("numbers and constants", (6,), lambda x: K.maximum(-K.sum(x, axis=1) * 2 + 1, 0.3)),
    ("which number", (6,), lambda x: K.where(K.max(x, axis=1) > 0.9, 1 - K.min(x, axis=1), 0.2)),
    ("rows + x", TABLE, lambda x: K.add(ROWS[:1].reshape(4, 1), x[:, :, :4])),
    ("divide", TABLE, lambda x: K.divide(x, 4.0)),
    ("amax", TABLE, lambda x: K.amax(x, axis=1)),
    ("abs by its short name", TABLE, lambda x: K.abs(x)),
    ("x / row", TABLE, lambda x: x / (ROW + 3)),
    ("x + y", TABLE, lambda x: x + K.tanh(x)),
    ("broadcast", TABLE, lambda x: x * x[:, :, :1] - x[:, 2:3]),
    ("a matrix times two", TABLE, lambda x: x[:, None] @ K.reshape(x, (-1, 2, 6, 2))),
    ("square", TABLE, lambda x: K.square(x)),
    ("x ** 2", TABLE, lambda x: x**2),
    ("x ** 5", TABLE, lambda x: x**5),
    ("maximum", TABLE, lambda x: K.maximum(x, 0.5)),
    ("minimum of row", TABLE, lambda x: K.minimum(ROW, x)),
    ("clip", TABLE, lambda x: K.clip(x, -0.5, 1)),
    (
        "lit pixels",
        IMAGE,
        lambda x: x * K.cast(K.greater(K.max(x, axis=-1, keepdims=True), 1.3), "float32"),
    ),
    ("greater", TABLE, lambda x: x * K.cast(x > K.tanh(x), "float32")),
    ("where", TABLE, lambda x: K.where(K.greater(x, 0.5), x, 0.1 * x)),
    (
        "where all are above",
        TABLE,
        lambda x: K.where(
            K.logical_not(K.any(K.logical_not(K.greater(x, -0.8)), axis=-1, keepdims=True)), x, -x
        ),
    ),
    ("where a constant says", TABLE, lambda x: K.where(CHOSEN, x, 0.1 * x - 1)),
    ("where a constant says, or a number", TABLE, lambda x: K.where(CHOSEN, -0.5, x)),
    ("steps that see no later ones", TABLE, lambda x: attended(x, see_no_later)),
    ("steps that see none below", TABLE, lambda x: attended(x, see_none_below)),
    ("where of constants", TABLE, lambda x: K.where(K.less_equal(x, ROW), 1.0, -0.5)),
    (
        "truths",
        TABLE,
        lambda x: K.where(
            K.logical_and(
                K.logical_not(K.greater_equal(x, x[:, :1])),
                K.logical_or(K.less(x, -0.2), K.not_equal(K.relu(x), 0.0)),
            ),
            K.tanh(x),
            0.25,
        ),
    ),
    ("sign", TABLE, lambda x: K.sign(K.relu(x) - K.relu(-x - 0.5))),
    ("variance", IMAGE, lambda x: K.var(x, axis=(1, 3), keepdims=True)),
    ("deviation", TABLE, lambda x: K.std(x, axis=-1)),
    ("norm", TABLE, lambda x: K.norm(x, axis=1)),
    ("norm of one", TABLE, lambda x: K.norm(x, ord=1, axis=2, keepdims=True)),
    ("normalize", TABLE, lambda x: K.normalize(x, axis=1)),
    ("log of sum", TABLE, lambda x: K.logsumexp(x, axis=(1, 2))),
    ("log softmax", TABLE, lambda x: K.log_softmax(x, axis=1)),
    ("product", TABLE, lambda x: K.prod(x, axis=1)),
    ("running sum", TABLE, lambda x: K.cumsum(x, axis=1)),
    ("remainder", TABLE, lambda x: K.mod(x, 0.75)),
    ("reflected", TABLE, lambda x: K.pad(x, ((0, 0), (1, 2), (0, 3)), mode="reflect")),
    ("symmetric", TABLE, lambda x: K.pad(x, ((0, 0), (4, 0), (0, 0)), mode="symmetric")),
    ("normed", TABLE, lambda x: K.batch_normalization(x, ROWS[0], ROWS[1] ** 2, 1, scale=ROWS[0])),
    ("convolution", IMAGE, lambda x: K.conv(x[..., 5:], KERNEL, strides=(2, 1), padding="same")),
    ("convolution of rows", TABLE, lambda x: K.conv(x[..., ::2], KERNEL[0], dilation_rate=2)),
    ("depthwise", IMAGE, lambda x: K.depthwise_conv(x[..., :3], KERNEL[..., :2], padding="same")),
    ("pool", IMAGE, lambda x: K.max_pool(x, (2, 3), strides=1, padding="same")),
    ("average", TABLE, lambda x: K.average_pool(x, 2)),
    ("resized", IMAGE, lambda x: K.image.resize(x, (3, 9))),
    ("equal", TABLE, lambda x: x + K.cast(K.equal(K.relu(x), 0.0), "float32")),
    ("roll", TABLE, lambda x: K.roll(K.roll(x, 2, axis=-1), -1, axis=1)),
    ("pixels from channels", IMAGE, lambda x: K.depth_to_space(x, 2)),
    ("abs", TABLE, lambda x: K.absolute(x)),
    *(
        (name, TABLE, lambda x, name=name: getattr(K, name)(x))
        for name in (
            *("relu", "relu6", "sigmoid", "tanh", "hard_tanh", "selu", "softplus", "softsign"),
            *("silu", "hard_sigmoid", "hard_silu", "exp", "elu", "softmax", "leaky_relu"),
            *("log_sigmoid", "sparse_sigmoid", "tanh_shrink", "glu", "soft_shrink", "hard_shrink"),
            *("celu", "squareplus", "sparse_plus"),
            *("stop_gradient",),
        )
    ),
    ("gelu", TABLE, lambda x: K.gelu(x, approximate=False)),
    ("gelu by tanh", TABLE, lambda x: K.gelu(x)),
    *(
        (name, TABLE, lambda x, name=name: getattr(K, name)(x))
        for name in ("erf", "sin", "cos", "arctan", "sinh", "cosh", "arcsinh", "floor", "ceil")
    ),
    *(
        (name, TABLE, lambda x, name=name: getattr(K, name)(K.sigmoid(x) + 0.1))
        for name in ("log", "sqrt", "rsqrt", "reciprocal", "round", "trunc")
    ),
    ("take", TABLE, lambda x: K.take(x, [2, 0, 0, 3, -1], axis=1)),
    ("take a table", TABLE, lambda x: K.take(x, [[1, 5], [0, -2]], axis=-1)),
    ("rows times columns", TABLE, lambda x: x @ K.transpose(K.tanh(x), (0, 2, 1))),
    ("stacks of matrices", IMAGE, lambda x: K.matmul(K.swapaxes(x, 2, 3), K.relu(x))),
    ("division", TABLE, lambda x: x / (K.sigmoid(x) + 1)),
    ("division of a constant", TABLE, lambda x: 1 / (K.sigmoid(x) + 1)),
    ("odd power", TABLE, lambda x: K.sigmoid(x) ** 0.5),
    ("hard shrink", TABLE, lambda x: K.hard_shrink(x, 0.3)),
    ("soft shrink", TABLE, lambda x: K.soft_shrink(x, 0.3)),
    ("threshold", TABLE, lambda x: K.threshold(x, 0.2, 0)),
    ("threshold and value", TABLE, lambda x: K.threshold(x, -0.2, 1.5)),
    ("relu above a negative", TABLE, lambda x: keras.activations.relu(x, 0.1, 1.0, -0.5)),
    ("leaky 0.3", TABLE, lambda x: K.leaky_relu(x, 0.3)),
    ("elu 0.5", TABLE, lambda x: K.elu(x, 0.5)),
    ("glu axis 1", TABLE, lambda x: K.glu(x, axis=1)),
    ("softmax axis 1", TABLE, lambda x: K.softmax(x, axis=1)),
    ("matmul", TABLE, lambda x: x @ MATRIX),
    ("constant @ x", TABLE, lambda x: K.matmul(ROWS, x)),
    ("einsum", TABLE, lambda x: K.einsum("bij,jk->bik", x, MATRIX)),
    ("einsum over rows", TABLE, lambda x: K.einsum("bij,ki->bjk", x, ROWS)),
    ("slice", TABLE, lambda x: x[:, 1:]),
    ("strided", TABLE, lambda x: x[:, ::2, 1:-1:3]),
    ("backwards", TABLE, lambda x: x[:, ::-1, 4:0:-2]),
    ("last element", TABLE, lambda x: x[..., -1]),
    ("exactly at the threshold", TABLE, lambda x: K.threshold(K.clip(x, 0.25, 9), 0.25, 7)),
    ("first step", TABLE, lambda x: x[:, 0]),
    ("new axis", TABLE, lambda x: x[:, None, :, 1:3]),
    ("reshape", TABLE, lambda x: K.reshape(x, (-1, 8, 3))),
    ("transpose", IMAGE, lambda x: K.transpose(x, (0, 3, 1, 2))),
    ("swapaxes", IMAGE, lambda x: K.swapaxes(x, 1, -1)),
    ("moveaxis", IMAGE, lambda x: K.moveaxis(x, -1, 1)),
    ("expand", TABLE, lambda x: K.expand_dims(x, -1)),
    ("expand 1", TABLE, lambda x: K.expand_dims(x, 1)),
    ("squeeze", TABLE, lambda x: K.squeeze(x[:, :1], axis=1)),
    ("squeeze all", TABLE, lambda x: K.squeeze(x[:, :1])),
    ("concatenate", TABLE, lambda x: K.concatenate([x, x[:, :2]], axis=1)),
    ("stack", TABLE, lambda x: K.stack([x, -x], axis=1)),
    ("stack last", TABLE, lambda x: K.stack([x, -x], axis=-1)),
    ("split", TABLE, lambda x: K.split(x, 3, axis=-1)),
    ("split at", TABLE, lambda x: K.split(x, [1, 4], axis=2)[1]),
    ("unstack", TABLE, lambda x: K.unstack(x, axis=1)[2]),
    ("pad", TABLE, lambda x: K.pad(x, ((0, 0), (1, 2), (0, 3)))),
    ("pad 1.5", TABLE, lambda x: K.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=1.5)),
    ("flip", TABLE, lambda x: K.flip(x, axis=(1, 2))),
    ("tile", TABLE, lambda x: K.tile(x, (1, 2, 3))),
    ("repeat", TABLE, lambda x: K.repeat(x, 3, axis=1)),
    ("repeat last", TABLE, lambda x: K.repeat(x, 2, axis=-1)),
    ("mean", IMAGE, lambda x: K.mean(x, axis=(1, 2))),
    ("mean kept", IMAGE, lambda x: K.mean(x, axis=(1, 2), keepdims=True)),
    ("mean last", IMAGE, lambda x: K.mean(x, axis=-1)),
    ("mean last kept", IMAGE, lambda x: K.mean(x, axis=-1, keepdims=True)),
    ("mean middle", IMAGE, lambda x: K.mean(x, axis=2)),
    ("mean of a vector", (6,), lambda x: K.mean(x, axis=1, keepdims=True)),
    ("mean to a number", (6,), lambda x: K.mean(x, axis=1)),
    ("a single element", (6,), lambda x: x[:, 2]),
    ("a number in rows", (6,), lambda x: K.expand_dims(x[:, 2], -1) * 2),
    ("sum of all", IMAGE, lambda x: K.sum(x, axis=(1, 2, 3), keepdims=True)),
    ("sum", TABLE, lambda x: K.sum(x, axis=1)),
    ("max", TABLE, lambda x: K.max(x, axis=-1)),
    ("max of outer", IMAGE, lambda x: K.max(x, axis=(1, 3), keepdims=True)),
    ("min", TABLE, lambda x: K.min(x, axis=1)),
    ("cast", TABLE, lambda x: K.cast(x, "float32")),
    ("resize", IMAGE, lambda x: K.image.resize(x, (8, 18))),
    ("resize nearest", IMAGE, lambda x: K.image.resize(x, (4, 12), interpolation="nearest")),
    ("chain", TABLE, lambda x: K.relu(2.0 * x[:, 1:] - K.mean(x, axis=1, keepdims=True)) / 4),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "make"), [c[1:] for c in KERAS3], ids=[c[0] for c in KERAS3])
def test_keras_operation(
    tmp_path: Path, shape: tuple[int, ...], make: Callable[[Any], Any]
) -> None:
    compare_integers(compare(model_of(keras, shape, make), tmp_path / "m.keras"))


def test_operations_in_hdf5_files(tmp_path: Path) -> None:
    """Which do not say where a class comes from, and layers bear the same names."""

    def make(x: Any) -> Any:
        layered = keras.layers.Add()([x, keras.layers.Multiply()([x, x])])
        return (2.0 * x + 1.0) * layered - K.mean(x[:, 1:], axis=1, keepdims=True)

    compare(model_of(keras, TABLE, make), tmp_path / "m.h5")


T = pytest.importorskip("tensorflow")
TENSORFLOW: list[tuple[str, tuple[int, ...], Callable[[Any], Any]]] = [
    ("x + c", TABLE, lambda x: x + 2),
    ("c - x", TABLE, lambda x: 2.5 - x),
    ("x c", TABLE, lambda x: T.math.multiply(2.0, x)),
    ("x / c", TABLE, lambda x: x / 3),
    ("-x", TABLE, lambda x: -x),
    ("x + row", TABLE, lambda x: x + ROW),
    ("row x", TABLE, lambda x: T.constant(ROW) * x),
    ("x + y", TABLE, lambda x: T.math.add(x, T.tanh(x)) - T.nn.relu(x)),
    ("add_n", TABLE, lambda x: T.add_n([x, T.tanh(x), x])),
    ("bias_add", TABLE, lambda x: T.nn.bias_add(x, ROW)),
    ("x ** 2", TABLE, lambda x: x**2),
    ("square", TABLE, lambda x: T.square(x)),
    ("abs", TABLE, lambda x: T.abs(x)),
    ("maximum", TABLE, lambda x: T.maximum(x, 0.5)),
    ("clip", TABLE, lambda x: T.clip_by_value(x, -0.5, 1)),
    *(
        (name, TABLE, lambda x, name=name: getattr(T.nn, name)(x))
        for name in (
            *("relu", "relu6", "sigmoid", "tanh", "selu", "softplus", "softsign", "silu"),
            *("elu", "softmax", "leaky_relu", "gelu"),
        )
    ),
    ("exp", TABLE, lambda x: T.exp(x)),
    ("leaky 0.3", TABLE, lambda x: T.nn.leaky_relu(x, 0.3)),
    ("softmax axis 1", TABLE, lambda x: T.nn.softmax(x, axis=1)),
    ("matmul", TABLE, lambda x: T.matmul(x, MATRIX)),
    ("matmul turned", TABLE, lambda x: T.matmul(x, MATRIX.T.copy(), transpose_b=True)),
    ("slice", TABLE, lambda x: x[:, 1:]),
    ("last element", TABLE, lambda x: x[:, :, 0]),
    ("mixed", TABLE, lambda x: x[:, None, ::2, -1]),
    ("reshape", TABLE, lambda x: T.reshape(x, (-1, 24))),
    ("reshape by size", TABLE, lambda x: T.reshape(x, [T.shape(x)[0], -1])),
    ("reshape by sizes", TABLE, lambda x: T.reshape(x, [T.shape(x)[0], T.shape(x)[2], 4])),
    ("transpose", TABLE, lambda x: T.transpose(x, (0, 2, 1))),
    ("concat", TABLE, lambda x: T.concat([x, -x], axis=-1)),
    ("stack", TABLE, lambda x: T.stack([x, -x], axis=1)),
    ("split", TABLE, lambda x: T.split(x, 2, axis=-1)),
    ("split sizes", TABLE, lambda x: T.split(x, [1, 5], axis=-1)[1]),
    ("unstack", TABLE, lambda x: T.unstack(x, axis=1)[3]),
    ("pad", TABLE, lambda x: T.pad(x, [[0, 0], [1, 2], [0, 0]])),
    ("expand", TABLE, lambda x: T.expand_dims(x, 1)),
    ("squeeze", TABLE, lambda x: T.squeeze(x[:, :1], axis=1)),
    ("tile", TABLE, lambda x: T.tile(x, [1, 2, 1])),
    ("reverse", TABLE, lambda x: T.reverse(x, [1])),
    ("mean", TABLE, lambda x: T.reduce_mean(x, axis=1, keepdims=True)),
    ("sum", TABLE, lambda x: T.reduce_sum(x, axis=[1, 2])),
    ("max", TABLE, lambda x: T.reduce_max(x, axis=-1)),
    ("min", TABLE, lambda x: T.reduce_min(x, axis=-1)),
    ("cast", TABLE, lambda x: T.cast(x, "float32")),
    ("deviation", TABLE, lambda x: T.math.reduce_std(x, axis=1)),
    ("norm", TABLE, lambda x: T.norm(x, axis=-1)),
    ("log softmax", TABLE, lambda x: T.nn.log_softmax(x)),
    ("cut", TABLE, lambda x: T.slice(x, [0, 1, 2], [-1, 2, -1])),
    ("resize", IMAGE, lambda x: T.image.resize(x, (8, 12))),
    ("resize nearest", IMAGE, lambda x: T.image.resize(x, (8, 6), method="nearest")),
    ("blocks to channels", IMAGE, lambda x: T.nn.space_to_depth(x, 2)),
    ("channels to blocks", IMAGE, lambda x: T.nn.depth_to_space(x, 2)),
]  # fmt: skip


@pytest.mark.parametrize("end", ["keras", "h5"])
@pytest.mark.parametrize(
    ("shape", "make"), [c[1:] for c in TENSORFLOW], ids=[c[0] for c in TENSORFLOW]
)
def test_tensorflow_operation(
    tmp_path: Path, shape: tuple[int, ...], make: Callable[[Any], Any], end: str
) -> None:
    compare(model_of(pytest.importorskip("tf_keras"), shape, make), tmp_path / f"m.{end}")


def test_dots_in_an_index(tmp_path: Path) -> None:
    """Which tf.keras can write to HDF5 only."""
    compare(
        model_of(pytest.importorskip("tf_keras"), TABLE, lambda x: x[..., 0]), tmp_path / "m.h5"
    )


FALSE, FLOAT, INT = {"b": False}, {"type": "DT_FLOAT"}, {"type": "DT_INT32"}
NODES: list[tuple[str, dict[int, Any], dict[str, Any]]] = [
    ("AddV2", {1: ROW}, {}),
    ("Sub", {0: np.float32(1.5)}, {}),
    ("Mul", {1: ROW}, {}),
    ("RealDiv", {1: np.float32(3)}, {}),
    ("Neg", {}, {}),
    ("Relu6", {}, {}),
    ("LeakyRelu", {}, {"alpha": {"f": 0.3}}),
    ("Softmax", {}, {}),
    ("BiasAdd", {1: ROW}, {"data_format": {"s": "TkhXQw=="}}),
    ("Maximum", {1: np.float32(0.25)}, {}),
    ("Mean", {1: np.array([1], np.int32)}, {"keep_dims": {"b": True}, "Tidx": INT}),
    ("Max", {1: np.int32(-1)}, {"keep_dims": FALSE, "Tidx": INT}),
    ("Reshape", {1: np.array([-1, 24], np.int32)}, {"Tshape": INT}),
    ("Transpose", {1: np.array([0, 2, 1], np.int32)}, {"Tperm": INT}),
]


@pytest.mark.parametrize(("kind", "constants", "more"), NODES, ids=[c[0] for c in NODES])
def test_nodes_of_tensorflow_graphs(
    kind: str, constants: dict[int, Any], more: dict[str, Any], tmp_path: Path
) -> None:
    """Which tf.keras wrote until TensorFlow 2.3, and still loads."""
    tf_keras = pytest.importorskip("tf_keras")
    from tf_keras.src.engine.base_layer import TensorFlowOpLayer

    places = [f"in{place}" for place in range(1 + len(constants))]
    node = {"name": kind, "op": kind, "input": places, "attr": {"T": FLOAT, **more}}
    layer = TensorFlowOpLayer(node, kind, constants)
    compare(model_of(tf_keras, TABLE, layer), tmp_path / "m.h5")


def square_of(x: Any) -> Any:
    """A tensor of which two axes are alike."""
    return K.reshape(x, (-1, 3, 4, 2, 1))[:, :, :3]


REFUSED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("a choice by numbers", lambda x: K.where(x, x, -x), "numbers, not truths"),
    ("a choice of what hides all", lambda x: K.where(x > 0, x, -1e9), "softmax alone reads"),
    ("a choice of infinite height", lambda x: K.where(x > 0, x, 1e9), r"fills in 1e\+09"),
    ("power of a constant", lambda x: K.power(2.0, x), "exponent is a tensor"),
    ("mean of all", lambda x: K.mean(x), "along the batch"),
    ("mean of the batch", lambda x: K.mean(x, axis=0), "along the batch"),
    ("batch moved", lambda x: K.transpose(x, (1, 0, 2)), "along the batch|moves the batch"),
    ("batch reshaped", lambda x: K.reshape(x, (-1, 6)), "mixes the batch"),
    ("samples taken", lambda x: x[1:, :], "out of the batch"),
    ("arctan2", lambda x: K.arctan2(x, x), "keras.ops.Arctan2.*not known"),
    ("argmax", lambda x: K.argmax(x), "keras.ops.Argmax: it names no axis"),
    ("batched einsum", lambda x: K.einsum("bij,ijk->bik", x, RNG.normal(size=(4, 6, 2))), "kernel"),
    ("another type", lambda x: K.cast(K.cast(x, "int32"), "float32"), "type 'int32'"),
    ("a sum of two answers", lambda x: square_of(x) + ROWS3, "put the constant first"),
    ("a flip of the batch", lambda x: K.flip(x, axis=0), "turns the batch round"),
]


@pytest.mark.parametrize(("make", "reason"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_is_refused(tmp_path: Path, make: Callable[[Any], Any], reason: str) -> None:
    model_of(keras, TABLE, make).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match=reason):
        load(tmp_path / "m.keras")
