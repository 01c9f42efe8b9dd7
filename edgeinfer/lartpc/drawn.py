# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Samples that are drawn: as many as have a number of an event, and a batch at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc.seeds import Seed, batches


class EventArrays:
    """Arrays over samples or particles, one of which says to which event each belongs."""

    __slots__ = ()
    event: NDArray[Any]

    def __len__(self) -> int:
        return self.event.size


def draw_in_batches(seed: Seed, n: int, most: int) -> Iterator[tuple[np.random.Generator, slice]]:
    """For each batch a generator of its own, and where its samples go among all n."""
    for begin, rng in zip(range(0, n, most), batches(seed), strict=False):
        yield rng, slice(begin, min(begin + most, n))
