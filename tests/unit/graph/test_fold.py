# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Batch norms fold without changing the function; open formats are filled by stated rules."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.complete import BITS, INPUT, complete_recipe
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat

RNG = np.random.default_rng(3)


def norm(name: str, x: str, channels: int) -> g.BatchNormNode:
    gamma, beta, mean = RNG.normal(size=(3, channels))
    return g.BatchNormNode(name, name, x, gamma, beta, mean, RNG.uniform(0.1, 2, channels), 1e-3)


def dense(name: str, x: str, inputs: int, outputs: int, bias: bool = True) -> g.DenseNode:
    shift = RNG.normal(size=outputs) if bias else None
    return g.DenseNode(name, name, x, RNG.normal(size=(inputs, outputs)), shift)


def applied(node: g.Node, x: np.ndarray) -> np.ndarray:
    if isinstance(node, g.DenseNode):
        return x @ node.kernel + (0 if node.bias is None else node.bias)
    assert isinstance(node, g.BatchNormNode | g.AffineNode)
    return x * node.scale + node.shift


def test_a_chain_of_norms_folds_into_one_layer_with_the_same_values() -> None:
    first = dense("d", "x", 3, 4, bias=False)
    affine = g.AffineNode("a", "a", "n", RNG.normal(size=(1, 4)), np.array([0.5]))
    chain = (first, norm("n", "d", 4), affine)
    last = dense("e", "a", 4, 2)
    graph = g.Graph("net", (g.InputNode("x", (3,)), *chain, last), ("e",))
    folded = fold_batch_norms(graph)
    assert [type(node).__name__ for node in folded.nodes] == ["InputNode", "DenseNode", "DenseNode"]
    x = RNG.normal(size=(7, 3))
    expected = x
    for node in (*chain, last):
        expected = applied(node, expected)
    result = applied(folded.nodes[2], applied(folded.nodes[1], x))
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert folded.nodes[1].name == "d" and folded.nodes[2].x == "d"


def test_what_may_not_fold_stays() -> None:
    base = (g.InputNode("x", (3,)), dense("d", "x", 3, 4))
    read_twice = g.Graph(
        "net", (*base, norm("n", "d", 4), g.MergeNode("y", ("d", "n"), g.MergeKind.ADD)), ("y",)
    )
    linear_is_output = g.Graph("net", (*base, norm("n", "d", 4)), ("d", "n"))
    shared = g.Graph(
        "net",
        (
            *base,
            g.DenseNode("d2", "d", "x", base[1].kernel, base[1].bias),
            norm("n", "d", 4),
            norm("m", "d2", 4),
        ),
        ("n", "m"),
    )
    for graph in (read_twice, linear_is_output, shared):
        assert len(fold_batch_norms(graph).nodes) == len(graph.nodes)
    kept = g.Graph("net", (*base, norm("n", "d", 4)), ("n",))
    assert len(fold_batch_norms(kept, keep={"n"}).nodes) == 3


def test_an_output_keeps_its_name_and_later_readers_find_it() -> None:
    graph = g.Graph(
        "net",
        (
            g.InputNode("x", (3,)),
            dense("d", "x", 3, 4),
            norm("n", "d", 4),
            g.ConcatNode("c", ("n", "x"), -1),
        ),
        ("n", "c"),
    )
    folded = fold_batch_norms(graph)
    assert [node.name for node in folded.nodes] == ["x", "n", "c"]
    assert folded.outputs == ("n", "c") and g.inputs_of(folded.node("c")) == ("n", "x")


def test_open_formats_are_filled_and_said() -> None:
    graph = g.Graph(
        "net", (g.InputNode("x", (3,)), dense("d", "x", 3, 4), norm("n", "d", 4)), ("n",)
    )
    inputs = Quantizer.parse("fixed<6,2>")
    done = complete_recipe(graph, Recipe.of(weights={"d/kernel": WeightFormat.of(inputs)}))
    assert done.recipe.activation("x") == INPUT
    assert done.recipe.weight("d/kernel") == WeightFormat.of(inputs)
    scale = done.recipe.weight("n/scale")
    assert scale is not None and scale.bits == BITS and len(scale.quantizers) == 4
    assert any("d/bias has no format" in finding for finding in done.findings)
    assert any("x: the input has no format" in finding for finding in done.findings)
    again = complete_recipe(graph, done.recipe)
    assert again.recipe == done.recipe and again.findings == ()


def test_an_input_takes_the_format_to_which_it_is_rounded_first() -> None:
    narrow, wide = Quantizer.parse("fixed<6,2>"), Quantizer.parse("fixed<9,2>")
    first = g.ActivationNode("a", "x", g.Function.LINEAR)
    second = g.ActivationNode("b", "x", g.Function.LINEAR)
    graph = g.Graph("net", (g.InputNode("x", (3,)), first, second), ("a", "b"))
    for also, result in [(narrow, narrow), (wide, INPUT)]:
        filled = complete_recipe(graph, Recipe.of({"a": narrow, "b": also}))
        assert filled.recipe.activation("x") == result


def test_an_input_rounded_through_a_scale_gets_that_range_and_finer_steps() -> None:
    graph = g.Graph(
        "net",
        (
            g.InputNode("x", (3,)),
            g.AffineNode("a", "a", "x", np.array([255.0]), np.array([3.0])),
            g.ActivationNode("q", "a", g.Function.LINEAR),
        ),
        ("q",),
    )
    recipe = Recipe.of({"q": Quantizer.parse("ufixed<8,8>")})
    result = complete_recipe(graph, recipe).recipe.activation("x")
    assert result is not None
    assert result.type.min <= (0 - 3) / 255 and result.type.max >= (255 - 3) / 255
    assert result.type.lsb <= 1 / 255 / 32
