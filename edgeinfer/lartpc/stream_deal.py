# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Dealing shards to workers: every shard to exactly one, every group spread over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edgeinfer.lartpc.formats.shards import Shard


def deal_shards(
    shards: Sequence[Shard], piles: int, rng: np.random.Generator | None
) -> tuple[tuple[Shard, ...], ...]:
    """Disjoint piles whose union is `shards`; interleaved by group and shuffled if given an `rng`.

    Without one, each pile is a run of consecutive shards. With one, a group that has a tenth of the
    shards has about a tenth of any stretch of any pile.
    """
    if rng is None:
        edges = [round(i * len(shards) / piles) for i in range(piles + 1)]
        return tuple(tuple(shards[low:high]) for low, high in pairwise(edges))
    placed: list[tuple[float, int]] = []
    for indices in _by_group(shards):
        order = rng.permutation(len(indices))
        places = (np.arange(len(indices)) + rng.random(len(indices))) / len(indices)
        placed += [(float(place), indices[i]) for place, i in zip(places, order, strict=True)]
    placed.sort()
    mixed = [shards[index] for _, index in placed]
    return tuple(tuple(mixed[pile::piles]) for pile in range(piles))


def _by_group(shards: Sequence[Shard]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for index, shard in enumerate(shards):
        groups.setdefault(shard.group, []).append(index)
    return list(groups.values())
