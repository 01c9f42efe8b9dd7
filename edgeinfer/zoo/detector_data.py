# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the detector's two networks learn from: images of a calorimeter, and crops of the features
that the first network makes of them. A target below zero says that there is no truth there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.detection.boxes import EDGE_CELLS, PROPOSALS, UNIT, Integers, intersections
from edgeinfer.detection.detector import Crops, cut_crops
from edgeinfer.detection.networks import FLOAT_TYPE, float_network
from edgeinfer.lartpc.calorimeter_images import KINDS, SIDE, CalorimeterImages, generate_images
from edgeinfer.readers import load
from edgeinfer.zoo.detector_builders import CELLS, MASK_SIDE, PLACES
from edgeinfer.zoo.entry import EventSamples

TRUNK = Path(__file__).resolve().parent / "references" / "hgcal-detector.keras"
_INNER = 0.2  # of a box's size, on each side of its middle: places there are to propose it
_LEAST_INNER_CELLS = 2.5
_SAME = 0.5  # of the union that a proposal shares with a particle that it is of
_POINTS = 4  # in a cell of a mask, each way, so that thin tracks are not lost
_BATCH = 256


def image_samples(seed: int, n: int) -> EventSamples:
    """Images; what is in the middle at each place and how far its edges are; what made the most of
    each cell of the features."""
    images = generate_images(seed, n)
    place, edges = _aim_places(images)
    targets = {"place": place, "edges": edges, "cell": _aim_cells(images)}
    beside = {**_beside(images, 1), "masks": images.mask}
    return EventSamples({"image": images.x[..., None]}, targets, images.event, beside)


def _beside(images: CalorimeterImages, times: int) -> dict[str, NDArray[Any]]:
    """The particles of each image, so many times, for whoever judges."""
    beside = {"particles": images.kind, "boxes": images.box}
    return {
        name: values.repeat(times, axis=0).astype(np.float32) for name, values in beside.items()
    }


def _aim_places(images: CalorimeterImages) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    n, particles = images.kind.shape
    step = SIDE // PLACES
    middle = (np.arange(PLACES) + 0.5) * step
    place = np.zeros((n, PLACES, PLACES), np.int64)
    edges = np.full((n, PLACES, PLACES, 4), -1.0, np.float32)
    areas = (images.box[..., 2:] - images.box[..., :2]).prod(axis=-1)
    order = np.argsort(-areas, axis=1, kind="stable")  # small ones are on top
    rows = np.arange(n)
    for number in range(particles):
        kind = images.kind[rows, order[:, number]]
        box = images.box[rows, order[:, number]].astype(np.float64)[:, :, None, None]
        top, left, bottom, right = (box[:, side] for side in range(4))
        y, x = middle[None, :, None], middle[None, None, :]
        inner = [
            np.maximum(_INNER * (last - first), _LEAST_INNER_CELLS)
            for first, last in ((top, bottom), (left, right))
        ]
        here = (np.abs(y - (top + bottom) / 2) <= inner[0]) & (
            np.abs(x - (left + right) / 2) <= inner[1]
        )
        away = np.broadcast_arrays(y - top, x - left, bottom - y, right - x)
        here = here & (kind > 0)[:, None, None]
        place = np.where(here, kind[:, None, None], place)
        ends = np.maximum(np.stack(away, axis=-1) / EDGE_CELLS, 0.0)
        edges = np.where(here[..., None], ends, edges).astype(np.float32)
    return np.eye(len(KINDS) + 1, dtype=np.float32)[place], edges


def _aim_cells(images: CalorimeterImages) -> NDArray[np.float32]:
    """The kind of which most cells are, in squares of the features' cells."""
    step = SIDE // CELLS
    n = len(images)
    counts = np.zeros((n, CELLS, CELLS, len(KINDS) + 1))
    counts[..., 0] = 0.5  # of equals the particle wins
    for kind in range(1, len(KINDS) + 1):
        mine = (images.mask & (images.kind == kind)[:, :, None, None]).any(axis=1)
        counts[..., kind] = mine.reshape(n, CELLS, step, CELLS, step).sum(axis=(2, 4))
    return np.eye(len(KINDS) + 1, dtype=np.float32)[counts.argmax(axis=-1)]


