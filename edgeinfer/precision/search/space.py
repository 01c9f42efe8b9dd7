# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a search for bit widths may choose on a network, and what becomes of a choice.

Every tensor and every kernel is a knob. The format that goes with each width is placed once, by
what it does to the network's outputs while all else is exact; kernels and biases are adapted to
each recipe that is tried, and the integer network is what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.costs import Costs, Estimate, costs_of
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.precision.ptq.adapt import AdaptationCache, Effort, adapt_weights
from edgeinfer.precision.ptq.data import (
    PLACING_SAMPLES,
    calibration_samples,
    check_samples,
    most_samples,
    thin_samples,
)
from edgeinfer.precision.ptq.formats import (
    constant_formats,
    join_moments,
    layer_moments,
    tensor_format,
)
from edgeinfer.precision.ptq.network import CutNetwork, cut
from edgeinfer.precision.ptq.points import quantized_tensors, table_indices
from edgeinfer.precision.ptq.settings import TABLE_INDEX_EXTRA_BITS
from edgeinfer.precision.ptq.sketch import extreme_rows, sketch_tensors
from edgeinfer.precision.ptq.weights import kernel_format
from edgeinfer.precision.search.objective import SearchObjective
from quantization.calibrate import fit_quantizer
from quantization.recipe import Recipe
from quantization.search import RecipeOutcome, Space, WidthKnob

MOST_SAMPLES = 2048  # that weights are adapted to, once for each recipe


@dataclass(frozen=True, slots=True)
class Ready:
    """A recipe, and the network with weights that suit it."""

    graph: g.Graph
    recipe: Recipe
    lowered: LoweredModel
    costs: Costs


@dataclass(slots=True)
class SearchedNetwork:
    """A network whose recipes can be tried."""

    network: CutNetwork
    graph: g.Graph  # batch norms folded
    space: Space
    estimate: Estimate | None = None
    effort: Effort = Effort.ROUNDING
    repaired: dict[str, g.Graph] = field(default_factory=dict)  # networks by name of their weights
    memory: AdaptationCache = field(default_factory=AdaptationCache)

    def ready(self, recipe: Recipe, weights: str = "") -> Ready:
        """The integer network of a recipe that names every tensor and kernel.

        With the name of repaired weights, those are used as they are.
        """
        if weights:
            graph = self.repaired[weights]
        else:
            adapted = adapt_weights(self.network, recipe, self.effort, self.memory)
            graph, recipe = adapted.graph(self.graph), adapted.recipe
        lowered = lower(graph, recipe)
        return Ready(graph, recipe, lowered, costs_of(lowered.program, self.estimate))

    def evaluator(self, objective: SearchObjective) -> Callable[[Recipe, str], RecipeOutcome]:
        """What a search asks for each recipe: the score of the integer network, and its costs."""

        def evaluate(recipe: Recipe, weights: str) -> RecipeOutcome:
            ready = self.ready(recipe, weights)
            score = objective.of_program(ready.lowered.program, ready.lowered.recipe)
            return RecipeOutcome(score, ready.costs.figures(), weights)

        return evaluate


def prepare_search(
    graph: g.Graph,
    data: Mapping[str, NDArray[Any]],
    widths: Sequence[int],
    *,
    per_channel: bool = False,
    estimate: Estimate | None = None,
) -> SearchedNetwork:
    """A network made ready for a search over these widths, calibrated on data."""
    folded = fold_batch_norms(graph)
    widest = max(widths)
    indices = table_indices(folded)
    tensors = quantized_tensors(folded)
    points = tuple(dict.fromkeys((*tensors, *indices)))
    checked_samples = check_samples(folded, data)
    rows = extreme_rows(sketch_tensors(folded, points, checked_samples))
    samples, extremes = calibration_samples(
        checked_samples, most_samples(folded, MOST_SAMPLES), rows
    )
    network = cut(folded, points, samples)
    placing = network.on(thin_samples(samples, PLACING_SAMPLES, extremes))
    kept = {
        name: fit_quantizer(
            network.exact[network.point(name)], widest + TABLE_INDEX_EXTRA_BITS, signed=True
        )
        for name in network.tensors
        if name in indices
    }
    chosen = {
        name: {bits: tensor_format(placing, name, bits) for bits in widths}
        for name in network.tensors
        if name in tensors and name not in kept
    }
    knobs = [
        WidthKnob(name, {bits: Recipe.of({name: quantizer}) for bits, quantizer in formats.items()})
        for name, formats in chosen.items()
    ]
    at_widest = kept | {name: formats[widest] for name, formats in chosen.items()}
    for layer, uses in layer_moments(network, at_widest).items():
        node, moments = uses[0][0], join_moments([moment for _, moment in uses])
        key = f"{layer}/kernel"
        parts = {
            bits: Recipe.of({}, {key: kernel_format(node, moments, bits, per_channel=per_channel)})
            for bits in widths
        }
        knobs.append(WidthKnob(key, parts))
    base = Recipe.of(kept, constant_formats(folded, widest))
    return SearchedNetwork(network, folded, Space(base, tuple(knobs)), estimate)
