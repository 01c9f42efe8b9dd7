# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A detector: a network that proposes boxes, one that judges what lies in them, the host between.

The host's part is integers alone (`boxes`, `align`), each image by itself, so that neither threads
nor batches nor the order of images change a bit of the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.detection.align import CROP_SIDE, crop_features, paste_masks
from edgeinfer.detection.boxes import (
    PROPOSALS,
    SAME_PARTICLE,
    Integers,
    grow_windows,
    margins_of,
    overlap,
    propose,
    refine_boxes,
    suppress,
)
from edgeinfer.detection.networks import Network, check_network
from quantization.fixed import Fixed

BATCH = 16  # images at once
LEAST_LOGIT = -3.0  # by which a kind may be behind and still be a detection: a score of 0.05

_TRUNK_HINT = "The first run is of a network like hgcal-detector (place, edges, features)."
_HEADS_HINT = "The second run is of a network like hgcal-heads (kind, edges, mask)."


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found, 16 rows an image: those that are none have kind 0."""

    kind: Integers  # (n, 16)
    margin: Integers  # (n, 16): by how much the kind is ahead, x 2^-frac
    box: Integers  # (n, 16, 4) in sixteenths of a cell
    mask: NDArray[np.bool_]  # (n, 16, side, side): cells with a signal
    frac: int

    @property
    def score(self) -> NDArray[np.float64]:
        """The margin as a share: what the kind would get of a softmax of two."""
        shares: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-self.margin * 2.0**-self.frac))
        return np.where(self.kind > 0, shares, 0.0)


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent on each part."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Count what happens inside as this part's."""
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Detector:
    """The two networks and the side of an image."""

    trunk: Network
    heads: Network
    side: int


def build_detector(trunk: Network, heads: Network) -> Detector:
    """Refuse two networks that do not fit each other or the host."""
    check_network(trunk, ("place", "edges", "features"), _TRUNK_HINT)
    check_network(heads, ("kind", "edges", "mask"), _HEADS_HINT)
    side = trunk.input_shape[0]
    if trunk.input_shape[:2] != (side, side) or side & (side - 1) or len(trunk.input_shape) != 3:
        raise UsageError(
            f"{trunk.name} reads images of {trunk.input_shape}, not of a side that is a power of 2."
        )
    trunk_shapes, head_shapes = trunk.output_shapes, heads.output_shapes
    places, kinds = trunk_shapes["place"][0], head_shapes["kind"][-1]
    pixels, mask = trunk_shapes["features"][0], head_shapes["mask"][0]
    pairs_to_match = {  # what fits, beside what there is
        "place": ((places, places, trunk_shapes["place"][-1]), trunk_shapes["place"]),
        "edges": ((places, places, 4), trunk_shapes["edges"]),
        "features": ((pixels, pixels, heads.input_shape[-1]), trunk_shapes["features"]),
        "crop": ((CROP_SIDE, CROP_SIDE, trunk_shapes["features"][-1]), heads.input_shape),
        "kind": ((kinds,), head_shapes["kind"]),
        "edges of the heads": ((4,), head_shapes["edges"]),
        "mask": ((mask, mask, 1), head_shapes["mask"]),
    }
    wrong = [name for name, (fitting, there) in pairs_to_match.items() if fitting != there]
    if wrong:
        fitting, there = pairs_to_match[wrong[0]]
        raise UsageError(
            f"{trunk.name} and {heads.name} are no detector: {wrong[0]} has the shape {there}, not "
            f"{fitting}.",
            hint="Train hgcal-heads on that network: edgeinfer train hgcal-heads --trunk FILE.",
        )
    if side % places or side % pixels or places**2 < PROPOSALS or kinds < 2:
        raise UsageError(
            f"{trunk.name} proposes at {places}x{places} places and yields {pixels}x{pixels} "
            f"features; both must divide the {side} cells of an image, into at least {PROPOSALS} "
            f"places."
        )
    return Detector(trunk, heads, side)


