# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Axes the other way round, as Keras and ONNX write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load

X = np.arange(24, dtype=np.float32).reshape(2, 4, 3) / 8


def keras_file(folder: Path, axis: Any) -> Path:
    import keras

    x = keras.Input((4, 3), name="x")
    keras.Model(x, keras.ops.flip(x, axis=axis)).save(folder / "flip.keras")
    return folder / "flip.keras"


def onnx_file(folder: Path, steps: tuple[int, ...]) -> Path:
    axes = tuple(range(1, 1 + len(steps)))
    bounds = {
        "starts": (-1,) * len(steps),
        "ends": (-99,) * len(steps),
        "axes": axes,
        "steps": steps,
    }
    held = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in bounds.items()]
    ports = [helper.make_tensor_value_info(n, 1, ["batch", 4, 3]) for n in ("x", "y")]
    node = helper.make_node("Slice", ["x", *bounds], ["y"])
    model = helper.make_model(helper.make_graph([node], "flip", ports[:1], ports[1:], held))
    onnx.save(model, folder / "flip.onnx")
    return folder / "flip.onnx"


@pytest.mark.parametrize("axis", [1, -1, [1, 2]])
def test_keras_flips(axis: Any, tmp_path: Path) -> None:
    assert_flipped(keras_file(tmp_path, axis), np.flip(X, axis))


@pytest.mark.parametrize("steps", [(-1,), (-1, -1)])
def test_onnx_slices_backwards(steps: tuple[int, ...], tmp_path: Path) -> None:
    assert_flipped(onnx_file(tmp_path, steps), np.flip(X, tuple(range(1, 1 + len(steps)))))


def assert_flipped(path: Path, expected: np.ndarray) -> None:
    loaded = load(path)
    (name,) = loaded.graph.outputs
    results = FloatEngine(loaded.graph).run({"x": X}, (name,))[name]
    np.testing.assert_array_equal(results, expected)
    program = lower(loaded.graph, complete_recipe(loaded.graph, loaded.recipe).recipe).program
    raw = np.ldexp(X, program.inputs[0].type.frac).astype(np.int64)
    (output,) = program.outputs
    integers = Engine(program).run({"x": raw})[output.name]
    np.testing.assert_array_equal(np.ldexp(integers, -program.type(output.value).frac), expected)


def test_a_flip_of_the_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeInferError, match="turns the batch round"):
        load(keras_file(tmp_path, 0))


def test_steps_of_two_backwards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeInferError, match="step of -2"):
        load(onnx_file(tmp_path, (-2,)))
