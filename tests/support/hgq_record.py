# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small models of HGQ2 with what HGQ2 itself makes of some inputs, recorded in a JSON file.

Run by hand, `python tests/support/hgq_record.py hgq_models.json`, in an environment with hgq2 0.2.0
and Keras 3 on TensorFlow; neither the project nor its tests need them. The widths of all elements
are drawn at random, some of them 0, so that every layer has formats of its own everywhere.
"""

from __future__ import annotations

import io
import json
import math
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

NUMBERS = 150  # of an input, in all samples
IDLE = ("_initializer", "_regularizer", "_constraint")  # what no inference reads
IDLE_OPTIONS = {
    *("bc", "ic", "fc", "br", "ir", "fr", "beta0", "compile_config", "shared_object_id"),
    *("dtype", "sparse", "ragged", "optional", "ebops_factor", "parallelization_factor"),
}


def draw_widths(model: Any, rng: np.random.Generator) -> None:
    """Give every element of every quantizer a width of its own, some of them 0."""
    for layer in model._flatten_layers():
        if not hasattr(layer, "_k"):
            continue
        shape = tuple(layer._k.shape)
        alone = math.prod(shape) == 1  # so nothing of it may be lost
        integer = rng.integers(2, 4, shape) if alone else rng.integers(-1, 4, shape)
        frac = rng.integers(3, 6, shape) if alone else rng.integers(1, 6, shape)
        bits = np.where((rng.random(shape) < 0.15) & (not alone), -1, integer + frac)
        layer._k.assign(rng.integers(0, 2, shape))
        layer._i.assign(integer + rng.uniform(-0.4, 0.4, shape))
        if hasattr(layer, "_b"):
            layer._b.assign(np.maximum(bits, 0) + rng.uniform(-0.4, 0.4, shape))
        else:
            layer._f.assign(bits - integer + rng.uniform(-0.4, 0.4, shape))
    for layer in model._flatten_layers():
        if hasattr(layer, "inv_table"):  # whose results have no sign in HGQ2
            last = layer.inv_table.oq.quantizer
            last._k.assign(np.zeros(last._k.shape))


def draw_weights(model: Any, rng: np.random.Generator) -> None:
    """Give biases and statistics values that matter."""
    for layer in model._flatten_layers():
        for name in ("bias", "_bias", "bn_beta", "moving_mean"):
            variable = getattr(layer, name, None)
            if hasattr(variable, "assign"):
                variable.assign(rng.normal(size=variable.shape))
        for name in ("bn_gamma", "moving_variance"):
            variable = getattr(layer, name, None)
            if hasattr(variable, "assign"):
                variable.assign(rng.uniform(0.5, 2, variable.shape))


def record(model: Any, rng: np.random.Generator) -> dict[str, Any]:
    """The content of a model's file, some inputs, and the outputs that HGQ2 has for them."""
    draw_widths(model, rng)
    draw_weights(model, rng)
    for variable in model.weights:  # short numbers make a short file, and lie on no grid
        if variable.dtype == "float32":
            variable.assign(np.round(np.asarray(variable), 3))
    shapes = [tuple(x.shape[1:]) for x in model.inputs]
    count = max(NUMBERS // max(map(math.prod, shapes)), 6)
    xs = [draw_inputs(count, shape, rng) for shape in shapes]
    y = np.asarray(model(xs if len(xs) > 1 else xs[0], training=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            content = io.BytesIO(archive.read("model.weights.h5"))
    variables: dict[str, Any] = {}
    names: dict[str, str] = {}
    with h5py.File(content) as file:

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                variables[name] = [str(item.dtype), list(item.shape), plain(item[()])]
            elif "name" in item.attrs and item.name.count("/") > 2:
                names[name] = str(item.attrs["name"])

        file.visititems(note)
    return {
        "config": shorten(config),
        "variables": variables,
        "names": {name: text for name, text in names.items() if name.split("/")[-3] == "layers"},
        "x": [[list(x.shape), plain(x)] for x in xs],
        "y": [list(y.shape), plain(y)],
    }


def draw_inputs(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Samples of different sizes, so that some overflow."""
    reach = rng.choice([1, 1, 4, 20], (count, *(1 for _ in shape)))
    return np.round(rng.normal(size=(count, *shape)) * reach, 3).astype(np.float32)


def plain(values: Any) -> list[float]:
    """The shortest numbers that are the same in float32."""
    return [float(str(value)) for value in values.ravel()]


def shorten(value: Any) -> Any:
    """The architecture without what only training reads."""
    if isinstance(value, list):
        return [shorten(each) for each in value]
    if not isinstance(value, dict):
        return None if value == float("inf") else value
    return {
        key: shorten(each)
        for key, each in value.items()
        if each is not None and not key.endswith(IDLE) and key not in IDLE_OPTIONS
    }


def models() -> Iterator[tuple[str, Any]]:
    """Every model with its name."""
    import hgq.layers as q
    import keras
    from hgq.config import QuantizerConfig

    keras.utils.set_random_seed(1)

    def own(place: str, kind: str = "kif", **options: Any) -> Any:
        return QuantizerConfig(kind, place, **options)

    def chain(*layers: Any, shape: tuple[int, ...] = (6,)) -> Any:
        return keras.Sequential([keras.Input(shape), *layers])

    def pair(layer: Any, *shapes: tuple[int, ...]) -> Any:
        inputs = [keras.Input(shape) for shape in shapes]
        return keras.Model(inputs, layer(inputs))

    for rounding in ("TRN", "RND", "RND_CONV"):
        for overflow in ("WRAP", "SAT", "SAT_SYM"):
            modes = {"round_mode": rounding, "overflow_mode": overflow}
            for kind in ("kbi", "kif"):
                yield f"dense_{kind}_{rounding}_{overflow}", chain(
                    q.QDense(
                        4, activation="relu", iq_conf=own("datalane", kind, **modes),
                        kq_conf=own("weight", kind, **modes), bq_conf=own("bias", kind, **modes),
                        oq_conf=own("datalane", kind, **modes), enable_oq=True,
                    )
                )  # fmt: skip
    each = own("datalane", homogeneous_axis=(0, 1, 2))
    yield "conv2d", chain(q.QConv2D(3, 3, padding="same", activation="relu"), shape=(5, 4, 2))
    yield "conv2d_strides", chain(
        q.QConv2D(4, 2, strides=2, groups=2, iq_conf=each, enable_oq=True),
        keras.layers.MaxPooling2D(2), keras.layers.Flatten(), q.QDense(2), shape=(8, 8, 2),
    )  # fmt: skip
    along = own("datalane", homogeneous_axis=(0, 1))
    yield (
        "conv1d_causal",
        chain(q.QConv1D(3, 3, padding="causal", dilation_rate=2, iq_conf=along), shape=(7, 2)),
    )
    yield "einsum", chain(
        q.QEinsumDense("bij,jk->bik", (3, 4), bias_axes="k", activation="relu"),
        q.QEinsumDense("bij,ik->bkj", (2, 4), bias_axes=None), shape=(3, 5),
    )  # fmt: skip
    yield (
        "einsum_norm",
        chain(q.QEinsumDenseBatchnorm("bij,jk->bik", (3, 4), bias_axes="k"), shape=(3, 5)),
    )
    yield "norm", chain(q.QBatchNormalization(), q.QBatchNormalization(center=False, scale=False))
    yield "norm_dense", chain(q.QBatchNormDense(4, activation="relu"), q.QDense(3))
    for kind in (q.QAdd, q.QSubtract, q.QMultiply, q.QMaximum, q.QMinimum, q.QAveragePow2):
        yield kind.__name__, pair(kind(enable_oq=kind is q.QAdd), (6,), (6,))
    yield "QDot", pair(q.QDot(axes=1), (6,), (6,))
    yield "three", pair(q.QAveragePow2(), (6,), (6,), (6,))
    yield "sum", chain(q.QSum(axes=1, scale=0.25), shape=(4, 3))
    yield "mean", chain(q.QMeanPow2(axes=(1, 2), keepdims=True), shape=(4, 3))
    yield "pools", chain(
        q.QMaxPooling2D(2), q.QAveragePooling2D(2, enable_oq=True),
        q.QGlobalMaxPooling2D(), shape=(8, 8, 2),
    )  # fmt: skip
    for name in ("tanh", "sigmoid"):
        yield (
            f"table_{name}",
            chain(q.QUnaryFunctionLUT(name), q.QDense(3, activation=name, enable_oq=True)),
        )
    apart = own("table", "kbi", heterogeneous_axis=None, homogeneous_axis=(0,))
    yield "table_apart", chain(q.QUnaryFunctionLUT("tanh", oq_conf=apart))
    yield (
        "curve_between",
        chain(q.QDense(8, activation="tanh"), keras.layers.Reshape((2, 4)), q.QDense(2)),
    )
    yield "softmax", chain(q.QDense(4), q.QSoftmax())
    yield "softmax_unstable", chain(q.QSoftmax(stable=False, enable_iq=True, input_scaler=0.5))
    yield (
        "quantizers",
        chain(
            q.Quantizer(own("datalane")), keras.layers.ReLU(), q.Quantizer(own("datalane", "kbi"))
        ),
    )
    yield "switches", chain(
        q.QDense(4, enable_ebops=False), q.QDense(3, enable_iq=False, use_bias=False),
        q.QDense(3, iq_conf=own("datalane", trainable=False), trainable=False),
    )  # fmt: skip
    yield "table_line", chain(q.QAffinedUnaryFunctionLUT("sigmoid"))
    yield "steps", chain(keras.layers.TimeDistributed(q.QDense(2, enable_oq=True)), shape=(3, 4))
    x, inside = keras.Input((4,)), chain(q.QDense(4, activation="relu"), q.QDense(4), shape=(4,))
    yield "nested_twice", keras.Model(x, inside(inside(x)))
    for fuse in ("none", "kv", "qkv"):
        x = keras.Input((3, 5))
        layer = q.QMultiHeadAttention(2, 4, value_dim=3, output_shape=2, fuse=fuse)
        yield f"attention_{fuse}", keras.Model(x, layer(x))
    a, b = keras.Input((3, 5)), keras.Input((4, 6))
    layer = q.QMultiHeadAttention(2, 4, use_bias=False, enable_ebops=False)
    yield "attention_of_two", keras.Model([a, b], layer(a, b))
    yield "conv3d", chain(q.QConv3D(2, 2, padding="same"), shape=(3, 2, 3, 2))
    x = keras.Input((6,), name="seen_unrounded")
    yield "residual", keras.Model(x, q.QDense(3)(keras.layers.Add()([x, q.QDense(6)(x)])))
    x = keras.Input((6,), name="x")
    a, b = q.QDense(4, activation="relu")(x), q.QDense(4)(x)
    yield "functional", keras.Model(x, q.QDense(2)(q.QAdd()([a, keras.layers.ReLU()(b)])))


def main(target: Path, chosen: Callable[[str], bool] = lambda name: True) -> None:
    """Record every model whose name is chosen."""
    results = {}
    for number, (name, model) in enumerate(models()):
        if chosen(name):
            results[name] = record(model, np.random.default_rng(number))
    lines = (
        f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}"
        for name, each in results.items()
    )
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
