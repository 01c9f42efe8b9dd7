# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What was learned, as a network whose weights lie on their grids and whose tensors are cut off.

Rounding to the next number is cutting off what a half was added to, and the half goes into the bias
of the layer before. Bits before the point are those that the samples needed, and what is beyond
wraps: neither costs any logic. An input is saturated first, by the host, for it comes from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.export.hgq import ElementNetwork, ElementRounding
from edgeinfer.graph import nodes as g
from edgeinfer.precision.learned.network import LearnedPlan, LearnedPoint, Linear
from edgeinfer.precision.learned.remove import without_dead
from quantization.fixed import Ints, Overflow

FEWEST = 60
SMALLEST = 2.0**-FEWEST


@dataclass(frozen=True, slots=True, eq=False)
class LearnedState:
    """A network as it is at a point: variables as arrays, and ranges as all samples that teach show
    them; `weight` is that of the cost in the loss.

    by_element: whether a tensor's elements have formats of their own, or those that are alive one.
    """

    kernels: dict[str, NDArray[np.float32]]
    biases: dict[str, NDArray[np.float32]]
    kernel_bits: dict[str, NDArray[np.int64]]
    bias_bits: dict[str, NDArray[np.int64]]
    bits: dict[str, NDArray[np.int64]]
    alive: dict[str, NDArray[np.bool_]]  # elements that have bits
    low: dict[str, NDArray[np.float32]]
    high: dict[str, NDArray[np.float32]]
    by_element: bool
    weight: float
    seconds: float


def network_of(plan: LearnedPlan, state: LearnedState) -> ElementNetwork:
    """The network of one point of the front."""
    roundings: dict[str, tuple[ElementRounding, ...]] = {}
    for point in plan.points.values():
        _add_roundings(plan, point, state, roundings)
    nodes = tuple(
        _settle_weights(node, plan, state) if isinstance(node, Linear) else node
        for node in plan.graph.nodes
    )
    graph = g.Graph(plan.graph.name, nodes, plan.graph.outputs)
    return without_dead(ElementNetwork(graph, roundings))


def _settle_weights(node: Linear, plan: LearnedPlan, state: LearnedState) -> Linear:
    kernel = _round(state.kernels[node.name], state.kernel_bits[node.name])
    frac = state.bias_bits[node.name]
    bias = _round(state.biases[node.name], frac)
    if node.name in plan.points:
        bias = bias + np.ldexp(1.0, -frac)  # half a step of what comes out
    return replace(node, kernel=kernel, bias=bias)


def _round(values: NDArray[np.float32], frac: Ints) -> NDArray[np.float64]:
    return np.ldexp(np.floor(np.ldexp(values.astype(np.float64), frac) + 0.5), -frac)


def _add_roundings(
    plan: LearnedPlan,
    point: LearnedPoint,
    state: LearnedState,
    roundings: dict[str, tuple[ElementRounding, ...]],
) -> None:
    """What cuts a tensor off: before its sign is taken away, and behind."""
    frac = state.bits[point.node]
    half = 0.0 if point.floor else 0.5
    low, high = (
        np.ldexp(np.floor(np.ldexp(ends[point.node].astype(np.float64), frac) + half), -frac)
        for ends in (state.low, state.high)
    )
    step = np.ldexp(1.0, -frac)
    gone = ~state.alive[point.node]
    reach = np.where(gone, -frac, _bits(np.maximum(-low, high + step)))
    if not state.by_element:
        reach = _widest(reach, frac)
    if isinstance(plan.graph.node(point.node), g.InputNode):
        own = ElementRounding(True, reach, frac)
        live = own.bits > 0
        hull = ElementRounding(
            True,
            np.max(reach, where=live, initial=0, keepdims=True),
            np.max(frac, where=live, initial=0, keepdims=True),
            Overflow.SAT,
        )
        roundings[point.node] = (hull, own)
        return
    if point.relu is None:
        signed = bool((low < 0).any())
        roundings[point.node] = (ElementRounding(signed, reach, frac),)
        return
    dead = gone | (high <= 0)
    above = np.where(dead, -frac, _bits(high + step))
    if not state.by_element:
        above = _widest(above, frac)
    roundings[point.node] = (ElementRounding(True, np.where(dead, -frac, reach), frac),)
    roundings[point.relu] = (ElementRounding(False, above, frac),)


def _widest(reach: Ints, frac: Ints) -> Ints:
    """The most bits before the point, for all elements that have bits."""
    live = reach + frac > 0
    return np.where(live, np.max(reach, where=live, initial=-FEWEST), reach)


def _bits(reach: NDArray[np.float64]) -> Ints:
    """Bits before the point of a number that the range ends below."""
    return np.ceil(np.log2(np.maximum(reach, SMALLEST))).astype(np.int64)
