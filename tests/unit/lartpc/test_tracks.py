# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Heavy particles: energy counted once, stops where ranges say, what is set free."""

import numpy as np
import pytest

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import (
    FLAG_DELTA,
    FLAG_MICHEL,
    Deposits,
    DetectorVolume,
    Particles,
    emit,
)
from edgeinfer.lartpc.ranges import range_cm
from edgeinfer.lartpc.tracks import TrackSettings, follow

HUGE = DetectorVolume((-400.0, -400.0, -400.0), (400.0, 400.0, 400.0))


def run(pdg: int, energy_mev: float, n: int, **changes: float) -> tuple[Deposits, Particles]:
    """n particles from the origin along z."""
    event, way = np.arange(n, dtype=np.int32), np.tile([0.0, 0.0, 1.0], (n, 1))
    start = emit(event, pdg, 0, np.full(n, energy_mev), np.zeros((n, 3)), way)
    return follow(np.random.default_rng(8), start, HUGE, TrackSettings(**changes))


@pytest.mark.parametrize("cut_mev", [0.5, 3.0])
def test_track_and_delta_rays_together_hold_the_energy_once(cut_mev: float) -> None:
    energy, n = 300.0, 300
    results, free = run(c.MUON.pdg, energy, n, delta_cut_mev=cut_mev)
    delta = free.flags & FLAG_DELTA != 0
    assert free.kinetic_mev[delta].min() >= cut_mev
    total = results.energy_mev.sum() + free.kinetic_mev[delta].sum()
    assert total / n == pytest.approx(energy, rel=0.01)
    assert free.kinetic_mev[delta].sum() / n > 1.0


def test_muons_stop_after_their_range_and_make_michel_electrons() -> None:
    results, free = run(c.MUON.pdg, 150.0, 400)
    path = np.bincount(results.event, results.path_cm)
    assert path.mean() == pytest.approx(float(range_cm(c.MUON, 150.0)), rel=0.01)
    assert path.std() == pytest.approx(0.015 * path.mean(), rel=0.2)
    michel = free[free.flags & FLAG_MICHEL != 0]
    assert len(michel) / 400 == pytest.approx(1 - c.MUON_CAPTURE_FRACTION, abs=0.07)
    ends = np.zeros((400, 3))
    ends[results.event] = results.end_cm  # the last segment of each stays
    # The electron waits for the muon's decay, during which nothing moves but the drift.
    waited = michel.position_cm - ends[michel.event]
    assert np.abs(waited[:, 1:]).max() < 1e-9
    expected = c.MUON_LIFETIME_US * c.DRIFT_VELOCITY_CM_US
    assert waited[:, 0].mean() == pytest.approx(expected, rel=0.2)


def test_pions_interact_once_a_metre_and_muons_never() -> None:
    energy, n = 400.0, 2000
    pions, free = run(c.PION.pdg, energy, n)
    full = 0.93 * range_cm(c.PION, energy)
    stopped = np.bincount(pions.event, pions.path_cm, n) > full
    assert stopped.mean() == pytest.approx(np.exp(-full / c.PION.interaction_cm), abs=0.04)
    assert np.count_nonzero(np.abs(free.pdg) == c.PROTON.pdg) > 0.3 * n
    muons, _ = run(c.MUON.pdg, energy, 200)
    reach = min(float(range_cm(c.MUON, energy)), TrackSettings().longest_cm)
    assert np.bincount(muons.event, muons.path_cm).min() > 0.9 * reach


def test_pi_plus_at_rest_becomes_a_muon_of_4_mev() -> None:
    _, free = run(c.PION.pdg, 20.0, 200)
    muons = free[free.pdg == -c.MUON.pdg]
    assert len(muons) > 150
    assert muons.kinetic_mev == pytest.approx(np.full(len(muons), 4.12), abs=0.01)


def test_dedx_near_the_stop_is_that_of_the_residual_range() -> None:
    results, free = run(c.PROTON.pdg, 150.0, 400)
    delta = free[free.flags & FLAG_DELTA != 0]
    assert len(delta) == 0  # no proton of this energy can make one above the cut
    stops = np.zeros(400)
    np.maximum.at(stops, results.event, results.end_cm[:, 2])
    whole = np.bincount(results.event, results.path_cm) > 0.9 * range_cm(c.PROTON, 150.0)
    left = stops[results.event] - (results.start_cm + results.end_cm)[:, 2] / 2
    near = (np.abs(left - 5.0) < 0.5) & whole[results.event]
    dedx = results.energy_mev[near].sum() / results.path_cm[near].sum()
    assert dedx == pytest.approx(8.8, rel=0.03)
