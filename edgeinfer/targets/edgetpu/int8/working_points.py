# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How many thresholds a score leaves to choose from, where selections are usually made.

Labels are not at hand when a file is made. The network's own probabilities stand for them: the
efficiency of a threshold is the share of all probability that lies above it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST_THRESHOLDS: Final = 64  # below which a score leaves more finely
LEAST_EFFICIENCY, MOST_EFFICIENCY = 0.90, 0.999
Reals = NDArray[np.float64]


class LastLayer(StrEnum):
    """Where the layer that makes a score is computed."""

    AUTO = "auto"  # by the host where 8 bits, or twice 8, leave too few thresholds
    CHIP = "chip"
    HOST = "host"


def threshold_range(scores: Reals) -> tuple[float, float]:
    """Between which thresholds the efficiency lies between 99.9 % and 90 %."""
    ordered = np.sort(scores.reshape(-1))[::-1]
    shares = np.exp(-np.logaddexp(0.0, -ordered))
    efficiency = np.cumsum(shares) / max(float(shares.sum()), 1e-300)
    ends = np.searchsorted(efficiency, [MOST_EFFICIENCY, LEAST_EFFICIENCY])
    low, high = ordered[np.minimum(ends, ordered.size - 1)]
    return float(low), float(high)


def count_thresholds(scores: Reals, step: float, least: float, most: float) -> int:
    """How many levels lie in that range, its ends included, of those that go in steps from the
    least to the most."""
    low, high = threshold_range(scores)
    inside = min(high, most) - max(low, least)
    return int(np.floor(inside / step)) + 1 if inside >= 0 else 1
