# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Axes: from numbers to places, with round numbers to read them by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeinfer.report import words
from edgeinfer.report.draw.marks import Label, Line, Mark


def axes(
    across: AxisScale, up: AxisScale, x_title: str, y_title: str, kind: str = "ink"
) -> list[Mark]:
    """A grid at round numbers between the ends of two scales, and their titles."""
    left, right, bottom, top = across.start, across.stop, up.start, up.stop
    return [
        *grid_across(across.ticks(), top, bottom),
        *grid_up(up, left, right),
        Label((left + right) / 2, bottom + 42, x_title, kind, "middle"),
        title_up(up, y_title, kind),
    ]


def grid_across(ticks: Iterable[tuple[float, str]], top: float, bottom: float) -> Iterator[Mark]:
    """Upright lines at ticks, and what they say below them."""
    for at, label in ticks:
        yield Line(((at, top), (at, bottom)), "grid")
        yield Label(at, bottom + 18, label, "muted", "middle")


def grid_up(up: AxisScale, left: float, right: float) -> Iterator[Mark]:
    """Level lines at the ticks of a scale, and what they say at their left."""
    for at, label in up.ticks():
        yield Line(((left, at), (right, at)), "grid")
        yield Label(left - 8, at + 4, label, "muted", "end")


def title_up(up: AxisScale, title: str, kind: str = "ink") -> Label:
    """What a scale that goes up shows."""
    return Label(17, (up.stop + up.start) / 2, title, kind, "middle", turned=True)


TICKS = 6
FEWEST_DIGITS = 4  # of a number at a tick
HUGE = 1e150  # beyond it nothing is drawn to scale
SMALLEST_SHARE = 1e-12  # of the largest value, to which a logarithmic scale reaches
MARGIN = 0.06  # of the range, left free at both ends


@dataclass(frozen=True, slots=True)
class AxisScale:
    """low..high drawn from `start` to `stop`; with `logarithmic`, powers are evenly apart."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a number lies; what is beyond the ends lies at the end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return round(self.start + (at - low) / (high - low) * (self.stop - self.start), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers within, and how they are written."""
        values = _decades(self.low, self.high) if self.logarithmic else _even(self.low, self.high)
        digits = FEWEST_DIGITS if self.logarithmic else _digits_of(values)
        return [(self.place(value), _tick_text(value, digits)) for value in values]


def over(
    values: Iterable[float], start: float, stop: float, *, logarithmic: bool = False,
    zero: bool = False,
) -> AxisScale:  # fmt: skip
    """A scale on which all of these have room. What is not finite or huge, or on a logarithmic
    scale not above zero, asks for none."""
    finite = [v for v in values if abs(v) < HUGE and (v > 1.0 / HUGE or not logarithmic)]
    if not finite:
        finite = [1.0, 10.0] if logarithmic else [0.0, 1.0]
    low, high = min(finite), max(finite)
    if logarithmic:
        low = max(low, high * SMALLEST_SHARE)
        if high / low < 2.0:
            low, high = low / 1.5, high * 1.5
        grown = (high / low) ** MARGIN
        return AxisScale(low / grown, high * grown, start, stop, logarithmic=True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-12):
        room = abs(high) * 0.1 or 1.0
        low, high = low - room, high + room
    room = (high - low) * MARGIN
    return AxisScale(low if zero and not low else low - room, high + room, start, stop)


def _even(low: float, high: float) -> list[float]:
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1.0,) if last - first > 3 else (1.0, 2.0, 5.0)
    each = max(1, (last - first) // TICKS)
    values = [s * 10.0**p for p in range(first, last + 1, each) for s in steps]
    return [value for value in values if low <= value <= high]


def _digits_of(values: list[float]) -> int:
    """Digits that tell neighbours apart, and leave none of them rounded."""
    if len(values) < 2:
        return FEWEST_DIGITS
    largest = max(map(abs, values))
    spread = math.floor(math.log10(largest)) - math.floor(math.log10(values[1] - values[0]))
    return max(FEWEST_DIGITS, spread + 2)  # a step of 2.5 has two


def _tick_text(value: float, digits: int) -> str:
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        power = math.floor(math.log10(abs(value)) + 1e-9)
        lead = value / 10.0**power
        lead_text = "" if abs(lead - 1) < 1e-9 else f"{lead:g}·"
        return f"{lead_text}10{write_power(power)}"
    return words.number(round(value, 10), digits)


def write_power(power: int) -> str:
    """A power in small digits."""
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
