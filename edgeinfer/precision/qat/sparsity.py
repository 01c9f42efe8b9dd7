# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pruning of single weights: which are zero, more and more of them as training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RAMP = 0.6  # share of the steps over which weights are taken out; the rest heals
EVERY = 20  # steps between choices

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SparsitySchedule:
    """The share of zero weights at every step: fast at first, when there are many to spare."""

    final: float
    steps: int

    def at(self, step: int) -> float:
        """The share that is to be zero after a step."""
        ramp = max(1.0, RAMP * self.steps)
        left = max(0.0, 1.0 - step / ramp)
        return float(self.final * (1.0 - left**3))

    def changes(self, step: int) -> bool:
        """Whether weights are chosen anew at a step."""
        return self.final > 0.0 and (step % EVERY == 0 or step == self.steps - 1)


def masks(kernels: Mapping[str, NDArray[np.floating]], share: float) -> dict[str, Mask]:
    """Which weights stay, so that at least `share` of all are zero: the smallest go, measured in
    units of their output channel's own size, and each channel keeps its largest."""
    sizes = {name: relative(kernel) for name, kernel in kernels.items()}
    every = np.concatenate([size.ravel() for size in sizes.values()])
    removed_count = int(np.ceil(share * every.size))
    limit = np.partition(every, removed_count - 1)[removed_count - 1] if removed_count else -1.0
    return {name: (size > limit) | _largest(size) for name, size in sizes.items()}


def relative(kernel: NDArray[np.floating]) -> NDArray[np.float64]:
    """Magnitudes over the root mean square of the channel that they belong to."""
    columns = np.abs(kernel.astype(np.float64)).reshape(-1, kernel.shape[-1])
    usual = np.sqrt(np.mean(columns**2, axis=0))
    scaled = np.divide(columns, usual, out=np.zeros_like(columns), where=usual > 0)
    return scaled.reshape(kernel.shape)


def _largest(sizes: NDArray[np.float64]) -> Mask:
    columns = sizes.reshape(-1, sizes.shape[-1])
    kept = (columns == columns.max(axis=0)) & (columns > 0)
    return np.asarray(kept.reshape(sizes.shape))
