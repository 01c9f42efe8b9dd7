# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The detector's two networks: one looks at an image, one at what lies in a proposed box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

IMAGE_SIDE, CROP_SIDE, MASK_SIDE = 64, 8, 16
PLACES, CELLS = 16, 32  # sides of the maps of proposals and of features
FEATURES = 12


def hgcal_detector(kinds: int) -> keras.Model:
    """Backbone, feature pyramid and proposals: at each of 16x16 places what is in the middle there
    and how far its edges are; at 32x32, features for the heads, and what made most of the cells."""
    from keras import Model, layers

    image = layers.Input((IMAGE_SIDE, IMAGE_SIDE, 1), name="image")
    steps, x = [], image
    for number, filters in enumerate((8, 16, 24, 32), start=1):
        x = _conv(x, filters, f"conv{number}", strides=2)
        if number > 2:
            x = _conv(x, filters, f"conv{number}_again")
        steps.append(x)
    x = _conv(x, FEATURES, "level4", side=1)
    for number in (3, 2, 1):
        beside = layers.Conv2D(FEATURES, 1, name=f"beside{number}")(steps[number - 1])
        above = layers.UpSampling2D(2, name=f"above{number}")(x)
        x = layers.Add(name=f"sum{number}")([beside, above])
        x = layers.Conv2D(FEATURES, 3, padding="same", name=f"level{number}")(x)
        x = layers.ReLU(name="features" if number == 1 else f"level{number}_relu")(x)
        if number == 2:
            places = _conv(x, 24, "proposals")
    place = layers.Conv2D(kinds + 1, 1, name="place_logits")(places)
    cell = layers.Conv2D(kinds + 1, 1, name="cell_logits")(x)
    outputs = [
        layers.Activation("softmax", name="place")(place),
        layers.Conv2D(4, 1, name="edges")(places),
        layers.Activation("softmax", name="cell")(cell),
        x,
    ]
    return Model(image, outputs, name="hgcal_detector")


def hgcal_heads(kinds: int) -> keras.Model:
    """What is in a crop of the features, where its edges are, and which cells are its own."""
    from keras import Model, layers

    crop = layers.Input((CROP_SIDE, CROP_SIDE, FEATURES), name="crop")
    x = _conv(crop, 24, "conv1")
    whole = _conv(x, 24, "conv2", strides=2)
    whole = layers.Flatten(name="flat")(whole)
    whole = layers.Dense(48, activation="relu", name="dense")(whole)
    kind = layers.Dense(kinds + 1, name="kind_logits")(whole)
    mask = layers.UpSampling2D(2, name="finer")(x)
    mask = _conv(mask, 12, "conv3")
    mask = layers.Conv2D(1, 1, name="mask_logits")(mask)
    outputs = [
        layers.Activation("softmax", name="kind")(kind),
        layers.Dense(4, name="edges")(whole),
        layers.Activation("sigmoid", name="mask")(mask),
    ]
    return Model(crop, outputs, name="hgcal_heads")


def _conv(x: Any, filters: int, name: str, *, side: int = 3, strides: int = 1) -> Any:
    from keras import layers

    options = {"padding": "same", "activation": "relu", "strides": strides, "name": name}
    return layers.Conv2D(filters, side, **options)(x)
