# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Directions: turned by the angle asked for, scattered by Highland's width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.scattering import isotropic, step_rad, turn, walk


@given(st.floats(0.0, 3.1), st.floats(0.0, 6.2), st.integers(0, 99))
def test_turned_by_the_angle_asked_for(polar: float, azimuth: float, seed: int) -> None:
    way = np.vstack([isotropic(np.random.default_rng(seed), 5), [[0, 0, 1.0], [0, 0, -1.0]]])
    out = turn(way, np.full(7, polar), np.full(7, azimuth))
    assert np.linalg.norm(out, axis=1) == pytest.approx(np.ones(7))
    assert np.einsum("ij,ij->i", way, out) == pytest.approx(np.full(7, np.cos(polar)), abs=1e-9)


def test_many_steps_scatter_as_highland_says_of_the_whole() -> None:
    length, steps, energy = c.RADIATION_LENGTH_CM, 50, 500.0
    width = np.full((20_000, steps), step_rad(length / steps, energy, c.MUON.mass_mev))
    way = np.tile([1.0, 0.0, 0.0], (20_000, 1))
    last = walk(np.random.default_rng(3), way, np.c_[width, width[:, :1]])[:, -1]
    highland = 1 + 0.038 * np.log(length / c.RADIATION_LENGTH_CM)  # behind the whole slab
    expected = float(step_rad(length, energy, c.MUON.mass_mev) * highland)
    assert np.arcsin(last[:, 1]).std() == pytest.approx(expected, rel=0.02)
    assert np.arcsin(last[:, 2]).std() == pytest.approx(expected, rel=0.02)
    # 13.6 MeV over beta p, one radiation length.
    assert expected == pytest.approx(13.6 / 589.3, rel=0.01)
