# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How much of a network, from its inputs on, a chip can hold the weights of."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.ops import macs_of
from edgeinfer.ir.program import Program, node_name


@dataclass(frozen=True, slots=True)
class LargestPart:
    """The longest run of layers from the start whose weights a memory holds."""

    layers: int
    of_layers: int
    last: str  # layer of it
    weight_bits: int
    macs_share: float  # of the whole network's multiply-accumulates

    def __str__(self) -> str:
        if not self.layers:
            return "Not even the first layer's weights would fit."
        return (
            f"The largest part of it whose weights would fit are its first {self.layers} of "
            f"{self.of_layers} layers, up to {self.last}: {megabits(self.weight_bits)} Mbit, and "
            f"{self.macs_share:.0%} of the multiply-accumulates."
        )


def megabits(bits: float) -> str:
    """A number of bits in Mbit, with two digits where it is less than one."""
    return f"{bits / 1e6:.1f}" if bits >= 1e6 else f"{bits / 1e6:.2g}"


def largest_part(program: Program, memory_bits: float) -> LargestPart:
    """Layers in the Program's order, as long as their weights, shared ones once, fit."""
    layers = [op for op in program.ops if isinstance(op, Accumulates)]
    weight_ids: set[int] = set()
    bits = macs = count = 0
    for op in layers:
        more = 0 if id(op.weight) in weight_ids else op.weight.size * op.weight_type.bits
        if bits + more > memory_bits:
            break
        weight_ids.add(id(op.weight))
        bits, count, macs = bits + more, count + 1, macs + macs_of(op, program.shapes)
    last = node_name(layers[count - 1].name) if count else ""
    return LargestPart(count, len(layers), last, bits, macs / max(program.macs, 1))
