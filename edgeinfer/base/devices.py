# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a part or a board offers: budgets from public data sheets, in ``firmware/devices``.

Parts that are reached by their boards or that open tools place have a file of their own. Others
are rows of a list for each vendor, whose first line says where its figures stand and when they were
looked up.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from edgeinfer.base import assets
from edgeinfer.base.errors import EdgeInferError, UsageError, did_you_mean

FOLDER = "firmware/devices"
LISTS = {"amd": "AMD", "gowin": "Gowin", "intel": "Intel", "lattice": "Lattice"}  # file: vendor
KINDS = {  # of a budget, and what one of them is
    "dsp": "DSP blocks",
    "lut": "LUTs",
    "ff": "flip-flops",
    "bram18": "block RAMs of 18 kbit",
    "bram4": "block RAMs of 4 kbit",
    "uram": "UltraRAMs",
    "lram": "large RAMs of 512 kbit",
    "spram": "RAMs of 256 kbit with one port",  # which begin empty, so that no weights are in them
    "alm": "ALMs",
    "m20k": "M20K blocks",
    "m10k": "M10K blocks",
    "sram_bytes": "bytes of on-chip memory",
    "int8_ops_per_second": "int8 operations a second",
}
MEMORY_BITS = {
    "bram18": 18_432, "uram": 294_912, "m20k": 20_480, "m10k": 10_240, "lram": 524_288,
    "bram4": 4_096,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Device:
    """A part: what it is called, and how much of each kind it holds."""

    name: str  # short, as users type it
    part: str  # as its vendor's tools, and hls4ml, want it
    vendor: str
    family: str
    fabric: str  # what its logic is made of: how fast it is, how wide its multipliers are
    speed_grade: str
    boards: tuple[str, ...]
    source: str  # where the figures stand
    budget: Mapping[str, int]
    nextpnr: Mapping[str, str] = field(
        default_factory=dict
    )  # its names there; empty: unknown there

    @property
    def memory_bits(self) -> int | None:
        """Bits that its block memories hold together; None where it has no such memories."""
        sizes = [count * MEMORY_BITS[k] for k, count in self.budget.items() if k in MEMORY_BITS]
        return sum(sizes) if sizes else None

    def offers(self, kind: str) -> int | None:
        """How many there are; None where the part knows no such thing."""
        return self.budget.get(kind)

    def share(self, kind: str, used: float) -> float | None:
        """Used over available; None where the part knows no such thing or has none of it."""
        available = self.budget.get(kind)
        return used / available if available else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        plain.pop("nextpnr")
        return plain | {"boards": list(self.boards), "budget": dict(self.budget)}


@cache
def devices() -> tuple[Device, ...]:
    """All of them, by name."""
    read_devices = [_read(path) for path in sorted(assets.path(FOLDER).glob("*.toml"))]
    return tuple(sorted(read_devices, key=lambda device: device.name))


@cache
def listed_parts() -> tuple[Device, ...]:
    """The parts that have a row in place of a file, by name."""
    parts = [row for name, vendor in LISTS.items() for row in _read_list(name, vendor)]
    return tuple(sorted(parts, key=lambda device: device.name))


def find(name: str) -> Device | None:
    """A device by its name, its board, or a full part name (of any package and speed grade);
    None where nothing is known of it."""
    word = name.strip().lower()
    every = (*devices(), *listed_parts())
    for candidate in every:
        if word in (candidate.name, candidate.part.lower(), *candidate.boards):
            return candidate
    same_chip = [candidate for candidate in every if word.startswith(candidate.name)]
    return max(same_chip, key=lambda candidate: len(candidate.name)) if same_chip else None


def device(name: str) -> Device:
    """The same, for a device that has to be known."""
    match = find(name)
    if match is not None:
        return match
    names = [
        word
        for candidate in (*devices(), *listed_parts())
        for word in (candidate.name, *candidate.boards)
    ]
    raise UsageError(
        f"There is no device {name!r}.",
        hint=did_you_mean(name.strip().lower(), names)
        or f"Known are {', '.join(candidate.name for candidate in devices())}, and "
        f"{len(listed_parts())} more parts: edgeinfer devices",
    )


def part_of(name: str) -> str:
    """The part to give to a vendor's tool: a full part name stays as it was typed."""
    match = device(name)
    word = name.strip()
    is_full = word.lower().startswith(match.name) and len(word) > len(match.name)
    return word if is_full else match.part


def _read_list(name: str, vendor: str) -> Iterator[Device]:
    """A vendor's list: its source in the first line, then a table."""
    first, *lines = assets.text(f"{FOLDER}/{name}.csv").splitlines()
    source = first.removeprefix("# ")
    for row in csv.DictReader(lines):
        part = row["part"]
        grade = re.search(r"-([123])", part) if vendor == "AMD" else None
        yield Device(
            row["name"], part, vendor, row["family"], row["fabric"],
            f"-{grade[1]}" if grade else "", (), source,
            {kind: int(count) for kind in KINDS if (count := row.get(kind))},
        )  # fmt: skip


def _read(path: Path) -> Device:
    try:
        entry = tomllib.loads(path.read_text(encoding="utf-8"))
        budget = entry.pop("budget")
        entry["boards"] = tuple(entry["boards"])
        unknown = sorted(set(budget) - set(KINDS))
        if unknown:
            raise ValueError(f"a budget of {', '.join(unknown)} is unknown")
        if not all(isinstance(count, int) and count >= 0 for count in budget.values()):
            raise ValueError("a budget is a whole number")
        names = entry.pop("nextpnr", {})
        if not all(isinstance(name, str) for name in names.values()):
            raise ValueError("nextpnr's names are text")
        return Device(**entry, budget=budget, nextpnr=names)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise EdgeInferError(
            f"{path}: this is not a description of a device: {error}.",
            hint="docs/estimate.md shows what a description contains.",
        ) from None
