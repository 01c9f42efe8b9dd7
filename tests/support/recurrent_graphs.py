# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks of one recurrent layer, made without any file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgeinfer.graph import recurrent as r
from edgeinfer.graph.nodes import (
    ActivationNode,
    DenseNode,
    Function,
    Graph,
    InputNode,
    Node,
    Shape,
    shape_of,
)
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings, quantize

GATES = {"simple": 1, "lstm": 4, "gru": 2}


@dataclass
class _Site:
    """A layer `cell` with random kernels, and the network around it."""

    rng: np.random.Generator
    units: int
    gates: int
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def add(self, node: Node) -> str:
        self.shapes[node.name] = shape_of(node, self.shapes)
        self.nodes.append(node)
        return node.name

    def named(self, label: str) -> str:
        return f"cell/{label}" if f"cell/{label}" not in self.shapes else self.named(f"{label}_2")

    def name(self, suffix: str = "") -> str:
        return f"cell_{suffix}" if suffix else "cell"

    def shape(self, tensor: str) -> Shape:
        return self.shapes[tensor]

    def project(self, x: str, part: str) -> str:
        plain = part in (r.KERNEL, r.RECURRENT)
        columns = self.units * (self.gates if plain else 1)
        kernel = self.rng.normal(0, 0.5, (self.shapes[x][-1], columns))
        bias = self.rng.normal(0, 0.5, columns) if part in (r.KERNEL, r.CANDIDATE) else None
        return self.add(DenseNode(self.named(part), f"cell/{part}", x, kernel, bias))

    def activate(self, x: str, role: str, label: str) -> str:
        function = Function.SIGMOID if role == r.GATE else Function.TANH
        return self.add(ActivationNode(self.named(label), x, function))


def recurrent_graph(
    kind: str, steps: int, features: int, units: int, *, stacked: bool = False, seed: int = 0
) -> Graph:
    """A network of one layer: `simple`, `lstm` or `gru`."""
    rng = np.random.default_rng(seed)
    step, outer = _Site(rng, units, GATES[kind]), _Site(rng, units, GATES[kind])
    x = step.add(InputNode("cell/x", (features,)))
    held = [step.add(InputNode(f"cell/{name}", (units,))) for name in "hc"[: 1 + (kind == "lstm")]]
    match kind:
        case "simple":
            result = r.simple_step(step, x, held[0])
        case "lstm":
            result = r.lstm_step(step, x, held[0], held[1], ("input", "forget", "cell", "output"))
        case _:
            result = r.gru_step(step, x, held[0], reset_after=bool(seed % 2))
    inputs = [node for node in step.nodes if isinstance(node, InputNode)]
    rest = [node for node in step.nodes if not isinstance(node, InputNode)]
    body = r.Recurrence((*inputs, *rest), x, tuple(held), result, (None,) * len(held))
    given = outer.add(InputNode("x", (steps, features)))
    y = r.add_recurrence(outer, "", given, body, stacked=stacked, with_states=False).y
    return Graph(f"{kind}_net", tuple(outer.nodes), (y,))


def recurrent_program(
    kind: str,
    steps: int,
    features: int,
    units: int,
    *,
    stacked: bool = False,
    seed: int = 0,
    bits: int = 8,
) -> Program:
    """The same in integers of so many bits, chosen from a few samples."""
    graph = recurrent_graph(kind, steps, features, units, stacked=stacked, seed=seed)
    x = np.random.default_rng(seed).normal(0, 1, (32, steps, features))
    chosen = quantize(graph, {"x": x}, PtqSettings(bits, adapt=False))
    return lower(chosen.graph, chosen.recipe).program
