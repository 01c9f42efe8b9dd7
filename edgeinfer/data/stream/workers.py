# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Worker processes: each reads its own shards and hands batches over through shared memory.

A worker owns a few slots of shared memory. It fills a free slot and says so on its pipe; the reader
copies the batch out and gives the slot back. Batches are taken from the workers in turn, so their
order does not depend on timing, and a worker is never more than its slots ahead.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from edgeinfer.base.errors import EdgeInferError, ToolFailedError
from edgeinfer.data.formats.shards import Columns, Layout, Shard, ShardSource, rows_in
from edgeinfer.data.stream.memory import SLOTS, MemoryPlan

_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What one worker does in one epoch."""

    source: ShardSource
    shards: tuple[Shard, ...]
    batch_rows: int
    buffer_rows: int
    seed: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _FilledBuffer:
    slot: int
    rows: int


@dataclass(frozen=True, slots=True)
class _FinishedTask:
    pass


@dataclass(frozen=True, slots=True)
class _FailedTask:
    error: EdgeInferError


_Message = _FilledBuffer | _FinishedTask | _FailedTask

ReadTask = Callable[[WorkerTask], Iterator[Columns]]


@dataclass(slots=True)
class _Worker:
    process: Any
    pipe: Connection
    slots: list[dict[str, np.ndarray]]


def batches_from_workers(
    read_task: ReadTask, tasks: Sequence[WorkerTask], memory: MemoryPlan
) -> Iterator[Columns]:
    """The batches of all tasks, one worker each, taken in turn; ends all workers when it ends."""
    # A forked child would inherit the locks of TensorFlow's threads; a fresh interpreter does not.
    context = multiprocessing.get_context("spawn")
    workers = [_start(context, read_task, task, memory) for task in tasks]
    try:
        running = list(workers)
        while running:
            for worker in list(running):
                batch = _next_batch(worker)
                if batch is None:
                    running.remove(worker)
                else:
                    yield batch
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _start(context: Any, read_task: ReadTask, task: WorkerTask, memory: MemoryPlan) -> _Worker:
    layout = task.source.layout()
    raw = [context.RawArray("B", _slot_bytes(layout, task.batch_rows)) for _ in range(SLOTS)]
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(read_task, task, raw, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours, [_view(slot, layout, task.batch_rows) for slot in raw])


def _next_batch(worker: _Worker) -> Columns | None:
    try:
        message: _Message = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        raise ToolFailedError(
            f"a reading worker ended with exit status {code} in the middle of its work.",
            hint="The usual reason is too little memory: lower the cap, or use fewer workers.",
        ) from None
    match message:
        case _FilledBuffer(slot, rows):
            batch = {name: view[:rows].copy() for name, view in worker.slots[slot].items()}
            with suppress(ConnectionError):  # a worker that has finished takes no slot back
                worker.pipe.send(slot)
            return batch
        case _FinishedTask():
            return None
        case _FailedTask(error):
            raise error


def _slot_bytes(layout: Layout, rows: int) -> int:
    return sum(_align_size(column.row_bytes * rows) for column in layout.values())


def _align_size(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _view(raw: Any, layout: Layout, rows: int) -> dict[str, np.ndarray]:
    views, offset = {}, 0
    for name, column in layout.items():
        count = column.row_bytes * rows
        flat = np.frombuffer(raw, dtype=np.uint8, count=count, offset=offset)
        views[name] = flat.view(column.dtype).reshape(rows, *column.shape)
        offset += _align_size(count)
    return views


def _work(read_task: ReadTask, task: WorkerTask, raw: list[Any], pipe: Connection) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the reader ends its workers itself

    slots = [_view(slot, task.source.layout(), task.batch_rows) for slot in raw]
    free = list(range(len(slots)))
    with suppress(ConnectionError, EOFError):  # the reader has gone; so does the worker
        try:
            for batch in read_task(task):
                slot = free.pop() if free else pipe.recv()
                rows = rows_in(batch)
                for name, view in slots[slot].items():
                    view[:rows] = batch[name]
                pipe.send(_FilledBuffer(slot, rows))
            pipe.send(_FinishedTask())
        except EdgeInferError as error:
            pipe.send(_FailedTask(error))
        except (ConnectionError, EOFError):
            raise
        except Exception as error:
            text = "".join(traceback.format_exception_only(error)).strip()
            pipe.send(_FailedTask(EdgeInferError(f"a reading worker failed: {text}")))
