# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Post-training quantization on the Graph: data -> Recipe, without a training framework.

Formats are placed where they change the network's outputs least; weights are then adapted to them.
What helps is kept and what does not is left, as samples tell that were not used for the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.complete import state_ports
from edgeinfer.precision.ptq.adapt import (
    AdaptedWeights,
    Effort,
    adapt_weights,
)
from edgeinfer.precision.ptq.data import (
    PLACING_SAMPLES,
    Calibration,
    Rows,
    Samples,
    calibration_samples,
    check_samples,
    degenerate,
    divide_samples,
    lifeless,
    most_samples,
    thin_samples,
    use_all_samples,
)
from edgeinfer.precision.ptq.equalize import equalize_channels
from edgeinfer.precision.ptq.formats import (
    constant_formats,
    kernel_formats,
    tensor_format,
)
from edgeinfer.precision.ptq.network import CutNetwork, cut, divide_network
from edgeinfer.precision.ptq.points import (
    points_of,
    quantized_tensors,
    source,
    table_indices,
)
from edgeinfer.precision.ptq.recurrent import (
    body_network,
    pattern_of,
    replace_bodies,
    scans_of,
    without_plain_ends,
)
from edgeinfer.precision.ptq.settings import (
    MOST_BITS,
    TABLE_INDEX_EXTRA_BITS,
    PtqSettings,
    QuantizedGraph,
    bits_of_layers,
    bits_of_tensor,
    matches_name,
)
from edgeinfer.precision.ptq.sketch import (
    extreme_rows,
    sketch_tensors,
    sketch_values,
)
from edgeinfer.precision.ptq.streamed import (
    FEWEST_REFINED,
    fit_streamed,
    is_refinable,
    refinable_samples,
)
from edgeinfer.precision.ptq.twins import with_equal_twins
from quantization.calibrate import fit_quantizer
from quantization.fixed import Quantizer
from quantization.recipe import Recipe

WORTH = 0.9  # equalisation must lower the error to this share, for it changes the author's weights


def _check_patterns(graph: g.Graph, settings: PtqSettings) -> None:
    """An error for a pattern that is the name of nothing."""
    names = sorted(_names_of(graph))
    for pattern, _ in settings.bits_of:
        if not any(matches_name(name, pattern) for name in names):
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
    samples_checked = check_samples(folded, data)
    count, most = len(next(iter(samples_checked.values()))), most_samples(folded)
    network = divide_network(folded, tensors)
    rows: Rows
    if settings.refine and is_refinable(network, count, FEWEST_REFINED):
        inputs = {node.name for node in folded.inputs}
        sketches = sketch_tensors(folded, {*tensors, *inputs}, samples_checked, kept=inputs)
        rows = extreme_rows({name: sketches[name] for name in tensors})
        if is_refinable(network, count, len(rows)):
            most_refinable, placed = refinable_samples(network)
            samples, rows = calibration_samples(samples_checked, min(most, most_refinable), rows)
            chosen = _refine_formats(folded, samples, rows, min(PLACING_SAMPLES, placed), settings)
            whole = _quantize_bodies(chosen, samples, settings)
            return _with_remarks(whole, degenerate({name: sketches[name] for name in inputs}))
    chosen, sketches = fit_streamed(folded, network, samples_checked, settings)
    if any(scans_of(folded)):
        samples, _ = calibration_samples(samples_checked, most, extreme_rows(sketches))
        chosen = _quantize_bodies(chosen, samples, settings)
    return _with_remarks(
        chosen, degenerate({node.name: sketches[node.name] for node in folded.inputs})
    )


def _with_remarks(chosen: QuantizedGraph, remarks: list[str]) -> QuantizedGraph:
    return replace(chosen, findings=(*remarks, *chosen.findings))


def _refine_formats(
    folded: g.Graph, samples: Samples, rows: Rows, placed: int, settings: PtqSettings
) -> QuantizedGraph:
    """Formats by what they do to the outputs, of the network as it is or with channels rescaled."""
    even = equalize_channels(folded) if settings.adapt and settings.equalize else folded
    if even is not folded:
        rows = np.union1d(rows, extreme_rows(sketch_tensors(even, points_of(even), samples)))
    choosing = settings.adapt
    calibration = divide_samples(samples, rows) if choosing else use_all_samples(samples, rows)
    chosen = fit(folded, calibration, placed, settings)
    if even is not folded:
        other = fit(even, calibration, placed, settings)
        if other.error < WORTH * chosen.error:
            finding = "Channels were rescaled between layers (exactly: by powers of two)."
            chosen = replace(other, findings=(*other.findings, finding))
    return chosen


