# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A preview is a PNG file with a row for each class."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.pictures import as_pictures, curves, preview

ROWS = {
    "hit-tagger": ("track", "em", "none", "michel"),
    "track-pid": ("mu", "pi", "p"),
    "roi-finder": ("signal", "no signal"),
    "jet-tagger": ("gluon", "quark", "W", "Z", "top"),
    "lariat-siamese": ("electron", "muon", "pion", "proton"),
    "calo-classifier": ("electron", "gamma", "pi0", "charged pion"),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_the_classes(name):
    result = preview(ENTRIES[name], seed=1, count=3)
    assert result.rows == ROWS[name]
    assert result.image.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", result.image[16:24])
    assert height % len(result.rows) == 0
    assert width % 3 == 0


def test_labels_of_pixels_have_colours() -> None:
    result = preview(ENTRIES["sparse-ssnet"], seed=1, count=2)
    assert result.rows == (
        "charge",
        "truth (red hip, blue mip, yellow shower, green delta, pink michel)",
    )
    width, height = struct.unpack(">II", result.image[16:24])
    assert (width, height) == (2 * 516, 2 * 516)


def test_energies_are_shown_in_rising_slices():
    result = preview(ENTRIES["energy-regression"], seed=1, count=2)
    edges = [float(row.rpartition(" ")[2]) for row in result.rows]
    assert len(edges) == 6
    assert edges == sorted(edges)


def test_a_curve_is_as_high_as_its_value():
    drawn = curves(np.array([[0.0, 1.0, 0.5]], np.float32))[0]
    heights = drawn.sum(axis=0)
    assert heights.max() == drawn.shape[0]
    assert heights[0] == 1
    assert heights[len(heights) // 2] == heights.max()


def test_volumes_are_summed_along_the_depth():
    volume = np.ones((2, 4, 5, 6), np.float32)
    np.testing.assert_array_equal(as_pictures(volume), np.full((2, 4, 5), 6.0))
