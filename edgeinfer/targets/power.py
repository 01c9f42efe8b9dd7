# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a part draws while nothing switches, and what an inference takes with that.

Static power is leakage. It grows with the part's logic, doubles about every 30 degrees, and
differs from chip to chip, so every figure has a wide band. The table beside the devices holds what
is published of single parts. A part that is not in it takes the figure of the one of its fabric
that is nearest in size, times the square root of the ratio of their sizes: something between a
leakage that does not depend on the size and one in proportion to it. Both are inside the band.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from edgeinfer.base import assets
from edgeinfer.base.devices import Device, find
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.energy import NAME as DYNAMIC
from edgeinfer.targets.energy import scale_activity

TABLE = "firmware/devices/power/static.csv"
STATIC, TOTAL, POWER = "power_static_w", "energy_nj", "power_w"
EVENT, EVENT_DYNAMIC = "energy_event_j", "energy_event_dynamic_j"
NAMES = (STATIC, TOTAL, POWER)
BAND = (0.4, 4.0)  # a cold chip of a good process; one at its limit of temperature
LUTS_OF_AN_ALM = 2


@dataclass(frozen=True, slots=True)
class StaticPower:
    """What a part draws at rest, in watts, and where that stands."""

    watts: float
    low: float
    high: float
    source: str

    def metric(self, target: str) -> Metric:
        """As a figure of a design on the part."""
        return Metric(
            STATIC, round(self.watts, 4), "W", Origin.ESTIMATED, round(self.low, 4),
            round(self.high, 4), state=DesignState.NONE, target=target, note=self.source,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownPart:
    """A row of the table: a part and what is published of it."""

    device: Device
    watts: float
    celsius: int
    source: str


@cache
def known_parts() -> tuple[KnownPart, ...]:
    """The table's rows whose parts are known."""
    rows = csv.DictReader(assets.text(TABLE).splitlines())
    return tuple(
        KnownPart(device, float(row["watts"]), int(row["celsius"]), row["source"])
        for row in rows
        if (device := find(row["part"])) is not None
    )


def logic_size(device: Device) -> float:
    """LUTs, or what makes as many."""
    return float(device.offers("lut") or LUTS_OF_AN_ALM * (device.offers("alm") or 0))


def static_power(device: Device, parts: Sequence[KnownPart] | None = None) -> StaticPower | None:
    """Of a part; None where nothing is published of its fabric. parts: another table."""
    size = logic_size(device)
    alike = [
        each
        for each in (known_parts() if parts is None else parts)
        if each.device.fabric == device.fabric
    ]
    if not alike or not size:
        return None
    nearest = min(alike, key=lambda each: abs(math.log(size / logic_size(each.device))))
    ratio = size / logic_size(nearest.device)
    ends = sorted((nearest.watts, nearest.watts * ratio))
    own = nearest.device.name == device.name
    remark = "" if own else f"scaled from {nearest.device.name}, the nearest that is published; "
    return StaticPower(
        nearest.watts * math.sqrt(ratio),
        ends[0] * BAND[0],
        ends[1] * BAND[1],
        f"{remark}{nearest.source}, at {nearest.celsius} degrees",
    )


def power_metrics(
    dynamic: Metric, device: Device, seconds: float, band: tuple[float, float] = (1.0, 1.0)
) -> tuple[Metric, ...]:
    """Static power, and an inference's energy and power with it, where a design takes one inference
    after the other without pause. seconds: from one to the next; band: of that."""
    static = static_power(device)
    if static is None or dynamic.low is None or dynamic.high is None:
        return ()
    target = dynamic.target or ""
    value = dynamic.value + static.watts * seconds * 1e9
    low = dynamic.low + static.low * seconds * band[0] * 1e9
    high = dynamic.high + static.high * seconds * band[1] * 1e9
    remark = "static power included, without pause between inferences"
    return (
        static.metric(target),
        _estimate(TOTAL, value, "nJ", (low, high), target, remark),
        _estimate(
            POWER, value / seconds / 1e9, "W",
            (static.low + dynamic.low / seconds / band[1] / 1e9,
             static.high + dynamic.high / seconds / band[0] / 1e9), target, remark,
        ),
    )  # fmt: skip


def event_energy(
    dynamic: tuple[float, float, float],
    device: Device,
    seconds: tuple[float, float, float],
    target: str,
) -> tuple[Metric, ...]:
    """What an event takes. Both triples: a value and its band; the first in joules."""
    remark = "arithmetic alone, without static power; random bits assumed"
    metrics = [_estimate(EVENT_DYNAMIC, dynamic[0], "J", dynamic[1:], target, remark)]
    static = static_power(device)
    if static is not None:
        value = dynamic[0] + static.watts * seconds[0]
        ends = dynamic[1] + static.low * seconds[1], dynamic[2] + static.high * seconds[2]
        remark = "static power for as long as an event takes included"
        metrics += [static.metric(target), _estimate(EVENT, value, "J", ends, target, remark)]
    return tuple(metrics)


def at_activity(metrics: Sequence[Metric], toggles: float) -> tuple[Metric, ...]:
    """The same figures where this share of bits changes between two samples."""
    old = next((metric for metric in metrics if metric.name == DYNAMIC), None)
    if old is None:
        return tuple(metrics)
    new = scale_activity(old, toggles)
    by_name = {metric.name: metric for metric in metrics if metric.name in NAMES}
    changed = {DYNAMIC: new}
    if by_name:
        total, power = by_name[TOTAL], by_name[POWER]
        per_nj = power.value / total.value
        changed[TOTAL] = _shift(total, old, new, 1.0)
        changed[POWER] = _shift(power, old, new, per_nj)
    return tuple(changed.get(metric.name, metric) for metric in metrics)


def _shift(metric: Metric, old: Metric, new: Metric, scale: float) -> Metric:
    """A figure that holds an energy, with another in its place."""

    def moved(value: float | None, before: float | None, after: float | None) -> float:
        assert value is not None and before is not None and after is not None  # all are estimates
        return max(value + (after - before) * scale, 0.0)

    value = moved(metric.value, old.value, new.value)
    low, high = moved(metric.low, old.low, new.low), moved(metric.high, old.high, new.high)
    return replace(metric, value=value, low=min(low, value), high=max(high, value))


def _estimate(
    name: str, value: float, unit: str, ends: tuple[float, float], target: str, remark: str
) -> Metric:
    return Metric(
        name, value, unit, Origin.ESTIMATED, *ends, state=DesignState.NONE, target=target,
        note=remark,
    )  # fmt: skip
