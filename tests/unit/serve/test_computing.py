# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Batches cut into parts for threads, and their answers put together again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.serve.backends import Instance
from edgeinfer.serve.computing import Job, compute_parts, cut_batch, cut_samples, join_parts
from edgeinfer.serve.names import ModelNames
from edgeinfer.serve.served import BatchSettings, serve_program
from edgeinfer.serve.tensors import WireTensor
from quantization.recipe import Recipe
from tests.support.serving import DOWNWARDS, expected, numbers, small_program

PROGRAM = small_program()
MODEL = serve_program(
    PROGRAM, Recipe.of({"x": DOWNWARDS}, {}), ModelNames("small", {}, {}), 1, BatchSettings(),
    raw_outputs=False, backend="engine",
)  # fmt: skip
ENGINE = Engine(PROGRAM, threads=1)
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(SIZES, st.integers(1, 20))
def test_every_sample_is_in_one_part_in_its_order(sizes: list[int], most: int) -> None:
    parts = cut_samples(sizes, most)
    results = [
        (piece.job, row)
        for part in parts
        for piece in part
        for row in range(piece.rows.start, piece.rows.stop)
    ]
    assert results == [(job, row) for job, size in enumerate(sizes) for row in range(size)]
    lengths = [sum(piece.rows.stop - piece.rows.start for piece in part) for part in parts]
    assert all(length == most for length in lengths[:-1]) and 1 <= lengths[-1] <= most


def jobs_of(tensors: Sequence[WireTensor]) -> list[Job]:
    loop = asyncio.new_event_loop()
    jobs = [
        Job({"x": tensor}, MODEL.outputs, len(tensor.values), 0, loop.create_future())
        for tensor in tensors
    ]
    loop.close()
    return jobs


@settings(max_examples=30)
@given(SIZES, st.integers(1, 4), st.integers(1, 20), st.sets(st.integers(0, 11)), st.data())
def test_each_job_gets_its_own_answer_and_a_bad_one_fails_alone(
    sizes: list[int], threads: int, at_once: int, bad: set[int], data: st.DataObject
) -> None:
    values = [numbers(size, seed) for seed, size in enumerate(sizes)]
    tensors = []
    for i, reals in enumerate(values):
        if i in bad:
            reals[data.draw(st.integers(0, len(reals) - 1)), 3] = np.nan
        tensors.append(WireTensor("x", "FP32", reals))
    jobs = jobs_of(tensors)
    batch = cut_batch(MODEL, jobs, Instance(ENGINE.run, ENGINE.run, threads, at_once), threads)
    assert 1 <= batch.threads <= threads
    batch.computed.extend(compute_parts(batch) for _ in range(threads))
    computed = join_parts(batch)
    for i, answer in enumerate(computed.answers):
        if i in bad:
            assert isinstance(answer, EdgeInferError) and "NaN" in str(answer)
        else:
            assert not isinstance(answer, EdgeInferError)
            wanted = expected(PROGRAM, values[i], DOWNWARDS)[1]["sum"]
            assert answer[0].values.dtype == np.float32
            assert np.array_equal(answer[0].values, wanted)
    assert computed.samples == sum(size for i, size in enumerate(sizes) if i not in bad)


def test_reals_and_integers_of_one_batch_are_told_apart() -> None:
    reals, raw = numbers(3), np.arange(-6, 6, dtype=np.int8).reshape(2, 6)
    jobs = jobs_of([WireTensor("x", "FP32", reals), WireTensor("x", "INT8", raw)])
    batch = cut_batch(MODEL, jobs, Instance(ENGINE.run, ENGINE.run, 1, 100), 1)
    batch.computed.append(compute_parts(batch))
    first, second = join_parts(batch).answers
    assert not isinstance(first, EdgeInferError) and not isinstance(second, EdgeInferError)
    assert np.array_equal(first[0].values, expected(PROGRAM, reals, DOWNWARDS)[1]["sum"])
    assert np.array_equal(second[0].values, expected(PROGRAM, raw / 16, DOWNWARDS)[1]["sum"])


def test_fewer_samples_than_threads_are_computed_by_all_together() -> None:
    (job,) = jobs_of([WireTensor("x", "FP32", numbers(3))])
    few: list[int] = []

    def run_few(raw: object) -> dict[str, np.ndarray]:
        few.append(1)
        return ENGINE.run(raw)

    batch = cut_batch(MODEL, [job], Instance(ENGINE.run, run_few, 4, 100), 4)
    assert batch.threads == 1
    compute_parts(batch)
    assert few == [1]


@pytest.mark.parametrize(
    ("samples", "share", "sizes", "threads"),
    [
        (8, 2, [4, 4], 2),
        (8, 1, [8], 1),  # others are computed, too: one thread does it, as it is not long
        (40, 1, [8, 8, 8, 8, 8], 2),  # a long one is for all threads that have time
        (1, 1, [1], 1),
    ],
)
def test_a_batch_is_cut_for_its_share_of_the_threads(
    samples: int, share: int, sizes: list[int], threads: int
) -> None:
    (job,) = jobs_of([WireTensor("x", "FP32", numbers(samples))])
    batch = cut_batch(MODEL, [job], Instance(ENGINE.run, ENGINE.run, 2, 2), share)
    assert (batch.threads, batch.busy) == (threads, threads)
    assert [sum(p.rows.stop - p.rows.start for p in part) for part in batch.parts] == sizes


def test_integers_from_an_odd_address_are_laid_where_they_are_read_quickly() -> None:
    raw = np.arange(-6, 6, dtype="<i2").reshape(2, 6)
    odd = np.frombuffer(b"." + raw.tobytes(), np.uint8)[1:].view("<i2").reshape(2, 6)
    assert not odd.flags.aligned
    (job,) = jobs_of([WireTensor("x", "INT16", odd)])
    read: list[np.ndarray] = []

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        read.append(inputs["x"])
        return ENGINE.run(inputs)

    compute_parts(cut_batch(MODEL, [job], Instance(run, run), 1))
    assert read[0].flags.aligned and np.array_equal(read[0], raw)
