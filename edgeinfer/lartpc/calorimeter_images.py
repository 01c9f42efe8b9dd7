# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Side views of an imaging calorimeter that several particles hit at once: 64 cells across, 64
layers deep, with the kind, the box and the cells of each particle.

A parametrised toy after the idea of CMS's HGCAL: gamma-function depth profiles, two-Gaussian width,
counting noise, straight tracks of minimum ionisation. Every constant that is not tagged is [guess].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr

from edgeinfer.lartpc.calorimeter import electromagnetic_depth
from edgeinfer.lartpc.drawn import EventArrays, draw_in_batches
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.seeds import Seed

KINDS = ("electromagnetic", "hadronic", "MIP")  # kind 0 is no particle
ELECTROMAGNETIC, HADRONIC, MIP = 1, 2, 3
SIDE = 64
MOST_PARTICLES = 5

_MIPS_FOR_GEV = 30.0  # signals of a minimum ionising particle for a GeV of a shower
_LAYER_X0, _LAYER_LAMBDA = 0.7, 0.04  # radiation and interaction lengths in a layer
_ELECTROMAGNETIC_GEV, _HADRONIC_GEV = (5.0, 60.0), (10.0, 80.0)
_MARGIN = 5.0  # cells between the edge and the place where a particle enters
_SLOPES = (0.05, 0.45)  # cells across for each layer, to either side
_LEAST_MEAN_MIPS = 0.5  # of a cell that belongs to a particle
_NOISE_SHARE, _NOISE_MIPS = 0.01, 0.4
_LEAST_SEEN_MIPS = 0.3  # smaller signals are not read out
_LOG2_RANGE = 10.0  # 1023 MIPs are 1
_IMAGES_PER_BATCH = 64


@dataclass(frozen=True, slots=True)
class CalorimeterImages(EventArrays):
    """Images, log2(1 + MIPs) / 10, and the particles of each, those that are not there zero."""

    x: NDArray[np.float32]  # (n, across, deep)
    kind: NDArray[np.int64]  # (n, particles)
    box: NDArray[np.int64]  # (n, particles, 4): first row and column, those behind the last
    mask: NDArray[np.bool_]  # (n, particles, across, deep): its cells with a signal
    event: NDArray[np.int64]


def generate_images(seed: Seed, n: int) -> CalorimeterImages:
    """n images, each an event of its own."""
    x = np.empty((n, SIDE, SIDE), np.float32)
    kind = np.empty((n, MOST_PARTICLES), np.int64)
    mask = np.empty((n, MOST_PARTICLES, SIDE, SIDE), bool)
    for rng, here in draw_in_batches(seed, n, _IMAGES_PER_BATCH):
        images, kinds, own = _draw_batch(rng)  # a whole batch, so that n changes no image
        count = here.stop - here.start
        x[here], kind[here], mask[here] = images[:count], kinds[:count], own[:count]
    box = bounds_of(mask)
    mask &= x[:, None] > 0
    kind[~mask.any(axis=(2, 3))] = 0
    return CalorimeterImages(x, kind, box * (kind > 0)[..., None], mask, np.arange(n))


