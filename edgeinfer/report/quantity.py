# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a metric's figure stands for: like is compared with like only.

A LUT count after C synthesis, after logic synthesis and after routing are three quantities, though
all are called `lut`; an estimate of one of them is an estimate of that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeinfer.base.metrics import DesignState, Metric, Origin

RESOURCES = ("dsp", "lut", "ff", "bram18", "bram4", "uram", "alm", "m20k", "m10k", "m9k", "mlab")
AFTER_LOGIC_SYNTHESIS = "_vsynth"
STRENGTH = {  # a cycle-accurate simulation has seen what a synthesis report only says
    Origin.PUBLISHED: 0,
    Origin.ESTIMATED: 1,
    Origin.SYNTHESISED: 2,
    Origin.SIMULATED: 3,
    Origin.ROUTED: 4,
    Origin.MEASURED: 5,
    Origin.PROVED: 6,
}
STATE_ORDER = tuple(DesignState)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A name and, of a resource, the state of the design that was counted."""

    name: str
    state: DesignState = DesignState.NONE

    def __str__(self) -> str:
        return f"{self.name} ({self.state})" if self.state else self.name


def quantity_of(metric: Metric) -> Quantity:
    """What the figure stands for."""
    name = metric.name.removesuffix(AFTER_LOGIC_SYNTHESIS)
    return Quantity(name, metric.state) if name in RESOURCES else Quantity(metric.name)


def strength(metric: Metric) -> int:
    """How much a figure's origin is worth."""
    return STRENGTH[metric.origin]


def strongest(metrics: Iterable[Metric]) -> Metric | None:
    """The figure whose origin is worth most; the later of equals, which was found later."""
    return max(reversed(list(metrics)), key=strength, default=None)


def satisfies(origin: Origin, least: Origin) -> bool:
    """Whether an origin is as good as one that is demanded."""
    return STRENGTH[origin] >= STRENGTH[least]


def whole(metrics: Iterable[Metric], target: str | None) -> list[Metric]:
    """The figures of a target's whole design, not of its layers."""
    return [each for each in metrics if each.target == target and each.layer is None]


def targets_of(metrics: Iterable[Metric]) -> list[str]:
    """The targets that have figures, in order."""
    return list(dict.fromkeys(each.target for each in metrics if each.target is not None))
