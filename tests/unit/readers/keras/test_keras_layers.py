# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Each Keras layer that can be read: the Graph computes what keras.predict does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.readers import LoadedModel, load
from tests.support.float_graph import outputs

keras = pytest.importorskip("keras")
L = keras.layers
TOLERANCE = 1e-5


def shaken(model: Any, seed: int = 0) -> Any:
    """The model with random weights, variances positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.name:
            continue
        values = rng.normal(0, 0.4, variable.shape)
        variable.assign(values**2 + 0.3 if "variance" in variable.name else values)
    return model


def compared(model: Any, path: Path, save: bool = True) -> LoadedModel:
    """Save, read, and compare all outputs on random inputs."""
    if save:
        model.save(path)
    rng = np.random.default_rng(1)
    xs = [rng.normal(0, 1, (4, *x.shape[1:])).astype(np.float32) for x in model.inputs]
    truth = model.predict(xs if len(xs) > 1 else xs[0], verbose=0)
    truth = list(truth.values()) if isinstance(truth, dict) else truth
    truth = truth if isinstance(truth, (list, tuple)) else [truth]
    loaded = load(path)
    result = outputs(loaded.graph, [x.astype(np.float64) for x in xs])
    assert len(result) == len(truth)
    for ours, theirs in zip(result, truth, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)
    return loaded


IMAGE, SERIES, VECTOR = (9, 8, 4), (12, 4), (6,)
SINGLE: list[tuple[str, tuple[int, ...], Callable[[], Any]]] = [
    ("dense", VECTOR, lambda: L.Dense(3, activation="relu")),
    ("dense on a series", SERIES, lambda: L.Dense(3, use_bias=False)),
    ("conv1d", SERIES, lambda: L.Conv1D(5, 3, strides=2, padding="same")),
    ("conv1d causal", SERIES, lambda: L.Conv1D(5, 3, padding="causal", dilation_rate=2)),
    ("conv1d groups", SERIES, lambda: L.Conv1D(6, 3, groups=2)),
    ("conv2d valid", IMAGE, lambda: L.Conv2D(5, (3, 2), strides=(2, 1), activation="tanh")),
    ("conv2d same", IMAGE, lambda: L.Conv2D(5, (3, 4), strides=2, padding="same")),
    ("conv2d dilated", IMAGE, lambda: L.Conv2D(5, 3, dilation_rate=(2, 1), padding="same")),
    ("conv2d groups", IMAGE, lambda: L.Conv2D(6, 3, groups=2, activation="softmax")),
    ("depthwise1d", SERIES, lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same")),
    ("depthwise2d", IMAGE, lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=3)),
    ("separable1d", SERIES, lambda: L.SeparableConv1D(5, 3, padding="same")),
    ("separable2d", IMAGE, lambda: L.SeparableConv2D(5, 3, depth_multiplier=2, padding="same")),
    ("batchnorm", IMAGE, lambda: L.BatchNormalization()),
    ("batchnorm no scale", IMAGE, lambda: L.BatchNormalization(scale=False, epsilon=0.1)),
    ("batchnorm no center", VECTOR, lambda: L.BatchNormalization(center=False)),
    ("batchnorm bare", VECTOR, lambda: L.BatchNormalization(center=False, scale=False)),
    ("batchnorm axis 1", IMAGE, lambda: L.BatchNormalization(axis=1)),
    ("rescaling", IMAGE, lambda: L.Rescaling(0.5, -1.0)),
    ("relu capped", IMAGE, lambda: L.ReLU(max_value=0.7)),
    ("relu6", IMAGE, lambda: L.ReLU(max_value=6)),
    ("relu sloped and capped", IMAGE, lambda: L.ReLU(max_value=1.0, negative_slope=0.25)),
    ("leaky relu", IMAGE, lambda: L.LeakyReLU(negative_slope=0.1)),
    ("prelu", IMAGE, lambda: L.PReLU()),
    ("prelu shared", IMAGE, lambda: L.PReLU(shared_axes=[1, 2])),
    ("elu", IMAGE, lambda: L.ELU(alpha=0.5)),
    ("softmax", SERIES, lambda: L.Softmax()),
    ("softmax axis", SERIES, lambda: L.Softmax(axis=1)),
    ("max1d", SERIES, lambda: L.MaxPooling1D(3, strides=2, padding="same")),
    ("max2d", IMAGE, lambda: L.MaxPooling2D((2, 3), padding="same")),
    ("average1d", SERIES, lambda: L.AveragePooling1D(2)),
    ("average2d same", IMAGE, lambda: L.AveragePooling2D(3, strides=2, padding="same")),
    ("global max1d", SERIES, lambda: L.GlobalMaxPooling1D()),
    ("global average1d", SERIES, lambda: L.GlobalAveragePooling1D(keepdims=True)),
    ("global max2d", IMAGE, lambda: L.GlobalMaxPooling2D(keepdims=True)),
    ("global average2d", IMAGE, lambda: L.GlobalAveragePooling2D()),
    ("global average2d first", IMAGE, lambda: L.GlobalAveragePooling2D("channels_first")),
    ("max2d first", IMAGE, lambda: L.MaxPooling2D(2, data_format="channels_first")),
    ("flatten", IMAGE, lambda: L.Flatten()),
    ("flatten first", IMAGE, lambda: L.Flatten(data_format="channels_first")),
    ("reshape", IMAGE, lambda: L.Reshape((2, -1, 6))),
    ("permute", IMAGE, lambda: L.Permute((3, 1, 2))),
    ("repeat", VECTOR, lambda: L.RepeatVector(3)),
    ("pad1d", SERIES, lambda: L.ZeroPadding1D((1, 3))),
    ("pad2d", IMAGE, lambda: L.ZeroPadding2D(((1, 0), (2, 3)))),
    ("pad2d first", IMAGE, lambda: L.ZeroPadding2D(2, data_format="channels_first")),
    ("crop1d", SERIES, lambda: L.Cropping1D((1, 2))),
    ("crop2d", IMAGE, lambda: L.Cropping2D(((1, 0), (2, 3)))),
    ("up1d", SERIES, lambda: L.UpSampling1D(3)),
    ("up2d", IMAGE, lambda: L.UpSampling2D((2, 3))),
    ("dropout", IMAGE, lambda: L.Dropout(0.5)),
    ("spatial dropout", IMAGE, lambda: L.SpatialDropout2D(0.5)),
    ("noise", VECTOR, lambda: L.GaussianNoise(0.5)),
    ("gaussian dropout", VECTOR, lambda: L.GaussianDropout(0.5)),
    ("alpha dropout", VECTOR, lambda: L.AlphaDropout(0.5)),
    ("regularization", VECTOR, lambda: L.ActivityRegularization(0.1)),
    *(
        (f"activation {name}", VECTOR, lambda name=name: L.Activation(name))
        for name in (
            *("relu", "relu6", "leaky_relu", "sigmoid", "tanh", "hard_sigmoid", "softmax"),
            *("elu", "selu", "softplus", "softsign", "silu", "gelu", "exponential", "linear"),
            *("hard_silu", "swish"),
        )
    ),
]


@pytest.mark.parametrize(("shape", "make"), [c[1:] for c in SINGLE], ids=[c[0] for c in SINGLE])
def test_layer(tmp_path: Path, shape: tuple[int, ...], make: Callable[[], Any]) -> None:
    x = L.Input(shape)
    loaded = compared(shaken(keras.Model(x, make()(x))), tmp_path / "m.keras")
    assert loaded.recipe.weights == loaded.recipe.activations == ()
    assert loaded.findings == ()


@pytest.mark.parametrize(
    "name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]
)
def test_merges(tmp_path: Path, name: str) -> None:
    a, b = L.Input((3, 4)), L.Input((3, 4))
    parts = [a, b] if name == "Subtract" else [a, b, L.Activation("tanh")(a)]
    compared(keras.Model([a, b], getattr(L, name)()(parts)), tmp_path / "m.keras")


def test_concatenation_along_another_axis_and_broadcast(tmp_path: Path) -> None:
    a, b = L.Input((3, 4)), L.Input((2, 4))
    joined = L.Concatenate(axis=1)([a, b])
    scaled = L.Multiply()([joined, L.GlobalMaxPooling1D(keepdims=True)(joined)])
    compared(keras.Model([a, b], scaled), tmp_path / "m.keras")


def test_operators_of_the_functional_style(tmp_path: Path) -> None:
    a, b = L.Input((5,)), L.Input((5,))
    compared(keras.Model([a, b], [2.0 * a + b, 1.0 - a, b - 0.5]), tmp_path / "m.keras")


def _branched() -> Any:
    """Nested models, one of them called twice, a shared layer, two inputs, named outputs."""
    x = L.Input((6, 6, 2))
    y = L.BatchNormalization(name="norm")(L.Conv2D(3, 3, padding="same", name="conv")(x))
    inner = keras.Model(x, y, name="inner")
    sequence = keras.Sequential([L.Input((6, 6, 2)), L.Conv2D(3, 1, name="conv")], name="seq")
    a, b = L.Input((6, 6, 2), name="a"), L.Input((6, 6, 2), name="b")
    joined = L.Concatenate()([inner(a), inner(b), sequence(a)])
    shared = L.Dense(2, activation="relu", name="shared")
    first, second = shared(joined), shared(L.Dropout(0.1)(L.Activation("tanh")(joined)))
    return shaken(keras.Model([b, a], {"p": first, "q": L.Add()([first, second])}, name="outer"))


def test_branches_nesting_and_sharing(tmp_path: Path) -> None:
    graph = compared(_branched(), tmp_path / "m.keras").graph
    assert [node.name for node in graph.inputs] == ["b", "a"]
    assert {"inner/conv", "inner_call2/conv", "shared", "shared_relu"} <= set(graph.shapes)
    assert {graph.node(n).layer for n in ("inner/conv", "inner_call2/conv")} == {"inner/conv"}
    assert graph.outputs[0] == "shared_relu"
    keys = [key for key, _ in graph.weights()]
    assert len(keys) == len(set(keys))
    assert {"inner/conv/kernel", "seq/conv/kernel", "shared/bias"} <= set(keys)


def test_weights_beside_json(tmp_path: Path) -> None:
    model = _branched()
    for stem, weights in (("one", "one.weights.h5"), ("two", "two_weights.h5")):
        (tmp_path / f"{stem}.json").write_text(model.to_json())
        model.save_weights(tmp_path / "any.weights.h5")
        (tmp_path / "any.weights.h5").rename(tmp_path / weights)
        compared(model, tmp_path / f"{stem}.json", save=False)
    other = tmp_path / "elsewhere.h5"
    (tmp_path / "one.weights.h5").rename(other)
    (tmp_path / "two_weights.h5").unlink()
    assert load(tmp_path / "one.json", weights=other, name="n").graph.name == "n"


def test_whole_model_in_hdf5(tmp_path: Path) -> None:
    compared(_branched(), tmp_path / "m.h5")


def test_fused_activations_are_nodes_of_their_own(tmp_path: Path) -> None:
    x = L.Input((6,))
    y = L.Dense(3, activation="relu", name="fc")(x)
    model = keras.Model(x, L.Dense(2, activation="softmax", name="fc_relu")(y))
    graph = compared(model, tmp_path / "m.keras").graph
    assert [n.name for n in graph.nodes][1:] == ["fc", "fc_relu_2", "fc_relu", "fc_relu_softmax"]


def test_weights_saved_under_other_names(tmp_path: Path) -> None:
    def model(suffix: str) -> Any:
        x = L.Input((6,))
        y = L.BatchNormalization(name=f"n{suffix}")(L.Dense(4, name=f"a{suffix}")(x))
        return shaken(keras.Model(x, L.Dense(3, name=f"b{suffix}")(y)))

    (tmp_path / "m.json").write_text(model("1").to_json())
    model("2").save_weights(tmp_path / "m.weights.h5")
    compared(model("1"), tmp_path / "m.json", save=False)
