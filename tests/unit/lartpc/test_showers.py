# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Showers: depth of the maximum, conversion length, the energy that they leave; Michel spectrum."""

import numpy as np
import pytest

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc import showers
from edgeinfer.lartpc.deposits import FLAG_MICHEL, Deposits, DetectorVolume, emit

CRITICAL_ENERGY_MEV = 32.8  # of electrons in argon
MOLIERE_RADIUS_CM = 9.0
HUGE = DetectorVolume((-400.0, -400.0, -400.0), (400.0, 400.0, 400.0))


def run(pdg: int, energy_mev: float, n: int, flags: int = 0) -> Deposits:
    """n showers that start at the origin along z."""
    way = np.tile([0.0, 0.0, 1.0], (n, 1))
    event = np.arange(n, dtype=np.int32)
    start = emit(event, pdg, flags, np.full(n, energy_mev), np.zeros((n, 3)), way)
    return showers.shower(np.random.default_rng(4), start, HUGE)


@pytest.fixture(scope="module")
def electron() -> Deposits:
    return run(c.ELECTRON_PDG, 1000.0, 300)


@pytest.fixture(scope="module")
def photon() -> Deposits:
    return run(c.PHOTON_PDG, 1000.0, 300)


def depth_of_maximum(result: Deposits) -> float:
    """In radiation lengths, from a cubic through the top of the depth profile."""
    depth = (result.start_cm + result.end_cm)[:, 2] / 2 / c.RADIATION_LENGTH_CM
    energy, edges = np.histogram(depth, np.arange(0, 20, 0.25), weights=result.energy_mev)
    middle = (edges[1:] + edges[:-1]) / 2
    top = np.abs(middle - middle[energy.argmax()]) < 3.0
    fit = np.polynomial.Polynomial.fit(middle[top], energy[top], 3)
    fine = np.linspace(*fit.domain, 500)
    return float(fine[fit(fine).argmax()])


def test_electron_showers_peak_at_ln_e_over_ec_less_a_half(electron: Deposits) -> None:
    expected = np.log(1000.0 / CRITICAL_ENERGY_MEV) - 0.5
    assert depth_of_maximum(electron) == pytest.approx(expected, abs=0.5)


def test_photon_showers_peak_at_ln_e_over_ec_plus_a_half(photon: Deposits) -> None:
    expected = np.log(1000.0 / CRITICAL_ENERGY_MEV) + 0.5
    assert depth_of_maximum(photon) == pytest.approx(expected, abs=0.5)


def test_photon_showers_begin_later(electron: Deposits, photon: Deposits) -> None:
    def mean_depth(found: Deposits) -> float:
        return float(np.average(found.start_cm[:, 2], weights=found.energy_mev))

    later = (mean_depth(photon) - mean_depth(electron)) / c.RADIATION_LENGTH_CM
    assert later == pytest.approx(1.0, abs=0.4)


def test_energy_is_neither_made_nor_lost(electron: Deposits) -> None:
    each = np.bincount(electron.event, electron.energy_mev) / 1000.0
    # The mass of each pair, an MeV, is not seen again: positrons do not annihilate here.
    assert each.max() <= 1.0 + 1e-9
    assert each.mean() == pytest.approx(0.97, abs=0.02)


def test_showers_are_as_wide_as_moliere_says(electron: Deposits) -> None:
    radius = np.hypot(electron.start_cm[:, 0], electron.start_cm[:, 1])
    inside = electron.energy_mev[radius < MOLIERE_RADIUS_CM].sum() / electron.energy_mev.sum()
    assert inside == pytest.approx(0.88, abs=0.05)


def test_pairs_convert_after_nine_sevenths_of_a_radiation_length() -> None:
    assert 1 / showers.pair_per_cm(np.array([1e5]))[0] == pytest.approx(18.0, rel=0.02)


def test_photons_attenuate_as_tables_say() -> None:
    # Total attenuation of argon without the photoelectric effect, cm2/g, at 1, 10 and 100 MeV.
    energy = np.array([1.0, 10.0, 100.0])
    result = (showers.compton_per_cm(energy) + showers.pair_per_cm(energy)) / c.DENSITY_G_CM3
    assert result == pytest.approx([0.0572, 0.0300, 0.0339], rel=0.05)


def test_radiation_takes_one_energy_per_radiation_length() -> None:
    rng = np.random.default_rng(5)
    energy = np.full(100_000, 1e4)
    share = showers.brems_fraction(rng, energy)
    lost = share.mean() * showers.brems_per_cm(energy[:1])[0] * c.RADIATION_LENGTH_CM
    assert lost == pytest.approx(1.0, rel=0.02)


def test_michel_electrons_end_at_52_8_mev_and_average_seven_tenths_of_it() -> None:
    energy = showers.michel_energy_mev(np.random.default_rng(6), 200_000)
    assert energy.max() <= c.MICHEL_ENDPOINT_MEV
    assert energy.max() > 0.99 * c.MICHEL_ENDPOINT_MEV
    assert energy.mean() == pytest.approx(0.7 * c.MICHEL_ENDPOINT_MEV, rel=0.005)


def test_the_michel_mark_stays_with_the_electron_itself() -> None:
    results = run(c.ELECTRON_PDG, 50.0, 200, FLAG_MICHEL)
    marked = results.flags & FLAG_MICHEL != 0
    assert 0.5 < results.energy_mev[marked].sum() / results.energy_mev.sum() < 0.95
    distance = np.linalg.norm(results.start_cm, axis=1)
    assert distance[marked].max() < 30.0 < distance[~marked].max()
