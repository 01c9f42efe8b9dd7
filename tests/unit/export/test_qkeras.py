# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recipes as QKeras models: the same arithmetic, or one error that lists what has no equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import InputError, ModelError, RecipeError, ToolFailedError
from edgeinfer.export.qkeras import build, write
from edgeinfer.export.qkeras_formats import bits, is_quantized_relu, obstacle, prepare_weights, relu
from edgeinfer.graph import nodes as g
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from quantization.fixed import FormatError, Quantizer, dequantize, quantize
from quantization.recipe import Recipe, WeightFormat

RNG = np.random.default_rng(9)


def q(text: str) -> Quantizer:
    return Quantizer.parse(text)


FORMATS = [
    *("fixed<2,1>", "fixed<4,1>", "fixed<6,-2>", "fixed<6,9>", "fixed<8,4,RND_CONV,SAT_SYM>"),
    *("fixed<16,7>", "fixed<24,3>", "fixed<25,5>", "ufixed<1,1>", "ufixed<1,0>", "ufixed<5,-3>"),
    *("ufixed<5,0>", "ufixed<5,9>", "ufixed<8,4,RND_CONV,SAT_SYM>", "ufixed<24,2>"),
]


def probes(quantizer: Quantizer) -> np.ndarray:
    """Values inside and beyond a format's range: quarter steps, hence every tie, and odd ones."""
    type_ = quantizer.type
    ends = np.array([type_.raw_min, 0, type_.raw_max])[:, None]
    near = (ends + np.arange(-40, 41) / 4).reshape(-1)
    spread = RNG.uniform(1.5 * type_.raw_min - 5, 1.5 * type_.raw_max + 5, 400)
    return (np.concatenate([near, spread]) * type_.lsb).astype(np.float32)


@pytest.mark.parametrize("text", FORMATS)
def test_a_quantizer_of_qkeras_rounds_and_saturates_as_ours(text: str) -> None:
    quantizer = q(text)
    x = probes(quantizer)
    expected = dequantize(quantize(x.astype(np.float64), quantizer), quantizer.type)
    np.testing.assert_array_equal(np.asarray(bits(quantizer)(x)), expected)
    if is_quantized_relu(quantizer):
        np.testing.assert_array_equal(np.asarray(relu(quantizer)(x)), expected)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("fixed<8,3,TRN,SAT>", "TRN"),
        ("fixed<8,3,RND,SAT>", "RND_CONV alone"),
        ("fixed<8,3,RND_CONV,WRAP>", "WRAP"),
        ("fixed<1,1>", "-1 or +1"),
        ("fixed<26,3>", "24 bits"),
        ("ufixed<25,3>", "24 bits"),
        ("fixed<8,70>", "2^±64"),
    ],
)
def test_a_format_without_equal_is_named(text: str, word: str) -> None:
    assert word in str(obstacle(q(text)))
    assert not any(obstacle(q(fine)) for fine in FORMATS)


def test_channels_of_one_width_become_an_alpha_and_others_a_common_grid() -> None:
    values = RNG.normal(0, 0.5, (40, 3))
    alike = WeightFormat.of(q("fixed<6,1>"), q("fixed<6,-1>"), q("fixed<6,3>"))
    mixed = WeightFormat.of(q("fixed<6,1>"), q("fixed<4,-1>"), q("fixed<6,3>"))
    for fmt, alpha in [(alike, (4.0, 1.0, 16.0)), (mixed, None)]:
        kept = prepare_weights(values, fmt)
        assert kept.alpha == alpha
        computed = np.asarray(bits(kept.quantizer, kept.alpha)(kept.values))
        np.testing.assert_array_equal(computed, np.ldexp(fmt.raw(values).astype(float), -fmt.frac))
    with pytest.raises(FormatError, match="24 bits"):
        prepare_weights(np.array([1.0 + 2.0**-30]), WeightFormat.of(q("fixed<40,3>")))


def dense(name: str, x: str, inputs: int, outputs: int) -> g.DenseNode:
    return g.DenseNode(name, name, x, RNG.normal(size=(inputs, outputs)), RNG.normal(size=outputs))


