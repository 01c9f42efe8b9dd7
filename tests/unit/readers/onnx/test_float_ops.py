# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every operator, alone or with its neighbours, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

RNG = np.random.default_rng(5)
I64 = np.int64


def one(*nodes, x=(2, 3, 8, 6), weights=None, opset=17, outputs=("y",), **more) -> ModelProto:
    """A model with the input x."""
    return m.model(nodes, {"x": x, **more}, outputs, weights, opset=opset)


def conv(**attributes) -> ModelProto:
    weights = {"w": floats(RNG, 4, 3, 3, 2), "b": floats(RNG, 4)}
    return one(node("Conv", ["x", "w", "b"], ["y"], **attributes), weights=weights)


def torch_local_norm() -> ModelProto:
    """LocalResponseNorm: a pool over an axis for the channels, which an If takes away again, as
    its size is not known while the network is traced."""
    branches = {}
    for name, kind in (("then_branch", "Squeeze"), ("else_branch", "Identity")):
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        inputs = ["mean", "one"] if kind == "Squeeze" else ["mean"]
        branches[name] = helper.make_graph([node(kind, inputs, [f"{name}_y"])], name, [], [out])
    return one(
        node("Mul", ["x", "x"], ["squares"]),
        node("Unsqueeze", ["squares", "one"], ["deep"]),
        node("Pad", ["deep", "pads"], ["padded"]),
        node("AveragePool", ["padded"], ["mean"], kernel_shape=[3, 1, 1], strides=[1, 1, 1]),
        node("Shape", ["mean"], ["shape"]),
        node("Gather", ["shape", "one"], ["size"]),
        node("Equal", ["size", "one"], ["alone"]),
        node("If", ["alone"], ["mean_"], **branches),
        node("Mul", ["mean_", "alpha"], ["scaled"]),
        node("Add", ["scaled", "k"], ["base"]),
        node("Pow", ["base", "beta"], ["divisor"]),
        node("Div", ["x", "divisor"], ["y"]),
        x=(2, 5, 4, 3),
        weights={
            "one": np.array([1]), "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 0]),
            "alpha": np.float32(0.7), "k": np.float32(1.5), "beta": np.float32(0.6),
        },
    )  # fmt: skip


