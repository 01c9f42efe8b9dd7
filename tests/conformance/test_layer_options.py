# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers and options as other people's tests have them, of Keras 2, Keras 3 and PyTorch: read as
their makers compute them, and lowered to a Program that engine and interpreter run alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.explain import explain
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import load
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.run.defaults import add_formats
from edgeinfer.run.lower import lower_with
from quantization.recipe import Recipe
from tests.support import onnx_models as m
from tests.support.layer_options import KERAS, TORCH
from tests.support.sampling import sample_cases

SAMPLES, BITS = 12, 12
EXPORTERS = {"older": False, "newer": True}
VERSIONS = {"keras": "net.keras", "tf_keras": "net.h5"}
CASES = [(library, name) for name in KERAS for library in VERSIONS]
EXPORTS = [(exporter, name) for name in TORCH for exporter in EXPORTERS]


def assert_runs(loaded: LoadedModel, inputs: dict[str, Any]) -> None:
    """Formats, a Program that they explain, and equal integers."""
    samples = Samples(inputs, "drawn by a test")
    lowered = lower_with(
        add_formats(loaded, PtqSettings(BITS, refine=False), samples), Recipe(), None
    )
    assert explain(lowered, loaded.graph, samples).findings == ()
    raw = raw_inputs(lowered.program, lowered.recipe, samples)
    found = Engine(lowered.program, threads=1).run(raw)
    for name, expected in results(lowered.program, interpret(lowered.program, raw)).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def saved(library: str, case: Any, folder: Path) -> tuple[Path, Any]:
    """A file of one case, and its model."""
    keras = pytest.importorskip(library)
    shape, make = case
    keras.utils.set_random_seed(3)
    x = keras.Input(shape, name="x")
    model = keras.Model(x, make(keras.layers)(x))
    path = folder / VERSIONS[library]
    model.save(path)
    return path, model


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("library", "name"), sample_cases(CASES, 25))
def test_layers_of_keras(library: str, name: str, tmp_path: Path) -> None:
    path, model = saved(library, KERAS[name], tmp_path)
    x = np.random.default_rng(5).normal(size=(SAMPLES, *KERAS[name][0])).astype(np.float32)
    expected = model.predict(x, verbose=0)
    loaded = load(path)
    found = FloatEngine(loaded.graph, threads=1).run({"x": x})
    listed = expected if isinstance(expected, list) else [expected]
    for output, values in zip(loaded.graph.outputs, listed, strict=True):
        np.testing.assert_allclose(found[output], values, rtol=1e-3, atol=1e-4, err_msg=output)
    assert_runs(loaded, {"x": x})


@pytest.mark.parametrize(("exporter", "name"), sample_cases(EXPORTS, 12))
def test_modules_of_pytorch(exporter: str, name: str, tmp_path: Path) -> None:
    path = m.saved(TORCH[name](EXPORTERS[exporter]), tmp_path)
    loaded = load(path)
    shape = m.shape_of_input(path)
    x = np.random.default_rng(6).normal(size=(SAMPLES, *shape)).astype(np.float32)
    (expected,) = m.runtime(path, {"x": x})
    (result,) = m.computed(loaded, {"x": x}, [expected.shape])
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)
    last = m.changed_sides(loaded, "input", "x")
    assert_runs(loaded, {"x": np.moveaxis(x, 1, -1) if last else x})


def test_all_of_a_long_list_is_read() -> None:
    """What is tried here is what other tools have tests for; none of it is refused."""
    assert len(CASES) + len(EXPORTS) >= 120
