# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Masks into recurrent layers: a masked step keeps the states and yields what came before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import load
from edgeinfer.run.defaults import add_formats
from edgeinfer.run.lower import lower_with
from quantization.recipe import Recipe
from tests.support.float_graph import outputs
from tests.support.keras_models import TOLERANCE, model_of, shake
from tests.support.sampling import sample_cases

keras = pytest.importorskip("keras")
SERIES = (6, 3)


def padded(seed: int = 0) -> NDArray[np.float32]:
    """Sequences in which steps are zero: at the front, at the end, all of them, or any."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (8, *SERIES)).astype(np.float32)
    x[rng.random((8, SERIES[0])) < 0.3] = 0
    x[0, :2], x[1, -2:], x[2] = 0, 0, 0
    return x


def compare_padded(model: Any, path: Path) -> None:
    """The float network is Keras's on padded sequences, and the engine the interpreter's."""
    model.save(path)
    x = padded()
    truth = model(x, training=False)
    truth = truth if isinstance(truth, (list, tuple)) else [truth]
    loaded = load(path)
    for ours, theirs in zip(outputs(loaded.graph, [x.astype(np.float64)]), truth, strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), atol=TOLERANCE, rtol=TOLERANCE)
    samples = Samples({loaded.graph.inputs[0].name: x.astype(np.float64)}, "drawn by a test")
    lowered = lower_with(add_formats(loaded, PtqSettings(8), samples), Recipe(), None)
    raw = raw_inputs(lowered.program, lowered.recipe, samples)
    found = Engine(lowered.program, threads=1).run(raw)
    for name, values in results(lowered.program, interpret(lowered.program, raw)).items():
        np.testing.assert_array_equal(found[name], values)


def with_a_state(L: Any, x: Any) -> Any:
    """Keras leaves the mask out where a layer gets a state."""
    state = L.Dense(3)(L.Flatten()(x))
    return L.GRU(3, return_sequences=True)(L.Masking()(x), initial_state=state)


def with_a_state_and_a_mask(L: Any, x: Any) -> Any:
    """What is yielded before the first step that counts is zero, and not the state."""
    mask = keras.ops.any(keras.ops.not_equal(x, 0.0), axis=-1)
    state = L.Dense(3)(L.Flatten()(x))
    return L.GRU(3, return_sequences=True, return_state=True)(x, initial_state=state, mask=mask)


MODELS: dict[str, Callable[[Any, Any], Any]] = {
    "sequence": lambda L, x: L.LSTM(3, return_sequences=True)(L.Masking()(x)),
    "both ways": lambda L, x: L.Bidirectional(L.LSTM(2, return_sequences=True))(L.Masking()(x)),
    "last": lambda L, x: L.GRU(3)(L.Masking()(x)),
    "backwards": lambda L, x: L.SimpleRNN(3, go_backwards=True)(L.Masking()(x)),
    "behind others": lambda L, x: L.GRU(2)(
        L.LSTM(3, return_sequences=True)(L.Dense(4)(L.Masking()(x)))
    ),
    "states": lambda L, x: L.LSTM(3, return_state=True)(L.Masking()(x)),
    "cells": lambda L, x: L.RNN([L.LSTMCell(2), L.GRUCell(3)], return_sequences=True)(
        L.Masking()(x)
    ),
    "beside a layer without": lambda L, x: [L.GRU(2)(L.Masking()(x)), L.GRU(2)(x)],
    "with a state": with_a_state,
    "with a state and a mask": with_a_state_and_a_mask,
}


@pytest.mark.parametrize("name", sample_cases(list(MODELS), 9))
def test_masks_are_those_of_keras(name: str, tmp_path: Path) -> None:
    make = MODELS[name]
    model = model_of(keras, SERIES, lambda x: make(keras.layers, x))
    compare_padded(model, tmp_path / "m.keras")


@pytest.mark.slow
def test_a_mask_of_a_sequential_model(tmp_path: Path) -> None:
    L = keras.layers
    layers = [L.Input(SERIES), L.Masking(), L.Dropout(0.2), L.LSTM(3, return_sequences=True)]
    compare_padded(shake(keras.Sequential([*layers, L.GRU(2)])), tmp_path / "m.keras")


@pytest.mark.slow
def test_masks_of_keras_2(tmp_path: Path) -> None:
    L = pytest.importorskip("tf_keras").layers
    import tf_keras

    both = L.Bidirectional(L.LSTM(3, return_sequences=True))
    layers = [L.Input(SERIES), L.Masking(), L.Dense(4), both, L.GRU(2)]
    compare_padded(shake(tf_keras.Sequential(layers)), tmp_path / "m.h5")
    x = L.Input(SERIES)
    unknown = L.GRU(2)(L.Conv1D(3, 2)(L.Masking()(x)))
    tf_keras.Model(x, unknown).save(tmp_path / "n.h5")
    with pytest.raises(UnsupportedModelError, match="not known whether it passes masks on"):
        load(tmp_path / "n.h5")


def test_any_of_numbers_is_refused(tmp_path: Path) -> None:
    x = keras.layers.Input(SERIES, name="x")
    y = keras.ops.cast(keras.ops.any(x, axis=-1), "float32")
    keras.Model(x, y).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match="compare them first"):
        load(tmp_path / "m.keras")


@pytest.mark.slow
def test_indices_have_a_mask(tmp_path: Path) -> None:
    L = keras.layers
    x = L.Input((6,), name="x")
    model = shake(keras.Model(x, L.LSTM(3)(L.Embedding(5, 4, mask_zero=True)(x))))
    model.save(tmp_path / "m.keras")
    inputs = np.array([[1, 2, 3, 0, 0, 0], [0, 1, 0, 2, 0, 4]])
    (result,) = outputs(load(tmp_path / "m.keras").graph, [inputs.astype(np.float64)])
    np.testing.assert_allclose(result, np.asarray(model(inputs)), atol=TOLERANCE, rtol=TOLERANCE)


def test_integers_of_a_masked_step_are_those_before_it(tmp_path: Path) -> None:
    L = keras.layers
    model = model_of(keras, SERIES, lambda x: L.LSTM(3, return_sequences=True)(L.Masking()(x)))
    model.save(tmp_path / "m.keras")
    samples = Samples({"x": padded().astype(np.float64)}, "drawn by a test")
    loaded = add_formats(load(tmp_path / "m.keras"), PtqSettings(8), samples)
    program = lower_with(loaded, Recipe(), None).program
    raw = raw_inputs(program, loaded.recipe, samples)
    (result,) = results(program, interpret(program, raw)).values()
    masked = (raw["x"] == 0).all(axis=-1)
    before = np.concatenate([np.zeros_like(result[:, :1]), result[:, :-1]], axis=1)
    assert masked.any() and np.array_equal(result[masked], before[masked])
    assert (result[~masked] != before[~masked]).any(axis=-1).mean() > 0.9
