# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A toy of jets as sets of particles: the 16 hardest, each with its share of the momentum and where
it lies around the jet's axis.

Nothing here is simulated physics, as in `jets`: a kind of jet sets how many prongs there are, how
far apart, and how many particles each radiates. Use it to exercise networks, not to quote physics.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.jets import CLASSES
from edgeinfer.lartpc.seeds import Seed, generator

PARTICLES = 16
MOST_PRONGS, MOST_PARTICLES = 3, 48
# For each kind of jet: prongs, how far they are from the axis, mean particles, width of a prong.
# All [guess].
_PRONGS = np.array([1, 1, 2, 2, 3])
_APART = np.array([0.0, 0.0, 0.22, 0.25, 0.34])
_MEAN_PARTICLES = np.array([34.0, 20.0, 24.0, 25.0, 34.0])
_WIDTH = np.array([0.14, 0.10, 0.06, 0.06, 0.08])
_STEEPNESS = 0.45  # the less, the more unequal are the particles
_BLUR = 0.03  # of a direction
_JETS_PER_EVENT = 2


@dataclass(frozen=True, slots=True)
class JetConstituents(EventArrays):
    """Particles x (n, 16, 3): share of the momentum as a logarithm, two angles; zeros behind the
    last one. Label one-hot (n, 5)."""

    x: NDArray[np.float32]
    label: NDArray[np.float32]
    event: NDArray[np.int64]


def generate_constituents(seed: Seed, n: int) -> JetConstituents:
    """n jets, two to an event, the hardest particle first."""
    rng = generator(seed)
    kind = rng.integers(0, len(CLASSES), n)
    count = np.clip(rng.poisson(_MEAN_PARTICLES[kind]), 3, MOST_PARTICLES)
    present = np.arange(MOST_PARTICLES) < count[:, None]
    share = rng.gamma(_STEEPNESS, 1.0, (n, MOST_PARTICLES)) * present
    share /= share.sum(axis=1, keepdims=True)
    angles = _prong_angles(rng, kind, n) + _WIDTH[kind][:, None, None] * rng.standard_normal(
        (n, MOST_PARTICLES, 2)
    )
    angles += _BLUR * rng.standard_normal(angles.shape)
    centre = (share[..., None] * angles).sum(axis=1, keepdims=True)
    order = np.argsort(-share, axis=1)[:, :PARTICLES, None]
    hardest = np.take_along_axis(share, order[..., 0], axis=1)
    around = np.take_along_axis(angles - centre, order, axis=1)
    is_seen = hardest > 1e-4
    momentum = np.where(is_seen, 1.0 + np.log10(np.maximum(hardest, 1e-4)) / 4.0, 0.0)
    x = np.concatenate([momentum[..., None], 4.0 * around * is_seen[..., None]], axis=2)
    label = np.eye(len(CLASSES), dtype=np.float32)[kind]
    return JetConstituents(x.astype(np.float32), label, np.arange(n) // _JETS_PER_EVENT)


def _prong_angles(rng: np.random.Generator, kind: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Where each particle's prong lies: prongs are spread evenly around the axis."""
    prongs = np.minimum(_PRONGS[kind], MOST_PRONGS)
    turn = rng.uniform(0, 2 * np.pi, (n, 1))
    which = rng.integers(0, MOST_PRONGS, (n, MOST_PARTICLES)) % prongs[:, None]
    phase = turn + 2 * np.pi * which / prongs[:, None]
    apart = (_APART[kind] * np.exp(0.25 * rng.standard_normal(n)))[:, None]
    return apart[..., None] * np.stack([np.cos(phase), np.sin(phase)], axis=2)
