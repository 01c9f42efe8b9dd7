# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Entries of an axis by their indices, from Keras and ONNX to every way in which a Program runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.graph.moves import GatherNode
from edgeinfer.ir import ops
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support import onnx_models as m

X = np.arange(24, dtype=np.float32).reshape(2, 4, 3) / 8
CASES: list[tuple[Any, int]] = [
    ([2, 0, 0, 3, -1], 1),
    ([2, 0], -1),
    ([[2, 0], [1, 1]], 1),
    ([[[0], [2]]], 2),
    (2, 1),
    ([1, 2], 2),
]


def keras_file(folder: Path, indices: Any, axis: int | None) -> Path:
    import keras

    x = keras.Input((4, 3), name="x")
    keras.Model(x, keras.ops.take(x, indices, axis=axis)).save(folder / "take.keras")
    return folder / "take.keras"


def onnx_file(folder: Path, indices: Any, axis: int) -> Path:
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"], axis=axis)]
    weights = {"i": np.asarray(indices, np.int64)}
    return m.saved(m.model(nodes, {"x": ("n", 4, 3)}, ["y"], weights), folder)


@pytest.mark.parametrize("write", [keras_file, onnx_file])
@pytest.mark.parametrize(("indices", "axis"), CASES, ids=str)
def test_it_is_read_as_it_is_defined(write: Any, indices: Any, axis: int, tmp_path: Path) -> None:
    graph = load(write(tmp_path, indices, axis)).graph
    found = FloatEngine(graph).run({"x": X})[graph.outputs[0]]
    np.testing.assert_array_equal(found, np.take(X, np.asarray(indices), axis))


def test_an_array_of_indices_is_read_from_keras(tmp_path: Path) -> None:
    graph = load(keras_file(tmp_path, np.array([1, 1, 3]), 1)).graph
    found = FloatEngine(graph).run({"x": X})[graph.outputs[0]]
    np.testing.assert_array_equal(found, X[:, [1, 1, 3]])


@pytest.mark.parametrize("axis", [0, None])
def test_taking_from_the_batch_is_refused(axis: int | None, tmp_path: Path) -> None:
    with pytest.raises(EdgeInferError, match="batch"):
        load(keras_file(tmp_path, [0], axis))


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_that_is_none_is_refused(index: int, tmp_path: Path) -> None:
    with pytest.raises(EdgeInferError, match="indices"):
        load(onnx_file(tmp_path, [0, index], 2))


@pytest.mark.parametrize(
    ("target", "settings", "indices"),
    [
        (RtlTarget(), RtlSettings(unroll="never"), [2, 0, 0, 3, 1]),
        (RtlTarget(), RtlSettings(unroll="full"), [2, 0, 0, 3, 1]),
        (HlsTarget(), HlsSettings(), [3, 1]),
    ],
)
def test_every_stage_yields_the_same_integers(
    target: Any, settings: Any, indices: list[int], tmp_path: Path
) -> None:
    loaded = load(onnx_file(tmp_path, indices, 1))
    assert isinstance(loaded.graph.nodes[1], GatherNode)
    program = lower(loaded.graph, Recipe.of({"x": Quantizer.parse("fixed<6,3>")})).program
    assert isinstance(program.ops[1], ops.Gather)
    x = {"x": np.random.default_rng(1).integers(-32, 32, (5, 4, 3))}
    expected = results(program, interpret(program, x))["y"]
    np.testing.assert_array_equal(expected, x["x"][:, indices])
    np.testing.assert_array_equal(Engine(program).run(x)["y"], expected)
    target.emit(program, settings).write(tmp_path / "project")
    result = target.simulate(program, tmp_path / "project", x, settings)
    np.testing.assert_array_equal(result["y"], expected)
    assert {metric.name for metric in target.estimate(program, settings)} >= {"lut", "ff"}
    (offence,) = EdgeTpuTarget().check(program, EdgeTpuSettings())
    assert "no int8 operator" in offence.reason
