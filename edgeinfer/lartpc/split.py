# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Splits by event: samples of one event never land on both sides of a split.

Patches of an event overlap and share its particles; a split by patch would test on what was learnt.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def split_by_event(
    event_ids: ArrayLike, fractions: Sequence[float], seed: int
) -> tuple[NDArray[np.intp], ...]:
    """Indices of the samples in each part, rising; `fractions` of the events sum to one."""
    shares = np.asarray(fractions, float)
    if shares.size == 0 or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise ValueError(f"fractions must be at least 0 and sum to 1, not {list(fractions)}")
    ids, inverse = np.unique(np.asarray(event_ids), return_inverse=True)
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(ids.size)
    bounds = np.round(np.cumsum(shares) * ids.size).astype(np.intp)[:-1]
    part = np.empty(ids.size, np.intp)
    for number, events in enumerate(np.split(order, bounds)):
        part[events] = number
    return tuple(np.flatnonzero(part[inverse] == number) for number in range(shares.size))
