# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Requests brought together into batches, and computed beside the loop that serves clients.

Everything here but `compute_batch` runs in the one loop, so nothing needs a lock. A request waits
until a computation is free, and at most as long as the model's settings say for others to join it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.evaluate.judge import apply_host_functions
from edgeinfer.serve.backends import Runner
from edgeinfer.serve.faults import RequestError, RequestFault
from edgeinfer.serve.served import OutputPort, ServedModel
from edgeinfer.serve.tallies import BatchTimes, ModelTally
from edgeinfer.serve.tensors import REAL, WireTensor, raw_dtype, raw_values
from quantization.fixed import Ints, dequantize

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


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request on its way: its tensors by the Program's names, and who waits for what of it."""

    inputs: Mapping[str, WireTensor]
    outputs: Sequence[OutputPort]
    samples: int
    since_ns: int
    answer: asyncio.Future[tuple[WireTensor, ...]]


@dataclass(frozen=True, slots=True)
class ComputedBatch:
    """What came of each job, in their order, and how long it took."""

    answers: tuple[tuple[WireTensor, ...] | EdgeInferError, ...]
    samples: int
    times: BatchTimes


class Batcher:
    """The queue of a model, and the tasks that empty it."""

    def __init__(
        self, model: ServedModel, runners: Sequence[Runner], budget: QueueBudget, tally: ModelTally
    ) -> None:
        self.model, self.tally = model, tally
        self._budget = budget
        self._waiting: deque[Job] = deque()
        self._waiting_samples = 0
        self._arrival = asyncio.Event()
        self._pool = ThreadPoolExecutor(len(runners), "batch")
        self._tasks = [asyncio.create_task(self._work(runner)) for runner in runners]

    async def infer(
        self, inputs: Mapping[str, WireTensor], outputs: Sequence[OutputPort]
    ) -> tuple[WireTensor, ...]:
        """The outputs of one request; it fits the model."""
        held = max(SMALLEST_HELD_BYTES, sum(tensor.values.nbytes for tensor in inputs.values()))
        samples = len(next(iter(inputs.values())).values)
        answer: asyncio.Future[tuple[WireTensor, ...]] = asyncio.get_running_loop().create_future()
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
        for job in self._take(len(self._waiting), None):
            gone = RequestError(
                RequestFault.OVERLOAD, f"The model {self.model.name!r} is being unloaded."
            )
            if not job.answer.done():
                job.answer.set_exception(gone)
        await asyncio.to_thread(self._pool.shutdown)

    async def _work(self, runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        while True:
            jobs = await self._collect()
            begun = time.monotonic_ns()
            work = loop.run_in_executor(self._pool, compute_batch, self.model, runner, jobs)
            try:
                batch = await asyncio.shield(work)
            except asyncio.CancelledError:
                self._settle(jobs, await work, begun)  # what is being computed is answered
                raise
            self._settle(jobs, batch, begun)

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

    def _settle(self, jobs: Sequence[Job], batch: ComputedBatch, begun_ns: int) -> None:
        waits = []
        for job, answer in zip(jobs, batch.answers, strict=True):
            if not isinstance(answer, EdgeInferError):
                waits.append(begun_ns - job.since_ns)
            if job.answer.done():
                continue
            if isinstance(answer, EdgeInferError):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)
        if batch.samples:
            self.tally.note_batch(batch.samples, batch.times, waits)


def compute_batch(model: ServedModel, runner: Runner, jobs: Sequence[Job]) -> ComputedBatch:
    """The jobs in one go. One that cannot be computed fails alone; an error of what computes, or of
    the machine, is everyone's and ends nothing."""
    try:
        return _compute(model, runner, jobs)
    except Exception as error:
        failure = RequestError(
            RequestFault.BROKEN, f"The model {model.name!r} could not be computed: {error}"
        )
        return ComputedBatch((failure,) * len(jobs), 0, BatchTimes(0, 0, 0))


def _compute(model: ServedModel, runner: Runner, jobs: Sequence[Job]) -> ComputedBatch:
    start = time.monotonic_ns()
    total = sum(job.samples for job in jobs)
    raw = {
        port.inside: np.empty((total, *port.shape), raw_dtype(port.quantizer.type))
        for port in model.inputs
    }
    places: list[slice | EdgeInferError] = []
    at = 0
    for job in jobs:
        rows = slice(at, at + job.samples)
        try:
            for port in model.inputs:
                raw_values(job.inputs[port.inside], port.quantizer, raw[port.inside][rows])
        except EdgeInferError as error:
            places.append(error)
            continue
        places.append(rows)
        at = rows.stop
    read = time.monotonic_ns()
    outputs = runner({name: values[:at] for name, values in raw.items()}) if at else {}
    done = time.monotonic_ns()
    answers = tuple(
        place
        if isinstance(place, EdgeInferError)
        else answer_of(model, outputs, place, job.outputs)
        for place, job in zip(places, jobs, strict=True)
    )
    times = BatchTimes(read - start, done - read, time.monotonic_ns() - done)
    return ComputedBatch(answers, at, times)


def answer_of(
    model: ServedModel, outputs: Mapping[str, Ints], rows: slice, ports: Sequence[OutputPort]
) -> tuple[WireTensor, ...]:
    """Some samples' outputs as they are handed out."""
    made = {output.name: output for output in model.program.outputs}
    tensors = []
    for port in ports:
        raw, output = outputs[port.inside][rows], made[port.inside]
        values = raw
        if port.datatype == REAL:
            real = dequantize(raw, model.program.type(output.value))
            values = apply_host_functions(real, output.host).astype(np.float32)
        tensors.append(WireTensor(port.name, port.datatype, values))
    return tuple(tensors)
