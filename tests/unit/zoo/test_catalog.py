# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The table of models agrees with what is built, read back, and simulated."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from edgeinfer.graph.nodes import ConvNode, Graph, PoolNode, SoftmaxNode, macs
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.reference import load_graph


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Each model with its first weights, built once and read back."""
    folder = tmp_path_factory.mktemp("zoo")

    @functools.cache
    def of(name: str) -> Graph:
        path = folder / f"{name}.keras"
        ENTRIES[name].build().save(path)
        return load_graph(path, name)

    return of


FEW = {"sparse-ssnet": 3}  # samples of a megabyte


@pytest.mark.parametrize("name", ENTRIES)
def test_sizes_in_the_table_are_those_of_the_network(built, name):
    entry, graph = ENTRIES[name], built(name)
    assert graph.parameters == entry.parameters
    assert macs(graph) == entry.macs


def test_the_faithful_tagger_is_the_public_one(built):
    graph = built("hit-tagger")
    assert graph.parameters == 11_900_420
    assert graph.shapes["image"] == (48, 48, 1)
    assert graph.outputs == ("label", "michel")
    assert ENTRIES["hit-tagger"].heads[0].labels == ("track", "em", "none")
    conv = next(node for node in graph.nodes if isinstance(node, ConvNode))
    assert conv.kernel.shape == (5, 5, 1, 48)
    assert graph.shapes[conv.name] == (44, 44, 48)
    assert not any(isinstance(node, PoolNode) for node in graph.nodes)
    assert isinstance(graph.node("label"), SoftmaxNode)
    losses = {head.name: (head.loss, head.weight) for head in ENTRIES["hit-tagger"].heads}
    assert losses == {
        "label": ("categorical_crossentropy", 0.1),
        "michel": ("mean_squared_error", 1.0),
    }


def test_its_dropout_is_a_fifth():
    from keras import layers

    model = ENTRIES["hit-tagger"].build()
    rates = [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)]
    assert rates == [0.2, 0.2, 0.2]


@pytest.mark.parametrize("name", ENTRIES)
def test_data_fit_the_network_and_its_heads(built, name):
    entry, graph = ENTRIES[name], built(name)
    count = FEW.get(name, 40)
    samples = entry.data(5, count)
    assert len(samples) == count
    assert {node.name: node.shape for node in graph.inputs} == {
        key: values.shape[1:] for key, values in samples.inputs.items()
    }
    assert tuple(head.name for head in entry.heads) == tuple(samples.targets)
    assert graph.outputs == (*samples.targets, *entry.features)
    for head in entry.heads:
        values = samples.targets[head.name]
        assert values.shape == (count, *graph.shapes[head.name])
        assert len(head.labels) == values.shape[-1]
        if head.loss == "categorical_crossentropy":
            lit = samples.inputs["image"][..., 0] > 0 if entry.by_pixel else True
            np.testing.assert_array_equal(values.sum(axis=-1), lit)
    for values in samples.inputs.values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_the_taggers_see_the_same_patches_on_the_two_public_scales():
    signed = ENTRIES["hit-tagger"].data(5, 60).inputs["image"]
    unsigned = ENTRIES["hit-tagger-pooled"].data(5, 60).inputs["image"]
    assert signed.min() < 0
    np.testing.assert_allclose(np.clip(signed * 10, 0, 30) / 30, unsigned, atol=1e-6)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_seed_gives_the_same_data(name):
    count = FEW.get(name, 30)
    first, again, other = (ENTRIES[name].data(seed, count) for seed in (5, 5, 6))
    for key, values in first.inputs.items():
        np.testing.assert_array_equal(values, again.inputs[key])
        assert not np.array_equal(values, other.inputs[key])
