# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is written as a QKeras model and read back is the same Program, digest for digest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.export.qkeras import write
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.readers import load
from edgeinfer.zoo import builders
from quantization.fixed import Overflow
from quantization.recipe import Recipe
from tests.support.qkeras_oracle import agree
from tests.support.random_graphs import Network, random_inputs, random_network

ZOO = [builders.hit_tagger_pooled, builders.track_pid, builders.jet_tagger]


def comes_back_whole(network: Network) -> bool:
    """Whether a file can say all of it: an input's rounding of symmetric range is an op of its own
    once it is read back, and an output that only renames another loses its name."""
    inputs = [network.recipe.activation(node.name) for node in network.graph.inputs]
    symmetric = any(q is not None and q.overflow is Overflow.SAT_SYM for q in inputs)
    renamed = any(
        isinstance(node, g.ActivationNode)
        and node.function is g.Function.LINEAR
        and network.recipe.activation(name) is None
        for name in network.graph.outputs
        for node in [network.graph.node(name)]
    )
    return not symmetric and not renamed


def assert_round_trip(graph: g.Graph, recipe: Recipe, path: Path) -> None:
    write(graph, recipe, path)
    again = load(path)
    first, second = lower(graph, recipe).program, lower(again.graph, again.recipe).program
    assert [o.name for o in second.outputs] == [o.name for o in first.outputs]
    assert second.digest == first.digest


@pytest.mark.parametrize("first", [3000, 3010, 3020])
def test_random_networks_come_back(first: int, tmp_path: Path) -> None:
    networks = [random_network(seed) for seed in range(first, first + 10)]
    kept = [network for network in networks if comes_back_whole(network)]
    assert len(kept) >= 5
    for network in kept:
        assert_round_trip(network.graph, network.recipe, tmp_path / "network.keras")


def untrained(build: Callable[[], Any], path: Path) -> g.Graph:
    """A zoo model with random weights, as our reader sees its file."""
    import keras

    keras.utils.set_random_seed(11)
    model = build()
    rng = np.random.default_rng(12)
    model.set_weights([w + rng.normal(0, 0.02, w.shape) for w in model.get_weights()])
    model.save(path)
    return load(path).graph


@pytest.mark.parametrize("build", ZOO, ids=lambda build: build.__name__)
@pytest.mark.parametrize("per_channel", [False, True])
def test_zoo_models_come_back_and_agree(
    build: Callable[[], Any], per_channel: bool, tmp_path: Path
) -> None:
    graph = untrained(build, tmp_path / "float.keras")
    rng = np.random.default_rng(13)
    data = {node.name: rng.normal(0, 1, (24, *node.shape)) for node in graph.inputs}
    chosen = quantize(graph, data, PtqSettings(8, per_channel=per_channel))
    assert_round_trip(chosen.graph, chosen.recipe, tmp_path / "quantized.keras")
    network = Network(chosen.graph, chosen.recipe)
    tally = agree(chosen.graph, chosen.recipe, random_inputs(network, 14, 3))
    functions = sum(isinstance(n, g.SoftmaxNode | g.ActivationNode) for n in chosen.graph.nodes)
    assert tally.exact >= tally.tensors - functions
