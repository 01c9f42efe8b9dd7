# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""QuantizeLinear and DequantizeLinear: integers inside, scales as multipliers, as ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from edgeinfer.graph.nodes import ConvNode, DenseNode
from edgeinfer.readers.onnx.reader import read
from quantization.fixed import Quantizer
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

F, I8, U8, I32 = np.float32, np.int8, np.uint8, np.int32


def q(x: str, y: str, scale: str, zero: str, **attributes: Any) -> NodeProto:
    return node("QuantizeLinear", [x, scale, zero], [y], **attributes)


def dq(x: str, y: str, scale: str, zero: str = "", **attributes: Any) -> NodeProto:
    inputs = [x, scale, zero] if zero else [x, scale]
    return node("DequantizeLinear", inputs, [y], **attributes)


def compare(
    result: ModelProto, feeds: dict[str, NDArray[Any]], folder: Path, *, step: float, steps: int = 1
) -> Any:
    """Ours differs by at most one step of the last quantizer, and rarely at all."""
    path = m.saved(result, folder)
    loaded = read(path)
    theirs = m.runtime(path, feeds)
    ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=loaded.recipe)
    difference = np.abs(ours[0] - theirs[0])
    assert difference.max() <= steps * step * 1.001
    assert (difference > 0.01 * step).mean() < 0.02
    assert m.on_its_grid(loaded)
    return loaded


