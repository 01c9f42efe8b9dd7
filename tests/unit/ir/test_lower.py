# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Lowering: a Graph and a Recipe become the integers that float arithmetic on the grid gives."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import ProgramError, RecipeError
from edgeinfer.graph import nodes as g
from edgeinfer.graph.functions import evaluate
from edgeinfer.ir import ops
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import averaged_counts, lower
from edgeinfer.ir.program import HostFunction
from quantization.fixed import Quantizer, dequantize, quantize
from quantization.recipe import Recipe, WeightFormat

RNG = np.random.default_rng(7)


def q(text: str) -> Quantizer:
    return Quantizer.parse(text)


def w(text: str) -> WeightFormat:
    return WeightFormat.of(q(text))


def unary(node: g.Node, recipe: Recipe, shape: tuple[int, ...] = (6,)) -> g.Graph:
    return g.Graph("net", (g.InputNode("x", shape), node), (node.name,))


def values_of(graph: g.Graph, recipe: Recipe, inputs: dict[str, np.ndarray], **options: bool):
    """Real outputs of the lowered network, by name."""
    program = lower(graph, recipe, **options).program
    raw = {
        name: quantize(x, recipe.activation(name) or q("fixed<16,6>")) for name, x in inputs.items()
    }
    result = interpret(program, raw)
    return {o.name: dequantize(result[o.value], program.type(o.value)) for o in program.outputs}


GRID = np.ldexp(np.arange(-128, 128, dtype=float), -5)[:, None]  # every value of fixed<8,3>
X = {"x": q("fixed<8,3>")}
EXACT = [
    (g.Function.LINEAR, ()),
    (g.Function.RELU, ()),
    (g.Function.RELU6, ()),
    (g.Function.LEAKY_RELU, (0.25,)),
    (g.Function.HARD_TANH, ()),
    (g.Function.SIGN, ()),
    (g.Function.TERNARY, (0.3,)),
    (g.Function.TERNARY, (0.5,)),
    (g.Function.HARD_SIGMOID, (0.5, 0.5)),
]


@pytest.mark.parametrize(("function", "parameters"), EXACT)
@pytest.mark.parametrize("input_format", ["fixed<8,3>", "fixed<8,10>", "ufixed<6,9>"])
def test_piecewise_linear_functions_are_exact(function, parameters, input_format) -> None:
    quantizer = q(input_format)
    type_ = quantizer.type
    grid = dequantize(np.arange(type_.raw_min, type_.raw_max + 1), type_)[:, None]
    node = g.ActivationNode("y", "x", function, parameters)
    graph = unary(node, Recipe(), (1,))
    result = values_of(graph, Recipe.of({"x": quantizer}), {"x": grid})
    assert result["y"].tolist() == evaluate(function, parameters, grid).tolist()


@pytest.mark.parametrize("function", [g.Function.SIGMOID, g.Function.TANH, g.Function.SOFTPLUS])
def test_a_table_holds_the_rounded_function(function: g.Function) -> None:
    recipe = Recipe.of({**X, "y": q("fixed<9,2>")})
    graph = unary(g.ActivationNode("y", "x", function), recipe, (1,))
    result = values_of(graph, recipe, {"x": GRID})["y"]
    expected = dequantize(
        quantize(evaluate(function, (), GRID), q("fixed<9,2>")), q("fixed<9,2>").type
    )
    assert result.tolist() == expected.tolist()
    program = lower(graph, recipe).program
    assert [type(op) for op in program.ops] == [ops.Input, ops.Table]


def test_a_function_and_the_rounding_after_it_are_one_table() -> None:
    curve, rounding = (
        g.ActivationNode("y", "x", g.Function.TANH),
        g.ActivationNode("z", "y", g.Function.LINEAR),
    )
    graph = g.Graph("net", (g.InputNode("x", (1,)), curve, rounding), ("z",))
    x = np.ldexp(np.arange(-128, 128, dtype=float), -5)[:, None]
    recipe = Recipe.of(X | {"z": q("fixed<4,1,RND_CONV,SAT_SYM>")})
    assert [type(op) for op in lower(graph, recipe).program.ops] == [ops.Input, ops.Table]
    expected = dequantize(
        quantize(np.tanh(x), q("fixed<4,1,RND_CONV,SAT_SYM>")), q("fixed<4,1>").type
    )
    assert values_of(graph, recipe, {"x": x})["z"].tolist() == expected.tolist()


