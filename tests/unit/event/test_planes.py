# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Hits of a plane, tagged: places, edges, ways."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.event.footprint import patches_of
from edgeinfer.event.tagger import PlaneSettings, Way, raw_picture, tag_plane
from edgeinfer.graph import nodes as g
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe

RNG = np.random.default_rng(11)


def tagger(pooled: bool) -> Program:
    places = 16 if pooled else 100
    nodes: tuple[g.Node, ...] = (
        g.InputNode("x", (12, 12, 1)),
        g.ConvNode(
            "c", "c", "x", RNG.normal(size=(3, 3, 1, 4)), None, (1, 1), ((0, 0),) * 2, (1, 1)
        ),
        g.ActivationNode("r", "c", g.Function.RELU),
    )
    if pooled:
        window = ((5, 5), (5, 5), ((0, 0), (0, 0)))
        nodes += (g.PoolNode("p", "r", g.PoolNodeKind.MAX, *window),)
    last = "p" if pooled else "r"
    nodes += (
        g.ReshapeNode("f", last, (places * (1 if pooled else 4),)),
        g.DenseNode("d", "d", "f", RNG.normal(size=(places * (1 if pooled else 4), 3)), None),
    )
    recipe = Recipe.of({"x": Quantizer.parse("ufixed<8,0>"), "r": Quantizer.parse("ufixed<6,2>")})
    return lower(g.Graph("tagger", nodes, ("d",)), recipe).program


def plane() -> np.ndarray:
    adc = RNG.normal(0, 1, size=(30, 40)).astype(np.float32)
    adc[5, 3:30] += 12
    adc[0, 0] = adc[29, 39] = 25.0
    return adc


@pytest.mark.parametrize("pooled", [False, True])
def test_each_hit_gets_the_outputs_of_the_patch_around_it(pooled: bool) -> None:
    program, adc = tagger(pooled), plane()
    settings = PlaneSettings(threshold_adc=5.0)
    tags = tag_plane(program, adc, settings)
    assert [tuple(hit) for hit in tags.hits] == list(zip(*np.nonzero(adc >= 5.0), strict=True))
    assert tags.occupancy == (adc >= 5.0).mean()
    zeroed = np.where(adc >= 5.0, adc, np.float32(0))
    around = np.pad(raw_picture(program, zeroed, "unit"), ((6, 6), (6, 6), (0, 0)))
    patches = patches_of(around, tags.hits, (12, 12))
    assert (patches[:, 6, 6, 0] > 0).all()  # the hit is at the patch's centre
    expected = results(program, interpret(program, {"x": patches}))
    assert (tags.tagged.outputs["d"] == expected["d"]).all()


def test_the_two_ways_agree_and_the_shortcut_is_refused_where_there_is_none() -> None:
    adc = plane()
    program = tagger(pooled=False)
    each = tag_plane(program, adc, PlaneSettings(way=Way.PATCHES)).tagged
    cheap = tag_plane(program, adc, PlaneSettings(way=Way.FOOTPRINT)).tagged
    assert (each.outputs["d"] == cheap.outputs["d"]).all()
    assert cheap.macs < each.macs == cheap.macs_dense
    with pytest.raises(UsageError, match="share nothing"):
        tag_plane(tagger(pooled=True), adc, PlaneSettings(way=Way.FOOTPRINT))


def test_what_is_no_tagger_is_refused() -> None:
    flat = lower(
        g.Graph(
            "mlp",
            (g.InputNode("x", (4,)), g.DenseNode("d", "d", "x", np.ones((4, 1)), None)),
            ("d",),
        ),
        Recipe(),
    ).program
    with pytest.raises(UsageError, match="is not a tagger"):
        tag_plane(flat, plane(), PlaneSettings())
