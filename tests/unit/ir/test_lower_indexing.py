# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Look-ups, sums by index and ranks: the Program's integers are NumPy's, whatever the index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import ModelError, ProgramError, UnsupportedModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.explain import explain
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.edgetpu.int8.convert import convert_graph
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Ints, Quantizer
from quantization.recipe import Recipe
from tests.support import float_graph
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_session import cache_of_the_session

__all__ = ["cache_of_the_session"]

SAMPLES = 6
X = Quantizer.parse("fixed<5,2>")


def lowered(
    node: g.IndexingNode, shape: g.Shape, index: g.Shape | None, **formats: str
) -> LoweredModel:
    """A network of one node."""
    inputs = [g.InputNode("x", shape), *([] if index is None else [g.InputNode("i", index)])]
    graph = g.Graph("one", (*inputs, node), (node.name,))
    recipe = {"x": X} | {name: Quantizer.parse(text) for name, text in formats.items()}
    return lower(graph, Recipe.of(recipe))


def drawn(model: LoweredModel, seed: int) -> dict[str, Ints]:
    """Raw inputs all over their types."""
    rng = np.random.default_rng(seed)
    return {
        op.name: rng.integers(
            op.type.raw_min, op.type.raw_max, (SAMPLES, *op.shape), np.int64, endpoint=True
        )
        for op in model.program.inputs
    }


def meant(node: g.IndexingNode, raw: dict[str, Ints], model: LoweredModel) -> Ints:
    """NumPy's result, raw."""
    program = model.program
    reals = [np.ldexp(raw[x].astype(float), -program.type(x).frac) for x in node.reads]
    value = node.values(*reals)
    return np.ldexp(value, program[program.outputs[0].value].type.frac).astype(np.int64)


def assert_meant(node: g.IndexingNode, model: LoweredModel, seed: int) -> dict[str, Ints]:
    raw = drawn(model, seed)
    out = model.program.outputs[0].value
    expected = meant(node, raw, model)
    np.testing.assert_array_equal(interpret(model.program, raw)[out], expected)
    results = Engine(model.program, threads=1).run(raw)
    np.testing.assert_array_equal(next(iter(results.values())), expected)
    return raw


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_a_look_up_reads_what_the_index_means(
    entries: int, columns: int, places: int, wide: bool, seed: int
) -> None:
    node = g.LookNode("y", "x", "i")
    model = lowered(node, (entries, columns), (places, columns if wide else 1))
    assert_meant(node, model, seed)


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_sums_by_index_are_numpys(
    rows: int, columns: int, count: int, wide: bool, seed: int
) -> None:
    node = g.ScatterNode("y", "x", "i", count)
    model = lowered(node, (rows, columns), (rows, columns if wide else 1))
    assert_meant(node, model, seed)


@settings(max_examples=25)
@given(st.data(), st.booleans(), st.booleans(), st.integers(0, 99))
def test_ranks_are_those_of_a_stable_sort(
    data: st.DataObject, smallest: bool, last: bool, seed: int
) -> None:
    size = data.draw(st.integers(1, 9))
    count = data.draw(st.integers(1, size))
    node = g.RankNode("y", "x", count, smallest, last)
    assert_meant(node, lowered(node, (3, size), None, x="fixed<3,2>"), seed)  # many are equal


@pytest.mark.parametrize("i", ["fixed<9,5>", "ufixed<3,3>", "fixed<3,5>", "fixed<12,12>"])
def test_an_index_of_any_format_is_rounded_down(i: str) -> None:
    node = g.LookNode("y", "x", "i")
    assert_meant(node, lowered(node, (5, 2), (7, 1), i=i), 3)


def test_an_index_of_its_own_format_holds_every_entry_and_some_that_are_none() -> None:
    model = lowered(g.LookNode("y", "x", "i"), (8, 1), (3, 1))
    held = model.program.type("i")
    assert held.frac == 0 and held.raw_min <= -9 and held.raw_max >= 8
    assert model.program.type("y") == X.type  # what is found is no wider than what was there


def embedding(index: g.Shape = (4, 1)) -> g.Graph:
    table = np.random.default_rng(1).normal(size=(6, 3))
    nodes = (
        g.InputNode("i", index),
        g.ConstantNode("table", table),
        g.LookNode("y", "table", "i"),
        g.DenseNode("d", "d", "y", np.random.default_rng(2).normal(size=(3, 2)), None),
    )
    return g.Graph("embedding", nodes, ("d",))


