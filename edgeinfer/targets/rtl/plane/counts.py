# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The cycles that simulated planes took, kept beside a design for whoever knows its clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.plan import write_file
from edgeinfer.targets.rtl.emit.emit import MANIFEST

EVENT_PIXELS = 15_360 * 1_000  # wires of ProtoDUNE, and pixels of time of each
COUNTS = "sim/planes.json"
ClockFigure = tuple[str, float, str]  # a name, a value, a unit


@dataclass(frozen=True, slots=True)
class PlaneCounts:
    """What simulated planes took, without gaps outside."""

    planes: int
    pixels: int  # of all of them
    hits: int
    cycles: int
    latency: int  # cycles from the first hit's pixel to its outputs

    @property
    def event_cycles(self) -> float:
        """Of an event."""
        return self.cycles * EVENT_PIXELS / self.pixels

    @property
    def event_hits(self) -> float:
        """Of an event."""
        return self.hits * EVENT_PIXELS / self.pixels


def keep_counts(folder: Path, counts: PlaneCounts) -> None:
    """Leave the cycles beside the design that they are of."""
    document = {"design": _design_in(folder), **asdict(counts)}
    write_file(folder / COUNTS, (json.dumps(document) + "\n").encode())


def counts_in(folder: Path) -> PlaneCounts | None:
    """What a simulation of a folder's design has left; None where there was none."""
    path = folder / COUNTS
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if document.pop("design") != _design_in(folder):
        return None
    return PlaneCounts(**{name: int(value) for name, value in document.items()})


def figures_at_clock(
    folder: Path, described: Mapping[str, Any], fmax_mhz: float
) -> list[ClockFigure]:
    """A clock that was reached, and what follows from it and a design's cycles; of planes, from
    those of the simulated ones, if they were simulated."""
    hertz = fmax_mhz * 1e6
    clock: ClockFigure = ("fmax_mhz", fmax_mhz, "MHz")
    counts = counts_in(folder)
    figures = [clock]
    if "plane" not in described:
        interval, latency = described["interval_cycles"], described["latency_cycles"]
        figures += [
            ("throughput", hertz / interval, "frames/s"),
            ("latency_us", latency / fmax_mhz, "us"),
        ]
    elif counts is not None:
        figures.append(("latency_us", counts.latency / fmax_mhz, "us"))
    if counts is not None:
        figures += [
            ("event_seconds", counts.event_cycles / hertz, "s"),
            ("hits_per_second", counts.hits * hertz / counts.cycles, "hits/s"),
        ]
    return figures


def _design_in(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
