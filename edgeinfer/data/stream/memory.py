# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sharing a memory cap out between the processes of a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.base.errors import UsageError
from edgeinfer.data.formats.shards import Layout, Shard, row_bytes

SLOTS = 2
"""Batches a worker may be ahead of the reader: one being filled while the other is taken."""

_IN_FLIGHT = 3
"""Batches a process holds outside buffer and slots: the one being made, the one before it, and
what the allocator keeps for the next."""

_PROCESS_BYTES = 9 * 1024 * 1024
"""What a process grows by besides data: lazily loaded code and the allocator's slack; measured."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a stream holds at most, in bytes, and the buffer that this leaves each worker."""

    cap_bytes: int
    buffer_rows: int
    batch_bytes: int
    read_bytes: int
    total_bytes: int


def plan_memory(
    layout: Layout, shards: Sequence[Shard], *, batch_rows: int, workers: int, cap_bytes: int
) -> MemoryPlan:
    """The largest shuffle buffers that keep to the cap; refuses a cap that leaves room for none."""
    bytes_a_row = row_bytes(layout) + 8
    batch_bytes = batch_rows * bytes_a_row
    read_bytes = max(shard.read_bytes for shard in shards)
    processes = max(1, workers)
    slots = SLOTS if workers else 0
    # Slots count twice because they show up in the memory of both the worker and the reader.
    batches = (workers + 1) * _IN_FLIGHT + 2 * slots * workers
    fixed = processes * read_bytes + batches * batch_bytes + (workers + 1) * _PROCESS_BYTES
    total_rows = sum(shard.rows for shard in shards) if all(s.rows for s in shards) else None
    fits = (cap_bytes - fixed) // (processes * bytes_a_row)
    if fits < batch_rows:
        needed = fixed + processes * batch_bytes
        raise UsageError(
            f"a memory cap of {_mib(cap_bytes)} is too small for {processes} process(es) with "
            f"batches of {batch_rows} rows of {bytes_a_row} bytes, read {_mib(read_bytes)} a time.",
            hint=f"Allow {_mib(needed)} or more, or use fewer workers or smaller batches.",
        )
    buffer_rows = fits if total_rows is None else min(fits, max(batch_rows, total_rows))
    total = fixed + processes * buffer_rows * bytes_a_row
    return MemoryPlan(cap_bytes, buffer_rows, batch_bytes, read_bytes, total)


def _mib(count: int) -> str:
    return f"{math.ceil(count / 2**20)} MiB"