def test_one_error_lists_everything_that_qkeras_has_no_equal_for() -> None:
    nodes = (
        g.InputNode("x", (4, 4, 2)),
        g.ConstantNode("c", np.ones((4, 4, 2))),
        g.MergeNode("m", ("x", "c"), g.MergeKind.ADD),
        g.PadNode("p", "m", ((1, 1), (1, 1), (0, 0)), 0.5),
        dense("d", "p", 2, 3),
    )
    graph = g.Graph("net", nodes, ("d",))
    wrapping = q("fixed<8,3,TRN,WRAP>")
    formats = {"d/kernel": WeightFormat.of(q("fixed<1,1>")), "d/bias": WeightFormat.of(wrapping)}
    recipe = Recipe.of({"x": q("fixed<6,2>"), "d": wrapping}, formats)
    with pytest.raises(ModelError) as error:
        build(graph, recipe)
    message = str(error.value)
    for path in ("c (Constant)", "p (Pad)", "d (format)", "d/kernel (format)", "d/bias (format)"):
        assert message.count(path) == 1
    simple = g.Graph("net", (g.InputNode("x", (2,)), dense("d", "x", 2, 3)), ("d",))
    with pytest.raises(RecipeError, match="d/kernel"):
        build(simple, Recipe.of({"x": q("fixed<6,2>")}, formats))


def two_headed() -> tuple[g.Graph, Recipe]:
    """Two inputs through one shared layer, two outputs, a name with a slash."""
    shared = dense("shared", "x0", 3, 2)
    nodes = (
        *(g.InputNode("x0", (3,)), g.InputNode("x1", (3,))),
        *(g.DenseNode(f"block/{i}", "shared", f"x{i}", shared.kernel, shared.bias) for i in (0, 1)),
        g.MergeNode("sum", ("block/0", "block/1"), g.MergeKind.ADD),
    )
    graph = g.Graph("net", nodes, ("sum", "block/1"))
    formats = {key: WeightFormat.of(q("fixed<7,3>")) for key, _ in graph.weights()}
    return graph, Recipe.of({"x0": q("fixed<6,3>"), "x1": q("fixed<6,3>")}, formats)


def test_outputs_keep_their_order_and_names_and_shared_layers_stay_shared() -> None:
    graph, recipe = two_headed()
    model = build(graph, recipe)
    assert model.output_names == ["sum", "block.1"]
    assert [tensor.name for tensor in model.inputs] == ["x0", "x1"]
    assert [layer.name for layer in model.layers if layer.weights] == ["shared"]
    assert model.count_params() == graph.parameters


def test_a_file_is_there_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    graph, recipe = two_headed()
    path = tmp_path / "net.keras"
    write(graph, recipe, path)
    before = path.read_bytes()

    def torn(self: Any, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "no space left")

    monkeypatch.setattr(keras.Model, "save", torn)
    with pytest.raises(ToolFailedError, match="no space"):
        write(graph, recipe, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.keras"]
    with pytest.raises(InputError, match=r"\.keras"):
        write(graph, recipe, tmp_path / "net.h5")


def test_a_mask_of_lit_pixels_is_written_and_read_back(tmp_path: Path) -> None:
    kernel = RNG.normal(0, 0.5, (3, 3, 1, 2))
    nodes = (
        g.InputNode("image", (6, 5, 1)),
        g.SitesNode("greater_1", "image", 0.25),  # as Keras itself names an operation
        g.ConvNode("c", "c", "image", kernel, None, (1, 1), ((1, 1), (1, 1)), (1, 1)),
        g.MergeNode("lit", ("c", "greater_1"), g.MergeKind.MULTIPLY),
    )
    weights = {"c/kernel": WeightFormat.of(q("fixed<6,1>"))}
    recipe = Recipe.of({"image": q("fixed<6,2>"), "lit": q("fixed<7,3>")}, weights)
    graph = g.Graph("net", nodes, ("lit",))
    write(graph, recipe, tmp_path / "m.keras")
    back = load(tmp_path / "m.keras")
    image = RNG.integers(-20, 20, (50, 6, 5, 1))
    written, read = lower(graph, recipe).program, lower(back.graph, back.recipe).program
    expected = interpret(written, {"image": image})[written.outputs[0].value]
    np.testing.assert_array_equal(
        interpret(read, {"image": image})[read.outputs[0].value], expected
    )
    assert np.any(expected) and not np.all(expected)
