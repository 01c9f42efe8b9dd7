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

import functools
from dataclasses import replace

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.program import Program

NAME = "energy_dynamic_nj"
PRODUCT_PJ = 0.2 / 64  # for each bit of the one factor and each of the other
SUM_PJ = 0.03 / 8  # for each bit
FPGA = 14.0
RANDOM = 0.5  # of all bits change between two samples, where they are random
BAND = (0.15, 4.0)  # newer nodes and quiet bits below, clocks and memories above


@functools.lru_cache(maxsize=1)
def arithmetic_nj(program: Program) -> float:
    """All products and sums of one inference, where random bits meet. Kept, because many designs
    of one Program are tried."""
    costs = costs_of(program)
    widths = {op.name: op.type.bits for op in program.ops}
    sums = sum(layer.nonzero_macs * widths.get(layer.name, 0) for layer in costs.layers)
    return energy_nj(costs.ebops, sums)


def energy_nj(product_bits: float, sum_bits: float) -> float:
    """Of products (width times width, added up) and sums (widths added up) of random bits."""
    return (product_bits * PRODUCT_PJ + sum_bits * SUM_PJ) * FPGA / 1000


def energy_metric(program: Program, target: str, toggles: float | None = None) -> Metric:
    """Energy of all products and sums of one inference.

    toggles: the share of bits that change between two samples; that of random bits without it.
    """
    value = arithmetic_nj(program)
    metric = Metric(
        NAME,
        round(value, 4),
        "nJ",
        Origin.ESTIMATED,
        low=round(value * BAND[0], 4),
        high=round(value * BAND[1], 4),
        state=DesignState.NONE,
        target=target,
        note="arithmetic alone, without static power; random bits assumed",
    )
    return metric if toggles is None else scale_activity(metric, toggles)


def scale_activity(metric: Metric, toggles: float) -> Metric:
    """The energy of random bits, where this share of bits changes between two samples."""
    scale = toggles / RANDOM
    value = metric.value * scale
    return replace(
        metric,
        value=round(value, 4),
        low=round(value * BAND[0], 4),
        high=round(value * BAND[1], 4),
        note=f"arithmetic alone, without static power; {toggles:.0%} of bits change",
    )


def energy_at_sites(everywhere: Metric, share: float) -> Metric:
    """The energy of arithmetic at the most sites of a frame, which is so much of what the same
    layers take at all pixels."""
    ends = {end: getattr(everywhere, end) for end in ("value", "low", "high")}
    note = f"{everywhere.note}; at the most sites"
    return replace(everywhere, **{end: value * share for end, value in ends.items()}, note=note)
