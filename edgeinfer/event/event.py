# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tagger at every hit of every plane of an event, on all processors.

The shared part of a plane is one task, and then every thousand hits are one. While one plane's
hits are tagged, the next plane is prepared; no more planes than that are in memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from edgeinfer.base.errors import UsageError
from edgeinfer.event.frames import busiest_hits, labels_pixels
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.tagger import (
    PatchOutputs,
    PreparedPicture,
    Tagger,
    chunks_of,
    join_outputs,
    prepare_picture,
    tag_chunk,
    tag_corners,
)
from edgeinfer.ir.engine.onnx_builder import available_threads
from edgeinfer.ir.program import Program
from edgeinfer.lartpc.patches import Scaling, scale
from quantization.fixed import Ints, Quantizer, quantize

Result = TypeVar("Result")


class Watcher(Protocol):
    """Whoever wants to know how far an event is."""

    def start(self, step: str) -> None:
        """The parts of a plane are waited for."""

    def advance(self, done: int, total: int) -> None:
        """Some of its parts are done."""


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """What counts as charge, and how ADC counts become the network's input."""

    threshold_adc: float = 4.0  # pixels below are set to zero, pixels from here on are hits
    scaling: Scaling | None = None  # None: as the reference models of that kind are taught
    margin: int | None = None  # of frames, where a network labels pixels; None: an eighth of a side


@dataclass(frozen=True, slots=True)
class PlaneTags:
    """The hits of a plane as (wire, pixel), the raw outputs at each, and the work done."""

    plane: WirePlane
    hits: NDArray[np.intp]
    tagged: PatchOutputs
    seconds: float  # from its first task to the end of its last; other planes' tasks lie between
    cpu_seconds: float  # of its tasks alone

    @property
    def occupancy(self) -> float:
        """Share of the plane's pixels that are hits."""
        return len(self.hits) / self.plane.adc.size


@dataclass(frozen=True, slots=True)
class _TaskTime:
    """When a task began and ended, and its processor time."""

    begin: float
    end: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class _Job:
    """A plane whose tasks are on their way."""

    plane: WirePlane
    hits: NDArray[np.intp]
    prepared: Future[tuple[PreparedPicture, _TaskTime]]
    parts: list[Future[tuple[PatchOutputs, _TaskTime]]]


def tag_planes(
    tagger: Tagger,
    planes: Iterable[WirePlane],
    settings: PlaneSettings,
    *,
    threads: int | None = None,
    watcher: Watcher | None = None,
) -> Iterator[PlaneTags]:
    """Evaluate the tagger centred on each hit of each plane. Beyond a plane's edge there is no
    charge."""
    waiting: deque[_Job] = deque()
    # The libraries' own threads would compete with these.
    with (
        ThreadPoolExecutor(threads or available_threads()) as pool,
        threadpool_limits(limits=1, user_api="blas"),
    ):
        try:
            for plane in planes:
                waiting.append(_begin(pool, tagger, plane, settings))
                if len(waiting) > 1:
                    _queue_hits(pool, tagger, waiting[-2])
                if len(waiting) > 2:
                    yield _finish(waiting.popleft(), watcher)
            if waiting:
                _queue_hits(pool, tagger, waiting[-1])
            while waiting:
                yield _finish(waiting.popleft(), watcher)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(
    pool: ThreadPoolExecutor, tagger: Tagger, plane: WirePlane, settings: PlaneSettings
) -> _Job:
    charged = plane.adc >= settings.threshold_adc
    hits = choose_hits(plane, charged, patch_of(tagger.program))

    def prepare() -> PreparedPicture:
        return prepare_picture(tagger, picture_of(tagger.program, plane.adc, charged, settings))

    return _Job(plane, hits, pool.submit(_time, prepare), [])


def _queue_hits(pool: ThreadPoolExecutor, tagger: Tagger, job: _Job) -> None:
    def task(here: NDArray[np.intp]) -> tuple[PatchOutputs, _TaskTime]:
        prepared, _ = job.prepared.result()
        return _time(lambda: tag_chunk(tagger, prepared, here))

    for here in chunks_of(tagger, job.hits):
        job.parts.append(pool.submit(task, here))


def _finish(job: _Job, watcher: Watcher | None) -> PlaneTags:
    if watcher is not None:
        watcher.start(job.plane.name)
    parts: list[PatchOutputs] = []
    prepared, timed = job.prepared.result()
    times = [timed]
    for number, future in enumerate(job.parts, start=1):
        part, timed = future.result()
        parts.append(part)
        times.append(timed)
        if watcher is not None:
            watcher.advance(number, len(job.parts))
    seconds = max(each.end for each in times) - times[0].begin
    cpu_seconds = sum(each.cpu_seconds for each in times)
    return PlaneTags(job.plane, job.hits, join_outputs(prepared.macs, parts), seconds, cpu_seconds)


