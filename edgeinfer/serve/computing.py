# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A batch of requests computed by several threads.

The batch is cut into parts of a few times as many samples as the engine computes at once. Each
thread takes part after part from its real numbers to its answers, so that a part stays in the
caches and no thread waits for another. A long request is cut too, and its answer is put together
again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.evaluate.judge import apply_host_functions
from edgeinfer.serve.backends import Instance, Runner
from edgeinfer.serve.faults import RequestError, RequestFault, without_frames
from edgeinfer.serve.served import InputPort, OutputPort, ServedModel
from edgeinfer.serve.tallies import BatchTimes
from edgeinfer.serve.tensors import REAL, WireTensor, raw_dtype, raw_values
from quantization.fixed import Ints, dequantize
from quantization.ranges import is_within

Answer = tuple[WireTensor, ...]
LARGEST_PART = 4  # times what the engine computes at once: so what each part costs counts less
Values = Mapping[str, NDArray[Any]]  # outputs by the Program's names


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request on its way: its tensors by the Program's names, and who waits for what of it."""

    inputs: Mapping[str, WireTensor]
    outputs: Sequence[OutputPort]
    samples: int
    since_ns: int
    answer: asyncio.Future[Answer]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some samples of the job of this number."""

    job: int
    rows: slice


@dataclass(frozen=True, slots=True)
class ComputedPiece:
    """What came of a piece."""

    piece: Piece
    result: Values | EdgeInferError


@dataclass(frozen=True, slots=True)
class ComputedParts:
    """What one thread did of a batch, and when."""

    pieces: tuple[ComputedPiece, ...]
    begun_ns: int
    times: BatchTimes


@dataclass(frozen=True, slots=True)
class ComputedBatch:
    """What came of each job, in their order, when the work began and how long it took."""

    answers: tuple[Answer | EdgeInferError, ...]
    samples: int  # of the jobs that were computed
    begun_ns: int
    times: BatchTimes  # of a thread, on average


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Jobs that are computed together, the parts that no thread has taken yet, and what threads
    have computed."""

    model: ServedModel
    jobs: Sequence[Job]
    runner: Runner
    threads: int  # that have something to do
    processors: int  # that each of them keeps busy
    parts: Iterator[tuple[Piece, ...]] = field(repr=False)
    computed: list[ComputedParts] = field(default_factory=list)  # by threads that are through

    @property
    def busy(self) -> int:
        """Processors that it still takes or waits for."""
        return (self.threads - len(self.computed)) * self.processors


def cut_batch(model: ServedModel, jobs: Sequence[Job], instance: Instance, share: int) -> Batch:
    """The jobs in parts for the threads of an instance, of which so many are its share: there are
    not more parts than these without need, as each has a cost of its own."""
    total = sum(job.samples for job in jobs)
    threads, processors, runner = instance.threads, 1, instance.run_part
    if total < share:
        threads, share, processors, runner = 1, 1, instance.threads, instance.run_few
    most = math.ceil(total / share)
    if instance.samples_at_once is not None:
        most = min(most, LARGEST_PART * instance.samples_at_once)
    parts = cut_samples([job.samples for job in jobs], math.ceil(total / math.ceil(total / most)))
    return Batch(model, jobs, runner, min(threads, len(parts)), processors, iter(parts))


def cut_samples(samples: Sequence[int], most: int) -> list[tuple[Piece, ...]]:
    """Jobs of so many samples each as parts of `most` samples; the last may be smaller."""
    parts: list[tuple[Piece, ...]] = []
    part: list[Piece] = []
    room = most
    for number, count in enumerate(samples):
        at = 0
        while at < count:
            end = min(count, at + room)
            part.append(Piece(number, slice(at, end)))
            room -= end - at
            at = end
            if not room:
                parts.append(tuple(part))
                part, room = [], most
    return [*parts, tuple(part)] if part else parts


def compute_parts(batch: Batch) -> ComputedParts:
    """What one thread does: parts of the batch, until none is left. A job that cannot be computed
    fails alone; an error of what computes, or of the machine, is everyone's and ends nothing."""
    begin_ns = time.monotonic_ns()
    computed: list[ComputedPiece] = []
    spent = [0, 0, 0]
    for part in batch.parts:
        try:
            computed += _compute_part(batch, part, spent)
        except Exception as error:
            failure = _refuse(batch.model, error)
            computed += [ComputedPiece(piece, failure) for piece in part]
    return ComputedParts(tuple(computed), begin_ns, BatchTimes(*spent))


def _refuse(model: ServedModel, error: Exception) -> RequestError:
    return RequestError(
        RequestFault.BROKEN, f"The model {model.name!r} could not be computed: {error}"
    )


