# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The parts that open tools can place and route a design for, and what the tools call them."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class Part:
    """An ECP5: nextpnr's names for it, and how much it holds."""

    name: str
    size: str
    package: str
    speed: str
    clock_site: str  # a pin that reaches the clock network
    luts: int
    multipliers: int


PARTS = (
    Part("lfe5u-25f", "25k", "CABGA381", "6", "G2", 24_288, 28),
    Part("lfe5u-45f", "45k", "CABGA381", "6", "G2", 43_848, 72),
    Part("lfe5u-85f", "85k", "CABGA381", "6", "G2", 83_640, 156),
)


def part_of(name: str) -> Part:
    """A part by its name."""
    for part in PARTS:
        if part.name == name.lower():
            return part
    names = [part.name for part in PARTS]
    raise UsageError(
        f"There are no open tools here for the part {name!r}.",
        hint=did_you_mean(name.lower(), names) or f"Known are {', '.join(names)}.",
    )
