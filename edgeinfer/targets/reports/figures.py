# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What reports agree on, whoever wrote them: cycles, resources, and the metrics made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from edgeinfer.base.metrics import DesignState, FirmOrigin, Metric, Origin
from edgeinfer.targets.reports.cells import ReportError

TARGET = "hls"

GATES: tuple[FirmOrigin, DesignState] = (Origin.SYNTHESISED, DesignState.LOGIC_SYNTHESIS)
LAID_OUT: tuple[FirmOrigin, DesignState] = (Origin.ROUTED, DesignState.ROUTING)

LayerOf = Callable[[str], str]  # the layer that a module is, or the module's own name


@dataclass(frozen=True, slots=True)
class FigureSource:
    """Where figures come from: how they came to be, of which state of a design, and which tool says
    so."""

    origin: FirmOrigin
    state: DesignState
    tool: str
    version: str | None = None
    target: str = TARGET

    def metric(
        self,
        name: str,
        value: float,
        unit: str,
        layer: str | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Metric:
        """A figure of this source."""
        return Metric(
            name, value, unit, self.origin, low, high, state=self.state, tool=self.tool,
            version=self.version, target=self.target, layer=layer,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CycleRange:
    """The fewest and the most clock cycles something takes; None where the tool cannot say."""

    fewest: float | None = None
    most: float | None = None

    def metrics(
        self, source: FigureSource, name: str, unit: str, layer: str | None, scale: float = 1.0
    ) -> Iterator[Metric]:
        """The worst case, with the band from the best where they differ; nothing if unknown."""
        if self.most is None:
            return
        most = self.most * scale
        if self.fewest is None or self.fewest == self.most:
            yield source.metric(name, most, unit, layer)
        else:
            yield source.metric(name, most, unit, layer, self.fewest * scale, most)

    def worst(self, other: CycleRange) -> CycleRange:
        """The slower of two that are known."""
        return other if self.most is None or (other.most or 0) > self.most else self


@dataclass(frozen=True, slots=True)
class Resources:
    """What a design occupies; None where a report does not count it. BRAM in blocks of 18 kbit,
    of which one of 36 kbit is two; Intel's memories by the size that the family has."""

    dsp: float | None = None
    lut: float | None = None
    ff: float | None = None
    bram18: float | None = None
    uram: float | None = None
    alm: float | None = None  # from here on, what Intel's devices have
    m20k: float | None = None
    m10k: float | None = None
    m9k: float | None = None
    mlab: float | None = None

    def plus(self, other: Resources) -> Resources:
        """Both together."""
        sums = {}
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            values = [value for value in (mine, theirs) if value is not None]
            sums[each.name] = sum(values) if values else None
        return Resources(**sums)

    def metrics(self, source: FigureSource, layer: str | None = None) -> Iterator[Metric]:
        """One metric for each that is counted."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                yield source.metric(each.name, value, each.name.upper(), layer)


def check_order(cycles: CycleRange, path: Path) -> CycleRange:
    """The same, or an error where the fewest are more than the most, or any is below zero."""
    values = [value for value in (cycles.fewest, cycles.most) if value is not None]
    if any(value < 0 for value in values) or values != sorted(values):
        raise ReportError(path, f"cycles from {cycles.fewest} to {cycles.most} cannot be")
    return cycles
