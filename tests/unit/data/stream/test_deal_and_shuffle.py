# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Dealing never gives a shard twice; the buffer loses and repeats nothing, and mixes evenly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.errors import UsageError
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Shard
from edgeinfer.data.stream.batches import deal_shards
from edgeinfer.data.stream.memory import plan_memory
from edgeinfer.data.stream.shuffle import ShuffleBuffer, batches_in_order, batches_mixed

LAYOUT = {"id": ColumnSpec((), np.dtype(np.int64)), "x": ColumnSpec((2,), np.dtype(np.float32))}


def make_shards(counts: list[int]) -> tuple[Shard, ...]:
    return tuple(
        Shard(f"f{group}", "", i * 10, 10, f"f{group}", 1000)
        for group, count in enumerate(counts)
        for i in range(count)
    )


def make_blocks(sizes: list[int]) -> list[Columns]:
    edges = np.concatenate([[0], np.cumsum(sizes)])
    ids = [np.arange(low, high) for low, high in pairwise(edges)]
    return [{"id": i, "x": np.stack([i, -i], axis=1).astype(np.float32)} for i in ids]


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(0, 100)),
)
def test_every_shard_is_dealt_to_exactly_one_worker(
    counts: list[int], piles: int, seed: int | None
) -> None:
    shards = make_shards(counts)
    rng = None if seed is None else np.random.default_rng(seed)
    dealt = deal_shards(shards, piles, rng)
    assert len(dealt) == piles
    together = [shard for pile in dealt for shard in pile]
    assert len(set(together)) == len(together) == len(shards)
    assert set(together) == set(shards)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_groups_are_spread_in_proportion() -> None:
    shards = make_shards([100, 300])
    for pile in deal_shards(shards, 2, np.random.default_rng(0)):
        for start in range(0, 200, 40):
            share = sum(shard.group == "f0" for shard in pile[start : start + 40])
            assert 4 <= share <= 16


@given(
    st.lists(st.integers(1, 30), max_size=12),
    st.integers(1, 16),
    st.integers(0, 40),
    st.integers(0, 9),
)
def test_mixed_batches_hold_every_row_once_and_whole(
    sizes: list[int], batch_rows: int, more: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    batches = list(batches_mixed(make_blocks(sizes), LAYOUT, batch_rows, batch_rows + more, rng))
    ids = np.concatenate([[], *(batch["id"] for batch in batches)])
    assert sorted(ids) == list(range(sum(sizes)))
    assert [len(b["id"]) for b in batches[:-1]] == [batch_rows] * (len(batches) - 1)
    for batch in batches:
        np.testing.assert_array_equal(batch["x"], np.stack([batch["id"], -batch["id"]], axis=1))


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(1, 16))
def test_batches_in_order_are_the_rows_in_order(sizes: list[int], batch_rows: int) -> None:
    batches = list(batches_in_order(make_blocks(sizes), batch_rows))
    ids = np.concatenate([[], *(batch["id"] for batch in batches)])
    assert ids.tolist() == list(range(sum(sizes)))
    assert all(len(batch["id"]) == batch_rows for batch in batches[:-1])


def test_a_draw_takes_every_row_with_equal_chance() -> None:
    drawn = np.zeros(20)
    for seed in range(4000):
        buffer = ShuffleBuffer(LAYOUT, 20, np.random.default_rng(seed))
        buffer.add(make_blocks([20])[0])
        buffer.draw(5)
        drawn[buffer.draw(5)["id"]] += 1
    assert np.abs(drawn - 1000).max() < 5 * np.sqrt(1000)


def test_two_classes_one_after_the_other_come_out_mixed() -> None:
    """A buffer of a tenth of the data mixes interleaved chunks to nearly binomial batches."""
    rng = np.random.default_rng(0)
    dealt = deal_shards(make_shards([200, 200]), 1, rng)[0]
    kinds = (np.full(10, int(shard.group == "f1")) for shard in dealt)
    blocks = ({"id": kind, "x": np.zeros((10, 2), np.float32)} for kind in kinds)
    batches = batches_mixed(blocks, LAYOUT, 100, 400, rng)
    shares = [batch["id"].mean() for batch in batches]
    assert np.std(shares) < 2 * np.sqrt(0.25 / 100)


def test_the_plan_keeps_to_the_cap_and_uses_it() -> None:
    shards = make_shards([500_000])
    for workers in (0, 1, 4):
        plan = plan_memory(LAYOUT, shards, batch_rows=64, workers=workers, cap_bytes=2**26)
        assert 0.99 * 2**26 < plan.total_bytes <= 2**26


def test_a_small_data_set_gets_a_small_buffer() -> None:
    plan = plan_memory(LAYOUT, make_shards([5]), batch_rows=16, workers=0, cap_bytes=2**30)
    assert plan.buffer_rows == 50


def test_a_cap_too_small_says_what_would_do() -> None:
    shards = make_shards([10_000])
    with pytest.raises(UsageError, match=r"Allow .* MiB or more") as caught:
        plan_memory(LAYOUT, shards, batch_rows=4096, workers=4, cap_bytes=2**18)
    assert "4 process" in caught.value.message
