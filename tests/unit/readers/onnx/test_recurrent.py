# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""RNN, LSTM and GRU of ONNX: the Graph computes what ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from edgeinfer.base.errors import ModelError, UnsupportedModelError
from edgeinfer.graph.nodes import ScanNode
from edgeinfer.readers import load
from tests.support import float_graph
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node
from tests.support.sampling import sample_cases

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
FUNCTIONS = {"RNN": 1, "LSTM": 3, "GRU": 2}
PLAIN = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
SHAPED = {"Affine": 2, "LeakyRelu": 1, "ScaledTanh": 2, "HardSigmoid": 2, "Elu": 1}


def weights_of(
    rng: np.random.Generator, kind: str, ways: int, features: int, units: int
) -> dict[str, Any]:
    """W, R and B."""
    rows = GATES[kind] * units
    return {
        "W": floats(rng, ways, rows, features) * 0.5,
        "R": floats(rng, ways, rows, units) * 0.5,
        "B": floats(rng, ways, 2 * rows) * 0.5,
    }


def draw_options(rng: np.random.Generator, kind: str, ways: int) -> dict[str, Any]:
    """Random attributes."""
    way = rng.choice(["forward", "reverse"]) if ways == 1 else "bidirectional"
    results: dict[str, Any] = {"direction": str(way)}
    if rng.random() < 0.4:
        names = [str(rng.choice([*PLAIN, *SHAPED])) for _ in range(ways * FUNCTIONS[kind])]
        results["activations"] = names
        takers = [SHAPED[name] for name in names if name in SHAPED]
        if takers:
            results["activation_alpha"] = rng.uniform(0.1, 0.9, len(takers)).tolist()
        if 2 in takers:
            results["activation_beta"] = rng.uniform(0.1, 0.9, takers.count(2)).tolist()
    if rng.random() < 0.3:
        results["clip"] = float(rng.uniform(0.2, 1.0))
    if kind == "GRU":
        results["linear_before_reset"] = int(rng.random() < 0.5)
    return results


@pytest.mark.parametrize("seed", sample_cases(range(150), 8))
def test_random_operators(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(list(GATES)))
    ways, steps, features, units = (int(rng.integers(1, high)) for high in (3, 7, 5, 5))
    options = draw_options(rng, kind, ways)
    constants = weights_of(rng, kind, ways, features, units)
    feeds = {"x": floats(rng, steps, 1, features)}
    inputs = ["x", "W", "R", "B" if rng.random() < 0.7 else ""]
    if rng.random() < 0.5:
        inputs += [""]
        for name in ("h", "c")[: 2 if kind == "LSTM" else 1]:
            inputs.append(name)
            start = floats(rng, ways, 1, units)
            (feeds if rng.random() < 0.5 else constants)[name] = start
    if rng.random() < 0.3:
        inputs += [""] * (5 - len(inputs))
        inputs[4] = "lengths"
        constants["lengths"] = rng.integers(1, steps, 1, np.int32, endpoint=True)
    outputs = ["y", "yh", "yc"][: 3 if kind == "LSTM" else 2]
    kept = [name for name in outputs if rng.random() < 0.7] or ["y"]
    nodes = [node(kind, inputs, [n if n in kept else "" for n in outputs], "r",
                  hidden_size=units, **options)]  # fmt: skip
    shapes = {name: list(value.shape) for name, value in feeds.items()}
    path = m.saved(m.model(nodes, shapes, kept, constants), tmp_path)
    expected = m.runtime(path, feeds, fixed=True)
    loaded = load(path, batch_axis=1)
    given = [np.moveaxis(feeds[one.name], 1, 0).astype(float) for one in loaded.graph.inputs]
    result = float_graph.outputs(loaded.graph, given)
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=2e-5, rtol=2e-5)


def test_in_a_branch_that_is_always_taken(tmp_path: Path) -> None:
    """Which of its outputs are read, counts in the graph of the If."""
    rng = np.random.default_rng(6)
    weights, x = weights_of(rng, "GRU", 1, 3, 4), floats(rng, 5, 1, 3)
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    inner = [
        node("GRU", ["x", *weights], ["all", "last"], "r", hidden_size=4),
        node("Tanh", ["last"], ["inner"]),
    ]
    branch = helper.make_graph(inner, "then", [], [out])
    choice = node("If", ["always"], ["y"], then_branch=branch, else_branch=branch)
    constants = weights | {"always": np.asarray(True)}
    path = m.saved(m.model([choice], {"x": [5, 1, 3]}, ["y"], constants), tmp_path)
    loaded = load(path, batch_axis=1)
    (result,) = float_graph.outputs(loaded.graph, [np.moveaxis(x, 1, 0).astype(float)])
    (wanted,) = m.runtime(path, {"x": x}, fixed=True)
    np.testing.assert_allclose(result.reshape(wanted.shape), wanted, atol=2e-5, rtol=2e-5)


