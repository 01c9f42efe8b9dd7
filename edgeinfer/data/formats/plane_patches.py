# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a plane with its truth to labelled patches, one around each pixel of interest.

The pdg word of a pixel: bits 0-11 the particle code, bits 12-15 flags (1 delta ray, 2 Michel,
4 primary electron, 8 primary muon), bits 16-31 the vertex. A pixel that received less than
2e-5 GeV has no signal; |code| = 11 makes it EM, anything else a track, and the Michel flag is
kept on top of EM. A 'none' patch is centred on a pixel without signal within two pixels, and must
itself hold more than six pixels of signal; a small seeded fraction of those is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeinfer.data.formats.scalings import PatchScaling, scale_patches
from edgeinfer.data.formats.shards import Columns, cut_rows, rows_per_shard

EdgePolicy = Literal["skip", "zero"]
"""Patches reaching over the edge of their plane: left out, or filled with zeros."""

SIGNAL_GEV = 2e-5
NONE_MARGIN = 2
NONE_MIN_SIGNAL = 6
CODE_MASK = 0x0FFF
ELECTRON = 11
DELTA_FLAG, MICHEL_FLAG, PRIMARY_ELECTRON_FLAG, PRIMARY_MUON_FLAG = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class PlaneKey:
    """Which plane of which event."""

    event: int
    run: int
    subrun: int
    tpc: int
    view: int


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One wire plane, (wires, ticks): deconvolved ADC, deposited energy in GeV, pdg words."""

    key: PlaneKey
    raw: np.ndarray
    deposit: np.ndarray
    pdg: np.ndarray
    first_wire: int = 0
    first_drift: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PixelTruth:
    """What each pixel of a plane is: boolean maps; `michel` is a subset of `em`."""

    track: np.ndarray
    em: np.ndarray
    michel: np.ndarray


def unpack_pdg(word: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The int32 pdg word to (|particle code|, flags, vertex bits)."""
    bits = np.asarray(word, dtype=np.int32).view(np.uint32)
    return bits & CODE_MASK, (bits >> 12) & 0xF, bits >> 16


def label_pixels(plane: Plane) -> PixelTruth:
    """The truth of every pixel, from its deposit and its pdg word."""
    code, flags, _ = unpack_pdg(plane.pdg)
    signal = plane.deposit >= np.float32(SIGNAL_GEV)
    em = signal & (code == ELECTRON)
    return PixelTruth(signal & ~em, em, em & ((flags & MICHEL_FLAG) != 0))


def window_counts(mask: np.ndarray, before: tuple[int, int], after: tuple[int, int]) -> np.ndarray:
    """How many True lie in [i - before, i + after) around each pixel; none are beyond the edge."""
    padded = np.pad(mask, [(before[0] + 1, after[0]), (before[1] + 1, after[1])])
    total = padded.astype(np.int32).cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    height, width = before[0] + after[0], before[1] + after[1]
    return (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )[: mask.shape[0], : mask.shape[1]]


def none_candidates(truth: PixelTruth, shape: tuple[int, int]) -> np.ndarray:
    """Pixels that a 'none' patch may be centred on."""
    signal = truth.track | truth.em
    near = (NONE_MARGIN, NONE_MARGIN)
    isolated = window_counts(signal, near, (NONE_MARGIN + 1, NONE_MARGIN + 1)) == 0
    before = (shape[0] // 2, shape[1] // 2)
    after = (shape[0] - before[0], shape[1] - before[1])
    return isolated & (window_counts(signal, before, after) > NONE_MIN_SIGNAL)


def cut_patches(
    image: np.ndarray, wires: np.ndarray, drifts: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Patches (n, *shape) around pixels, which land at index shape // 2; zero beyond the plane."""
    before = (shape[0] // 2, shape[1] // 2)
    padded = np.pad(image, [(before[0], shape[0]), (before[1], shape[1])])
    return np.lib.stride_tricks.sliding_window_view(padded, shape)[wires, drifts]


def patch_centres(
    plane: Plane, shape: tuple[int, int], edge: EdgePolicy, none_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(wire index, drift index, labels [track, em, none], michel) of every patch of a plane."""
    truth = label_pixels(plane)
    key = plane.key
    rng = np.random.default_rng([seed, key.event, key.run, key.subrun, key.tpc, key.view])
    candidates = none_candidates(truth, shape)
    none = candidates & (rng.random(candidates.shape, dtype=np.float32) < none_fraction)
    class_mask = truth.track | truth.em | none
    if edge == "skip":
        inside = np.zeros_like(class_mask)
        last = [n - size + 1 for n, size in zip(class_mask.shape, shape, strict=True)]
        low = (shape[0] // 2, shape[1] // 2)
        inside[low[0] : low[0] + max(0, last[0]), low[1] : low[1] + max(0, last[1])] = True
        class_mask &= inside
    wires, drifts = np.nonzero(class_mask)
    maps = (truth.track, truth.em, none)
    labels = np.stack([m[wires, drifts] for m in maps], axis=1).astype(np.uint8)
    return wires, drifts, labels, truth.michel[wires, drifts].astype(np.uint8)[:, np.newaxis]


def patch_blocks(
    plane: Plane,
    shape: tuple[int, int],
    scaling: PatchScaling,
    edge: EdgePolicy = "skip",
    none_fraction: float = 1e-3,
    seed: int = 0,
) -> Iterator[Columns]:
    """The labelled, scaled patches of a plane, about a megabyte at a time."""
    wires, drifts, labels, michel = patch_centres(plane, shape, edge, none_fraction, seed)
    image = scale_patches(plane.raw, scaling)
    key = plane.key
    for first, rows in cut_rows(len(wires), rows_per_shard(4 * shape[0] * shape[1])):
        part = slice(first, first + rows)
        patch = cut_patches(image, wires[part], drifts[part], shape)
        yield {
            "patch": patch[..., np.newaxis],
            "labels": labels[part],
            "michel": michel[part],
            "run": np.full(rows, key.run, dtype=np.uint32),
            "subrun": np.full(rows, key.subrun, dtype=np.uint32),
            "evt": np.full(rows, key.event, dtype=np.uint32),
            "tpc": np.full(rows, key.tpc, dtype=np.uint8),
            "plane": np.full(rows, key.view, dtype=np.uint8),
            "wire": (wires[part] + plane.first_wire).astype(np.uint16),
            "tck": (drifts[part] + plane.first_drift).astype(np.uint16),
        }
