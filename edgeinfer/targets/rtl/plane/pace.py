# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""About how many cycles a plane takes, line by line and without a simulator.

A line's hits are worked on when the lines that they look at are there, and a line comes in when
there is room for it. A hit takes a cycle for each place of its patch, or as many as its charged
places take in the engine, if that is more. Places that charge touches may yield what others yield,
which is not seen here, so it is rather too many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer.event.places import mark_within
from edgeinfer.targets.rtl.plane.design import PlaneDesign

WORD_CYCLES = 2  # to look for the next marks of a line
HIT_CYCLES = 1  # between two hits
LINE_CYCLES = 8  # between two lines' hits
BAND = (0.8, 1.05)  # of what Verilator counts over what is reckoned: 0.82 to 1.00 so far


def reckon_cycles(design: PlaneDesign, planes: Sequence[NDArray[np.bool_]]) -> int:
    """Cycles of planes that follow one another, from where they have charge (wires, pixels)."""
    geometry = design.geometry
    work = np.concatenate([_work_of_lines(design, charged) for charged in planes])
    lines, line, ahead = geometry.lines, geometry.line_beats, geometry.lines_ahead
    written: list[float] = []  # when each line is in memory
    done = [0.0] * len(work)  # when each line's hits are

    def write_until(last: int) -> None:
        while len(written) <= last:
            number = len(written)
            free = done[number - ahead] if number >= ahead else 0.0
            written.append(max(written[-1] if written else 0.0, free) + line)

    for number, cycles in enumerate(work):
        end_of_plane = (number // lines + 1) * lines - 1
        last = min(number + geometry.lines_needed - 1, end_of_plane)
        write_until(last)
        before = done[number - 1] if number else 0.0
        done[number] = max(before, written[last]) + float(cycles)
    return math.ceil(done[-1])


def charged_share(design: PlaneDesign, planes: Sequence[NDArray[np.bool_]]) -> float:
    """Of the places of a hit's patch, the share that see charge, on average over all hits."""
    counts = [_charged_places(design, charged)[charged] for charged in planes]
    active = np.concatenate(counts)
    return float(active.mean()) / math.prod(design.geometry.places) if active.size else 0.0


def _work_of_lines(design: PlaneDesign, charged: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Cycles that the hits of each line take, with those of finding them."""
    geometry, passes = design.geometry, design.engine.passes
    wires, lines = np.nonzero(charged)
    cycles = np.zeros(geometry.lines, np.int64)
    cycles += WORD_CYCLES * geometry.mark_words + LINE_CYCLES
    active = _charged_places(design, charged)[wires, lines]
    each = np.maximum(design.walked + HIT_CYCLES, passes * np.maximum(active, 1))
    np.add.at(cycles, lines, each)
    return cycles


def _charged_places(design: PlaneDesign, charged: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For a hit at each pixel, how many places of its patch see charge."""
    geometry = design.geometry
    (rows, columns), (down, along), reach = geometry.places, geometry.step, geometry.reach
    height, width = geometry.patch
    margin = [(height // 2, height + reach[0]), (width // 2, width + reach[1])]
    touched = mark_within(mark_within(np.pad(charged, margin), reach[0], 0), reach[1], 1)
    counts = np.zeros(charged.shape, np.int64)
    for row in range(rows):
        for column in range(columns):
            top, left = row * down, column * along
            counts += touched[top : top + charged.shape[0], left : left + charged.shape[1]]
    return counts
