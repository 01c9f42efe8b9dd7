# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is kept of detections: images with their truth, arrays for a file, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.data.columns import DETECTOR_TRUTH
from edgeinfer.data.formats.npz import pack_arrays
from edgeinfer.data.open import open_data
from edgeinfer.data.samples import HELD_BYTES, assign_columns
from edgeinfer.data.stream.thin import thinned_rows
from edgeinfer.detection.boxes import UNIT
from edgeinfer.detection.detector import Detections
from edgeinfer.detection.scores import Truth, box_shares, mask_shares, score_detections


@dataclass(frozen=True, slots=True)
class DetectorImages:
    """Images, and the particles in them where these are known."""

    images: NDArray[np.floating]  # (n, side, side, 1)
    truth: Truth | None = None
    masks: NDArray[np.bool_] | None = None  # (n, particles, side, side)


def read_images(
    path: Path, name: str, shape: tuple[int, ...], outputs: Mapping[str, tuple[int, ...]]
) -> DetectorImages:
    """Images of a file: an array called as the network's input, or x; and where it has them, the
    kinds `particles` (n, most), `boxes` (n, most, 4) in cells and `masks` (n, most, side, side).
    Labels of the network's own outputs may lie beside them; they are not read."""
    data = open_data(path)
    column = assign_columns(data, {name: shape}, outputs).inputs[name][0]
    truth_columns = [each for each in DETECTOR_TRUTH if each in data.source.layout()]
    rows = thinned_rows(data.source, [column, *truth_columns], HELD_BYTES)
    if len(rows.columns[column]) < rows.total:
        raise InputError(
            f"{path}: its {rows.total:,} images take more than {HELD_BYTES >> 20} MiB.",
            hint="Divide it into several files.",
        )
    values = rows.columns[column]
    if values.shape[1:] not in (shape, shape[:2]) or values.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: {column!r} is {values.dtype} of the shape {values.shape}; the network reads "
            f"numbers of (images, {', '.join(map(str, shape))})."
        )
    images = values.reshape(len(values), *shape).astype(np.float32)
    if not np.isfinite(images).all():
        raise InputError(f"{path}: {column!r} holds values that are NaN or infinite.")
    if not {"particles", "boxes"} <= set(truth_columns):
        return DetectorImages(images)
    kind, box = (rows.columns[each].astype(np.int64) for each in DETECTOR_TRUTH[:2])
    masks = rows.columns["masks"].astype(bool) if "masks" in truth_columns else None
    most = kind.shape[1] if kind.ndim == 2 else 0
    if box.shape[1:] != (most, 4) or (masks is not None and masks.shape[1:] != (most, *shape[:2])):
        raise InputError(
            f"{path}: particles {kind.shape}, boxes {box.shape} and masks do not fit each other.",
            hint="Give kinds (images, most), 0 for none, boxes (images, most, 4) as top, left, "
            "bottom and right in cells, and masks (images, most, rows, columns).",
        )
    return DetectorImages(images, Truth(kind, box), masks)


def judge_detections(detections: Detections, images: DetectorImages) -> dict[str, dict[str, Any]]:
    """The figures by boxes, and by masks where these are known; empty without a truth."""
    if images.truth is None:
        return {}
    shares = {"boxes": box_shares(detections.box, images.truth)}
    if images.masks is not None:
        shares["masks"] = mask_shares(detections.mask, images.masks)
    return {
        what: asdict(score_detections(detections.kind, detections.score, each, images.truth.kind))
        for what, each in shares.items()
    }


def list_detections(detections: Detections) -> dict[str, NDArray[Any]]:
    """Arrays with a row for each detection: image, kind, margin, score, box in cells, mask."""
    image, place = np.nonzero(detections.kind)
    return {
        "image": image,
        "kind": detections.kind[image, place],
        "margin": detections.margin[image, place],
        "score": detections.score[image, place],
        "box": detections.box[image, place] / UNIT,
        "mask": detections.mask[image, place],
    }


def pack_detections(detections: Detections) -> bytes:
    """The same as an archive."""
    return pack_arrays(list_detections(detections))


def score_sentences(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """The figures of each stage as lines of text."""
    return [
        f"{stage}, by {what}: mAP at 0.5 {_text(each['map50'])}, at 0.5 to 0.95 "
        f"{_text(each['map'])}; missed {_text(each['missed'])}, fake {_text(each['fake'])}"
        for stage, figures in scores.items()
        for what, each in figures.items()
    ]


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def name_kinds(names: Sequence[str], count: int) -> tuple[str, ...]:
    """What the kinds are called, from 1: as given, where there are as many."""
    if len(names) == count:
        return tuple(names)
    return tuple(f"kind {number}" for number in range(1, count + 1))
