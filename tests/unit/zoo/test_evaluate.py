# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures of merit and their intervals mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.zoo.entry import EventSamples, Measure
from edgeinfer.zoo.evaluate import (
    BootstrapInterval,
    JudgedOutputs,
    intervals_of,
    outside_window,
    values_of,
)
from edgeinfer.zoo.measures import bias, distance, pair_auc, resolution


def judged(score: np.ndarray, truth: np.ndarray, event: np.ndarray) -> JudgedOutputs:
    return JudgedOutputs(
        {"side": np.stack([1 - score, score], axis=1)},
        EventSamples({}, {"side": np.eye(2, dtype=np.float32)[truth]}, event),
    )


def random_run(seed: int, n: int = 2000, per_event: int = 1) -> JudgedOutputs:
    rng = np.random.default_rng(seed)
    event = np.arange(n) // per_event
    truth = rng.integers(0, 2, n)
    shift = rng.normal(0, 1, n // per_event)[event]  # what the samples of an event have in common
    score = 1 / (1 + np.exp(-(truth + shift + rng.normal(0, 1, n))))
    return judged(score, truth, event)


def test_interval_holds_its_value_and_shrinks_with_samples(tiny):
    small = intervals_of(tiny, [random_run(1, 500)], seed=0)["auc"]
    large = intervals_of(tiny, [random_run(1, 8000)], seed=0)["auc"]
    assert small.low < small.value < small.high
    assert large.high - large.low < (small.high - small.low) / 2


def test_interval_covers_what_other_events_give(tiny):
    results = intervals_of(tiny, [random_run(1)], seed=0)["auc"]
    others = [values_of(tiny, random_run(seed))["auc"] for seed in range(2, 42)]
    sigma = (results.high - results.low) / 3.92
    assert np.std(others) == pytest.approx(sigma, rel=0.35)


def test_events_are_drawn_whole(tiny):
    """A label that all samples of an event share makes each event one observation, no more."""
    rng = np.random.default_rng(0)
    event = np.arange(2000) // 50
    truth = rng.integers(0, 2, 40)[event]
    score = np.clip(0.5 + 0.2 * (truth - 0.5) + rng.normal(0, 0.2, 40)[event], 0, 1)
    together = intervals_of(tiny, [judged(score, truth, event)], seed=0)["auc"]
    alone = intervals_of(tiny, [judged(score, truth, np.arange(2000))], seed=0)["auc"]
    assert together.high - together.low > 4 * (alone.high - alone.low)


def test_several_runs_are_averaged(tiny):
    runs = [random_run(seed) for seed in (1, 2, 3)]
    pooled = intervals_of(tiny, runs, seed=0)["auc"]
    single = intervals_of(tiny, runs[:1], seed=0)["auc"]
    assert pooled.value == pytest.approx(np.mean([values_of(tiny, run)["auc"] for run in runs]))
    assert pooled.high - pooled.low < single.high - single.low


def test_pair_auc_leaves_other_classes_out():
    outputs = {"h": np.array([[0.6, 0.1, 0.3], [0.1, 0.6, 0.3], [0.9, 0.05, 0.05], [0, 0, 1.0]])}
    targets = {"h": np.eye(3)[[0, 1, 2, 0]]}
    assert pair_auc("h", 0, 1)(outputs, targets) == 1.0
    assert pair_auc("h", 1, 0)(outputs, targets) == 1.0
    assert pair_auc("h", 0, 1)({"h": outputs["h"][[2]]}, {"h": targets["h"][[2]]}) is None


def test_resolution_and_bias_are_relative():
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 100, (20_000, 1))
    outputs = {"energy": truth * (1.05 + 0.1 * rng.normal(size=truth.shape))}
    assert resolution("energy")(outputs, {"energy": truth}) == pytest.approx(0.1, rel=0.05)
    assert bias("energy")(outputs, {"energy": truth}) == pytest.approx(0.05, abs=0.005)


def test_windows_speak_only_when_missed():
    measure = Measure("auc", "", lambda outputs, targets: None, (0.95, 0.985), alarm_above=0.995)
    assert outside_window(measure, BootstrapInterval(0.97, 0.96, 0.98)) == ""
    assert outside_window(measure, BootstrapInterval(0.945, 0.94, 0.951)) == ""
    assert "outside the window" in outside_window(measure, BootstrapInterval(0.93, 0.92, 0.94))
    assert "gives its answer away" in outside_window(
        measure, BootstrapInterval(0.997, 0.996, 0.998)
    )


def test_a_distance_holds_its_share_of_the_samples():
    rng = np.random.default_rng(3)
    truth = {name: rng.normal(size=(4000, 1)).astype(np.float32) for name in ("x", "y")}
    results = {name: values + rng.normal(size=values.shape) for name, values in truth.items()}
    within = distance(("x", "y"), 2.0, 0.5)(results, truth)  # of a Rayleigh distribution
    assert within == pytest.approx(2.0 * np.sqrt(2 * np.log(2)), rel=0.05)
    assert distance(("x", "y"), 2.0, 0.5)(truth, truth) == 0.0
