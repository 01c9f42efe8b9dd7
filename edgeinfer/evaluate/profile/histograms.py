# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Histograms over powers of two, added up batch by batch: the scale on which formats are boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeinfer.evaluate.profile.data import Histogram

SMALLEST, LARGEST = -40, 40  # powers of two; what lies beyond counts in the last bin


@dataclass(slots=True)
class Tally:
    """Counts so far of one tensor's values."""

    counts: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(LARGEST - SMALLEST, np.int64)
    )
    zeros: int = 0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, values: NDArray[np.floating]) -> None:
        """Count a batch."""
        flat = values.ravel()
        if not flat.size:
            return
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        size = np.abs(flat[flat != 0])
        self.zeros += flat.size - size.size
        if size.size:
            places = np.ceil(np.log2(size)).astype(np.int64) - 1
            first = places - SMALLEST
            inside = np.clip(first, 0, len(self.counts) - 1)
            self.counts += np.bincount(inside, minlength=len(self.counts))

    def histogram(self) -> Histogram:
        """The bins from the first that holds anything to the last."""
        filled = np.flatnonzero(self.counts)
        start, stop = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, 0)
        is_any = bool(filled.size or self.zeros)
        return Histogram(
            first=start + SMALLEST,
            counts=tuple(self.counts[start:stop].tolist()),
            zeros=self.zeros,
            low=self.low if is_any else 0.0,
            high=self.high if is_any else 0.0,
        )


def of_values(values: NDArray[np.floating]) -> Histogram:
    """The histogram of all values at once."""
    tally = Tally()
    tally.add(values)
    return tally.histogram()
