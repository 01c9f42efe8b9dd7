# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From the file to the integer Program: the same numbers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.readers.onnx.reader import read
from quantization.fixed import dequantize, quantize
from tests.support import float_graph
from tests.support import onnx_models as m
from tests.unit.readers.onnx.test_qdq import static_cnn
from tests.unit.readers.onnx.test_quantized import brevitas_cnn

MADE: dict[str, Callable[[np.random.Generator], ModelProto]] = {
    "brevitas": brevitas_cnn,
    "qdq": lambda rng: static_cnn(rng, per_channel=False),
    "qdq by channel": lambda rng: static_cnn(rng, per_channel=True),
}


def bit_identical(loaded: LoadedModel, samples: int) -> None:
    """The Program's outputs are those of the Graph under the recipe, computed in float64."""
    lowered = lower(loaded.graph, loaded.recipe, host_functions=False)
    program = lowered.program
    rng = np.random.default_rng(3)
    feeds, raw = {}, {}
    for entry in loaded.graph.inputs:
        quantizer = lowered.recipe.activation(entry.name)
        assert quantizer is not None
        raw[entry.name] = quantize(rng.uniform(-1, 1, (samples, *entry.shape)), quantizer)
        feeds[entry.name] = dequantize(raw[entry.name], quantizer.type)
    expected = float_graph.evaluate(loaded.graph, feeds, lowered.recipe)
    result = results(program, interpret(program, raw))
    types = {op.name: op.type for op in program.ops}
    for output in program.outputs:
        values = dequantize(result[output.name], types[output.value])
        np.testing.assert_array_equal(values, expected[output.name])


@pytest.mark.parametrize("name", MADE)
def test_exported_networks(name: str, tmp_path: Path) -> None:
    bit_identical(read(m.saved(MADE[name](np.random.default_rng(1)), tmp_path)), 4)


@pytest.mark.parametrize("name", ["TFC_1W2A.onnx", "unsw_nb15-mlp-w2a2.onnx"])
def test_other_peoples_networks(cases: Path, name: str) -> None:
    bit_identical(read(cases / "models" / name), 20)
