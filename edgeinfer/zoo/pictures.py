# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Examples of a model's data as a picture, a row for each class: for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import Task
from edgeinfer.base.png import encode_png
from edgeinfer.zoo.entry import LOCATED, EventSamples, Head, ZooEntry

CURVE_ROWS = 64
_CALORIMETER_AXIS = 3  # depth: pictures show the sum along it
_DRAWN_FOR_EACH = 12  # samples made for each that is shown, so that rare classes are found
_LEAST_DRAWN = 200
_ANCHORS = np.array(  # dark blue through green to yellow, so that faint charge stays visible
    [(12, 10, 40), (40, 60, 140), (30, 140, 140), (120, 200, 80), (255, 235, 60)], float
)
_SEGMENT_SIDE = 256  # of a picture whose pixels are labelled, enlarged
_COLOUR_NAMES = ("red", "blue", "yellow", "green", "pink")
_LABEL_COLOURS = np.array(
    [(230, 60, 50), (90, 150, 255), (245, 210, 60), (70, 200, 110), (240, 130, 230)], np.uint8
)


@dataclass(frozen=True, slots=True)
class Preview:
    """A PNG file's bytes, and what its rows show from the top."""

    image: bytes
    rows: tuple[str, ...]


def preview(entry: ZooEntry, seed: int, count: int) -> Preview:
    """`count` examples of each class (of each sixth of the energies, in a regression); of what
    labels every pixel, `count` pictures with the truth below them, and what the network says."""
    if entry.by_pixel:
        return _preview_segments(entry, seed, count)
    drawn = max(_LEAST_DRAWN, _DRAWN_FOR_EACH * count)
    samples = entry.data(seed, drawn)
    groups = {
        title: np.flatnonzero(chosen)[:count] for title, chosen in _groups(entry, samples).items()
    }
    first = next(iter(samples.inputs.values()))
    pictures = {title: as_pictures(first[rows]) for title, rows in groups.items() if rows.size}
    everything = np.concatenate([picture.ravel() for picture in pictures.values()])
    low, high = np.quantile(everything, (0.001, 0.999))
    image = sheet(list(pictures.values()), float(low), max(float(high), float(low) + 1e-6))
    return Preview(encode_png(image), tuple(pictures))


def _preview_segments(entry: ZooEntry, seed: int, count: int) -> Preview:
    """Pictures, the label of each lit pixel in colour, and the label that the committed network
    gives it."""
    samples, head = entry.data(seed, count), entry.heads[0]
    image = next(iter(samples.inputs.values()))[..., 0]
    lit = np.asarray(image > 0)
    truth = samples.targets[head.name]
    rows = {
        "charge": colours(np.sqrt(image), 0.0, float(np.sqrt(image.max())) or 1.0),
        f"truth ({', '.join(map(' '.join, zip(_COLOUR_NAMES, head.labels, strict=False)))})": (
            _colour_labels(truth, np.any(truth > 0, axis=-1))
        ),
    }
    if entry.reference is not None:
        from edgeinfer.zoo.reference import load_reference, outputs_of

        predicted = outputs_of(entry, load_reference(entry.name), samples)[head.name]
        rows["network"] = _colour_labels(predicted, lit)
    zoom = max(1, _SEGMENT_SIDE // image.shape[1])
    return Preview(encode_png(rows_of(list(rows.values()), zoom)), tuple(rows))


def _colour_labels(scores: NDArray[np.floating], lit: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The colour of the highest class where a pixel is lit."""
    pixel_colours = _LABEL_COLOURS[scores.argmax(axis=-1) % len(_LABEL_COLOURS)]
    return np.where(lit[..., None], pixel_colours, _ANCHORS[0].astype(np.uint8))


def as_pictures(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inputs as pictures (n, rows, columns): images as they are, volumes summed, curves drawn."""
    if values.ndim == _CALORIMETER_AXIS + 1:
        return values[..., 0] if values.shape[-1] == 1 else values.sum(axis=-1)
    return curves(values.reshape(len(values), -1))


def curves(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row of numbers as a filled curve on a common scale, zero where nothing is drawn."""
    low, high = float(values.min()), float(values.max())
    level = (values - low) / max(high - low, 1e-12) * (CURVE_ROWS - 1)
    heights = np.arange(CURVE_ROWS)[::-1][None, :, None]
    filled = (heights <= level[:, None, :]).astype(np.float32)
    wide = max(1, 96 // values.shape[1])  # short rows become bars that an eye can see
    return filled.repeat(wide, axis=2)


def _groups(entry: ZooEntry, samples: EventSamples) -> dict[str, NDArray[np.bool_]]:
    """Which samples go into each row."""
    groups: dict[str, NDArray[np.bool_]] = {}
    marked = np.zeros(len(samples), bool)  # by a head of its own, which has its own row
    for head in entry.heads:
        targets = samples.targets[head.name]
        if head.loss in LOCATED:
            continue  # what is known at some places only is no row of its own
        if entry.task is Task.REGRESSION:
            groups |= _slices(head, targets[:, 0])
        elif targets.shape[-1] == 1 and not np.isin(targets, (0.0, 1.0)).all():
            continue  # a quantity beside classes, which have the rows
        elif targets.shape[-1] > 1:
            is_shown = targets.reshape(len(targets), -1, targets.shape[-1]).max(axis=1) > 0
            groups |= {label: is_shown[:, i] for i, label in enumerate(head.labels)}
        else:
            marked |= targets[:, 0] > 0
    rows = {label: chosen & ~marked for label, chosen in groups.items()}
    if marked.any():
        label = next(head.labels[0] for head in entry.heads if len(head.labels) == 1)
        rows[label] = marked
        if not groups:
            rows[f"no {label}"] = ~marked
    return rows


def _slices(head: Head, values: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    edges = np.quantile(values, np.linspace(0, 1, 7))
    edges[-1] = np.inf
    return {
        f"{head.labels[0]} from {low:.3g}": (values >= low) & (values < high)
        for low, high in pairwise(edges)
    }


def colours(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Values to RGB, clipped to [low, high]."""
    level = np.clip((values - low) / (high - low), 0.0, 1.0) * (len(_ANCHORS) - 1)
    marks = np.arange(len(_ANCHORS))
    channels = [np.interp(level, marks, _ANCHORS[:, k]) for k in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def sheet(
    groups: Sequence[NDArray[np.floating]], low: float, high: float, zoom: int = 3, gap: int = 4
) -> NDArray[np.uint8]:
    """One row of pictures per group (n, height, width), enlarged, with gaps between them."""
    return rows_of([colours(group, low, high) for group in groups], zoom, gap)


def rows_of(groups: Sequence[NDArray[np.uint8]], zoom: int = 3, gap: int = 4) -> NDArray[np.uint8]:
    """The same of RGB pictures (n, height, width, 3)."""
    lines = []
    widest = max(len(group) for group in groups)
    for group in groups:
        rgb = group.repeat(zoom, axis=1).repeat(zoom, axis=2)
        missing = widest - len(rgb)
        rgb = np.pad(rgb, ((0, missing), (0, gap), (0, gap), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(rgb), axis=1))
    return np.concatenate(lines, axis=0)
