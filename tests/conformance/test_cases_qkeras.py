# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Other people's Keras and QKeras models: engine == interpreter == QKeras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.readers import load
from quantization.fixed import Quantizer, dequantize
from quantization.recipe import Recipe
from tests.support.qkeras_oracle import agree, real_inputs
from tests.support.random_graphs import Network, random_inputs

ARGUMENTS = {
    "QConv2D": ("filters", "kernel_size", "strides", "padding", "activation"),
    "QDense": ("units", "activation"),
    "QActivation": ("activation",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "Flatten": (),
    "Dropout": ("rate",),
    "Activation": ("activation",),
}
QUANTIZERS = ("kernel_quantizer", "bias_quantizer")


def by_todays_qkeras(architecture: Path, weights: Path) -> Any:
    """A Sequential model of QKeras 0.9, made anew with today's classes. Functional, with each
    layer's tensor as an output, in order."""
    import keras
    import qkeras

    entries = json.loads(architecture.read_text())["config"]["layers"]
    x = inputs = keras.Input(entries[0]["config"]["batch_input_shape"][1:], name="image")
    tensors, layers = {}, []
    for entry in entries[1:]:
        kind, config = entry["class_name"], entry["config"]
        names = ARGUMENTS[kind] + (QUANTIZERS if kind in ("QConv2D", "QDense") else ())
        arguments = {name: _todays(config[name]) for name in names}
        result = getattr(qkeras, kind, None) or getattr(keras.layers, kind)
        layers.append(result(name=config["name"], **arguments))
        x = tensors[config["name"]] = layers[-1](x)
    with h5py.File(weights) as file:
        for layer in layers:
            if layer.weights:
                group = file[layer.name]
                layer.set_weights([group[name][()] for name in group.attrs["weight_names"]])
    return keras.Model(inputs, tensors)


def _todays(value: Any) -> Any:
    """A serialised quantizer as an object; anything else as it is."""
    import qkeras

    if not isinstance(value, dict):
        return value
    return getattr(qkeras, value["class_name"])(**value["config"])


def test_the_qkeras_model_is_what_qkeras_makes_of_it(cases: Path) -> None:
    architecture = cases / "models" / "qkeras_mnist_cnn.json"
    weights = architecture.with_name("qkeras_mnist_cnn_weights.h5")
    loaded = load(architecture)
    recipe = loaded.recipe.updated(Recipe.of({"input_1": Quantizer.parse("ufixed<8,0>")}))
    graph = Graph(loaded.graph.name, loaded.graph.nodes, tuple(loaded.graph.shapes))
    program = lower(graph, recipe, host_functions=False).program
    inputs = {"input_1": np.random.default_rng(5).integers(0, 256, (6, 28, 28, 1))}
    result = results(program, interpret(program, inputs))
    for name, raw in Engine(program, threads=1).run(inputs).items():
        np.testing.assert_array_equal(raw, result[name], err_msg=name)

    theirs = by_todays_qkeras(architecture, weights)(real_inputs(program, inputs)[0])
    compared = 0
    for name, value in theirs.items():
        ours = f"{name}_relu" if f"{name}_relu" in result else name  # a layer with its activation
        if ours in result and ours != "softmax":
            type_ = next(program.type(o.value) for o in program.outputs if o.name == ours)
            np.testing.assert_array_equal(dequantize(result[ours], type_), np.asarray(value), ours)
            compared += 1
    assert compared == 8
    assert len(np.unique(result["q_dense"])) > 20  # the images are noise, yet they do differ


def test_the_qkeras_model_written_by_us_agrees_too(cases: Path) -> None:
    loaded = load(cases / "models" / "qkeras_mnist_cnn.json")
    recipe = loaded.recipe.updated(Recipe.of({"input_1": Quantizer.parse("ufixed<8,0>")}))
    network = Network(loaded.graph, recipe)
    tally = agree(loaded.graph, recipe, random_inputs(network, 6, 4))
    assert tally.exact == tally.tensors - 1  # all but the softmax


FLOAT_MODELS = ["KERAS_3layer.json", "KERAS_3layer_batch_norm.json", "KERAS_conv1d_small.json"]


@pytest.mark.parametrize("name", FLOAT_MODELS)
def test_float_models_agree_once_quantized(cases: Path, name: str) -> None:
    graph = load(cases / "models" / name).graph
    rng = np.random.default_rng(7)
    data = {node.name: rng.normal(0, 1, (32, *node.shape)) for node in graph.inputs}
    chosen = quantize(graph, data, PtqSettings(8))
    network = Network(chosen.graph, chosen.recipe)
    tally = agree(chosen.graph, chosen.recipe, random_inputs(network, 8, 8))
    assert tally.exact >= tally.tensors - 1
