# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a goal to a folding: the fewest multipliers that reach it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from edgeinfer.base.errors import UsageError
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.cycles import DesignCycles, slowest
from edgeinfer.targets.rtl.design.folding import (
    Folding,
    divisors,
    folding_from_settings,
    keeping_up,
)
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.netlist import Netlist, steps_of
from edgeinfer.targets.rtl.design.parts import DEFAULT_MULTIPLIERS, budget_of
from edgeinfer.targets.rtl.design.queues import answers_within, with_queues
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.sparse.rewrite import in_tokens
from edgeinfer.targets.rtl.unrolled.straight import build_straight, is_unrolled

MOST_BEATS = 1 << 21  # that a layer reads in a frame
MOST_STEPS = 1 << 22  # of a block in a frame


class UncountableError(UsageError):
    """A design with more steps in a frame than are counted."""


def design_netlist(program: Program, settings: RtlSettings) -> tuple[Folding, Netlist]:
    """The folding that the settings name or ask for, and the design it leads to."""
    folding, netlist, _ = _design(program, settings)
    return folding, netlist


def design_cycles(program: Program, settings: RtlSettings) -> DesignCycles:
    """The cycles of the design that the settings lead to."""
    return _design(program, settings)[2]


@functools.lru_cache(maxsize=1)
def _design(program: Program, settings: RtlSettings) -> tuple[Folding, Netlist, DesignCycles]:
    """The folding, the design and its cycles.

    The last one is kept, because its files, its estimate and its simulation all ask for it; no
    more, because it holds all weights. Nobody may change what it refers to.
    """
    if is_unrolled(program, settings):
        folding, netlist = build_straight(program, settings)
        return folding, *with_queues(netlist)
    as_made = made_program(program, settings)
    folding = choose_folding(as_made, settings)
    netlist, cycles = with_queues(_build_countable(as_made, folding))
    frames = {op.name: netlist.values[op.name] for op in program.ops if op.name in netlist.values}
    if settings.sparse == "tokens":
        tokens = in_tokens(program).tokens
        frames = {name: stream for name, stream in frames.items() if name not in tokens}
    return folding, replace(netlist, values=frames), cycles


def made_program(program: Program, settings: RtlSettings) -> Program:
    """The ops that blocks are made for: those of the prepared Program, or for tokens."""
    return in_tokens(program).program if settings.sparse == "tokens" else program


def _build_countable(program: Program, folding: Folding) -> Netlist:
    """The design. Every step of a frame is counted, so there must not be too many: of layers, which
    are asked before anything is built, and of what brings them their windows."""
    for layer in layers_of(program):
        _check_steps(layer.op, layer.beats(folding.folds[layer.op]), MOST_BEATS)
    netlist = build_netlist(program, folding)
    for block in netlist.blocks:
        for actor in block.actors:
            _check_steps(block.op, steps_of(actor), MOST_STEPS)
    return netlist


def _check_steps(op: str, steps: int, most: int) -> None:
    if steps > most:
        raise UncountableError(
            f"{op} would read its inputs in {steps:,} steps a frame; designs are made for up to "
            f"{most:,}.",
            hint="Compute more of it at once: a higher simd, a goal, or a larger budget.",
        )


def choose_folding(program: Program, settings: RtlSettings) -> Folding:
    """The settings' own folds; else the least that reaches the goal; else what a budget allows."""
    if settings.throughput is not None:
        return _for_throughput(program, settings, settings.throughput)
    if settings.latency_us is not None:
        return _for_latency(program, settings, settings.latency_us)
    if settings.folds and settings.budget.multipliers is None:
        return folding_from_settings(program, settings)
    most = budget_of(settings).multipliers or DEFAULT_MULTIPLIERS
    return _least(
        _targets(program),
        lambda cycles: keeping_up(program, cycles, settings),
        lambda folding: folding.multipliers() <= most,
        fastest=True,
    )


def _for_throughput(program: Program, settings: RtlSettings, frames_a_second: float) -> Folding:
    cycles = int(settings.clock_mhz * 1e6 / frames_a_second)
    folding = keeping_up(program, max(cycles, 1), settings)
    slowest_cycles = slowest(build_netlist(program, folding))
    if slowest_cycles > cycles:
        rate = settings.clock_mhz * 1e6 / slowest_cycles
        raise UsageError(
            f"{program.name} cannot take {frames_a_second:,.0f} frames a second at "
            f"{settings.clock_mhz:g} MHz: unfolded as far as it helps, a frame takes "
            f"{slowest_cycles:,} cycles, which is {rate:,.0f} a second.",
            hint="Ask for less, for a faster clock, or let more elements in at once (lanes).",
        )
    return folding


def _for_latency(program: Program, settings: RtlSettings, most_us: float) -> Folding:
    most = int(most_us * settings.clock_mhz)

    def reaches(folding: Folding) -> bool:
        try:
            return answers_within(_build_countable(program, folding), most)
        except UncountableError:
            return False

    quickest = keeping_up(program, 1, settings)
    netlist = _build_countable(program, quickest)
    if not answers_within(netlist, most):
        latency = with_queues(netlist)[1].latency
        raise UsageError(
            f"{program.name} cannot answer within {most_us:g} us at {settings.clock_mhz:g} MHz: "
            f"completely unfolded it takes {latency:,} cycles, "
            f"{latency / settings.clock_mhz:.2f} us.",
            hint="Allow more, or ask for a faster clock.",
        )
    targets = _targets(program)
    smallest = keeping_up(program, targets[-1], settings)
    if reaches(smallest):  # as for any goal of milliseconds, where each try takes long to count
        return smallest
    return _least(
        targets, lambda cycles: keeping_up(program, cycles, settings), reaches, fastest=False
    )


def _targets(program: Program) -> list[int]:
    """All cycle counts that some layer can take, in order: nothing lies between two of them."""
    targets = {1}
    for layer in layers_of(program):
        for a in divisors(layer.inputs):
            targets.update(layer.vectors * a * b for b in divisors(layer.outputs))
    return sorted(targets)


def _least(
    targets: list[int],
    folding_for: Callable[[int], Folding],
    fits: Callable[[Folding], bool],
    *,
    fastest: bool,
) -> Folding:
    """Of targets in order, the first (or the last) whose folding fits; all on one side do."""
    low, high = 0, len(targets) - 1
    while low < high:
        middle = (low + high) // 2 if fastest else (low + high + 1) // 2
        if fits(folding_for(targets[middle])):
            low, high = (low, middle) if fastest else (middle, high)
        else:
            low, high = (middle + 1, high) if fastest else (low, middle - 1)
    return folding_for(targets[low])
