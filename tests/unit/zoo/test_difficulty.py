# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The simulated task must not give its answer away to whoever only counts charge."""

from __future__ import annotations

import numpy as np

from edgeinfer.base.metrics import auc
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.entry import EventSamples
from reports.make.guard import LIMIT_AUC, coarse_features, fit_logistic, linear_guard_auc


def test_sum_maximum_and_occupancy_tell_little_of_track_and_shower():
    samples = ENTRIES["hit-tagger-pooled"].data(11, 4000)
    assert linear_guard_auc(samples) <= LIMIT_AUC


def test_the_guard_would_notice():
    """The same patches, made trivially separable: showers a tenth brighter than they are."""
    samples = ENTRIES["hit-tagger-pooled"].data(11, 2000)
    em = samples.targets["label"][:, 1] > 0
    images = samples.inputs["image"].copy()
    images[em] += 0.1
    assert (
        linear_guard_auc(EventSamples({"image": images}, samples.targets, samples.event))
        > LIMIT_AUC
    )


def test_the_regression_finds_the_most_likely_weights():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50_000, 3))
    expected = np.array([1.0, -0.5, 0.0, 0.3])
    chance = 1 / (1 + np.exp(-(features @ expected[:3] + expected[3])))
    result = fit_logistic(features, rng.random(50_000) < chance)
    np.testing.assert_allclose(result, expected, atol=0.05)


def test_features_are_what_their_names_say():
    images = np.zeros((3, 48, 48, 1), np.float32)
    images[1, :10, 0] = 0.5
    images[2, 0, 0] = 1.0
    total, highest, occupied = coarse_features(images).T
    assert total.argsort().tolist() == [0, 2, 1]
    assert highest.argsort().tolist() == [0, 1, 2]
    assert occupied.argsort().tolist() == [0, 2, 1]


def test_a_patch_centre_alone_does_not_tell_track_from_shower():
    samples = ENTRIES["hit-tagger-pooled"].data(12, 4000)
    truth = samples.targets["label"]
    here = truth[:, 2] == 0
    result = auc(samples.inputs["image"][here, 24, 24, 0], truth[here, 0] > 0)
    assert result is not None
    assert max(result, 1 - result) <= LIMIT_AUC
