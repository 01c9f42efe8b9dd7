# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A reference model so small that it trains within a second."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edgeinfer.zoo.entry import EventSamples, Head, Measure, TrainingSchedule, ZooEntry
from edgeinfer.zoo.measures import head_accuracy, head_auc

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _build():
    from keras import Model, layers

    x = image = layers.Input((6, 6, 1), name="image")
    x = layers.Conv2D(2, 3, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Flatten()(x)
    logits = layers.Dense(2, name="side_logits")(x)
    return Model(image, layers.Activation("softmax", name="side")(logits), name="tiny")


def _data(seed: int, n: int) -> EventSamples:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n, 6, 6, 1)).astype(np.float32)
    side = rng.integers(0, 2, n)
    image[side == 1, :3] += 0.4  # the upper half is brighter; mirroring does not change that
    return EventSamples(
        {"image": image}, {"side": np.eye(2, dtype=np.float32)[side]}, np.arange(n) // 4
    )


@pytest.fixture
def tiny() -> ZooEntry:
    """A classifier with a convolution, dropout and flips."""
    return ZooEntry(
        name="tiny",
        about="bright above or not",
        parameters=86,
        macs=352,
        build=_build,
        data=_data,
        heads=(Head("side", ("even", "bright above"), "categorical_crossentropy", balanced=True),),
        schedule=TrainingSchedule(
            "adam", 0.01, batch=32, epochs=3, samples=400, patience=4, flips=(2,)
        ),
        measures=(
            Measure("auc", "", head_auc("side")),
            Measure("accuracy", "", head_accuracy("side")),
        ),
        committed=False,
    )
