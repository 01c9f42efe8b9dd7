# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program's outputs beside the float network's: what their distance is, and whether the formats
explain it.

The formats are applied to the float network sample by sample, with bounds where float64 or a table
leaves a doubt. The Program must lie within them; how far they lie from the float network is what
the formats explain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.expected import expected_values
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.lower import LoweredModel
from edgeinfer.ir.program import HostFunction, Output
from quantization.fixed import dequantize

MOST_SAMPLES = 32
MOST_MACS = 400_000_000  # in float64: a second or two
MOST_VALUES = 1 << 24  # of one sample's largest tensor of windows
MOST_VALUES_TOGETHER = 1 << 22  # of all samples': a dozen such tensors are held at once
TOLERANCE = 1e-12  # of an output's size


@dataclass(frozen=True, slots=True)
class Explanation:
    """How far a Program lies from its float network, and how far its formats put it."""

    samples: int
    difference: float  # largest, of any output, before what is left to the host
    explained: float  # the same of what the formats allow
    findings: tuple[str, ...]  # of outputs that lie outside of what the formats allow

    def metrics(self) -> list[Metric]:
        """Both figures, where they are numbers: a float network may leave its floats."""
        note = f"on {self.samples} samples, before what is left to the host"
        named = {
            "difference_to_float": self.difference,
            "explained_difference_to_float": self.explained,
        }
        return [
            Metric(name, value, "", Origin.SIMULATED, note=note)
            for name, value in named.items()
            if math.isfinite(value)
        ]


def explain(lowered: LoweredModel, drawn: g.Graph, samples: Samples) -> Explanation:
    """Hold a Program against its float network as its author drew it."""
    count = min(MOST_SAMPLES, len(samples), affordable(lowered))
    if not count:
        finding = "One sample is too much to hold the Program against the float network in float64."
        return Explanation(0, math.nan, math.nan, (finding,))
    few = samples.part(0, count)
    raw = raw_inputs(lowered.program, lowered.recipe, few)
    actual = Engine(lowered.program).run(raw)
    program = lowered.program
    states = {name: dequantize(raw[name], program.type(name)) for name in program.states}
    inputs = {**few.inputs, **states}  # each sample begins where the Program is
    allowed = expected_values(lowered, inputs)
    ends = {output.name: end_of(lowered.graph, output) for output in lowered.program.outputs}
    end_values = {output.name: end_of(drawn, output) for output in lowered.program.outputs}
    real = FloatEngine(drawn).run(inputs, taps=tuple(set(end_values.values())))
    difference = explained = 0.0
    findings = []
    for output in lowered.program.outputs:
        integer_output = dequantize(actual[output.name], lowered.program.type(output.value))
        bounds, exact = allowed[ends[output.name]], real[end_values[output.name]].astype(np.float64)
        size = np.maximum(np.abs(bounds.low), np.abs(bounds.high)) * TOLERANCE
        low, high = bounds.low - size, bounds.high + size
        reach = np.maximum(np.abs(low - exact), np.abs(high - exact))
        difference = max(difference, float(np.abs(integer_output - exact).max(initial=0.0)))
        explained = max(explained, float(reach.max(initial=0.0)))
        outside = (integer_output < low) | (integer_output > high)
        if outside.any():
            place = tuple(int(i) for i in np.argwhere(outside)[0])
            findings.append(_sentence(output.name, place, integer_output, low, high, exact))
    return Explanation(count, difference, explained, tuple(findings))


def affordable(lowered: LoweredModel) -> int:
    """How many samples are computed in float64 within seconds and some hundred megabytes."""
    graph = lowered.graph
    largest = 1
    for node in graph.nodes:
        size = math.prod(graph.shapes[node.name])
        if isinstance(node, g.ConvNode):
            positions = math.prod(graph.shapes[node.name][:-1])
            window = math.prod(node.kernel.shape[: len(node.strides)])
            size = positions * window * graph.shapes[node.x][-1]
        elif isinstance(node, g.PoolNode):
            size *= math.prod(node.window)
        largest = max(largest, size)
    together = max(MOST_VALUES_TOGETHER // largest, MOST_VALUES // largest and 1)
    return min(together, MOST_MACS // max(lowered.program.macs, 1))


def end_of(graph: g.Graph, output: Output) -> str:
    """The tensor of the graph that an output of the Program holds."""
    node = graph.node(output.name)
    if output.host is HostFunction.NONE:
        return node.name
    return g.inputs_of(node)[0]


def _sentence(
    name: str,
    place: tuple[int, ...],
    integers: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    exact: NDArray[np.float64],
) -> str:
    element = ", ".join(map(str, place[1:]))
    return (
        f"{name}: the Program is wrong. In sample {place[0]}, element [{element}], it yields "
        f"{integers[place]:.9g}; its formats allow {low[place]:.9g} to {high[place]:.9g}, and the "
        f"float network yields {exact[place]:.9g}. Do not use it, and please report this model."
    )
