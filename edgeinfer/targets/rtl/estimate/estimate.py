# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What Yosys will find that a design takes, reckoned from its netlist without any tool.

Bands come from designs that the constants were not fitted to: nine in ten lay within.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.ir.target_costs import MultiplierPrices
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.estimate.blocks import parts_of
from edgeinfer.targets.rtl.estimate.dead import dead_streams
from edgeinfer.targets.rtl.estimate.fabric import (
    FabricCosts,
    amounts,
    fabric_of,
    known_fabrics,
    pipeline_costs,
)
from edgeinfer.targets.rtl.estimate.work import BlockParts, Multiplier

TARGET = "rtl"
MOST_PRICED_BITS = 24  # of a number that is multiplied, for training that chooses its width


@dataclass(frozen=True, slots=True)
class RtlEstimate:
    """Amounts by kind, for the whole and for each instance; whether multipliers are DSP blocks."""

    fabric: FabricCosts
    dsp: bool
    total: Mapping[str, float]
    by_block: Mapping[str, Mapping[str, float]]


def multipliers(netlist: Netlist) -> int:
    """Multipliers whose weights change; the others are sums of shifted inputs."""
    count = 0
    for block in netlist.blocks:
        if block.module == "ei_mac":
            sizes = {k: v for k, v in block.parameters.items() if isinstance(v, int)}
            if sizes["SF"] * sizes["NF"] * sizes["ROUNDS"] > 1:
                count += sizes["PE"] * sizes["SIMD"]
    return count


def estimate_netlist(netlist: Netlist, part: Device) -> RtlEstimate:
    """Estimate a design on a part whose family has costs."""
    fabric = fabric_of(part.fabric)
    dsp = multipliers(netlist) <= (part.offers("dsp") or 0)
    dead = dead_streams(netlist)
    by_block = {
        f"u_{block.name}": amounts(
            parts_of(block, netlist, dead),
            pipeline_costs(fabric) if block.contents else fabric,
            dsp=dsp,
        )
        for block in netlist.blocks
    }
    total = {kind: sum(block[kind] for block in by_block.values()) for kind in fabric.kinds}
    return RtlEstimate(fabric, dsp, total, by_block)


def multiplier_prices(part: Device, interval_cycles: int) -> MultiplierPrices:
    """What multipliers of each two widths cost on a part, in designs that take a frame in so many
    cycles. A DSP block counts as many LUTs as the part has for each of its DSP blocks, and a stored
    bit as many as for each bit of its block memories: what is scarce there is dear."""
    luts = part.offers("lut")
    if luts is None or part.fabric not in known_fabrics():
        raise UsageError(
            f"What multipliers cost on {part.name} is not known.",
            hint=f"Choose a device of one of these: {', '.join(known_fabrics())}.",
        )
    fabric, blocks = fabric_of(part.fabric), part.offers("dsp") or 0
    product = np.zeros((MOST_PRICED_BITS + 1, MOST_PRICED_BITS + 1))
    for a in range(1, MOST_PRICED_BITS + 1):
        for b in range(1, MOST_PRICED_BITS + 1):
            one = BlockParts(multipliers=(Multiplier(1, a, b, a + b),))
            takes = amounts(one, fabric, dsp=blocks > 0)
            product[a, b] = takes["lut"] + (takes["dsp"] * luts / blocks if blocks else 0.0)
    memory_bits = part.memory_bits
    stored = luts / memory_bits if memory_bits else fabric.rom_cost
    return MultiplierPrices(product, stored, interval_cycles)


def core_of(netlist: Netlist) -> Netlist:
    """What is to be used of a design: of a bare pipeline, not the queues around it."""
    if netlist.bare is None:
        return netlist
    inside = [block for block in netlist.blocks if block.name == netlist.bare.block]
    return replace(netlist, blocks=tuple(replace(b, inputs=(), outputs=()) for b in inside))


def resource_metrics(netlist: Netlist, part: Device) -> tuple[Metric, ...]:
    """The estimate with its bands, in total, as shares of the part, and by block; nothing for a
    family that Yosys was not asked about."""
    if part.fabric not in known_fabrics():
        return ()
    resources = estimate_netlist(netlist, part)
    return tuple(_metrics(resources, part))


def _metrics(resources: RtlEstimate, part: Device) -> Iterator[Metric]:
    for kind in resources.fabric.kinds:
        amount = round(resources.total[kind])
        low, high = _band(amount, resources.fabric.band.get(kind, (1.0, 1.0)))
        yield _metric(kind, amount, low, high, "")
        available = part.offers(kind)
        if available:
            share = 100.0 / available
            yield _metric(f"{kind}_share", amount * share, low * share, high * share, "%")
    for name, block in resources.by_block.items():
        for kind in resources.fabric.kinds:
            amount = round(block[kind])
            if amount:
                low, high = _band(amount, resources.fabric.block_band.get(kind, (1.0, 1.0)))
                yield _metric(kind, amount, low, high, "", name)


def _band(amount: float, factors: tuple[float, float]) -> tuple[float, float]:
    return amount * factors[0], amount * factors[1]


def _metric(
    name: str, value: float, low: float, high: float, unit: str, layer: str | None = None
) -> Metric:
    return Metric(
        name, value, unit, Origin.ESTIMATED, min(low, value), max(high, value), target=TARGET,
        layer=layer, note="what Yosys will find", state=DesignState.LOGIC_SYNTHESIS,
    )  # fmt: skip
