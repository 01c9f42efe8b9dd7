# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The error function from Keras and ONNX to every way in which a Program runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from scipy.special import erf

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.targets.edgetpu.int8.convert import convert_graph
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support import onnx_models as m

X = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 12)


def keras_graph(folder: Path) -> Graph:
    import keras

    x = keras.Input((12,), name="x")
    keras.Model(x, keras.ops.erf(x)).save(folder / "erf.keras")
    return load(folder / "erf.keras").graph


def onnx_graph(folder: Path, opset: int = 13) -> Graph:
    nodes = [helper.make_node("Erf", ["x"], ["y"])]
    return load(m.saved(m.model(nodes, {"x": ("n", 12)}, ["y"], opset=opset), folder)).graph


@pytest.mark.parametrize("make", [keras_graph, onnx_graph, lambda path: onnx_graph(path, 9)])
def test_it_is_read_as_it_is_defined(make, tmp_path: Path) -> None:
    graph = make(tmp_path)
    found = FloatEngine(graph).run({"x": X})
    np.testing.assert_allclose(found[graph.outputs[0]], erf(X.astype(np.float64)), atol=1e-6)


def program_of(folder: Path) -> Program:
    formats = {"x": Quantizer.parse("fixed<6,3>"), "y": Quantizer.parse("fixed<8,2>")}
    return lower(onnx_graph(folder), Recipe.of(formats)).program


@pytest.mark.parametrize(
    ("target", "settings"), [(RtlTarget(), RtlSettings()), (HlsTarget(), HlsSettings())]
)
def test_every_stage_yields_the_same_integers(target, settings, tmp_path: Path) -> None:
    program = program_of(tmp_path)
    x = {"x": np.arange(-32, 28).reshape(5, 12)}
    expected = results(program, interpret(program, x))["y"]
    assert np.abs(expected - 64 * erf(x["x"] / 8)).max() <= 0.5
    np.testing.assert_array_equal(Engine(program).run(x)["y"], expected)
    target.emit(program, settings).write(tmp_path / "project")
    result = target.simulate(program, tmp_path / "project", x, settings)
    np.testing.assert_array_equal(result["y"], expected)
    assert {metric.name for metric in target.estimate(program, settings)} >= {"lut", "ff"}


def test_the_edge_tpu_refuses_it_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="no erf"):
        convert_graph(onnx_graph(tmp_path), {"x": X.astype(np.float64)})
