# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A toy of hits in the planes of a tracker as a graph: is there a track among them, or noise alone?

Hits come in the order of their read-out, which says nothing. Edges join hits in neighbouring
planes, the closest pairs first; which hits they join differs from event to event. The charge of a
hit is that of a minimum-ionizing particle or noise. No detector is simulated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.seeds import Seed, generator

PLANES, HITS, EDGES = 8, 16, 24
_STEEPEST = 0.25  # track; planes are one unit apart
_BLUR = 0.04  # of a hit beside its track
_INEFFICIENCY = 0.12  # of a plane
_GRAPHS_PER_EVENT = 4


@dataclass(frozen=True, slots=True)
class HitGraphs(EventArrays):
    """Hits (n, 16, 3): plane, position, charge; edges by the hits at their ends (n, 24) each."""

    hits: NDArray[np.float32]
    senders: NDArray[np.float32]
    receivers: NDArray[np.float32]
    track: NDArray[np.float32]  # (n, 1): 1 where there is one
    event: NDArray[np.int64]


def generate_graphs(seed: Seed, n: int) -> HitGraphs:
    """n graphs, half of them with a track."""
    rng = generator(seed)
    has_track = rng.random(n) < 0.5
    plane = np.broadcast_to(np.arange(HITS) % PLANES, (n, HITS))
    position = rng.uniform(-1.0, 1.0, (n, HITS))
    charge = rng.gamma(3.0, 0.25, (n, HITS))
    start, slope = rng.uniform(-0.8, 0.8, (n, 1)), rng.uniform(-1, 1, (n, 1)) * _STEEPEST
    along = start + slope * (plane[:, :PLANES] - (PLANES - 1) / 2) / 2
    along = along + _BLUR * rng.standard_normal((n, PLANES))
    real = has_track[:, None] & (rng.random((n, PLANES)) > _INEFFICIENCY)
    real &= np.abs(along) < 1.0
    position[:, :PLANES] = np.where(real, along, position[:, :PLANES])
    charge[:, :PLANES] = np.where(real, rng.gamma(9.0, 0.1, (n, PLANES)), charge[:, :PLANES])
    order = np.argsort(rng.random((n, HITS)), axis=1)
    plane = np.take_along_axis(plane, order, axis=1)
    position, charge = (np.take_along_axis(part, order, axis=1) for part in (position, charge))
    senders, receivers = _closest_pairs(plane, position)
    hits = np.stack([plane / PLANES, position, charge], axis=2).astype(np.float32)
    event = np.arange(n) // _GRAPHS_PER_EVENT
    label = has_track[:, None].astype(np.float32)
    return HitGraphs(hits, senders, receivers, label, event)


def _closest_pairs(
    plane: NDArray[np.int64], position: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of all pairs of hits in neighbouring planes those that lie closest."""
    apart = np.abs(position[:, :, None] - position[:, None, :])
    neighbours = plane[:, None, :] - plane[:, :, None] == 1
    far = np.where(neighbours, apart, np.inf).reshape(len(plane), -1)
    chosen = np.argsort(far, axis=1)[:, :EDGES]
    return (chosen // HITS).astype(np.float32), (chosen % HITS).astype(np.float32)
