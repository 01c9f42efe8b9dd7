# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Dealing shards to workers: every shard to exactly one, every group spread over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from edgeinfer.data.formats.shards import Shard


def deal_shards(
    shards: Sequence[Shard], piles: int, rng: np.random.Generator | None
) -> tuple[tuple[Shard, ...], ...]:
    """Disjoint piles whose union is `shards`; interleaved by group and shuffled if given an `rng`.

    Without one, each pile is a run of consecutive shards. With one, every pile has its share of
    every group, and a group that makes up a tenth of a pile is a tenth of any stretch of it.
    """
    if rng is None:
        edges = [round(i * len(shards) / piles) for i in range(piles + 1)]
        return tuple(tuple(shards[low:high]) for low, high in pairwise(edges))
    placed: list[list[tuple[float, int]]] = [[] for _ in range(piles)]
    dealt = 0
    for indices in _by_group(shards):
        order = rng.permutation(indices)
        turns = (dealt + np.arange(len(indices))) % piles
        dealt += len(indices)
        for pile in range(piles):
            mine = order[turns == pile]
            places = (np.arange(len(mine)) + rng.random(len(mine))) / max(1, len(mine))
            placed[pile] += zip(places.tolist(), mine.tolist(), strict=True)
    return tuple(tuple(shards[index] for _, index in sorted(pile)) for pile in placed)


def _by_group(shards: Sequence[Shard]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for index, shard in enumerate(shards):
        groups.setdefault(shard.group, []).append(index)
    return list(groups.values())
