# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Costs are counted by hand, and behave as costs must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeinfer.graph import nodes as g
from edgeinfer.ir.costs import channel_widths, costs_of, width_of
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat
from tests.support.random_graphs import random_network


def q(text: str) -> Quantizer:
    return Quantizer.parse(text)


def w(*texts: str) -> WeightFormat:
    return WeightFormat.of(*map(q, texts))


def dense(kernel: list[list[float]], fmt: WeightFormat, x: str = "fixed<8,3>") -> Program:
    layer = g.DenseNode("d", "d", "x", np.asarray(kernel), None)
    graph = g.Graph("net", (g.InputNode("x", (len(kernel),)), layer), ("d",))
    return lower(graph, Recipe.of({"x": q(x)}, {"d/kernel": fmt})).program


def test_a_dense_layer_counted_by_hand() -> None:
    costs = costs_of(dense([[1.0, 0.75], [-2.0, 0.0]], w("fixed<6,2>")))
    # channel 0 holds 1 and -2 (2 bits on a grid of 1), channel 1 holds 0.75 = 3/4 (2 bits)
    assert costs.macs == 4
    assert costs.nonzero_macs == 3
    assert costs.ebops == 8 * (2 + 2) + 8 * 2
    assert costs.ebops_dense == 8 * (2 + 2) + 8 * (2 + 2)
    assert costs.weight_bits == 2 * 2 + 2 * 2


def test_a_convolution_counts_once_for_every_position() -> None:
    kernel = np.full((3, 1, 1), 5.0)
    conv = g.ConvNode("c", "c", "x", kernel, None, (1,), ((1, 1),), (1,))
    graph = g.Graph("net", (g.InputNode("x", (10, 1)), conv), ("c",))
    recipe = Recipe.of({"x": q("ufixed<4,4>")}, {"c/kernel": w("fixed<6,6>")})
    program = lower(graph, recipe).program
    costs = costs_of(program)
    assert costs.macs == program.macs == 30
    assert costs.ebops == 30 * 4 * 3


def test_pruned_weights_are_free_but_are_held() -> None:
    full = costs_of(dense([[1.0], [3.0], [-2.0], [1.0]], w("fixed<6,4>")))
    pruned = costs_of(dense([[0.0], [3.0], [-2.0], [0.0]], w("fixed<6,4>")))
    assert pruned.ebops * 2 == full.ebops == pruned.ebops_dense
    assert pruned.weight_bits == full.weight_bits


def test_a_channel_has_the_width_it_needs_not_that_of_the_common_grid() -> None:
    narrow = dense([[0.25, 16.0], [0.5, -32.0]], w("fixed<4,1>", "fixed<4,7>"))
    assert costs_of(narrow).ebops == 8 * 2 * 2 + 8 * 2 * 2


def test_a_targets_own_figures_are_added() -> None:
    program = dense([[1.0]], w("fixed<4,3>"))
    assert costs_of(program, lambda p: {"luts": 7.0 * p.macs}).figures()["luts"] == 7.0


@given(hnp.arrays(np.int64, st.integers(1, 6), elements=st.integers(-(2**20), 2**20)))
def test_a_width_holds_its_integers_and_no_narrower_one_does(raw: np.ndarray) -> None:
    bits = width_of(raw)
    assert (bits == 0) == (not raw.any())
    if bits:
        shared = next(s for s in range(21, -1, -1) if not (raw % (1 << s)).any())
        low, high = int(raw.min()) >> shared, int(raw.max()) >> shared
        signed = low < 0

        def holds(width: int) -> bool:
            top = (1 << (width - signed)) - 1
            return (-top - 1 if signed else 0) <= low and high <= top

        assert holds(bits)
        assert bits == 1 or not holds(bits - 1)


@given(hnp.arrays(np.int64, (3, 4), elements=st.integers(-100, 100)), st.integers(0, 10))
def test_a_shift_of_the_grid_changes_no_width(raw: np.ndarray, shift: int) -> None:
    assert np.array_equal(channel_widths(raw), channel_widths(raw << shift))


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_have_consistent_costs(seed: int) -> None:
    network = random_network(seed)
    program = lower(network.graph, network.recipe).program
    costs = costs_of(program)
    assert 0 <= costs.ebops <= costs.ebops_dense
    assert 0 <= costs.nonzero_macs <= costs.macs
    assert costs.macs >= program.macs
    assert {metric.name for metric in costs.metrics()} <= {*costs.figures(), "nonzero_macs"}
