# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One step of a recurrent layer in plain nodes, and the recurrence around it.

A format has its own words for kernels and activations; a cell asks its site for them, and says
only how gates and states meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgeinfer.graph.moves import bounds_along
from edgeinfer.graph.nodes import (
    AffineNode,
    ConcatNode,
    ConstantNode,
    FlipNode,
    Graph,
    MergeKind,
    MergeNode,
    Node,
    ReshapeNode,
    ScanNode,
    Shape,
    SitesNode,
    SliceNode,
)


class CellSite(Protocol):
    """Where the nodes of one step go, and the layer's own kernels and functions."""

    def add(self, node: Node) -> str:
        """Append a node to the body; the name of its tensor."""

    def named(self, label: str) -> str:
        """A free name for a tensor of the step."""

    def shape(self, tensor: str) -> Shape:
        """A tensor's shape."""

    def project(self, x: str, part: str) -> str:
        """A tensor times a kernel of the layer, and its bias."""

    def activate(self, x: str, role: str, label: str) -> str:
        """A gate's function, or that of the cell's values."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a cell makes in a step: what it yields, and its next states."""

    y: str
    states: tuple[str, ...]


KERNEL, RECURRENT = "kernel", "recurrent"  # parts; of GRU, those of the two gates
CANDIDATE, CANDIDATE_RECURRENT = "candidate", "candidate_recurrent"
GATE, VALUE, OUTPUT = "gate", "value", "output"  # roles of functions


def add_pair(site: CellSite, a: str, b: str, kind: MergeKind, label: str) -> str:
    """Two tensors of a step, element by element."""
    return site.add(MergeNode(site.named(label), (a, b), kind))


def simple_step(site: CellSite, x: str, h: str) -> StepResult:
    """h' = f(x K + h R + b)."""
    parts = site.project(x, KERNEL), site.project(h, RECURRENT)
    total = add_pair(site, *parts, MergeKind.ADD, "sum")
    y = site.activate(total, VALUE, "output")
    return StepResult(y, (y,))


def lstm_step(site: CellSite, x: str, h: str, c: str, order: Sequence[str]) -> StepResult:
    """c' = f c + i g, h' = o tanh(c'). `order`: how the gates follow each other in the kernels."""
    parts = site.project(x, KERNEL), site.project(h, RECURRENT)
    total = add_pair(site, *parts, MergeKind.ADD, "sum")
    i, f, g, o = (
        site.activate(cut(site, total, order.index(gate), 4, f"{gate}_sum"), role, f"{gate}_gate")
        for gate, role in (("input", GATE), ("forget", GATE), ("cell", VALUE), ("output", GATE))
    )
    kept = add_pair(site, f, c, MergeKind.MULTIPLY, "kept")
    new = add_pair(site, i, g, MergeKind.MULTIPLY, "new")
    after = add_pair(site, kept, new, MergeKind.ADD, "cell")
    activated = site.activate(after, OUTPUT, "cell_function")
    y = add_pair(site, o, activated, MergeKind.MULTIPLY, "output")
    return StepResult(y, (y, after))


def gru_step(site: CellSite, x: str, h: str, *, reset_after: bool) -> StepResult:
    """h' = z h + (1 - z) g; the reset gate acts on h, or on what the kernel has made of it."""
    parts = site.project(x, KERNEL), site.project(h, RECURRENT)
    total = add_pair(site, *parts, MergeKind.ADD, "sum")
    z = site.activate(cut(site, total, 0, 2, "update_sum"), GATE, "update_gate")
    r = site.activate(cut(site, total, 1, 2, "reset_sum"), GATE, "reset_gate")
    if reset_after:
        kept = add_pair(site, r, site.project(h, CANDIDATE_RECURRENT), MergeKind.MULTIPLY, "kept")
    else:
        kept = add_pair(site, r, h, MergeKind.MULTIPLY, "kept")
        kept = site.project(kept, CANDIDATE_RECURRENT)
    new = add_pair(site, site.project(x, CANDIDATE), kept, MergeKind.ADD, "candidate_sum")
    g = site.activate(new, VALUE, "candidate")
    one = site.add(ConstantNode(site.named("one"), np.ones(1)))
    rest = add_pair(site, one, z, MergeKind.SUBTRACT, "rest")
    old = add_pair(site, z, h, MergeKind.MULTIPLY, "old")
    new = add_pair(site, rest, g, MergeKind.MULTIPLY, "new")
    y = add_pair(site, old, new, MergeKind.ADD, "output")
    return StepResult(y, (y,))


def mask_step(
    site: CellSite, mask: str, result: StepResult, old_states: Sequence[str], before: str | None
) -> StepResult:
    """A step that counts only where something in an entry is not zero: else all states stay as they
    are, and the step yields what the one before it has yielded, which is the state `before` (zeros
    where that is None)."""
    taken, left = _whether_any(site, mask)
    chosen: dict[tuple[str, str | None], str] = {}
    for new, old in (*zip(result.states, old_states, strict=True), (result.y, before)):
        if (new, old) in chosen:
            continue
        masked = add_pair(site, new, taken, MergeKind.MULTIPLY, "taken")
        if old is not None:
            other = add_pair(site, old, left, MergeKind.MULTIPLY, "left")
            masked = add_pair(site, masked, other, MergeKind.ADD, "chosen")
        chosen[new, old] = masked
    states = tuple(chosen[pair] for pair in zip(result.states, old_states, strict=True))
    return StepResult(chosen[result.y, before], states)