def _time(work: Callable[[], Result]) -> tuple[Result, _TaskTime]:
    begin, cpu = time.perf_counter(), time.thread_time()
    result = work()
    return result, _TaskTime(begin, time.perf_counter(), time.thread_time() - cpu)


def choose_hits(
    plane: WirePlane, charged: NDArray[np.bool_], patch: tuple[int, int]
) -> NDArray[np.intp]:
    """The places to tag, as (wire, pixel). A channel that is read at two places is tagged at the
    one that has more charged pixels around it, at the first where both have as many."""
    hits = np.stack(np.divmod(np.flatnonzero(charged), charged.shape[1]), axis=1)
    if plane.channel_of is None or not len(hits):
        return hits
    around = _count_charged(charged, patch)[hits[:, 0], hits[:, 1]]
    channel = plane.channel_of[hits[:, 0]]
    order = np.lexsort((hits[:, 0], -around, hits[:, 1], channel))
    pixel, sorted_channel = hits[order, 1], channel[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (pixel[1:] != pixel[:-1]) | (sorted_channel[1:] != sorted_channel[:-1])
    return hits[np.sort(order[begins])]


def _count_charged(charged: NDArray[np.bool_], patch: tuple[int, int]) -> NDArray[np.int64]:
    """For each pixel, how many are charged in the patch that is centred on it."""
    (height, width), (rows, columns) = patch, charged.shape
    sums = np.zeros((rows + height + 1, columns + width + 1), np.int64)
    sums[height // 2 + 1 :, width // 2 + 1 :][:rows, :columns] = charged
    sums = sums.cumsum(axis=0).cumsum(axis=1)
    whole = sums[height:, width:] - sums[:-height, width:]
    around: NDArray[np.int64] = whole - sums[height:, :-width] + sums[:-height, :-width]
    return around[:rows, :columns]


def scaling_of(program: Program, settings: PlaneSettings) -> Scaling:
    """How ADC counts become the network's input."""
    return settings.scaling or ("sixteenth" if labels_pixels(program) else "unit")


def picture_of(
    program: Program,
    adc: NDArray[np.float32],
    charged: NDArray[np.bool_],
    settings: PlaneSettings,
) -> Ints:
    """The plane as raw integers of the program's input, (wires, pixels, 1), with a margin of half
    a patch so that a hit's patch begins at the hit's own coordinates; without one where the network
    labels pixels. No charge is zero."""
    height, width = (0, 0) if labels_pixels(program) else patch_of(program)
    top, left = height // 2, width // 2
    rows, columns = charged.shape
    picture = np.zeros((rows + height, columns + width, 1), np.int64)
    pixels = np.flatnonzero(charged)
    real = scale(adc.reshape(-1)[pixels], scaling_of(program, settings)).astype(np.float64)
    row, column = np.divmod(pixels, columns)
    at = (row + top) * picture.shape[1] + column + left
    picture.reshape(-1)[at] = quantize(real, Quantizer(program.inputs[0].type))
    return picture


def patch_of(program: Program) -> tuple[int, int]:
    """Height and width of the patch that a tagger looks at."""
    if len(program.inputs) != 1 or len(program.inputs[0].shape) != 3:
        raise UsageError(
            f"{program.name} is not a tagger of patches: it needs one picture as input."
        )
    height, width, channels = program.inputs[0].shape
    if channels != 1:
        raise UsageError(f"{program.name} looks at {channels} channels; a plane has one.")
    return height, width


def check_hits(
    plain: Tagger, tags: PlaneTags, settings: PlaneSettings, count: int
) -> tuple[int, int]:
    """Of up to `count` hits, evaluated one by one: how many differ, how many were tried. They are
    spread evenly and `plain` evaluates patch by patch; or they lie in one frame, which it evaluates
    everywhere."""
    chosen = np.linspace(0, len(tags.hits) - 1, min(count, len(tags.hits))).astype(int)
    if not chosen.size:
        return 0, 0
    adc = tags.plane.adc
    picture = picture_of(plain.program, adc, adc >= settings.threshold_adc, settings)
    if plain.frames is not None:
        chosen = busiest_hits(plain.frames, tags.hits)[:count]
    each = tag_corners(plain, picture, tags.hits[chosen]).outputs
    differ = np.zeros(chosen.size, np.bool_)
    for name, values in each.items():
        other = tags.tagged.outputs[name][chosen]
        differ |= (other != values).reshape(chosen.size, -1).any(axis=1)
    return int(differ.sum()), chosen.size
