# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators that gather, repeat, mirror, resize and reduce, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

RNG = np.random.default_rng(15)
I64 = np.int64


def one(*nodes: Any, x: Any = (2, 3, 8, 6), weights: Any = None, opset: int = 18) -> ModelProto:
    return m.model(nodes, {"x": x}, ["y"], weights, opset=opset)


def resized(scales: Any = None, sizes: Any = None, **attributes: Any) -> ModelProto:
    weights = {"s": np.float32(scales)} if scales is not None else {"z": I64(sizes)}
    inputs = ["x", "", "s"] if scales is not None else ["x", "", "", "z"]
    return one(node("Resize", inputs, ["y"], **attributes), weights=weights)


def reduced(kind: str, axes: Any, **attributes: Any) -> ModelProto:
    return one(
        node("Sigmoid", ["x"], ["t"]),
        node(kind, ["t", "a"], ["y"], **attributes),
        weights={"a": I64(axes)},
    )


MODELS: dict[str, Callable[[], ModelProto]] = {
    "tile": lambda: one(node("Tile", ["x", "r"], ["y"]), weights={"r": I64([1, 2, 1, 3])}),
    "expand": lambda: one(
        node("Expand", ["x", "s"], ["y"]), x=(2, 1, 4, 1), weights={"s": I64([1, 3, 1, 5])}
    ),
    "expand fewer axes": lambda: one(
        node("Expand", ["x", "s"], ["y"]), x=(2, 1, 4, 1), weights={"s": I64([4, 3])}
    ),
    "gather elements": lambda: one(
        node("GatherElements", ["x", "i"], ["y"], axis=2),
        x=(1, 3, 4),
        weights={"i": I64([[[3, 0], [1, 1], [-1, 2]]])},
    ),
    "gather nd": lambda: one(
        node("GatherND", ["x", "i"], ["y"], batch_dims=1),
        x=(1, 3, 4),
        weights={"i": I64([[[2, 0], [1, 3]]])},
    ),
    "reverse sequence": lambda: one(
        node("ReverseSequence", ["x", "l"], ["y"], time_axis=1, batch_axis=0),
        x=(2, 5, 3),
        weights={"l": I64([4, 4])},
    ),
    "compress": lambda: one(
        node("Compress", ["x", "c"], ["y"], axis=1),
        x=(2, 4, 3),
        weights={"c": np.array([True, False, False, True])},
    ),
    "lower triangle": lambda: one(node("Trilu", ["x", "k"], ["y"], upper=0), weights={"k": I64(1)}),
    "upper triangle": lambda: one(node("Trilu", ["x"], ["y"])),
    "scatter elements": lambda: one(
        node("ScatterElements", ["x", "i", "u"], ["y"], axis=1, reduction="add"),
        x=(1, 4),
        weights={"i": I64([[2, 0]]), "u": floats(RNG, 1, 2)},
    ),
    "scatter nd": lambda: one(
        node("ScatterND", ["x", "i", "u"], ["y"]),
        x=(1, 4, 2),
        weights={"i": I64([[0, 3], [0, 1]]), "u": floats(RNG, 2, 2)},
    ),
    **{
        f"cumulated {reverse} {exclusive}": (
            lambda reverse=reverse, exclusive=exclusive: one(
                node("CumSum", ["x", "a"], ["y"], reverse=reverse, exclusive=exclusive),
                weights={"a": I64(-2)},
            )
        )
        for reverse in (0, 1)
        for exclusive in (0, 1)
    },
    **{
        f"pad {mode}": (
            lambda mode=mode: one(
                node("Pad", ["x", "p"], ["y"], mode=mode),
                weights={"p": I64([0, 1, 3, 2, 0, 0, 2, 0])},
                opset=19,
            )
        )
        for mode in ("reflect", "edge", "wrap", "constant")
    },
    "pad that cuts": lambda: one(
        node("Pad", ["x", "p", "v"], ["y"]),
        weights={"p": I64([0, 0, -1, 2, 0, 0, 3, -4]), "v": np.float32(0.25)},
    ),
    "resize linear": lambda: resized([1, 1, 2, 1.5], mode="linear"),
    "resize linear aligned": lambda: resized(
        sizes=[2, 3, 5, 11],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "resize linear as pytorch": lambda: resized(
        sizes=[2, 3, 4, 1],
        mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    ),
    "resize cubic": lambda: resized([1, 1, 0.5, 2], mode="cubic", cubic_coeff_a=-0.5),
    "resize nearest down": lambda: resized([1, 1, 0.6, 0.5], mode="nearest"),
    "resize nearest odd": lambda: resized(
        sizes=[2, 3, 11, 7],
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    ),
    "upsample linear": lambda: one(
        node("Upsample", ["x", "s"], ["y"], mode="linear"),
        weights={"s": np.float32([1, 1, 2, 2])},
        opset=9,
    ),
    **{
        f"{kind} {axes} {keep}": (
            lambda kind=kind, axes=axes, keep=keep: reduced(kind, axes, keepdims=keep)
        )
        for kind in (
            *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
            *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        )
        for axes, keep in (([1], 1), ([2, -1], 0), ([1, 2, 3], 0))
    },
    "log softmax": lambda: one(node("LogSoftmax", ["x"], ["y"], axis=1)),
    "log softmax before 13": lambda: one(node("LogSoftmax", ["x"], ["y"], axis=2), opset=11),
    "log softmax of large numbers": lambda: one(
        node("Mul", ["x", "c"], ["t"]),
        node("LogSoftmax", ["t"], ["y"]),
        weights={"c": np.float32(1e4)},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    path = m.saved(MODELS[name](), tmp_path)
    loaded = read(path)
    rng = np.random.default_rng(6)
    feeds = {"x": floats(rng, *(d.dim_value for d in MODELS[name]().graph.input[0]
                                .type.tensor_type.shape.dim))}  # fmt: skip
    theirs = m.runtime(path, feeds)
    ours = m.computed(loaded, feeds, [y.shape for y in theirs])
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5, rtol=1e-4)


REFUSED = {
    "a tile of the batch": (
        one(node("Tile", ["x", "r"], ["y"]), weights={"r": I64([2, 1, 1, 1])}),
        "batch",
    ),
    "elements of another sample": (
        one(
            node("GatherElements", ["x", "i"], ["y"], axis=0),
            x=(2, 3),
            weights={"i": I64([[0, 1, 0], [1, 0, 1]])},
        ),
        "one sample to another",
    ),
    "a scatter that keeps the largest": (
        one(
            node("ScatterElements", ["x", "i", "u"], ["y"], axis=1, reduction="max"),
            x=(1, 4),
            weights={"i": I64([[2, 0]]), "u": floats(RNG, 1, 2)},
        ),
        "reduction",
    ),
    "a product of many": (
        one(node("ReduceProd", ["x"], ["y"], axes=[1]), x=(2, 99), opset=13),
        "multiplies 99 numbers",
    ),
    "a resize of the batch": (resized([2, 1, 1, 1]), "batch"),
    "a resize that keeps the aspect": (
        resized(sizes=[2, 3, 9, 9], keep_aspect_ratio_policy="not_larger", mode="linear"),
        "aspect ratio",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    result, reason = REFUSED[name]
    with pytest.raises(EdgeInferError, match=reason):
        read(m.saved(result, tmp_path))
