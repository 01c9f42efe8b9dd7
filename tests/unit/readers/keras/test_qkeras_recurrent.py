# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""QSimpleRNN, QLSTM, QGRU: the integer engine yields the very numbers of QKeras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from quantization.fixed import dequantize, quantize
from tests.support.keras_models import shake
from tests.support.sampling import sample_cases

keras = pytest.importorskip("keras")
qkeras = pytest.importorskip("qkeras")


def layer(kind: str, **options: Any) -> Any:
    """A layer in which everything has a format."""
    formats: dict[str, Any] = {
        "kernel_quantizer": "quantized_bits(6,1,alpha=1)",
        "recurrent_quantizer": "quantized_bits(5,1,alpha=1)",
        "bias_quantizer": "quantized_bits(7,2,alpha=1)",
        "state_quantizer": "quantized_bits(8,1,alpha=1)",
        "activation": "quantized_tanh(8)",
    }
    if kind != "QSimpleRNN":
        formats["recurrent_activation"] = "quantized_sigmoid(8)"
    return getattr(qkeras, kind)(4, **{**formats, **options})


CASES: list[Callable[[], Any]] = [
    lambda: layer("QLSTM", return_sequences=True),
    lambda: layer("QSimpleRNN"),
    lambda: layer("QSimpleRNN", go_backwards=True, activation="quantized_relu(6,2)"),
    lambda: layer("QLSTM"),
    lambda: layer("QLSTM", recurrent_activation="hard_sigmoid"),
    lambda: layer("QLSTM", kernel_quantizer="quantized_bits(4,0,alpha='auto_po2')"),
    lambda: layer("QGRU", return_sequences=True),
    lambda: layer("QGRU", reset_after=True),
    lambda: layer("QGRU", use_bias=False, recurrent_quantizer="ternary(alpha=1)"),
    lambda: keras.layers.Bidirectional(layer("QGRU", return_sequences=True)),
]


@pytest.mark.parametrize("number", sample_cases(range(len(CASES)), 10))
def test_integers_are_those_of_qkeras(number: int, tmp_path: Path) -> None:
    x = keras.Input((6, 3))
    rounded = qkeras.QActivation("quantized_bits(8,2,alpha=1)")(x)
    model = shake(keras.Model(x, CASES[number]()(rounded)))
    model.save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras")
    lowered = lower(loaded.graph, loaded.recipe)
    (inputs,), (output,) = lowered.program.inputs, lowered.program.outputs
    samples = np.random.default_rng(1).normal(0, 1, (20, 6, 3))
    raw = quantize(samples, lowered.recipe.activation(inputs.name))
    results = Engine(lowered.program, threads=1).run({inputs.name: raw})[output.name]
    expected = model.predict(dequantize(raw, inputs.type).astype(np.float32), verbose=0)
    np.testing.assert_array_equal(
        dequantize(results, lowered.program.type(output.value)), expected.astype(np.float64)
    )
