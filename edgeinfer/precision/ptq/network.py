# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A float network cut where its tensors are rounded, so that any of them can be, one at a time.

A part computes one tensor from the rounded ones before it. What a format does to the outputs is
found by running the parts behind it; what was computed before stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.host import host_functions, without_host_functions
from edgeinfer.ir.program import HostFunction
from edgeinfer.precision.ptq.points import dependent, late_point
from edgeinfer.precision.ptq.rows import Moments, means_of, moments_of
from edgeinfer.precision.ptq.shown import Places, places_shown
from quantization.fixed import Overflow, Quantizer, Rounding, dequantize, quantize

Values = NDArray[np.float32]
Tensors = Mapping[str, Values]

MOST_ERROR = 16.0  # of one element of the outputs: four spreads away
FEW_LIT = 0.5  # share of lit pixels below which they alone tell the spread of an image


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What computes one tensor from the rounded tensors before it."""

    tensor: str  # the recipe's name of it; an output that is not rounded bears its own
    point: str  # where it is cut
    reads: tuple[str, ...]  # points
    graph: g.Graph

    @property
    def layers(self) -> tuple[g.ConvNode | g.DenseNode, ...]:
        """The layers whose kernels the part holds."""
        return tuple(
            node for node in self.graph.nodes if isinstance(node, g.ConvNode | g.DenseNode)
        )


@dataclass(slots=True)
class CutNetwork:
    """A network in parts, in order, with the float values of some samples at every cut."""

    graph: g.Graph
    inputs: tuple[str, ...]
    parts: tuple[Part, ...]
    ends: tuple[str, ...]  # points that are outputs (before what the host applies)
    scores: frozenset[str]  # ends of which a softmax follows at the host
    exact: dict[str, Values]  # by point
    engines: dict[str, FloatEngine] = field(default_factory=dict)
    exact_means: dict[str, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)
    end_spreads: dict[str, float] = field(default_factory=dict)
    masks: dict[str, Values] = field(default_factory=dict)
    lit: dict[str, Places | None] = field(default_factory=dict)  # by layer

    @property
    def tensors(self) -> tuple[str, ...]:
        """What gets formats: inputs and cut tensors, in order."""
        return (*self.inputs, *(part.tensor for part in self.parts))

    def point(self, tensor: str) -> str:
        """Where a tensor is cut."""
        return next((part.point for part in self.parts if part.tensor == tensor), tensor)

    def on(self, samples: Mapping[str, NDArray[Any]]) -> CutNetwork:
        """The same network with the values of other samples."""
        exact = _exact(self.graph, self.parts, samples)
        return replace(self, exact=exact, exact_means={}, end_spreads={}, masks={}, lit={})

    def means(self, part: Part, layer: g.ConvNode | g.DenseNode) -> tuple[NDArray[np.float64], ...]:
        """Means of a layer's float inputs, for each group."""
        if layer.name not in self.exact_means:
            x = self.read_input(part, layer, self.exact)
            self.exact_means[layer.name] = means_of(layer, x, self.lit_places(layer))
        return self.exact_means[layer.name]

    def moments(
        self, part: Part, layer: g.ConvNode | g.DenseNode, values: Tensors
    ) -> tuple[Moments, ...]:
        """Moments of what a layer of a part reads, for each group."""
        return moments_of(layer, self.read_input(part, layer, values), self.lit_places(layer))

    def lit_places(self, layer: g.ConvNode | g.DenseNode) -> Places | None:
        """Where a mask shows what the layer makes; None where all of it is seen."""
        if layer.name not in self.lit:
            self.lit[layer.name] = self._find_lit_places(layer)
        return self.lit[layer.name]

    def _find_lit_places(self, layer: g.ConvNode | g.DenseNode) -> Places | None:
        shown = places_shown(self.graph, layer.name)
        if shown is None:
            return None
        if shown.mask not in self.masks:
            engine = FloatEngine(replace(self.graph, outputs=(shown.mask,)))
            inputs = {name: self.exact[name] for name in self.inputs}
            self.masks[shown.mask] = engine.run(inputs)[shown.mask]
        return shown.lit(self.masks[shown.mask])

    def read_input(self, part: Part, layer: g.ConvNode | g.DenseNode, values: Tensors) -> Values:
        """What a layer of a part reads."""
        if layer.x in part.reads:
            return values[layer.x]
        before = replace(part.graph, outputs=(layer.x,))
        engine = self.engines.setdefault(f"before {layer.name}", FloatEngine(before))
        return engine.run({name: values[name] for name in part.reads})[layer.x]

    def run(
        self,
        part: Part,
        values: Tensors,
        taps: Sequence[str] = (),
        weights: Mapping[str, g.Floats] | None = None,
    ) -> dict[str, Values]:
        """A part's tensor (by its point) and taps, from rounded tensors and maybe other weights."""
        changed = replace_weights(part.graph, weights) if weights else part.graph
        if changed is part.graph:
            engine = self.engines.setdefault(part.point, FloatEngine(part.graph))
        else:
            engine = FloatEngine(changed)
        return engine.run({name: values[name] for name in part.reads}, taps)

    def outputs_after(
        self,
        changed: Tensors,
        quantizers: Mapping[str, Quantizer] | None = None,
        weights: Mapping[str, g.Floats] | None = None,
    ) -> dict[str, Values]:
        """The network's ends where some points hold other values than in the float network, the
        formats and weights given being applied to all parts behind them."""
        values = {**self.exact, **changed}
        touched = set(changed)
        for part in self.parts:
            if part.point in changed:
                continue
            own = {k: v for k, v in (weights or {}).items() if k in keys_of(part.graph)}
            if not (touched.intersection(part.reads) or own):
                continue
            values[part.point] = self.run(part, values, weights=own)[part.point]
            if quantizers and part.tensor in quantizers:
                values[part.point] = round_values(values[part.point], quantizers[part.tensor])
            touched.add(part.point)
        return {end: values[end] for end in self.ends}

    def rounded_outputs(
        self,
        quantizers: Mapping[str, Quantizer],
        weights: Mapping[str, g.Floats],
    ) -> dict[str, Values]:
        """The ends with every format applied."""
        inputs = {
            name: round_values(self.exact[name], quantizers[name])
            if name in quantizers
            else self.exact[name]
            for name in self.inputs
        }
        return self.outputs_after(inputs, quantizers, weights)

    def error(self, outputs: Tensors) -> float:
        """Mean squared error of the ends in units of their usual spread: 0 is exact, about 1 is no
        better than a constant. Of several class scores only differences count; no element counts
        for more than `MOST_ERROR`, so that a broken sample cannot decide alone."""
        total = 0.0
        for end in self.ends:
            exact = self.exact[end]
            if outputs[end] is exact:
                continue
            away = np.subtract(outputs[end], exact, dtype=np.float64)
            scores = end in self.scores or _holds_scores(exact)
            if scores:
                away -= away.mean(axis=-1, keepdims=True)
            if end not in self.end_spreads:  # it sorts all values, which takes longest here
                self.end_spreads[end] = usual_spread(exact, scores=scores)
            away /= self.end_spreads[end]
            total += float(np.mean(np.minimum(np.square(away, out=away), MOST_ERROR, out=away)))
        return total / max(len(self.ends), 1)


