# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers of volumes: the Graph computes with images what Keras does, and integers agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.keras_models import compare, compare_integers, model_of

keras = pytest.importorskip("keras")
L = keras.layers
VOLUME = (5, 6, 7, 4)

LAYERS: dict[str, Callable[[Any], Any]] = {
    "conv": L.Conv3D(3, (3, 2, 3)),
    "conv same": L.Conv3D(3, 3, padding="same", activation="relu"),
    "conv strided": L.Conv3D(3, (2, 3, 3), strides=(2, 2, 1), use_bias=False),
    "conv strided same": L.Conv3D(2, 3, strides=(1, 3, 2), padding="same"),
    "conv dilated": L.Conv3D(3, 2, dilation_rate=(2, 3, 1)),
    "conv in groups": L.Conv3D(6, (3, 3, 2), groups=2),
    "conv of one slice": L.Conv3D(3, (1, 3, 3)),
    "conv of all slices": L.Conv3D(3, (5, 1, 1)),
    "max": L.MaxPooling3D((2, 3, 2)),
    "max same": L.MaxPooling3D(3, strides=2, padding="same"),
    "average": L.AveragePooling3D(2, strides=(1, 2, 2)),
    "average same": L.AveragePooling3D(3, strides=2, padding="same"),
    "global max": L.GlobalMaxPooling3D(),
    "global average": L.GlobalAveragePooling3D(keepdims=True),
    "batch norm": L.BatchNormalization(),
    "padding": L.ZeroPadding3D(((1, 0), (0, 2), (1, 1))),
    "cropping": L.Cropping3D(((1, 0), (0, 2), (1, 1))),
    "repetition": L.UpSampling3D((1, 2, 3)),
    "transposed": L.Conv3DTranspose(3, 3, strides=2),
    "transposed same": L.Conv3DTranspose(2, (2, 3, 4), strides=(2, 1, 3), padding="same"),
    "transposed, output padding": L.Conv3DTranspose(
        2, 3, strides=(2, 3, 2), output_padding=(1, 2, 0), activation="relu"
    ),
    "transposed without bias": L.Conv3DTranspose(2, 2, strides=(1, 2, 3), use_bias=False),
    "transposed by windows side by side": L.Conv3DTranspose(3, (1, 2, 3), strides=(1, 2, 3)),
    "transposed by one element": L.Conv3DTranspose(2, 1, strides=(2, 3, 2)),
    "dropout": L.SpatialDropout3D(0.5),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(tmp_path: Path, name: str) -> None:
    compare_integers(compare(model_of(keras, VOLUME, LAYERS[name]), tmp_path / "m.keras"))


def test_a_network_of_volumes(tmp_path: Path) -> None:
    def draw(x: Any) -> Any:
        x = L.MaxPooling3D(2)(L.Conv3D(4, 3, padding="same", activation="relu")(x))
        return L.Dense(2)(L.GlobalAveragePooling3D()(L.Conv3D(3, 2)(x)))

    compare_integers(compare(model_of(keras, VOLUME, draw), tmp_path / "m.keras"))
