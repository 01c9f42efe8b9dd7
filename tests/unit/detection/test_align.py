# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Crops and pasted masks are what exact fractions say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.detection.align import CROP_SIDE, crop_features, paste_masks
from edgeinfer.detection.boxes import UNIT

SIDE = 16


def look_up(values: list[list[int]], y: Fraction, x: Fraction) -> Fraction:
    """Bilinear, y and x in pixels from the middle of the first one."""
    rows, columns = len(values), len(values[0])
    total = Fraction(0)
    for row in (y // 1, y // 1 + 1):
        for column in (x // 1, x // 1 + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            at = min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
            total += weight * values[at[0]][at[1]]
    return total


windows = st.tuples(
    st.integers(-40, 200), st.integers(-40, 200), st.integers(16, 300), st.integers(16, 300)
).map(lambda each: (each[0], each[1], each[0] + each[2], each[1] + each[3]))


@settings(max_examples=15)
@given(windows, st.integers(0, 1 << 30), st.integers(-2, 3))
def test_a_crop_is_the_mean_of_places_rounded_once(window, seed, shift):
    features = np.random.default_rng(seed).integers(-(1 << 20), 1 << 20, (1, 8, 8, 1))
    result = crop_features(features, np.array([[window]]), SIDE, shift)[0, 0, ..., 0]
    values = features[0, ..., 0].tolist()
    top, left, bottom, right = (Fraction(end, UNIT) for end in window)
    for row in (0, 3, CROP_SIDE - 1):
        for column in (0, 5):
            total = Fraction(0)
            for i in (1, 3):
                for j in (1, 3):
                    y = top + (bottom - top) * (row + Fraction(i, 4)) / CROP_SIDE
                    x = left + (right - left) * (column + Fraction(j, 4)) / CROP_SIDE
                    total += look_up(values, y / 2 - Fraction(1, 2), x / 2 - Fraction(1, 2))
            exact = total / 4 / Fraction(2) ** shift + Fraction(1, 2)
            assert result[row, column] == exact.numerator // exact.denominator


@settings(max_examples=15)
@given(windows, st.integers(0, 1 << 30))
def test_a_pasted_mask_is_where_the_interpolation_is_above_zero(window, seed):
    mask = np.random.default_rng(seed).integers(-9, 9, (1, 4, 4))
    result = paste_masks(mask, np.array([window]), SIDE)[0]
    top, left, bottom, right = (Fraction(end, UNIT) for end in window)
    for row in range(0, SIDE, 3):
        for column in range(0, SIDE, 2):
            y, x = row + Fraction(1, 2), column + Fraction(1, 2)
            inside = top <= y < bottom and left <= x < right
            place = [
                (at - first) / (last - first) * 4 - Fraction(1, 2)
                for at, first, last in ((y, top, bottom), (x, left, right))
            ]
            expected = inside and look_up(mask[0].tolist(), *place) > 0
            assert result[row, column] == expected