def test_linear_layers_equal_exact_arithmetic_on_the_grid() -> None:
    kernel, bias = RNG.normal(size=(3, 3, 2, 4)), RNG.normal(size=4)
    graph = g.Graph(
        "net",
        (
            g.InputNode("x", (6, 6, 2)),
            g.ConvNode("c", "c", "x", kernel, bias, (2, 1), ((1, 0), (0, 1)), (1, 1)),
            g.ActivationNode("r", "c", g.Function.RELU),
        ),
        ("c", "r"),
    )
    recipe = Recipe.of(
        {"x": q("ufixed<5,1>"), "r": q("ufixed<4,2>")},
        {"c/kernel": w("fixed<5,2>"), "c/bias": w("fixed<9,2>")},
    )
    x = np.ldexp(RNG.integers(0, 32, size=(3, 6, 6, 2)).astype(float), -4)
    result = values_of(graph, recipe, {"x": x})
    k = np.ldexp(quantize(kernel, q("fixed<5,2>")).astype(float), -3)
    b = np.ldexp(quantize(bias, q("fixed<9,2>")).astype(float), -7)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0)))
    expected = np.zeros((3, 3, 5, 4))
    for i in range(3):
        for j in range(5):
            patch = padded[:, 2 * i : 2 * i + 3, j : j + 3]
            expected[:, i, j] = np.einsum("bhwc,hwco->bo", patch, k) + b
    assert result["c"].tolist() == expected.tolist()
    kept = np.clip(np.rint(expected * 4), 0, 15) / 4
    assert result["r"].tolist() == kept.tolist()


def test_a_batch_norm_is_folded_unless_the_recipe_names_its_scale() -> None:
    norm = g.BatchNormNode("n", "n", "d", *RNG.uniform(0.5, 2, size=(4, 3)), 1e-3)
    graph = g.Graph(
        "net",
        (g.InputNode("x", (2,)), g.DenseNode("d", "d", "x", RNG.normal(size=(2, 3)), None), norm),
        ("n",),
    )
    folded = lower(graph, Recipe.of(X, {"d/kernel": w("fixed<8,3>"), "d/bias": w("fixed<8,3>")}))
    assert [type(op) for op in folded.program.ops] == [ops.Input, ops.Dense]
    kept = lower(graph, Recipe.of(X, {"d/kernel": w("fixed<8,3>"), "n/scale": w("fixed<8,3>")}))
    assert [type(op) for op in kept.program.ops] == [ops.Input, ops.Dense, ops.Scale]
    assert kept.program.outputs[0].name == folded.program.outputs[0].name == "n"


def test_a_format_of_a_folded_norm_rounds_the_merged_layer() -> None:
    norm = g.BatchNormNode("n", "n", "d", *RNG.uniform(0.5, 2, size=(4, 3)), 1e-3)
    dense = g.DenseNode("d", "d", "x", RNG.normal(size=(2, 3)), None)
    relu = g.ActivationNode("y", "n", g.Function.RELU)
    graph = g.Graph("net", (g.InputNode("x", (2,)), dense, norm, relu), ("y",))
    narrow = q("fixed<4,2>")
    merged = lower(graph, Recipe.of(X | {"n": narrow})).program
    assert [type(op) for op in merged.ops] == [ops.Input, ops.Dense, ops.Requant, ops.Clip]
    both = lower(graph, Recipe.of(X | {"d": narrow, "n": narrow})).program
    expected = [ops.Input, ops.Dense, ops.Requant, ops.Scale, ops.Requant, ops.Clip]
    assert [type(op) for op in both.ops] == expected
    last = g.Graph("net", graph.nodes[:3], ("n",))
    assert [type(op) for op in lower(last, Recipe.of(X | {"d": narrow})).program.ops] == expected[
        :4
    ]


