# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What lies between pixels, in integers: crops of features (RoIAlign), and masks put back.

Both are products of a matrix for the rows, the pixels, and a matrix for the columns, all integers
below 2^53: float64 holds every partial sum exactly, in whatever order it is added up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.detection.boxes import UNIT, Integers, round_shift

CROP_SIDE = 8  # bins of a crop, each way
_SAMPLES = 2  # places in a bin, each way, whose mean it is
_POINTS = CROP_SIDE * _SAMPLES
MOST_BITS = 24  # of features and of masks, so that sums stay below 2^53


def crop_features(features: Integers, windows: Integers, side: int, shift: int) -> Integers:
    """Crops (n, count, 8, 8, channels) of features (n, rows, columns, channels) in windows (n,
    count, 4) on an image of `side` cells: in each bin the mean of 2 x 2 bilinear places, times
    2^-shift, rounded once, halves up. Beyond the edge lies what lies on it."""
    n, rows, columns, channels = features.shape
    count = windows.shape[1]
    down = _sample_matrix(windows[..., 0], windows[..., 2], rows, side)
    across = _sample_matrix(windows[..., 1], windows[..., 3], columns, side)
    flat = features.astype(np.float64).reshape(n, 1, rows, columns * channels)
    half = (down @ flat).reshape(n, count, CROP_SIDE, columns, channels)
    sums = (across[:, :, None] @ half).astype(np.int64)
    parts = _parts_of(rows, side) * _parts_of(columns, side) * _SAMPLES**2
    return round_shift(sums, parts.bit_length() - 1 + shift)


def _parts_of(pixels: int, side: int) -> int:
    """In how many parts of a pixel every place is a whole number."""
    return 2 * _POINTS * UNIT * (side // pixels)


def _sample_matrix(first: Integers, last: Integers, pixels: int, side: int) -> NDArray[np.float64]:
    """Weights (..., 8, pixels) of the pixels in each bin along one axis."""
    parts = _parts_of(pixels, side)
    odd = 2 * np.arange(_POINTS) + 1
    place = 2 * _POINTS * first[..., None] + odd * (last - first)[..., None] - parts // 2
    weights = _weights(place, np.int64(parts), pixels)
    weights = weights.reshape(*first.shape, CROP_SIDE, _SAMPLES, pixels)
    return np.asarray(weights.sum(axis=-2))


def paste_masks(masks: Integers, windows: Integers, side: int) -> NDArray[np.bool_]:
    """The cells (count, side, side) in which a mask (count, rows, columns), drawn bilinearly over
    its window (count, 4), is above zero. Only the sign is asked, so nothing is rounded."""
    axes = []
    for axis in (0, 1):
        first, length = windows[:, axis, None], (windows[:, axis + 2] - windows[:, axis])[:, None]
        inside = (2 * np.arange(side) + 1) * (UNIT // 2) - first  # the middles of cells
        pixels = masks.shape[axis + 1]
        weights = _weights(2 * pixels * inside - length, 2 * length, pixels)
        axes.append(weights * ((inside >= 0) & (inside < length))[..., None])
    down, across = axes
    sums = down @ masks.astype(np.float64) @ across.transpose(0, 2, 1)
    return np.asarray(sums > 0)


def _weights(place: Integers, parts: Integers | np.int64, pixels: int) -> NDArray[np.float64]:
    """Weights (..., places, pixels), as whole numbers that sum to `parts`, of the two pixels next
    to each place; places are counted in parts of a pixel from the middle of the first one."""
    before = place // parts
    rest = place - before * parts
    every = np.arange(pixels)
    low, high = (np.clip(before + more, 0, pixels - 1)[..., None] == every for more in (0, 1))
    weights = (parts - rest)[..., None] * low + rest[..., None] * high
    return np.asarray(weights, np.float64)