MODELS: dict[str, Callable[[], ModelProto]] = {
    "conv": conv,
    "conv strides pads": lambda: conv(strides=[2, 1], pads=[1, 0, 2, 1]),
    "conv dilations": lambda: conv(dilations=[2, 3]),
    "conv same upper": lambda: conv(auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv same lower": lambda: conv(auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv valid": lambda: conv(auto_pad="VALID"),
    "depthwise": lambda: one(
        node("Conv", ["x", "w"], ["y"], group=3), weights={"w": floats(RNG, 6, 1, 3, 3)}
    ),
    "conv1d groups": lambda: one(
        node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1]),
        x=(2, 4, 9),
        weights={"w": floats(RNG, 6, 2, 3)},
    ),
    "gemm transB alpha beta": lambda: one(
        node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0),
        x=(2, 5),
        weights={"w": floats(RNG, 4, 5), "b": floats(RNG, 1, 4)},
    ),
    "gemm scalar bias": lambda: one(
        node("Gemm", ["x", "w", "b"], ["y"]),
        x=(2, 5),
        weights={"w": floats(RNG, 5, 4), "b": floats(RNG, 1)},
    ),
    "gemm with tensor": lambda: one(
        node("Gemm", ["x", "w"], ["c"]),
        node("Gemm", ["x", "v", "c"], ["y"], beta=3.0),
        x=(2, 5),
        weights={"w": floats(RNG, 5, 4), "v": floats(RNG, 5, 4)},
    ),
    "matmul add": lambda: one(
        node("MatMul", ["x", "w"], ["t"]),
        node("Add", ["b", "t"], ["y"]),
        x=(2, 7, 5),
        weights={"w": floats(RNG, 5, 4), "b": floats(RNG, 4)},
    ),
    "matmul read twice": lambda: one(
        node("MatMul", ["x", "w"], ["t"]),
        node("Add", ["t", "b"], ["u"]),
        node("Mul", ["t", "u"], ["y"]),
        x=(2, 5),
        weights={"w": floats(RNG, 5, 4), "b": floats(RNG, 4)},
    ),
    "matmul from the left": lambda: one(
        node("MatMul", ["w", "x"], ["y"]), x=(2, 5, 6), weights={"w": floats(RNG, 3, 5)}
    ),
    "matmul with a vector": lambda: one(
        node("MatMul", ["x", "w"], ["y"]), x=(2, 7, 5), weights={"w": floats(RNG, 5)}
    ),
    "matmul with a stack": lambda: one(
        node("MatMul", ["x", "w"], ["y"]), weights={"w": floats(RNG, 1, 3, 6, 4)}
    ),
    "matmul with a stack from the left": lambda: one(
        node("MatMul", ["w", "x"], ["y"]), weights={"w": floats(RNG, 1, 3, 5, 8)}
    ),
    "matmul with a stack after a transposition": lambda: one(
        node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
        node("MatMul", ["t", "w"], ["m"]),
        node("Add", ["m", "b"], ["y"]),
        weights={"w": floats(RNG, 1, 8, 3, 4), "b": floats(RNG, 8, 1, 4)},
    ),
    "gemm with a bias of every row": lambda: one(
        node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0),
        x=(1, 5),
        weights={"w": floats(RNG, 5, 4), "b": floats(RNG, 1, 1)},
    ),
    "batch norm": lambda: one(
        node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"], epsilon=1e-3),
        weights={k: floats(RNG, 3) for k in "gbm"} | {"v": np.float32([0.5, 1, 2])},
    ),
    "batch norm of features": lambda: one(
        node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"]),
        x=(2, 3),
        weights={k: floats(RNG, 3) for k in "gbm"} | {"v": np.float32([0.5, 1, 2])},
    ),
    "max pool": lambda: one(
        node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    ),
    "max pool ceil": lambda: one(
        node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 4], ceil_mode=1)
    ),
    "average pool": lambda: one(
        node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    ),
    "average pool counting pads": lambda: one(
        node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)
    ),
    "average pool 1d": lambda: one(
        node("AveragePool", ["x"], ["y"], kernel_shape=[3], strides=[2]), x=(2, 3, 9)
    ),
    "average pool counting pads but not what rounding up adds": lambda: one(
        node(
            "AveragePool",
            ["x"],
            ["y"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 0, 1, 0],
            ceil_mode=1,
            count_include_pad=1,
        ),
        x=(2, 3, 8, 7),
        opset=19,
    ),
    "max pool with holes": lambda: one(
        node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], dilations=[2, 3], strides=[1, 2])
    ),
    "average pool with holes": lambda: one(
        node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[3, 2]), opset=19
    ),
    **{
        f"transposed convolution {number}": (
            lambda attributes=attributes: one(
                node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes),
                x=(2, 4, 5, 3),
                weights={
                    "w": floats(RNG, 4, 6 // attributes.get("group", 1), 3, 2),
                    "b": floats(RNG, 6),
                },
            )
        )
        for number, attributes in enumerate(
            (
                {},
                {"strides": [2, 3]},
                {"strides": [2, 1], "pads": [1, 0, 1, 1], "output_padding": [1, 0]},
                {"strides": [3, 2], "group": 2, "dilations": [2, 1]},
                {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
                {"strides": [3, 2], "auto_pad": "SAME_LOWER"},
                {"strides": [3, 3], "output_shape": [14, 8]},
                {"pads": [3, 0, 0, 2]},
            )
        )
    },
    "transposed convolution of a row": lambda: one(
        node("ConvTranspose", ["x", "w"], ["y"], strides=[2], pads=[1, 1]),
        x=(2, 4, 7),
        weights={"w": floats(RNG, 4, 3, 4)},
    ),
    **{
        f"transposed convolution of a volume {number}": (
            lambda attributes=attributes: one(
                node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes),
                x=(2, 4, 3, 5, 3),
                weights={
                    "w": floats(RNG, 4, 6 // attributes.get("group", 1), 2, 3, 2),
                    "b": floats(RNG, 6),
                },
            )
        )
        for number, attributes in enumerate(
            (
                {},
                {"strides": [2, 3, 2]},
                {"strides": [2, 1, 3], "pads": [1, 0, 1, 1, 2, 0], "output_padding": [1, 0, 2]},
                {"strides": [3, 2, 2], "group": 2, "dilations": [2, 1, 3]},
                {"strides": [2, 2, 1], "auto_pad": "SAME_LOWER"},
                {"strides": [2, 3, 2]},
                {"pads": [2, 0, 1, 0, 2, 1]},
            )
        )
    },
    **{
        f"fold {number}": (
            lambda shape=shape, image=image, block=block, attributes=attributes: one(
                node("Col2Im", ["x", "i", "b"], ["y"], **attributes),
                x=shape,
                weights={"i": np.array(image), "b": np.array(block)},
                opset=18,
            )
        )
        for number, (shape, image, block, attributes) in enumerate(
            (
                ((2, 12, 4), [4, 6], [2, 3], {"strides": [2, 3]}),  # every place once
                ((2, 12, 9), [4, 5], [2, 3], {}),
                ((2, 8, 12), [7, 6], [2, 2], {"strides": [2, 3], "pads": [0, 1, 1, 1]}),
                ((2, 6, 10), [6, 7], [3, 2], {"dilations": [2, 2]}),
                ((2, 6, 4), [9], [3], {"strides": [2]}),
            )
        )
    },
    "norm of channels as PyTorch writes it": torch_local_norm,
    **{
        f"norm of {size} channels": (
            lambda size=size, x=x: one(
                node("LRN", ["x"], ["y"], size=size, alpha=0.7, beta=0.6, bias=1.5), x=x
            )
        )
        for size, x in ((3, (2, 5, 4, 3)), (5, (2, 7, 1, 6)), (9, (2, 5, 3, 1)))
    },
    "global average": lambda: one(node("GlobalAveragePool", ["x"], ["y"])),
    "global max": lambda: one(node("GlobalMaxPool", ["x"], ["y"])),
    "leaky": lambda: one(node("LeakyRelu", ["x"], ["y"], alpha=0.3)),
    "prelu": lambda: one(node("PRelu", ["x", "s"], ["y"]), weights={"s": floats(RNG, 3, 1, 1)}),
    "hard sigmoid": lambda: one(node("HardSigmoid", ["x"], ["y"], alpha=0.25)),
    "hard swish": lambda: one(node("HardSwish", ["x"], ["y"])),
    "elu": lambda: one(node("Elu", ["x"], ["y"], alpha=0.7)),
    "selu": lambda: one(node("Selu", ["x"], ["y"])),
    "softplus": lambda: one(node("Softplus", ["x"], ["y"])),
    "softsign": lambda: one(node("Softsign", ["x"], ["y"])),
    "tanh of exp": lambda: one(node("Exp", ["x"], ["t"]), node("Tanh", ["t"], ["y"])),
    "gelu": lambda: one(node("Gelu", ["x"], ["y"]), opset=20),
    "swish": lambda: one(node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])),
    "relu6 as clip": lambda: one(
        node("Clip", ["x", "lo", "hi"], ["y"]),
        weights={"lo": np.float32(0), "hi": np.float32(6)},
    ),
    "clip": lambda: one(
        node("Clip", ["x", "lo", "hi"], ["y"]),
        weights={"lo": np.float32(-0.2), "hi": np.float32(0.6)},
    ),
    "clip below": lambda: one(node("Clip", ["x", "lo"], ["y"]), weights={"lo": np.float32(-0.2)}),
    "abs neg": lambda: one(node("Abs", ["x"], ["t"]), node("Neg", ["t"], ["y"])),
    "min max constants": lambda: one(
        node("Max", ["x", "lo"], ["t"]),
        node("Min", ["t", "hi"], ["y"]),
        weights={"lo": np.float32(-0.1), "hi": floats(RNG, 1, 3, 1, 1)},
    ),
    **{
        kind: (lambda kind=kind: one(node(kind, ["x"], ["y"]), opset=18))
        for kind in (
            *("Asinh", "Atan", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Mish"),
            *("Reciprocal", "Round", "Sin", "Sinh", "Sign", "Neg", "Abs", "Celu"),
        )
    },
    **{
        f"{kind} within its domain": (
            lambda kind=kind: one(
                node("Sigmoid", ["x"], ["s"]),
                node("Add", ["s", "c"], ["t"]),
                node(kind, ["t"], ["y"]),
                weights={"c": np.float32(1 if kind == "Acosh" else 0)},
            )
        )
        for kind in ("Acos", "Acosh", "Asin", "Atanh", "Log", "Sqrt")
    },
    "celu": lambda: one(node("Celu", ["x"], ["y"], alpha=0.7)),
    "gelu by tanh": lambda: one(node("Gelu", ["x"], ["y"], approximate="tanh"), opset=20),
    "gelu in parts": lambda: one(
        node("Div", ["x", "r"], ["d"]),
        node("Erf", ["d"], ["e"]),
        node("Add", ["e", "o"], ["a"]),
        node("Mul", ["x", "a"], ["m"]),
        node("Mul", ["m", "h"], ["y"]),
        weights={"r": np.float32(2**0.5), "o": np.float32(1), "h": np.float32(0.5)},
    ),
    "selu of one's own": lambda: one(node("Selu", ["x"], ["y"], alpha=1.1, gamma=0.7)),
    "thresholded relu": lambda: one(node("ThresholdedRelu", ["x"], ["y"], alpha=0.3)),
    "shrink": lambda: one(node("Shrink", ["x"], ["y"], lambd=0.4, bias=0.2)),
    **{
        f"power {exponent}": (
            lambda exponent=exponent: one(
                node("Exp", ["x"], ["t"]),
                node("Pow", ["t", "e"], ["y"]),
                weights={"e": np.float32(exponent)},
            )
        )
        for exponent in (0.5, -1, 3, -2, 1.5)
    },
    "cube": lambda: one(node("Pow", ["x", "e"], ["y"]), weights={"e": np.float32(3)}),
    "quotient of tensors": lambda: one(
        node("Sigmoid", ["x"], ["s"]), node("Div", ["x", "s"], ["y"])
    ),
    "constant over a tensor": lambda: one(
        node("Sigmoid", ["x"], ["s"]),
        node("Div", ["c", "s"], ["y"]),
        weights={"c": floats(RNG, 3, 1, 1)},
    ),
    "softmax over several axes before 13": lambda: one(
        node("Softmax", ["x"], ["y"], axis=2), opset=11
    ),
    "square": lambda: one(node("Pow", ["x", "e"], ["y"]), weights={"e": np.float32(2)}),
    "arithmetic with constants": lambda: one(
        node("Mul", ["x", "a"], ["p"]),
        node("Sub", ["c", "p"], ["q"]),
        node("Div", ["q", "d"], ["y"]),
        weights={"a": floats(RNG, 3, 1, 1), "c": np.float32(0.3), "d": floats(RNG, 1, 1, 8, 6)},
    ),
    "constant that grows the tensor": lambda: one(
        node("Add", ["x", "a"], ["y"]), x=(2, 1, 4), weights={"a": floats(RNG, 3, 4)}
    ),
    "sum and mean": lambda: one(
        node("Relu", ["x"], ["r"]),
        node("Sum", ["x", "r", "x"], ["s"]),
        node("Mean", ["s", "x"], ["y"]),
    ),
    "softmax": lambda: one(node("Softmax", ["x"], ["y"], axis=1)),
    "softmax last": lambda: one(node("Softmax", ["x"], ["y"])),
    "softmax before 13": lambda: one(node("Softmax", ["x"], ["y"]), x=(2, 5), opset=11),
    "shift of flattened channels with an axis behind them": lambda: one(
        node("Conv", ["x", "w"], ["c"]),
        node("Flatten", ["c"], ["f"]),
        node("Unsqueeze", ["f", "a"], ["u"]),
        node("Add", ["u", "b"], ["y"]),
        x=(2, 1, 6),
        weights={"w": floats(RNG, 3, 1, 2), "a": I64([2]), "b": floats(RNG, 15, 1)},
    ),
    "transpose": lambda: one(node("Transpose", ["x"], ["y"], perm=[0, 2, 1, 3])),
    "reshape": lambda: one(node("Reshape", ["x", "s"], ["y"]), weights={"s": I64([0, -1, 4])}),
    "time distributed": lambda: one(
        node("Reshape", ["x", "s"], ["r"]),
        node("MatMul", ["r", "w"], ["t"]),
        node("Relu", ["t"], ["u"]),
        node("Reshape", ["u", "z"], ["y"]),
        x=("n", 7, 5),
        weights={"w": floats(RNG, 5, 4), "s": I64([-1, 5]), "z": I64([-1, 7, 4])},
    ),
    "squeeze unsqueeze": lambda: one(
        node("Unsqueeze", ["x", "a"], ["t"]),
        node("Relu", ["t"], ["u"]),
        node("Squeeze", ["u", "b"], ["y"]),
        x=(2, 3, 1, 4),
        weights={"a": I64([1]), "b": I64([3])},
    ),
    "concat": lambda: one(node("Concat", ["x", "z"], ["y"], axis=-1), z=(2, 3, 8, 1)),
    "concat channels": lambda: one(
        node("MaxPool", ["x"], ["p"], kernel_shape=[1, 1]),
        node("MaxPool", ["z"], ["q"], kernel_shape=[1, 1]),
        node("Concat", ["p", "q"], ["y"], axis=1),
        z=(2, 5, 8, 6),
    ),
    "concat with a constant": lambda: one(
        node("Concat", ["x", "c"], ["y"], axis=1), x=(1, 3, 4), weights={"c": floats(RNG, 1, 2, 4)}
    ),
    "split": lambda: one(
        node("Split", ["x", "s"], ["a", "b"], axis=1),
        node("Concat", ["b", "a"], ["y"], axis=1),
        weights={"s": I64([1, 2])},
    ),
    "split 18": lambda: one(
        node("Split", ["x"], ["a", "b", "c"], axis=2, num_outputs=3),
        node("Concat", ["c", "b", "a"], ["y"], axis=2),
        opset=18,
    ),
    "slice": lambda: one(
        node("Slice", ["x", "s", "e", "a", "t"], ["y"]),
        weights={"s": I64([1, -6]), "e": I64([99, -1]), "a": I64([3, -2]), "t": I64([2, 1])},
    ),
    "gather one": lambda: one(node("Gather", ["x", "i"], ["y"], axis=2), weights={"i": I64(3)}),
    "gather some": lambda: one(
        node("Gather", ["x", "i"], ["y"], axis=3), weights={"i": I64([2, 3, 4])}
    ),
    "pad": lambda: one(
        node("Pad", ["x", "p", "v"], ["y"]),
        weights={"p": I64([0, 0, 1, 2, 0, 0, 3, 0]), "v": np.float32(0.5)},
    ),
    "pad by axes": lambda: one(
        node("Pad", ["x", "p", "", "a"], ["y"]),
        weights={"p": I64([1, 2, 1, 0]), "a": I64([2, -1])},
        opset=18,
    ),
    "resize by scales": lambda: one(
        node("Resize", ["x", "", "s"], ["y"], mode="nearest"),
        weights={"s": np.float32([1, 1, 2, 3])},
    ),
    "resize by sizes": lambda: one(
        node(
            "Resize",
            ["x", "", "", "s"],
            ["y"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        weights={"s": I64([2, 3, 16, 12])},
    ),
    "reduce mean over space": lambda: one(
        node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    ),
    "reduce mean 18": lambda: one(
        node("ReduceMean", ["x", "a"], ["y"]), weights={"a": I64([-1])}, opset=18
    ),
    "reduce over channels": lambda: one(node("ReduceMax", ["x"], ["y"], axes=[1])),
    "reduce sum": lambda: one(
        node("ReduceSum", ["x", "a"], ["y"], keepdims=0), weights={"a": I64([1, 3])}
    ),
    "depth to space": lambda: one(
        node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD"), x=(2, 8, 3, 5)
    ),
    "depth to space dcr": lambda: one(
        node("DepthToSpace", ["x"], ["y"], blocksize=2), x=(2, 8, 3, 5)
    ),
    "space to depth": lambda: one(node("SpaceToDepth", ["x"], ["y"], blocksize=2)),
    "dropout identity cast": lambda: one(
        node("Dropout", ["x"], ["d"]),
        node("Identity", ["d"], ["i"]),
        node("Cast", ["i"], ["y"], to=1),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    result = MODELS[name]()
    path = m.saved(result, tmp_path)
    rng = np.random.default_rng(6)
    feeds = {}
    for value in result.graph.input:
        dims = [d.dim_value or 2 for d in value.type.tensor_type.shape.dim]
        feeds[value.name] = m.floats(rng, *dims)
    theirs = m.runtime(path, feeds)
    loaded = read(path)
    ours = m.computed(loaded, feeds, [y.shape for y in theirs])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)
    assert not loaded.recipe.activations
    assert not loaded.recipe.weights
