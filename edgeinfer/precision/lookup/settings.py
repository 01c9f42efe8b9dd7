# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about networks of tables, and which networks can be replaced by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgeinfer.base.errors import ModelError, UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.precision.qat.settings import Pace

MOST_NEURONS = 64
MOST_ADDRESS_BITS = 12  # of a neuron that is a table
NEURONS = {"edges": 6, "neurons": 32}
TableKind = Literal["edges", "neurons"]
LOOKUP_PACE = Pace(12, 512, 1e-2)  # the epochs are those of one point


@dataclass(frozen=True, slots=True)
class LookupSettings:
    """What the tables of a network are, and how many there are."""

    tables: TableKind = "edges"
    """of --method lookup: edges, whose entries are added up, or neurons of a few inputs each"""
    neurons: int | None = None
    """neurons of --method lookup, of which training may remove some: 6, as tables 32"""
    fan_in: int | None = None
    """of neurons that are tables: how many inputs each reads (3)"""
    code_bits: int | None = None
    """of neurons that are tables: bits of each input and of what they yield (2)"""

    def __post_init__(self) -> None:
        if not 1 <= self.neuron_count <= MOST_NEURONS:
            raise UsageError(f"--neurons is {self.neurons}, but must be from 1 to {MOST_NEURONS}.")
        if self.tables == "edges" and (self.fan_in, self.code_bits) != (None, None):
            raise UsageError(
                "--fan-in and --code-bits are those of neurons that are tables.",
                hint="Add --tables neurons.",
            )
        if min(self.reads, self.bits) < 1 or self.reads * self.bits > MOST_ADDRESS_BITS:
            raise UsageError(
                f"A table of {self.reads} inputs of {self.bits} bits is read with "
                f"{self.reads * self.bits} bits, but must be read with 1 to {MOST_ADDRESS_BITS}.",
                hint="Choose a smaller --fan-in or --code-bits.",
            )

    @property
    def neuron_count(self) -> int:
        """Neurons as training begins."""
        return NEURONS[self.tables] if self.neurons is None else self.neurons

    @property
    def reads(self) -> int:
        """Inputs of a neuron that is a table."""
        return 3 if self.fan_in is None else self.fan_in

    @property
    def bits(self) -> int:
        """Bits of such an input, and of what the neuron yields."""
        return 2 if self.code_bits is None else self.code_bits


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
