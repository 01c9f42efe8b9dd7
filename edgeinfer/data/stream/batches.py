# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Batches from files far larger than memory: under a cap, by several workers, mixed on the fly.

A stream deals the shards of a source out to its workers, so that no worker reads what another
reads. Each worker interleaves the shards of its groups (files, classes) and passes the rows through
a shuffle buffer; the batches of the workers are taken in turn, so that a stream is reproduced by
its source, seed, number of workers and memory cap, whatever the machine's timing.

    stream = Stream(PatchTable(paths), StreamSettings(workers=2))
    for epoch in range(30):
        for batch in stream.epoch(epoch):
            ...  # batch["patch"], batch["labels"], batch["michel"]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, assert_never

import numpy as np

from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.shards import Columns, Shard, ShardSource
from edgeinfer.data.stream.memory import MemoryPlan, plan_memory
from edgeinfer.data.stream.shuffle import batches_in_order, batches_mixed
from edgeinfer.data.stream.workers import WorkerTask, batches_from_workers

Mixing = Literal["in-order", "on-the-fly"]
"""Rows as the files have them, or interleaved and shuffled."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How to turn a source into batches."""

    batch_rows: int = 256
    workers: int = 0
    """Processes that read; 0 reads in the calling process."""
    seed: int = 0
    mixing: Mixing = "on-the-fly"
    memory_cap_bytes: int = 256 * 1024 * 1024
    """For all data that the stream holds, over all its processes; not for their interpreters."""

    def __post_init__(self) -> None:
        if self.batch_rows < 1 or self.workers < 0:
            raise ValueError("a stream needs batch_rows >= 1 and workers >= 0")


class BatchStream:
    """Batches of a source, epoch by epoch."""

    def __init__(self, source: ShardSource, settings: StreamSettings | None = None) -> None:
        self.source = source
        self.settings = settings or StreamSettings()
        self.shards = source.shards()
        if not self.shards:
            hint = "The source lists no rows."
            raise DataFileError("the source", "", "nothing is left to read", hint=hint)
        self.memory: MemoryPlan = plan_memory(
            source.layout(),
            self.shards,
            batch_rows=self.settings.batch_rows,
            workers=self.settings.workers,
            cap_bytes=self.settings.memory_cap_bytes,
        )

    def epoch(self, number: int = 0) -> Iterator[Columns]:
        """Each row once, in batches of `batch_rows`; the last batch of a worker may be shorter."""
        settings = self.settings
        piles = self.deal_shards(number)
        if settings.workers == 0:
            task = self._task(piles[0], number, 0)
            yield from read_task(task)
            return
        tasks = [self._task(pile, number, index) for index, pile in enumerate(piles) if pile]
        yield from batches_from_workers(read_task, tasks, self.memory)

    def deal_shards(self, number: int = 0) -> tuple[tuple[Shard, ...], ...]:
        """The shards of each worker for an epoch, in reading order; no shard is in two of them."""
        piles = max(1, self.settings.workers)
        match self.settings.mixing:
            case "in-order":
                return deal_shards(self.shards, piles, None)
            case "on-the-fly":
                rng = np.random.default_rng([self.settings.seed, number])
                return deal_shards(self.shards, piles, rng)
            case _:
                assert_never(self.settings.mixing)

    def _task(self, shards: tuple[Shard, ...], number: int, worker: int) -> WorkerTask:
        settings = self.settings
        buffer_rows = self.memory.buffer_rows if settings.mixing == "on-the-fly" else 0
        seed = (settings.seed, number, worker)
        return WorkerTask(self.source, shards, settings.batch_rows, buffer_rows, seed)


def read_task(task: WorkerTask) -> Iterator[Columns]:
    """The batches of one worker's shards."""
    blocks = (block for shard in task.shards for block in task.source.read(shard))
    if task.buffer_rows == 0:
        return batches_in_order(blocks, task.batch_rows)
    rng = np.random.default_rng(task.seed)
    return batches_mixed(blocks, task.source.layout(), task.batch_rows, task.buffer_rows, rng)


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
