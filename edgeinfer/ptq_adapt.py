# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Weights that suit a recipe: kernels on their grids, biases that make good what rounding moved.

Layer after layer, on what the rounded network before it yields. The recipe comes out with formats
for the biases; everything else about it stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from edgeinfer import graph as g
from edgeinfer.ptq_network import CutNetwork, Part, Values, reweighted, rounded
from edgeinfer.ptq_points import source
from edgeinfer.ptq_rows import Moments, moments_of
from edgeinfer.ptq_weights import bias_format, compensated, corrected_bias, plain
from quantization.recipe import Recipe, WeightFormat


class Effort(IntEnum):
    """How much is done to weights beyond bringing each onto its grid."""

    NEAREST = 0
    BIAS = 1  # biases corrected
    ROUNDING = 2  # and each weight's rounding made good by its neighbours


@dataclass(frozen=True, slots=True)
class Adapted:
    """Weights by key (kernels on their grids), and the recipe with formats for all of them."""

    weights: Mapping[str, g.Floats]
    recipe: Recipe

    def graph(self, graph: g.Graph) -> g.Graph:
        """The network with these kernels and biases."""
        linear = {
            f"{node.layer}/{kind}"
            for node in graph.nodes
            if isinstance(node, g.Conv | g.Dense)
            for kind in ("kernel", "bias")
        }
        return reweighted(graph, {k: v for k, v in self.weights.items() if k in linear})


def adapted(network: CutNetwork, recipe: Recipe, effort: Effort) -> Adapted:
    """Weights for a recipe that names every tensor and every weight but the biases."""
    walk = _Walk(network, recipe, effort)
    for name in network.inputs:
        quantizer = recipe.activation(name)
        exact = network.exact[name]
        walk.values[name] = rounded(exact, quantizer) if quantizer else exact
    for part in network.parts:
        walk.add(part)
    return Adapted(walk.weights, recipe.updated(Recipe.of({}, walk.biases)))


class _Walk:
    """The rounded network as far as it has come."""

    def __init__(self, network: CutNetwork, recipe: Recipe, effort: Effort) -> None:
        self.network, self.recipe, self.effort = network, recipe, effort
        self.values: dict[str, Values] = {}
        self.weights: dict[str, g.Floats] = {}
        self.biases: dict[str, WeightFormat] = {}
        self.formats = dict(recipe.activations)
        self.uses = Counter(
            node.layer for node in network.graph.nodes if isinstance(node, g.Conv | g.Dense)
        )

    def add(self, part: Part) -> None:
        """Adapt a part's weights, then run it."""
        for node in part.graph.nodes:
            if isinstance(node, g.Conv | g.Dense):
                self._layer(part, node)
                continue
            for key, values in g.weights_of(node).items():
                fmt = self.recipe.weight(key)
                if fmt is not None:
                    self.weights[key] = plain(values, fmt)
        found = self.network.run(part, self.values, weights=self.weights)[part.point]
        quantizer = self.formats.get(part.tensor)
        self.values[part.point] = rounded(found, quantizer) if quantizer else found

    def _layer(self, part: Part, node: g.Conv | g.Dense) -> None:
        key = f"{node.layer}/kernel"
        fmt = self.recipe.weight(key)
        if fmt is None or key in self.weights:
            return
        alone = self.uses[node.layer] == 1
        kernel = plain(node.kernel, fmt)
        bias = node.bias
        if alone and self.effort > Effort.NEAREST:
            exact = self._moments(part, node, self.network.exact)
            seen = self._moments(part, node, self.values)
            if self.effort >= Effort.ROUNDING:
                kernel = compensated(node, seen, fmt)
            if bias is not None:
                bias = corrected_bias(node, kernel, exact, seen)
        self.weights[key] = kernel
        if bias is not None:
            grid = WeightFormat.of(bias_format(bias, fmt.frac + self._frac(node.x)))
            self.biases[f"{node.layer}/bias"] = grid
            self.weights[f"{node.layer}/bias"] = plain(bias, grid)

    def _moments(
        self, part: Part, node: g.Conv | g.Dense, values: Mapping[str, Values]
    ) -> tuple[Moments, ...]:
        return moments_of(node, self.network.fed(part, node, values))

    def _frac(self, tensor: str) -> int:
        """Fractional bits of what a layer reads, as far as a format tells."""
        quantizer = self.formats.get(source(self.network.graph, tensor))
        return quantizer.type.frac if quantizer else 8


def plain_weights(graph: g.Graph, recipe: Recipe) -> dict[str, g.Floats]:
    """Every weight that the recipe names, on the nearest place of its grid."""
    named = dict(recipe.weights)
    return {
        key: plain(np.asarray(values, dtype=np.float64), named[key])
        for key, values in graph.weights()
        if key in named
    }