def test_an_embedding_is_one_table_in_the_format_of_what_it_feeds() -> None:
    graph = embedding()
    data = {"i": np.random.default_rng(0).integers(0, 6, (50, 4, 1)).astype(float)}
    chosen = quantize(graph, data, PtqSettings(6))
    model = lower(chosen.graph, chosen.recipe)
    kinds = [type(op).__name__ for op in model.program.ops]
    assert kinds == ["Input", "Scale", "Table", "Dense"]
    assert model.program.type(model.program.ops[2].name).bits == 6
    raw = {"i": data["i"].astype(np.int64)}
    out = model.program.outputs[0].value
    actual = np.ldexp(
        interpret(model.program, raw)[out].astype(float), -model.program.type(out).frac
    )
    expected = FloatEngine(graph).run(data)["d"]
    assert np.abs(actual - expected).max() < 0.3
    assert explain(model, graph, Samples(data, "drawn")).findings == ()


@pytest.mark.parametrize(
    ("node", "index"),
    [
        (g.LookNode("y", "x", "i"), (4, 1)),
        (g.LookNode("y", "x", "i"), (4, 3)),
        (g.ScatterNode("y", "x", "i", 4), (5, 1)),
        (g.RankNode("y", "x", 1, last=True), None),
        (g.RankNode("y", "x", 2, smallest=True), None),
    ],
)
def test_the_float_engine_finds_the_same(node: g.IndexingNode, index: g.Shape | None) -> None:
    inputs = [g.InputNode("x", (5, 3)), *([] if index is None else [g.InputNode("i", index)])]
    graph = g.Graph("one", (*inputs, node), ("y",))
    rng = np.random.default_rng(5)
    data = {"x": rng.integers(-2, 3, (7, 5, 3)) / 4}
    if index is not None:
        data["i"] = rng.integers(-8, 8, (7, *index)) / 2
    expected = float_graph.evaluate(graph, data)["y"]
    np.testing.assert_allclose(FloatEngine(graph).run(data)["y"], expected, rtol=1e-6)
    result = explain(lower(graph, Recipe.of({"x": X})), graph, Samples(data, "drawn"))
    assert result.findings == ()


def every_graph() -> g.Graph:
    """All of them: rows looked up, summed by the same index, and put in order."""
    nodes = (
        g.InputNode("x", (6, 3)),
        g.InputNode("i", (5, 1)),
        g.LookNode("looked", "x", "i"),
        g.ScatterNode("summed", "looked", "i", 4),
        g.TransposeNode("turned", "summed", (1, 0)),
        g.RankNode("order", "turned", 2),
        g.TransposeNode("columns", "order", (1, 0)),
        g.LookNode("best", "summed", "columns"),
        g.RankNode("least", "best", smallest=True),
        g.ConstantNode("table", np.arange(12.0).reshape(4, 3) / 8),
        g.LookNode("embedded", "table", "least"),
    )
    return g.Graph("every", nodes, ("summed", "best", "embedded"))


def every_model() -> LoweredModel:
    return lower(every_graph(), Recipe.of({"x": X}))


@pytest.mark.slow
@pytest.mark.parametrize("io", IoType)
def test_hls_simulates_every_node(io: IoType, tmp_path: Path) -> None:
    model, target, options = every_model(), HlsTarget(), HlsSettings(io=io)
    raw = drawn(model, 4)
    assert target.check(model.program, options) == ()
    target.emit(model.program, options).write(tmp_path)
    result = target.simulate(model.program, tmp_path, raw, options)
    for name, expected in Engine(model.program, threads=1).run(raw).items():
        np.testing.assert_array_equal(result[name], expected, err_msg=name)


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("options", [RtlSettings(), RtlSettings(unroll="full", unroll_most=10**6)])
def test_rtl_simulates_every_node(options: RtlSettings, tmp_path: Path) -> None:
    model, target = every_model(), RtlTarget()
    raw = drawn(model, 4)
    assert target.check(model.program, options) == ()
    target.emit(model.program, options).write(tmp_path)
    result = target.simulate(model.program, tmp_path, raw, options)
    for name, expected in Engine(model.program, threads=1).run(raw).items():
        np.testing.assert_array_equal(result[name], expected, err_msg=name)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(ModelError, match="comparisons"):
        lowered(g.LookNode("y", "x", "i"), (4096, 4), (4096, 1))
    nodes = (
        g.InputNode("i", (1, 1)),
        g.ConstantNode("table", np.zeros((65536, 3))),
        g.LookNode("y", "table", "i"),
    )
    with pytest.raises(ProgramError, match="a table of 262144 rows of 3 is too large"):
        lower(g.Graph("wide", nodes, ("y",)), Recipe())


@pytest.mark.slow
def test_the_edge_tpu_refuses_by_name() -> None:
    graph = embedding()
    with pytest.raises(UnsupportedModelError, match="fixed places"):
        convert_graph(graph, {"i": np.zeros((3, 4, 1))})
