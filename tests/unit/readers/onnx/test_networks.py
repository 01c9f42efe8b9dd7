# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole networks as exporters write them: layouts cancelled, constants folded, names kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeinfer.graph.nodes import DenseNode, InputNode
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

I64 = np.int64


def agrees(result: ModelProto, folder: Path, *, batch: int = 2) -> LoadedModel:
    path = m.saved(result, folder)
    rng = np.random.default_rng(7)
    stored = {tensor.name for tensor in result.graph.initializer}
    feeds = {}
    for value in result.graph.input:
        if value.name not in stored:
            sizes = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
            feeds[value.name] = floats(rng, *sizes)
    theirs = m.runtime(path, feeds)
    loaded = read(path)
    ours = m.computed(loaded, feeds, [y.shape for y in theirs])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)
    return loaded


def pytorch_cnn(opset: int, batch: int | str = "batch") -> ModelProto:
    """Conv, norm, pool, computed flatten, Gemm with transB: what torch.onnx.export writes."""
    rng = np.random.default_rng(8)
    weights = {
        "conv.weight": floats(rng, 6, 3, 3, 3),
        "conv.bias": floats(rng, 6),
        **{f"bn.{k}": floats(rng, 6) for k in ("weight", "bias", "mean")},
        "bn.var": np.abs(floats(rng, 6)) + 0.1,
        "fc.weight": floats(rng, 5, 6 * 4 * 3),
        "fc.bias": floats(rng, 5),
        "zero": I64(0),
        "minus": I64([-1]),
    }
    norm = ["c", "bn.weight", "bn.bias", "bn.mean", "bn.var"]
    unsqueeze = (
        node("Unsqueeze", ["n"], ["nn"], axes=[0])
        if opset < 13
        else node("Unsqueeze", ["n", "first"], ["nn"])
    )
    nodes = [
        node("Conv", ["input", "conv.weight", "conv.bias"], ["c"], "/conv/Conv", pads=[1] * 4),
        node("BatchNormalization", norm, ["b"], "/bn/BatchNormalization"),
        node("Relu", ["b"], ["r"], "/relu/Relu"),
        node("MaxPool", ["r"], ["p"], "/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["p"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        unsqueeze,
        node("Concat", ["nn", "minus"], ["t"], axis=0),
        node("Reshape", ["p", "t"], ["f"]),
        node("Gemm", ["f", "fc.weight", "fc.bias"], ["output"], "/fc/Gemm", transB=1),
    ]
    if opset >= 13:
        weights["first"] = I64([0])
    return m.model(nodes, {"input": (batch, 3, 8, 6)}, ["output"], weights, opset=opset)


@pytest.mark.parametrize("opset", range(11, 22))
def test_pytorch_style_in_every_operator_set(opset: int, tmp_path: Path) -> None:
    loaded = agrees(pytorch_cnn(opset), tmp_path)
    assert m.kinds(loaded.graph) == [
        "Input", "Conv", "BatchNorm", "Activation", "Pool", "Reshape", "Dense",
    ]  # fmt: skip
    assert loaded.graph.inputs[0].shape == (8, 6, 3)
    assert [n.name for n in loaded.graph.nodes][1:4] == [
        "conv_Conv",
        "bn_BatchNormalization",
        "relu_Relu",
    ]
    assert loaded.graph.outputs == ("output",)
    assert "channels first" in loaded.findings[0]


def test_fixed_batch_and_open_batch_give_one_graph(tmp_path: Path) -> None:
    fixed, opened = (read(m.saved(pytorch_cnn(17, b), tmp_path)) for b in (4, "n"))
    assert fixed.graph.shapes == opened.graph.shapes
    for (key, a), (other, b) in zip(fixed.graph.weights(), opened.graph.weights(), strict=True):
        assert key == other
        np.testing.assert_array_equal(a, b)


def test_tf2onnx_style_transposes_cancel(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    weights = {
        "w1": floats(rng, 4, 2, 3, 3),
        "w2": floats(rng, 5, 4, 1, 1),
        "b2": floats(rng, 1, 5, 1, 1),
        "k": floats(rng, 5, 3),
        "kb": floats(rng, 3),
        "pads": I64([0, 0, 0, 0, 0, 0, 1, 1]),
        "flat": I64([-1, 5]),
    }
    nodes = [
        node("Transpose", ["x"], ["x1"], "first", perm=[0, 3, 1, 2]),
        node("Pad", ["x1", "pads"], ["x2"]),
        node("Conv", ["x2", "w1"], ["c1"], "conv1", strides=[2, 2]),
        node("Transpose", ["c1"], ["c2"], perm=[0, 2, 3, 1]),
        node("LeakyRelu", ["c2"], ["r1"], "leaky", alpha=0.2),
        node("Transpose", ["r1"], ["r2"], perm=[0, 3, 1, 2]),
        node("Conv", ["r2", "w2"], ["d1"], "conv2"),
        node("Add", ["d1", "b2"], ["d2"]),
        node("Relu", ["d2"], ["e1"]),
        node("Transpose", ["e1"], ["e2"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["e2"], ["g"], "pool", axes=[1, 2], keepdims=0),
        node("Reshape", ["g", "flat"], ["h"]),
        node("MatMul", ["h", "k"], ["i"], "dense/MatMul"),
        node("Add", ["i", "kb"], ["j"], "dense/BiasAdd"),
        node("Softmax", ["j"], ["y"]),
    ]
    loaded = agrees(m.model(nodes, {"x": ("n", 8, 8, 2)}, ["y"], weights), tmp_path)
    assert "Transpose" not in m.kinds(loaded.graph)
    assert "Affine" not in m.kinds(loaded.graph)  # both additions became biases
    assert loaded.graph.inputs[0].shape == (8, 8, 2)
    assert not loaded.findings


def test_squeeze_and_excite(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    weights = {"w": floats(rng, 4, 3, 3, 3), "s": floats(rng, 4, 4, 1, 1), "z": floats(rng, 4, 4)}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("GlobalAveragePool", ["c"], ["g"]),
        node("Conv", ["g", "s"], ["e"]),
        node("HardSigmoid", ["e"], ["h"]),
        node("Mul", ["c", "h"], ["m"]),
        node("Flatten", ["g"], ["f"]),
        node("MatMul", ["f", "z"], ["q"]),
        node("Unsqueeze", ["q", "axes"], ["u"]),
        node("Add", ["m", "u"], ["y"]),
    ]
    result = m.model(nodes, {"x": ("n", 3, 6, 5)}, ["y"], weights | {"axes": I64([2, 3])}, opset=17)
    assert "Transpose" not in m.kinds(agrees(result, tmp_path).graph)


def test_residual_upsampling_and_two_outputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    weights = {
        "a": floats(rng, 3, 3, 3, 3),
        "b": floats(rng, 2, 6, 1, 1),
        "scales": np.float32([1, 1, 2, 2]),
        "k": floats(rng, 3, 4),
    }
    nodes = [
        node("Conv", ["x", "a"], ["c"], pads=[1] * 4),
        node("Add", ["c", "x"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["p", "", "scales"], ["u"], mode="nearest"),
        node("Concat", ["u", "x"], ["j"], axis=1),
        node("Conv", ["j", "b"], ["mask"]),
        node("GlobalAveragePool", ["p"], ["g"]),
        node("Squeeze", ["g", "axes"], ["s"]),
        node("MatMul", ["s", "k"], ["logits"]),
    ]
    result = m.model(
        nodes, {"x": (2, 3, 6, 4)}, ["mask", "logits"], weights | {"axes": I64([2, 3])}
    )
    loaded = agrees(result, tmp_path)
    assert loaded.graph.outputs == ("mask", "logits")
    assert loaded.graph.shapes["mask"] == (6, 4, 2)
    assert "Transpose" not in m.kinds(loaded.graph)


def test_flattened_features_keep_the_files_order(tmp_path: Path) -> None:
    """Channels-last data flattened, then read by more than a Dense: put in order once."""
    rng = np.random.default_rng(12)
    weights = {"w": floats(rng, 4, 3, 3, 3), "v": floats(rng, 4 * 4 * 3, 2)}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Flatten", ["c"], ["f"]),
        node("MatMul", ["f", "v"], ["y"]),
        node("Tanh", ["f"], ["z"]),
    ]
    loaded = agrees(m.model(nodes, {"x": (2, 3, 6, 5)}, ["y", "z"], weights), tmp_path)
    assert m.kinds(loaded.graph).count("Transpose") == 1


def test_constants_as_nodes_and_weights_that_are_computed(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    kernel = numpy_helper.from_array(floats(rng, 6, 5))
    nodes = [
        node("Constant", [], ["w"], value=kernel),
        node("Constant", [], ["two"], value_float=2.0),
        node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        node("Mul", ["wt", "two"], ["wtt"]),
        node("Sqrt", ["two"], ["root"]),
        node("MatMul", ["x", "wtt"], ["t"]),
        node("Div", ["t", "root"], ["y"]),
    ]
    loaded = agrees(m.model(nodes, {"x": ("n", 5)}, ["y"]), tmp_path)
    assert m.kinds(loaded.graph) == ["Input", "Dense", "Affine"]


def test_weights_listed_as_inputs_and_nodes_out_of_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    result = m.model(
        [node("Relu", ["t"], ["y"]), node("MatMul", ["x", "w"], ["t"])],
        {"x": (2, 4)},
        ["y"],
        {"w": floats(rng, 4, 3)},
    )
    result.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    loaded = read(m.saved(result, tmp_path))
    assert m.kinds(loaded.graph) == ["Input", "Dense", "Activation"]
    assert isinstance(loaded.graph.nodes[0], InputNode)


def test_a_batch_of_one_written_into_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Reshape", ["c", "s"], ["f"]),
        node("Gemm", ["f", "v"], ["y"]),
    ]
    weights = {"w": floats(rng, 4, 1, 3, 3), "s": I64([1, -1]), "v": floats(rng, 24, 2)}
    result = m.model(nodes, {"x": ("n", 1, 5, 4)}, ["y"], weights)
    assert agrees(result, tmp_path, batch=1).graph.shapes["y"] == (2,)


def test_conv1d_written_as_conv2d(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    nodes = [
        node("Unsqueeze", ["x", "axes"], ["u"]),
        node("Conv", ["u", "w"], ["c"]),
        node("Squeeze", ["c", "axes"], ["y"]),
    ]
    weights = {"axes": I64([2]), "w": floats(rng, 5, 4, 1, 3)}
    loaded = agrees(m.model(nodes, {"x": ("n", 4, 9)}, ["y"], weights), tmp_path)
    assert m.kinds(loaded.graph) == ["Input", "Reshape", "Conv", "Reshape"]
    assert loaded.graph.shapes["y"] == (7, 5)


def test_functions_are_written_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(16)
    double = helper.make_function(
        "mine",
        "Twice",
        ["a"],
        ["b"],
        [node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    result = m.model(
        [node("Twice", ["x"], ["t"], domain="mine"), node("MatMul", ["t", "w"], ["y"])],
        {"x": (2, 4)},
        ["y"],
        {"w": floats(rng, 4, 3)},
        domains={"mine": 1},
        functions=[double],
    )
    assert m.kinds(agrees(result, tmp_path).graph) == ["Input", "Merge", "Dense"]


def test_external_data_in_the_models_folder(tmp_path: Path) -> None:
    result = pytorch_cnn(17, 2)
    path = tmp_path / "net.onnx"
    onnx.save_model(result, str(path), save_as_external_data=True, location="net.bin",
                    size_threshold=0)  # fmt: skip
    beside = read(path)
    inside = read(m.saved(result, tmp_path, "whole.onnx"))
    for (_, a), (_, b) in zip(beside.graph.weights(), inside.graph.weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_half_precision_weights(tmp_path: Path) -> None:
    weights = {"w": np.float16([[0.5, 0.25], [1.5, -2.0]])}
    result = m.model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (1, 2)},
        ["y"],
        weights,
        input_type=TensorProto.FLOAT16,
    )
    dense = read(m.saved(result, tmp_path)).graph.nodes[-1]
    assert isinstance(dense, DenseNode)
    np.testing.assert_array_equal(dense.kernel, [[0.5, 0.25], [1.5, -2.0]])


def test_a_network_that_computes_in_float16(tmp_path: Path) -> None:
    """As tools for half precision leave it: real numbers of 32 bits at both ends."""
    rng = np.random.default_rng(8)
    weights = {"w": (rng.normal(size=(6, 5)) / 2).astype(np.float16)}
    weights["b"] = rng.normal(size=5).astype(np.float16)
    nodes = [
        node("Cast", ["x"], ["h"], "/in/Cast", to=TensorProto.FLOAT16),
        node("Gemm", ["h", "w", "b"], ["g"]),
        node("Relu", ["g"], ["r"]),
        node("Cast", ["r"], ["y"], "/out/Cast", to=TensorProto.FLOAT),
    ]
    path = m.saved(m.model(nodes, {"x": ("n", 6)}, ["y"], weights), tmp_path)
    loaded = read(path)
    assert [f for f in loaded.findings if "float16" in f and "'/in/Cast'" in f]
    x = rng.normal(size=(40, 6)).astype(np.float32)
    (theirs,) = m.runtime(path, {"x": x})
    (ours,) = m.computed(loaded, {"x": x}, [theirs.shape])
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=4e-3)


def test_a_format_of_11_bits_loses_nothing_in_float16() -> None:
    """What the finding about a cast says."""
    raw = np.arange(-(1 << 10), 1 << 10)
    for frac in range(-5, 25):
        values = np.ldexp(raw.astype(float), -frac)
        np.testing.assert_array_equal(values.astype(np.float16).astype(float), values)
