# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Weights that suit a recipe: kernels on their grids, biases that make good what rounding moved.

Layer after layer, on what the rounded network before it yields. The recipe comes out with formats
for the biases; everything else about it stays.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq.network import CutNetwork, Part, Values, replace_weights, round_values
from edgeinfer.precision.ptq.points import source
from edgeinfer.precision.ptq.weights import (
    bias_format,
    corrected_bias,
    plain,
    round_with_compensation,
)
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat

EXACT_FRAC = 8  # fractional bits of a bias, beyond the kernel's, where x has no format


class Effort(IntEnum):
    """How much is done to weights beyond bringing each onto its grid."""

    NEAREST = 0
    BIAS = 1  # biases corrected
    ROUNDING = 2  # and each weight's rounding made good by its neighbours


@dataclass(frozen=True, slots=True)
class AdaptedWeights:
    """Weights by key (kernels on their grids), and the recipe with formats for all of them."""

    weights: Mapping[str, g.Floats]
    recipe: Recipe

    def graph(self, graph: g.Graph) -> g.Graph:
        """The network with these kernels and biases."""
        linear = {
            f"{node.layer}/{kind}"
            for node in graph.nodes
            if isinstance(node, g.ConvNode | g.DenseNode)
            for kind in ("kernel", "bias")
        }
        return replace_weights(graph, {k: v for k, v in self.weights.items() if k in linear})


@dataclass(frozen=True, slots=True)
class _PartResult:
    """What became of a part: its rounded tensor, its weights, the formats of its biases."""

    values: Values
    weights: Mapping[str, g.Floats]
    biases: Mapping[str, WeightFormat]


@dataclass(slots=True)
class AdaptationCache:
    """Parts that were adapted before, for recipes that agree in all that comes before a part; those
    not asked for longest go first."""

    most_bytes: int = 1 << 30
    _made: OrderedDict[str, _PartResult] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def find(self, key: str) -> _PartResult | None:
        """What was made of a part under this key."""
        if key in self._made:
            self._made.move_to_end(key)
        return self._made.get(key)

    def keep(self, key: str, part: _PartResult) -> None:
        """Remember, and forget what there is no room for."""
        self._made[key] = part
        self._bytes += _size(part)
        while self._bytes > self.most_bytes and len(self._made) > 1:
            _, oldest = self._made.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(part: _PartResult) -> int:
    return part.values.nbytes + sum(values.nbytes for values in part.weights.values())


def adapt_weights(
    network: CutNetwork, recipe: Recipe, effort: Effort, memory: AdaptationCache | None = None
) -> AdaptedWeights:
    """Weights for a recipe that names every tensor and every weight but the biases. A memory serves
    one network only."""
    walk = _Walk(network, recipe, effort, memory or AdaptationCache(0))
    for name in network.inputs:
        walk.begin(name)
    for part in network.parts:
        walk.add(part)
    return AdaptedWeights(walk.weights, recipe.updated(Recipe.of({}, walk.biases)))


def nearest_weights(network: CutNetwork, recipe: Recipe) -> AdaptedWeights:
    """Every weight on the nearest place of its grid, without a look at any value."""
    walk = _Walk(network, recipe, Effort.NEAREST, AdaptationCache(0))
    for part in network.parts:
        weights, biases = walk.adapted(part)
        walk.weights |= weights
        walk.biases |= biases
    return AdaptedWeights(walk.weights, recipe.updated(Recipe.of({}, walk.biases)))


class _Walk:
    """The rounded network as far as it has come."""

    def __init__(
        self, network: CutNetwork, recipe: Recipe, effort: Effort, memory: AdaptationCache
    ) -> None:
        self.network, self.recipe, self.effort, self.memory = network, recipe, effort, memory
        self.values: dict[str, Values] = {}
        self.weights: dict[str, g.Floats] = {}
        self.biases: dict[str, WeightFormat] = {}
        self.keys: dict[str, str] = {}  # all that a point's values depend on
        self.formats = dict(recipe.activations)
        self.forms = dict(recipe.weights)
        self.uses = Counter(
            node.layer for node in network.graph.nodes if isinstance(node, g.ConvNode | g.DenseNode)
        )

    def begin(self, name: str) -> None:
        """Round an input."""
        quantizer = self.formats.get(name)
        exact = self.network.exact[name]
        self.keys[name] = f"input {name} {quantizer}"
        part = self.memory.find(self.keys[name])
        if part is None:
            part = _PartResult(round_values(exact, quantizer) if quantizer else exact, {}, {})
            self.memory.keep(self.keys[name], part)
        self.values[name] = part.values

    def add(self, part: Part) -> None:
        """Adapt a part's weights and run it, or remember what came of it."""
        named = [key for node in part.graph.nodes for key in g.weights_of(node)]
        forms = [self.forms.get(name) for name in named if not name.endswith("/bias")]
        before = [self.keys[name] for name in part.reads]
        quantizer = self.formats.get(part.tensor)
        content = f"{part.point} {quantizer} {forms!r} {self.effort} {before}"
        key = self.keys[part.point] = hashlib.sha256(content.encode()).hexdigest()
        shared = any(self.uses[node.layer] > 1 for node in part.layers)
        part_result = None if shared else self.memory.find(key)
        if part_result is None:
            part_result = self._made(part, quantizer)
            if not shared:
                self.memory.keep(key, part_result)
        self.values[part.point] = part_result.values
        self.weights |= part_result.weights
        self.biases |= part_result.biases

    def _made(self, part: Part, quantizer: Quantizer | None) -> _PartResult:
        weights, biases = self.adapted(part)
        values = self.network.run(part, self.values, weights=self.weights | weights)[part.point]
        return _PartResult(
            round_values(values, quantizer) if quantizer else values, weights, biases
        )

    def adapted(self, part: Part) -> tuple[dict[str, g.Floats], dict[str, WeightFormat]]:
        """A part's weights, and the formats of its biases."""
        weights: dict[str, g.Floats] = {}
        biases: dict[str, WeightFormat] = {}
        for node in part.graph.nodes:
            if isinstance(node, g.ConvNode | g.DenseNode):
                self._layer(part, node, weights, biases)
                continue
            for key, values in g.weights_of(node).items():
                if key in self.forms:
                    weights[key] = plain(values, self.forms[key])
        return weights, biases

    def _layer(
        self,
        part: Part,
        node: g.ConvNode | g.DenseNode,
        weights: dict[str, g.Floats],
        biases: dict[str, WeightFormat],
    ) -> None:
        key = f"{node.layer}/kernel"
        fmt = self.forms.get(key)
        if fmt is None or key in self.weights or key in weights:
            return
        kernel, bias = plain(node.kernel, fmt), node.bias
        if self.uses[node.layer] == 1 and self.effort > Effort.NEAREST:
            moments = self.network.moments(part, node, self.values)
            if self.effort >= Effort.ROUNDING:
                kernel = round_with_compensation(node, moments, fmt)
            if bias is not None:
                exact = self.network.means(part, node)
                bias = corrected_bias(node, kernel, exact, [m.mean for m in moments])
        weights[key] = kernel
        if bias is not None:
            grid = WeightFormat.of(bias_format(bias, fmt.frac + self._frac(node.x)))
            biases[f"{node.layer}/bias"] = grid
            weights[f"{node.layer}/bias"] = plain(bias, grid)

    def _frac(self, tensor: str) -> int:
        """Fractional bits of what a layer reads, as far as a format tells."""
        quantizer = self.formats.get(source(self.network.graph, tensor))
        return quantizer.type.frac if quantizer else EXACT_FRAC
