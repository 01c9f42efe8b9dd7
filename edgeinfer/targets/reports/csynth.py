# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a C synthesis says of a design and of its layers, and the metrics made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.reports.figures import CycleRange, FigureSource, LayerOf, Resources

ROUNDING = 0.006  # a report's absolute times have three digits or more


@dataclass(frozen=True, slots=True)
class Module:
    """A piece of the design that the synthesis kept together, such as a layer."""

    name: str
    latency: CycleRange
    interval: CycleRange
    resources: Resources


@dataclass(frozen=True, slots=True)
class Synthesis:
    """A C synthesis: the clock asked for and the one reckoned with, the whole, and the modules
    directly below it."""

    top: str
    tool: str
    version: str | None
    part: str
    clock_target_ns: float | None
    clock_ns: float | None
    latency: CycleRange
    interval: CycleRange
    resources: Resources
    latency_ns: CycleRange  # as the tool rounds it; older ones leave it out
    modules: tuple[Module, ...]


def csynth_metrics(synthesis: Synthesis, layer_of: LayerOf) -> tuple[Metric, ...]:
    """The metrics of the design and of every module below it."""
    return tuple(_metrics(synthesis, layer_of))


def _metrics(synthesis: Synthesis, layer_of: LayerOf) -> Iterator[Metric]:
    source = FigureSource(
        Origin.SYNTHESISED, DesignState.C_SYNTHESIS, synthesis.tool, synthesis.version
    )
    yield from synthesis.latency.metrics(source, "latency_cycles", "cycles", None)
    clock = _clock_of_latency(synthesis)
    if clock is not None:
        yield from synthesis.latency.metrics(source, "latency_us", "us", None, clock * 1e-3)
    elif synthesis.latency_ns.most is not None:
        yield from synthesis.latency_ns.metrics(source, "latency_us", "us", None, 1e-3)
    yield from synthesis.interval.metrics(source, "ii_cycles", "cycles", None)
    yield from synthesis.resources.metrics(source)
    if synthesis.clock_ns is not None:
        yield source.metric("clock_ns", synthesis.clock_ns, "ns")
    if synthesis.clock_target_ns is not None:
        yield source.metric("clock_target_ns", synthesis.clock_target_ns, "ns")
    names_taken: set[str] = set()
    for module in synthesis.modules:
        layer = layer_of(module.name)
        layer = module.name if layer in names_taken else layer
        names_taken.add(layer)
        yield from module.latency.metrics(source, "latency_cycles", "cycles", layer)
        yield from module.interval.metrics(source, "ii_cycles", "cycles", layer)
        yield from module.resources.metrics(source, layer)


def _clock_of_latency(synthesis: Synthesis) -> float | None:
    """The clock by which cycles are nanoseconds: the one whose product is the report's absolute
    latency. Tools count by the clock asked for, and by the one they reckon with where that is
    slower."""
    cycles, absolute = synthesis.latency.most, synthesis.latency_ns.most
    clocks = [c for c in (synthesis.clock_target_ns, synthesis.clock_ns) if c is not None]
    if not cycles or absolute is None:
        return max(clocks, default=None)
    fitting = [c for c in clocks if abs(cycles * c - absolute) <= ROUNDING * absolute]
    return fitting[0] if fitting else None
