# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks whose batch is not in front, or that are drawn for one sample and have none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

import edgeinfer
from edgeinfer.base.errors import EdgeInferError, UsageError
from edgeinfer.cli.options import axis_of_word
from edgeinfer.readers import load
from tests.support import onnx_models as m
from tests.support.command_line import shown
from tests.support.onnx_models import floats, node

I64 = np.int64
RNG = np.random.default_rng(12)
Network = tuple[list[NodeProto], tuple[int, ...], dict[str, Any]]
SAMPLES: dict[str, Network] = {  # nodes, the shape of x, weights
    "one axis": ([node("Mul", ["x", "w"], ["y"])], (5,), {"w": floats(RNG, 5)}),
    "one number": ([node("Relu", ["x"], ["y"])], (), {}),
    "all axes alike": (
        [node("Transpose", ["x"], ["t"], perm=[2, 0, 1]), node("Add", ["t", "w"], ["y"])],
        (3, 4, 5),
        {"w": floats(RNG, 5, 1, 4)},
    ),
    "a constant that grows it": (
        [node("Mul", ["x", "w"], ["y"])], (4, 5), {"w": floats(RNG, 3, 4, 1)},
    ),
    "everything summed": ([node("ReduceSum", ["x"], ["y"], keepdims=0)], (3, 4), {}),
    "the first axis summed": (
        [node("ReduceMean", ["x"], ["y"], axes=[0, 2], keepdims=0)], (3, 4, 5), {},
    ),
    "one image": (
        [node("Conv", ["x", "w"], ["c"]), node("Flatten", ["c"], ["f"]),
         node("Gemm", ["f", "v"], ["y"])],
        (1, 2, 4, 4),
        {"w": floats(RNG, 3, 2, 3, 3), "v": floats(RNG, 12, 2)},
    ),
    "rows": ([node("MatMul", ["x", "w"], ["y"])], (3, 4), {"w": floats(RNG, 4, 2)}),
    "columns": (
        [node("Gemm", ["x", "w", "b"], ["y"], transA=1, beta=0.5)],
        (4, 3),
        {"w": floats(RNG, 4, 2), "b": floats(RNG, 3, 2)},
    ),
    "a constant from the left": (
        [node("Gemm", ["w", "x", "b"], ["y"], transB=1, alpha=2.0)],
        (3, 4),
        {"w": floats(RNG, 2, 4), "b": floats(RNG, 2, 1)},
    ),
    "a vector": ([node("MatMul", ["x", "w"], ["y"])], (4,), {"w": floats(RNG, 4, 2)}),
    "a stack of matrices": (
        [node("MatMul", ["x", "w"], ["y"])], (3, 2, 4), {"w": floats(RNG, 3, 4, 5)},
    ),
    "a row joined": (
        [node("Concat", ["x", "w"], ["y"], axis=0)], (3, 4), {"w": floats(RNG, 2, 4)},
    ),
    "a cut along the first axis": (
        [node("Slice", ["x", "s", "e"], ["y"])], (5, 2), {"s": I64([1]), "e": I64([4])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_a_network_for_one_sample_is_as_onnx_runtime_has_it(name: str, tmp_path: Path) -> None:
    nodes, shape, weights = SAMPLES[name]
    path = m.saved(m.model(nodes, {"x": shape}, ["y"], weights), tmp_path)
    x = floats(np.random.default_rng(4), *shape)
    (theirs,) = m.runtime(path, {"x": x}, fixed=True)
    (ours,) = m.computed(load(path, batch_axis=None), {"x": x[None]}, [(1, *theirs.shape)])
    np.testing.assert_allclose(ours[0], theirs, rtol=1e-5, atol=1e-5)


def test_a_batch_behind_the_steps_of_a_sequence(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("ReduceMax", ["m"], ["y"], axes=[0])]
    weights = {"w": floats(RNG, 3, 2)}
    path = m.saved(m.model(nodes, {"x": (6, "batch", 3)}, ["y"], weights), tmp_path)
    graph = load(path, batch_axis=1).graph
    assert graph.inputs[0].shape == (6, 3)
    x = floats(np.random.default_rng(4), 6, 7, 3)
    (theirs,) = m.runtime(path, {"x": x}, fixed=True)
    (ours,) = m.computed(load(path, batch_axis=1), {"x": np.moveaxis(x, 1, 0)}, None)
    np.testing.assert_allclose(ours, np.moveaxis(theirs, 1, 0), rtol=1e-5, atol=1e-6)


def attention_behind_the_steps() -> Network:
    """PyTorch's attention moves samples behind steps and back, and repeats a token for each."""
    nodes = [
        node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "zero"], ["count"]),
        node("Concat", ["count", "rest"], ["size"], axis=0),
        node("Expand", ["token", "size"], ["e"]), node("Concat", ["e", "x"], ["all"], axis=1),
        node("Transpose", ["all"], ["t"], perm=[1, 0, 2]), node("MatMul", ["t", "w"], ["q"]),
        node("Transpose", ["q"], ["a"], perm=[1, 0, 2]),
        node("Transpose", ["q"], ["b"], perm=[1, 2, 0]),
        node("MatMul", ["a", "b"], ["s"]), node("Softmax", ["s"], ["y"], axis=-1),
    ]  # fmt: skip
    weights = {"zero": I64([0]), "rest": I64([1, 4]), "token": floats(RNG, 1, 1, 4)}
    return nodes, (5, 4), weights | {"w": floats(RNG, 4, 4)}


def test_samples_may_go_behind_the_steps_and_back(tmp_path: Path) -> None:
    nodes, shape, weights = attention_behind_the_steps()
    path = m.saved(m.model(nodes, {"x": ("n", *shape)}, ["y"], weights), tmp_path)
    loaded = load(path)
    assert any("one sample at a time" in finding for finding in loaded.findings)
    x = floats(np.random.default_rng(4), 7, *shape)
    (theirs,) = m.runtime(path, {"x": x})
    (ours,) = m.computed(loaded, {"x": x}, [theirs.shape])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_last_state_of_unrolled_steps(tmp_path: Path) -> None:
    """PyTorch stacks the states of all layers before the samples, and takes the last one."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]), node("MatMul", ["t", "w"], ["m"]),
        node("Slice", ["m", "four", "five", "zero"], ["step"]),
        node("Squeeze", ["step", "zero"], ["state"]), node("Tanh", ["state"], ["h"]),
        node("Unsqueeze", ["h", "zero"], ["states"]),
        node("Gather", ["states", "last"], ["y"], axis=0),
    ]  # fmt: skip
    weights = {"w": floats(RNG, 3, 4), "last": I64(-1)}
    weights |= {"zero": I64([0]), "four": I64([4]), "five": I64([5])}
    path = m.saved(m.model(nodes, {"x": ("n", 5, 3)}, ["y"], weights), tmp_path)
    x = floats(np.random.default_rng(4), 7, 5, 3)
    (theirs,) = m.runtime(path, {"x": x})
    (ours,) = m.computed(load(path), {"x": x}, [theirs.shape])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


MIXED = {
    "attention over samples": [
        node("Transpose", ["t"], ["tt"], perm=[0, 2, 1]), node("MatMul", ["t", "tt"], ["q"]),
        node("Softmax", ["q"], ["p"], axis=-1), node("MatMul", ["p", "t"], ["s"]),
    ],
    "a softmax over samples": [node("Softmax", ["t"], ["s"], axis=1)],
    "their mean": [
        node("ReduceMean", ["t"], ["mean"], axes=[1]), node("Sub", ["t", "mean"], ["s"])
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_samples_that_meet_behind_the_steps_are_refused(name: str, tmp_path: Path) -> None:
    """As PyTorch's attention without batch_first=True mixes the samples of a batch."""
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0, 2]), *MIXED[name]]
    nodes += [node("Transpose", ["s"], ["y"], perm=[1, 0, 2])]
    path = m.saved(m.model(nodes, {"x": ("n", 5, 3)}, ["y"]), tmp_path)
    with pytest.raises(EdgeInferError, match="moves the batch axis"):
        load(path)


