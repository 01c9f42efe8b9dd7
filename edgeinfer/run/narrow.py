# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A network with fewer filters, so that its folded design needs fewer multipliers at its pace."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

from edgeinfer.base.errors import UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.graph.nodes import Graph, ReshapeNode
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Op, Reshape
from edgeinfer.ir.program import Program, node_name
from edgeinfer.precision.qat.filters import Linear
from edgeinfer.precision.qat.narrow import narrow
from edgeinfer.readers import LoadedModel
from edgeinfer.run.defaults import add_formats, plain
from edgeinfer.run.learned_costs import BEFORE_BITS, keep_pace
from quantization.recipe import Recipe

TRIED = 2048  # samples on which it is seen how filters are missed


@dataclass(frozen=True, slots=True)
class NarrowNetwork:
    """A network with fewer filters; the multipliers that designs for a part need of it and of the
    whole network, if both take a frame in so many cycles."""

    graph: Graph
    part: str
    interval_cycles: int
    multipliers: int
    multipliers_before: int
    remark: str

    @property
    def findings(self) -> tuple[str, ...]:
        """What a user should know."""
        return (
            self.remark,
            f"A folded design for {self.part} that takes a frame in {self.interval_cycles:,} "
            f"cycles needs {self.multipliers} multipliers; with all filters it needs "
            f"{self.multipliers_before}.",
        )


def narrow_network(
    loaded: LoadedModel, teach: Samples, share: float, device: str | None
) -> NarrowNetwork:
    """The network whose folded design needs that share of its multipliers fewer. The pace stays
    that of the whole network's design with as many multipliers as the part allows."""
    graph, few = fold_batch_norms(loaded.graph), teach.part(0, TRIED)
    formatted = add_formats(replace(loaded, graph=graph, recipe=Recipe()), plain(BEFORE_BITS), few)
    program = lower(formatted.graph, formatted.recipe).program
    prices, paced = keep_pace(program, device)

    def count(narrower: Graph) -> int:
        try:
            multipliers = paced.target.multipliers(cut_program(program, narrower), paced.settings)
        except UsageError:  # some numbers of channels do not divide so that the pace is reached
            return sys.maxsize
        assert multipliers is not None  # of a folded design
        return multipliers

    before = count(graph)
    pruned = narrow(graph, few.inputs, count, math.floor((1.0 - share) * before))
    return NarrowNetwork(
        pruned.graph,
        paced.settings.part,
        prices.interval_cycles,
        count(pruned.graph),
        before,
        pruned.remark,
    )


def cut_program(program: Program, narrower: Graph) -> Program:
    """A Program with the shapes that it has with fewer filters, on which multipliers depend. Its
    numbers are still the whole network's, so it is made much faster than by lowering."""
    nodes = {node.name: node for node in narrower.nodes}

    def cut_op(op: Op) -> Op:
        node = nodes.get(op.name) or nodes.get(node_name(op.name))
        if isinstance(op, Accumulates) and isinstance(node, Linear):
            inputs, outputs = node.kernel.shape[-2:]
            return replace(op, weight=op.weight[..., :inputs, :outputs], bias=op.bias[:outputs])
        if isinstance(op, Reshape) and isinstance(node, ReshapeNode):
            return replace(op, shape=narrower.shapes[node.name])
        return op  # its shape follows from what it reads

    return replace(program, ops=tuple(cut_op(op) for op in program.ops))
