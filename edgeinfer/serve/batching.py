# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Requests brought together into batches, and computed beside the loop that serves clients.

Everything here runs in the one loop, so nothing needs a lock; what computes is in `computing`. A
request waits until a thread is free, and at most as long as the model's settings say for others to
join it. A full batch, which none can join, is put behind those that are computed: the threads find
it there without waiting for the loop, which may be busy receiving.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.serve.backends import Instance
from edgeinfer.serve.computing import (
    Answer,
    Batch,
    ComputedBatch,
    Job,
    compute_parts,
    cut_batch,
    join_parts,
)
from edgeinfer.serve.faults import RequestError, RequestFault
from edgeinfer.serve.served import OutputPort, ServedModel
from edgeinfer.serve.tallies import ModelTally
from edgeinfer.serve.tensors import WireTensor

SMALLEST_HELD_BYTES = 4096  # what a request takes at least, whatever its tensors are


@dataclass(slots=True)
class QueueBudget:
    """Memory for requests that wait or are computed, shared by all models of a server."""

    limit_bytes: int
    held_bytes: int = 0

    def take(self, byte_count: int) -> None:
        """Set some aside; an error where none is left."""
        if self.held_bytes + byte_count > self.limit_bytes:
            raise RequestError(
                RequestFault.OVERLOAD,
                f"The server holds {self.held_bytes / 1e6:.1f} MB of requests and takes "
                f"{self.limit_bytes / 1e6:.1f} MB at most.",
                hint="Ask again later.",
            )
        self.held_bytes += byte_count

    def give_back(self, byte_count: int) -> None:
        """It is free again."""
        self.held_bytes -= byte_count


class Batcher:
    """The queue of a model, and the threads that empty it."""

    def __init__(
        self,
        model: ServedModel,
        instance: Instance,
        budget: QueueBudget,
        tally: ModelTally,
    ) -> None:
        self.model, self.tally = model, tally
        self._budget = budget
        self._waiting: deque[Job] = deque()
        self._waiting_samples = 0
        self._instance = instance
        self._loop = asyncio.get_running_loop()
        self._start: asyncio.Handle | None = None  # of batches, as soon as it is time for them
        self._unsettled: set[Batch] = set()
        self._is_closed = self._is_hurried = False
        self._settled = asyncio.Event()
        self._threads = model.batching.instances * instance.threads
        self._pool = ThreadPoolExecutor(self._threads, "batch")

    async def infer(
        self, inputs: Mapping[str, WireTensor], outputs: Sequence[OutputPort]
    ) -> Answer:
        """The outputs of one request; it fits the model."""
        request_bytes = max(
            SMALLEST_HELD_BYTES, sum(tensor.values.nbytes for tensor in inputs.values())
        )
        samples = len(next(iter(inputs.values())).values)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        job = Job(inputs, outputs, samples, time.monotonic_ns(), answer)
        self._budget.take(request_bytes)
        try:
            if self._is_closed:
                raise self._unloading()
            self._waiting.append(job)
            self._count(1, job)
            self._plan_start()
            return await answer
        except asyncio.CancelledError:  # the client has gone away
            if job in self._waiting:
                self._waiting.remove(job)
                self._count(-1, job)
            raise
        finally:
            self._budget.give_back(request_bytes)
            del job, answer  # or an error that the one holds would hold them by its traceback

    def _count(self, sign: int, job: Job) -> None:
        self.tally.pending += sign
        self._waiting_samples += sign * job.samples

    def hurry(self) -> None:
        """Let no request wait for others any more: none will come."""
        self._is_hurried = True
        self._plan_start()

    async def close(self) -> None:
        """Answer what is being computed; what still waits is told that it will not be."""
        self._is_closed = True
        for job in self._take(len(self._waiting), None):
            if not job.answer.done():
                job.answer.set_exception(self._unloading())
        while self._unsettled:
            self._settled.clear()
            await self._settled.wait()
        await asyncio.to_thread(self._pool.shutdown)

    def _unloading(self) -> RequestError:
        return RequestError(
            RequestFault.OVERLOAD, f"The model {self.model.name!r} is being unloaded."
        )

    def _plan_start(self) -> None:
        """Start batches when this turn of the loop is over, so that what arrives in it is computed
        together; later, if the first request that waits may wait for others, and none is there."""
        if self._start is not None:
            if not isinstance(self._start, asyncio.TimerHandle):
                return
            self._start.cancel()
            self._start = None
        if not self._may_start():
            return
        batching = self.model.batching
        delay_us = 0 if self._is_hurried else batching.delay_us
        end_ns = self._waiting[0].since_ns + delay_us * 1000
        left = (end_ns - time.monotonic_ns()) / 1e9
        if left <= 0 or self._waiting_samples >= batching.batch:
            self._start = self._loop.call_soon(self._start_batches)
        else:
            self._start = self._loop.call_later(left, self._start_batches)

    def _may_start(self) -> bool:
        """Whether a batch may go to the threads: if one is free, or for the first of them that
        will be if the batch is full."""
        free = self._threads - sum(batch.busy for batch in self._unsettled)
        least = 0 if self._waiting_samples >= self.model.batching.batch else 1
        return bool(self._waiting) and free >= least

    def _start_batches(self) -> None:
        self._start = None
        if self._may_start():
            self._compute(self._take(len(self._waiting), self.model.batching.batch))
        self._plan_start()

    def _compute(self, jobs: Sequence[Job]) -> None:
        """Give a batch to the threads, cut for the fewer of them the more batches there are. One
        that has nothing left to do of it is free for the next batch, so that none waits for the
        slowest. The loop is woken only where there is something for it to do: that is not cheap."""
        sharers = max(self.model.batching.instances, len(self._unsettled) + 1)
        batch = cut_batch(self.model, jobs, self._instance, -(-self._threads // sharers))
        ended = itertools.count(1)

        def work() -> None:
            batch.computed.append(compute_parts(batch))
            if next(ended) == batch.threads:
                self._loop.call_soon_threadsafe(self._finish, batch, join_parts(batch))
            elif self._waiting:
                self._loop.call_soon_threadsafe(self._plan_start)

        self._unsettled.add(batch)
        for _ in range(batch.threads):
            self._pool.submit(work)

    def _finish(self, batch: Batch, computed: ComputedBatch) -> None:
        self._settle(batch.jobs, computed)
        self._unsettled.discard(batch)
        self._settled.set()
        self._plan_start()

    def _take(self, most: int, samples: int | None) -> list[Job]:
        """Jobs from the front that make a batch together."""
        jobs: list[Job] = []
        total = 0
        for _ in range(most):
            job = self._waiting[0]
            if jobs and samples is not None and total + job.samples > samples:
                break
            jobs.append(self._waiting.popleft())
            self._count(-1, job)
            total += job.samples
        return jobs

    def _settle(self, jobs: Sequence[Job], batch: ComputedBatch) -> None:
        waits = []
        for job, answer in zip(jobs, batch.answers, strict=True):
            if not isinstance(answer, EdgeInferError):
                waits.append(batch.begun_ns - job.since_ns)
            if job.answer.done():
                continue
            if isinstance(answer, EdgeInferError):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)
        if batch.samples:
            self.tally.note_batch(batch.samples, batch.times, waits)
