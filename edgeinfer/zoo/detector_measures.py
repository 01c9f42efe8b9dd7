# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures of merit of the detector: of what its networks say, and of what it finds in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeinfer.detection.boxes import EDGE_CELLS, PROPOSALS, refine_boxes
from edgeinfer.detection.detector import Detections, decide
from edgeinfer.detection.scores import DetectionScores, Truth, box_shares, score_detections
from edgeinfer.zoo.detector_builders import IMAGE_SIDE
from edgeinfer.zoo.entry import Arrays, Outputs

_FRAC = 12  # bits behind the point of a float network's outputs
_LEAST_SHARE = 1e-9


def edge_error(outputs: Outputs, targets: Arrays) -> float | None:
    """Mean distance, in cells, between proposed edges and the true ones, where there are any."""
    there = targets["edges"] >= 0
    if not there.any():
        return None
    away = np.abs(outputs["edges"][there] - targets["edges"][there])
    return float(away.mean(dtype=np.float64)) * EDGE_CELLS


def mask_share(outputs: Outputs, targets: Arrays) -> float | None:
    """Mean, over crops with a particle, of the part that mask and truth share of their union."""
    there = targets["mask"].reshape(len(targets["mask"]), -1)
    rows = there[:, 0] >= 0
    truth = there[rows] > 0.5
    predicted = outputs["mask"].reshape(there.shape)[rows] > 0.5
    union = (truth | predicted).sum(axis=1)
    if not rows.any():
        return None
    return float(((truth & predicted).sum(axis=1) / np.maximum(union, 1)).mean())


def whole_figure(
    figure: Literal["map50", "map", "missed", "fake"],
) -> Callable[[Outputs, Arrays], float | None]:
    """A figure of the whole detector, by boxes; the crops are all the proposals of images, one
    image after the other."""

    def of(outputs: Outputs, targets: Arrays) -> float | None:
        value: float | None = getattr(_SCORED.score(outputs, targets), figure)
        return value

    return of


@dataclass(slots=True)
class _ScoredOutputs:
    """The last outputs that were scored: several figures of the same are asked for in a row, a
    bootstrap asks for hundreds."""

    outputs: Outputs | None = None
    scores: DetectionScores | None = None

    def score(self, outputs: Outputs, targets: Arrays) -> DetectionScores:
        if outputs is not self.outputs or self.scores is None:
            detections, truth_boxes = _decide_crops(outputs, targets)
            shares = box_shares(detections.box, truth_boxes)
            self.scores = score_detections(
                detections.kind, detections.score, shares, truth_boxes.kind
            )
            self.outputs = outputs
        return self.scores


_SCORED = _ScoredOutputs()


def _decide_crops(outputs: Outputs, targets: Arrays) -> tuple[Detections, Truth]:
    """What the host makes of the outputs for crops; of an image that is cut short, nothing."""
    images = len(outputs["kind"]) // PROPOSALS
    crops = images * PROPOSALS

    def stack(values: np.ndarray) -> np.ndarray:
        return values[:crops].reshape(images, PROPOSALS, *values.shape[1:])

    shares = stack(outputs["kind"]).astype(np.float64)
    logits = np.rint(np.log(np.maximum(shares, _LEAST_SHARE)) * 2**_FRAC).astype(np.int64)
    edges = np.rint(stack(outputs["edges"]) * 2.0**_FRAC).astype(np.int64)
    boxes = refine_boxes(stack(targets["window"]).astype(np.int64), edges, _FRAC, IMAGE_SIDE)
    kind, margin, box, _ = decide(logits, _FRAC, boxes)
    none = np.zeros((images, 0, 0, 0), bool)
    particles, true_boxes = (
        stack(targets[name])[:, 0].astype(np.int64) for name in ("particles", "boxes")
    )
    return Detections(kind, margin, box, none, _FRAC), Truth(particles, true_boxes)
