# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""48x48 patches around pixels of simulated planes, labelled [track, em, none] and Michel.

A 'none' patch is centred on an empty pixel with no truth within 2 pixels, and more than 6 pixels
with truth around.
"""

from dataclasses import dataclass, field
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.formats.scalings import PatchScaling, scale_patches, scale_segments
from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.events import (
    LABEL_EM,
    LABEL_NONE,
    LABEL_TRACK,
    EventSettings,
    Planes,
    labels,
    simulate,
)
from edgeinfer.lartpc.seeds import Seed, batches

SIDE = 48
QUIET_PIXELS = 2
BUSY_PIXELS = 6
Scaling = Literal["tenth", "unit", "sixteenth"]


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """What is cut out: the mix of classes, patches per event, how ADC become inputs."""

    track: float = 0.45
    em: float = 0.18
    michel: float = 0.15
    none: float = 0.22
    patches_per_event: int = 24
    events_per_batch: int = 96
    hit_adc: float = 4.0  # [guess] 7 times the noise: a fainter track or shower pixel is no hit
    scaling: Scaling = "unit"
    events: EventSettings = field(default_factory=EventSettings)


@dataclass(frozen=True, slots=True)
class Patches(EventArrays):
    """Patches x (n, 48, 48, 1), label one-hot (n, 3) as [track, em, none], michel (n, 1)."""

    x: NDArray[np.float32]
    label: NDArray[np.float32]
    michel: NDArray[np.float32]
    event: NDArray[np.int64]
    wire: NDArray[np.int32]
    pixel: NDArray[np.int32]


def scale(adc: NDArray[np.float32], scaling: Scaling) -> NDArray[np.float32]:
    """ADC to network inputs: [-50, 150] to [-5, 15] ('tenth'), [0, 30] to [0, 1] ('unit'), or
    [0, 256] to [0, 16] ('sixteenth'), as whole planes with labels of pixels have them."""
    match scaling:
        case "tenth":
            return scale_patches(adc, PatchScaling.SIGNED)
        case "unit":
            return scale_patches(adc, PatchScaling.UNIT)
        case "sixteenth":
            return scale_segments(adc)
        case _:
            assert_never(scaling)


def cut(
    adc: NDArray[np.float32],
    row: NDArray[np.intp],
    wire: NDArray[np.intp],
    pixel: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Patches (n, 48, 48) whose pixel [24, 24] is the one named, all of them inside the plane."""
    windows = np.lib.stride_tricks.sliding_window_view(adc, (SIDE, SIDE), axis=(1, 2))
    return windows[row, wire - SIDE // 2, pixel - SIDE // 2]


def none_pixels(
    rng: np.random.Generator, signal: NDArray[np.bool_], tries: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Random pixels that may be centres of 'none' patches: (row, wire, pixel)."""
    half = SIDE // 2
    rows, wires, pixels = signal.shape
    row = rng.integers(0, rows, tries)
    wire = rng.integers(half, wires - half + 1, tries)
    pixel = rng.integers(half, pixels - half + 1, tries)
    sums = np.zeros((rows, wires + 1, pixels + 1), np.int32)
    np.cumsum(np.cumsum(signal, axis=1, dtype=np.int32), axis=2, out=sums[:, 1:, 1:])

    def count(before: int, after: int) -> NDArray[np.int32]:
        a, b = wire - before, wire + after
        p, q = pixel - before, pixel + after
        return sums[row, b, q] - sums[row, a, q] - sums[row, b, p] + sums[row, a, p]

    quiet = count(QUIET_PIXELS, QUIET_PIXELS + 1) == 0
    kept = quiet & (count(half, half) > BUSY_PIXELS)
    return row[kept], wire[kept], pixel[kept]


def _choose(
    rng: np.random.Generator, planes: Planes, settings: PatchSettings
) -> tuple[NDArray[np.intp], ...]:
    """Centres and labels for one batch of events: (row, wire, pixel, label, michel), shuffled."""
    label, michel = labels(planes)
    half = SIDE // 2
    hit = np.zeros(label.shape, bool)
    inner = np.s_[:, half : label.shape[1] - half + 1, half : label.shape[2] - half + 1]
    hit[inner] = planes.adc[inner] > settings.hit_adc
    patch_count = settings.patches_per_event * planes.event.size
    parts: list[tuple[NDArray[np.intp], ...]] = []
    total = settings.track + settings.em + settings.michel + settings.none
    for code, marked, weight in (
        (LABEL_TRACK, False, settings.track),
        (LABEL_EM, False, settings.em),
        (LABEL_EM, True, settings.michel),
    ):
        where = np.flatnonzero((label == code) & (michel == marked) & hit)
        take = min(where.size, round(patch_count * weight / total))
        where = rng.choice(where, take, replace=False, shuffle=False)
        place = np.unravel_index(where, label.shape)
        parts.append((*place, np.full(take, code), np.full(take, int(marked))))
    take = round(patch_count * settings.none / total)
    place = none_pixels(rng, label != LABEL_NONE, 8 * take)
    parts.append((*place, np.full(place[0].size, LABEL_NONE), np.zeros(place[0].size, int)))
    parts[-1] = tuple(column[:take] for column in parts[-1])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = rng.permutation(columns[0].size)
    return tuple(column[order] for column in columns)


def generate_patches(seed: Seed, n: int, settings: PatchSettings) -> Patches:
    """n patches from as many events as they need; `event` says which patches share one."""
    x = np.empty((n, SIDE, SIDE), np.float32)
    rows = np.empty((5, n), np.int64)
    done = first_event = 0
    for rng in batches(seed):
        if done == n:
            break
        planes = simulate(rng, settings.events_per_batch, settings.events, first_event)
        row, wire, pixel, label, michel = (a[: n - done] for a in _choose(rng, planes, settings))
        if not row.size:
            raise ValueError("these settings give events without a single patch")
        here = slice(done, done + row.size)
        x[here] = scale(cut(planes.adc, row, wire, pixel), settings.scaling)
        rows[:, here] = planes.event[row], wire, pixel, label, michel
        done += row.size
        first_event += settings.events_per_batch
    one_hot = np.eye(3, dtype=np.float32)[rows[3]]
    michel_column = rows[4].astype(np.float32)[:, None]
    place = rows[1].astype(np.int32), rows[2].astype(np.int32)
    return Patches(x[..., None], one_hot, michel_column, rows[0], *place)