@pytest.mark.parametrize("kind", list(g.MergeKind))
def test_merges_of_three_with_broadcasting(kind: g.MergeKind) -> None:
    formats = {"a": q("fixed<6,3>"), "b": q("fixed<5,4>"), "c": q("ufixed<4,0>")}
    shapes = {"a": (2, 3), "b": (3,), "c": (2, 1)}
    inputs = tuple(g.InputNode(name, shape) for name, shape in shapes.items())
    names = ("a", "b", "c") if kind is not g.MergeKind.SUBTRACT else ("a", "b")
    used = inputs[: len(names)]
    graph = g.Graph("net", (*used, g.MergeNode("y", names, kind)), ("y",))
    data = {
        name: dequantize(
            RNG.integers(f.type.raw_min, f.type.raw_max + 1, (5, *shapes[name])), f.type
        )
        for name, f in formats.items()
        if name in names
    }
    result = values_of(
        graph, Recipe.of(formats if len(names) == 3 else {n: formats[n] for n in names}), data
    )["y"]
    full = [np.broadcast_to(x if x.ndim == 3 else x[:, None], (5, 2, 3)) for x in data.values()]
    expected = {
        g.MergeKind.ADD: lambda: sum(full),
        g.MergeKind.AVERAGE: lambda: sum(full) / 3,
        g.MergeKind.SUBTRACT: lambda: full[0] - full[1],
        g.MergeKind.MULTIPLY: lambda: full[0] * full[1] * full[2],
        g.MergeKind.MAXIMUM: lambda: np.maximum.reduce(full),
        g.MergeKind.MINIMUM: lambda: np.minimum.reduce(full),
    }[kind]()
    tolerance = 2.0**-14 if kind is g.MergeKind.AVERAGE else 0.0  # 1/3 is held to 18 bits
    assert np.abs(result - expected).max() <= tolerance


def test_average_pools_divide_by_what_lies_inside() -> None:
    node = g.PoolNode("y", "x", g.PoolNodeKind.AVERAGE, (2, 2), (1, 1), ((0, 1), (0, 1)))
    assert averaged_counts(node, (2, 3))[..., 0].tolist() == [[4, 4, 2], [2, 2, 1]]
    x = RNG.integers(0, 16, size=(4, 2, 3, 1)).astype(float)
    recipe = Recipe.of({"x": q("ufixed<4,4>")})
    result = values_of(unary(node, recipe, (2, 3, 1)), recipe, {"x": x})["y"]
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    sums = padded[:, :-1, :-1] + padded[:, 1:, :-1] + padded[:, :-1, 1:] + padded[:, 1:, 1:]
    assert result.tolist() == (sums / averaged_counts(node, (2, 3))).tolist()