def _whether_any(site: CellSite, x: str) -> tuple[str, str]:
    """1 where something is not zero, else 0; and the other way round."""
    row = site.add(ReshapeNode(site.named("seen_row"), x, (1, *site.shape(x))))
    below = _negate(site, row, "seen_below")
    both = site.add(ConcatNode(site.named("seen_signs"), (row, below), -1))
    lit = site.add(SitesNode(site.named("seen_any"), both, 0.0))
    dark = site.add(SitesNode(site.named("seen_none"), _negate(site, lit, "seen_less"), -0.5))
    taken, left = (
        site.add(ReshapeNode(site.named(label), mask, (1,)))
        for label, mask in (("taken_mask", lit), ("left_mask", dark))
    )
    return taken, left


def _negate(site: CellSite, x: str, label: str) -> str:
    name = site.named(label)
    return site.add(AffineNode(name, name, x, -np.ones(1), np.zeros(1)))


def cut(site: CellSite, x: str, place: int, count: int, label: str) -> str:
    """One of the equal parts into which the last axis falls."""
    shape = site.shape(x)
    size = shape[-1] // count
    bounds = bounds_along(shape, -1, place * size, (place + 1) * size)
    return site.add(SliceNode(site.named(label), x, *bounds))


class OuterSite(Protocol):
    """Where the recurrence itself goes."""

    def add(self, node: Node) -> str:
        """Append a node."""

    def name(self, suffix: str = "") -> str:
        """A free name for a further node; without a suffix, the layer's own."""

    def shape(self, tensor: str) -> Shape:
        """A tensor's shape without the batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Recurrence:
    """A body to run over a sequence: its nodes, the input that is an entry of the sequence, those
    that are states, what it yields and what it leaves, and the states of the first step (zeros
    where that is None). `beside`: further sequences, whose entries are the inputs after it."""

    nodes: tuple[Node, ...]
    entry: str
    states: tuple[str, ...]
    result: StepResult
    starts: tuple[str | None, ...]
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecurrenceResult:
    """The tensors of a recurrence: the sequence of what its steps yield, or the last; and, where
    they were asked for, the states after the last step."""

    y: str
    states: tuple[str, ...]


def add_recurrence(
    site: OuterSite, label: str, x: str, recurrence: Recurrence, *, stacked: bool, with_states: bool
) -> RecurrenceResult:
    """Append a recurrence. `label`: what it is called beside the layer's name ('' where it is the
    layer). A node makes one tensor: with the states, a step yields all of them side by side, and
    they are told apart behind the last."""
    shapes = Graph("step", recurrence.nodes, (recurrence.result.y,)).shapes
    starts = tuple(
        _zeros(site, f"{label}_{state.rpartition('/')[2]}".lstrip("_"), shapes[state])
        if start is None
        else start
        for state, start in zip(recurrence.states, recurrence.starts, strict=True)
    )
    y, states = recurrence.result.y, recurrence.result.states
    if not with_states:
        body = Graph(f"{site.name(label)}.body", recurrence.nodes, (y, *states))
        node = ScanNode(site.name(label), (x, *recurrence.beside), starts, body, stacked)
        return RecurrenceResult(site.add(node), ())
    parts = dict.fromkeys((y, *states))
    joined, nodes = y, recurrence.nodes
    if len(parts) > 1:
        joined = f"{y}_and_states"
        nodes = (*nodes, ConcatNode(joined, tuple(parts), -1))
    body = Graph(f"{site.name(label)}.body", nodes, (joined, *states))
    name, xs = site.name(f"{label}_states".lstrip("_")), (x, *recurrence.beside)
    everything = site.add(ScanNode(name, xs, starts, body, stacked))
    places: dict[str, tuple[int, int]] = {}
    for part in parts:
        begin = max((stop for _, stop in places.values()), default=0)
        places[part] = (begin, begin + shapes[part][-1])
    last = _last_step(site, everything, label) if stacked else everything
    state_columns = [
        _columns(site, last, *places[state], f"{label}_state{number}".lstrip("_"))
        for number, state in enumerate(states)
    ]
    return RecurrenceResult(_columns(site, everything, *places[y], label), tuple(state_columns))


def _zeros(site: OuterSite, label: str, shape: Shape) -> str:
    return site.add(ConstantNode(site.name(f"{label}_start"), np.zeros(shape)))


def _last_step(site: OuterSite, x: str, label: str) -> str:
    shape = site.shape(x)
    name = site.name(f"{label}_last".lstrip("_"))
    row = site.add(SliceNode(f"{name}_row", x, *bounds_along(shape, 0, shape[0] - 1, shape[0])))
    return site.add(ReshapeNode(name, row, shape[1:]))


def _columns(site: OuterSite, x: str, start: int, stop: int, label: str) -> str:
    bounds = bounds_along(site.shape(x), -1, start, stop)
    return site.add(SliceNode(site.name(label), x, *bounds))


def reverse(site: OuterSite, x: str, label: str) -> str:
    """A sequence from its end to its beginning."""
    return site.add(FlipNode(site.name(label), x, (0,)))
