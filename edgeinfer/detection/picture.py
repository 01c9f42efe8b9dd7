# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Detections as a picture: each image with its boxes and masks, above it what is true if known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.png import Image, image_address
from edgeinfer.detection.boxes import UNIT, Integers
from edgeinfer.detection.detector import Detections
from edgeinfer.detection.results import DetectorImages
from edgeinfer.detection.scores import SURE
from edgeinfer.report import words
from edgeinfer.report.draw.marks import Figure, Label, Mark, Raster

MOST_IMAGES = 8
_POINTS_WIDE = 256  # of an image
_ACROSS = 4  # images side by side
_GROUND, _BRIGHT = np.array((10, 14, 24.0)), np.array((235, 235, 225.0))
_COLOURS = np.array(
    [(76, 201, 240), (255, 170, 51), (255, 90, 160), (150, 210, 110), (190, 150, 250),
     (240, 225, 100), (130, 180, 170), (220, 140, 120)], float
)  # fmt: skip
_MASK_SHARE = 0.45  # of the kind's colour in a cell of the mask
_EDGE, _GAP, _TOP, _KEY_WIDE = 16.0, 12.0, 56.0, 150.0


def detections_figure(
    detections: Detections, images: DetectorImages, names: Sequence[str]
) -> Figure:
    """The first images, those with a truth in two rows: what is true, what was found."""
    images_shown = min(MOST_IMAGES, len(images.images))
    side = images.images.shape[1]
    zoom = max(1, _POINTS_WIDE // side)
    wide = float(side * zoom)
    marks: list[Mark] = _key(names)
    rows = -(-images_shown // _ACROSS)
    lines = 2 if images.truth is not None else 1
    for number in range(images_shown):
        row, column = divmod(number, _ACROSS)
        left = _EDGE + column * (wide + _GAP)
        top = _TOP + row * (lines * (wide + 34.0) + _GAP)
        if images.truth is not None:
            masks = None if images.masks is None else images.masks[number]
            kinds, boxes = images.truth.kind[number], images.truth.box[number] * UNIT
            image = _draw(images.images[number, ..., 0], kinds, boxes, masks, zoom)
            about = f"Truth of image {number}"
            marks.append(Raster(left, top, wide, wide, image_address(image), about))
            count = words.count_noun(int((kinds > 0).sum()), "particle")
            marks.append(Label(left, top + wide + 14, f"image {number}, truth: {count}", "muted"))
            top += wide + 22.0
        scores = detections.score[number]
        sure = np.where(scores >= SURE, detections.kind[number], 0)
        image = _draw(
            images.images[number, ..., 0],
            sure,
            detections.box[number],
            detections.mask[number],
            zoom,
        )
        about = f"Detections in image {number}"
        marks.append(Raster(left, top, wide, wide, image_address(image), about))
        listed = " ".join(f"{score:.2f}" for score in scores[sure > 0]) or "none"
        marks.append(Label(left, top + wide + 14, f"found, by score: {listed}", "muted"))
    drawn = int(((detections.kind > 0) & (detections.score >= SURE))[:images_shown].sum())
    return Figure(
        "detections",
        "Detections",
        f"{words.count_noun(drawn, 'detection')} with a score of {SURE:g} or more in "
        f"{words.count_noun(images_shown, 'image')}.",
        2 * _EDGE + min(images_shown, _ACROSS) * (wide + _GAP),
        _TOP + rows * (lines * (wide + 34.0) + _GAP),
        tuple(marks),
    )


def _draw(
    signal: NDArray[np.floating],
    kinds: Integers,
    boxes: Integers,
    masks: NDArray[np.bool_] | None,
    zoom: int,
) -> Image:
    """An image with the cells of each mask in the colour of its kind, and the boxes around."""
    top = float(signal.max()) or 1.0
    level = np.clip(signal / top, 0.0, 1.0)[..., None] ** 0.7
    points = _GROUND + level * (_BRIGHT - _GROUND)
    for number in np.flatnonzero(kinds)[::-1]:
        if masks is not None:
            colour = _COLOURS[(kinds[number] - 1) % len(_COLOURS)]
            mixed = (1 - _MASK_SHARE) * points + _MASK_SHARE * colour
            points = np.where(masks[number][..., None], mixed, points)
    image = points.repeat(zoom, axis=0).repeat(zoom, axis=1)
    last = len(image) - 1
    for number in np.flatnonzero(kinds)[::-1]:
        ends = np.clip(boxes[number] * zoom // UNIT - (0, 0, 1, 1), 0, last)
        y0, x0, y1, x1 = (int(end) for end in ends)
        colour = _COLOURS[(kinds[number] - 1) % len(_COLOURS)]
        image[[y0, y1], x0 : x1 + 1] = colour
        image[y0 : y1 + 1, [x0, x1]] = colour
    return np.asarray(np.rint(image), np.uint8)


def _key(names: Sequence[str]) -> list[Mark]:
    marks: list[Mark] = []
    for number, name in enumerate(names):
        at = _EDGE + _KEY_WIDE * number
        square = _COLOURS[number % len(_COLOURS)].astype(np.uint8)[None, None]
        marks.append(Raster(at, 18, 10, 10, image_address(square), name))
        marks.append(Label(at + 16, 27, words.short(name, 20), "muted"))
    return marks
