# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The clock that a board gives a design: its crystal's, or what a PLL makes of it.

    clock = crystal x feedback / reference,   oscillator = clock x output

The oscillator, the clock and the frequency that the PLL compares each have a range. Of all clocks
up to the one that is asked for, the fastest is taken whose bits on the serial line have the right
length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.rtl.board.boards import Board

MHZ = 1_000_000
MOST_DRIFT = 0.01  # that a bit on the line may be too long or too short, as a part of it


@dataclass(frozen=True, slots=True)
class PllRange:
    """What a kind of PLL can do, in MHz, and its dividers."""

    references: range
    feedbacks: range
    outputs: tuple[int, ...]
    compared_mhz: tuple[float, float]
    oscillator_mhz: tuple[float, float]
    clock_mhz: tuple[float, float]


PLLS = {
    # Lattice FPGA-TN-02200, as Project Trellis's ecppll has it
    "ehxplll": PllRange(
        range(1, 129), range(1, 81), tuple(range(1, 129)), (3.125, 400), (400, 800), (3.125, 400)
    ),
    # Gowin DS226, speed grade C8/I7
    "rpll": PllRange(
        range(1, 65), range(1, 65), (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
        (3, 500), (500, 1250), (3.90625, 625),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BoardClock:
    """A design's clock, the PLL's dividers (none: the crystal itself), cycles of a bit."""

    hz: Fraction
    reference: int
    feedback: int
    output: int
    divider: int

    @property
    def mhz(self) -> float:
        """The clock in MHz."""
        return float(self.hz / MHZ)


def clock_of(on: Board, asked_mhz: float) -> BoardClock:
    """The fastest clock of a board up to what is asked for; an error if all are faster."""
    asked = Fraction(asked_mhz).limit_denominator(1000) * MHZ
    if not on.pll:
        if on.crystal_hz > asked:
            raise _too_slow(on, asked_mhz, on.crystal_hz / MHZ)
        return BoardClock(Fraction(on.crystal_hz), 1, 1, 1, _divider(Fraction(on.crystal_hz), on))
    found: BoardClock | None = None
    slowest: Fraction | None = None
    for clock in _candidates(on):
        slowest = clock.hz if slowest is None else min(slowest, clock.hz)
        if clock.hz <= asked and (found is None or clock.hz > found.hz):
            found = clock
    if found is None:
        assert slowest is not None
        raise _too_slow(on, asked_mhz, float(slowest / MHZ))
    return found


def _candidates(on: Board) -> Iterator[BoardClock]:
    """Clocks that the PLL can make and the line can live with; the least division first."""
    limits = PLLS[on.pll]
    lowest, highest = limits.oscillator_mhz
    for reference in limits.references:
        compared = Fraction(on.crystal_hz, reference)
        if not _is_within(compared, limits.compared_mhz):
            continue
        for feedback in limits.feedbacks:
            hz = compared * feedback
            outputs = [o for o in limits.outputs if lowest * MHZ <= hz * o <= highest * MHZ]
            if not outputs or not _is_within(hz, limits.clock_mhz):
                continue
            divider = _divider(hz, on)
            if divider >= 4 and abs(float(hz / (divider * on.baud)) - 1) <= MOST_DRIFT:
                middle = (lowest + highest) / 2 * MHZ
                output = min(outputs, key=lambda o: abs(float(hz * o) - middle))
                yield BoardClock(hz, reference, feedback, output, divider)


def _divider(hz: Fraction, on: Board) -> int:
    return round(hz / on.baud)


def _is_within(hz: Fraction, ends_mhz: tuple[float, float]) -> bool:
    return ends_mhz[0] * MHZ <= hz <= ends_mhz[1] * MHZ


def _too_slow(on: Board, asked_mhz: float, slowest_mhz: float) -> UsageError:
    return UsageError(
        f"The {on.title} cannot give a design {asked_mhz:g} MHz; its slowest clock is "
        f"{slowest_mhz:.4g} MHz.",
        hint=f"Ask for --clock-mhz {slowest_mhz:.4g} or more.",
    )
