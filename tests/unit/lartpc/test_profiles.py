# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Track profiles: preparation and normalisation by the rules, physics in the right places."""

import numpy as np
import pytest

from edgeinfer.base.metrics import auc
from edgeinfer.lartpc.profiles import (
    PADDING_SEED,
    POINTS,
    Profiles,
    ProfileSettings,
    generate_profiles,
    prepare,
)

MUON, PION, PROTON = 0, 1, 2


@pytest.fixture(scope="module")
def tracks() -> Profiles:
    return generate_profiles(1, 12_000, ProfileSettings())


def test_the_same_seed_gives_the_same_arrays(tracks: Profiles) -> None:
    again = generate_profiles(1, 12_000, ProfileSettings())
    for name in Profiles.__slots__:
        assert np.array_equal(getattr(tracks, name), getattr(again, name)), name


def test_shapes_and_ranges(tracks: Profiles) -> None:
    assert tracks.profile.shape == (12_000, 100, 1)
    assert tracks.scalars.shape == (12_000, 7)
    assert tracks.label.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert tracks.profile.max() <= 1 and tracks.scalars.max() <= 1
    assert tracks.hits.min() >= 50
    assert (np.bincount(tracks.event) == 3).all()


def test_normalisation() -> None:
    result = generate_profiles(2, 300, ProfileSettings())
    dedx, raw = result.dedx_mev_cm, result.raw_scalars
    expected = np.minimum(np.log(2 * dedx) + 1, 5) / 2.5 - 1
    assert result.profile[..., 0] == pytest.approx(expected, abs=1e-5)
    caps = np.array([5, 5, 5, 0, 3, 0.05, 0.3])
    for column in (0, 1, 2, 4, 5, 6):
        want = np.minimum(raw[:, column], caps[column]) / (caps[column] / 2) - 1
        assert result.scalars[:, column] == pytest.approx(want, abs=1e-5)
    want = np.minimum(np.log(2 * raw[:, 3]) + 1, 5) / 2.5 - 1
    assert result.scalars[:, 3] == pytest.approx(want, abs=1e-5)


def test_short_profiles_are_padded_at_the_front_alike_every_time() -> None:
    rng = np.random.default_rng(0)
    dedx = rng.uniform(1.5, 3.0, (4, POINTS))
    hits = np.array([50, 99, 100, 70])
    result, mean, sigma = prepare(dedx, hits)
    for row, count in enumerate(hits):
        assert np.array_equal(result[row, POINTS - count :], dedx[row, POINTS - count :])
        window = dedx[row, POINTS - 32 : POINTS - 16]
        assert mean[row] == pytest.approx(window.mean())
        assert sigma[row] == pytest.approx(window.std())
        normal = np.random.default_rng(PADDING_SEED).standard_normal(200)
        draws = mean[row] + sigma[row] * normal
        expected = draws[draws > 0][: POINTS - count]
        assert result[row, : POINTS - count] == pytest.approx(expected)
    alone, _, _ = prepare(dedx[3:], hits[3:])
    assert np.array_equal(alone[0], result[3])


def test_readings_are_clamped_and_jumps_replaced() -> None:
    dedx = np.full((1, POINTS), 2.0)
    dedx[0, 40], dedx[0, 60], dedx[0, 99] = 800.0, -3.0, 5000.0
    result, _, _ = prepare(dedx, np.array([POINTS]))
    assert result[0, 40] == pytest.approx(2.0)
    assert result[0, 60] == 1e-3
    assert result[0, 99] == 1000.0


def test_stopping_muons_and_protons_rise_as_their_residual_range_says() -> None:
    settings = ProfileSettings(missed_end_cm=0.0, pitch_cm=(0.5, 0.5), overlap_chance=0.0)
    result = generate_profiles(3, 9000, settings)
    kind = result.label.argmax(axis=1)
    # Residual range 5 cm is between the tenth and the eleventh point from the end.
    around = result.dedx_mev_cm[:, POINTS - 12 : POINTS - 8].mean(axis=1)
    # Tracks that broke or interacted miss the rise: the upper half holds those that stop.
    muons, protons = around[kind == MUON], around[kind == PROTON]
    assert np.quantile(muons, 0.7) == pytest.approx(3.7, rel=0.06)
    assert np.quantile(protons, 0.7) == pytest.approx(8.8, rel=0.06)


def test_protons_are_told_from_muons_and_pions_are_not_so_easily(tracks: Profiles) -> None:
    kind = tracks.label.argmax(axis=1)
    mean = tracks.dedx_mev_cm[:, -40:].mean(axis=1)
    heavy, light = kind == PROTON, kind == MUON
    assert auc(mean[heavy | light], heavy[heavy | light]) > 0.9
    muon_or_pion = kind != PROTON
    for column in range(7):
        result = auc(tracks.raw_scalars[muon_or_pion, column], kind[muon_or_pion] == PION)
        assert 0.15 < result < 0.85
