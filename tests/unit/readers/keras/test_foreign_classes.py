# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A class of somebody's own is not read as the class of Keras or QKeras whose name it bears."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeinfer.base.errors import ModelError, UnsupportedModelError
from edgeinfer.readers import load

KERNEL, BIAS = np.full((5, 3), 0.5), np.full(3, 0.25)


def written(folder: Path, last: dict[str, Any], model: dict[str, Any] | None = None) -> Path:
    """A model of one layer behind its input."""
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 5]}}
    last = {"config": {"name": "fc", "units": 3}, "name": "fc", **last}
    whole = {"class_name": "Sequential", **(model or {})}
    whole["config"] = {"name": "s", "layers": [first, last]}
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "fc"
        group["0"], group["1"] = KERNEL, BIAS
    path = folder / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(whole))
        archive.writestr("model.weights.h5", content.getvalue())
    return path


DENSE = {"class_name": "Dense"}
OTHERS = [
    ({**DENSE, "module": None, "registered_name": "mine>Dense"}, "mine>Dense"),
    ({**DENSE, "module": None, "registered_name": "Dense"}, "unregistered>Dense"),
    ({**DENSE, "module": "my_layers.dense", "registered_name": "Dense"}, "my_layers>Dense"),
    ({"class_name": "Custom>Dense"}, "Custom>Dense"),
    (
        {"class_name": "QGRU", "module": "hgq.layers", "registered_name": "hgq>QGRU"},
        "HGQ2's QGRU",
    ),
]


@pytest.mark.parametrize(("entry", "name"), OTHERS, ids=[name for _, name in OTHERS])
def test_a_layer_of_a_class_of_ones_own_is_refused_by_name(
    tmp_path: Path, entry: dict[str, Any], name: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=name):
        load(written(tmp_path, entry))


@pytest.mark.parametrize(
    "entry",
    [
        DENSE,
        {**DENSE, "module": "keras.layers", "registered_name": None},
        {**DENSE, "module": "keras.src.layers.core.dense", "registered_name": "Dense"},
    ],
)
def test_keras_own_classes_are_read_however_they_are_written(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    assert load(written(tmp_path, entry)).graph.parameters == KERNEL.size + BIAS.size


def test_a_model_of_a_class_of_ones_own_is_refused(tmp_path: Path) -> None:
    own = {"module": None, "registered_name": "mine>Sequential"}
    with pytest.raises(ModelError, match="mine>Sequential"):
        load(written(tmp_path, DENSE, own))


@pytest.mark.parametrize(
    "activation",
    [
        "mine>relu",
        {"module": "builtins", "class_name": "function", "config": "mine>relu"},
        {"module": None, "class_name": "ReLU", "registered_name": "mine>ReLU", "config": {}},
        {"class_name": "mine>quantized_bits", "config": {"bits": 4}},
    ],
)
def test_a_function_of_ones_own_is_refused_by_name(tmp_path: Path, activation: Any) -> None:
    entry = {"class_name": "Activation", "config": {"name": "fc", "activation": activation}}
    with pytest.raises(UnsupportedModelError, match="mine>"):
        load(written(tmp_path, entry))


def test_a_quantizer_of_ones_own_is_refused_by_name(tmp_path: Path) -> None:
    quantizer = {"class_name": "quantized_bits", "registered_name": "mine>quantized_bits"}
    config = {"name": "fc", "units": 3, "kernel_quantizer": {**quantizer, "config": {"bits": 4}}}
    with pytest.raises(UnsupportedModelError, match="mine>quantized_bits"):
        load(written(tmp_path, {"class_name": "QDense", "config": config}))
