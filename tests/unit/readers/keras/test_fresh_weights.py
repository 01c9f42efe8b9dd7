# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An architecture without weights: random ones are drawn, always the same, and said to be so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.unit.readers.keras.test_bad_models import sequential

CONV = {
    "class_name": "Conv2D",
    "config": {"name": "conv", "filters": 16, "kernel_size": [3, 3], "use_bias": False},
}
NORM = {"class_name": "BatchNormalization", "config": {"name": "norm", "axis": [3]}}
FLAT = {"class_name": "Flatten", "config": {"name": "flat"}}


def dense(units: int) -> dict[str, Any]:
    """A dense layer with a bias."""
    return {"class_name": "Dense", "config": {"name": "fc", "units": units}}


def written(folder: Path, *layers: dict[str, Any]) -> Path:
    """The JSON of a network of images."""
    path = folder / "net.json"
    path.write_text(json.dumps(sequential(*layers, shape=(None, 12, 12, 8))))
    return path


def test_weights_are_drawn_as_training_begins(tmp_path: Path) -> None:
    result = load(written(tmp_path, CONV, NORM, FLAT, dense(32)))
    weights = dict(result.graph.weights())
    assert abs(float(weights["conv/kernel"].std()) - np.sqrt(2 / 72)) < 0.01
    assert abs(float(weights["fc/kernel"].std()) - np.sqrt(2 / 1600)) < 0.001
    assert not weights["fc/bias"].any()
    np.testing.assert_allclose(weights["norm/scale"], 1 / np.sqrt(1.001), rtol=1e-6)
    assert "random ones were drawn" in result.findings[0]
    assert "net_weights.h5" in result.findings[0]


def test_a_layers_weights_do_not_depend_on_the_others(tmp_path: Path) -> None:
    whole = dict(load(written(tmp_path, CONV, NORM, FLAT, dense(4))).graph.weights())
    alone = dict(load(written(tmp_path, CONV)).graph.weights())
    np.testing.assert_array_equal(whole["conv/kernel"], alone["conv/kernel"])


def test_formats_are_never_drawn(tmp_path: Path) -> None:
    layer = {"class_name": "QDense", "config": {"name": "q", "units": 2}, "module": "hgq.layers"}
    layer["registered_name"] = "hgq>QDense"
    with pytest.raises(UnsupportedModelError, match="no file of these"):
        load(written(tmp_path, FLAT, layer))
