# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What networks that learn their widths cost on the hardware that they are trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from edgeinfer.base.errors import ProgramError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.ir.target_costs import (
    BYTES_COST,
    FOLDED_COST,
    MultiplierPrices,
    folded_cost,
    int8_bytes,
)
from edgeinfer.precision.learned.settings import CostKind
from edgeinfer.readers import LoadedModel
from edgeinfer.run.defaults import add_formats, plain
from edgeinfer.targets.registry import ChosenTarget, choose_folded, choose_unrolled

UNROLLED_FIGURES = ("lut", "ff", "additions", "latency_cycles")
FOLDED_FIGURES = ("lut", "ff", "dsp", "bram18", "bram4", "latency_cycles", "ii_cycles")
ROUNDED = (
    "Scores are those of 8-bit numbers in powers of two; an int8 chip's file is rounded anew, and "
    "compiling the network says what it is worth there."
)
BEFORE_BITS = 8  # of the network whose pace folded designs keep


@dataclass(frozen=True, slots=True)
class FrontCosts:
    """The figures of a network of a front, of which `ranked` is what makes one cheaper than
    another, where the network has it; and what training takes multipliers to cost."""

    ranked: str
    names: tuple[str, ...]
    figures: Callable[[Program], dict[str, float]]
    prices: MultiplierPrices | None = None
    findings: tuple[str, ...] = ()


def front_costs(
    kind: CostKind, device: str | None, loaded: LoadedModel, samples: Samples
) -> FrontCosts:
    """The costs on hardware of a kind, which is made of a device."""
    match kind:
        case "adders":
            chosen = choose_unrolled(device)
            names = (*UNROLLED_FIGURES, "ebops")
            return FrontCosts("lut", names, lambda program: _estimate_unrolled(program, chosen))
        case "folded":
            return _folded_costs(device, loaded, samples)
        case "bytes":
            if device is not None:
                raise UsageError(
                    f"Bytes are the same on every chip, so --device {device} changes nothing.",
                    hint="Leave out --device, or choose --cost folded or adders.",
                )
            return FrontCosts(BYTES_COST, (BYTES_COST, "macs"), _count_bytes, findings=(ROUNDED,))
        case _:
            assert_never(kind)


def training_cost(
    chosen: ChosenTarget, loaded: LoadedModel, samples: Samples
) -> tuple[CostKind, MultiplierPrices | None]:
    """What training for a target with its settings holds against a weight."""
    if chosen.target.learns:
        return "bytes", None
    try:
        prices = chosen.target.multiplier_prices(_before(loaded, samples), chosen.settings)
    except ProgramError:  # as it is before, the target refuses it
        return "adders", None
    return ("adders", None) if prices is None else ("folded", prices)


def _before(loaded: LoadedModel, samples: Samples) -> Program:
    """The network before it is trained."""
    formatted = add_formats(loaded, plain(BEFORE_BITS), samples)
    return lower(formatted.graph, formatted.recipe).program


def _estimate_unrolled(program: Program, chosen: ChosenTarget) -> dict[str, float]:
    """What the unrolled design is expected to need; bit operations where the network is too
    large for one."""
    try:
        return _estimate(program, chosen, UNROLLED_FIGURES)
    except ProgramError:
        return {"ebops": float(costs_of(program).ebops)}


def _folded_costs(device: str | None, loaded: LoadedModel, samples: Samples) -> FrontCosts:
    """Designs that keep the pace which the network has before: with as many multipliers as the part
    allows."""
    program = _before(loaded, samples)
    prices, keeping = keep_pace(program, device)

    def figures(program: Program) -> dict[str, float]:
        counted = {FOLDED_COST: folded_cost(program, prices)}
        return counted | _estimate(program, keeping, FOLDED_FIGURES)

    remark = (
        f"Designs keep the pace of the {BEFORE_BITS}-bit network on {keeping.settings.part}, a "
        f"frame in {prices.interval_cycles:,} cycles."
    )
    return FrontCosts(FOLDED_COST, tuple(figures(program)), figures, prices, (remark,))


def keep_pace(program: Program, device: str | None) -> tuple[MultiplierPrices, ChosenTarget]:
    """What multipliers cost in a folded design with as many of them as the part allows, and the
    target with settings that keep its pace."""
    first = choose_folded(device)
    prices = first.target.multiplier_prices(program, first.settings)
    assert prices is not None  # of a folded design
    return prices, choose_folded(device, prices.interval_cycles)


def _count_bytes(program: Program) -> dict[str, float]:
    return {BYTES_COST: float(int8_bytes(program)), "macs": float(program.macs)}


def _estimate(program: Program, chosen: ChosenTarget, names: tuple[str, ...]) -> dict[str, float]:
    figures = estimate_figures(chosen, program)
    return {name: value for name, value in figures.items() if name in names}


def estimate_figures(chosen: ChosenTarget, program: Program) -> dict[str, float]:
    """What a target estimates of a Program's whole design: resources and latency."""
    metrics = chosen.target.estimate(program, chosen.settings)
    return {metric.name: metric.value for metric in metrics if metric.layer is None}
