# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Signed digits of whole numbers, of which none is beside another: as few as there can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def count_digits(numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many digits each number has: the bits in which it differs from three times itself."""
    size = np.abs(numbers.astype(np.int64))
    differing: NDArray[np.uint8] = np.bitwise_count(size ^ (3 * size))
    return differing.astype(np.int64)
