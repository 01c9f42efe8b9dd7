# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Look-ups and sums by an index that is an input, the largest elements and their places: from Keras
and ONNX, held against what these libraries compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.readers import load
from tests.support import onnx_models as m

RNG = np.random.default_rng(2)
X = RNG.integers(-3, 4, (3, 5, 4)).astype(np.float32)  # with many equal elements
I64, F32 = TensorProto.INT64, TensorProto.FLOAT
Feeds = Mapping[str, NDArray[Any]]


def numbers(*shape: int, low: int = 0, high: int = 5) -> NDArray[np.int64]:
    return np.random.default_rng(4).integers(low, high, shape)


def onnx_file(
    nodes: list[Any], feeds: Feeds, outputs: int, folder: Path, weights: Feeds, batch: str | int
) -> Path:
    """A file whose inputs are fed: whole numbers where those are."""
    entries = [
        helper.make_tensor_value_info(
            name, I64 if value.dtype.kind == "i" else F32, [batch, *value.shape[1:]]
        )
        for name, value in feeds.items()
    ]
    result = m.model(nodes, {}, [f"y{n}" for n in range(outputs)], weights, opset=18)
    result.graph.input.extend(entries)
    whole = nodes[-1].op_type.startswith("Arg") or outputs == 2
    result.graph.output[-1].type.tensor_type.elem_type = I64 if whole else F32
    return m.saved(result, folder)


