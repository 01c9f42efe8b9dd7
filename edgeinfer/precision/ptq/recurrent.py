# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recurrences when a network is quantized: each body is a network of its own.

Its samples are what the float network gives it in every step, and its formats are judged by what
they do to one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from glob import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine

MOST_STEPS = 1 << 16  # of all samples, from which a body's samples are taken
Samples = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class BodyNetwork:
    """A body to be quantized, the samples of its inputs, and which states ask for finer formats."""

    graph: g.Graph
    samples: Samples
    summed: tuple[str, ...]


def scans_of(graph: g.Graph) -> Iterator[g.ScanNode]:
    """The recurrences of a network, those inside others left out."""
    return (node for node in graph.nodes if isinstance(node, g.ScanNode))


def body_network(graph: g.Graph, node: g.ScanNode, samples: Mapping[str, Any]) -> BodyNetwork:
    """A recurrence's body, with samples of every step."""
    steps = graph.shapes[node.xs[0]][0]
    most = max(1, MOST_STEPS // steps)
    count = len(next(iter(samples.values())))
    rows = np.linspace(0, count - 1, min(most, count)).astype(np.intp)
    drawn_rows = {one.name: np.asarray(samples[one.name])[rows] for one in graph.inputs}
    body_samples: Samples = {}
    outputs = FloatEngine(graph).run(drawn_rows, node.xs)
    for x, one in zip(node.xs, node.slices, strict=True):
        body_samples[one.name] = outputs[x].reshape(-1, *one.shape)
    for state in node.states:
        probe = replace(node.body, outputs=(state.name, *node.body.outputs[1:]))
        values = _run_until(graph, replace(node, body=probe, stacked=True), drawn_rows)
        body_samples[state.name] = values.reshape(-1, *state.shape)
    return BodyNetwork(_with_plain_ends(node.body), body_samples, tuple(_summed_states(node)))


def _run_until(graph: g.Graph, node: g.ScanNode, samples: Samples) -> NDArray[np.float32]:
    """The tensor of a changed node: of the nodes behind it, it may not suit any."""
    place = [each.name for each in graph.nodes].index(node.name)
    before = g.Graph(graph.name, (*graph.nodes[:place], node), (node.name,))
    fed = {each.name: samples[each.name] for each in before.inputs}
    return FloatEngine(before).run(fed)[node.name]


def _with_plain_ends(body: g.Graph) -> g.Graph:
    """The body with ends of one row: its outputs are neither class scores, of which only
    differences would count, nor functions that could be left to the host."""
    ends: dict[str, g.ReshapeNode] = {}
    for name in body.outputs:
        ends[name] = g.ReshapeNode(f"{name}:row", name, (1, *body.shapes[name]))
    nodes = (*body.nodes, *ends.values())
    return g.Graph(body.name, nodes, tuple(end.name for end in ends.values()))


def without_plain_ends(graph: g.Graph, body: g.Graph) -> g.Graph:
    """What was quantized, with the ends of the body that it was made from."""
    nodes = tuple(node for node in graph.nodes if not node.name.endswith(":row"))
    return g.Graph(body.name, nodes, body.outputs)


def _summed_states(node: g.ScanNode) -> Iterator[str]:
    """States that no layer multiplies by a kernel: what a step adds to them must not be lost, and
    their bits cost no multipliers."""
    for state in node.states:
        readers = [each for each in node.body.nodes if state.name in g.inputs_of(each)]
        if not any(isinstance(each, g.DenseNode | g.ConvNode | g.ScanNode) for each in readers):
            yield state.name


def pattern_of(name: str) -> str:
    """A pattern that is the name of this tensor alone."""
    return escape(name)


def replace_bodies(graph: g.Graph, change: Callable[[g.ScanNode], g.Graph]) -> g.Graph:
    """The same network with other bodies."""
    nodes = tuple(
        replace(node, body=change(node)) if isinstance(node, g.ScanNode) else node
        for node in graph.nodes
    )
    return g.Graph(graph.name, nodes, graph.outputs)
