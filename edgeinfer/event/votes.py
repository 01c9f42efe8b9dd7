# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vertices of a plane, proposed by its hits: each votes for the place to which a network points.

A network such as `vertex-finder` says of every patch how far the vertex lies from the middle. Where
many hits point to one place there is a vertex; hits of other particles point here and there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.evaluate.judge import real_outputs
from edgeinfer.ir.program import Program
from quantization.fixed import Ints

OUTPUTS = ("wire", "time")  # of a network that points
REACH = 4  # pixels around a place whose votes count for it
MOST = 3  # vertices of a plane
LEAST_SHARE = 0.1  # of all hits that must point to a vertex


@dataclass(frozen=True, slots=True)
class ProposedVertex:
    """A place in the plane, as the mean of the votes for it, and how many hits these are of."""

    wire: float
    pixel: float
    votes: int
    share: float


def check_pointing(program: Program, unit_pixels: float) -> None:
    """Refuse a network that does not point, and a unit that is no length."""
    names = {output.name for output in program.outputs}
    if not unit_pixels > 0 or not np.isfinite(unit_pixels):
        raise UsageError(f"--vertices is {unit_pixels}, but must be pixels, above 0.")
    missing = [name for name in OUTPUTS if name not in names]
    if missing:
        raise UsageError(
            f"{program.name} has no output {missing[0]!r}, so its hits point nowhere.",
            hint="--vertices is for networks like vertex-finder, whose outputs wire and time say "
            "how far the vertex is.",
        )


def propose_vertices(
    program: Program,
    hits: NDArray[np.intp],
    raw: Mapping[str, Ints],
    shape: tuple[int, int],
    unit_pixels: float,
) -> tuple[ProposedVertex, ...]:
    """The places of a plane (wires, pixels) to which most hits point; one of an output stands for
    so many pixels."""
    real = real_outputs(program, raw)
    away = np.stack([real[name].reshape(-1) for name in OUTPUTS], axis=1)
    return find_places(hits + unit_pixels * away, shape)


def find_places(votes: NDArray[np.float64], shape: tuple[int, int]) -> tuple[ProposedVertex, ...]:
    """Where votes (n, 2) lie close together, those with most votes first."""
    count = len(votes)
    nearest = np.rint(votes).astype(np.intp)
    inside = np.all((nearest >= 0) & (nearest < np.array(shape)), axis=1)
    votes, nearest = votes[inside], nearest[inside]
    vertices: list[ProposedVertex] = []
    while len(vertices) < MOST and len(votes):
        sums = _votes_around(nearest, shape)
        place = np.array(np.unravel_index(int(sums.argmax()), shape))
        near = np.all(np.abs(nearest - place) <= REACH, axis=1)
        if near.sum() < LEAST_SHARE * count:
            break
        wire, pixel = votes[near].mean(axis=0)
        total = int(near.sum())
        vertices.append(ProposedVertex(float(wire), float(pixel), total, total / count))
        far = ~np.all(np.abs(nearest - place) <= 2 * REACH, axis=1)
        votes, nearest = votes[far], nearest[far]
    return tuple(vertices)


def _votes_around(nearest: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.int64]:
    """How many votes lie within reach of each pixel."""
    flat = np.bincount(np.ravel_multi_index(tuple(nearest.T), shape), minlength=shape[0] * shape[1])
    sums: NDArray[np.int64] = flat.reshape(shape).astype(np.int64)
    for axis in (0, 1):
        wide = np.pad(sums, [(REACH + 1, REACH) if each == axis else (0, 0) for each in (0, 1)])
        total = np.cumsum(wide, axis=axis)
        length = sums.shape[axis]
        upper = np.take(total, np.arange(2 * REACH + 1, 2 * REACH + 1 + length), axis=axis)
        sums = upper - np.take(total, np.arange(length), axis=axis)
    return sums
