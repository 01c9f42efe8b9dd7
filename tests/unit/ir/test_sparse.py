# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse networks: the engine computes at sites alone what the interpreter computes everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.evaluate.judge import dropped_sites
from edgeinfer.graph.nodes import (
    ActivationNode,
    ConvNode,
    Function,
    Graph,
    InputNode,
    MergeKind,
    MergeNode,
    SitesNode,
)
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine import byte_products
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.engine.site_sets import SiteSearch, SiteSet
from edgeinfer.ir.engine.values import Carrier
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Conv, Input, Pair, PairKind, Pool, Sites, Table, pack_weights
from edgeinfer.ir.passes import fold_constants, mask_late, without
from edgeinfer.ir.plain_sites import spell_sites
from edgeinfer.ir.program import Output, Program
from edgeinfer.ir.store import load, save
from edgeinfer.ir.verify import verify
from edgeinfer.precision.ptq.points import quantized_tensors
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, dequantize
from quantization.recipe import Recipe
from tests.support.sampling import sample_cases
from tests.support.sparse_programs import lit_images, sparse_unet

OCCUPANCIES = (0.0, 0.001, 0.05, 0.3, 1.0)


def sites_of(program: Program) -> dict[str, SiteSet]:
    """Where the engine holds the values of a Program as rows."""
    folded = fold_constants(program)
    types = {op.name: op.type for op in folded.ops}
    outputs = [output.value for output in program.outputs]
    return SiteSearch(folded.ops, bounds_of(folded), types, folded.shapes, outputs).run()


@pytest.mark.parametrize("seed", sample_cases(range(200), 40))
def test_random_sparse_networks(seed: int) -> None:
    most = 30 if seed % 3 == 0 else None
    wide = 9 if seed % 4 == 3 else 5  # whose sums need float64
    program = sparse_unet(
        seed, inputs=1 + seed % 2, most=most, threshold=seed % 5, weight_bits=wide
    )
    inputs = lit_images(program, seed, OCCUPANCIES)
    verify(program)
    held = sites_of(program)
    assert all(op.name in held for op in program.ops if isinstance(op, Conv))
    expected = interpret(program, inputs)
    engine = Engine(program, threads=1, batch=3)
    np.testing.assert_array_equal(engine.run(inputs)["classes"], expected["classes_of_pixels"])
    reasons = {each.value: each.why for each in engine.carriers}
    assert reasons["classes_of_pixels"].endswith("at the sites of %sites alone")
    tapped = engine.run(inputs, taps=[op.name for op in program.ops])
    for op in program.ops:
        np.testing.assert_array_equal(tapped[op.name], expected[op.name], err_msg=op.name)


