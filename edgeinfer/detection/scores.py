# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How good detections are: average precision as COCO defines it, what is missed, what is fake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.detection.boxes import UNIT, Integers, intersections

Floats = NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of how much two boxes share
_RECALLS = np.linspace(0.0, 1.0, 101)
SURE = 0.5  # a score from which a detection counts as one


@dataclass(frozen=True, slots=True)
class Truth:
    """The particles of images: kinds (n, particles), 0 for none, and boxes in cells."""

    kind: Integers
    box: Integers


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """Figures of merit; None where there is nothing to judge."""

    map50: float | None  # mean over kinds of the average precision at half of the union
    map: float | None  # the same over ten parts of the union from 0.5 to 0.95
    missed: float | None  # share of particles without a detection of their kind
    fake: float | None  # share of detections without a particle of their kind


def box_shares(boxes: Integers, truth: Truth) -> Floats:
    """Intersection over union (n, detections, particles) of boxes in sixteenths of a cell."""
    shared, union = intersections(boxes, truth.box * UNIT)
    return np.asarray(shared / np.maximum(union, 1), np.float64)


def mask_shares(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Floats:
    """Intersection over union of masks (n, detections, rows, columns) and of the particles'."""
    detected, truth_flat = (
        each.reshape(*each.shape[:2], -1).astype(np.float32) for each in (masks, truth)
    )
    shared = (detected @ truth_flat.transpose(0, 2, 1)).astype(np.float64)
    union = detected.sum(axis=2)[:, :, None] + truth_flat.sum(axis=2)[:, None, :] - shared
    return np.asarray(shared / np.maximum(union, 1.0))


def match_detections(
    kind: Integers, score: Floats, shares: Floats, truth: Integers, least: Floats
) -> NDArray[np.bool_]:
    """Whether each detection (n, thresholds, detections) finds a particle of its kind that no
    surer one of the image has found: the one with which it shares most."""
    n, count = kind.shape
    free = np.ones((n, len(least), truth.shape[1]), bool)
    true = np.zeros((n, len(least), count), bool)
    same = (kind[:, :, None] == truth[:, None, :]) & (kind > 0)[:, :, None]
    shares = np.where(same, shares, -1.0)
    order = np.argsort(-score, axis=1, kind="stable")
    every = np.arange(n)
    last = truth.shape[1] - 1
    for place in range(count):
        number = order[:, place]
        open_shares = np.where(free, shares[every, number][:, None, :], -1.0)
        best = last - open_shares[..., ::-1].argmax(axis=-1)  # of equals the last, as COCO has it
        most = np.take_along_axis(open_shares, best[..., None], axis=-1)[..., 0]
        hit = most >= least
        true[every, :, number] = hit
        at_best = np.arange(last + 1) == best[..., None]
        free &= ~(at_best & hit[..., None])
    return true


def average_precision(true: NDArray[np.bool_], score: Floats, truth_count: int) -> float:
    """The mean, over 101 recalls, of the highest precision at that recall or above."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(true[order])
    if not truth_count or not hits.size:
        return 0.0
    recall = hits / truth_count
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, _RECALLS, side="left")
    is_reached = place < len(recall)
    return float(np.where(is_reached, precision[np.minimum(place, len(recall) - 1)], 0.0).mean())


def precisions(
    kind: Integers, score: Floats, shares: Floats, truth: Integers, least: Floats
) -> Floats:
    """Average precision (kinds that occur, thresholds)."""
    true = match_detections(kind, score, shares, truth, least)
    kinds = [int(each) for each in np.unique(truth) if each > 0]
    values = np.zeros((len(kinds), len(least)))
    for row, each in enumerate(kinds):
        mine = kind == each
        total = int((truth == each).sum())
        for column in range(len(least)):
            values[row, column] = average_precision(true[:, column][mine], score[mine], total)
    return values


def score_detections(
    kind: Integers, score: Floats, shares: Floats, truth: Integers
) -> DetectionScores:
    """All figures; `shares`: of boxes, or of masks."""
    table = precisions(kind, score, shares, truth, THRESHOLDS)
    sure = np.where(score >= SURE, kind, 0)
    true = match_detections(sure, score, shares, truth, THRESHOLDS[:1])[:, 0]
    particles, detections = int((truth > 0).sum()), int((sure > 0).sum())
    hits = int(true.sum())
    return DetectionScores(
        float(table[:, 0].mean()) if table.size else None,
        float(table.mean()) if table.size else None,
        1 - hits / particles if particles else None,
        1 - hits / detections if detections else None,
    )
