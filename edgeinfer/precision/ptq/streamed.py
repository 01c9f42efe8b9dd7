# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats from one pass of all samples through a network, which is what a large one can bear.

A tensor's format follows from its own values, a kernel's from the sizes of what it is multiplied
with: nothing is run again for any of them. Weights go to the nearest place of their grids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.nodes import macs
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.precision.ptq.adapt import nearest_weights
from edgeinfer.precision.ptq.data import PLACING_SAMPLES, Samples, lifeless
from edgeinfer.precision.ptq.formats import constant_formats, join_moments, ranged_kernels
from edgeinfer.precision.ptq.network import CutNetwork
from edgeinfer.precision.ptq.points import points_of, table_indices
from edgeinfer.precision.ptq.rows import MOST_ROWS, Moments, rows_of
from edgeinfer.precision.ptq.settings import (
    TABLE_INDEX_EXTRA_BITS,
    PtqSettings,
    QuantizedGraph,
    bits_of_layers,
    bits_of_tensor,
)
from edgeinfer.precision.ptq.shown import places_shown
from edgeinfer.precision.ptq.sketch import TensorSketch, check_values, sketch_tensors
from edgeinfer.precision.ptq.twins import with_equal_twins
from edgeinfer.precision.ptq.weights import kernel_format
from quantization.calibrate import Method, fit_quantizer, places, squared_error
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat

MOMENT_SAMPLES = 32  # of which what layers read is looked at
CANDIDATES = 5  # places that are tried for a tensor, as a rule
EFFORTS = 4  # times that the whole network is run to fit weights and to judge that
MOST_WORK = 1 << 42  # multiply-accumulates (and values) of placing: some minutes
MOST_HELD = 1 << 29  # values of all cut tensors in all samples
FEWEST_REFINED = 32  # samples, beside those with extremes, that a choice by outputs needs


def refinable_samples(network: CutNetwork) -> tuple[int, int]:
    """How many samples all tensors can be held of, and on how many each tensor's format can be
    placed by what it does to the outputs."""
    shapes = network.graph.shapes
    sizes = [int(np.prod(shapes[network.point(name)], dtype=int)) for name in network.tensors]
    costs = [
        macs(part.graph) + int(np.prod(shapes[part.point], dtype=int)) for part in network.parts
    ]
    behind = np.cumsum(np.array([*costs, 0], dtype=float)[::-1])  # of the parts behind a tensor
    work = CANDIDATES * float(behind.sum()) + EFFORTS * float(sum(costs))
    return MOST_HELD // max(sum(sizes), 1), int(MOST_WORK / max(work, 1.0))


def is_refinable(network: CutNetwork, count: int, extremes: int) -> bool:
    """Whether formats can be placed by the outputs, or the network is too large for that."""
    needed = min(count, PLACING_SAMPLES, FEWEST_REFINED + extremes)
    return min(refinable_samples(network)) >= needed


def fit_streamed(
    graph: g.Graph, network: CutNetwork, samples: Samples, settings: PtqSettings
) -> tuple[QuantizedGraph, dict[str, TensorSketch]]:
    """The recipe and the weights of a network from one pass of all samples, and what it showed."""
    indices = table_indices(graph)
    points = {name: network.point(name) for name in network.tensors}
    inputs = {node.name for node in graph.inputs}
    looked_at = {*points.values(), *inputs}
    by_ends = not settings.refine and settings.method is Method.MINMAX
    sketches = sketch_tensors(network.graph, looked_at, samples, inputs if by_ends else looked_at)
    point_names = set(points_of(graph))
    quantizers = {
        name: _streamed_format(network, name, sketches[point], settings, is_index=name in indices)
        for name, point in points.items()
        if name in point_names
    }
    quantizers = with_equal_twins(graph, quantizers)
    bits = bits_of_layers(network, settings)
    findings = lifeless({name: sketches[point] for name, point in points.items()})
    if settings.refine:
        formats = streamed_kernels(network, samples, bits, per_channel=settings.per_channel)
        findings.append(
            f"{graph.name} is too large to try formats one by one: each was placed where it "
            f"changes its own tensor least, and weights were rounded to the nearest."
        )
    else:
        formats = ranged_kernels(
            network,
            bits,
            settings.kernel_method,
            settings.percentile,
            per_channel=settings.per_channel,
        )
    recipe = Recipe.of(quantizers, formats | constant_formats(graph, settings.bits))
    adapted = nearest_weights(network, recipe)
    return QuantizedGraph(adapted.graph(graph), adapted.recipe, tuple(findings), graph), sketches


