# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What patches share, computed once: the integers of patch-by-patch evaluation, and of the
interpreter, on random networks and planes, by every kind of products."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from edgeinfer.event import units
from edgeinfer.event.event import PlaneSettings, picture_of, tag_planes
from edgeinfer.event.kernel import kernel_obstacle
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.prefix import Cut, Obstacle, cut_program
from edgeinfer.event.tagger import build_tagger, patches_of, tag_corners
from edgeinfer.event.units import ProductKind
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine import byte_products
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support.patch_networks import CHARGES, random_plane, random_tagger
from tests.support.sampling import sample_cases

SETTINGS = PlaneSettings(threshold_adc=4.0)
CASES = [(seed, CHARGES[seed % len(CHARGES)]) for seed in range(150)]


@functools.cache
def program_of(seed: int) -> Program:
    return random_tagger(seed)


def assert_same(program: Program, cut: Cut, adc: np.ndarray) -> ProductKind | None:
    """The event's way against each patch on its own, and a few in the interpreter."""
    tagger = build_tagger(program, cut)
    (tags,) = tag_planes(tagger, [WirePlane("p", adc)], SETTINGS, threads=2)
    charged = adc >= SETTINGS.threshold_adc
    assert tags.hits.tolist() == np.argwhere(charged).tolist()
    picture = picture_of(program, adc, charged, SETTINGS)
    plain = build_tagger(program, Obstacle(""))
    each = tag_corners(plain, picture, tags.hits).outputs
    height, width, _ = program.inputs[0].shape
    few = tags.hits[:: max(len(tags.hits) // 5, 1)][:6]
    patches = patches_of(picture, few, (height, width))
    meant = results(program, interpret(program, {"x": patches})) if len(few) else {}
    assert each.keys() == tags.tagged.outputs.keys()
    for name, values in tags.tagged.outputs.items():
        np.testing.assert_array_equal(values, each[name])
        for hit, raw in zip(few, meant.get(name, []), strict=False):
            place = np.flatnonzero((tags.hits == hit).all(axis=1))[0]
            assert values[place].tolist() == raw.tolist()
    return None if tagger.units is None else tagger.units.products


@pytest.mark.parametrize(("seed", "charge"), sample_cases(CASES, 8))
def test_random_networks_at_random_hits(seed: int, charge: str) -> None:
    program = program_of(seed)
    cut = cut_program(program)
    if isinstance(cut, Cut):
        assert_same(program, cut, random_plane(seed, charge))


def test_the_random_networks_reach_every_part() -> None:
    cuts = [cut_program(program_of(seed)) for seed in range(60)]
    assert sum(isinstance(cut, Cut) for cut in cuts) > 50
    assert {len(cut.stages) for cut in cuts if isinstance(cut, Cut)} >= {0, 1, 2, 3}
    assert any(cut.first is None for cut in cuts if isinstance(cut, Cut))
    assert any(max(cut.step) > 1 for cut in cuts if isinstance(cut, Cut))


def force(monkeypatch: pytest.MonkeyPatch, products: ProductKind) -> None:
    """A processor, and an installation, on which these products are the fastest exact ones."""
    monkeypatch.delenv(byte_products.PLAIN_CPU, raising=False)
    if products is not ProductKind.KERNEL:
        monkeypatch.setattr(units, "kernel_obstacle", lambda: "it is masked")
    elif kernel_obstacle():
        pytest.skip(kernel_obstacle())
    if products in (ProductKind.FLOAT32, ProductKind.FLOAT64):
        monkeypatch.setenv(byte_products.PLAIN_CPU, "1")
        monkeypatch.setattr(units, "safe_order", lambda *_: None)


@pytest.mark.parametrize("products", list(ProductKind))
def test_all_products_yield_the_same(
    monkeypatch: pytest.MonkeyPatch, products: ProductKind
) -> None:
    force(monkeypatch, products)
    if products is ProductKind.FLOAT64:
        monkeypatch.setattr(units, "FLOAT32_INTEGERS", 0)
    used = set()
    for seed in (0, 3, 4, 9, 11, 17):
        program = program_of(seed)
        cut = cut_program(program)
        assert isinstance(cut, Cut)
        used.add(assert_same(program, cut, random_plane(seed, "clusters")))
    assert products in used


def test_a_processor_that_saturates_uses_no_bytes_without_a_proof(monkeypatch) -> None:
    monkeypatch.setenv(byte_products.PLAIN_CPU, "1")
    kinds = set()
    for seed in range(12):
        program = program_of(seed)
        cut = cut_program(program)
        assert isinstance(cut, Cut)
        kind = assert_same(program, cut, random_plane(seed, "sparse"))
        kinds.add(kind)
        if kind is ProductKind.BYTES and cut.first is not None:
            _, order = units.choose_products(cut, cut.first)
            filled = units.fill_channels(cut.first.weights, order.size)[:, order]
            for place in filled:
                assert not byte_products.wide_pairs(place, max(cut.high - cut.low, 1)).size
    assert ProductKind.KERNEL not in kinds and ProductKind.BYTES in kinds


def test_a_plane_without_charge_costs_nothing_and_planes_keep_their_order() -> None:
    program = program_of(3)
    cut = cut_program(program)
    assert isinstance(cut, Cut)
    tagger = build_tagger(program, cut)
    planes = [WirePlane(str(i), random_plane(i, "sparse")) for i in range(7)]
    planes.insert(2, WirePlane("empty", random_plane(0, "nowhere")))
    tags = list(tag_planes(tagger, planes, SETTINGS, threads=3))
    assert [each.plane.name for each in tags] == [plane.name for plane in planes]
    assert len(tags[2].hits) == 0 and tags[2].tagged.macs == 0
    alone = next(iter(tag_planes(tagger, planes[-1:], SETTINGS)))
    for name, values in alone.tagged.outputs.items():
        assert values.tolist() == tags[-1].tagged.outputs[name].tolist()


def test_patches_are_cut_where_asked() -> None:
    picture = np.arange(30).reshape(5, 6, 1)
    result = patches_of(picture, np.array([[1, 2], [3, 4]]), (2, 2))
    assert result[..., 0].tolist() == [[[8, 9], [14, 15]], [[22, 23], [28, 29]]]
    apart = patches_of(picture, np.array([[0, 1]]), (2, 2), (3, 2))
    assert apart[0, ..., 0].tolist() == [[1, 3], [19, 21]]


def small_program(*rest: g.Node, outputs: tuple[str, ...]) -> Program:
    """A convolution of 3x3 over a patch of 8x7, a rectifier, and what follows."""
    rng = np.random.default_rng(4)
    pads = ((0, 0), (0, 0))
    nodes = (
        g.InputNode("x", (8, 7, 1)),
        g.ConvNode("c", "c", "x", rng.normal(size=(3, 3, 1, 3)), None, (1, 1), pads, (1, 1)),
        g.ActivationNode("r", "c", g.Function.RELU),
        *rest,
    )
    recipe = Recipe.of({"x": Quantizer.parse("ufixed<8,0>"), "r": Quantizer.parse("ufixed<6,2>")})
    return lower(g.Graph("small", nodes, outputs), recipe).program


RNG = np.random.default_rng(6)
REST: dict[str, tuple[tuple[g.Node, ...], tuple[str, ...]]] = {
    "the map itself": ((), ("r",)),
    "a flattening with channels first": (
        (
            g.TransposeNode("t", "r", (2, 0, 1)),
            g.ReshapeNode("f", "t", (90,)),
            g.DenseNode("d", "d", "f", RNG.normal(size=(90, 4)), RNG.normal(size=4)),
        ),
        ("d",),
    ),
    "a convolution over the whole patch": (
        (
            g.ConvNode(
                "w", "w", "r", RNG.normal(size=(6, 5, 3, 4)), None, (1, 1), ((0, 0),) * 2, (1, 1)
            ),
        ),
        ("w",),
    ),
    "two dense layers beside each other": (
        (
            g.ReshapeNode("f", "r", (90,)),
            g.DenseNode("d", "d", "f", RNG.normal(size=(90, 4)), None),
            g.DenseNode("e", "e", "f", RNG.normal(size=(90, 2)), None),
        ),
        ("d", "e"),
    ),
    "the map and a dense layer": (
        (
            g.ReshapeNode("f", "r", (90,)),
            g.DenseNode("d", "d", "f", RNG.normal(size=(90, 4)), None),
        ),
        ("r", "d"),
    ),
}


@pytest.mark.parametrize("name", REST)
def test_whatever_follows_the_shared_part(name: str) -> None:
    nodes, outputs = REST[name]
    program = small_program(*nodes, outputs=outputs)
    cut = cut_program(program)
    assert isinstance(cut, Cut) and len(cut.stages) == 1
    by_sums = name in ("a flattening with channels first", "a convolution over the whole patch")
    assert (cut.first is not None) == by_sums
    assert_same(program, cut, random_plane(5, "sparse"))
