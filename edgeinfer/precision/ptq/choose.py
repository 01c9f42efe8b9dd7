# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Post-training quantization on the Graph: data -> Recipe, without a training framework.

Formats are placed where they change the network's outputs least; weights are then adapted to them.
What helps is kept and what does not is left, as samples tell that were not used for the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.precision.ptq.adapt import AdaptedWeights, Effort, adapt_weights
from edgeinfer.precision.ptq.data import (
    PLACING_SAMPLES,
    Calibration,
    Samples,
    calibration_samples,
    degenerate,
    divide_samples,
    extreme_rows,
    lifeless,
    thin_samples,
    use_all_samples,
)
from edgeinfer.precision.ptq.equalize import equalize_channels
from edgeinfer.precision.ptq.formats import (
    constant_formats,
    kernel_formats,
    ranged_kernels,
    tensor_format,
)
from edgeinfer.precision.ptq.network import CutNetwork, cut
from edgeinfer.precision.ptq.points import quantized_tensors, source, table_indices
from edgeinfer.precision.ptq.recurrent import (
    body_network,
    pattern_of,
    replace_bodies,
    scans_of,
    without_plain_ends,
)
from quantization.calibrate import Method, fit_quantizer
from quantization.fixed import Quantizer
from quantization.recipe import Recipe

TABLE_INDEX_EXTRA_BITS = 4  # a table's index is finer than its output, for slopes are at most 1
MOST_BITS = 24
WORTH = 0.9  # equalisation must lower the error to this share, for it changes the author's weights


@dataclass(frozen=True, slots=True)
class PtqSettings:
    """Widths, how ranges are drawn, and what may be done to the weights.

    With `refine`, a format is moved from where `method` places it to where the network's outputs
    change least. With `adapt`, the weights are fitted to the formats; with `equalize`, channels may
    be rescaled. Without both the recipe alone says it all: the weights are the author's, rounded.
    """

    bits: int
    method: Method = Method.MINMAX
    percentile: float = 99.9
    per_channel: bool = False
    input_bits: int | None = None  # as `bits` where None
    refine: bool = True
    adapt: bool = True
    equalize: bool = True
    bits_of: tuple[tuple[str, int], ...] = ()  # by patterns of names; the first that matches counts

    def __post_init__(self) -> None:
        for width in (self.bits, self.input_bits or self.bits, *(bits for _, bits in self.bits_of)):
            if not 2 <= width <= MOST_BITS:
                raise UsageError(f"{width} bits cannot be asked for; choose 2 to {MOST_BITS}.")

    def width_of(self, name: str) -> int:
        """The width of a tensor, or of a layer's kernel. A pattern is one of a shell, or several
        with | between them."""
        return next((bits for pattern, bits in self.bits_of if _matches(name, pattern)), self.bits)


def _matches(name: str, pattern: str) -> bool:
    return any(fnmatchcase(name, each.strip()) for each in pattern.split("|"))


def _check_patterns(graph: g.Graph, settings: PtqSettings) -> None:
    """An error for a pattern that is the name of nothing."""
    names = sorted(_names_of(graph))
    for pattern, _ in settings.bits_of:
        if not any(_matches(name, pattern) for name in names):
            raise UsageError(
                f"No layer or tensor of {graph.name} is called {pattern!r}.",
                hint=did_you_mean(pattern, names) or f"There are {', '.join(names)}.",
            )


def _names_of(graph: g.Graph) -> set[str]:
    """Everything whose width may be asked for."""
    layers = {n.layer for n in graph.nodes if isinstance(n, g.ConvNode | g.DenseNode)}
    inside = [_names_of(node.body) for node in scans_of(graph)]
    inputs = (node.name for node in graph.inputs)
    return {*quantized_tensors(graph), *layers, *inputs}.union(*inside)


@dataclass(frozen=True, slots=True)
class QuantizedGraph:
    """What quantization chose. The recipe belongs to `graph`: batch norms are folded, kernels lie
    on their grids, biases are corrected, and channels may be rescaled."""

    graph: g.Graph
    recipe: Recipe
    findings: tuple[str, ...]
    exact: g.Graph  # the same with float weights, which the recipe fits as well
    error: float  # of the outputs of held-out samples, in units of their spread, squared


def quantize(
    graph: g.Graph, data: Mapping[str, NDArray[Any]], settings: PtqSettings
) -> QuantizedGraph:
    """Choose a format for every input, weight and tensor that feeds arithmetic."""
    folded = fold_batch_norms(graph)
    _check_patterns(folded, settings)
    return _quantize(folded, data, settings)


