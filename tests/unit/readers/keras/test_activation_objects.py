# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Activations given as layers: `Dense(3, activation=LeakyReLU(0.1))`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.graph.nodes import Function
from edgeinfer.readers import load
from tests.support.keras_models import compare, model_of

keras = pytest.importorskip("keras")
OBJECTS: dict[str, Callable[[Any], Any]] = {
    "LeakyReLU": lambda L: L.LeakyReLU(0.1),
    "ReLU": lambda L: L.ReLU(),
    "ReLU of 3": lambda L: L.ReLU(max_value=0.4),
    "ReLU with slope": lambda L: L.ReLU(negative_slope=0.2, max_value=1.0),
    "ELU": lambda L: L.ELU(0.6),
    "Softmax": lambda L: L.Softmax(),
    "Activation": lambda L: L.Activation("tanh"),
    "Activation of ReLU": lambda L: L.Activation(L.ReLU(max_value=6.0)),
}


@pytest.mark.parametrize("version", ["keras", "tf_keras"])
@pytest.mark.parametrize("kind", OBJECTS)
def test_a_layer_as_activation(kind: str, version: str, tmp_path: Path) -> None:
    library = pytest.importorskip(version)
    make = OBJECTS[kind]
    for layer in (
        library.layers.Dense(3, activation=make(library.layers)),
        library.layers.Conv1D(3, 2, activation=make(library.layers)),
        library.layers.Activation(make(library.layers)),
    ):
        compare(model_of(library, (5, 4), layer), tmp_path / "m.keras")


def test_functions_of_relu_with_arguments(tmp_path: Path) -> None:
    def make(x: Any) -> Any:
        relu = keras.activations.relu
        return relu(x, max_value=0.6) + relu(x, negative_slope=0.1) - relu(x)

    compare(model_of(keras, (5, 4), make), tmp_path / "m.keras")


def test_the_function_bears_its_name(tmp_path: Path) -> None:
    layer = keras.layers.Dense(3, activation=keras.layers.LeakyReLU(0.1), name="fc")
    graph = compare(model_of(keras, (4,), layer), tmp_path / "m.keras").graph
    (name,) = graph.outputs
    assert name == "fc_leaky_relu"
    assert graph.node(name).function is Function.LEAKY_RELU


def test_an_object_with_weights_is_refused(tmp_path: Path) -> None:
    layer = keras.layers.Dense(3, activation=keras.layers.PReLU())
    model_of(keras, (4,), layer).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match="PReLU"):
        load(tmp_path / "m.keras")
