# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The boards that a design can be put onto, each a file of what it carries."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace

from edgeinfer.base import assets
from edgeinfer.base.devices import Device, device
from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.targets.target import Description

BOARD_HELP = (
    "deliver the design for this board: with a shell, its pins and its clock, or behind registers "
    "and DMA with Vivado's scripts and a driver"
)
BOARDS = "firmware/rtl/boards"
FOLDER = "board"  # in a target's: what goes around its design
BUILD = "build"  # beside it: what tools make
CLOCKS = {
    "ehxplll": "a PLL",
    "rpll": "a PLL",
    "sb_pll40_pad": "a PLL",
    "osca": "an oscillator in the part",
}
PROCESSOR_PLL_MHZ = {"zynq7": 1000, "zynqmp": 1500}  # of which the design's clock is a part


@dataclass(frozen=True, slots=True)
class SerialBoard:
    """A board on a serial line, for which open tools make a bitstream."""

    name: str
    title: str
    part: str
    crystal_hz: int
    baud: int
    pll: str  # what makes the design's clock: a PLL of the crystal's, an oscillator in the part
    pins: str  # the file that says where the ports of the top level are
    button: str  # what it gives while it is pressed: high or low
    leds: int  # how many of four it has: running, busy, refused, misframed
    leds_lit: str  # what they light at: high or low
    loader: str  # the board as openFPGALoader calls it
    usb: tuple[str, ...] = ()  # vendor:product of the chip behind its serial line; none: an adapter
    awake: bool = False  # whether a pin must be held high
    note: str = ""  # what must be done to the board first
    nextpnr: tuple[tuple[str, str], ...] = ()  # where it differs from the device's

    @property
    def device(self) -> Device:
        """The part it carries, with the package and the options that this board needs."""
        part = device(self.part)
        return replace(part, nextpnr={**part.nextpnr, **dict(self.nextpnr)})

    def describe(self) -> Description:
        """For the list of boards."""
        more = f" and {CLOCKS[self.pll]}" if self.pll else ""
        clock = f"{self.crystal_hz / 1e6:g} MHz{more}"
        line = (
            f"{self.name:<18} {self.title}; {self.part}; {clock}; serial line of "
            f"{self.baud / 1e6:g} Mbaud; bitstream by open tools"
        )
        document = {
            "name": self.name,
            "title": self.title,
            "part": self.part,
            "crystal_mhz": self.crystal_hz / 1e6,
            "pll": self.pll or None,
            "baud": self.baud,
            "note": self.note or None,
        }
        return Description(document, (line, *([f"{'':<18} {self.note}"] if self.note else [])))


@dataclass(frozen=True, slots=True)
class ZynqBoard:
    """A board whose part has processors: a design is reached by DMA, and Vivado makes the
    bitstream."""

    name: str
    title: str
    part: str
    processor: str  # zynq7 or zynqmp
    board_part: str  # the board as Vivado calls it, without part and version
    image: str = "a PYNQ image of version 2.7 or newer"  # what its processors run
    login: str = "xilinx"  # the user there
    jupyter: str = "xilinx"  # whose home holds the notebooks that Jupyter shows

    @property
    def pll_mhz(self) -> int:
        """The clock of the processor's PLL; the design's is this by a whole number."""
        return PROCESSOR_PLL_MHZ[self.processor]

    def describe(self) -> Description:
        """For the list of boards."""
        line = (
            f"{self.name:<18} {self.title}; {self.part}; {self.pll_mhz} MHz by a whole number; DMA "
            "and registers by AXI; bitstream by Vivado"
        )
        document = {
            "name": self.name,
            "title": self.title,
            "part": self.part,
            "processor": self.processor,
            "pll_mhz": self.pll_mhz,
            "note": None,
        }
        return Description(document, (line,))


Board = SerialBoard | ZynqBoard


def boards() -> tuple[str, ...]:
    """All there are."""
    return tuple(sorted(path.stem for path in assets.path(BOARDS).glob("*.toml")))


def board(name: str) -> Board:
    """A board by its name."""
    if name not in boards():
        raise UsageError(
            f"There is no shell for the board {name!r}.",
            hint=did_you_mean(name, boards()) or f"Known are {', '.join(boards())}.",
        )
    document = tomllib.loads(assets.text(f"{BOARDS}/{name}.toml"))
    if "processor" in document:
        return ZynqBoard(name, **document)
    document["usb"] = tuple(document.get("usb", ()))
    document["nextpnr"] = tuple(document.get("nextpnr", {}).items())
    return SerialBoard(name, **document)


def zynq_boards() -> tuple[str, ...]:
    """Those whose parts have processors."""
    return tuple(name for name in boards() if isinstance(board(name), ZynqBoard))


def zynq_board(name: str) -> ZynqBoard:
    """One of them by its name."""
    known_board = board(name)
    if not isinstance(known_board, ZynqBoard):
        raise UsageError(
            f"The {known_board.title} has no shell for projects of an HLS compiler.",
            hint=f"Boards that have one: {', '.join(zynq_boards())}. Or choose --target rtl.",
        )
    return known_board
