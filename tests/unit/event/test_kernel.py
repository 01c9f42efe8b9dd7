# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The products of bytes by machine code against sums of integers, and the bits that it is given."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.event.kernel import build_kernel, kernel_obstacle
from edgeinfer.event.places import flat_places, join_places, mark_within, number_places

UNITS, PIECES, PLACES, CHANNELS = 2, 5, 3, 8
INSIDE = np.array([[True] * 5, [True] * 3 + [False] * 2])  # the second ends beyond the patch


@pytest.mark.parametrize("outputs", [5, 70, 130])
@pytest.mark.parametrize("patches", [0, 1, 3, 20])
def test_patches_differ_from_empty_ones_by_their_touched_pieces(outputs: int, patches: int) -> None:
    if kernel_obstacle():
        pytest.skip(kernel_obstacle())
    rng = np.random.default_rng(outputs + patches)
    matrices = rng.integers(-128, 128, (UNITS, PIECES, PLACES * CHANNELS, outputs))
    table = rng.integers(0, 256, (9, CHANNELS)).astype(np.uint8)  # its first row is the empty one
    row_of = (rng.integers(0, len(table), 70) * (rng.random(70) < 0.3)).astype(np.int32)
    place_offsets = np.arange(PIECES * PLACES)  # in a row
    unit_offsets = np.array([0, PIECES * PLACES])
    touched = (row_of > 0)[np.arange(55)[:, None] + place_offsets].reshape(55, PIECES, PLACES)
    patterns = (touched.any(axis=2) << np.arange(PIECES)).sum(axis=1).astype(np.uint8)
    starts = -np.tile(table[0].astype(np.int64), PLACES) @ matrices
    flat = matrices.reshape(UNITS, -1, outputs).astype(np.int8)
    origins = rng.permutation(40)[:patches]
    inside = np.packbits(INSIDE, axis=1, bitorder="little")[:, 0]
    weights = build_kernel(flat, starts, inside)
    sums, made = weights.add_units(table, row_of, patterns, origins, unit_offsets, place_offsets)

    due = np.zeros((patches, outputs), np.int64)
    used = 0
    for unit in range(UNITS):
        begins = origins + unit_offsets[unit]
        used += int(np.bitwise_count(patterns[begins] & inside[unit]).sum())
        for piece in np.flatnonzero(INSIDE[unit]):
            where = begins[:, None] + PLACES * piece + np.arange(PLACES)
            inputs = table[row_of[where]].reshape(patches, PLACES * CHANNELS).astype(int)
            due += inputs @ matrices[unit, piece] + starts[unit, piece]
    assert (sums == due).all()
    # Of three patches that are multiplied together, one may need a piece that another does not.
    assert used <= made <= 3 * used and (patches != 1 or made == used)


@pytest.mark.parametrize("axis", [0, 1])
def test_windows_of_places_keep_a_bit_for_each_place(axis: int) -> None:
    rng = np.random.default_rng(axis)
    touched = rng.random((23, 31)) < 0.3
    along = np.moveaxis(touched, axis, 0)
    for count, step in [(1, 1), (2, 3), (3, 1), (5, 2), (7, 3), (8, 2)]:
        size = len(along) - (count - 1) * step
        bits = np.moveaxis(join_places(touched.view(np.uint8), count, axis, step, 1), axis, 0)
        for place in range(count):
            there = along[place * step : place * step + size]
            assert (bits >> place & 1 == there).all()
        marked = np.moveaxis(mark_within(touched, count, axis, step), axis, 0)
        assert (marked == (bits > 0)).all()


def test_places_of_a_part_of_a_plane_are_numbered_in_its_order() -> None:
    part = np.array([[False, True], [True, True]])
    flat = flat_places(part, 5)  # the plane has rows of five
    assert flat.tolist() == [1, 5, 6]
    assert number_places(flat, (2, 5)).tolist() == [[0, 1, 0, 0, 0], [2, 3, 0, 0, 0]]
