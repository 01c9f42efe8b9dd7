# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Requests brought together into batches, and computed beside the loop that serves clients.

Everything here runs in the one loop, so nothing needs a lock; what computes is in `computing`. A
request waits until a thread is free, and at most as long as the model's settings say for others to
join it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.serve.backends import Instance
from edgeinfer.serve.computing import (
    Answer,
    ComputedBatch,
    ComputedParts,
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

    def take(self, wanted: int) -> None:
        """Set some aside; an error where none is left."""
        if self.held_bytes + wanted > self.limit_bytes:
            raise RequestError(
                RequestFault.OVERLOAD,
                f"The server holds {self.held_bytes / 1e6:.1f} MB of requests and takes "
                f"{self.limit_bytes / 1e6:.1f} MB at most.",
                hint="Ask again later.",
            )
        self.held_bytes += wanted

    def give_back(self, taken: int) -> None:
        """It is free again."""
        self.held_bytes -= taken


class Batcher:
    """The queue of a model, and the tasks that empty it."""

    def __init__(
        self,
        model: ServedModel,
        instances: Sequence[Instance],
        budget: QueueBudget,
        tally: ModelTally,
    ) -> None:
        self.model, self.tally = model, tally
        self._budget = budget
        self._waiting: deque[Job] = deque()
        self._waiting_samples = 0
        self._arrival = asyncio.Event()
        self._pool = ThreadPoolExecutor(sum(i.threads for i in instances), "batch")
        self._computed: set[asyncio.Task[None]] = set()
        self._tasks = [asyncio.create_task(self._work(instance)) for instance in instances]

    async def infer(
        self, inputs: Mapping[str, WireTensor], outputs: Sequence[OutputPort]
    ) -> Answer:
        """The outputs of one request; it fits the model."""
        held = max(SMALLEST_HELD_BYTES, sum(tensor.values.nbytes for tensor in inputs.values()))
        samples = len(next(iter(inputs.values())).values)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        job = Job(inputs, outputs, samples, time.monotonic_ns(), answer)
        self._budget.take(held)
        try:
            self._waiting.append(job)
            self._count(1, job)
            self._arrival.set()
            return await answer
        except asyncio.CancelledError:  # the client has gone away
            if job in self._waiting:
                self._waiting.remove(job)
                self._count(-1, job)
            raise
        finally:
            self._budget.give_back(held)

    def _count(self, sign: int, job: Job) -> None:
        self.tally.pending += sign
        self._waiting_samples += sign * job.samples

    async def close(self) -> None:
        """End the tasks; what still waits is told so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*self._computed)  # what is being computed is answered
        for job in self._take(len(self._waiting), None):
            gone = RequestError(
                RequestFault.OVERLOAD, f"The model {self.model.name!r} is being unloaded."
            )
            if not job.answer.done():
                job.answer.set_exception(gone)
        await asyncio.to_thread(self._pool.shutdown)

    async def _work(self, instance: Instance) -> None:
        """Batch after batch. The next one is taken when the first thread has nothing left to do of
        this one, so that no thread waits for the slowest."""
        loop = asyncio.get_running_loop()
        while True:
            jobs = await self._collect()
            batch = cut_batch(self.model, jobs, instance)
            threads = [
                loop.run_in_executor(self._pool, compute_parts, batch) for _ in range(batch.threads)
            ]
            answering = asyncio.create_task(self._answer(jobs, threads))
            self._computed.add(answering)
            answering.add_done_callback(self._computed.discard)
            await asyncio.wait(threads, return_when=asyncio.FIRST_COMPLETED)

    async def _answer(
        self, jobs: Sequence[Job], threads: Sequence[asyncio.Future[ComputedParts]]
    ) -> None:
        self._settle(jobs, join_parts(jobs, await asyncio.gather(*threads)))

    async def _collect(self) -> list[Job]:
        """The next jobs: those that wait, and those that come while the first one may wait."""
        batch, delay_ns = self.model.batching.batch, self.model.batching.delay_us * 1000
        while True:
            while not self._waiting:
                self._arrival.clear()
                await self._arrival.wait()
            end_ns = self._waiting[0].since_ns + delay_ns
            while self._waiting and self._waiting_samples < batch:
                left = (end_ns - time.monotonic_ns()) / 1e9
                if left <= 0:
                    break
                self._arrival.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrival.wait(), left)
            jobs = self._take(len(self._waiting), batch)
            if jobs:  # another task may have been quicker
                return jobs

    def _take(self, most: int, samples: int | None) -> list[Job]:
        """Jobs from the front that make a batch together."""
        taken: list[Job] = []
        total = 0
        for _ in range(most):
            job = self._waiting[0]
            if taken and samples is not None and total + job.samples > samples:
                break
            taken.append(self._waiting.popleft())
            self._count(-1, job)
            total += job.samples
        return taken

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
