# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a plane lies in time and in memory: lines, the zeros around them, what a patch needs.

A plane streams in pixel by pixel of time, all wires of one after the other: a line is what the
wires see at once. Behind each line, and behind the last one, come so many zeros that a place never
sees charge of another line or plane. All places then follow from one count of beats, and a place of
a patch lies at a fixed distance from the patch's hit.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.event.prefix import Cut

MARKS = 16  # hits in a word of the memory that they wait in
MOST_SPARE_LINES = 8  # more hardly help: hits come in clusters of many more lines than that
FEWEST_SPARE_LINES = 2  # one is written while the other waits for a line's hits


@dataclass(frozen=True, slots=True)
class PlaneSize:
    """Wires, pixels of time, and how many wires come in a cycle."""

    wires: int
    pixels: int
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class PlaneGeometry:
    """A plane of a size as a cut network reads it. Pairs are (along the wires, along time)."""

    size: PlaneSize
    patch: tuple[int, int]
    places: tuple[int, int]  # of a patch
    step: tuple[int, int]  # between two of them
    reach: tuple[int, int]  # what one of them sees
    spare_lines: int

    @property
    def filled_beats(self) -> int:
        """Beats of a line that hold pixels."""
        return self.size.wires // self.size.at_once

    @property
    def line_beats(self) -> int:
        """Beats of a line with the zeros behind it."""
        return self.filled_beats + -(-(self.reach[0] - 1) // self.size.at_once)

    @property
    def lines(self) -> int:
        """With those of zeros: one more than a place sees, so that a reset leaves no trace."""
        return self.size.pixels + self.reach[1]

    @property
    def beats(self) -> int:
        """Cycles that a plane takes at least."""
        return self.line_beats * self.lines

    @property
    def first_row(self) -> int:
        """The first row of places of a hit in line 0, counted from the plane's first."""
        return self.reach[1] - 1 - self.patch[1] // 2

    @property
    def first_place(self) -> int:
        """The first place of a hit of wire 0 in its row."""
        return self.reach[0] - 1 - self.patch[0] // 2

    @property
    def patch_rows(self) -> int:
        """Rows from the first to the last that a patch reads."""
        return (self.places[1] - 1) * self.step[1] + 1

    @property
    def ring_lines(self) -> int:
        """Lines of places that are in memory."""
        return self.patch_rows + self.spare_lines

    @property
    def lines_ahead(self) -> int:
        """Lines that may come in before the hits of the oldest are done."""
        return self.ring_lines + self.first_row

    @property
    def lines_needed(self) -> int:
        """Lines from a hit's own to the last one that it waits for."""
        return max(self.first_row + self.patch_rows, 1)

    @property
    def mark_words(self) -> int:
        """Words of marks in a line."""
        return -(-self.size.wires // MARKS)


def lay_plane(cut: Cut, size: PlaneSize, spare_lines: int) -> PlaneGeometry:
    """The geometry of a plane for a cut network."""
    reach = [1, 1]
    for stage in cut.stages:
        for axis in (0, 1):
            reach[axis] += (stage.window[axis] - 1) * stage.step[axis]
    return PlaneGeometry(size, cut.patch, cut.places, cut.step, (reach[0], reach[1]), spare_lines)
