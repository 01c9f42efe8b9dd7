# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long a signal takes through a family's logic: `firmware/rtl/delays.toml`, in picoseconds.

Each figure says where it is from. The band is what nextpnr found over what was reckoned, on designs
that no figure was taken from; of AMD's families, for which there is no open router, it is a guess.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from edgeinfer.base import assets

DELAYS = "firmware/rtl/delays.toml"
ALIKE = {"ultrascale": "ultrascale+"}


@dataclass(frozen=True, slots=True)
class FabricDelays:
    """A family's figures, those of one speed grade."""

    speed: str  # the speed grade
    source: str  # where the figures are from, in a few words
    lut_inputs: int
    clock_to_q: int
    setup: int
    route: int  # of a net, on the slowest path of a stage
    lut: int
    carry_in: int  # from an operand into the carry chain
    carry: int  # a bit further
    carry_out: int  # from the chain into the sum
    look_ahead: float  # levels of LUTs a doubling of an adder without a carry chain; 0: it has one
    band: tuple[float, float]  # periods, over what was reckoned

    @property
    def level(self) -> int:
        """A net and a LUT."""
        return self.route + self.lut

    @property
    def step(self) -> int:
        """A net, and an adder but for the length of its carry chain."""
        return self.level if self.look_ahead else self.route + self.carry_in + self.carry_out

    def carries(self, bits: int) -> int:
        """From one end of an adder to the other."""
        if self.look_ahead:
            return round(self.look_ahead * self.level * max(bits - 1, 0).bit_length())
        return self.carry * bits

    def reduction(self, bits: int) -> int:
        """Many bits to one."""
        return self.level * max(math.ceil(math.log(max(bits, 1), self.lut_inputs) - 1e-9), 1)

    def choice(self, bits: int) -> int:
        """One of 2^bits entries by an index: LUTs, and multiplexers behind them."""
        each = self.lut_inputs // 2 - 1  # select bits of a multiplexer in one LUT
        return self.level * (1 + math.ceil(max(bits - self.lut_inputs, 0) / each))


@cache
def read_delays() -> dict[str, Any]:
    """The tables of the file, by fabric."""
    return tomllib.loads(assets.text(DELAYS))


def known_delays() -> tuple[str, ...]:
    """Fabrics whose delays are known."""
    return (*read_delays(), *ALIKE)


@cache
def delays_of(fabric: str) -> FabricDelays | None:
    """A family's figures; None where none are known."""
    entry = read_delays().get(ALIKE.get(fabric, fabric))
    if entry is None:
        return None
    low, high = entry["band"]
    figures = {name: int(figure["ps"]) for name, figure in entry["figures"].items()}
    return FabricDelays(
        entry["speed"], entry["source"], entry["lut_inputs"], **figures,
        look_ahead=float(entry.get("look_ahead", 0)), band=(float(low), float(high)),
    )  # fmt: skip
