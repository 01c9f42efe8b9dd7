# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reuse factors chosen from a budget: the smallest design in time, or the fastest that fits.

The search starts from the smallest design and unfolds what holds the rest up, a legal factor at a
time, as long as the device holds it; what has become faster than needed is folded again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeinfer.base.devices import MEMORY_BITS, Device
from edgeinfer.base.errors import UsageError
from edgeinfer.ir.ops import Conv, Dense, Op, Scan
from edgeinfer.ir.program import Program, body_of
from edgeinfer.targets.hls.estimate.design import design_of, layer_stages
from edgeinfer.targets.hls.estimate.estimate import HlsEstimate, sum_stages
from edgeinfer.targets.hls.estimate.fabric import fabric
from edgeinfer.targets.hls.estimate.reuse import (
    ALWAYS_FOLDED,
    LegalFactors,
    folded_factors,
    layers_with_multipliers,
    multiplication_size,
)
from edgeinfer.targets.hls.estimate.stage import Arrangement, HardwareStage
from edgeinfer.targets.hls.settings import HlsSettings, IoType, Strategy

UNROLL_LIMIT = 4096  # multiplications of a layer that HLS lays out all at once (XFORM 203-504)
COMPARED = {"dsp": "dsp_vsynth", "bram18": "bram18", "lut": "lut_vsynth", "ff": "ff_vsynth"}
COMPARED_INTEL = {"dsp": "dsp", "alm": "alm", "m20k": "m20k", "m10k": "m10k", "ff": "ff"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings that meet the budget, and what is estimated of them."""

    settings: HlsSettings
    estimate: HlsEstimate


def usage(design: HlsEstimate, device: Device) -> dict[str, tuple[float, int]]:
    """Used and offered, for each kind that the device has. LUTs and flip-flops are those after
    logic synthesis, for they are what is placed."""
    figures = design.figures()
    kinds = COMPARED_INTEL if design.intel else COMPARED
    return {
        kind: (figures[name], offered)
        for kind, name in kinds.items()
        if (offered := device.offers(kind)) is not None
    }


def fits(design: HlsEstimate, device: Device) -> bool:
    """Whether the device holds the design, at the estimates' middle."""
    return all(used <= offered for used, offered in usage(design, device).values())


def largest_share(design: HlsEstimate, device: Device) -> float:
    """The fullest kind's share of what the device offers; beyond 1 it does not fit."""
    shares = [
        used / offered if offered else (0.0 if not used else float("inf"))
        for used, offered in usage(design, device).values()
    ]
    return max(shares, default=0.0)


def choose_reuse(
    program: Program, settings: HlsSettings, device: Device, *, latency_us: float | None = None
) -> Choice:
    """The smallest design within `latency_us` that the device holds; without a latency, the
    fastest that it holds. An error says how near it comes where there is none."""
    search = _Search(program, settings, device)
    target = None if latency_us is None else latency_us * 1000 / settings.clock_ns
    at = search.smallest()
    design = search.estimate(at)
    if not fits(design, device):
        raise UsageError(
            f"{program.name} does not fit onto {device.name} with any reuse factors: the smallest "
            f"design needs {_over(design, device)}.{_of_it_fifos(design, device)}",
            hint="Choose a larger device, fewer bits, or a smaller network.",
        )
    while target is None or design.timing.latency_cycles > target:
        step = search.faster(at, design)
        if step is None:
            break
        at, design = step
    if target is not None and design.timing.latency_cycles > target:
        reached_us = design.timing.latency_cycles * settings.clock_ns / 1000
        share = largest_share(design, device)
        raise UsageError(
            f"No reuse factors bring {program.name} to {latency_us:g} us on {device.name}: the "
            f"fastest design that it holds is estimated at {reached_us:.3g} us "
            f"({design.timing.latency_cycles:,} cycles of {settings.clock_ns:g} ns), with the "
            f"fullest resource at {share:.0%}.",
            hint="Allow more time, a faster clock, a larger device, or choose fewer bits.",
        )
    limit = target if target is not None else design.timing.latency_cycles
    at, design = search.smaller(at, design, limit)
    return Choice(search.settings_at(at), design)


Point = dict[str, int]  # for each layer, which of its variants


class _Search:
    """All variants of all layers, computed once."""

    def __init__(self, program: Program, settings: HlsSettings, device: Device) -> None:
        self.program, self.settings, self.device = program, settings, device
        self.arrangement = Arrangement(fabric(settings, device.fabric), settings.io)
        self.layers = {op.name: op for op in layers_with_multipliers(program)}
        self.bodies = {
            op.name: [layer.name for layer in layers_with_multipliers(body_of(op))]
            for op in program.ops
            if isinstance(op, Scan)
        }
        self.factors = {
            op.name: self._factors(op)
            for op in program.ops
            if op.name in self.layers or self.bodies.get(op.name)
        }
        variants = {
            name: tuple(self._with({name: factor}) for factor in factors)
            for name, factors in self.factors.items()
        }
        if not variants:
            raise UsageError(
                f"{program.name} has no layer with multipliers, so no reuse factors to choose."
            )
        self.stages = layer_stages(program, self.arrangement, variants)

    def _factors(self, op: Op) -> tuple[int, ...]:
        """Ascending; variant 0 is the fastest. A recurrence has those of all layers in its body."""
        if isinstance(op, Scan):
            inner = (self._factors(self.layers[name]) for name in self.bodies[op.name])
            return tuple(sorted(set().union(*inner)))
        assert isinstance(op, Conv | Dense)
        if self.settings.strategy_for(op.name) is Strategy.DISTRIBUTED:
            return (1,)
        return folded_factors(*multiplication_size(op))

    def _with(self, reuse: dict[str, int]) -> HlsSettings:
        """The settings with these factors: what is folded has the resource strategy."""
        strategies = dict(self.settings.strategy_of)
        reuse = dict(pair for item in reuse.items() for pair in self._of_layers(*item))
        for name, factor in reuse.items():
            if factor > 1 or not self._may_unroll(name):
                strategies[name] = Strategy.RESOURCE
        factors = dict(self.settings.reuse_of) | reuse
        return replace(
            self.settings,
            reuse_of=tuple(sorted(factors.items())),
            strategy_of=tuple(sorted(strategies.items())),
        )

    def _of_layers(self, name: str, factor: int) -> list[tuple[str, int]]:
        """A factor by the layers that it is for: those in a body take the nearest that they may."""
        if name not in self.bodies:
            return [(name, factor)]
        legal = ((inner, self._factors(self.layers[inner])) for inner in self.bodies[name])
        return [(inner, LegalFactors(factors).nearest(factor)) for inner, factors in legal]

    def _may_unroll(self, name: str) -> bool:
        if self.settings.backend in ALWAYS_FOLDED:
            return True
        op, inside = self.layers[name], not any(op.name == name for op in self.program.ops)
        if self.settings.io is IoType.STREAM and not inside:
            return True
        return op.weight.size < UNROLL_LIMIT

    def settings_at(self, at: Point) -> HlsSettings:
        """The settings of a point."""
        return self._with({name: self.factors[name][i] for name, i in at.items()})

    def estimate(self, at: Point) -> HlsEstimate:
        """A point's figures, from the stages that are known."""
        only: dict[str, HardwareStage] = {name: self.stages[name][i] for name, i in at.items()}
        design = design_of(self.program, self.settings, self.arrangement, only)
        return sum_stages(design, self.settings, self.device)

    def smallest(self) -> Point:
        """Of each layer the variant with the smallest share of the device."""
        at: Point = {}
        for name, stages in self.stages.items():
            at[name] = min(range(len(stages)), key=lambda i: (self._size(stages[i]), i))
        return at

    def _size(self, stage: HardwareStage) -> float:
        """How much of the device a stage takes: the sum of its shares."""
        offered = {kind: self.device.offers(kind) or 0 for kind in ("dsp", "lut", "bram18")}
        if self.device.offers("alm"):
            offered = {
                "dsp": 2 * (self.device.offers("dsp") or 0),
                "lut": 4 * (self.device.offers("alm") or 0),
                "bram18": (self.device.memory_bits or 0) // MEMORY_BITS["bram18"],
            }
        used = {"dsp": stage.dsp, "lut": stage.lut, "bram18": stage.bram18}
        return sum(used[kind] / max(offered[kind], 1) for kind in used)

    def faster(self, at: Point, design: HlsEstimate) -> tuple[Point, HlsEstimate] | None:
        """Unfold the layer that holds the rest up by one legal factor, if the device holds it."""
        slowest = sorted(at, key=lambda name: -self.stages[name][at[name]].busy_cycles)
        for name in slowest:
            i = at[name]
            busy = self.stages[name][i].busy_cycles
            quicker = next(
                (j for j in range(i - 1, -1, -1) if self.stages[name][j].busy_cycles < busy), None
            )
            if quicker is None:
                continue
            moved = at | {name: quicker}
            better = self.estimate(moved)
            slower = better.timing.latency_cycles > design.timing.latency_cycles
            same = better.timing.latency_cycles == design.timing.latency_cycles
            if fits(better, self.device) and not slower and not (same and self._idle(name, at)):
                return moved, better
        return None

    def _idle(self, name: str, at: Point) -> bool:
        """Whether another layer takes longer."""
        busiest = max(self.stages[other][i].busy_cycles for other, i in at.items())
        return self.stages[name][at[name]].busy_cycles < busiest

    def smaller(self, at: Point, design: HlsEstimate, limit: float) -> tuple[Point, HlsEstimate]:
        """Fold every layer as far as the limit allows, the largest first."""
        sizes = {name: self._size(self.stages[name][i]) for name, i in at.items()}
        for name in sorted(sizes, key=lambda name: -sizes[name]):
            now = self._size(self.stages[name][at[name]])
            by_size = sorted((self._size(stage), i) for i, stage in enumerate(self.stages[name]))
            for size, i in by_size:
                if size >= now:
                    break
                smaller_design = self.estimate(at | {name: i})
                if smaller_design.timing.latency_cycles <= limit and fits(
                    smaller_design, self.device
                ):
                    at, design = at | {name: i}, smaller_design
                    break
        return at, design


def _of_it_fifos(design: HlsEstimate, device: Device) -> str:
    """What FIFOs have of the block RAM, where that is most of what there is too little of."""
    offered = device.offers("bram18")
    fifo_bram18 = sum(layer.fifo_bram18 for layer in design.layers)
    if not offered or design.bram18 <= offered or fifo_bram18 <= design.bram18 / 2:
        return ""
    return (
        f" {fifo_bram18:,.0f} of the BRAM18 are FIFOs as deep as the tensors between layers, as "
        f"hls4ml makes them without a co-simulation; queues of the rtl target are as deep as they "
        f"fill."
    )


def _over(design: HlsEstimate, device: Device) -> str:
    """What there is too little of, in numbers."""
    short = [
        f"{used:,.0f} {kind.upper()} of {offered:,}"
        for kind, (used, offered) in usage(design, device).items()
        if used > offered
    ]
    return " and ".join(short)
