# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The public scalings give the published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.data.formats.scalings import (
    PatchScaling,
    scale_calorimeter,
    scale_dedx,
    scale_lariat,
    scale_patches,
    scale_track_scalars,
)


def test_signed_patches_run_from_minus_5_to_15() -> None:
    scaled = scale_patches([-80.0, -50.0, 0.0, 30.0, 150.0, 900.0], PatchScaling.SIGNED)
    np.testing.assert_allclose(scaled, [-5, -5, 0, 3, 15, 15])
    assert scaled.dtype == np.float32


def test_unit_patches_run_from_0_to_1() -> None:
    scaled = scale_patches([-3.0, 0.0, 15.0, 30.0, 200.0], PatchScaling.UNIT)
    np.testing.assert_allclose(scaled, [0, 0, 0.5, 1, 1])


def test_raw_patches_are_left_alone() -> None:
    np.testing.assert_array_equal(scale_patches([-80.0, 900.0], PatchScaling.RAW), [-80, 900])


@given(st.floats(-4096, 4096, width=32))
def test_the_lariat_scaling_is_the_published_formula(value: float) -> None:
    published = np.tanh(np.sign(value) * np.log(abs(value) + 1) / 2)
    assert float(scale_lariat(np.float32(value))) == pytest.approx(published, abs=1e-6)


def test_calorimeter_cells_are_divided_by_150() -> None:
    np.testing.assert_allclose(scale_calorimeter([0.0, 150.0, 75.0]), [0, 1, 0.5])


def test_dedx_is_floored_and_capped() -> None:
    low = (np.log(2e-3) + 1) / 2.5 - 1
    np.testing.assert_allclose(scale_dedx([-5.0, 1e-3, 0.5, 1000.0]), [low, low, -0.6, 1], 1e-6)


def test_track_scalars_follow_the_table() -> None:
    scaled = scale_track_scalars([[9.0, 2.5, 0.0, 0.5, 1.5, 0.05, 0.0]])
    np.testing.assert_allclose(scaled, [[1, 0, -1, -0.6, 0, 1, -1]], atol=1e-6)