def _streamed_format(
    network: CutNetwork, name: str, sketch: TensorSketch, settings: PtqSettings, *, is_index: bool
) -> Quantizer:
    bits = bits_of_tensor(network, name, settings)
    if is_index:
        ends = np.array([sketch.low, sketch.high])
        return fit_quantizer(ends, bits + TABLE_INDEX_EXTRA_BITS, signed=True)
    if settings.refine:
        chosen = own_format(sketch, bits)
    else:
        chosen = fit_quantizer(
            sketch.values, bits, method=settings.method, percentile=settings.percentile
        )
    return chosen if name in network.inputs else settings.in_modes(chosen, sketch.low, sketch.high)


def own_format(sketch: TensorSketch, bits: int) -> Quantizer:
    """The format of this width that changes the tensor itself least."""
    values = sketch.values.astype(np.float64)
    return min(places(values, bits), key=lambda one: squared_error(values, one))


def streamed_kernels(
    network: CutNetwork, samples: Samples, bits: Mapping[str, int], *, per_channel: bool
) -> dict[str, WeightFormat]:
    """A format for every kernel, by key, for the sizes of its inputs; `bits` by layer."""
    moments = _sizes_of_inputs(network, samples)
    formats: dict[str, WeightFormat] = {}
    for layer, uses in moments.items():
        node = next(one for one in _linear(network.graph) if one.layer == layer)
        formats[f"{layer}/kernel"] = kernel_format(
            node, join_moments(uses), bits[layer], per_channel=per_channel
        )
    return formats


def _linear(graph: g.Graph) -> list[g.ConvNode | g.DenseNode]:
    return [node for node in graph.nodes if isinstance(node, g.ConvNode | g.DenseNode)]


def _sizes_of_inputs(network: CutNetwork, samples: Samples) -> dict[str, list[tuple[Moments, ...]]]:
    """Means and mean squares of what each layer reads, an entry for each use of the layer."""
    count = len(next(iter(samples.values())))
    chosen = np.unique(np.linspace(0, count - 1, MOMENT_SAMPLES).astype(np.intp))
    most = max(1, MOST_ROWS // len(chosen))
    layers = [node for part in network.parts for node in part.layers]
    shown = {node.name: places_shown(network.graph, node.name) for node in layers}
    masks = [each.mask for each in shown.values() if each]
    engine = FloatEngine(network.graph)
    taps = tuple(dict.fromkeys([*(node.x for node in layers), *masks]))
    sums: dict[str, Any] = {}
    for row in chosen:
        one = {name: check_values(name, values[row : row + 1]) for name, values in samples.items()}
        outputs = engine.run(one, taps)
        for node in layers:
            seen = shown[node.name]
            lit = seen.lit(outputs[seen.mask]) if seen else None
            rows = rows_of(node, outputs[node.x], lit, most).astype(np.float64)
            both = np.stack([rows.mean(axis=0), np.mean(rows**2, axis=0)])
            sums[node.name] = sums.get(node.name, 0.0) + both
    groups_by_layer: dict[str, list[tuple[Moments, ...]]] = {}
    for node in layers:
        mean, square = sums[node.name] / len(chosen)
        groups = tuple(Moments(*each) for each in zip(mean, square, strict=True))
        groups_by_layer.setdefault(node.layer, []).append(groups)
    return groups_by_layer
