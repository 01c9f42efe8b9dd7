# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How hard the tasks are for networks trained afresh, and how fast their samples are made.

The windows are estimates of an honest difficulty, not a detector's performance.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edgeinfer.base.metrics import auc
from edgeinfer.lartpc.patches import PatchSettings, generate_patches
from edgeinfer.lartpc.profiles import ProfileSettings, generate_profiles
from edgeinfer.lartpc.waveforms import WaveformSettings, generate_waveforms
from edgeinfer.zoo.catalog import EM, TRACK


def rate_per_s(make: Callable[[], object], n: int) -> float:
    """The best of three runs, in samples per second of one core's time."""
    best = np.inf
    for _ in range(3):
        begin = time.process_time()
        make()
        best = min(best, time.process_time() - begin)
    return n / best


@pytest.mark.slow
def test_two_thousand_patches_a_second() -> None:
    assert rate_per_s(lambda: generate_patches(1, 4608, PatchSettings()), 4608) >= 2000


def test_ten_thousand_profiles_a_second() -> None:
    assert rate_per_s(lambda: generate_profiles(1, 10_000, ProfileSettings()), 10_000) >= 10_000


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_pooled_tagger_lands_in_its_windows() -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.zoo.builders import hit_tagger_pooled

    keras.utils.set_random_seed(1)
    data = generate_patches(11, 40_000, PatchSettings())
    model = hit_tagger_pooled()
    losses = {"label": "categorical_crossentropy", "michel": "binary_crossentropy"}
    rate = keras.optimizers.schedules.CosineDecay(1.5e-3, 24 * 157)
    model.compile(keras.optimizers.Adam(rate), losses)
    targets = {"label": data.label, "michel": data.michel}
    for epoch in range(24):
        image = data.x[:, :, ::-1] if epoch % 2 else data.x
        model.fit(image, targets, batch_size=256, epochs=1, verbose=0)
    fresh = generate_patches(12, 20_000, PatchSettings())
    label, michel = model.predict(fresh.x, batch_size=1000, verbose=0)
    truth = fresh.label.argmax(axis=1)
    hits = truth != 2
    score = label[:, TRACK] / (label[:, TRACK] + label[:, EM] + 1e-9)
    assert 0.95 <= auc(score[hits], truth[hits] == TRACK) <= 0.985
    assert 0.95 <= auc(michel[:, 0], fresh.michel[:, 0] > 0) <= 0.99


@pytest.mark.slow
def test_track_identification_lands_in_its_windows() -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.zoo.builders import track_pid

    keras.utils.set_random_seed(1)
    data, fresh = (generate_profiles(s, 30_000, ProfileSettings()) for s in (1, 2))
    model = track_pid()
    model.compile("adam", "categorical_crossentropy")
    model.fit([data.profile, data.scalars], data.label, batch_size=256, epochs=12, verbose=0)
    score = model.predict([fresh.profile, fresh.scalars], batch_size=2000, verbose=0)
    truth = fresh.label.argmax(axis=1)

    def pair(first: int, second: int) -> float | None:
        rows = (truth == first) | (truth == second)
        share = score[rows, first] / (score[rows, first] + score[rows, second] + 1e-9)
        return auc(share, truth[rows] == first)

    muon, pion, proton = range(3)
    assert pair(proton, muon) > 0.99
    assert 0.75 <= pair(muon, pion) <= 0.90


@pytest.mark.slow
def test_the_finder_of_signals_does_about_as_well_as_published_ones() -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.zoo.builders import roi_finder

    keras.utils.set_random_seed(1)
    data, fresh = (generate_waveforms(s, 20_000, WaveformSettings()) for s in (1, 2))
    model = roi_finder()
    model.compile("adam", "binary_crossentropy")
    model.fit(data.x, data.signal, batch_size=256, epochs=8, verbose=0)
    score = model.predict(fresh.x, batch_size=2000, verbose=0)[:, 0]
    assert 0.93 <= auc(score, fresh.signal[:, 0] > 0) <= 0.96