def _quantize_bodies(
    outside: QuantizedGraph, samples: Samples, settings: PtqSettings
) -> QuantizedGraph:
    """The same with every recurrence's body quantized for itself. A slice has the format of the
    sequence that it is cut from, if that has one; a state that adds up keeps some bits more."""
    bodies: dict[str, QuantizedGraph] = {}
    recipe, findings = outside.recipe, list(outside.findings)
    for node in scans_of(outside.exact):
        body = body_network(outside.exact, node, samples)
        inside = replace(settings, input_bits=None)
        for name in body.summed:
            bits = min(settings.width_of(name) + TABLE_INDEX_EXTRA_BITS, MOST_BITS)
            inside = replace(inside, bits_of=((pattern_of(name), bits), *inside.bits_of))
        quantized_body = _quantize(body.graph, body.samples, inside)
        cut = {
            one.name
            for x, one in zip(node.xs, node.slices, strict=True)
            if outside.recipe.activation(source(outside.exact, x))
        }
        formats = {name: fmt for name, fmt in quantized_body.recipe.activations if name not in cut}
        recipe = recipe.updated(Recipe.of(formats, dict(quantized_body.recipe.weights)))
        findings += quantized_body.findings
        bodies[node.name] = quantized_body
    ports = ((outer, recipe.activation(inner)) for outer, inner in state_ports(outside.exact))
    recipe = recipe.updated(Recipe.of({outer: bodies for outer, bodies in ports if bodies}))
    return replace(
        outside,
        graph=replace_bodies(
            outside.graph, lambda node: without_plain_ends(bodies[node.name].graph, node.body)
        ),
        exact=replace_bodies(
            outside.exact, lambda node: without_plain_ends(bodies[node.name].exact, node.body)
        ),
        recipe=recipe,
        findings=tuple(findings),
    )


def fit(
    graph: g.Graph, calibration: Calibration, placed: int, settings: PtqSettings
) -> QuantizedGraph:
    """The recipe and the weights of one network, whose batch norms are folded."""
    indices, tensors = table_indices(graph), points_of(graph)
    network = cut(graph, tensors, calibration.fit)
    placing = network.on(thin_samples(calibration.fit, placed, calibration.extremes))
    quantizers = {
        name: _tensor(placing, name, settings, is_index=name in indices)
        for name in network.tensors
        if name in tensors
    }
    quantizers = with_equal_twins(graph, quantizers)
    formats = kernel_formats(
        network,
        quantizers,
        bits_of_layers(network, settings),
        per_channel=settings.per_channel,
    )
    recipe = Recipe.of(quantizers, formats | constant_formats(graph, settings.bits))
    efforts = tuple(Effort) if settings.adapt else (Effort.NEAREST,)
    judge_network = network
    if calibration.held_out is not calibration.fit:
        judge_network = network.on(calibration.held_out)
    adaptations = [adapt_weights(network, recipe, effort) for effort in efforts]
    errors = [error_of(judge_network, one) for one in adaptations]
    best = min(range(len(adaptations)), key=lambda i: errors[i])
    points = {name: network.exact[network.point(name)] for name in network.tensors}
    findings = lifeless({name: sketch_values(name, values) for name, values in points.items()})
    weights, recipe = adaptations[best].graph(graph), adaptations[best].recipe
    return QuantizedGraph(weights, recipe, tuple(findings), graph, errors[best])


def error_of(network: CutNetwork, adapted: AdaptedWeights) -> float:
    """The error of the outputs when everything is rounded."""
    return network.error(network.rounded_outputs(dict(adapted.recipe.activations), adapted.weights))


def _tensor(network: CutNetwork, name: str, settings: PtqSettings, *, is_index: bool) -> Quantizer:
    bits = bits_of_tensor(network, name, settings)
    exact = network.exact[network.point(name)]
    if is_index:
        return fit_quantizer(exact, bits + TABLE_INDEX_EXTRA_BITS, signed=True)
    chosen = tensor_format(network, name, bits)
    if name in network.inputs:
        return chosen
    return settings.in_modes(chosen, float(exact.min()), float(exact.max()))
