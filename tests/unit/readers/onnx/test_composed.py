# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Norms of one sample, products of two tensors and attention, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.graph.nodes import SoftmaxNode
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

RNG = np.random.default_rng(7)
I64 = np.int64


def one(*nodes, x=("n", 4, 6), opset=18, weights=None, outputs=("y",)) -> ModelProto:
    return m.model(nodes, {"x": x}, outputs, weights, opset=opset)


def norm(kind: str, shape=(6,), *, x=("n", 4, 6), opset=18, bias=True, **options) -> ModelProto:
    weights = {"s": floats(RNG, *shape), "b": floats(RNG, *shape)}
    names = ["x", "s", "b"] if bias else ["x", "s"]
    return one(node(kind, names, ["y"], **options), x=x, opset=opset, weights=weights)


def attention(heads: int, size: int, places: int) -> ModelProto:
    """As exporters write it: projections, heads as an axis, products, softmax, and back."""
    width = heads * size
    weights = {name: floats(RNG, 6, width) for name in ("wq", "wk", "wv")}
    weights |= {"wo": floats(RNG, width, 6), "root": np.float32(size**-0.5)}
    weights["split"] = np.array([0, places, heads, size], I64)
    weights["join"] = np.array([0, places, width], I64)
    nodes = []
    for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [
            node("MatMul", ["x", f"w{part}"], [f"{part}1"]),
            node("Reshape", [f"{part}1", "split"], [f"{part}2"]),
            node("Transpose", [f"{part}2"], [part], perm=order),
        ]
    nodes += [
        node("MatMul", ["q", "k"], ["products"]),
        node("Mul", ["products", "root"], ["scores"]),
        node("Softmax", ["scores"], ["weights"], axis=-1),
        node("MatMul", ["weights", "v"], ["mixed"]),
        node("Transpose", ["mixed"], ["places"], perm=[0, 2, 1, 3]),
        node("Reshape", ["places", "join"], ["joined"]),
        node("MatMul", ["joined", "wo"], ["y"]),
    ]
    return one(*nodes, x=("n", places, 6), weights=weights)


VOLUME = ("n", 4, 5, 6, 7)


def conv(kernel, **options) -> ModelProto:
    weights = {"w": floats(RNG, *kernel), "b": floats(RNG, kernel[0])}
    return one(node("Conv", ["x", "w", "b"], ["y"], **options), x=VOLUME, weights=weights)


def pool(kind, **options) -> ModelProto:
    return one(node(kind, ["x"], ["y"], **options), x=VOLUME)


MODELS: dict[str, Callable[[], ModelProto]] = {
    "layer norm": lambda: norm("LayerNormalization"),
    "layer norm without bias": lambda: norm("LayerNormalization", bias=False, epsilon=0.1),
    "layer norm of two axes": lambda: norm("LayerNormalization", (4, 6), axis=1),
    "layer norm of images": lambda: norm("LayerNormalization", (5, 6), x=("n", 3, 5, 6), axis=-2),
    "layer norm of what was moved": lambda: one(
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("LayerNormalization", ["t", "s", "b"], ["y"]),
        weights={"s": floats(RNG, 4), "b": floats(RNG, 4)},
    ),
    "group norm by groups": lambda: norm(
        "GroupNormalization", (2,), x=("n", 4, 3, 5), num_groups=2
    ),
    "group norm by channels": lambda: norm(
        "GroupNormalization", (4,), x=("n", 4, 3, 5), num_groups=2, opset=21
    ),
    "instance norm": lambda: norm("InstanceNormalization", (4,), x=("n", 4, 3, 5)),
    "instance norm of series": lambda: norm("InstanceNormalization", (4,)),
    "lengths": lambda: one(node("LpNormalization", ["x"], ["y"], axis=1)),
    "lengths along the last axis": lambda: one(node("LpNormalization", ["x"], ["y"])),
    "a product with itself": lambda: one(
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["y"])
    ),
    "a product of two tensors": lambda: one(
        node("MatMul", ["x", "w"], ["t"]),
        node("Relu", ["t"], ["u"]),
        node("Transpose", ["u"], ["v"], perm=[0, 2, 1]),
        node("MatMul", ["v", "x"], ["y"]),
        weights={"w": floats(RNG, 6, 3)},
    ),
    "a product of stacks": lambda: one(
        node("Unsqueeze", ["x", "rows"], ["a"]),
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("Unsqueeze", ["t", "stack"], ["b"]),
        node("MatMul", ["a", "b"], ["y"]),
        weights={"rows": np.array([2]), "stack": np.array([1])},
    ),
    "conv of volumes": lambda: conv((3, 4, 3, 2, 3)),
    "conv of volumes strided": lambda: conv(
        (6, 2, 2, 3, 2), group=2, strides=[2, 2, 1], pads=[1, 0, 1, 0, 2, 1]
    ),
    "conv of volumes dilated": lambda: conv((2, 4, 2, 2, 3), dilations=[3, 2, 1]),
    "max of volumes": lambda: pool("MaxPool", kernel_shape=[2, 3, 2], strides=[1, 2, 2]),
    "mean of volumes": lambda: pool(
        "AveragePool", kernel_shape=[3, 2, 3], strides=[2, 1, 2], pads=[1, 1, 0, 1, 0, 1]
    ),
    "mean of volumes and padding": lambda: pool(
        "AveragePool", kernel_shape=[3, 2, 3], pads=[1, 1, 0, 1, 0, 1], count_include_pad=1
    ),
    "mean of whole volumes": lambda: pool("GlobalAveragePool"),
    "attention": lambda: attention(2, 3, 5),
    "attention with one head": lambda: attention(1, 4, 3),
}


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    result = MODELS[name]()
    path = m.saved(result, tmp_path)
    dims = [d.dim_value or 3 for d in result.graph.input[0].type.tensor_type.shape.dim]
    feeds = {"x": floats(np.random.default_rng(6), *dims)}
    theirs = m.runtime(path, feeds)
    ours = m.computed(read(path), feeds, [y.shape for y in theirs])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4)