ELEMENTS = {"x": X, "i": numbers(3, 2, 4, low=-5)}
SPREAD = {"x": X, "i": numbers(3, 5, 4, low=-6, high=6)}
CASES: dict[str, tuple[list[Any], Feeds, Feeds]] = {
    "GatherElements": (
        [helper.make_node("GatherElements", ["x", "i"], ["y0"], axis=1)], ELEMENTS, {},
    ),
    "GatherElements by one column": (
        [
            helper.make_node("Expand", ["i", "wide"], ["j"]),
            helper.make_node("GatherElements", ["x", "j"], ["y0"], axis=1),
        ],
        {"x": X, "i": numbers(3, 2, 1)},
        {"wide": np.array([1, 1, 4])},
    ),
    "GatherND": (
        [helper.make_node("GatherND", ["x", "i"], ["y0"], batch_dims=1)],
        {"x": X, "i": numbers(3, 6, 1, low=-5)},
        {},
    ),
    "embedding": (
        [helper.make_node("Gather", ["table", "i"], ["y0"])],
        {"i": numbers(3, 4, low=-5)},
        {"table": RNG.normal(size=(5, 2)).astype(np.float32)},
    ),
    "ScatterElements": (
        [helper.make_node("ScatterElements", ["zero", "i", "x"], ["y0"], axis=1, reduction="add")],
        SPREAD,
        {"zero": np.zeros((3, 6, 4), np.float32)},
    ),
    "ScatterElements onto x": (
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("ScatterElements", ["x", "i", "r"], ["y0"], axis=2, reduction="add"),
        ],
        {"x": X, "i": numbers(3, 5, 4, high=4)},
        {},
    ),
    "OneHot": (
        [helper.make_node("OneHot", ["i", "depth", "ends"], ["y0"])],
        {"i": numbers(3, 4)},
        {"depth": np.array(5), "ends": np.array([0, 1], np.float32)},
    ),
    **{
        f"{kind} {axis} {keep} {last}": (
            [
                helper.make_node(
                    kind, ["x"], ["y0"], axis=axis, keepdims=keep, select_last_index=last
                )
            ],
            {"x": X},
            {},
        )
        for kind, axis, keep, last in (
            ("ArgMax", 1, 0, 0), ("ArgMax", -1, 1, 1), ("ArgMin", 2, 0, 1), ("ArgMin", 1, 1, 0),
        )
    },
    **{
        f"TopK {axis} {largest}": (
            [helper.make_node("TopK", ["x", "k"], ["y0", "y1"], axis=axis, largest=largest)],
            {"x": X},
            {"k": np.array([3])},
        )
        for axis, largest in ((-1, 1), (1, 0))
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_onnx_operators_are_read_as_onnx_runtime_has_them(name: str, tmp_path: Path) -> None:
    nodes, feeds, weights = CASES[name]
    path = onnx_file(nodes, feeds, len(nodes[-1].output), tmp_path, weights, 3)
    graph = load(path).graph
    results = FloatEngine(graph).run(feeds)
    for output, expected in zip(graph.outputs, m.runtime(path, feeds), strict=True):
        np.testing.assert_array_equal(results[output], expected, err_msg=output)


FIXED = np.array([0, 2, 2, 1, -1])  # an edge list that the file stores
ROWS = {
    "added to zeros": ("add", FIXED, np.zeros((3, 4, 2))),
    "added to constants": ("add", FIXED, np.arange(24.0).reshape(3, 4, 2)),
    "added to a tensor": ("add", FIXED, None),
    "put into constants": ("none", np.array([3, 0, 1]), np.arange(24.0).reshape(3, 4, 2)),
    "put into a tensor": ("none", np.array([3, 0, 1]), None),
}


@pytest.mark.parametrize("name", ROWS)
def test_computed_rows_go_where_constants_say(name: str, tmp_path: Path) -> None:
    """As PyTorch exports index_add with the edges of a fixed graph."""
    reduction, places, onto = ROWS[name]
    feeds = {"u": RNG.normal(size=(3, len(places), 2)).astype(np.float32)}
    weights = {"i": np.broadcast_to(places[None, :, None], feeds["u"].shape).copy()}
    if onto is None:
        feeds["x"] = RNG.normal(size=(3, 4, 2)).astype(np.float32)
    else:
        weights["x"] = np.broadcast_to(onto[:1], onto.shape).astype(np.float32)
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y0"], axis=1, reduction=reduction)
    path = onnx_file([node], feeds, 1, tmp_path, weights, 3)
    (result,) = m.computed(load(path), feeds, None)
    (expected,) = m.runtime(path, feeds)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_rows_that_meet_without_a_sum_are_refused(tmp_path: Path) -> None:
    feeds = {"u": RNG.normal(size=(3, 5, 2)).astype(np.float32)}
    index = np.broadcast_to(FIXED[None, :, None], (3, 5, 2)).copy()
    weights = {"i": index, "x": np.zeros((3, 4, 2), np.float32)}
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y0"], axis=1)
    with pytest.raises(EdgeInferError, match="meet in one entry; 'add' can be read"):
        load(onnx_file([node], feeds, 1, tmp_path, weights, 3))


def test_an_index_that_exporters_spread_is_read_once(tmp_path: Path) -> None:
    nodes, feeds, weights = CASES["GatherElements by one column"]
    graph = load(onnx_file(nodes, feeds, 1, tmp_path, weights, 3)).graph
    (look,) = (node for node in graph.nodes if isinstance(node, g.LookNode))
    assert graph.shapes[look.index] == (2, 1)


def interaction(folder: Path) -> tuple[Path, Feeds]:
    """A graph network of one sample, as exporters write it: messages along edges, summed again."""
    x, edges = RNG.normal(size=(5, 3)).astype(np.float32), numbers(2, 7, low=-5)
    nodes = [
        helper.make_node("Gather", ["edges", "zero"], ["from"], axis=0),
        helper.make_node("Gather", ["edges", "one"], ["to"], axis=0),
        helper.make_node("Gather", ["x", "from"], ["sent"], axis=0),
        helper.make_node("Gather", ["x", "to"], ["met"], axis=0),
        helper.make_node("Concat", ["sent", "met"], ["pairs"], axis=1),
        helper.make_node("MatMul", ["pairs", "weights"], ["message"]),
        helper.make_node("Unsqueeze", ["to", "last"], ["column"]),
        helper.make_node("ScatterND", ["nothing", "column", "message"], ["y0"], reduction="add"),
    ]
    weights = {
        "zero": np.array(0),
        "one": np.array(1),
        "last": np.array([1]),
        "weights": RNG.normal(size=(6, 4)).astype(np.float32),
        "nothing": np.zeros((5, 4), np.float32),
    }
    feeds = {"x": x, "edges": edges}
    result = m.model(nodes, {"x": (5, 3)}, ["y0"], weights, opset=18)
    result.graph.input.append(helper.make_tensor_value_info("edges", I64, [2, 7]))
    return m.saved(result, folder), feeds


def test_a_graph_network_of_one_sample(tmp_path: Path) -> None:
    path, feeds = interaction(tmp_path)
    graph = load(path, batch_axis=None).graph
    results = FloatEngine(graph).run({name: value[None] for name, value in feeds.items()})
    (expected,) = m.runtime(path, feeds, fixed=True)
    np.testing.assert_allclose(results["y0"][0], expected, atol=1e-5)


def test_looking_across_samples_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["x", "i"], ["y0"], axis=1)]
    path = onnx_file(nodes, {"x": X, "i": numbers(3, 2)}, 1, tmp_path, {}, "n")
    with pytest.raises(EdgeInferError, match="chooses among samples"):
        load(path)


