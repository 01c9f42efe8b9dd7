# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Patches side by side in planes: the centre of each is marked as a hit, which sees its own patch
and nothing else. So samples can be given to what takes whole planes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import DisagreementError
from quantization.fixed import Ints

MarkedPlane = tuple[Ints, NDArray[np.bool_]]  # raw integers (wires, pixels), and which are hits


@dataclass(frozen=True, slots=True)
class PatchTiles:
    """Patches of one size in planes of one size. Pairs are (along the wires, along time)."""

    patch: tuple[int, int]
    plane: tuple[int, int]

    def corners(self) -> Iterator[tuple[int, int]]:
        """Where patches lie in a plane, without overlap."""
        height, width = self.patch
        for top in range(0, self.plane[0] - height + 1, height):
            for left in range(0, self.plane[1] - width + 1, width):
                yield top, left

    def count_planes(self, count: int) -> int:
        """Planes that so many patches need."""
        return -(-count // len(list(self.corners())))

    def lay_planes(self, patches: Ints) -> Iterator[MarkedPlane]:
        """Patches (samples, rows, columns, 1) in planes, one after the other: all of them together
        may be large."""
        corners = list(self.corners())
        for start in range(0, len(patches), len(corners)):
            yield self._lay_plane(patches[start : start + len(corners)], corners)

    def find_rows(self, count: int, plane: Ints, wire: Ints, pixel: Ints, who: str) -> list[int]:
        """Which of the hits that came out belongs to each of so many patches; an error where one
        is missing. With a threshold, other pixels of a patch may be hits, too."""
        (height, width), corners = self.patch, list(self.corners())
        sample_of = {
            (number // len(corners), top + height // 2, left + width // 2): number
            for number in range(count)
            for top, left in [corners[number % len(corners)]]
        }
        hits = zip(plane.tolist(), wire.tolist(), pixel.tolist(), strict=True)
        row_of = {sample_of[hit]: row for row, hit in enumerate(hits) if hit in sample_of}
        if lost := count - len(row_of):
            raise DisagreementError(
                f"{who}: {lost} of {count} hits never came out.",
                hint="Please report this, with the model.",
            )
        return [row_of[number] for number in range(count)]

    def _lay_plane(self, patches: Ints, corners: list[tuple[int, int]]) -> MarkedPlane:
        height, width = self.patch
        raw: Ints = np.zeros(self.plane, np.int64)
        hits = np.zeros(self.plane, np.bool_)
        for patch, (top, left) in zip(patches, corners, strict=False):
            raw[top : top + height, left : left + width] = patch[:, :, 0]
            hits[top + height // 2, left + width // 2] = True
        return raw, hits
