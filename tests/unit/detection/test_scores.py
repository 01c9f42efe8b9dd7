# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Average precision is COCO's: held against pycocotools on random detections."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools import coco
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval

from edgeinfer.detection.boxes import UNIT
from edgeinfer.detection.scores import (
    THRESHOLDS,
    Truth,
    average_precision,
    box_shares,
    mask_shares,
    precisions,
    score_detections,
)

KINDS, SIDE = 3, 24


def draw(seed: int, images: int = 12, particles: int = 4, result: int = 9):
    """Particles, and detections near them and elsewhere, some of equal scores."""
    rng = np.random.default_rng(seed)
    expected = rng.integers(0, KINDS + 1, (images, particles))
    low = rng.integers(0, SIDE - 8, (images, particles, 2))
    box = np.concatenate([low, low + rng.integers(2, 9, low.shape)], axis=-1)
    mine = rng.integers(0, particles, (images, result))
    rows = np.arange(images)[:, None]
    kind = np.where(
        rng.random(mine.shape) < 0.7, expected[rows, mine], rng.integers(0, 4, mine.shape)
    )
    moved = box[rows, mine] * UNIT + rng.integers(-12, 13, (images, result, 4))
    moved[..., 2:] = np.maximum(moved[..., 2:], moved[..., :2] + UNIT)
    score = rng.integers(1, 30, mine.shape) / 30
    return Truth(expected, box), kind, np.where(kind > 0, score, 0.0), moved


def coco_precisions(truth: Truth, kind, score, boxes, masks=None, true_masks=None):
    def entry(image, number, label, box, mask):
        top, left, bottom, right = (float(end) for end in box)
        size = (right - left) * (bottom - top)
        results = {
            "id": number, "image_id": image + 1, "category_id": int(label), "iscrowd": 0,
            "bbox": [left, top, right - left, bottom - top], "area": size,
        }  # fmt: skip
        if mask is not None:
            results["segmentation"] = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        return results

    def listed(kinds, boxes, masks, scores=None):
        rows = []
        for image, place in zip(*np.nonzero(kinds), strict=True):
            mask = None if masks is None else masks[image, place]
            row = entry(image, len(rows) + 1, kinds[image, place], boxes[image, place], mask)
            if scores is not None:
                row["score"] = float(scores[image, place])
            rows.append(row)
        return rows

    with contextlib.redirect_stdout(io.StringIO()):
        data = coco.COCO()
        data.dataset = {
            "info": {},
            "images": [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(kind))],
            "categories": [{"id": k} for k in range(1, KINDS + 1)],
            "annotations": listed(truth.kind, truth.box, true_masks),
        }
        data.createIndex()
        order = np.argsort(-score, axis=1, kind="stable")
        rows = np.arange(len(kind))[:, None]
        ordered = None if masks is None else masks[rows, order]
        answers = listed(kind[rows, order], boxes[rows, order] / UNIT, ordered, score[rows, order])
        judge = COCOeval(data, data.loadRes(answers), "bbox" if masks is None else "segm")
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, 2].mean(axis=1).T  # (kinds, thresholds)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_judged_as_coco_judges_them(seed):
    truth, kind, score, boxes = draw(seed)
    shares = box_shares(boxes, truth)
    result = precisions(kind, score, shares, truth.kind, THRESHOLDS)
    np.testing.assert_allclose(result, coco_precisions(truth, kind, score, boxes), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_judged_as_coco_judges_them(seed):
    truth, kind, score, boxes = draw(seed)
    rng = np.random.default_rng(seed)
    inside = np.arange(SIDE)

    def fill(each):
        ends = [each[..., side, None] for side in range(4)]
        rows = (inside >= ends[0]) & (inside < ends[2])
        columns = (inside >= ends[1]) & (inside < ends[3])
        whole = rows[..., :, None] & columns[..., None, :]
        return whole & (rng.random(whole.shape) < 0.9)

    true_masks, masks = fill(truth.box), fill(boxes // UNIT)
    result = precisions(kind, score, mask_shares(masks, true_masks), truth.kind, THRESHOLDS)
    expected = coco_precisions(truth, kind, score, boxes, masks, true_masks)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_what_is_missed_and_what_is_fake():
    truth = Truth(np.array([[1, 2, 0]]), np.array([[[0, 0, 4, 4], [8, 8, 12, 12], [0, 0, 0, 0]]]))
    boxes = np.array([[[0, 0, 4, 4], [0, 0, 4, 4], [8, 8, 12, 12], [8, 8, 12, 12]]]) * UNIT
    kind = np.array([[1, 1, 3, 2]])  # found, found again, of a wrong kind, not sure
    scores = score_detections(
        kind, np.array([[0.9, 0.8, 0.7, 0.4]]), box_shares(boxes, truth), truth.kind
    )
    assert scores.missed == 0.5
    assert scores.fake == pytest.approx(2 / 3)
    assert scores.map50 == pytest.approx(1.0)  # kind 2 is found, if late


def test_precision_of_nothing_is_nothing():
    assert average_precision(np.zeros(0, bool), np.zeros(0), 3) == 0.0
    empty = Truth(np.zeros((1, 2), np.int64), np.zeros((1, 2, 4), np.int64))
    none = np.zeros((1, 3), np.int64)
    shares = box_shares(np.ones((1, 3, 4), np.int64), empty)
    scores = score_detections(none, np.zeros((1, 3)), shares, empty.kind)
    assert scores == type(scores)(None, None, None, None)