def test_other_reductions_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ScatterElements", ["x", "i", "x"], ["y0"], axis=1, reduction="mul")]
    path = onnx_file(nodes, SPREAD, 1, tmp_path, {}, 3)
    with pytest.raises(EdgeInferError, match="'add' can be read"):
        load(path)


def _keras(name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    import keras

    return lambda x, i: getattr(keras.ops, name)(x, *arguments, **options)


def _take_along(x: Any, i: Any) -> Any:
    import keras

    return keras.ops.take_along_axis(x, i[:, :, None], axis=1)


def _take_neighbours(x: Any, i: Any) -> Any:
    """Two of the rows for each row, as EdgeConv takes them."""
    import keras

    index = keras.ops.repeat(i[:, None], 5, axis=1)
    return keras.ops.take_along_axis(x[:, None], index[..., None], axis=2)


def _take_rows(x: Any, i: Any) -> Any:
    import keras

    return keras.ops.take(np.arange(10, dtype="float32").reshape(5, 2), i, axis=0) + x[:, :2, :2]


def _embed(x: Any, i: Any) -> Any:
    import keras

    return keras.layers.Embedding(5, 4, name="e")(i) + x[:, :2]


def _sum_by_index(x: Any, i: Any) -> Any:
    import keras

    return keras.ops.matmul(keras.ops.transpose(keras.ops.one_hot(i, 6), (0, 2, 1)), x[:, :2])


def _discretize(x: Any, i: Any) -> Any:
    """Intervals, of which an element that lies on an edge is in the upper one."""
    import keras

    del i
    L, edges = keras.layers, [7.0, 20.5, 30.0, 41.1]
    rows = L.Discretization(edges, output_mode="one_hot")(x[:, :, 0])
    return L.Embedding(5, 2, name="e")(L.Discretization(edges)(x)), rows


KERAS: dict[str, Callable[[], Callable[..., Any]]] = {
    "take_along_axis": lambda: _take_along,
    "take_along_axis of neighbours": lambda: _take_neighbours,
    "take": lambda: _take_rows,
    "Embedding": lambda: _embed,
    "Discretization": lambda: _discretize,
    "one_hot": lambda: _sum_by_index,
    "argmax": lambda: _keras("argmax", axis=1),
    "argmin": lambda: _keras("argmin", axis=-1, keepdims=True),
    "top_k": lambda: _keras("top_k", 2),
    "sort": lambda: _keras("sort", axis=1),
    "argsort": lambda: _keras("argsort", axis=-1),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras_operations_are_read_as_keras_has_them(name: str, tmp_path: Path) -> None:
    import keras

    inputs = [keras.Input((5, 4), name="x"), keras.Input((2,), dtype="int32", name="i")]
    result = KERAS[name]()(*inputs)
    model = keras.Model(inputs, list(result) if isinstance(result, (list, tuple)) else result)
    model.save(tmp_path / "net.keras")
    x = np.random.default_rng(1).permuted(np.arange(60.0).reshape(3, 5, 4), axis=None)  # no equals
    feeds = {"x": x.astype("f4"), "i": numbers(3, 2)}
    wanted = model.predict(list(feeds.values()), verbose=0)
    graph = load(tmp_path / "net.keras").graph
    results = FloatEngine(graph).run(feeds)
    wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    for output, expected in zip(graph.outputs, wanted, strict=True):
        np.testing.assert_allclose(results[output], expected, rtol=1e-6, err_msg=output)


def _across_samples(x: Any, i: Any) -> Any:
    import keras

    return keras.ops.take(x, i, axis=1)


def _segments(x: Any, i: Any) -> Any:
    import keras

    return keras.ops.segment_sum(x, np.array([0, 1, 1]), num_segments=2) + i[:, :1, None]


@pytest.mark.parametrize(
    ("call", "said"), [(_across_samples, "take_along_axis"), (_segments, "one_hot")]
)
def test_keras_operations_that_mix_samples_are_refused(
    call: Callable[..., Any], said: str, tmp_path: Path
) -> None:
    import keras

    inputs = [keras.Input((5, 4), name="x"), keras.Input((2,), dtype="int32", name="i")]
    keras.Model(inputs, call(*inputs)).save(tmp_path / "net.keras")
    with pytest.raises(EdgeInferError, match=said):
        load(tmp_path / "net.keras")
