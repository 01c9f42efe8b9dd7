# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Models of Keras 2 or Keras 3 with random weights, saved, read and compared with Keras itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import LoadedModel, load
from edgeinfer.run.defaults import add_formats
from edgeinfer.run.lower import lower_with
from quantization.recipe import Recipe
from tests.support.float_graph import outputs

TOLERANCE = 2e-5


def shake(model: Any, seed: int = 0) -> Any:
    """The model with random weights, variances positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.name or variable.dtype not in ("float32", np.float32):
            continue
        values = rng.normal(0, 0.4, variable.shape)
        variable.assign(values**2 + 0.3 if "variance" in variable.name else values)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # it computes with copies of its statistics
            layer.finalize_state()
    return model


def compare(model: Any, path: Path) -> LoadedModel:
    """Save and read a model; all outputs are those of Keras on random inputs."""
    model.save(path)
    rng = np.random.default_rng(1)
    xs = [rng.normal(0, 1, (4, *x.shape[1:])).astype(np.float32) for x in model.inputs]
    truth = model(xs if len(xs) > 1 else xs[0], training=False)
    truth = list(truth.values()) if isinstance(truth, dict) else truth
    truth = truth if isinstance(truth, (list, tuple)) else [truth]
    loaded = load(path)
    result = outputs(loaded.graph, [x.astype(np.float64) for x in xs])
    assert len(result) == len(truth)
    for ours, theirs in zip(result, truth, strict=True):
        expected = np.asarray(theirs)
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=TOLERANCE)
    return loaded


def model_of(keras: Any, shape: tuple[int, ...], make: Callable[[Any], Any]) -> Any:
    """The model that does one thing with one input, with random weights."""
    x = keras.layers.Input(shape, name="x")
    return shake(keras.Model(x, make(x)))


def compare_integers(loaded: LoadedModel) -> None:
    """Quantize and lower a model; its engine gives the interpreter's integers."""
    rng = np.random.default_rng(2)
    inputs = {node.name: rng.normal(size=(8, *node.shape)) for node in loaded.graph.inputs}
    samples = Samples(inputs, "drawn by a test")
    lowered = lower_with(add_formats(loaded, PtqSettings(8), samples), Recipe(), None)
    raw = raw_inputs(lowered.program, lowered.recipe, samples)
    found = Engine(lowered.program, threads=1).run(raw)
    for name, values in results(lowered.program, interpret(lowered.program, raw)).items():
        np.testing.assert_array_equal(found[name], values)
