# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which requests make a batch together, and what becomes of them when the model is unloaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from edgeinfer.serve.backends import Instance
from edgeinfer.serve.batching import Batcher, QueueBudget
from edgeinfer.serve.served import BatchSettings
from edgeinfer.serve.tallies import ModelTally
from edgeinfer.serve.tensors import WireTensor
from tests.support.serving import DOWNWARDS, expected, numbers
from tests.unit.serve.test_computing import ENGINE, MODEL, PROGRAM

FULL = 4  # samples of a batch


@dataclass
class Gate:
    """An engine that computes nothing until it may, and notes how many samples each batch has."""

    begun: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)

    def run(self, raw: Mapping[str, Any]) -> Any:
        self.sizes.append(len(raw["x"]))
        self.begun.set()
        assert self.may_go_on.wait(30)
        return ENGINE.run(raw)


async def ask_while_computing(
    gate: Gate, sizes: Sequence[int], threads: int = 1
) -> tuple[Batcher, list[asyncio.Task[Any]]]:
    """A request that is computed, and others that came after it."""
    model = replace(MODEL, batching=BatchSettings(batch=FULL))
    instance = Instance(gate.run, gate.run, threads)
    batcher = Batcher(model, instance, QueueBudget(1 << 20), ModelTally())
    requests = []
    for seed, size in enumerate(sizes):
        tensor = WireTensor("x", "FP32", numbers(size, seed))
        requests.append(asyncio.create_task(batcher.infer({"x": tensor}, model.outputs)))
        if not seed:
            await asyncio.to_thread(gate.begun.wait, 30)
    for _ in range(5):
        await asyncio.sleep(0)
    return batcher, requests


@pytest.mark.parametrize(
    ("sizes", "batches", "waiting"),
    [
        ((FULL, FULL, FULL), [FULL, FULL, FULL], 1),  # a full one is put behind what is computed
        ((FULL, FULL - 1, 1), [FULL, FULL], 0),  # who comes meanwhile joins the next
        ((1, 1, 1, 1), [1, 3], 3),
        ((1, FULL - 1, 2), [1, FULL - 1, 2], 1),  # in their order, and none is cut
    ],
)
def test_what_waits_for_a_batch_makes_the_next_one(
    sizes: tuple[int, ...], batches: list[int], waiting: int
) -> None:
    gate = Gate()

    async def ask_all() -> list[np.ndarray]:
        batcher, requests = await ask_while_computing(gate, sizes)
        assert batcher.tally.pending == waiting
        assert gate.sizes == [sizes[0]]
        gate.may_go_on.set()
        answers = [answer[0].values for answer in await asyncio.gather(*requests)]
        await batcher.close()
        return answers

    answers = asyncio.run(ask_all())
    assert gate.sizes == batches
    for seed, (size, answer) in enumerate(zip(sizes, answers, strict=True)):
        assert np.array_equal(answer, expected(PROGRAM, numbers(size, seed), DOWNWARDS)[1]["sum"])


def test_a_model_that_is_unloaded_answers_what_it_computes_and_refuses_the_rest() -> None:
    gate = Gate()

    async def unload() -> list[Any]:
        batcher, requests = await ask_while_computing(gate, (FULL, FULL, FULL, 1))
        closing = asyncio.create_task(batcher.close())
        await asyncio.wait(requests[2:])
        assert not (requests[0].done() or requests[1].done() or closing.done())
        gate.may_go_on.set()
        await closing
        return await asyncio.gather(*requests, return_exceptions=True)

    *computed, third, last = asyncio.run(unload())
    assert gate.sizes == [FULL, FULL]  # the second had been put behind the first
    for seed, answer in enumerate(computed):
        wanted = expected(PROGRAM, numbers(FULL, seed), DOWNWARDS)[1]["sum"]
        assert np.array_equal(answer[0].values, wanted)
    assert all("is being unloaded" in str(error) for error in (third, last))


def test_who_hurries_waits_for_no_others() -> None:
    gate = Gate()
    gate.may_go_on.set()
    model = replace(MODEL, batching=BatchSettings(batch=FULL, delay_us=1_800_000_000))

    async def ask_twice() -> list[Any]:
        batcher = Batcher(
            model, Instance(gate.run, gate.run, 1), QueueBudget(1 << 20), ModelTally()
        )
        tensors = [{"x": WireTensor("x", "FP32", numbers(1, seed))} for seed in range(2)]
        waiting = asyncio.create_task(batcher.infer(tensors[0], model.outputs))
        await asyncio.sleep(0)
        assert batcher.tally.pending == 1
        batcher.hurry()
        answers = [await waiting, await batcher.infer(tensors[1], model.outputs)]
        await batcher.close()
        return answers

    for seed, answer in enumerate(asyncio.run(ask_twice())):
        wanted = expected(PROGRAM, numbers(1, seed), DOWNWARDS)[1]["sum"]
        assert np.array_equal(answer[0].values, wanted)


def test_a_batch_that_others_are_computed_beside_takes_fewer_threads() -> None:
    gate = Gate()

    async def ask_all() -> None:
        batcher, requests = await ask_while_computing(gate, (FULL, FULL, FULL, 1), threads=2)
        assert batcher.tally.pending == 2  # of the full ones, one is put behind the first
        gate.may_go_on.set()
        await asyncio.gather(*requests)
        await batcher.close()

    asyncio.run(ask_all())
    assert gate.sizes[:3] == [FULL // 2, FULL // 2, FULL]