REFUSED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "a mean that leaves": (
        lambda: one(
            node("LayerNormalization", ["x", "s"], ["y", "mean"]),
            weights={"s": floats(RNG, 6)},
            outputs=("y", "mean"),
        ),
        "also returns its mean",
    ),
    "another length": (lambda: one(node("LpNormalization", ["x"], ["y"], p=1)), "p = 2"),
    "samples that are mixed": (
        lambda: one(node("MatMul", ["x", "x"], ["y"]), x=("n", 4)),
        "different samples",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_computed_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(UnsupportedModelError, match=reason):
        read(m.saved(make(), tmp_path))


def attention_file(folder: Path, mask: Any, *, chosen: bool) -> Path:
    """Attention to itself as exporters write it: a mask added to the products, or chosen by."""
    nodes = [
        node("Transpose", ["x"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["x", "k"], ["products"]),
        node("Mul", ["products", "half"], ["scores"]),
        node("Where", ["mask", "scores", "low"], ["masked"])
        if chosen
        else node("Add", ["scores", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["weights"], axis=-1),
        node("MatMul", ["weights", "x"], ["y"]),
    ]
    weights = {"half": np.float32(0.5), "mask": mask, "low": np.float32(-np.inf)}
    return m.saved(m.model(nodes, {"x": ("n", 4, 3)}, ["y"], weights), folder)


BAND = np.tri(4, dtype=bool)


@pytest.mark.parametrize(
    ("mask", "chosen"),
    [
        (BAND, True),
        (BAND[None], True),
        (np.where(BAND, 0, -np.inf).astype(np.float32), False),
        (np.where(BAND, 0.25, -1e4).astype(np.float32), False),
    ],
)
def test_a_mask_before_a_softmax_becomes_its_own(mask: Any, chosen: bool, tmp_path: Path) -> None:
    path = attention_file(tmp_path, mask, chosen=chosen)
    loaded = read(path)
    (softmax,) = (each for each in loaded.graph.nodes if isinstance(each, SoftmaxNode))
    assert softmax.mask is not None
    x = floats(np.random.default_rng(3), 5, 4, 3)
    (expected,) = m.runtime(path, {"x": x})
    np.testing.assert_allclose(m.computed(loaded, {"x": x}, None)[0], expected, atol=1e-5)


def test_minus_infinity_for_anything_but_a_softmax_is_refused(tmp_path: Path) -> None:
    nodes = [node("Where", ["mask", "x", "low"], ["y"])]
    weights = {"mask": BAND, "low": np.float32(-np.inf)}
    path = m.saved(m.model(nodes, {"x": ("n", 4, 4)}, ["y"], weights), tmp_path)
    with pytest.raises(UnsupportedModelError, match="infinity"):
        read(path)
