# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Quantization-aware models of TensorFlow's Model Optimization Toolkit, and what they compute.

It runs in an environment of its own (Python 3.11, tensorflow==2.15.1,
tensorflow-model-optimization==0.8.0), without this package:

    python tests/support/tfmot_record.py tests/support/tfmot_models.json

Ranges are drawn instead of trained: those that moving averages yield after days differ in nothing
but their values.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SAMPLES = 24
IDLE = ("_initializer", "_regularizer", "_constraint", "build_config", "shared_object_id")


def record(model: Any, x: Any) -> dict[str, Any]:
    """What the model's file holds that a reader looks at, inputs, and its own outputs."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.h5"
        model.save(path)
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
            groups = {
                name: [[w, *plain(group[w][()])] for w in map(text, group.attrs["weight_names"])]
                for name, group in file["model_weights"].items()
                if len(group.attrs.get("weight_names", ()))
            }
            order = [text(name) for name in file["model_weights"].attrs["layer_names"]]
    y = np.asarray(model(x, training=False))
    weights = {name: groups[name] for name in order if name in groups}
    return {"config": shorten(config), "weights": weights, "x": plain(x), "y": plain(y)}


def text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def plain(values: Any) -> list[Any]:
    """Type, shape and the shortest numbers that are the same in float32."""
    array = np.asarray(values)
    return [str(array.dtype), list(array.shape), [float(str(v)) for v in array.ravel()]]


def shorten(value: Any) -> Any:
    """The architecture without what only training reads."""
    if isinstance(value, list):
        return [shorten(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: shorten(each) for key, each in value.items() if not key.endswith(IDLE)}


def settle(model: Any, rng: np.random.Generator, *, powers: bool) -> None:
    """Draw every weight and range; `powers` makes every step of a tensor a power of two."""
    for variable in model.variables:
        name, shape = variable.name.split(":")[0].rpartition("/")[2], tuple(variable.shape)
        if name.endswith("_min") or "step" in name:
            continue
        if "variance" in name:
            variable.assign(rng.random(shape) + 0.5)
        elif not name.endswith("_max"):
            size = np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 2.0
            variable.assign(rng.normal(size=shape) / size)
    ranges = {v.name: v for v in model.variables}
    for name, top in ranges.items():
        if not name.endswith("_max:0"):
            continue
        shape, low = tuple(top.shape), ranges[name.replace("_max:0", "_min:0")]
        weight = any(part in name for part in ("kernel_max", "weight_max"))
        reach = np.exp2(rng.integers(-1, 3, shape)) if powers else 0.5 + 3 * rng.random(shape)
        if weight:
            top.assign(reach * (127 / 128 if powers else 0.3))
            low.assign(-reach * (127 / 128 if powers else 0.3))
        elif rng.random() < 0.4:
            top.assign(reach * (255 / 256 if powers else 1.0))
            low.assign(np.zeros(shape))
        else:
            top.assign(reach * (127 / 128 if powers else 1.0))
            low.assign(-reach * (1.0 if powers else 0.2 + rng.random()))


def models() -> Iterator[tuple[str, Any, bool]]:
    """Every model with its name, and whether its steps are powers of two."""
    import tensorflow as tf

    keras = tf.keras  # named before the toolkit asks for another package
    for loaded in (keras, tf.compat.v1.keras, tf.compat.v2.keras):
        assert loaded.layers
    layers = keras.layers
    import tensorflow_model_optimization as tfmot

    quantize, keras_api = tfmot.quantization.keras.quantize_model, tfmot.quantization.keras
    keras.utils.set_random_seed(1)

    def chain(*parts: Any, shape: tuple[int, ...]) -> Any:
        return keras.Sequential([layers.Input(shape), *parts])

    def dense() -> Any:
        return chain(
            layers.Dense(5, activation="relu"), layers.Dense(4), layers.Dense(3), shape=(6,)
        )

    def conv() -> Any:
        return chain(
            layers.Conv2D(4, 3, use_bias=False, padding="same"), layers.BatchNormalization(),
            layers.ReLU(), layers.DepthwiseConv2D(3, activation="relu", depth_multiplier=2),
            layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3), shape=(6, 6, 2),
        )  # fmt: skip

    for name, powers in (("", False), ("_powers", True)):
        yield f"dense{name}", quantize(dense()), powers
        yield f"conv{name}", quantize(conv()), powers
    for activation in ("softmax", "tanh", "sigmoid", "swish", "gelu"):
        first, last = layers.Dense(4, activation=activation), layers.Dense(3)
        yield f"dense_{activation}", quantize(chain(first, last, shape=(6,))), False
    yield "classes", quantize(chain(layers.Dense(4, activation="softmax"), shape=(6,))), False
    activations = [layers.Activation(name) for name in ("relu", "tanh", "sigmoid", "swish")]
    parts = [part for each in activations for part in (layers.Dense(3), each)]
    yield "activations", quantize(chain(*parts, shape=(6,))), False
    x = layers.Input((6, 6, 2))
    a, b = layers.Conv2D(3, 3, padding="same")(x), layers.Conv2D(3, 1, activation="relu")(x)
    y = layers.ReLU(6.0)(layers.Add()([a, b]))
    y = layers.Concatenate()([layers.AveragePooling2D(2)(y), layers.MaxPooling2D(2)(b)])
    y = layers.Dense(2)(layers.GlobalAveragePooling2D()(y))
    yield "branches", quantize(keras.Model(x, y)), False
    yield "spread", quantize(chain(
        layers.SeparableConv2D(3, 3, activation="relu"), layers.UpSampling2D(2),
        layers.Conv2DTranspose(2, 3, strides=2), layers.LeakyReLU(0.2), layers.ZeroPadding2D(1),
        layers.Conv2D(2, 3, dilation_rate=2), layers.GlobalMaxPooling2D(), shape=(5, 5, 2),
    )), False  # fmt: skip
    annotate = keras_api.quantize_annotate_layer
    some = chain(layers.Dense(5, activation="relu"), annotate(layers.Dense(4)), layers.Dense(3),
                 shape=(6,))  # fmt: skip
    yield "annotated", keras_api.quantize_apply(some), False


def main(target: Path) -> None:
    """Record every model."""
    results = {}
    for number, (name, model, powers) in enumerate(models()):
        rng = np.random.default_rng(number)
        settle(model, rng, powers=powers)
        # Multiples of 1/256, which the network's input holds whatever its step is.
        x = np.rint(256 * rng.normal(size=(SAMPLES, *model.input_shape[1:]))) / 256
        results[name] = record(model, x.astype(np.float32))
    lines = (
        f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}"
        for name, each in results.items()
    )
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
