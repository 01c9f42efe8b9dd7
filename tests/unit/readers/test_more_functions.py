# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions and products that Keras and ONNX have: tangents, logarithms, norms over windows, sums
along named axes; and norms that no number could pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.support import float_graph
from tests.support import onnx_models as m

RNG = np.random.default_rng(5)
IMAGE, SERIES = ("n", 3, 6, 5), ("n", 4, 3)
WEIGHTS = {"w": RNG.normal(size=(3, 2, 5)).astype(np.float32)}


def pooled(kind: str, **options: Any) -> Any:
    return m.node(kind, ["x"], ["y"], **options)


ONNX: dict[str, tuple[list[Any], tuple[Any, ...]]] = {
    "Tan": ([m.node("Tan", ["x"], ["y"])], SERIES),
    "Hardmax": ([m.node("Hardmax", ["x"], ["y"], axis=-1)], SERIES),
    "LpPool of 1": ([pooled("LpPool", kernel_shape=[2, 3], p=1, pads=[1, 0, 1, 0])], IMAGE),
    "LpPool of 2": ([pooled("LpPool", kernel_shape=[2, 2], strides=[2, 2])], IMAGE),
    "LpPool of 3": ([pooled("LpPool", kernel_shape=[3, 2], p=3)], IMAGE),
    "GlobalLpPool": ([pooled("GlobalLpPool", p=2)], IMAGE),
    "Einsum of matrices": (
        [m.node("Einsum", ["x", "x"], ["y"], equation="bij,bkj->bki")],
        SERIES,
    ),
    "Einsum with dots": ([m.node("Einsum", ["x", "x"], ["y"], equation="...ij,...kj")], SERIES),
    "Einsum of each element": (
        [m.node("Einsum", ["x", "x"], ["y"], equation="bij,bij->bij")],
        SERIES,
    ),
    "Einsum with lone axes": (
        [m.node("Einsum", ["x", "x"], ["y"], equation="bij,bkl->bk")],
        SERIES,
    ),
    "Einsum with a constant": (
        [m.node("Einsum", ["x", "w"], ["y"], equation="bij,jkl->blik")],
        SERIES,
    ),
    "Einsum after a constant": (
        [m.node("Einsum", ["w", "x"], ["y"], equation="jkl,bij->bik")],
        SERIES,
    ),
}


@pytest.mark.parametrize("name", ONNX)
def test_onnx_has_them(name: str, tmp_path: Path) -> None:
    nodes, shape = ONNX[name]
    path = m.saved(m.model(nodes, {"x": shape}, ["y"], WEIGHTS, opset=18), tmp_path)
    x = RNG.uniform(-1, 1, (3, *shape[1:])).astype(np.float32)
    (expected,) = m.runtime(path, {"x": x})
    loaded = load(path)
    (result,) = m.computed(loaded, {"x": x}, [expected.shape])
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "said"),
    [
        ("bij,cij->bc", "along the batch"),
        ("bii,bij->bj", "does not name each axis"),
        ("bij,bkj", "along the batch"),
    ],
)
def test_other_equations_are_refused(equation: str, said: str, tmp_path: Path) -> None:
    nodes = [m.node("Einsum", ["x", "x"], ["y"], equation=equation)]
    path = m.saved(m.model(nodes, {"x": ("n", 3, 3)}, ["y"], opset=18), tmp_path)
    with pytest.raises(UnsupportedModelError, match=said):
        load(path)


def _op(name: str, *arguments: Any) -> Callable[[Any], Any]:
    import keras

    return lambda x: getattr(keras.ops, name)(x, *arguments)


def _einsum(text: str) -> Callable[[Any], Any]:
    import keras

    return lambda x: keras.ops.einsum(text, x, x + 1.0)


KERAS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    **{name: lambda name=name: _op(name) for name in ("tan", "log1p", "expm1", "log2", "log10")},
    "exp2": lambda: _op("exp2"),
    "einsum of matrices": lambda: _einsum("bij,bkj->bik"),
    "einsum that transposes": lambda: _einsum("bij,bik->bkj"),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras_has_them(name: str, tmp_path: Path) -> None:
    import keras

    x = keras.Input((4, 3), name="x")
    model = keras.Model(x, KERAS[name]()(x))
    model.save(tmp_path / "net.keras")
    values = RNG.uniform(0.1, 1.0, (5, 4, 3))
    (result,) = float_graph.outputs(load(tmp_path / "net.keras").graph, [values])
    np.testing.assert_allclose(result, model.predict(values, verbose=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["BatchNormalization", "LayerNormalization", "RMSNormalization"])
def test_negative_epsilons_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    import keras

    x = keras.Input((4, 3), name="x")
    keras.Model(x, getattr(keras.layers, kind)(epsilon=-1e-3)(x)).save(tmp_path / "net.keras")
    with pytest.raises(UnsupportedModelError, match=r"epsilon is -0\.001"):
        load(tmp_path / "net.keras")
    weights = {name: np.ones(3, np.float32) for name in "sbmv"}
    inputs = ["x", "s", *(["b", "m", "v"] if kind == "BatchNormalization" else [])]
    if kind != "BatchNormalization":
        weights = {"s": weights["s"]}
    nodes = [m.node(kind, inputs, ["y"], epsilon=-1e-3)]
    shape = ("n", 3, 2) if kind == "BatchNormalization" else ("n", 4, 3)
    path = m.saved(m.model(nodes, {"x": shape}, ["y"], weights, opset=23), tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"epsilon is -0\.001"):
        load(path)