def _holds_scores(end: NDArray[np.floating]) -> bool:
    """Whether an output is taken for class scores, of which differences alone count."""
    return end.ndim == 2 and end.shape[-1] > 1


def usual_spread(end: NDArray[np.floating], *, scores: bool) -> float:
    """Half the width of the range that holds 68 % of the samples, averaged over elements. Where
    most pixels of an image are zero, as a mask makes those that are not lit, the others are the
    samples: the zeros between them would make the spread as small as one likes."""
    values = end.astype(np.float64)
    if end.ndim > 2:
        lit = values.any(axis=-1)
        if 0.0 < lit.mean() < FEW_LIT:
            values = values[lit]
    if scores:
        values -= values.mean(axis=-1, keepdims=True)
    low, high = np.quantile(values, (0.16, 0.84), axis=0)
    return float(np.mean(high - low)) / 2 or float(values.std()) or 1.0


def cut(
    graph: g.Graph, tensors: Collection[str], samples: Mapping[str, NDArray[Any]]
) -> CutNetwork:
    """Cut a network at the tensors that get formats, and compute its float values there."""
    return divide_network(graph, tensors).on(samples)


def divide_network(graph: g.Graph, tensors: Collection[str]) -> CutNetwork:
    """A network cut at the tensors that get formats, without values."""
    headless = without_host_functions(graph)
    moving = dependent(headless)
    inputs = tuple(node.name for node in headless.inputs)
    points = {
        name: late_point(headless, name)
        for name in headless.shapes
        if name in tensors and name in moving and name not in inputs
    }
    ends = tuple(name for name in headless.outputs if name in moving and name not in inputs)
    points |= {end: end for end in ends if end not in points.values()}
    order = {node.name: i for i, node in enumerate(headless.nodes)}
    cuts = {*inputs, *points.values()}
    parts = tuple(
        _part(headless, tensor, point, cuts)
        for tensor, point in sorted(points.items(), key=lambda item: order[item[1]])
    )
    scores = frozenset(
        tensor for tensor, name in host_functions(graph).values() if name is HostFunction.SOFTMAX
    )
    return CutNetwork(headless, inputs, parts, ends, scores, {})