def crop_samples(seed: int, n: int, trunk: Path = TRUNK) -> EventSamples:
    """Crops of the features that a trained network makes, in its 16 proposals of each image: what
    is in each, where its edges are in parts of the window, and its cells."""
    images = generate_images(seed, -(-n // PROPOSALS))
    network = float_network(load(trunk).graph)
    parts = [
        cut_crops(network, images.x[start : start + _BATCH, ..., None], FLOAT_TYPE)
        for start in range(0, len(images), _BATCH)
    ]
    crops = Crops(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("proposals", "windows", "values")
        )
    )
    kind, edges, mask = _aim_crops(images, crops)
    values = (crops.values * 2.0**-FLOAT_TYPE.frac).astype(np.float32)
    beside = _beside(images, PROPOSALS) | {
        "window": crops.windows.reshape(-1, 4).astype(np.float32)
    }
    return EventSamples(
        {"crop": values.reshape(-1, *values.shape[2:])[:n]},
        {"kind": kind[:n], "edges": edges[:n], "mask": mask[:n]},
        images.event.repeat(PROPOSALS)[:n],
        {name: each[:n] for name, each in beside.items()},
    )


def _aim_crops(
    images: CalorimeterImages, crops: Crops
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    shared, union = intersections(crops.proposals, images.box * UNIT)
    shares = np.where((images.kind > 0)[:, None, :], shared / np.maximum(union, 1), 0.0)
    best = shares.argmax(axis=-1)
    rows = np.arange(len(images))[:, None]
    is_seen = (shares.max(axis=-1) >= _SAME).ravel()
    kind = np.where(is_seen, images.kind[rows, best].ravel(), 0)
    box = (images.box[rows, best] * UNIT).reshape(-1, 4).astype(np.float64)
    window = crops.windows.reshape(-1, 4).astype(np.float64)
    low, high = window[:, :2], window[:, 2:]
    middle, size = (low + high) / 2, high - low
    away = np.concatenate([(middle - box[:, :2]) / size, (box[:, 2:] - middle) / size], axis=1)
    edges = np.where(is_seen[:, None], np.maximum(away, 0.0), -1.0).astype(np.float32)
    mask = np.full((len(is_seen), MASK_SIDE, MASK_SIDE, 1), -1.0, np.float32)
    own = images.mask.reshape(-1, SIDE, SIDE)
    numbers = (rows * images.kind.shape[1] + best).ravel()[is_seen]
    mask[is_seen, ..., 0] = _mask_in(own, numbers, crops.windows.reshape(-1, 4)[is_seen])
    return np.eye(len(KINDS) + 1, dtype=np.float32)[kind], edges, mask


def _mask_in(
    masks: NDArray[np.bool_], numbers: NDArray[np.intp], windows: Integers
) -> NDArray[np.bool_]:
    """Which of 16x16 parts of its window each mask has a cell in."""
    points = MASK_SIDE * _POINTS
    ends = []
    for axis in (0, 1):
        first, last = windows[:, axis, None], windows[:, axis + 2, None]
        place = first + (2 * np.arange(points) + 1) * (last - first) // (2 * points)
        ends.append(place // UNIT)
    y, x = ends[0][:, :, None], ends[1][:, None, :]
    inside = (y >= 0) & (y < SIDE) & (x >= 0) & (x < SIDE)
    pixels = masks[numbers[:, None, None], y.clip(0, SIDE - 1), x.clip(0, SIDE - 1)] & inside
    parts = pixels.reshape(-1, MASK_SIDE, _POINTS, MASK_SIDE, _POINTS)
    return np.asarray(parts.any(axis=(2, 4)))
