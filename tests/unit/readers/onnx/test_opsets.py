# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators whose settings moved or changed between operator sets 11 and 21, in each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

F, I64 = np.float32, np.int64
OPSETS = range(11, 22)
RNG = np.random.default_rng(8)


def make_model(opset: int, *nodes, weights=None, x=("n", 4, 6, 8)) -> ModelProto:
    return m.model(nodes, {"x": x}, ["y"], weights, opset=opset)


def reduced(kind: str, axes: list[int], keepdims: int) -> Callable[[int], ModelProto]:
    """Axes are an attribute; an input from 13 on for sums, from 18 on for the others."""

    def build(opset: int) -> ModelProto:
        if opset >= (13 if kind == "ReduceSum" else 18):
            nodes = [node(kind, ["x", "a"], ["y"], keepdims=keepdims)]
            return make_model(opset, *nodes, weights={"a": I64(axes)})
        return make_model(opset, node(kind, ["x"], ["y"], axes=axes, keepdims=keepdims))

    return build


def split(opset: int) -> ModelProto:
    """Sizes are an attribute, an input from 13 on."""
    join = node("Concat", ["b", "a"], ["y"], axis=1)
    if opset < 13:
        return make_model(opset, node("Split", ["x"], ["a", "b"], axis=1, split=[1, 3]), join)
    parts = node("Split", ["x", "s"], ["a", "b"], axis=1)
    return make_model(opset, parts, join, weights={"s": I64([1, 3])})


def equal_split(opset: int) -> ModelProto:
    """Equal parts are the default; from 18 on their number is said, the last may be smaller."""
    join = node("Concat", ["c", "b", "a"], ["y"], axis=3)
    if opset < 18:
        return make_model(
            opset, node("Split", ["x"], ["a", "b", "c"], axis=3), join, x=("n", 4, 6, 9)
        )
    return make_model(opset, node("Split", ["x"], ["a", "b", "c"], axis=3, num_outputs=3), join)


def squeeze(opset: int) -> ModelProto:
    """Axes are an attribute, an input from 13 on."""
    act = node("Relu", ["t"], ["u"])
    if opset < 13:
        wide = node("Unsqueeze", ["x"], ["t"], axes=[2])
        return make_model(opset, wide, act, node("Squeeze", ["u"], ["y"], axes=[2]))
    wide, back = node("Unsqueeze", ["x", "a"], ["t"]), node("Squeeze", ["u", "a"], ["y"])
    return make_model(opset, wide, act, back, weights={"a": I64([2])})


def softmax(opset: int) -> ModelProto:
    """Along the last axis by default only from 13 on."""
    flat = node("Flatten", ["x"], ["f"])
    return make_model(opset, flat, node("Softmax", ["f"], ["y"], axis=1 if opset < 13 else -1))


def pad(opset: int) -> ModelProto:
    """All axes, or from 18 on some."""
    if opset < 18:
        weights = {"p": I64([0, 0, 1, 2, 0, 0, 3, 0]), "v": F(0.5)}
        return make_model(
            opset, node("Pad", ["x", "p", "v"], ["y"], mode="constant"), weights=weights
        )
    weights = {"p": I64([1, 2, 3, 0]), "v": F(0.5), "a": I64([2, -1])}
    return make_model(opset, node("Pad", ["x", "p", "v", "a"], ["y"]), weights=weights)


def resize(opset: int) -> ModelProto:
    """To the nearest, as PyTorch exports it: sizes or scales with empty inputs before them."""
    said = {"mode": "nearest", "nearest_mode": "floor"}
    how = {"coordinate_transformation_mode": "asymmetric"}
    roi = "roi" if opset < 13 else ""
    nodes = [
        node("Resize", ["x", roi, "s"], ["t"], **said, **how),
        node("Resize", ["t", roi, "e" if opset < 13 else "", "z"], ["y"], **said, **how),
    ]
    weights = {"s": F([1, 1, 2, 3]), "z": I64([2, 4, 24, 24])}
    if opset < 13:
        weights |= {"roi": F([]), "e": F([])}
    return make_model(opset, *nodes, weights=weights, x=(2, 4, 6, 8))


