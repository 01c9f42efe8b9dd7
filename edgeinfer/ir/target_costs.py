# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a Program costs where a target has few multipliers for many weights, or memory for bytes.

A folded design has as many multipliers as a frame's multiplications need within its cycles. What
one of them costs depends on the widths of both its numbers, by classes: some LUTs, half a DSP
block, a whole one. A target says the prices; a Program's integers say the widths.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.program import Program

FOLDED_COST = "folded_luts"
BYTES_COST = "weight_bytes"
BIAS_BYTES = 4  # of an int8 network, whose biases have 32 bits


@dataclass(frozen=True, slots=True, eq=False)
class MultiplierPrices:
    """What multipliers and stored weights cost, in LUTs. Whatever else a part has counts as many
    LUTs as there are for one of its kind on the part."""

    product: NDArray[np.float64] = field(repr=False)  # by the bits of the one and of the other
    stored_bit: float
    interval_cycles: int  # within which a frame's multiplications are done

    @property
    def most_bits(self) -> int:
        """The widest number whose multiplier has a price."""
        return len(self.product) - 1

    def of_layer(self, macs: int, x_bits: int, weights: int, weight_bits: int) -> float:
        """A layer's multipliers, and the memory of its weights."""
        x, w = min(x_bits, self.most_bits), min(weight_bits, self.most_bits)
        multipliers = macs / self.interval_cycles
        return multipliers * float(self.product[x, w]) + weights * weight_bits * self.stored_bit


def steepest_falls(product: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each first width: what is saved for each bit less, by the best narrower width."""
    falls = np.zeros_like(product)
    for wide in range(1, len(product)):
        saved = product[wide] - product[:wide]
        falls[wide] = np.max(saved / (wide - np.arange(wide))[:, None], axis=0)
    return falls


def folded_cost(program: Program, prices: MultiplierPrices) -> float:
    """All layers of a Program. Zeros among weights are multiplied and stored like any others."""
    cost = 0.0
    for op in program.ops:
        if isinstance(op, Accumulates):
            macs = op.macs(program.shapes[op.name], program.shapes[op.x])
            x_bits, w_bits = program.type(op.x).bits, op.weight_type.bits
            cost += prices.of_layer(macs, x_bits, op.weight.size, w_bits)
    return cost


def int8_bytes(program: Program) -> int:
    """Bytes of all weights and biases where each weight is a byte, however narrow it could be."""
    return sum(
        op.weight.size + BIAS_BYTES * op.bias.size
        for op in program.ops
        if isinstance(op, Accumulates)
    )
