# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which places of a layer's output a mask of lit pixels shows: what the layer makes elsewhere is
never seen, so it must not count where its weights are fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq.points import mask_of, readers_of

Places = NDArray[np.bool_]  # by sample and place


@dataclass(frozen=True, slots=True, eq=False)
class ShownPlaces:
    """The mask behind a layer, and the moves that are between them."""

    mask: str
    shape: g.Shape  # of the layer's output
    moves: tuple[g.MoveNode, ...]

    def lit(self, mask: NDArray[Any]) -> Places:
        """The places that are seen somewhere, under a mask (samples, ..., 1)."""
        pixels: Places = mask.reshape(len(mask), -1) != 0
        if not self.moves:
            return pixels
        places = np.arange(math.prod(self.shape)).reshape(self.shape) // self.shape[-1]
        for move in self.moves:
            places = move.move(places, -1)
        lit = np.zeros((len(mask), math.prod(self.shape[:-1])), np.bool_)
        for channel in np.moveaxis(places, -1, 0):
            seen = channel.ravel() >= 0
            for sample, row in zip(lit, pixels, strict=True):
                sample[channel.ravel()[seen & row]] = True
        return lit


def places_shown(graph: g.Graph, layer: str) -> ShownPlaces | None:
    """What a mask shows of a layer's output; None where something else reads it, too."""
    readers = readers_of(graph)
    tensor, moves = layer, list[g.MoveNode]()
    while tensor not in graph.outputs:
        match readers.get(tensor):
            case [g.MergeNode() as merge] if masked := mask_of(graph, merge):
                return ShownPlaces(masked[0], graph.shapes[layer], tuple(moves))
            case [g.ActivationNode() | g.AffineNode() | g.BatchNormNode() | g.PReluNode() as each]:
                tensor = each.name
            case [g.MoveNode() as move]:
                moves.append(move)
                tensor = move.name
            case _:  # any other node may look at places that the mask does not show
                return None
    return None