def resize_by_axes(opset: int) -> ModelProto:
    """From 18 on some axes alone."""
    if opset < 18:
        return resize(opset)
    half = node("Resize", ["x", "", "s"], ["y"], mode="nearest", axes=[2, 3], antialias=0)
    return make_model(opset, half, weights={"s": F([2, 4])})


def clip(opset: int) -> ModelProto:
    nodes = [node("Clip", ["x", "", "h"], ["t"]), node("Clip", ["t", "l"], ["y"])]
    return make_model(opset, *nodes, weights={"l": F(-0.3), "h": F(0.8)})


def dropout(opset: int) -> ModelProto:
    """A ratio as an attribute, an input from 12 on."""
    act = node("Relu", ["t"], ["y"])
    if opset < 12:
        return make_model(opset, node("Dropout", ["x"], ["t"], ratio=0.4), act)
    return make_model(opset, node("Dropout", ["x", "r"], ["t"]), act, weights={"r": F(0.4)})


def batch_norm(opset: int) -> ModelProto:
    weights = {k: floats(RNG, 4) for k in "gbm"} | {"v": np.abs(floats(RNG, 4)) + F(0.3)}
    said = {} if opset < 14 else {"training_mode": 0}
    norm = node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"], epsilon=1e-3, **said)
    return make_model(opset, norm, weights=weights)


def flatten_through_shape(opset: int) -> ModelProto:
    """Shape, a slice of it from 15 on, and a Reshape."""
    if opset < 15:
        nodes = [
            node("Shape", ["x"], ["all"]),
            node("Slice", ["all", "zero", "one"], ["n"]),
        ]
    else:
        nodes = [node("Shape", ["x"], ["n"], start=0, end=1)]
    nodes += [
        node("Concat", ["n", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    weights = {"zero": I64([0]), "one": I64([1]), "rest": I64([-1]), "w": floats(RNG, 192, 3)}
    return make_model(opset, *nodes, weights=weights)


def pair(opset: int) -> ModelProto:
    """Zero points by channel; from 13 on along an axis, from 21 on in 16 bits as well."""
    wide = opset >= 21
    zero = np.int16(-300) if wide else np.uint8(130)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("Conv", ["d", "w"], ["y"]),
    ]
    weights = {"s": F(2.0**-6), "z": zero, "w": floats(RNG, 3, 4, 1, 1)}
    if opset >= 13:
        nodes.insert(2, node("DequantizeLinear", ["wq", "ws", "wz"], ["w"], axis=0))
        weights["wq"] = RNG.integers(0, 255, (3, 4, 1, 1)).astype(np.uint8)
        weights["ws"], weights["wz"] = F([0.5, 0.25, 0.3]), np.uint8([128, 3, 200])
        del weights["w"]
    return make_model(opset, *nodes, weights=weights)


BUILDERS: dict[str, Callable[[int], ModelProto]] = {
    "reduce mean over space": reduced("ReduceMean", [2, 3], 0),
    "reduce mean over channels": reduced("ReduceMean", [1], 1),
    "reduce mean over all": reduced("ReduceMean", [1, 2, 3], 0),
    "reduce max": reduced("ReduceMax", [-1], 1),
    "reduce sum": reduced("ReduceSum", [1, 3], 0),
    "split": split,
    "equal split": equal_split,
    "squeeze": squeeze,
    "softmax": softmax,
    "pad": pad,
    "resize": resize,
    "resize by axes": resize_by_axes,
    "clip": clip,
    "dropout": dropout,
    "batch norm": batch_norm,
    "flatten through shape": flatten_through_shape,
    "pair": pair,
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", BUILDERS)
def test_every_operator_set(name: str, opset: int, tmp_path: Path) -> None:
    model = BUILDERS[name](opset)
    path = m.saved(model, tmp_path)
    dims = [d.dim_value or 2 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.round(floats(np.random.default_rng(3), *dims) * 64) / F(64) - F(2.0**-8)  # no ties
    feeds = {"x": x.astype(F)}
    theirs = m.runtime(path, feeds)
    loaded = read(path)
    quantized = loaded.recipe if name == "pair" else None
    ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=quantized)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5, rtol=1e-5)
