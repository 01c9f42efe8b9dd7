# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A watch on the simulation: what three numbers of a patch already tell must stay little.

If a logistic regression on the sum, the maximum and the occupancy of a patch separated tracks from
showers, no network trained on the simulation would have shown that it can see shapes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import auc
from edgeinfer.lartpc.split import split_by_event
from edgeinfer.zoo.catalog import EM, TRACK
from edgeinfer.zoo.entry import EventSamples

LIMIT_AUC = 0.85  # our estimate of an honest difficulty, no more
OCCUPIED = 0.1  # of the full scale: 3 ADC, some five times the noise
_NEWTON_STEPS = 25
_RIDGE = 1e-6


def coarse_features(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum, maximum and number of occupied pixels of each patch, to mean 0 and spread 1."""
    flat = images.reshape(len(images), -1)
    raw = np.stack(
        [flat.sum(axis=1, dtype=np.float64), flat.max(axis=1), (flat > OCCUPIED).sum(axis=1)],
        axis=1,
    )
    return (raw - raw.mean(axis=0)) / np.maximum(raw.std(axis=0), 1e-12)


def fit_logistic(features: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights and, last, the offset of the most likely logistic model, by Newton's method."""
    design = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    weights = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (truth - chance) - _RIDGE * weights
        bend = (design * (chance * (1 - chance))[:, None]).T @ design
        weights += np.linalg.solve(bend + _RIDGE * np.eye(weights.size), slope)
    return weights


def linear_guard_auc(samples: EventSamples, seed: int = 0) -> float:
    """How well that regression tells tracks from showers, on events that it has not seen."""
    truth = samples.targets["label"].argmax(axis=1)
    features = coarse_features(samples.inputs["image"])
    here = np.flatnonzero((truth == TRACK) | (truth == EM))
    teaching, judging = (
        here[part] for part in split_by_event(samples.event[here], (0.5, 0.5), seed)
    )
    weights = fit_logistic(features[teaching], truth[teaching] == TRACK)
    auc_value = auc(features[judging] @ weights[:-1], truth[judging] == TRACK)
    if auc_value is None:
        raise ValueError("the samples hold no track or no shower")
    return auc_value
