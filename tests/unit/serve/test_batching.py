# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which requests wait while a batch is computed, and which follow it at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
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


@pytest.mark.parametrize(
    ("sizes", "waiting"),
    [
        ((FULL, FULL), 0),  # a full batch follows the first one
        ((FULL, FULL, FULL), 1),  # and no more than one does
        ((FULL, FULL - 1), 1),  # others may still join what is not full
        ((FULL, FULL - 1, 1), 0),
    ],
)
def test_a_full_batch_follows_the_one_that_is_computed(
    sizes: tuple[int, ...], waiting: int
) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def run(raw: Mapping[str, Any]) -> Any:
        begun.set()
        assert may_go_on.wait(30)
        return ENGINE.run(raw)

    async def ask_all() -> tuple[int, list[np.ndarray]]:
        model = replace(MODEL, batching=BatchSettings(batch=FULL))
        tally = ModelTally()
        batcher = Batcher(model, [Instance(run, run)], QueueBudget(1 << 20), tally)
        asked = []
        for seed, size in enumerate(sizes):
            tensor = WireTensor("x", "FP32", numbers(size, seed))
            asked.append(asyncio.create_task(batcher.infer({"x": tensor}, model.outputs)))
            if not seed:
                await asyncio.to_thread(begun.wait, 30)
        for _ in range(5):
            await asyncio.sleep(0)
        left = tally.pending
        may_go_on.set()
        answers = [answer[0].values for answer in await asyncio.gather(*asked)]
        await batcher.close()
        return left, answers

    left, answers = asyncio.run(ask_all())
    assert left == waiting
    for seed, (size, answer) in enumerate(zip(sizes, answers, strict=True)):
        assert np.array_equal(answer, expected(PROGRAM, numbers(size, seed), DOWNWARDS)[1]["sum"])
