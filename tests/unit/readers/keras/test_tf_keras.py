# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files written by tf.keras itself, the last of Keras 2: .h5, early .keras, JSON and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.readers import load
from tests.support.float_graph import outputs

keras = pytest.importorskip("tf_keras")
L = keras.layers


def shaken(model: Any) -> Any:
    """The model with random weights, variances positive."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        values = rng.normal(0, 0.4, variable.shape)
        variable.assign(values**2 + 0.3 if "variance" in variable.name else values)
    return model


def compared(model: Any, path: Path) -> None:
    """Read the file and compare all outputs with the model's on random inputs."""
    rng = np.random.default_rng(1)
    xs = [rng.normal(0, 1, (4, *x.shape[1:])).astype(np.float32) for x in model.inputs]
    truth = model.predict(xs, verbose=0)
    result = outputs(load(path).graph, [x.astype(np.float64) for x in xs])
    for ours, theirs in zip(result, truth if isinstance(truth, list) else [truth], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def nested() -> Any:
    """Models in models, frozen layers, a layer called twice, two inputs and outputs."""

    def block(prefix: str, kernel: int, strides: int) -> Any:
        x = L.Input((8, 8, 2))
        y = L.Conv2D(3, kernel, strides=strides, name=f"{prefix}_conv")(x)
        y = L.BatchNormalization(name=f"{prefix}_norm", trainable=prefix == "a")(y)
        return keras.Model(x, L.Conv2D(3, 1, name=f"{prefix}_point")(y), name=prefix)

    x = L.Input((8, 8, 2))
    deep = keras.Model(x, L.Conv2D(3, 1)(L.ReLU(max_value=6.0)(block("b", 7, 1)(x))), name="deep")
    slopes = [L.Conv2D(3, 1, input_shape=(8, 8, 2)), L.LeakyReLU(0.1), L.PReLU(shared_axes=[1, 2])]
    sequence = keras.Sequential(slopes, name="sequence")
    image, vector = L.Input((8, 8, 2), name="image"), L.Input((4,), name="vector")
    gate = L.GlobalAveragePooling2D(keepdims=True)(sequence(image))
    y = L.Multiply()([L.Add()([block("a", 6, 2)(image), deep(image)]), gate])
    y = L.DepthwiseConv2D(2, depth_multiplier=2)(L.ZeroPadding2D(((1, 0), (0, 2)))(y))
    y = L.Flatten()(L.SeparableConv2D(3, 2, padding="same", activation="hard_sigmoid")(y))
    shared = L.Dense(4, activation="tanh")
    first = L.Dense(3, activation="softmax")(L.Concatenate()([shared(y), vector]))
    return keras.Model([image, vector], [first, L.Subtract()([shared(y), vector])])


def sequential() -> Any:
    """A chain over a series."""
    return keras.Sequential(
        [
            L.Conv1D(4, 3, padding="causal", dilation_rate=2, input_shape=(12, 3)),
            L.BatchNormalization(scale=False),
            L.Activation("relu"),
            L.MaxPooling1D(2),
            L.Conv1D(4, 3, groups=2, activation="selu"),
            L.AveragePooling1D(2, padding="same"),
            L.UpSampling1D(2),
            L.Cropping1D((1, 1)),
            L.SeparableConv1D(5, 2, padding="causal"),
            L.Reshape((-1,)),
            L.Dropout(0.2),
            L.Dense(6),
            L.ReLU(negative_slope=0.2, max_value=1.0),
        ]
    )


@pytest.mark.parametrize("make", [nested, sequential])
def test_every_container(tmp_path: Path, make: Any) -> None:
    model = shaken(make())
    model.save(tmp_path / "m.h5")
    model.save(tmp_path / "m.keras")
    (tmp_path / "flat.json").write_text(model.to_json())
    model.save_weights(tmp_path / "flat_weights.h5")
    (tmp_path / "numbered.json").write_text(model.to_json())
    model.save_weights(tmp_path / "numbered.weights.h5")
    for name in ("m.h5", "m.keras", "flat.json", "numbered.json"):
        compared(model, tmp_path / name)


def test_names_with_slashes(tmp_path: Path) -> None:
    """As the networks in keras.applications have them."""
    x = L.Input((8, 8, 2))
    y = L.BatchNormalization(name="conv1/bn")(L.Conv2D(3, 3, name="conv1/conv")(x))
    model = shaken(keras.Model(x, L.Conv2D(3, 3, name="conv1")(y)))
    model.save(tmp_path / "m.h5")
    compared(model, tmp_path / "m.h5")


def gathers() -> Any:
    """Rows of each sample, and of a constant, by an index that is an input."""
    tf = pytest.importorskip("tensorflow")
    x, i = L.Input((5, 4), name="x"), L.Input((3,), dtype="int32", name="i")
    table = tf.constant(np.arange(12, dtype=np.float32).reshape(6, 2))
    rows = tf.gather(x, i, batch_dims=1)
    return keras.Model([x, i], [rows, tf.gather(table, i), tf.one_hot(i, 5), tf.argmax(x, axis=1)])


def test_look_ups_by_an_input(tmp_path: Path) -> None:
    model = gathers()
    model.save(tmp_path / "net.h5")
    x = np.random.default_rng(2).permuted(np.arange(60.0)).reshape(3, 5, 4)
    i = np.random.default_rng(3).integers(0, 5, (3, 3))
    result = outputs(load(tmp_path / "net.h5").graph, [x, i.astype(float)])
    for ours, theirs in zip(result, model.predict([x, i], verbose=0), strict=True):
        np.testing.assert_allclose(ours, theirs)