@settings(max_examples=40)
@given(
    zero=st.integers(-128, 127),
    exponent=st.integers(-8, 2),
    mantissa=st.sampled_from([1.0, 1.37, 1.999]),
    seed=st.integers(0, 99),
)
def test_a_pair_rounds_and_saturates_as_the_runtime(
    zero: int,
    exponent: int,
    mantissa: float,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    step = F(mantissa * 2.0**exponent)
    result = m.model(
        [q("x", "a", "s", "z"), dq("a", "y", "s", "z")],
        {"x": (1, 200)},
        ["y"],
        {"s": step, "z": I8(zero)},
    )
    rng = np.random.default_rng(seed)
    x = (rng.integers(-300, 300, (1, 200)) + rng.uniform(-0.49, 0.49, (1, 200))) * step
    compare(result, {"x": x.astype(F)}, tmp_path_factory.mktemp("qdq"), step=float(step))


def test_even_ties_with_an_odd_zero_point(tmp_path: Path) -> None:
    """ONNX rounds before it adds the zero point, QONNX after."""
    result = m.model(
        [q("x", "a", "s", "z"), dq("a", "y", "s", "z")],
        {"x": (1, 41)},
        ["y"],
        {"s": F(0.5), "z": I8(3)},
    )
    x = (np.arange(-20, 21, dtype=F) / 4).reshape(1, -1)
    compare(result, {"x": x}, tmp_path, step=1e-9)


def static_cnn(rng: np.random.Generator, *, per_channel: bool, opset: int = 17) -> ModelProto:
    """Static quantization as ONNX Runtime's own tool writes it, biases as int32."""
    sx, sw1, sa = F(0.0173), F(rng.uniform(0.005, 0.02, 4 if per_channel else ())), F(0.041)
    sw2, sb = F(rng.uniform(0.005, 0.02, 5 if per_channel else ())), F(0.113)
    weights = {
        "sx": sx, "zx": U8(118), "sa": sa, "za": U8(0), "sb": sb, "zb": U8(131),
        "w1": rng.integers(-127, 128, (4, 3, 3, 3)).astype(I8), "sw1": sw1,
        "zw1": np.zeros(np.shape(sw1), I8),
        "b1": rng.integers(-3000, 3000, 4).astype(I32), "sb1": F(sx * sw1),
        "w2": rng.integers(-127, 128, (5, 48)).astype(I8), "sw2": sw2,
        "zw2": np.zeros(np.shape(sw2), I8),
        "b2": rng.integers(-3000, 3000, 5).astype(I32), "sb2": F(sa * sw2),
    }  # fmt: skip
    axis = {"axis": 0} if per_channel else {}
    nodes = [
        q("x", "xq", "sx", "zx"),
        dq("xq", "xd", "sx", "zx"),
        dq("w1", "w1d", "sw1", "zw1", **axis),
        dq("b1", "b1d", "sb1", **axis),
        node("Conv", ["xd", "w1d", "b1d"], ["c"], "conv1", pads=[1] * 4),
        node("Relu", ["c"], ["r"], "relu1"),
        q("r", "rq", "sa", "za"),
        dq("rq", "rd", "sa", "za"),
        node("MaxPool", ["rd"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        dq("w2", "w2d", "sw2", "zw2", **axis),
        dq("b2", "b2d", "sb2", **axis),
        node("Gemm", ["f", "w2d", "b2d"], ["g"], "fc", transB=1),
        q("g", "gq", "sb", "zb"),
        dq("gq", "y", "sb", "zb"),
    ]
    return m.model(nodes, {"x": (2, 3, 8, 6)}, ["y"], weights, opset=opset)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("opset", [13, 21])
def test_static_quantization(per_channel: bool, opset: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    result = static_cnn(rng, per_channel=per_channel, opset=opset)
    for seed in range(3):
        x = floats(np.random.default_rng(seed), 2, 3, 8, 6)
        loaded = compare(result, {"x": x}, tmp_path, step=0.113)
    linear = [n for n in loaded.graph.nodes if isinstance(n, ConvNode | DenseNode)]
    for layer in linear:  # integer kernels, integer biases
        assert layer.bias is not None
        assert np.array_equal(layer.kernel, np.round(layer.kernel))
        assert np.array_equal(layer.bias, np.round(layer.bias))
        assert str(loaded.recipe.weight(f"{layer.layer}/kernel")) == "fixed<8,8,RND_CONV,SAT>"
    assert loaded.recipe.activation("conv1_scale") == Quantizer.parse("ufixed<8,8>")
    assert m.kinds(loaded.graph).count("Affine") == 5
    assert any("multiplier" in finding for finding in loaded.findings)


def test_powers_of_two_need_no_multiplier(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weights = {
        "s": F(0.125), "z": I8(0), "w": rng.integers(-8, 8, (6, 4)).astype(I8), "sw": F(0.25),
        "b": rng.integers(-90, 90, 4).astype(I32), "sb": F(0.03125), "sy": F(0.5), "zu": U8(0),
    }  # fmt: skip
    nodes = [
        q("x", "xq", "s", "z"),
        dq("xq", "xd", "s", "z"),
        dq("w", "wd", "sw"),
        dq("b", "bd", "sb"),
        node("MatMul", ["xd", "wd"], ["t"], "fc"),
        node("Add", ["t", "bd"], ["u"], "add"),
        node("Relu", ["u"], ["r"], "relu"),
        q("r", "rq", "sy", "zu"),
        dq("rq", "y", "sy", "zu"),
    ]
    result = m.model(nodes, {"x": (3, 6)}, ["y"], weights)
    loaded = compare(result, {"x": floats(rng, 3, 6)}, tmp_path, step=1e-9)
    assert m.kinds(loaded.graph) == ["Input", "Dense", "Activation"]
    assert loaded.recipe.activation("x") == Quantizer.parse("fixed<8,5>")
    assert loaded.recipe.activation("y") == Quantizer.parse("ufixed<8,7>")
    assert not loaded.findings


def test_integer_input_and_padding_after_a_zero_point(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    weights = {
        "s": F(0.02), "z": U8(7), "w": rng.integers(-9, 9, (2, 3, 3, 3)).astype(I8), "sw": F(0.1),
    }  # fmt: skip
    nodes = [
        dq("x", "xd", "s", "z"),
        dq("w", "wd", "sw"),
        node("Conv", ["xd", "wd"], ["y"], "conv", pads=[1] * 4),
    ]
    result = m.model(nodes, {"x": (1, 3, 5, 4)}, ["y"], weights, input_type=TensorProto.UINT8)
    x = rng.integers(0, 256, (1, 3, 5, 4)).astype(U8)
    loaded = compare(result, {"x": x}, tmp_path, step=1e-3)
    assert loaded.recipe.activation("x") == Quantizer.parse("ufixed<8,8>")
    assert m.kinds(loaded.graph) == ["Input", "Affine", "Conv", "Affine"]


def test_joined_and_added_tensors_of_different_scales(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    weights = {"s": F(0.03), "t": F(0.05), "z": I8(5), "u": F(0.11), "zu": I8(-3)}
    nodes = [
        q("x", "xq", "s", "z"),
        dq("xq", "xd", "s", "z"),
        q("v", "vq", "t", "z"),
        dq("vq", "vd", "t", "z"),
        node("Add", ["xd", "vd"], ["a"]),
        node("Concat", ["a", "xd", "vd"], ["c"], axis=1),
        q("c", "cq", "u", "zu"),
        dq("cq", "y", "u", "zu"),
    ]
    result = m.model(nodes, {"x": (2, 40), "v": (2, 40)}, ["y"], weights)
    compare(result, {"x": floats(rng, 2, 40), "v": floats(rng, 2, 40)}, tmp_path, step=0.11)


def test_integers_pass_pools_and_reshapes_between_the_pair(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    weights = {"s": F(0.03), "z": I8(5), "shape": np.int64([0, -1])}
    nodes = [
        q("x", "a", "s", "z"),
        node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2]),
        node("Reshape", ["b", "shape"], ["c"]),
        dq("c", "y", "s", "z"),
    ]
    result = m.model(nodes, {"x": (2, 3, 5, 4)}, ["y"], weights)
    loaded = compare(result, {"x": floats(rng, 2, 3, 5, 4)}, tmp_path, step=0.03)
    assert m.kinds(loaded.graph)[:3] == ["Input", "Affine", "Pool"]
    assert "Merge" not in m.kinds(loaded.graph)


def test_weights_stored_as_floats_and_four_bit_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    four = helper.make_tensor(
        "w4", TensorProto.INT4, [5, 3], rng.integers(-8, 8, 15).astype(np.int64).tolist()
    )
    nodes = [
        q("w", "wq", "s", "z"),
        dq("wq", "wd", "s", "z"),
        node("MatMul", ["x", "wd"], ["t"], "first"),
        dq("w4", "w4d", "s"),
        node("MatMul", ["t", "w4d"], ["y"], "second"),
    ]
    weights = {"w": floats(rng, 6, 5), "s": F(0.25), "z": I8(0)}
    result = m.model(nodes, {"x": (2, 6)}, ["y"], weights, opset=21)
    result.graph.initializer.append(four)
    result.ir_version = 10
    loaded = compare(result, {"x": floats(rng, 2, 6)}, tmp_path, step=1e-4)
    assert str(loaded.recipe.weight("first/kernel")) == "fixed<8,6,RND_CONV,SAT>"
    assert str(loaded.recipe.weight("second/kernel")) == "fixed<4,2,RND_CONV,SAT>"