def test_a_final_softmax_is_left_to_the_host_unless_asked_for() -> None:
    recipe = Recipe.of({"x": q("fixed<8,4>")})
    graph = unary(g.SoftmaxNode("p", "x"), recipe, (5,))
    hosted = lower(graph, recipe).program
    assert hosted.outputs[0].host is HostFunction.SOFTMAX and hosted.outputs[0].name == "p"
    x = np.ldexp(RNG.integers(-128, 128, size=(50, 5)).astype(float), -4)
    result = values_of(graph, recipe, {"x": x}, host_functions=False)["p"]
    expected = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    assert np.abs(result - expected).max() < 2e-3
    assert (result.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_moves_keep_every_value() -> None:
    nodes = (
        g.InputNode("x", (2, 4, 3)),
        g.UpsampleNode("u", "x", (2, 1)),
        g.TransposeNode("t", "u", (2, 0, 1)),
        g.PadNode("p", "t", ((0, 0), (1, 2), (0, 1)), 0.5),
        g.SliceNode("s", "p", (0, 1, 0), (3, 7, 5), (1, 2, 1)),
        g.ReshapeNode("f", "s", (45,)),
        g.ConcatNode("y", ("f", "f"), 0),
    )
    x = np.ldexp(RNG.integers(-8, 8, size=(2, 2, 4, 3)).astype(float), -2)
    recipe = Recipe.of({"x": q("fixed<4,2>")})
    result = values_of(g.Graph("net", nodes, ("y",)), recipe, {"x": x})["y"]
    t = np.repeat(x, 2, axis=1).transpose(0, 3, 1, 2)
    p = np.pad(t, ((0, 0), (0, 0), (1, 2), (0, 1)), constant_values=0.5)
    f = p[:, 0:3, 1:7:2, 0:5].reshape(2, 45)
    assert result.tolist() == np.concatenate([f, f], axis=1).tolist()


def test_constants_prelu_and_affine() -> None:
    nodes = (
        g.InputNode("x", (3,)),
        g.ConstantNode("k", np.array([0.5, -1.0, 2.0])),
        g.PReluNode("r", "r", "x", np.array([0.25, 0.5, -1.5])),
        g.AffineNode("a", "a", "r", np.array([0.75]), np.array([0.125, 0.0, 3.0])),
        g.MergeNode("y", ("a", "k"), g.MergeKind.ADD),
    )
    x = np.ldexp(RNG.integers(-8, 8, size=(9, 3)).astype(float), -1)
    recipe = Recipe.of({"x": q("fixed<4,3>")})
    result = values_of(g.Graph("net", nodes, ("y",)), recipe, {"x": x})["y"]
    r = np.where(x >= 0, x, x * [0.25, 0.5, -1.5])
    assert result.tolist() == (r * 0.75 + [0.125, 0.0, 3.0] + [0.5, -1.0, 2.0]).tolist()


def test_a_recipe_that_names_what_is_not_there_is_refused_with_the_nearest_name() -> None:
    graph = unary(g.ActivationNode("relu", "x", g.Function.RELU), Recipe())
    with pytest.raises(RecipeError, match=r"'rely', which net does not have.*'relu'"):
        lower(graph, Recipe.of({"rely": q("fixed<8,3>")}))


def test_a_network_too_wide_for_63_bits_says_what_to_do() -> None:
    nodes: tuple[g.Node, ...] = (g.InputNode("x", (2,)),)
    for i in range(3):
        nodes += (g.DenseNode(f"d{i}", f"d{i}", nodes[-1].name, np.ones((2, 2)) / 3, None),)
    graph = g.Graph("deep", nodes, ("d2",))
    with pytest.raises(
        ProgramError, match=r"deep: d1: An accumulator may need 65 bits.*narrower formats"
    ):
        lower(graph, Recipe())


def test_constants_without_axes_stay_arrays() -> None:
    """A scalar factor or bias is an array, or the Program's file could not hold it."""
    recipe = Recipe.of({"x": q("fixed<8,3>")})
    graph = unary(g.ActivationNode("y", "x", g.Function.SIGN), recipe, (2,))
    scale = next(op for op in lower(graph, recipe).program.ops if isinstance(op, ops.Scale))
    assert isinstance(scale.factor, np.ndarray) and isinstance(scale.bias, np.ndarray)


def test_a_limit_by_a_constant_is_a_clip_and_equal_multipliers_are_equal_ops() -> None:
    nodes = (
        g.InputNode("x", (2, 3)),
        g.ConstantNode("low", np.full((1, 1), -0.5)),
        g.MergeNode("m", ("x", "low"), g.MergeKind.MAXIMUM),
        g.AffineNode("a", "a", "m", np.full((2, 3), 0.75), np.zeros((1, 3))),
        g.AffineNode("idle", "idle", "a", np.ones(1), np.zeros(1)),
    )
    recipe = Recipe.of({"x": Quantizer.parse("fixed<8,4>")}, {})
    program = lower(g.Graph("net", nodes, ("idle",)), recipe).program
    _, clip, scale = program.ops
    assert isinstance(clip, ops.Clip) and (clip.low, clip.high) == (-8, None)
    assert isinstance(scale, ops.Scale)
    assert (scale.factor.shape, int(scale.factor), scale.factor_type.frac) == ((), 3, 2)
    assert scale.bias.shape == ()


FINE = "fixed<24,-20>"  # of a kernel of very small weights: 44 fractional bits


@pytest.mark.parametrize("bias", [0.75, -0.5])
def test_a_bias_too_large_for_the_grid_of_the_products_is_refused_by_name(bias: float) -> None:
    node = g.DenseNode("y", "layer", "x", np.full((2, 1), 1e-7), np.array([bias]))
    graph = g.Graph("net", (g.InputNode("x", (2,)), node), ("y",))
    formats = {"layer/kernel": w(FINE), "layer/bias": w("fixed<24,1>")}
    recipe = Recipe.of({"x": q("fixed<24,3>")}, formats)
    with pytest.raises(RecipeError, match=r"layer/bias .* 65 fractional bits .* bits there"):
        lower(graph, recipe)


def test_a_shift_too_large_for_the_grid_of_the_product_is_refused_by_name() -> None:
    node = g.AffineNode("y", "norm", "x", np.array([1e-7]), np.array([0.75]))
    formats = {"norm/scale": w(FINE), "norm/shift": w("fixed<24,1>")}
    recipe = Recipe.of({"x": q("fixed<24,3>")}, formats)
    with pytest.raises(ProgramError, match=r"y: .* fractional bits .* bits there"):
        lower(unary(node, recipe, (2,)), recipe)


def test_channels_whose_grids_lie_too_far_apart_are_refused_by_name() -> None:
    node = g.DenseNode("y", "layer", "x", np.array([[1e-14, 3.0]]), None)
    graph = g.Graph("net", (g.InputNode("x", (1,)), node), ("y",))
    apart = WeightFormat.of(q("fixed<24,-40>"), q("fixed<24,3>"))
    with pytest.raises(RecipeError, match="layer/kernel"):
        lower(graph, Recipe.of({"x": q("fixed<8,3>")}, {"layer/kernel": apart}))


def test_a_large_slope_is_itself() -> None:
    node = g.ActivationNode("y", "x", g.Function.LEAKY_RELU, (1_000_000.0,))
    result = values_of(unary(node, Recipe(), (1,)), Recipe.of(X), {"x": np.array([[-2.0]])})["y"]
    assert result.item() == pytest.approx(-2e6, rel=1e-4)


def test_a_padding_beyond_the_word_is_refused_by_name() -> None:
    node = g.PadNode("y", "x", ((1, 1),), 1e30)
    with pytest.raises(ProgramError, match="the padding 1e"):
        lower(unary(node, Recipe()), Recipe.of(X))


@pytest.mark.parametrize("function", [g.Function.RELU6, g.Function.HARD_TANH])
def test_a_limit_beyond_the_word_limits_nothing(function: g.Function) -> None:
    x = q("fixed<8,-54>")  # 62 fractional bits: 6 would need 65
    graph = unary(g.ActivationNode("y", "x", function), Recipe(), (1,))
    values = np.array([[2.0**-60], [-(2.0**-60)]])
    result = values_of(graph, Recipe.of({"x": x}), {"x": values})["y"]
    assert result.tolist() == evaluate(function, (), values).tolist()


def test_a_threshold_beyond_the_word_is_refused_by_name() -> None:
    node = g.ActivationNode("y", "x", g.Function.TERNARY, (3.0,))
    with pytest.raises(ProgramError, match=r"y\.up: an offset"):
        lower(unary(node, Recipe()), Recipe.of({"x": q("fixed<8,-54>")}))


@pytest.mark.parametrize(("limit", "expected"), [(-9.0, 2.0**-60), (9.0, None)])
def test_a_maximum_with_a_number_beyond_the_word(limit: float, expected: float | None) -> None:
    nodes = (
        g.InputNode("x", (1,)),
        g.ConstantNode("c", np.array([limit])),
        g.MergeNode("y", ("x", "c"), g.MergeKind.MAXIMUM),
    )
    graph, recipe = g.Graph("net", nodes, ("y",)), Recipe.of({"x": q("fixed<8,-54>")})
    if expected is None:
        with pytest.raises(ProgramError, match="y: a limit"):
            lower(graph, recipe)
    else:
        assert values_of(graph, recipe, {"x": np.array([[2.0**-60]])})["y"].item() == expected