def batch_first(kind: str, *, both: bool, last: bool) -> tuple[list[NodeProto], dict[str, Any]]:
    """What exporters write for two layers in a network whose batch is in front: transpositions
    around the operators, states of zeros for whatever the batch is, and a head."""
    rng = np.random.default_rng(5)
    ways = 2 if both else 1
    way = "bidirectional" if both else "forward"
    states = ["h0", "h0"] if kind == "LSTM" else ["h0"]
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("Shape", ["t"], ["shape"]),
        node("Gather", ["shape", "one"], ["count"], axis=0),
        node("Concat", ["ways", "count", "units"], ["state_shape"], axis=0),
        node("ConstantOfShape", ["state_shape"], ["h0"]),
    ]
    weights: dict[str, Any] = {
        "one": np.asarray([1]), "ways": np.asarray([ways]), "units": np.asarray([4]),
        "flat": np.asarray([0, 0, -1]), "minus": np.asarray(-1), "single": np.asarray([1]),
    }  # fmt: skip
    x, features = "t", 3
    for layer in ("a", "b"):
        own = weights_of(rng, kind, ways, features, 4)
        weights |= {f"{key}{layer}": value for key, value in own.items()}
        read = [x, *(f"{key}{layer}" for key in own), "", *states]
        nodes += [
            node(kind, read, [f"y{layer}", f"yh{layer}"], layer, hidden_size=4, direction=way),
            node("Transpose", [f"y{layer}"], [f"z{layer}"], perm=[0, 2, 1, 3]),
            node("Reshape", [f"z{layer}", "flat"], [f"s{layer}"]),
        ]
        x, features = f"s{layer}", 4 * ways
    nodes.append(node("Transpose", [x], ["front"], perm=[1, 0, 2]))
    weights["v"] = floats(rng, features, 2)
    if last:
        nodes.append(node("Gather", ["front", "minus"], ["end"], axis=1))
    nodes.append(node("MatMul", ["end" if last else "front", "v"], ["out"]))
    return nodes, weights


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_networks_whose_batch_is_in_front(
    kind: str, both: bool, last: bool, tmp_path: Path
) -> None:
    nodes, weights = batch_first(kind, both=both, last=last)
    path = m.saved(m.model(nodes, {"x": ["batch", 6, 3]}, ["out"], weights), tmp_path)
    loaded = load(path)
    scans = [made for made in loaded.graph.nodes if isinstance(made, ScanNode)]
    assert len(scans) == (4 if both else 2)
    x = floats(np.random.default_rng(1), 3, 6, 3)
    (result,) = float_graph.outputs(loaded.graph, [x.astype(float)])
    rows = [m.runtime(path, {"x": one[None]})[0][0] for one in x]
    np.testing.assert_allclose(result, np.stack(rows), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(
    ("options", "more", "reason"),
    [
        ({}, {"P": np.ones((1, 12))}, "has peepholes .* train it without"),
        ({"input_forget": 1}, {}, "input gate is one minus its forget gate"),
        ({}, {"lengths": np.asarray([7], np.int32)}, "sequence_lens are .* has 6 steps"),
        ({"direction": "sideways"}, {}, "its direction is 'sideways'"),
        ({"activations": ["Sigmoid", "Swirl", "Tanh"]}, {}, "activation 'Swirl' is not known"),
    ],
)
def test_what_is_not_supported_is_named(
    options: dict[str, Any], more: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    weights = weights_of(rng, "LSTM", 1, 3, 4) | {k: v.astype(np.float32) if k == "P" else v
                                                   for k, v in more.items()}  # fmt: skip
    read = ["x", "W", "R", "B", "lengths" if "lengths" in more else ""]
    read += ["", "", "P"] if "P" in more else []
    nodes = [node("LSTM", read, ["y"], "cell", hidden_size=4, **options)]
    path = m.saved(m.model(nodes, {"x": [6, 1, 3]}, ["y"], weights), tmp_path)
    with pytest.raises(UnsupportedModelError, match=rf"(?s)'cell' making 'y' .LSTM.: .*{reason}"):
        load(path, batch_axis=1)


@pytest.mark.parametrize("both", [False, True])
def test_a_network_that_changes_one_sample_by_another_is_refused(
    both: bool, tmp_path: Path
) -> None:
    """The mean over the batch is nothing for one sample, for which the network is read."""
    nodes, weights = batch_first("LSTM", both=both, last=False)
    nodes += [
        node("ReduceMean", ["out"], ["mean"], axes=[0], keepdims=1),
        node("Sub", ["out", "mean"], ["apart"]),
    ]
    path = m.saved(m.model(nodes, {"x": ["batch", 6, 3]}, ["apart"], weights, opset=13), tmp_path)
    with pytest.raises(ModelError, match="changes one sample by another"):
        load(path)


def test_steps_along_the_axis_of_samples_are_not_read_as_samples(tmp_path: Path) -> None:
    weights = weights_of(np.random.default_rng(0), "GRU", 1, 3, 4)
    nodes = [node("GRU", ["x", "W", "R", "B"], ["y"], "cell", hidden_size=4)]
    path = m.saved(m.model(nodes, {"x": ["steps", 1, 3]}, ["y"], weights), tmp_path)
    with pytest.raises(UnsupportedModelError, match="--batch-axis"):
        load(path)
