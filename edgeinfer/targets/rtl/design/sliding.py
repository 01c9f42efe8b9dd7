# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A window over an image: its geometry, and what its block does at each pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeinfer.targets.rtl.design.netlist import BlockStep


class Sliding:
    """The geometry of a window over an image; one dimension is an image of one row."""

    def __init__(
        self,
        image: Sequence[int],
        kernel: Sequence[int],
        strides: Sequence[int],
        dilation: Sequence[int],
        pads: Sequence[tuple[int, int]],
    ) -> None:
        rows = 2 - len(kernel)
        self.channels = image[-1]
        self.image = (*[1] * rows, *image[:-1])
        self.kernel = (*[1] * rows, *kernel)
        self.strides = (*[1] * rows, *strides)
        self.dilation = (*[1] * rows, *dilation)
        self.pads = (*[(0, 0)] * rows, *pads)

    @property
    def taps(self) -> int:
        """Elements of a whole window."""
        return math.prod(self.kernel) * self.channels


def window_steps(shape: Sliding, chunks: int, rounds: int = 1) -> tuple[BlockStep, ...]:
    """One step for each place of the padded image, and one for each further chunk of a window; all
    of these once for each round in which a part of the channels comes."""
    later = BlockStep(reserves=True, yields=True)
    steps: list[BlockStep] = []
    sizes = [size + sum(pad) for size, pad in zip(shape.image, shape.pads, strict=True)]
    hits = [
        _hits(size, (k - 1) * d + 1, s)
        for size, k, d, s in zip(sizes, shape.kernel, shape.dilation, shape.strides, strict=True)
    ]
    insides = [
        [pad[0] <= place < pad[0] + size for place in range(padded)]
        for padded, size, pad in zip(sizes, shape.image, shape.pads, strict=True)
    ]
    rows: dict[tuple[bool, bool], list[BlockStep]] = {}  # most are alike
    for row in zip(insides[0], hits[0], strict=True):
        if row not in rows:
            rows[row] = []
            for column in zip(insides[1], hits[1], strict=True):
                inside, hit = row[0] and column[0], row[1] and column[1]
                first = BlockStep(int(inside), int(inside), hit, hit)
                rows[row] += [first, *[later] * ((chunks - 1) * hit)] * rounds
        steps += rows[row]
    return tuple(steps)


def _hits(size: int, reach: int, stride: int) -> list[bool]:
    return [place >= reach - 1 and (place - reach + 1) % stride == 0 for place in range(size)]
