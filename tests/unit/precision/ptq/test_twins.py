# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The calls of a tower get equal formats, which hold what each of them sees."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.precision.ptq.twins import twins_of
from quantization.fixed import Fixed
from tests.support.siamese_graphs import siamese_data, siamese_graph


def types_of(settings: PtqSettings) -> dict[str, Fixed]:
    graph = siamese_graph(0, 3)
    chosen = quantize(graph, siamese_data(graph, 0), settings)
    return {name: each.type for name, each in chosen.recipe.activations}


@pytest.mark.parametrize("refine", [True, False])
def test_calls_have_equal_formats(refine: bool) -> None:
    """The last input is four times as large as the first, which decides."""
    types = types_of(PtqSettings(6, adapt=False, refine=refine))
    assert types["x0"] == types["x1"] == types["x2"]
    assert types["x2"].integer >= 3  # of normal values, times four
    for names in twins_of(siamese_graph(0, 3)):
        assert len({types.get(name) for name in names}) == 1, names


def test_widths_that_were_asked_for_stay() -> None:
    types = types_of(PtqSettings(6, adapt=False, bits_of=(("x1", 5),)))
    assert types["x1"].bits == 5
    assert types["x0"].bits == types["x2"].bits == 6


def test_a_layer_that_reads_what_itself_has_made_has_no_twins() -> None:
    kernel = np.ones((3, 3))
    nodes: tuple[g.Node, ...] = (
        g.InputNode("x", (3,)),
        g.DenseNode("a", "dense", "x", kernel, None),
        g.DenseNode("b", "dense", "a", kernel, None),
    )
    assert twins_of(g.Graph("loop", nodes, ("b",))) == []
