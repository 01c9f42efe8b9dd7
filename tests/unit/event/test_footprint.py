# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Baseline and footprint give the integers of patch-by-patch evaluation, on random taggers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.event.footprint import CHUNK, patches_of, split, tag_each, tag_touched
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat


def tagger(seed: int, size: int = 9, weight_bits: int = 6, pads: int = 0) -> Program:
    """Conv 3x3 -> ReLU -> dense -> ReLU -> two heads."""
    rng = np.random.default_rng(seed)
    pad = ((pads, pads), (pads, pads))
    places = (size - 2 + 2 * pads) ** 2 * 5
    nodes = (
        g.InputNode("x", (size, size, 1)),
        g.ConvNode(
            "c", "c", "x", rng.normal(size=(3, 3, 1, 5)), rng.normal(size=5), (1, 1), pad, (1, 1)
        ),
        g.ActivationNode("r", "c", g.Function.RELU),
        g.ReshapeNode("f", "r", (places,)),
        g.DenseNode("d", "d", "f", rng.normal(size=(places, 7)) / 4, rng.normal(size=7)),
        g.ActivationNode("s", "d", g.Function.RELU),
        g.DenseNode("h", "h", "s", rng.normal(size=(7, 3)), rng.normal(size=3)),
        g.DenseNode("m", "m", "s", rng.normal(size=(7, 1)), rng.normal(size=1)),
    )
    graph = g.Graph("tagger", nodes, ("h", "m"))
    kernel = WeightFormat.of(Quantizer.parse(f"fixed<{weight_bits},2>"))
    recipe = Recipe.of(
        {
            "x": Quantizer.parse("ufixed<8,0>"),
            "r": Quantizer.parse("ufixed<8,3>"),
            "s": Quantizer.parse("ufixed<8,6>"),
        },
        {f"{layer}/kernel": kernel for layer in "cdhm"},
    )
    return lower(graph, recipe).program


def sparse_picture(rng: np.random.Generator, shape: tuple[int, int], share: float) -> np.ndarray:
    charge = rng.integers(1, 256, size=shape) * (rng.random(shape) < share)
    return charge[..., None]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.sampled_from([(6, 8), (7, 9), (9, 10)]),
)
def test_the_shortcut_yields_identical_integers(seed, share, width_and_size) -> None:
    bits, size = width_and_size
    program = tagger(seed, size, bits)
    cut = split(program)
    assert cut is not None
    rng = np.random.default_rng(seed)
    picture = sparse_picture(rng, (31, 23), share)
    corners = np.stack(
        [rng.integers(0, 31 - size + 1, 40), rng.integers(0, 23 - size + 1, 40)], axis=1
    )
    corners[0], corners[1] = (0, 0), (31 - size, 23 - size)
    each, touched = tag_each(program, picture, corners), tag_touched(cut, picture, corners)
    assert each.outputs.keys() == touched.outputs.keys() == {"h", "m"}
    for name, expected in each.outputs.items():
        assert touched.outputs[name].tolist() == expected.tolist()


def test_an_empty_picture_costs_almost_nothing_and_a_full_one_saves_nothing() -> None:
    program = tagger(1)
    cut = split(program)
    assert cut is not None
    corners = np.array([[0, 0], [3, 4]])
    empty = tag_touched(cut, np.zeros((20, 20, 1), np.int64), corners)
    full = tag_touched(cut, np.full((20, 20, 1), 9), corners)
    assert empty.macs == len(corners) * cut.tail.macs
    assert full.macs >= 2 * cut.first.weight.size
    assert empty.macs_dense == full.macs_dense == 2 * program.macs


def test_more_patches_than_a_chunk_and_none_at_all() -> None:
    program = tagger(2)
    cut = split(program)
    assert cut is not None
    rng = np.random.default_rng(0)
    picture = sparse_picture(rng, (40, 40), 0.05)
    corners = rng.integers(0, 31, size=(CHUNK + 3, 2))
    each, touched = tag_each(program, picture, corners), tag_touched(cut, picture, corners)
    assert (each.outputs["h"] == touched.outputs["h"]).all()
    nothing = tag_touched(cut, picture, corners[:0])
    assert nothing.outputs["h"].shape == tag_each(program, picture, corners[:0]).outputs["h"].shape


@pytest.mark.parametrize("pads", [1])
def test_a_tagger_whose_patches_share_nothing_has_no_cut(pads: int) -> None:
    assert split(tagger(3, pads=pads)) is None


def test_patches_are_cut_where_asked() -> None:
    picture = np.arange(30).reshape(5, 6, 1)
    found = patches_of(picture, np.array([[1, 2], [3, 4]]), (2, 2))
    assert found[..., 0].tolist() == [[[8, 9], [14, 15]], [[22, 23], [28, 29]]]