def _compute_part(batch: Batch, part: Sequence[Piece], spent_ns: list[int]) -> list[ComputedPiece]:
    start = time.monotonic_ns()
    places, at = [], 0
    for piece in part:
        size = piece.rows.stop - piece.rows.start
        places.append(slice(at, at + size))
        at += size
    raw: dict[str, NDArray[Any]] = {}
    errors: dict[int, EdgeInferError] = {}
    for port in batch.model.inputs:
        tensors = [_rows_of(batch.jobs[p.job].inputs[port.inside], p.rows) for p in part]
        raw[port.inside], refused = _read_tensors(tensors, places, port)
        errors = refused | errors
    read = done = time.monotonic_ns()
    values: Values = {}
    if len(errors) < len(part):
        outputs = batch.runner(raw)
        done = time.monotonic_ns()
        values = values_of(batch.model, outputs)
    pieces = [
        ComputedPiece(piece, errors[i])
        if i in errors
        else ComputedPiece(piece, {name: whole[place] for name, whole in values.items()})
        for i, (piece, place) in enumerate(zip(part, places, strict=True))
    ]
    for i, ns in enumerate((read - start, done - read, time.monotonic_ns() - done)):
        spent_ns[i] += ns
    return pieces


def _rows_of(tensor: WireTensor, rows: slice) -> WireTensor:
    return WireTensor(tensor.name, tensor.datatype, tensor.values[rows])


def _read_tensors(
    tensors: Sequence[WireTensor], places: Sequence[slice], port: InputPort
) -> tuple[NDArray[Any], dict[int, EdgeInferError]]:
    """Integers of tensors, one behind the other; which could not be had, and why. Those of one
    request stay where they lie if none can lie beyond its type. Many small ones are first laid
    together: the work for each is then small."""
    count, type_ = places[-1].stop, port.quantizer.type
    errors: dict[int, EdgeInferError] = {}
    if len(tensors) == 1 and is_within(tensors[0].values.dtype, type_):
        return tensors[0].values, errors
    into = np.empty((count, *port.shape), raw_dtype(type_))
    if len(tensors) > 1 and len({tensor.datatype for tensor in tensors}) == 1:
        together = np.concatenate([tensor.values for tensor in tensors])
        try:
            raw_values(WireTensor(port.name, tensors[0].datatype, together), port.quantizer, into)
        except EdgeInferError:
            pass  # at least one of them; below each is told of its own
        else:
            return into, errors
    for i, (tensor, place) in enumerate(zip(tensors, places, strict=True)):
        try:
            raw_values(tensor, port.quantizer, into[place])
        except EdgeInferError as error:
            errors[i] = without_frames(error)
            into[place] = 0
    return into, errors


def values_of(model: ServedModel, outputs: Mapping[str, Ints]) -> Values:
    """Outputs as they are handed out, by the Program's names."""
    outputs_by_name = {output.name: output for output in model.program.outputs}
    values: dict[str, NDArray[Any]] = {}
    for port in model.outputs:
        raw, output = outputs[port.inside], outputs_by_name[port.inside]
        values[port.inside] = raw
        if port.datatype == REAL:
            real = dequantize(raw, model.program.type(output.value))
            values[port.inside] = apply_host_functions(real, output.host).astype(np.float32)
    return values


def join_parts(batch: Batch) -> ComputedBatch:
    """What all threads together computed."""
    jobs, threads = batch.jobs, batch.computed
    pieces_by_job: list[list[ComputedPiece]] = [[] for _ in jobs]
    for computed in (piece for parts in threads for piece in parts.pieces):
        pieces_by_job[computed.piece.job].append(computed)
    answers = tuple(
        _join_pieces(batch.model, job, of) for job, of in zip(jobs, pieces_by_job, strict=True)
    )
    samples = sum(
        job.samples
        for job, answer in zip(jobs, answers, strict=True)
        if not isinstance(answer, EdgeInferError)
    )
    spent = [parts.times for parts in threads]
    times = BatchTimes(
        sum(t.input_ns for t in spent) // len(spent),
        sum(t.infer_ns for t in spent) // len(spent),
        sum(t.output_ns for t in spent) // len(spent),
    )
    return ComputedBatch(answers, samples, min(parts.begun_ns for parts in threads), times)


def _join_pieces(
    model: ServedModel, job: Job, pieces: list[ComputedPiece]
) -> Answer | EdgeInferError:
    pieces.sort(key=lambda computed: computed.piece.rows.start)
    results: list[Values] = []
    for computed in pieces:
        if isinstance(computed.result, EdgeInferError):
            return computed.result
        results.append(computed.result)
    try:
        return tuple(
            WireTensor(
                port.name, port.datatype, _join_rows([result[port.inside] for result in results])
            )
            for port in job.outputs
        )
    except Exception as error:  # no memory, say; whoever waits has to hear of it
        return _refuse(model, error)


def _join_rows(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
