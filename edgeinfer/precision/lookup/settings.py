# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about networks of tables, and which networks can be replaced by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeinfer.base.errors import ModelError, UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.precision.qat.settings import Pace

MOST_NEURONS = 64
LOOKUP_PACE = Pace(12, 512, 1e-2)  # the epochs are those of one point


@dataclass(frozen=True, slots=True)
class LookupSettings:
    """The size of a network of tables."""

    neurons: int = 6
    """neurons between the inputs and the outputs of --method lookup; training may remove some"""

    def __post_init__(self) -> None:
        if not 1 <= self.neurons <= MOST_NEURONS:
            raise UsageError(f"--neurons is {self.neurons}, but must be from 1 to {MOST_NEURONS}.")


@dataclass(frozen=True, slots=True)
class LookupPlan:
    """What a network of tables is to stand for: the ends of another network.

    `end` is the tensor that it computes, before what the host applies to make the output of it.
    """

    graph: g.Graph
    end: str

    @property
    def input(self) -> g.InputNode:
        """The vector that it reads."""
        return self.graph.inputs[0]

    @property
    def output(self) -> str:
        """The name of what it yields."""
        return self.graph.outputs[0]

    @property
    def units(self) -> int:
        """Elements of what it yields."""
        return self.graph.shapes[self.end][0]


def plan_tables(graph: g.Graph, ends: Mapping[str, str]) -> LookupPlan:
    """The plan of a network of tables between the input and the output of a network."""
    names = [*(node.name for node in graph.inputs), *graph.outputs]
    if len(names) != 2 or any(len(graph.shapes[name]) != 1 for name in names):
        shapes = ", ".join(f"{name} {graph.shapes[name]}" for name in names)
        raise ModelError(
            f"{graph.name} reads and yields {shapes}; a network of tables reads one vector and "
            f"yields one.",
            hint="Train it with --method learned or --method qat.",
        )
    return LookupPlan(graph, ends[graph.outputs[0]])
