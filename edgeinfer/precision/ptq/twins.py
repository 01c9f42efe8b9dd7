# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tensors that have the same place in several calls of a tower: one format for all of them, so that
the calls are the same arithmetic, and hardware can make them with one tower."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from edgeinfer.graph import nodes as g
from edgeinfer.graph.towers import TowerStep, form_of, largest_tower
from edgeinfer.precision.ptq.points import source
from quantization.fixed import Quantizer


def with_equal_twins(graph: g.Graph, quantizers: Mapping[str, Quantizer]) -> dict[str, Quantizer]:
    """The formats, where those of twins hold the range of each of them. Twins that were given
    different widths keep their own."""
    equal = dict(quantizers)
    for names in twins_of(graph):
        formatted = [name for name in names if name in equal]
        if len({equal[name].type.bits for name in formatted}) == 1:
            equal |= dict.fromkeys(formatted, _widest([equal[name] for name in formatted]))
    return equal


def _widest(quantizers: list[Quantizer]) -> Quantizer:
    """The format of this width that holds the ranges of all."""
    signed = any(one.type.signed for one in quantizers)
    integer = max(one.type.integer + (signed and not one.type.signed) for one in quantizers)
    return replace(quantizers[0], type=replace(quantizers[0].type, signed=signed, integer=integer))


def twins_of(graph: g.Graph) -> list[tuple[str, ...]]:
    """The tensors with the same place, of each place; what a tower reads counts as the tensor whose
    values it is."""
    steps = tuple(_step_of(node, graph) for node in graph.nodes)
    twins: list[tuple[str, ...]] = []
    beside: set[str] = set()
    while tower := largest_tower(steps, graph.outputs, beside):
        for places in zip(*(call.entries for call in tower), strict=True):
            twins.append(tuple(dict.fromkeys(source(graph, name) for name in places)))
        for places in zip(*(call.steps for call in tower), strict=True):
            twins.append(places)
            beside.update(places)
    return twins


def _step_of(node: g.Node, graph: g.Graph) -> TowerStep:
    """A node as the search for towers sees it. A layer reads anything of its shape."""
    reads = g.inputs_of(node)
    if isinstance(node, g.InputNode | g.ScanNode | g.IndexingNode):
        return TowerStep(node.name, reads, None)
    if isinstance(node, g.ConvNode | g.DenseNode):
        layer = (form_of(node, ("name", "x", "kernel", "bias")), graph.shapes[node.x])
        macs = math.prod(graph.shapes[node.name][:-1]) * node.kernel.size
        return TowerStep(node.name, reads, layer, macs, begins=True)
    form = form_of(node, ("name", "x", "xs", "mask"))
    return TowerStep(node.name, reads, form, is_constant=isinstance(node, g.ConstantNode))
