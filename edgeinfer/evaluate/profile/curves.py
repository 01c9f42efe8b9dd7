# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Receiver operating characteristics, and how far areas and accuracies may be luck.

The interval of an area is DeLong's: each sample's influence on the area is known from its rank, and
the variance is the sum of their squares. Of two stages on the same samples the influences are
subtracted first, so what both share cancels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import metrics
from edgeinfer.evaluate.profile.data import Curve, Uncertain

Floats = NDArray[np.float64]
SIGMAS = 1.959964  # that a 95 % interval of a normal distribution reaches to either side
CLASS = "class "  # before the number of one, where nobody has named it
POINTS = 160  # of a curve that is drawn


def one_against_rest(values: Floats, labels: Floats) -> list[tuple[str, Floats, NDArray[np.bool_]]]:
    """For each class: its name, the scores, and which decisions are of that class."""
    scores, truth = metrics.scores_and_labels(values, labels)
    if scores.shape[1] == 1:
        return [("signal", scores[:, 0], truth == 1)]
    return [(f"{CLASS}{c}", scores[:, c], truth == c) for c in range(scores.shape[1])]


def curve(
    stage: str, output: str, label: str, scores: Floats, positive: NDArray[np.bool_]
) -> Curve | None:
    """The curve of one class against the rest; None where one of the two is missing."""
    area = metrics.auc(scores, positive)
    if area is None:
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.append(0, np.cumsum(positive[order])[ends]) / int(positive.sum())
    false = np.append(0, np.cumsum(~positive[order])[ends]) / int((~positive).sum())
    kept = _thin_points(false, hits)
    return Curve(
        stage=stage,
        output=output,
        label=label,
        auc=area,
        background=tuple(np.round(false[kept], 7).tolist()),
        signal=tuple(np.round(hits[kept], 7).tolist()),
    )


def _thin_points(false: Floats, hits: Floats) -> NDArray[np.intp]:
    """Points that are evenly far apart along the curve, the log of the background counted too."""
    if len(false) <= POINTS:
        return np.arange(len(false))
    smallest = max(float(false[false > 0].min(initial=1.0)), 1e-7)
    stretched = np.log(np.maximum(false, smallest)) / max(-math.log(smallest), 1e-9)
    steps = np.hypot(np.diff(false) + np.diff(stretched), np.diff(hits))
    along = np.append(0.0, np.cumsum(steps))
    spots = np.linspace(0.0, along[-1], POINTS)
    return np.unique(
        np.append(np.searchsorted(along, spots), len(false) - 1).clip(0, len(false) - 1)
    )


def influence(scores: Floats, positive: NDArray[np.bool_]) -> Floats | None:
    """By how much each decision moves the area; None where the labels cannot say."""
    ours, theirs = scores[positive], scores[~positive]
    if not ours.size or not theirs.size:
        return None
    won = _beats(ours, theirs)
    losing_share = 1.0 - _beats(theirs, ours)
    area = float(won.mean())
    moved = np.empty(len(scores))
    moved[positive] = (won - area) / ours.size
    moved[~positive] = (losing_share - area) / theirs.size
    return moved


def _beats(some: Floats, others: Floats) -> Floats:
    """Of each value, the share of the others that lie below it; equals count half."""
    order = np.sort(others)
    below, upto = np.searchsorted(order, some, "left"), np.searchsorted(order, some, "right")
    shares: Floats = (below + upto) / (2.0 * len(others))
    return shares


def macro_influence(values: Floats, labels: Floats) -> tuple[float, Floats] | None:
    """The area averaged over classes, and what each decision moves it by."""
    areas, moved = [], []
    for _, scores, positive in one_against_rest(values, labels):
        change = influence(scores, positive)
        area = metrics.auc(scores, positive)
        if change is not None and area is not None:
            areas.append(area)
            moved.append(change)
    if not areas:
        return None
    return float(np.mean(areas)), np.mean(moved, axis=0)


def by_sample(moved: Floats, sample: NDArray[np.intp], samples: int) -> Floats:
    """Decisions of one sample stand and fall together, so their influences are added."""
    summed: Floats = np.bincount(sample, moved, minlength=samples).astype(np.float64)
    return summed


def around(value: float, moved: Floats, *, least: float = 0.0, most: float = 1.0) -> Uncertain:
    """A value with the interval that the influences give."""
    half = SIGMAS * math.sqrt(float(np.sum(moved**2)))
    return Uncertain(value=value, low=max(value - half, least), high=min(value + half, most))


def share(hits: int, samples: int) -> Uncertain:
    """A share with Wilson's interval, which is honest near 0 and 1."""
    rate, squared = hits / samples, SIGMAS**2
    scale = 1.0 + squared / samples
    centre = (rate + squared / (2 * samples)) / scale
    half = SIGMAS * math.sqrt(rate * (1 - rate) / samples + squared / (4 * samples**2)) / scale
    low, high = min(centre - half, rate), max(centre + half, rate)
    return Uncertain(value=rate, low=max(low, 0.0), high=min(high, 1.0))


def paired_difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], sample: NDArray[np.intp]
) -> Uncertain:
    """The difference of two shares over the same decisions, each of a sample.

    The interval counts one more sample that only the first decides rightly, and one that only
    the second does (Bonett and Price): few samples that are decided alike prove little."""
    apart = first.astype(np.float64) - second
    value = float(apart.mean())
    owners, owner = np.unique(sample, return_inverse=True)
    size = len(apart) / len(owners)  # decisions of one sample stand and fall together
    moved = np.append(by_sample(apart / size, owner, len(owners)), (1.0, -1.0))
    centre, half = float(moved.mean()), SIGMAS * float(moved.std()) / math.sqrt(len(moved))
    low, high = min(centre - half, value), max(centre + half, value)
    return Uncertain(value=value, low=max(low, -1.0), high=min(high, 1.0))
