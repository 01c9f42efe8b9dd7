# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The clock that a board gives a design: its crystal's, or what a PLL makes of it.

    clock = crystal x feedback / reference,   oscillator = clock x output

A PLL of the iCE40 compares its oscillator itself with the crystal, not the clock it gives:

    oscillator = crystal x feedback / reference,   clock = oscillator / output

The oscillator, the clock and the frequency that the PLL compares each have a range. Of all clocks
up to the one that is asked for, the fastest is taken whose bits on the serial line have the right
length.

A board whose crystal is too slow for its part's PLL runs its design on the oscillator inside the
part, which is not exact: the design must reach the fastest clock that it may give. The serial line
keeps the crystal's time all the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.boards.boards import Board, SerialBoard, ZynqBoard

MHZ = 1_000_000
LEAST_DIVIDER = 4  # cycles of a bit, of which the middle one is looked at
ROUNDED = 1 + 1e-9  # for a clock that was written down as a decimal
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
    compares_oscillator: bool = False  # and not the clock that is made of it


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
    # Lattice FPGA-TN-02052, as Project IceStorm's icepll has it, with simple feedback
    "sb_pll40_pad": PllRange(
        range(1, 17), range(1, 129), (2, 4, 8, 16, 32, 64), (10, 133), (533, 1066), (16, 275),
        compares_oscillator=True,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OscillatorRange:
    """What an oscillator inside a part gives: a whole part of its frequency, more or less."""

    mhz: int
    outputs: range
    drift: float  # that it may be too fast or too slow, as a part of it


OSCILLATORS = {
    # Project Oxide's nextpnr takes 450 MHz and 7 % more for the worst case
    "osca": OscillatorRange(450, range(2, 257), 0.07),
}
LEAST_TICKS = 2.5  # cycles of a design for each of the crystal's, which its shell has to count


@dataclass(frozen=True, slots=True)
class BoardClock:
    """A design's clock, the PLL's dividers (none: the crystal itself), ticks of a bit."""

    hz: Fraction
    reference: int
    feedback: int
    output: int
    divider: int
    drift: float = 0.0

    @property
    def mhz(self) -> float:
        """The clock in MHz."""
        return float(self.hz / MHZ)

    @property
    def fastest_mhz(self) -> float:
        """What the design must be able to run at."""
        return self.mhz * (1 + self.drift)


def clock_mhz_of(on: Board, asked_mhz: float) -> float:
    """The clock that a board makes of the one that is asked for."""
    match on:
        case SerialBoard():
            return clock_of(on, asked_mhz).mhz
        case ZynqBoard(pll_mhz=pll_mhz):
            return pll_mhz / math.ceil(pll_mhz / (asked_mhz * ROUNDED))
        case _:
            assert_never(on)


@functools.cache
def clock_of(on: SerialBoard, asked_mhz: float) -> BoardClock:
    """The fastest clock of a board up to what is asked for; an error if all are faster."""
    possible = _clocks_of(on)
    slower = [clock for clock in possible if clock.mhz <= asked_mhz * ROUNDED]
    if slower:
        return max(slower, key=lambda clock: clock.hz)  # of equals the first: the least divided
    slowest = math.ceil(100 * min(clock.mhz for clock in possible)) / 100  # as one may write it
    raise UsageError(
        f"The {on.title} cannot give a design {asked_mhz:g} MHz; its slowest clock is "
        f"{slowest:g} MHz.",
        hint=f"Ask for --clock-mhz {slowest:g} or more.",
    )


@functools.cache
def _clocks_of(on: SerialBoard) -> tuple[BoardClock, ...]:
    """The clocks that a board can make and whose bits on its line are right."""
    if not on.pll:
        crystal = Fraction(on.crystal_hz)
        return (BoardClock(crystal, 1, 1, 1, round(crystal / on.baud)),)
    if on.pll in OSCILLATORS:
        return _parts_of(OSCILLATORS[on.pll], on)
    return tuple(_clocks_by_pll(PLLS[on.pll], on))


def _clocks_by_pll(limits: PllRange, on: SerialBoard) -> Iterator[BoardClock]:
    """The clocks of a PLL: of the dividers that make the same one, the least that are possible."""
    lowest, highest = (round(end * MHZ) for end in limits.oscillator_mhz)
    for reference in limits.references:
        if not _is_within(on.crystal_hz / reference, limits.compared_mhz):
            continue
        for feedback in limits.feedbacks:
            compared = on.crystal_hz * feedback / reference
            if limits.compares_oscillator:
                made = [(compared / output, output) for output in limits.outputs]
                made = made if lowest <= compared <= highest else []
            else:
                outputs = [each for each in limits.outputs if lowest <= compared * each <= highest]
                middle = (lowest + highest) / 2 / compared
                made = [
                    (compared, each) for _, each in sorted((abs(o - middle), o) for o in outputs)
                ]
                made = made[:1]
            for hz, output in made:
                divider = round(hz / on.baud)
                if (
                    _is_within(hz, limits.clock_mhz)
                    and divider >= LEAST_DIVIDER
                    and abs(hz / (divider * on.baud) - 1) <= MOST_DRIFT
                ):
                    divided = output if limits.compares_oscillator else 1
                    exact = Fraction(on.crystal_hz * feedback, reference * divided)
                    yield BoardClock(exact, reference, feedback, output, divider)


def _parts_of(inside: OscillatorRange, on: SerialBoard) -> tuple[BoardClock, ...]:
    """The clocks of an oscillator that are fast enough to follow the crystal."""
    divider = round(Fraction(on.crystal_hz) / on.baud)
    clocks = (
        BoardClock(Fraction(inside.mhz * MHZ, output), 1, 1, output, divider, inside.drift)
        for output in inside.outputs
    )
    least_hz = LEAST_TICKS * on.crystal_hz
    return tuple(clock for clock in clocks if clock.hz * (1 - inside.drift) >= least_hz)


def _is_within(hz: float, ends_mhz: tuple[float, float]) -> bool:
    return ends_mhz[0] * MHZ <= hz <= ends_mhz[1] * MHZ
