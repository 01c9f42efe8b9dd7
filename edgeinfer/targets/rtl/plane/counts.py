# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The cycles that simulated planes took, kept beside a design for whoever knows its clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENT_PIXELS = 15_360 * 1_000  # wires of ProtoDUNE, and pixels of time of each
COUNTS = "sim/planes.json"


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


def counts_in(folder: Path) -> PlaneCounts | None:
    """What a simulation has left; None before the first."""
    path = folder / COUNTS
    if not path.is_file():
        return None
    known: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return PlaneCounts(**{name: int(value) for name, value in known.items()})
