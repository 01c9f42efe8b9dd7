# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operators on integers with scales and zero points, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import node

RNG = np.random.default_rng(17)
U8, I8, I32, F = np.uint8, np.int8, np.int32, np.float32
MICROSOFT = "com.microsoft"


def one(result: Any, weights: dict[str, Any], shape: tuple[int, ...] = (2, 3, 6, 5)) -> ModelProto:
    model = m.model([result], {"x": shape}, ["y"], weights, opset=18, input_type=TensorProto.UINT8,
                    domains={MICROSOFT: 1})  # fmt: skip
    wide = result.op_type.endswith("Integer")
    kind = model.graph.output[0].type.tensor_type
    kind.elem_type = TensorProto.INT32 if wide else TensorProto.UINT8
    return model


def integers(*shape: int) -> NDArray[np.int8]:
    """Of seven bits: ONNX Runtime's own kernels overflow beyond on some processors."""
    return RNG.integers(-63, 64, shape).astype(I8)


def convolution(x_step: float, w_steps: Any, y_step: float) -> ModelProto:
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    steps = np.asarray(w_steps, F)
    weights = {
        "xs": F(x_step), "xz": U8(117), "w": integers(4, 3, 3, 2), "ws": steps,
        "wz": np.zeros(steps.shape, I8), "ys": F(y_step), "yz": U8(131),
        "b": RNG.integers(-5000, 5000, 4).astype(I32),
    }  # fmt: skip
    return one(node("QLinearConv", names, ["y"], pads=[1, 0, 1, 1], strides=[2, 1]), weights)


def product(x_step: float, w_steps: Any, y_step: float) -> ModelProto:
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    steps = np.asarray(w_steps, F)
    weights = {
        "xs": F(x_step), "xz": U8(117), "w": integers(5, 4), "ws": steps,
        "wz": np.zeros(steps.shape, I8), "ys": F(y_step), "yz": U8(131),
    }  # fmt: skip
    return one(node("QLinearMatMul", names, ["y"]), weights)


def merged(kind: str, x_step: float, y_step: float) -> ModelProto:
    names = ["x", "xs", "xz", "x", "xs", "xz", "ys", "yz"]
    weights = {"xs": F(x_step), "xz": U8(117), "ys": F(y_step), "yz": U8(131)}
    return one(node(kind, names, ["y"], domain=MICROSOFT), weights)


EXACT = {
    "convolution": convolution(2**-5, 2**-7, 2**-3),
    "convolution by channel": convolution(2**-5, [2**-7, 2**-8, 2**-6, 2**-7], 2**-3),
    "product": product(2**-5, 2**-7, 2**-3),
    "sum": merged("QLinearAdd", 2**-5, 2**-4),
    "integer convolution": one(
        node("ConvInteger", ["x", "w", "xz"], ["y"]), {"w": integers(4, 3, 3, 2), "xz": U8(9)}
    ),
    "integer product": one(
        node("MatMulInteger", ["x", "w", "xz"], ["y"]), {"w": integers(5, 4), "xz": U8(9)}
    ),
}
NEARLY = {
    "convolution": convolution(0.0231, 0.0117, 0.31),
    "convolution by channel": convolution(0.0231, [0.0117, 0.003, 0.02, 0.0171], 0.31),
    "product": product(0.0231, 0.0117, 0.31),
    "sum": merged("QLinearAdd", 0.0231, 0.05),
    "product of tensors": merged("QLinearMul", 0.0231, 0.05),
}


def both(result: ModelProto, folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    path = m.saved(result, folder)
    feeds = {"x": RNG.integers(0, 256, (2, 3, 6, 5)).astype(U8)}
    (theirs,) = m.runtime(path, feeds)
    loaded = read(path)
    (ours,) = m.computed(loaded, feeds, [theirs.shape], recipe=loaded.recipe)
    return ours, theirs.astype(np.float64)


@pytest.mark.parametrize("name", EXACT)
def test_powers_of_two_are_exact(name: str, tmp_path: Path) -> None:
    ours, theirs = both(EXACT[name], tmp_path)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", NEARLY)
def test_other_scales_are_right_to_a_step_at_ties(name: str, tmp_path: Path) -> None:
    ours, theirs = both(NEARLY[name], tmp_path)
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.98


def test_a_scale_that_follows_the_data_is_refused(tmp_path: Path) -> None:
    result = m.model([node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])], {"x": (2, 3)}, ["y"])
    with pytest.raises(EdgeInferError, match="quantize the model statically"):
        read(m.saved(result, tmp_path))
