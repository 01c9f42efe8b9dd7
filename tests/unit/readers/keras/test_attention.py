# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Norms of one sample, products of two tensors, attention: the Graph computes what Keras does."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.support.float_graph import outputs

keras = pytest.importorskip("keras")
L = keras.layers
Make = Callable[[Any], Any]

BAND = abs(np.arange(7)[:, None] - np.arange(7)) < 3
IMAGE, SERIES, VECTOR = (5, 4, 6), (7, 6), (6,)
LAYERS: dict[str, tuple[tuple[int, ...], Make]] = {
    "layer norm": (SERIES, L.LayerNormalization()),
    "layer norm of a vector": (VECTOR, L.LayerNormalization(center=False, epsilon=0.1)),
    "layer norm bare": (IMAGE, L.LayerNormalization(center=False, scale=False)),
    "layer norm of two axes": (IMAGE, L.LayerNormalization(axis=(2, 3))),
    "layer norm of all axes": (SERIES, L.LayerNormalization(axis=[1, 2])),
    "rms norm": (SERIES, L.RMSNormalization(epsilon=1e-3)),
    "group norm": (IMAGE, L.GroupNormalization(groups=3)),
    "group norm of each channel": (SERIES, L.GroupNormalization(groups=-1)),
    "group norm of all": (SERIES, L.GroupNormalization(groups=1, scale=False)),
    "group norm first": (IMAGE, L.GroupNormalization(groups=5, axis=1)),
    "unit norm": (SERIES, L.UnitNormalization()),
    "unit norm of two axes": (IMAGE, L.UnitNormalization(axis=(-2, -1))),
    "attention to itself": (SERIES, lambda x: L.MultiHeadAttention(2, 3)(x, x)),
    "attention without bias": (
        SERIES,
        lambda x: L.MultiHeadAttention(3, 2, value_dim=4, use_bias=False, output_shape=5)(x, x),
    ),
    "attention to another": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(L.Cropping1D((1, 2))(x), L.Dense(5)(x), L.Dense(4)(x)),
    ),
    "attention by name": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(
            query=L.Dense(4)(x), value=x, key=L.Dense(5, activation="relu")(x)
        ),
    ),
    "causal attention": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
    ),
    "causal attention to another": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(L.Cropping1D((1, 2))(x), x, use_causal_mask=True),
    ),
    "attention with a constant mask": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(x, x, attention_mask=BAND),
    ),
    "causal attention with a constant mask": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(x, x, attention_mask=BAND, use_causal_mask=True),
    ),
    "attention with a mask of its own": (
        SERIES,
        lambda x: L.MultiHeadAttention(2, 3)(
            x, x, attention_mask=keras.ops.one_hot(keras.ops.argmax(x, axis=-1), 7)
        ),
    ),
    "causal grouped queries": (
        SERIES,
        lambda x: L.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True),
    ),
    "plain attention": (SERIES, lambda x: L.Attention()([x, L.Dense(6)(x)])),
    "plain causal attention": (
        SERIES,
        lambda x: L.Attention(use_scale=True)([x, x, L.Dense(6)(x)], use_causal_mask=True),
    ),
    "attention by sums": (
        SERIES,
        lambda x: L.Attention(use_scale=True, score_mode="concat")([x, L.Dense(6)(x)]),
    ),
    "additive attention": (SERIES, lambda x: L.AdditiveAttention()([x, L.Dense(6)(x)])),
    "plain additive attention": (
        SERIES,
        lambda x: L.AdditiveAttention(use_scale=False)([x, x], use_causal_mask=True),
    ),
    "grouped queries": (SERIES, lambda x: L.GroupQueryAttention(3, 4, 2)(x, x)),
    "dot of vectors": (VECTOR, lambda x: L.Dot(axes=1)([x, L.Dense(6)(x)])),
    "dot of matrices": (SERIES, lambda x: L.Dot(axes=(1, 2))([x, L.Dense(7)(x)])),
    "dot of rows": (SERIES, lambda x: L.Dot(axes=-1, normalize=True)([x, L.Dense(6)(x)])),
    "dot of a matrix and a vector": (
        SERIES,
        lambda x: L.Dot(axes=(2, 1))([x, L.Dense(6)(L.Flatten()(x))]),
    ),
}


def save(path: Path, shape: tuple[int, ...], make: Make, seed: int = 0) -> Any:
    """A model of one layer with random weights."""
    x = keras.Input(shape, name="x")
    model = keras.Model(x, make(x))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" not in variable.name:
            variable.assign(rng.normal(0, 0.5, variable.shape))
    model.save(path)
    return model


@pytest.mark.parametrize("name", LAYERS)
def test_the_float_network_is_that_of_keras(tmp_path: Path, name: str) -> None:
    shape, make = LAYERS[name]
    model = save(tmp_path / "net.keras", shape, make)
    x = np.random.default_rng(1).normal(0, 1, (8, *shape))
    truth = model.predict(x, verbose=0)
    (result,) = outputs(load(tmp_path / "net.keras").graph, [x])
    np.testing.assert_allclose(result, truth, atol=1e-5, rtol=1e-4)


REFUSED: dict[str, tuple[Make, str]] = {
    "a mask of padding": (
        lambda x: L.MultiHeadAttention(2, 3)(L.Masking()(x), x),
        "Masking layer masks",
    ),
    "a window": (lambda x: L.MultiHeadAttention(2, 3, sliding_window=2)(x, x), "sliding window"),
    "a gate": (lambda x: L.MultiHeadAttention(2, 3, use_gate=True)(x, x), "use_gate"),
}


@pytest.mark.parametrize("size", [0, -3])
def test_heads_without_channels_are_refused_by_name(tmp_path: Path, size: int) -> None:
    path = tmp_path / "net.keras"
    save(path, SERIES, lambda x: L.MultiHeadAttention(2, 3, value_dim=2)(x, x))
    change_config(path, '"key_dim": 3', f'"key_dim": {size}')
    with pytest.raises(UnsupportedModelError, match=f"2 heads of {size}"):
        load(path)


def test_a_window_larger_than_a_volume_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    save(path, (4, 4, 4, 2), L.MaxPooling3D(2, strides=2))
    change_config(path, '"pool_size": [2, 2, 2]', '"pool_size": [2, 9, 2]')
    with pytest.raises(UnsupportedModelError, match="does not fit into"):
        load(path)


def change_config(path: Path, old: str, new: str) -> None:
    """The file with another architecture."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    text = parts["config.json"].decode()
    assert old in text
    parts["config.json"] = text.replace(old, new).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_computed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    make, reason = REFUSED[name]
    save(tmp_path / "net.keras", SERIES, make)
    with pytest.raises(UnsupportedModelError, match=reason):
        load(tmp_path / "net.keras")
