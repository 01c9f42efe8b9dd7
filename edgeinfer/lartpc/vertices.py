# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pieces of a collection plane around interactions: where the vertex lies is what is to be found.

A piece is cut so that the vertex lies anywhere near its middle, as one does that is cut around a
first guess.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.drawn import EventArrays, draw_in_batches
from edgeinfer.lartpc.interactions import generate_interactions
from edgeinfer.lartpc.seeds import Seed
from edgeinfer.lartpc.views import ViewSettings

SIDE = 128
FARTHEST = 32  # pixels from the middle of a piece to the vertex, along each axis
_EVENTS_PER_BATCH = 96


@dataclass(frozen=True, slots=True)
class VertexPieces(EventArrays):
    """Pieces (n, 128, 128) from 0 to 1; offsets (n, 2) of the vertex from the middle in wires and
    in pixels of time, over the farthest."""

    x: NDArray[np.float32]
    offset: NDArray[np.float32]
    event: NDArray[np.int64]


def generate_vertices(seed: Seed, n: int) -> VertexPieces:
    """n pieces, each of an event of its own."""
    collection = ViewSettings(angles_deg=(0.0,), pooled=1)
    x, offset = np.empty((n, SIDE, SIDE), np.float32), np.empty((n, 2), np.float32)
    for rng, here in draw_in_batches(seed, n, _EVENTS_PER_BATCH):
        interactions = generate_interactions(rng, here.stop - here.start, collection)
        x[here], offset[here] = cut_pieces(rng, interactions.x[:, 0], interactions.vertex_cm)
    return VertexPieces(x, offset, np.arange(n))


def cut_pieces(
    rng: np.random.Generator, planes: NDArray[np.float32], vertex_cm: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A piece of each plane; what lies beyond the plane is empty."""
    vertex = np.stack([vertex_cm[:, 2] / c.WIRE_PITCH_CM, vertex_cm[:, 0] / c.PIXEL_CM], axis=1)
    away = rng.uniform(-FARTHEST, FARTHEST, vertex.shape)
    middle = np.rint(vertex - away).astype(np.intp)  # of the piece; it may lie beyond the plane
    margin = SIDE // 2 + FARTHEST
    wide = np.pad(planes, ((0, 0), (margin, margin), (margin, margin)))
    pieces = np.stack(
        [
            plane[wire : wire + SIDE, time : time + SIDE]
            for plane, (wire, time) in zip(wide, middle + margin - SIDE // 2, strict=True)
        ]
    )
    return pieces, ((vertex - middle) / FARTHEST).astype(np.float32)
