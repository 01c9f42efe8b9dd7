# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small networks as Brevitas and as tf2onnx write them: their names, layouts and detours."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from tests.support.onnx_models import BREVITAS, floats, model, node

F, I64 = np.float32, np.int64


def constant(name: str, value: Any) -> NodeProto:
    """A Constant node, where others have an initialiser."""
    return node("Constant", [], [name], f"{name}_const", value=numpy_helper.from_array(value))


def brevitas(seed: int, *, powers_of_two: bool = False) -> ModelProto:
    """A quantized CNN through torch.onnx: channels first, numbered tensors, weights through Quant
    with a scale for each channel, biases through Quant with the product of the scales, a Transpose
    of the quantized matrix, and Constant nodes for zero points and widths."""
    rng = np.random.default_rng(seed)
    steps = np.exp2(rng.integers(-5, -2, 4)) if powers_of_two else rng.uniform(0.03, 0.2, 4)
    sx, sr = (F(2.0**-4), F(2.0**-2)) if powers_of_two else (F(0.0471), F(0.183))
    w1 = steps.astype(F).reshape(4, 1, 1, 1)
    s2 = F(2.0**-3) if powers_of_two else F(0.0913)

    def quant(x: str, y: str, scale: str, bits: str, **attributes: Any) -> NodeProto:
        said = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
        return node("Quant", [x, scale, "zero", bits], [y], f"/q/{y}", domain=BREVITAS, **said)

    nodes = [
        constant("zero", F(0)),
        constant("four", F(4)),
        constant("eight", F(8)),
        constant("sixteen", F(16)),
        quant("input.1", "17", "inp.scale", "eight"),
        quant("features.0.weight", "25", "features.0.scale", "four", narrow=1),
        quant("features.0.bias", "31", "features.0.bias_scale", "sixteen"),
        node(
            "Conv", ["17", "25", "31"], ["32"], "/features/features.0/Conv", dilations=[1, 1],
            group=1, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1],
        ),
        node("Relu", ["32"], ["33"], "/features/features.1/act_quant/Relu"),
        quant("33", "40", "act.scale", "four", signed=0),
        node("MaxPool", ["40"], ["41"], "/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        constant("42", I64([1, -1])),
        node("Reshape", ["41", "42"], ["43"], "/Reshape"),
        quant("classifier.weight", "50", "classifier.scale", "four", narrow=1),
        node("Transpose", ["50"], ["51"], "/classifier/Transpose", perm=[1, 0]),
        node("MatMul", ["43", "51"], ["52"], "/classifier/MatMul"),
        node("Add", ["classifier.bias", "52"], ["53"], "/classifier/Add"),
    ]  # fmt: skip
    weights = {
        "inp.scale": sx, "act.scale": sr,
        "features.0.weight": floats(rng, 4, 2, 3, 3) * F(0.3), "features.0.scale": w1,
        "features.0.bias": floats(rng, 4), "features.0.bias_scale": w1.reshape(-1) * sx,
        "classifier.weight": floats(rng, 3, 24) * F(0.3), "classifier.scale": s2,
        "classifier.bias": np.round(floats(rng, 3) / (s2 * sr)) * (s2 * sr),
    }  # fmt: skip
    result = model(nodes, {"input.1": (1, 2, 6, 4)}, ["53"], weights, domains={BREVITAS: 1})
    result.producer_name = "pytorch"
    return result


def tf2onnx(seed: int) -> ModelProto:
    """A Keras CNN through tf2onnx: channels last with a Transpose before and after every
    convolution, a depthwise kernel behind a Reshape, names with slashes and colons, a flattening
    through a shape that is computed, and a batch norm folded into Mul and Add."""
    rng = np.random.default_rng(seed)
    at = "StatefulPartitionedCall/net/"
    first, last = [0, 3, 1, 2], [0, 2, 3, 1]
    nodes = [
        node("Transpose", ["x:0"], [f"{at}c1/Conv2D__6:0"], f"{at}c1/Conv2D__6", perm=first),
        node(
            "Conv", [f"{at}c1/Conv2D__6:0", "k1", "b1"], [f"{at}c1/BiasAdd:0"], f"{at}c1/BiasAdd",
            auto_pad="SAME_UPPER", dilations=[1, 1], group=1, kernel_shape=[3, 3], strides=[2, 2],
        ),
        node("Relu", [f"{at}c1/BiasAdd:0"], [f"{at}c1/Relu:0"], f"{at}c1/Relu"),
        node("Transpose", [f"{at}c1/Relu:0"], [f"{at}c1/Relu__8:0"], f"{at}c1/Relu__8", perm=last),
        node("Mul", [f"{at}c1/Relu__8:0", "gamma"], [f"{at}bn/mul:0"], f"{at}bn/mul"),
        node("Add", [f"{at}bn/mul:0", "beta"], [f"{at}bn/add:0"], f"{at}bn/add"),
        node("Reshape", ["k2", "k2_shape"], [f"{at}d/depthwise__9:0"], f"{at}d/depthwise__9"),
        node("Transpose", [f"{at}bn/add:0"], [f"{at}d/depthwise__10:0"], "d__10", perm=first),
        node(
            "Conv", [f"{at}d/depthwise__10:0", f"{at}d/depthwise__9:0"], [f"{at}d/depthwise:0"],
            f"{at}d/depthwise", group=4, kernel_shape=[2, 2], strides=[1, 1],
        ),
        node("Transpose", [f"{at}d/depthwise:0"], [f"{at}d/depthwise__12:0"], "d__12", perm=last),
        node("LeakyRelu", [f"{at}d/depthwise__12:0"], [f"{at}act:0"], f"{at}act", alpha=0.25),
        node("Shape", [f"{at}act:0"], ["shape:0"], f"{at}flatten/Shape"),
        node("Cast", ["shape:0"], ["shape__14:0"], f"{at}flatten/Shape__14", to=7),
        node("Slice", ["shape__14:0", "s0", "s1", "s0"], ["batch:0"], f"{at}flatten/slice"),
        node("Concat", ["batch:0", "rest"], ["to:0"], f"{at}flatten/concat", axis=0),
        node("Reshape", [f"{at}act:0", "to:0"], [f"{at}flat:0"], f"{at}flatten/Reshape"),
        node("MatMul", [f"{at}flat:0", "k3"], [f"{at}out/MatMul:0"], f"{at}out/MatMul"),
        node("Add", [f"{at}out/MatMul:0", "b3"], [f"{at}out/add:0"], f"{at}out/BiasAdd"),
        node("Softmax", [f"{at}out/add:0"], ["Identity:0"], f"{at}out/Softmax"),
    ]  # fmt: skip
    weights = {
        "k1": floats(rng, 4, 2, 3, 3) * F(0.4), "b1": floats(rng, 4) * F(0.3),
        "gamma": np.abs(floats(rng, 4)) + F(0.3), "beta": floats(rng, 1, 1, 1, 4),
        "k2": floats(rng, 2, 2, 4, 1).transpose(2, 3, 0, 1).copy(), "k2_shape": I64([4, 1, 2, 2]),
        "s0": I64([0]), "s1": I64([1]), "rest": I64([-1]),
        "k3": floats(rng, 24, 3) * F(0.3), "b3": floats(rng, 3),
    }  # fmt: skip
    result = model(nodes, {"x:0": ("unk__1", 8, 6, 2)}, ["Identity:0"], weights, opset=15)
    result.producer_name = "tf2onnx"
    return result