@pytest.mark.parametrize("plain_cpu", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_bytes_are_multiplied_at_sites_where_the_processor_adds_them_exactly(
    seed: int, plain_cpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(byte_products.PLAIN_CPU, raising=False)
    if plain_cpu:
        monkeypatch.setenv(byte_products.PLAIN_CPU, "1")
    program = sparse_unet(seed, bits=8, weight_bits=8, inputs=1 + seed % 2, channels=8)
    inputs = lit_images(program, seed, OCCUPANCIES)
    engine = Engine(program, threads=1, batch=2)
    carriers = {each.carrier for each in engine.carriers if each.op == "Conv"}
    bytes_used = bool(carriers & {Carrier.UINT8, Carrier.INT8})
    assert bytes_used != byte_products.bytes_saturate()
    expected = interpret(program, inputs)["classes_of_pixels"]
    np.testing.assert_array_equal(engine.run(inputs)["classes"], expected)


def test_an_offset_that_is_taken_back_leaves_zeros() -> None:
    """Between the two, a value is the same number wherever no pixel is lit."""
    builder = ProgramBuilder("offset")
    image = builder.add(Input("image", Fixed(True, 6, 2), (8, 8, 2)))
    sites = builder.exact(Sites("sites", provisional(0), image, 0, None))
    x = builder.pair("lit", image, sites, PairKind.MUL)
    one = np.ones((), np.int64)
    up, down = np.array([[[5, 9]]]), np.array([[[-5, -9]]])
    x = builder.affine("up", x, one, Fixed(False, 1, 1), up, 4)
    x = builder.requant("kept", x, Quantizer(Fixed(False, 7, 3), Rounding.TRN, Overflow.WRAP))
    x = builder.affine("down", x, one, Fixed(False, 1, 1), down, 4)
    weight = np.random.default_rng(1).integers(-8, 8, (3, 3, 2, 3))
    conv = Conv("conv", provisional(7), x, pack_weights(weight), Fixed(True, 4, 1),
                pack_weights(np.array([3, -4, 5])), (1, 1), ((1, 1), (1, 1)), (1, 1))  # fmt: skip
    y = builder.pair("y", builder.exact(conv), sites, PairKind.MUL)
    program = builder.program((Output("y", y),))
    held = sites_of(program)
    assert all(name in held for name in ("up", "kept", "down", "conv"))
    raw = lit_images(program, 1, OCCUPANCIES)
    found = Engine(program, threads=1).run(raw, taps=["kept", "down"])
    wanted = interpret(program, raw)
    for name in ("y", "kept", "down"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_mask_that_hides_nothing_leaves_no_zeros() -> None:
    """Every pixel is lit, so a table that zero lies beyond is never read there."""
    builder = ProgramBuilder("full")
    image = builder.add(Input("image", Fixed(False, 2, 2), (6, 6, 1)))
    ones = pack_weights(np.ones(4, np.int64))
    sites = builder.add(Table("mask", Fixed(False, 1, 1), image, 0, ones))
    one, offset = np.ones((), np.int64), np.array([[[16]]])
    x = builder.affine("up", image, one, Fixed(False, 1, 1), offset, 0)
    x = builder.pair("lit", x, sites, PairKind.MUL)
    entries = pack_weights(np.array([3, 1, 4, 2]))
    x = builder.add(Table("table", Fixed(False, 3, 3), x, 16, entries))
    weight = np.random.default_rng(2).integers(-8, 8, (3, 3, 1, 2))
    conv = Conv("conv", provisional(0), x, pack_weights(weight), Fixed(True, 4, 4),
                pack_weights(np.zeros(2, np.int64)), (1, 1), ((1, 1), (1, 1)), (1, 1))  # fmt: skip
    y = builder.pair("y", builder.exact(conv), sites, PairKind.MUL)
    program = builder.program((Output("y", y),))
    raw = lit_images(program, 2, OCCUPANCIES)
    actual = Engine(program, threads=1).run(raw)
    np.testing.assert_array_equal(actual["y"], interpret(program, raw)["y"])


def test_a_full_image_is_a_dense_network() -> None:
    """Where every pixel is lit, masks change nothing, so that the network without them agrees."""
    program = sparse_unet(3)
    inputs = lit_images(program, 3, (1.0,))
    masks = {op.name for op in program.ops if isinstance(op, Sites)}
    masks |= {op.name for op in program.ops if isinstance(op, Pool) and op.x in masks}
    masks |= {op.name for op in program.ops if isinstance(op, Pool) and op.x in masks}
    masked = {
        op.name: op.a
        for op in program.ops
        if isinstance(op, Pair) and op.kind is PairKind.MUL and op.b in masks
    }
    for name in masked:  # what is masked twice in a row leads to the first
        while masked[name] in masked:
            masked[name] = masked[masked[name]]
    dense = without(program, masked)
    assert not sites_of(dense)
    found = Engine(program, threads=1).run(inputs)
    expected = Engine(dense, threads=1).run(inputs)
    np.testing.assert_array_equal(found["classes"], expected["classes"])


@pytest.mark.parametrize("most", [1, 7, 40, 1000])
def test_a_limit_leaves_the_first_lit_pixels(most: int) -> None:
    program = sparse_unet(5, most=most, inputs=2)
    inputs = lit_images(program, 5, (0.0, 0.1, 1.0))
    mask = Engine(program, threads=1).run(inputs, taps=["sites"])["sites"]
    lit = (inputs["image"].max(axis=-1) > 0).reshape(3, -1)
    for image, result in zip(lit, mask.reshape(3, -1), strict=True):
        np.testing.assert_array_equal(np.flatnonzero(result), np.flatnonzero(image)[:most])


def test_images_with_more_lit_pixels_than_are_kept_are_counted() -> None:
    program = sparse_unet(5, most=25)
    images = lit_images(program, 5, (0.0, 0.09, 0.2, 1.0))
    (sentence,) = dropped_sites(program, images)
    assert "2 of 4 samples" in sentence
    assert "up to 256" in sentence
    assert not dropped_sites(sparse_unet(5), images)


@pytest.mark.parametrize("threshold", [-40, -1, 0, 5, 31, 90])
def test_sites_in_other_ops_are_the_same(threshold: int) -> None:
    program = sparse_unet(2, threshold=threshold, inputs=3, levels=1, convs=1)
    spelled = spell_sites(program)
    assert not any(isinstance(op, Sites) for op in spelled.ops)
    inputs = lit_images(program, 2, OCCUPANCIES)
    expected = interpret(program, inputs)
    result = interpret(spelled, inputs)
    np.testing.assert_array_equal(result["sites"], expected["sites"])
    for name, values in results(program, expected).items():
        np.testing.assert_array_equal(results(spelled, result)[name], values)


def test_sites_are_stored_and_shown() -> None:
    program = sparse_unet(1, most=9)
    again = load(save(program))
    assert again.digest == program.digest
    changed = program.replace_op(replace(program["sites"], most=None))  # type: ignore[call-arg]
    assert changed.digest != program.digest


def image_graph(threshold: float, most: int | None) -> Graph:
    """A mask of an image, and the image behind it."""
    sites = SitesNode("sites", "image", threshold, most)
    masked = MergeNode("masked", ("image", "sites"), MergeKind.MULTIPLY)
    return Graph("image", (InputNode("image", (5, 6, 2)), sites, masked), ("sites", "masked"))


@given(st.floats(-3, 3, width=32), st.none() | st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=25)
def test_a_threshold_in_integers_is_that_in_floats(
    threshold: float, most: int | None, seed: int
) -> None:
    graph = image_graph(threshold, most)
    type_ = Fixed(True, 8, 3)
    program = lower(graph, Recipe.of({"image": Quantizer(type_)})).program
    raw = np.random.default_rng(seed).integers(type_.raw_min, type_.raw_max + 1, (3, 5, 6, 2))
    real = {"image": dequantize(raw, type_).astype(np.float32)}
    expected = results(program, interpret(program, {"image": raw}))
    floats = FloatEngine(graph).run(real)
    node = graph.node("sites")
    assert isinstance(node, SitesNode)
    np.testing.assert_array_equal(expected["sites"], node.values(real["image"]))
    np.testing.assert_array_equal(expected["sites"], floats["sites"])
    np.testing.assert_array_equal(dequantize(expected["masked"], type_), floats["masked"])


def test_formats_lie_behind_masks_and_masks_have_none() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4))
    pads = ((1, 1), (1, 1))
    graph = image_graph(0.1, None)
    conv = ConvNode("conv", "conv", "masked", kernel, None, (1, 1), pads, (1, 1))
    hidden = MergeNode("hidden", ("conv", "sites"), MergeKind.MULTIPLY)
    relu = ActivationNode("relu", "hidden", Function.RELU)
    last = ConvNode(
        "last", "last", "relu", kernel[:, :, :1].repeat(4, 2), None, (1, 1), pads, (1, 1)
    )
    nodes = (*graph.nodes, conv, hidden, relu, last)
    assert quantized_tensors(Graph("net", nodes, ("last",))) == ("image", "relu")


@pytest.mark.parametrize("seed", sample_cases(range(40), 20))
def test_masks_behind_roundings_mean_the_same(seed: int) -> None:
    program = sparse_unet(seed)
    late = mask_late(program)
    verify(late)
    inputs = lit_images(program, seed, OCCUPANCIES)
    expected, result = interpret(program, inputs), interpret(late, inputs)
    assert len(late.ops) == len(program.ops)
    for op in program.ops:
        if op.name in result:
            np.testing.assert_array_equal(result[op.name], expected[op.name])
    widths = [
        sum(each.type(op.name).bits for op in each.ops if isinstance(op, Pair) and op.b != "sites")
        for each in (program, late)
    ]
    assert widths[1] < widths[0]
    held = sites_of(late)
    assert all(op.name in held for op in late.ops if isinstance(op, Conv))
