# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Filters taken out for a folded design: what is missed least goes, in numbers that save
multipliers."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.precision.qat.narrow import narrow
from tests.support.small_networks import bars, tagger

DATA = bars(300)


def width(graph: g.Graph, name: str) -> int:
    layer = graph.node(name)
    assert isinstance(layer, g.ConvNode | g.DenseNode)
    return int(layer.kernel.shape[-1])


def in_fours(graph: g.Graph) -> int:
    """Multipliers of a design that computes four filters of the convolution at once, and that
    computes all of them at once where four do not divide their number."""
    filters = width(graph, "conv")
    return filters // 4 if filters % 4 == 0 else filters


def test_the_filters_that_are_not_missed_go_first() -> None:
    graph = tagger(dead=True)
    conv = graph.node("conv")
    assert isinstance(conv, g.ConvNode)
    pruned = narrow(graph, DATA.inputs, lambda graph: width(graph, "conv"), 7)
    left = pruned.graph.node("conv")
    assert isinstance(left, g.ConvNode)
    np.testing.assert_array_equal(left.kernel, np.delete(conv.kernel, 3, axis=-1))
    assert pruned.kept == {"conv": (7, 8), "wide": (24, 24)}
    exact = FloatEngine(graph).run({"image": DATA.inputs["image"].astype(np.float32)})
    again = FloatEngine(pruned.graph).run({"image": DATA.inputs["image"].astype(np.float32)})
    np.testing.assert_allclose(again["kind"], exact["kind"], atol=1e-5)


def test_as_many_filters_go_as_save_a_multiplier() -> None:
    """Of eight filters, one to three fewer would need more multipliers, and four fewer need one."""
    pruned = narrow(tagger(), DATA.inputs, in_fours, 1)
    assert pruned.kept == {"conv": (4, 8), "wide": (24, 24)}


def test_a_layer_shrinks_where_a_multiplier_costs_least() -> None:
    """Both layers need one for each filter; those of the dense layer say less each."""
    pruned = narrow(
        tagger(), DATA.inputs, lambda graph: width(graph, "conv") + width(graph, "wide"), 24
    )
    conv, wide = pruned.kept["conv"][0], pruned.kept["wide"][0]
    assert conv + wide <= 24 and conv >= 6


def test_a_goal_out_of_reach_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="needs 9 multipliers, and at most 3") as error:
        narrow(tagger(), DATA.inputs, lambda graph: 9, 3)
    assert "--prune-multipliers" in str(error.value)
