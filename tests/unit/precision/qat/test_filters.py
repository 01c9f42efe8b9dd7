# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Filters taken out: the rest computes what it did, and dead ones are not missed at all."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.precision.qat.filters import prunable, without_filters
from edgeinfer.zoo.reference import load_reference
from tests.support.small_networks import bars, tagger

DATA = bars(400)


def outputs(graph: g.Graph) -> np.ndarray:
    (name,) = graph.outputs
    return FloatEngine(graph).run({"image": DATA.inputs["image"].astype(np.float32)})[name]


def test_a_dead_filter_goes_first_and_changes_nothing() -> None:
    graph = tagger(dead=True)
    conv = graph.node("conv")
    assert isinstance(conv, g.ConvNode)
    result = prunable(graph, "conv")
    assert result is not None and list(result.moves) == ["flat"]
    smaller = without_filters(graph, DATA.inputs, 1 / 24).graph  # none of 8, but 1 of 24
    assert smaller.node("conv") is conv
    smaller = without_filters(graph, DATA.inputs, 1 / 8).graph
    left = smaller.node("conv")
    assert isinstance(left, g.ConvNode)
    np.testing.assert_array_equal(left.kernel, np.delete(conv.kernel, 3, axis=-1))


def test_what_a_filter_always_says_moves_into_the_biases() -> None:
    """A filter that yields a constant is worth nothing, and its constant is not lost."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(5, 4))
    kernel[:, 2] = 0.0
    nodes = (
        g.InputNode("image", (10, 10, 1)),
        g.ReshapeNode("flat", "image", (100,)),
        g.DenseNode("a", "a", "flat", np.concatenate([kernel, np.zeros((95, 4))]), np.full(4, 1.5)),
        g.ActivationNode("relu", "a", g.Function.RELU),
        g.DenseNode("y", "y", "relu", rng.normal(size=(4, 2)), None),
    )
    graph = g.Graph("constant", nodes, ("y",))
    pruned = without_filters(graph, DATA.inputs, 0.25)
    assert pruned.kept == {"a": (3, 4)}
    np.testing.assert_allclose(outputs(pruned.graph), outputs(graph), atol=1e-5)


def test_few_filters_fewer_cost_little_and_all_layers_shrink() -> None:
    graph = tagger()
    pruned = without_filters(graph, DATA.inputs, 0.25)
    assert pruned.kept == {"conv": (6, 8), "wide": (18, 24)}
    assert pruned.graph.parameters < 0.65 * graph.parameters
    exact = judge.score(graph, judge.float_outputs(graph, DATA), DATA).auc
    fewer = judge.score(graph, judge.float_outputs(pruned.graph, DATA), DATA).auc
    assert exact is not None and fewer is not None and exact - fewer < 0.05


def test_filters_behind_a_concatenation_and_before_two_heads_are_found() -> None:
    track = load_reference("track-pid")
    result = prunable(track, "conv3")
    assert result is not None
    labels = result.readers["dense1"]
    assert labels.shape == (391,) and (labels[-7:] == -1).all()  # the scalars stay
    assert labels[:64].tolist() == list(range(32)) * 2
    two = load_reference("hit-tagger-pooled")
    heads = prunable(two, "dense2")
    assert heads is not None and set(heads.readers) == {"label_logits", "michel_logit"}
    assert prunable(two, "label_logits") is None


def test_a_sum_of_branches_keeps_its_filters() -> None:
    rng = np.random.default_rng(1)
    nodes = (
        g.InputNode("x", (4,)),
        g.DenseNode("a", "a", "x", rng.normal(size=(4, 4)), None),
        g.MergeNode("sum", ("a", "x"), g.MergeKind.ADD),
        g.DenseNode("y", "y", "sum", rng.normal(size=(4, 2)), None),
    )
    graph = g.Graph("residual", nodes, ("y",))
    assert prunable(graph, "a") is None
    kept = without_filters(graph, {"x": rng.normal(size=(20, 4))}, 0.5)
    assert kept.graph is graph and kept.kept == {}


@pytest.mark.parametrize("share", [0.0, 0.99])
def test_a_layer_never_loses_all_filters(share: float) -> None:
    pruned = without_filters(tagger(), DATA.inputs, share)
    assert all(1 <= left <= had for left, had in pruned.kept.values())
    assert pruned.kept["conv"][0] == (8 if share == 0.0 else 1)
    assert outputs(pruned.graph).shape == outputs(tagger()).shape
