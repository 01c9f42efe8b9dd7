# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Multipliers of networks with fewer filters, counted without lowering each of them."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import quantize
from edgeinfer.precision.qat.filters import missed_least, prunable, remove_filters
from edgeinfer.run.defaults import plain
from edgeinfer.run.narrow import cut_program
from edgeinfer.targets.registry import choose_folded
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.reference import load_reference


@pytest.mark.parametrize("name", ["track-pid", "hit-tagger-pooled", "roi-finder"])
def test_a_cut_program_needs_the_multipliers_of_the_smaller_network(name: str) -> None:
    graph = fold_batch_norms(load_reference(name))
    samples, _ = simulate_samples(entry_of(name), 0, 64)
    recipe = quantize(graph, samples.inputs, plain(8)).recipe
    program = lower(graph, recipe).program
    first = choose_folded("xczu7ev")
    prices = first.target.multiplier_prices(program, first.settings)
    assert prices is not None
    paced = choose_folded("xczu7ev", prices.interval_cycles)
    whole = paced.target.multipliers(program, paced.settings)
    counts = []
    for layer in ("conv1", "conv2", "conv", "dense1"):
        candidate = prunable(graph, layer) if layer in graph.shapes else None
        if candidate is None:
            continue
        order, means = missed_least(graph, candidate, samples.inputs)
        half = np.sort(order[: len(order) // 2])
        smaller = remove_filters(graph, candidate, half, means)
        cut, lowered = cut_program(program, smaller), lower(smaller, recipe).program
        assert [cut.shapes[op.name] for op in cut.ops] == [
            lowered.shapes[op.name] for op in lowered.ops
        ]
        counts.append(paced.target.multipliers(cut, paced.settings))
        assert counts[-1] == paced.target.multipliers(lowered, paced.settings)
    assert counts and min(counts) < whole
