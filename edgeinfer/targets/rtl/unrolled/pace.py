# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How fast an unrolled network is to be: registers for a clock, for a number of stages, or after so
many adders; and how fast it then is, by its family's delays."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.rtl.design.folding import UnrolledFigures
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.estimate.delays import FabricDelays, delays_of, known_delays
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.cells import Circuit, Wire
from edgeinfer.targets.rtl.unrolled.delays import LogicDelays, in_levels, in_picoseconds
from edgeinfer.targets.rtl.unrolled.registers import (
    Staging,
    fastest_period,
    period_for,
    slowest_stage,
    stage_circuit,
)

PS_A_US = 1e6


def place_registers(circuit: Circuit, outputs: Sequence[Wire], settings: RtlSettings) -> Staging:
    """The stages that the settings ask for, with the fewest register bits."""
    fabric = delays_of(part_of(settings).fabric)
    if settings.registers == "clock":
        return _for_clock(circuit, outputs, settings, fabric)
    if settings.stages is None:
        return stage_circuit(circuit, outputs, in_levels(circuit), settings.unroll_levels)
    delays = in_levels(circuit) if fabric is None else _delays(circuit, fabric, settings)
    period = period_for(circuit, outputs, delays, settings.stages)
    return stage_circuit(circuit, outputs, delays, period)


def reckon_period_ps(
    circuit: Circuit, outputs: Sequence[Wire], staging: Staging, settings: RtlSettings
) -> int | None:
    """What the slowest stage takes; None for a family whose delays are not known, and where no
    stage has logic."""
    fabric = delays_of(part_of(settings).fabric)
    if fabric is None:
        return None
    return slowest_stage(circuit, outputs, _delays(circuit, fabric, settings), staging) or None


def slow_findings(figures: UnrolledFigures, settings: RtlSettings) -> tuple[str, ...]:
    """That even the fast end of the band misses the clock that is asked for."""
    fabric = delays_of(part_of(settings).fabric)
    if figures.period_ps is None or fabric is None:
        return ()
    slow, fast = (PS_A_US / (figures.period_ps * factor) for factor in reversed(fabric.band))
    if fast >= settings.clock_mhz:
        return ()
    stages = "one stage" if figures.stages == 1 else f"{figures.stages} stages"
    return (
        f"In {stages} the network reaches {slow:.0f} to {fast:.0f} MHz on "
        f"{settings.part} by the delays of its logic, and {settings.clock_mhz:g} MHz are asked "
        "for: give --registers clock, more --stages, or a slower --clock-mhz.",
    )


def _delays(circuit: Circuit, fabric: FabricDelays, settings: RtlSettings) -> LogicDelays:
    return in_picoseconds(circuit, fabric, queued=settings.interface == "stream")


def _for_clock(
    circuit: Circuit, outputs: Sequence[Wire], settings: RtlSettings, fabric: FabricDelays | None
) -> Staging:
    """As few stages as let even the slow end of the band reach the clock."""
    if fabric is None:
        raise UsageError(
            f"Registers cannot be placed for a clock on {settings.part}: the delays of its logic "
            f"are not known, only those of {', '.join(known_delays())}.",
            hint="Leave out --registers clock, or give --stages.",
        )
    delays = _delays(circuit, fabric, settings)
    most_ps = int(PS_A_US / settings.clock_mhz / fabric.band[1])
    least_ps = fastest_period(circuit, outputs, delays)
    if least_ps > most_ps:
        reached = PS_A_US / (least_ps * fabric.band[1])
        raise UsageError(
            f"{settings.clock_mhz:g} MHz cannot be promised on {settings.part}: with registers "
            f"around every adder and table, the slowest of them would reach {reached:.0f} MHz.",
            hint=f"Ask for --clock-mhz {int(reached)}, or for another part.",
        )
    staging = stage_circuit(circuit, outputs, delays, most_ps)
    if settings.stages is not None and staging.last >= settings.stages:
        raise UsageError(
            f"{settings.clock_mhz:g} MHz on {settings.part} takes {staging.last + 1} stages, and "
            f"{settings.stages} are allowed.",
            hint=f"Allow --stages {staging.last + 1}, or ask for a slower clock.",
        )
    return staging