def bounds_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The smallest boxes (..., 4) around the cells of masks (..., rows, columns)."""
    ends = []
    for axis in (-1, -2):
        lit = np.asarray(mask.any(axis=axis))
        some = lit.any(axis=-1)
        first = lit.argmax(axis=-1)
        ends.append((first, np.where(some, lit.shape[-1] - lit[..., ::-1].argmax(axis=-1), 0)))
    (top, bottom), (left, right) = ends
    return np.stack([top, left, bottom, right], axis=-1).astype(np.int64)


def _draw_batch(
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    shape = (_IMAGES_PER_BATCH, MOST_PARTICLES)
    there = np.arange(MOST_PARTICLES) < rng.integers(1, MOST_PARTICLES + 1, (shape[0], 1))
    kind = rng.integers(1, len(KINDS) + 1, shape) * there
    core, tail, track = (np.zeros((*shape, SIDE, SIDE), np.float32) for _ in range(3))
    _draw_means(rng, kind, core, tail, track)
    own = (core + tail + track) > _LEAST_MEAN_MIPS
    core, tail, track = (mean.sum(axis=1) for mean in (core, tail, track))
    # A hadron makes few secondary particles, of several MIPs each; a thin layer fluctuates.
    total = rng.poisson(core) + 3.0 * rng.poisson(tail / 3.0)
    total += track * np.maximum(rng.gumbel(1.0, 0.2, track.shape), 0.3)
    noisy = rng.random(total.shape) < _NOISE_SHARE
    total += np.where(noisy, rng.exponential(_NOISE_MIPS, total.shape), 0.0)
    total[total < _LEAST_SEEN_MIPS] = 0.0
    x = np.clip(np.log2(1.0 + total) / _LOG2_RANGE, 0.0, 1.0).astype(np.float32)
    return x, kind, own


def _draw_means(
    rng: np.random.Generator,
    kind: NDArray[np.int64],
    core: NDArray[np.float32],
    tail: NDArray[np.float32],
    track: NDArray[np.float32],
) -> None:
    """Mean signals in MIPs of each particle's parts: the electromagnetic one, the rest of a hadron,
    and the track of one that has not interacted."""
    n = kind.size
    edges = np.arange(SIDE + 1.0)
    way = rng.uniform(*_SLOPES, n) * rng.choice((-1.0, 1.0), n)
    enter = rng.uniform(_MARGIN, SIDE - _MARGIN, n)
    enter -= way * rng.uniform(0.0, 20.0, n)  # it may come from outside
    middle = enter[:, None] + way[:, None] * (edges[:-1] + 0.5)

    hadronic = kind.ravel() == HADRONIC
    showers = (kind.ravel() == ELECTROMAGNETIC) | hadronic
    energies = [rng.uniform(*span, n) for span in (_ELECTROMAGNETIC_GEV, _HADRONIC_GEV)]
    mips = _MIPS_FOR_GEV * np.where(hadronic, energies[1], energies[0])
    convert, interact = rng.standard_exponential((2, n))
    begin = np.where(
        hadronic, np.minimum(interact / _LAYER_LAMBDA, 40.0), convert * 9 / 7 / _LAYER_X0
    )
    share = np.where(hadronic, rng.beta(2.0, 3.0, n), 1.0)
    shift = 0.35 * rng.standard_normal(n)
    energy = mips / _MIPS_FOR_GEV
    depth = electromagnetic_depth(energy, begin * _LAYER_X0, shift, edges * _LAYER_X0)
    width = 0.8 * np.exp(0.1 * rng.standard_normal(n))
    _fill(core, showers, _MIPS_FOR_GEV * share[:, None] * depth, middle, width)

    after = np.maximum(edges - begin[:, None], 0.0) * _LAYER_LAMBDA
    depth = np.diff(gammainc(1.3, after / 0.35), axis=1) * ((1 - share) * mips)[:, None]
    beside = middle + rng.normal(0.0, 0.5, (n, 1))
    _fill(tail, hadronic, depth, beside, 3 * width)

    length = np.where(hadronic, begin, rng.uniform(16.0, 80.0, n))
    depth = np.clip(length[:, None] - edges[:-1], 0.0, 1.0)
    traced = hadronic | (kind.ravel() == MIP)
    _fill(track, traced, depth, middle, np.full(n, 0.25), halo=0.0)


def _fill(
    cells: NDArray[np.float32],
    chosen: NDArray[np.bool_],
    depth: Floats,
    middle: Floats,
    width: Floats,
    halo: float = 0.15,
) -> None:
    """Spread what each layer holds around the middle of the shower in it, for chosen particles."""
    edges = np.arange(SIDE + 1.0)[None, :, None] - middle[chosen][:, None, :]
    scaled = (edges / width[chosen][:, None, None]).astype(np.float32)
    across = (1 - halo) * np.diff(ndtr(scaled), axis=1)
    if halo:
        across += halo * np.diff(ndtr(scaled / 3.0), axis=1)
    flat = cells.reshape(-1, SIDE, SIDE)
    flat[chosen] = across * depth[chosen][:, None, :]
