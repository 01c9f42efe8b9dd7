# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Waveforms, calorimeters and toy jets: seeds, shapes, and the physics that each is for."""

import numpy as np
import pytest

from edgeinfer.base.metrics import auc
from edgeinfer.lartpc import calorimeter, jets, waveforms
from edgeinfer.lartpc.calorimeter import generate_showers
from edgeinfer.lartpc.jets import JetSettings, generate_jets
from edgeinfer.lartpc.waveforms import WaveformSettings, generate_waveforms, noise, response


@pytest.fixture(scope="module")
def showers() -> calorimeter.Showers:
    return generate_showers(1, 600)


@pytest.mark.parametrize(
    ("generate", "settings"),
    [
        (generate_waveforms, (WaveformSettings(),)),
        (generate_showers, ()),
        (generate_jets, (JetSettings(),)),
    ],
    ids=["waveforms", "showers", "jets"],
)
def test_the_same_seed_gives_the_same_arrays(generate, settings) -> None:  # type: ignore[no-untyped-def]
    first, again, other = (generate(seed, 50, *settings) for seed in (1, 1, 2))
    for name in first.__slots__:
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    data = first.__slots__[0]
    assert not np.array_equal(getattr(first, data), getattr(other, data))


@pytest.mark.parametrize("plane", ["induction", "collection"])
def test_responses_have_the_sign_of_their_plane(plane: waveforms.Plane) -> None:
    result = response(plane)
    assert np.abs(result).max() == pytest.approx(1.0)
    if plane == "collection":
        assert result.min() > -1e-9
    else:
        assert result.min() < -0.3 and result.max() > 0.3
        assert abs(result.sum()) < 0.02 * np.abs(result).sum()


def test_noise_has_unit_spread() -> None:
    assert noise(np.random.default_rng(3), 4000).std() == pytest.approx(1.0, rel=0.02)


def test_waveforms_hold_faint_and_plain_signals() -> None:
    result = generate_waveforms(4, 8000, WaveformSettings())
    signal = result.signal[:, 0] > 0
    assert result.x.shape == (8000, 200, 1)
    assert signal.mean() == pytest.approx(0.5, abs=0.02)
    assert (result.charge_electrons > 0).tolist() == signal.tolist()
    # A plain threshold finds most, not all: something is left for a network to learn.
    assert 0.85 < auc(np.ptp(result.x[..., 0], axis=1), signal) < 0.96
    quiet = result.x[~signal] * 32 * 150
    assert quiet.std() == pytest.approx(600, rel=0.05)


def test_coherent_noise_is_shared_by_an_event() -> None:
    settings = WaveformSettings(signal_share=0.0, windows_per_event=2)
    x = generate_waveforms(5, 4000, settings).x[..., 0]
    pairs, strangers = np.mean(x[::2] * x[1::2]), np.mean(x[:-2:2] * x[3::2])
    assert pairs / x.var() == pytest.approx(settings.coherent_share**2, rel=0.15)
    assert abs(strangers / x.var()) < 0.02


def test_calorimeters_see_the_energy_in_proportion(showers: calorimeter.Showers) -> None:
    seen = (showers.ecal.sum((1, 2, 3)) + showers.hcal.sum((1, 2, 3))) * calorimeter.SCALE_GEV
    kind = showers.label.argmax(axis=1)
    ratio = seen / showers.energy_gev[:, 0]
    for index in (calorimeter.ELECTRON, calorimeter.GAMMA, calorimeter.PI0):
        assert ratio[kind == index].mean() == pytest.approx(1.0, abs=0.03)
        assert ratio[kind == index].std() < 0.05
    pions = ratio[kind == calorimeter.PION]
    assert 0.75 < pions.mean() < 0.98
    assert pions.std() > 0.03


def test_pions_go_deep_and_photons_start_late(showers: calorimeter.Showers) -> None:
    kind = showers.label.argmax(axis=1)
    layers = np.arange(25)
    depth = (showers.ecal.sum((1, 2)) @ layers) / showers.ecal.sum((1, 2, 3)).clip(1e-6)
    behind = showers.hcal.sum((1, 2, 3)) / (showers.ecal.sum((1, 2, 3)) + 1e-6)
    electron, gamma = kind == calorimeter.ELECTRON, kind == calorimeter.GAMMA
    assert depth[gamma].mean() > depth[electron].mean() + 0.5
    assert np.median(behind[kind == calorimeter.PION]) > 3 * np.median(behind[electron])


def test_the_maximum_of_a_shower_grows_with_the_logarithm_of_its_energy() -> None:
    edges = np.linspace(0, 25, 501)
    energy = np.array([10.0, 100.0])
    depth = calorimeter.electromagnetic_depth(energy, np.zeros(2), np.full(2, -0.5), edges)
    peak = (edges[:-1] + edges[1:])[depth.argmax(axis=1)] / 2
    assert peak == pytest.approx(np.log(energy / 0.008) - 0.5, abs=0.1)
    assert depth.sum(axis=1) == pytest.approx(energy, rel=0.06)


def test_jets_are_five_kinds_of_about_unit_spread() -> None:
    result = generate_jets(6, 5000, JetSettings())
    assert result.x.shape == (5000, len(jets.FEATURES)) == (5000, 16)
    assert result.label.mean(axis=0) == pytest.approx([0.2] * 5, abs=0.03)
    assert result.x.std(axis=0).min() > 0.3 and result.x.std(axis=0).max() < 3
    top = result.label[:, jets.CLASSES.index("top")] == 1
    assert auc(result.x[:, jets.FEATURES.index("mass")], top) > 0.7
