# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Families of FPGAs: what each cell that Yosys can leave takes of a part.

Kinds are those of a device's budget. A LUT is one look-up table of the family, whatever it is used
as: logic, a carry, a small memory. Block RAM is counted in blocks of 18 kbit, on the iCE40 in its
blocks of 4 kbit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeinfer.base.errors import UsageError

KINDS = ("lut", "ff", "dsp", "bram18", "bram4")  # of which a family has one kind of block RAM
Takes = Mapping[str, Mapping[str, float]]  # kind: (a pattern of cells' names: how many of it)


@dataclass(frozen=True, slots=True)
class Family:
    """A fabric, as devices name it."""

    fabric: str
    title: str
    takes: Takes
    note: str = ""  # what must be known about the figures

    def count_amounts(self, cells: Mapping[str, int]) -> dict[str, float]:
        """Cells by their type as amounts by kind."""
        amounts = dict.fromkeys(self.takes, 0.0)
        for cell, number in cells.items():
            for kind, each in self.of(cell).items():
                amounts[kind] += number * each
        return amounts

    def of(self, cell: str) -> dict[str, float]:
        """What one cell takes; nothing for buffers, multiplexers between LUTs, constants."""
        return {
            kind: each
            for kind, patterns in self.takes.items()
            for pattern, each in patterns.items()
            if re.fullmatch(pattern, cell)
        }


XILINX: Takes = {
    "lut": {
        r"LUT[1-6]|LUT6_2|SRL16E|SRLC(16E|32E)|RAM(32|64)X1S": 1,
        r"RAM(32|64)X1D|RAM128X1S": 2,
        r"RAM32M|RAM64M|RAM128X1D|RAM256X1S": 4,
        r"RAM32M16|RAM64M8|RAM256X1D|RAM512X1S": 8,
    },
    "ff": {r"FD[RSCP]E(_1)?": 1},
    "dsp": {r"DSP48E[12]": 1},
    "bram18": {r"RAMB18E[12]|FIFO18E[12]": 1, r"RAMB36E[12]|FIFO36E[12]": 2},
}
NOT_VIVADO = (
    "by Yosys, not Vivado: two designs taken through both (UltraScale+) had 2 % and 56 % more LUTs "
    "and 22 % more flip-flops in Yosys, and equally many DSP blocks; block RAM and the 7 series "
    "were not compared"
)
FAMILIES = (
    Family("ecp5", "the ECP5", {
        "lut": {r"LUT4": 1, r"CCU2C": 2, r"TRELLIS_DPR16X4": 4},
        "ff": {r"TRELLIS_FF": 1},
        "dsp": {r"MULT18X18D": 1, r"MULT9X9D": 0.5},
        "bram18": {r"DP16KD": 1, r"PDPW16KD": 1},
    }),
    Family("nexus", "Nexus (CrossLink-NX)", {
        "lut": {r"LUT4": 1, r"CCU2|WIDEFN9": 2, r"DPR16X4": 4},
        "ff": {r"FD1P3[BDIJ]X": 1},
        "dsp": {r"MULT9X9": 0.5, r"MULT18X18": 1, r"MULT18X36": 2, r"MULT36X36": 4},
        "bram18": {r"(DP|PDP|PDPSC)16K(_MODE)?": 1},
    }),
    Family("gowin", "the Gowin GW2A", {
        "lut": {r"LUT[1-4]|ALU": 1, r"RAM16S(DP)?[124]": 6},  # a memory blocks six of a block's
        "ff": {r"DFFN?[RSPC]?E?": 1},
        "dsp": {r"MULT9X9": 0.5, r"MULT18X18": 1, r"MULT36X36": 4},
        "bram18": {r"SDPB|SDPX9B|DPB|DPX9B|SP|SPX9|pROM|pROMX9": 1},
    }),
    Family("ice40", "the iCE40 UltraPlus", {
        "lut": {r"SB_LUT4": 1},  # a carry lies in the logic cell of the LUT behind it
        "ff": {r"SB_DFFN?E?(S?[RS])?": 1},
        "dsp": {r"SB_MAC16": 1},
        "bram4": {r"SB_RAM40_4K(NR)?(NW)?": 1},
    }),
    Family("7-series", "AMD's 7 series", XILINX, NOT_VIVADO),
    Family("ultrascale", "AMD's UltraScale", XILINX, NOT_VIVADO),
    Family("ultrascale+", "AMD's UltraScale+", XILINX, NOT_VIVADO),
)  # fmt: skip


def family_of(fabric: str) -> Family:
    """A family by its fabric; an error for those that Yosys has no cells of."""
    for family in FAMILIES:
        if family.fabric == fabric:
            return family
    fabrics = ", ".join(family.fabric for family in FAMILIES)
    raise UsageError(
        f"There is no open synthesis here for the fabric {fabric!r}.",
        hint=f"There is for {fabrics}.",
    )