def test_a_rank_without_that_axis_is_refused(tmp_path: Path) -> None:
    path = m.saved(m.model([node("Relu", ["x"], ["y"])], {"x": (2, 3)}, ["y"]), tmp_path)
    with pytest.raises(EdgeInferError, match="cannot be axis 2"):
        load(path, batch_axis=2)


def test_several_samples_elsewhere_than_in_front_are_refused(tmp_path: Path) -> None:
    path = m.saved(m.model([node("Relu", ["x"], ["y"])], {"x": (2, 3)}, ["y"]), tmp_path)
    with pytest.raises(EdgeInferError, match="batch of 3 in axis 1"):
        load(path, batch_axis=1)


def test_several_images_without_a_batch_are_refused(tmp_path: Path) -> None:
    nodes = [node("MaxPool", ["x"], ["y"], kernel_shape=[2])]
    path = m.saved(m.model(nodes, {"x": (2, 3, 4)}, ["y"]), tmp_path)
    with pytest.raises(EdgeInferError, match="--batch-axis"):
        load(path, batch_axis=None)


def test_quotients_of_integers_are_refused(tmp_path: Path) -> None:
    result = m.model([node("Div", ["x", "w"], ["y"])], {"x": (2, 3)}, ["y"],
                   {"w": np.int32([2])}, input_type=6)  # fmt: skip
    with pytest.raises(EdgeInferError, match="divides integers"):
        load(m.saved(result, tmp_path))


def test_keras_has_its_batch_in_front(tmp_path: Path) -> None:
    import keras

    x = keras.Input((3,))
    keras.Model(x, keras.layers.ReLU()(x)).save(tmp_path / "net.keras")
    with pytest.raises(EdgeInferError, match="first axis is always the batch"):
        load(tmp_path / "net.keras", batch_axis=None)


def test_the_command_line_reads_as_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Relu", ["m"], ["y"])]
    path = m.saved(m.model(nodes, {"x": (3, 4)}, ["y"], {"w": floats(RNG, 4, 2)}), tmp_path)
    folder = tmp_path / "run"
    call = ["compile", str(path), "--target", "none", "--bits", "8", "-o", str(folder)]
    assert shown(capsys, *call, "--batch-axis", "none")["program"]["inputs"][0]["shape"] == [3, 4]
    again = shown(capsys, "simulate", str(folder), "--stage", "interpret", "--samples", "3")
    assert all(entry["bit_identical"] for entry in again["agreement"])
    shown(capsys, *call)
    afterwards = json.loads((folder / "result.json").read_text())["program"]
    assert afterwards["inputs"][0]["shape"] == [4]  # the first axis counts samples after all
    assert edgeinfer.load(path, batch_axis=None).quantize(8).program.inputs[0].shape == (3, 4)


def test_a_word_that_is_no_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no axis"):
        axis_of_word("first")
    assert (axis_of_word("none"), axis_of_word("-1")) == (None, -1)
