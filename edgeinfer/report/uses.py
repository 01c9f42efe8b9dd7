# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a design takes of its device, by the best figures there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeinfer.base import devices
from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.report.quantity import (
    RESOURCES,
    STATE_ORDER,
    STRENGTH,
    quantity_of,
    strength,
    targets_of,
    whole,
)
from edgeinfer.report.result import Result
from edgeinfer.report.titles import target_title

OFFERED_AS = {"cached_bytes": "sram_bytes"}  # what devices call it


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one kind; `offered` is None where the device is not known."""

    target: str
    title: str  # of the target
    kind: str
    metric: Metric
    state: str
    offered: float | None

    @property
    def share(self) -> float | None:
        """Used over offered."""
        return _over(self.metric.value, self.offered)

    @property
    def low_share(self) -> float | None:
        """The lower end of the band over what is offered."""
        return None if self.metric.low is None else _over(self.metric.low, self.offered)

    @property
    def high_share(self) -> float | None:
        """The upper end of the band over what is offered."""
        return None if self.metric.high is None else _over(self.metric.high, self.offered)

    @property
    def fits(self) -> bool | None:
        """Whether it is no more than is offered; None where that is not known."""
        share = self.share
        return None if share is None or math.isnan(share) else share <= 1.0

    @property
    def surely(self) -> bool:
        """Whether the whole band is on the same side of what is offered."""
        ends = [end <= 1.0 for end in (self.low_share, self.high_share) if end is not None]
        return all(end == self.fits for end in ends)


def uses_of(result: Result) -> tuple[Use, ...]:
    """Every resource of every target that has any."""
    uses: list[Use] = []
    for target in targets_of(result.metrics):
        own = whole(result.metrics, target)

        def capacity(
            kind: str, best: Metric, target: str = target, own: list[Metric] = own
        ) -> float | None:
            return _device_capacity(result, target, kind, own, best)

        uses += uses_among(own, target, target_title(target, result), capacity)
    return tuple(uses)


def uses_among(
    metrics: Sequence[Metric],
    target: str,
    title: str,
    capacity: Callable[[str, Metric], float | None],
) -> list[Use]:
    """Every resource that a design takes; `capacity`: what its device offers of a kind."""
    uses = []
    for kind in (*RESOURCES, *OFFERED_AS):
        best = best_count(metrics, kind)
        offered = None if best is None else capacity(kind, best)
        if best is not None and (best.value or offered):
            uses.append(Use(target, title, kind, best, quantity_of(best).state, offered))
    return uses


def best_count(metrics: Iterable[Metric], kind: str) -> Metric | None:
    """The count that is nearest to the finished design: routed before logic synthesis before C
    synthesis, and what a tool reports before an estimate."""
    counts = [each for each in metrics if quantity_of(each).name == kind]
    return max(counts, key=lambda m: (_is_reported(m), _late(m), strength(m)), default=None)


def _is_reported(metric: Metric) -> bool:
    return strength(metric) >= STRENGTH[Origin.SYNTHESISED] or metric.name == "cached_bytes"


def _late(metric: Metric) -> int:
    return STATE_ORDER.index(quantity_of(metric).state)


def _device_capacity(
    result: Result, target: str, kind: str, metrics: list[Metric], best: Metric
) -> float | None:
    part = result.targets.get(target)
    name = OFFERED_AS.get(kind, kind)
    if part is not None and part.budget:
        return part.budget.get(name)
    shares = [m for m in metrics if m.name == f"{kind}_share" and m.origin is best.origin]
    device_share = shares[-1] if shares else None
    if device_share is not None and device_share.value:
        return round(best.value / (device_share.value / 100.0))
    if result.device is None:
        return None
    try:
        return devices.device(result.device).offers(name)
    except UsageError:  # a device of a later version, or of someone else's
        return None


def _over(value: float, offered: float | None) -> float | None:
    if offered is None:
        return None
    if not offered:
        return 0.0 if not value else math.inf
    return value / offered