def _quantize(
    folded: g.Graph, data: Mapping[str, NDArray[Any]], settings: PtqSettings
) -> QuantizedGraph:
    tensors = points_of(folded)
    samples = calibration_samples(folded, data, tensors)
    choosing = settings.refine and settings.adapt
    even = equalize_channels(folded) if choosing and settings.equalize else folded
    rows = extreme_rows(folded, samples, tensors)
    if even is not folded:
        rows = np.union1d(rows, extreme_rows(even, samples, points_of(even)))
    calibration = divide_samples(samples, rows) if choosing else use_all_samples(samples, rows)
    chosen = fit(folded, calibration, settings)
    if even is not folded:
        other = fit(even, calibration, settings)
        if other.error < WORTH * chosen.error:
            said = "Channels were rescaled between layers (exactly: by powers of two)."
            chosen = replace(other, findings=(*other.findings, said))
    whole = _quantize_bodies(chosen, samples, settings)
    return replace(whole, findings=(*degenerate(samples), *whole.findings))


def _quantize_bodies(
    outside: QuantizedGraph, samples: Samples, settings: PtqSettings
) -> QuantizedGraph:
    """The same with every recurrence's body quantized for itself. A slice has the format of the
    sequence that it is cut from, if that has one; a state that adds up keeps some bits more."""
    found: dict[str, QuantizedGraph] = {}
    recipe, findings = outside.recipe, list(outside.findings)
    for node in scans_of(outside.exact):
        body = body_network(outside.exact, node, samples)
        inside = replace(settings, input_bits=None)
        for name in body.summed:
            bits = min(settings.width_of(name) + TABLE_INDEX_EXTRA_BITS, MOST_BITS)
            inside = replace(inside, bits_of=((pattern_of(name), bits), *inside.bits_of))
        made = _quantize(body.graph, body.samples, inside)
        cut = {
            one.name
            for x, one in zip(node.xs, node.slices, strict=True)
            if outside.recipe.activation(source(outside.exact, x))
        }
        formats = {name: fmt for name, fmt in made.recipe.activations if name not in cut}
        recipe = recipe.updated(Recipe.of(formats, dict(made.recipe.weights)))
        findings += made.findings
        found[node.name] = made
    return replace(
        outside,
        graph=replace_bodies(
            outside.graph, lambda node: without_plain_ends(found[node.name].graph, node.body)
        ),
        exact=replace_bodies(
            outside.exact, lambda node: without_plain_ends(found[node.name].exact, node.body)
        ),
        recipe=recipe,
        findings=tuple(findings),
    )


def points_of(graph: g.Graph) -> tuple[str, ...]:
    """Every tensor that gets a format."""
    return tuple(dict.fromkeys((*quantized_tensors(graph), *table_indices(graph))))


def fit(graph: g.Graph, calibration: Calibration, settings: PtqSettings) -> QuantizedGraph:
    """The recipe and the weights of one network, whose batch norms are folded."""
    indices, tensors = table_indices(graph), points_of(graph)
    network = cut(graph, tensors, calibration.fit)
    placing = network
    if settings.refine:
        placing = network.on(thin_samples(calibration.fit, PLACING_SAMPLES, calibration.extremes))
    quantizers = {
        name: _tensor(placing, name, settings, is_index=name in indices)
        for name in network.tensors
        if name in tensors
    }
    bits = {
        node.layer: settings.width_of(node.layer) for part in network.parts for node in part.layers
    }
    if settings.refine:
        formats = kernel_formats(network, quantizers, bits, per_channel=settings.per_channel)
    else:
        formats = ranged_kernels(
            network,
            bits,
            settings.method,
            settings.percentile,
            per_channel=settings.per_channel,
        )
    recipe = Recipe.of(quantizers, formats | constant_formats(graph, settings.bits))
    efforts = tuple(Effort) if settings.refine and settings.adapt else (Effort.NEAREST,)
    judged = network
    if calibration.held_out is not calibration.fit:
        judged = network.on(calibration.held_out)
    made = [adapt_weights(network, recipe, effort) for effort in efforts]
    errors = [error_of(judged, one) for one in made]
    best = min(range(len(made)), key=lambda i: errors[i])
    points = {name: network.exact[network.point(name)] for name in network.tensors}
    adapted_graph, said = made[best].graph(graph), tuple(lifeless(points))
    return QuantizedGraph(adapted_graph, made[best].recipe, said, graph, errors[best])


def error_of(network: CutNetwork, made: AdaptedWeights) -> float:
    """The error of the outputs when everything is rounded."""
    return network.error(network.rounded_outputs(dict(made.recipe.activations), made.weights))


def _tensor(network: CutNetwork, name: str, settings: PtqSettings, *, is_index: bool) -> Quantizer:
    exact = network.exact[network.point(name)]
    bits = settings.width_of(name)
    if name in network.inputs:
        bits = settings.input_bits or bits
    if is_index:
        return fit_quantizer(exact, bits + TABLE_INDEX_EXTRA_BITS, signed=True)
    if settings.refine:
        return tensor_format(network, name, bits)
    return fit_quantizer(exact, bits, method=settings.method, percentile=settings.percentile)
