# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The energy that arithmetic in an FPGA takes for one inference, from published coefficients.

M. Horowitz (ISSCC 2014) gives 0.2 pJ for a product of 8 x 8 bits and 0.03 pJ for a sum of 8 bits in
an integrated circuit of 45 nm; products grow with the product of the widths, sums with the width.
I. Kuon and J. Rose (IEEE TCAD 26, 2007) found that an FPGA takes 14 times the dynamic power of such
a circuit of its own node. Clocks, memories and pins are in the band, not in the figure; static
power depends on the part and its temperature, and is not counted.
"""

from __future__ import annotations

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.program import Program

NAME = "energy_dynamic_nj"
PRODUCT_PJ = 0.2 / 64  # for each bit of the one factor and each of the other
SUM_PJ = 0.03 / 8  # for each bit
FPGA = 14.0
RANDOM = 0.5  # of all bits change between two samples, where they are random
BAND = (0.15, 4.0)  # newer nodes and quiet bits below, clocks and memories above


def energy_metric(program: Program, target: str, toggles: float | None = None) -> Metric:
    """Energy of all products and sums of one inference.

    toggles: the share of bits that change between two samples; that of random bits without it.
    """
    costs = costs_of(program)
    widths = {op.name: op.type.bits for op in program.ops}
    sums = sum(layer.nonzero_macs * widths.get(layer.name, 0) for layer in costs.layers)
    share = 1.0 if toggles is None else toggles / RANDOM
    value = (costs.ebops * PRODUCT_PJ + sums * SUM_PJ) * FPGA * share / 1000
    said = "random bits assumed" if toggles is None else f"{toggles:.0%} of bits change"
    return Metric(
        NAME,
        round(value, 4),
        "nJ",
        Origin.ESTIMATED,
        low=round(value * BAND[0], 4),
        high=round(value * BAND[1], 4),
        target=target,
        note=f"arithmetic alone, without static power; {said}",
    )
