# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Planes as lists of their lit pixels, for networks that learn at these alone.

A plane of 512 x 512 has a thousand lit pixels or less; as frames, some thousand planes and their
labels would not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.zoo.entry import Arrays

KERNEL = 3  # sides of a window around a site
STRIDE = 2  # sites of a level that become one of the next


@dataclass(frozen=True)
class SiteSamples:
    """Planes, each the run of sites from `start` of it to that of the next, in raster order."""

    side: int
    levels: int  # of the network, each with half the side of the one before
    start: NDArray[np.int64]
    row: NDArray[np.int16]
    column: NDArray[np.int16]
    value: NDArray[np.float32]
    label: NDArray[np.float32]  # by site and class
    event: NDArray[np.int64]

    @staticmethod
    def of(
        frames: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]],
        levels: int,
        threshold: float,
    ) -> SiteSamples:
        """The pixels above the threshold of planes (n, side, side, 1), which come in parts with
        their labels. Every plane is an event of its own; one without such a pixel has nothing to
        learn from and is left out."""
        parts, counts, side = [], [], 0
        for image, label in frames:
            side = image.shape[1]
            plane, row, column = np.nonzero(image[..., 0] > threshold)
            place = (plane, row, column)
            parts.append((row, column, image[..., 0][place], label[place]))
            counts.append(np.bincount(plane, minlength=len(image)))
        row, column, value, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        lit = np.concatenate(counts)
        event = np.flatnonzero(lit)
        start = np.concatenate([[0], np.cumsum(lit[event])])
        place16 = (row.astype(np.int16), column.astype(np.int16))
        return SiteSamples(side, levels, start, *place16, value, labels, event)

    def __len__(self) -> int:
        return self.event.size

    def take(self, rows: NDArray[np.intp]) -> SiteSamples:
        """The chosen planes."""
        counts = np.diff(self.start)[rows]
        start = np.concatenate([[0], np.cumsum(counts)])
        sites = np.repeat(self.start[rows] - start[:-1], counts) + np.arange(start[-1])
        return self._at(sites, start, self.event[rows])

    def mirror(self, axis: int, marked: NDArray[np.bool_]) -> SiteSamples:
        """The same, the marked planes mirrored along an axis."""
        plane = self.plane
        row, column = (
            np.where(marked[plane] & (axis == mirrored), self.side - 1 - places, places)
            for mirrored, places in ((1, self.row), (2, self.column))
        )
        order = np.lexsort((column, row, plane))
        turned = replace(self, row=row.astype(np.int16), column=column.astype(np.int16))
        return turned._at(order, self.start, self.event)

    @property
    def plane(self) -> NDArray[np.intp]:
        """The plane of each site."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @property
    def inputs(self) -> Mapping[str, NDArray[Any]]:
        """The features of all sites, and for each level who is whose neighbour, child and place."""
        return {"image": self.value[:, None], **self._tables}

    @property
    def targets(self) -> Arrays:
        """What there is to learn, site by site."""
        return {"label": self.label}

    @cached_property
    def _tables(self) -> dict[str, NDArray[np.int32]]:
        """Rows of the level's sites; a row beyond the last one stands for a pixel that is not lit.
        Sites of all levels are in raster order, plane by plane."""
        tables: dict[str, NDArray[np.int32]] = {}
        plane, row, column = self.plane, self.row.astype(np.intp), self.column.astype(np.intp)
        for level in range(self.levels):
            side = self.side // STRIDE**level
            count = plane.size
            grid = np.full((len(self), side + 2, side + 2), count, np.int32)
            grid[plane, row + 1, column + 1] = np.arange(count)
            tables[f"neighbours{level}"] = np.stack(
                [grid[plane, row + i, column + j] for i, j in np.ndindex(KERNEL, KERNEL)], axis=1
            )
            if level + 1 == self.levels:
                break
            half = side // STRIDE
            coarse = (plane * half + row // STRIDE) * half + column // STRIDE
            keys, parent = np.unique(coarse, return_inverse=True)
            place = row % STRIDE * STRIDE + column % STRIDE
            children = np.full((keys.size, STRIDE * STRIDE), count, np.int32)
            children[parent, place] = np.arange(count)
            tables[f"children{level}"] = children
            tables[f"places{level}"] = (parent * STRIDE**2 + place).astype(np.int32)
            plane, row, column = keys // half**2, keys // half % half, keys % half
        return tables

    def _at(
        self, sites: NDArray[np.intp], start: NDArray[np.int64], event: NDArray[np.int64]
    ) -> SiteSamples:
        return replace(
            self,
            start=start,
            row=self.row[sites],
            column=self.column[sites],
            value=self.value[sites],
            label=self.label[sites],
            event=event,
        )
