# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Mean losses against published check values; fluctuations against their own moments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc import energy_loss as loss
from edgeinfer.lartpc.ranges import (
    energies_before_stop,
    kinetic_mev,
    range_cm,
)

DRAWS = 400_000


@pytest.mark.parametrize(
    ("species", "expected"),
    [
        (c.MUON, (6.9, 3.7, 2.4)),
        (c.PION, (7.7, 4.1, 2.5)),
        (c.KAON, (13.3, 6.7, 3.6)),
        (c.PROTON, (17.6, 8.8, 4.5)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_dedx_at_1_5_and_26_cm_from_the_stop(species: c.Species, expected: tuple) -> None:
    result = loss.mean_dedx(kinetic_mev(species, [1.0, 5.0, 26.0]), species.mass_mev)
    assert result == pytest.approx(expected, rel=0.02)


def test_a_minimum_ionising_muon_loses_2_1_mev_a_cm() -> None:
    energy = np.geomspace(50, 1e4, 400)
    result = loss.mean_dedx(energy, c.MUON.mass_mev)
    assert result.min() == pytest.approx(2.1, rel=0.01)
    assert 200 < energy[result.argmin()] < 350


def test_electrons_lose_what_tables_say() -> None:
    # Collision stopping powers of argon, in MeV cm2/g, at 1 and 10 MeV.
    result = loss.electron_dedx([1.0, 10.0]) / c.DENSITY_G_CM3
    assert result == pytest.approx([1.37, 1.56], rel=0.03)


@given(st.sampled_from(c.HEAVY), st.floats(1.0, 5000.0))
def test_range_and_energy_are_each_others_inverse(species: c.Species, energy: float) -> None:
    assert kinetic_mev(species, range_cm(species, energy)) == pytest.approx(energy, rel=1e-3)


@given(st.sampled_from(c.HEAVY), st.floats(0.0, 50.0), st.floats(0.1, 2.0))
def test_a_profile_falls_to_the_energy_that_is_left(
    species: c.Species, left: float, pitch: float
) -> None:
    energy = energies_before_stop(species, left, pitch, 100)
    assert energy.shape == (101,)
    assert energy[0] == pytest.approx(float(kinetic_mev(species, left + 100 * pitch)))
    assert energy[-1] == pytest.approx(float(kinetic_mev(species, left)))
    middle = loss.mean_dedx(kinetic_mev(species, left + 50.5 * pitch), species.mass_mev) * pitch
    assert energy[49] - energy[50] == pytest.approx(float(middle), rel=0.01)


@pytest.mark.parametrize("kappa", [0.02, 0.1, 1.0, 8.0, 30.0])
@pytest.mark.parametrize("beta2", [0.1, 0.9])
def test_fluctuations_have_the_mean_and_the_variance_of_collisions(
    kappa: float, beta2: float
) -> None:
    rng = np.random.default_rng(1)
    result = loss.straggle_mev(rng, np.full(DRAWS, 1.0), 1 / kappa, beta2)
    width = np.sqrt((1 - beta2 / 2) / kappa)
    assert result.std() == pytest.approx(width, rel=0.03)
    assert abs(result.mean()) < 5 * width / np.sqrt(DRAWS)


def test_landau_has_its_most_probable_loss_and_vavilov_takes_over_smoothly() -> None:
    rng = np.random.default_rng(2)
    landau = loss.straggle_mev(rng, np.full(DRAWS, 1.0), 1 / 0.0099, 0.9)
    vavilov = loss.straggle_mev(rng, np.full(DRAWS, 1.0), 1 / 0.0101, 0.9)
    levels = [0.05, 0.25, 0.5, 0.75]  # beyond, the largest transfer shows
    assert np.quantile(landau, levels) == pytest.approx(np.quantile(vavilov, levels), abs=0.3)
    counts, edges = np.histogram(landau, np.arange(-8, 8, 0.25))
    mode = edges[counts.argmax()] + 0.125
    # Landau's lambda is (loss - mean) / xi less 1 - gamma + beta2 + ln(kappa).
    expected = -0.2228 + 1 - np.euler_gamma + 0.9 + np.log(0.0099)
    assert mode == pytest.approx(expected, abs=0.3)


@given(st.floats(5.0, 1e4), st.floats(0.3, 5.0))
def test_delta_rays_take_what_the_restricted_loss_leaves_out(energy: float, cut: float) -> None:
    beta2, _ = loss.beta2_gamma(energy, c.MUON.mass_mev)
    w_max = float(loss.largest_transfer_mev(energy, c.MUON.mass_mev))
    xi = loss.xi_mev(1.0, beta2)
    transfer = np.geomspace(cut, max(w_max, cut), 4001)
    rate = xi / transfer**2 * (1 - beta2 * transfer / w_max)
    number = np.trapezoid(rate, transfer)
    energy_loss = np.trapezoid(rate * transfer, transfer)
    assert loss.delta_ray_count(xi, cut, w_max, beta2) == pytest.approx(number, rel=1e-3, abs=1e-9)
    assert loss.delta_ray_loss_mev(xi, cut, w_max, beta2) == pytest.approx(
        energy_loss, rel=1e-3, abs=1e-9
    )