def _exact(
    graph: g.Graph, parts: Sequence[Part], samples: Mapping[str, NDArray[Any]]
) -> dict[str, Values]:
    fed = {node.name: np.asarray(samples[node.name], dtype=np.float32) for node in graph.inputs}
    taps = tuple(part.point for part in parts)
    values = FloatEngine(graph).run(fed, taps) if taps else {}
    return fed | {name: values[name] for name in taps}


def _part(graph: g.Graph, tensor: str, point: str, cuts: Collection[str]) -> Part:
    needed = {point}
    for node in reversed(graph.nodes):
        if node.name in needed and (node.name == point or node.name not in cuts):
            needed.update(g.inputs_of(node))
    reads = tuple(name for name in graph.shapes if name in needed & set(cuts) and name != point)
    nodes = tuple(
        g.InputNode(node.name, graph.shapes[node.name]) if node.name in reads else node
        for node in graph.nodes
        if node.name in needed
    )
    return Part(tensor, point, reads, g.Graph(f"{graph.name}.{point}", nodes, (point,)))


def keys_of(graph: g.Graph) -> set[str]:
    """Names of all of a network's weights."""
    return {key for node in graph.nodes for key in g.weights_of(node)}


def replace_weights(graph: g.Graph, weights: Mapping[str, g.Floats]) -> g.Graph:
    """The same network with other kernels, biases, and other stored values."""
    if not keys_of(graph).intersection(weights):
        return graph
    nodes = tuple(_replace_node_weights(node, weights) for node in graph.nodes)
    return g.Graph(graph.name, nodes, graph.outputs)


def _replace_node_weights(node: g.Node, weights: Mapping[str, g.Floats]) -> g.Node:
    match node:
        case g.ConvNode() | g.DenseNode():
            kernel = weights.get(f"{node.layer}/kernel", node.kernel)
            bias = weights.get(f"{node.layer}/bias")
            return replace(node, kernel=kernel, bias=node.bias if bias is None else bias)
        case g.BatchNormNode():
            scale = weights.get(f"{node.layer}/scale", node.scale)
            shift = weights.get(f"{node.layer}/shift", node.shift)
            return g.AffineNode(node.name, node.layer, node.x, scale, shift)
        case g.AffineNode():
            scale = weights.get(f"{node.layer}/scale", node.scale)
            return replace(node, scale=scale, shift=weights.get(f"{node.layer}/shift", node.shift))
        case g.PReluNode():
            return replace(node, slope=weights.get(f"{node.layer}/slope", node.slope))
        case g.ConstantNode():
            return replace(node, value=weights.get(f"{node.name}/value", node.value))
        case _:  # the other nodes hold no weights, see `weights_of`
            return node


def round_values(values: NDArray[Any], quantizer: Quantizer) -> Values:
    """What is left of values that were brought into a format."""
    type_ = quantizer.type
    if quantizer.rounding is Rounding.RND_CONV and quantizer.overflow is Overflow.SAT:
        raw = np.rint(np.ldexp(values.astype(np.float32), type_.frac))
        np.clip(raw, type_.raw_min, type_.raw_max, out=raw)
        return np.ldexp(raw, -type_.frac).astype(np.float32)
    return dequantize(quantize(values, quantizer), type_).astype(np.float32)