@dataclass(frozen=True, slots=True)
class Crops:
    """What is cut out of the features: a window for each proposal, and the integers in it."""

    proposals: Integers  # (n, 16, 4)
    windows: Integers  # (n, 16, 4): grown
    values: Integers  # (n, 16, 8, 8, channels) of the type that the heads read


def cut_crops(
    trunk: Network, images: NDArray[np.floating], into: Fixed, watch: Stopwatch | None = None
) -> Crops:
    """The proposals of images, and the features in them as integers of a type."""
    watch = watch or Stopwatch()
    side = trunk.input_shape[0]
    with watch.time("trunk"):
        trunk_features = trunk.run(images)
    with watch.time("propose"):
        edges = trunk_features["edges"]
        proposals = propose(trunk_features["place"].values, edges.values, edges.frac, side)
    with watch.time("crop"):
        windows = grow_windows(proposals)
        features = trunk_features["features"]
        values = crop_features(features.values, windows, side, features.frac - into.frac)
        values = np.clip(values, into.raw_min, into.raw_max)
    return Crops(proposals, windows, values)


def detect(
    detector: Detector,
    images: NDArray[np.floating],
    *,
    batch: int = BATCH,
    watch: Stopwatch | None = None,
) -> Detections:
    """What is in images (n, side, side, 1), so many at once."""
    parts = [
        _detect_batch(detector, images[start : start + batch], watch or Stopwatch())
        for start in range(0, len(images), batch)
    ]
    if not parts:
        raise UsageError("There are no images to look at.", hint="Give --data with some.")
    return Detections(
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.margin for part in parts]),
        np.concatenate([part.box for part in parts]),
        np.concatenate([part.mask for part in parts]),
        parts[0].frac,
    )


def _detect_batch(detector: Detector, images: NDArray[np.floating], watch: Stopwatch) -> Detections:
    crops = cut_crops(detector.trunk, images, detector.heads.input_type, watch)
    n = len(images)
    with watch.time("heads"):
        judged_crops = detector.heads.run_raw(crops.values.reshape(-1, *detector.heads.input_shape))
    with watch.time("decide"):
        logits = judged_crops["kind"].values.reshape(n, PROPOSALS, -1)
        edges = judged_crops["edges"].values.reshape(n, PROPOSALS, 4)
        kind, margin, box, order = decide(
            logits, judged_crops["kind"].frac, refine_boxes(
                crops.windows, edges, judged_crops["edges"].frac, detector.side
            ),
        )  # fmt: skip
    with watch.time("paste"):
        masks = judged_crops["mask"].values
        masks = masks.reshape(n, PROPOSALS, *masks.shape[1:3])
        rows = np.arange(n)[:, None], order
        kept = kind > 0
        pasted = np.zeros((n, PROPOSALS, detector.side, detector.side), bool)
        windows = crops.windows[rows]
        pasted[kept] = paste_masks(masks[rows][kept], windows[kept], detector.side)
        pasted &= np.any(images > 0, axis=-1)[:, None]
    return Detections(kind, margin, box, pasted, judged_crops["kind"].frac)


def decide(
    logits: Integers, frac: int, boxes: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """Kinds, margins and boxes with the surest first, and which proposal each is. Of the same kind
    in the same place the surest alone stays."""
    kind, margin = margins_of(logits)
    order = np.argsort(-margin, axis=1, kind="stable")
    rows = np.arange(len(order))[:, None], order
    kind, margin, boxes = kind[rows], margin[rows], boxes[rows]
    rivals = overlap(boxes, boxes, SAME_PARTICLE) & (kind[:, :, None] == kind[:, None, :])
    # A kind that is too far behind is none; it beats none either, since the surest come first.
    stays = suppress(boxes, rivals) & (margin >= math.ceil(LEAST_LOGIT * 2**frac))
    return np.where(stays, kind, 0), margin, boxes, order
