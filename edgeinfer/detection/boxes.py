# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Boxes in integers: how they are read from a network's edges, compared, and thinned out.

A box is (top, left, bottom, right) in sixteenths of a cell, the ends behind the last cell. Nothing
here rounds but for what is stated, and equal scores keep their order: a result is the same on every
machine. All functions take any number of images at once, and none looks from one to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

UNIT = 16  # parts of a cell
EDGE_CELLS = 16  # what 1 of a proposed edge stands for
PROPOSALS = 16  # of an image, always
_CANDIDATES = 64  # places of an image that are thought of
_GROWTH_SHIFT = 3  # a window is wider than its proposal by an eighth on each side, at least a cell


@dataclass(frozen=True, slots=True)
class LeastShare:
    """A part of one: how much of their union two boxes must share to be the same."""

    numerator: int
    denominator: int


SAME_PROPOSAL = LeastShare(7, 10)
SAME_PARTICLE = LeastShare(1, 2)


def round_shift(values: Integers, bits: int) -> Integers:
    """values x 2^-bits, halves up."""
    if bits <= 0:
        return values << -bits
    return (values + (1 << (bits - 1))) >> bits


def margins_of(logits: Integers) -> tuple[Integers, Integers]:
    """The best kind (1 and up; 0 is background; the first of equals) of logits (..., kinds), and by
    how much it is ahead of all others."""
    kind = logits[..., 1:].argmax(axis=-1) + 1
    best = np.take_along_axis(logits, kind[..., None], axis=-1)[..., 0]
    others = logits.copy()
    np.put_along_axis(others, kind[..., None], np.iinfo(np.int64).min, axis=-1)
    return kind, best - others.max(axis=-1)


def decode_places(edges: Integers, frac: int, side: int) -> Integers:
    """Boxes (n, places, 4) of edges (n, rows, columns, 4): how far up, left, down and right of the
    middle of its place each ends, in 16 cells x 2^-frac. Inside an image of `side` cells, and at
    least a cell wide."""
    n, rows, columns, _ = edges.shape
    away = round_shift(edges * (EDGE_CELLS * UNIT), frac).reshape(n, rows * columns, 4)
    step = side * UNIT // rows
    middle = np.arange(rows * columns)[:, None] // (columns, 1) % (rows, columns) * step + step // 2
    low = np.clip(middle - away[..., :2], 0, side * UNIT - UNIT)
    high = np.clip(middle + away[..., 2:], low + UNIT, side * UNIT)
    return np.concatenate([low, high], axis=-1)


def refine_boxes(windows: Integers, edges: Integers, frac: int, side: int) -> Integers:
    """Boxes (..., 4) of edges that are counted from the middle of a window, in parts of its height
    and width x 2^-frac. Inside the image, and at least a cell wide."""
    low, high = windows[..., :2], windows[..., 2:]
    middle, size = (low + high) << frac, 2 * (high - low)
    first = round_shift(middle - edges[..., :2] * size, frac + 1)
    last = round_shift(middle + edges[..., 2:] * size, frac + 1)
    first = np.clip(first, 0, side * UNIT - UNIT)
    return np.concatenate([first, np.clip(last, first + UNIT, side * UNIT)], axis=-1)


def grow_windows(boxes: Integers) -> Integers:
    """What is cut out around proposals: wider on each side; it may reach beyond the image."""
    low, high = boxes[..., :2], boxes[..., 2:]
    more = np.maximum(round_shift(high - low, _GROWTH_SHIFT), UNIT)
    return np.concatenate([low - more, high + more], axis=-1)


def intersections(one: Integers, other: Integers) -> tuple[Integers, Integers]:
    """Areas of the intersections (..., a, b) of boxes (..., a, 4) and (..., b, 4), and of their
    unions."""
    a, b = one[..., :, None, :], other[..., None, :, :]
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(size, 0).prod(axis=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b)]
    return shared, areas[0] + areas[1] - shared


def overlap(one: Integers, other: Integers, least: LeastShare) -> NDArray[np.bool_]:
    """Whether boxes share more than this part of their union, by products of integers."""
    shared, union = intersections(one, other)
    return np.asarray(shared * least.denominator > union * least.numerator)


def suppress(boxes: Integers, rivals: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of ordered boxes (n, count, 4) stay: not those that overlap a better one that stays.
    `rivals` (n, count, count): which pairs are the same thing."""
    n, count, _ = boxes.shape
    stays = np.ones((n, count), bool)
    for number in range(count):
        beaten = rivals[:, number] & stays[:, number, None]
        stays[:, number + 1 :] &= ~beaten[:, number + 1 :]
    return stays


def propose(logits: Integers, edges: Integers, frac: int, side: int) -> Integers:
    """The proposals (n, 16, 4) of logits (n, rows, columns, kinds) and edges (n, rows, columns, 4):
    the places where some kind is farthest ahead of background; those that repeat a better one come
    last."""
    n = len(logits)
    flat = logits.reshape(n, -1, logits.shape[-1])
    ahead = flat[..., 1:].max(axis=-1) - flat[..., 0]
    order = np.argsort(-ahead, axis=1, kind="stable")[:, :_CANDIDATES]
    boxes = np.take_along_axis(decode_places(edges, frac, side), order[..., None], axis=1)
    stays = suppress(boxes, overlap(boxes, boxes, SAME_PROPOSAL))
    first = np.argsort(~stays, axis=1, kind="stable")[:, :PROPOSALS]
    return np.take_along_axis(boxes, first[..., None], axis=1)
