# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""No variable in a file is left out in silence, and no integer is taken for a weight."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgeinfer.base.errors import ModelError, UnsupportedModelError
from edgeinfer.readers import load
from tests.support.small_models import classifier


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_what_keras_quantized_itself_is_refused_by_name(tmp_path: Path, mode: str) -> None:
    keras = pytest.importorskip("keras")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(8, name="middle")(inputs))
    model.quantize(mode)
    path = tmp_path / "m.keras"
    model.save(path)
    with pytest.raises(UnsupportedModelError, match=f"middle .* Keras quantized it .{mode}"):
        load(path)


def changed(path: Path, name: str, values: np.ndarray) -> Path:
    """The file with one more variable, or another one, in its first layer with weights."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    weights = path.with_suffix(".weights.h5")
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        groups: list[h5py.Group] = []
        file.visititems(lambda at, item: groups.append(item) if at.endswith("vars") else None)
        group = next(group for group in groups if len(group))
        if name in group:
            del group[name]
        group[name] = values
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in (members | {"model.weights.h5": weights.read_bytes()}).items():
            archive.writestr(each, content)
    return path


def test_a_variable_that_no_parameter_takes_is_refused(tmp_path: Path) -> None:
    path = changed(classifier(tmp_path), "2", np.full(3, 0.5, np.float32))
    with pytest.raises(UnsupportedModelError, match=r"variables that are not known: .*vars/2"):
        load(path)


def test_integers_are_no_weights(tmp_path: Path) -> None:
    path = classifier(tmp_path)
    shape = next(iter(load(path).graph.weights()))[1].shape
    with pytest.raises(ModelError, match=r"stored as int8, not as floats"):
        load(changed(path, "0", np.ones(shape, np.int8)))


def test_what_keras_2_lists_and_no_parameter_takes_is_refused(tmp_path: Path) -> None:
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 2]}}
    dense = {"class_name": "Dense", "config": {"name": "fc", "units": 1}}
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": [first, dense]}}
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        group = file.create_group("model_weights/fc")
        file["model_weights"].attrs["layer_names"] = [b"fc"]
        names = ["fc/kernel:0", "fc/bias:0", "fc/gain:0"]
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, shape in zip(names, [(2, 1), (1,), (1,)], strict=True):
            group[name] = np.ones(shape, np.float32)
    with pytest.raises(UnsupportedModelError, match="not known: fc/gain:0"):
        load(path)
