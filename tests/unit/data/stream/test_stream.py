# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Streams: every row once, no worker reading what another reads, reproducible."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import EdgeInferError, ToolFailedError
from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.patches_npy import PatchTable, PlainPatches
from edgeinfer.data.formats.protodune_root import PlaneDump
from edgeinfer.data.formats.scalings import PatchScaling
from edgeinfer.data.formats.shards import ShardSource
from edgeinfer.data.stream.batches import BatchStream, StreamSettings, read_task
from edgeinfer.data.stream.premix import premix_tables
from edgeinfer.data.stream.split import RowSplit, event_position
from tests.support.experiment_files import write_plain_patches, write_planes

SHAPE = (32, 32)


def source_of(paths: tuple[str, ...]) -> PatchTable:
    return PatchTable(paths, SHAPE, PatchScaling.RAW)


def row_numbers(batches) -> np.ndarray:
    return np.concatenate([batch["patch"][:, 0, 0, 0] for batch in batches]).astype(int)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("mixing", ["in-order", "on-the-fly"])
def test_an_epoch_is_every_row_once(tables, workers: int, mixing: str) -> None:
    paths = tables([700, 1300], SHAPE)
    settings = StreamSettings(batch_rows=64, workers=workers, mixing=mixing)
    numbers = row_numbers(BatchStream(source_of(paths), settings).epoch())
    assert sorted(numbers) == list(range(2000))
    if mixing == "in-order" and workers < 2:
        assert numbers.tolist() == list(range(2000))


def test_no_worker_reads_what_another_reads(tables) -> None:
    stream = BatchStream(source_of(tables([700, 1300], SHAPE)), StreamSettings(64, workers=3))
    for epoch in range(3):
        read: list[set[int]] = []
        for index, pile in enumerate(stream.deal_shards(epoch)):
            task = stream._task(pile, epoch, index)
            read.append(set(row_numbers(read_task(task)).tolist()))
        assert all(rows for rows in read)
        assert sum(map(len, read)) == len(set().union(*read)) == 2000


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_repeats_with_its_seed_and_differs_by_epoch(tables, workers: int) -> None:
    paths = tables([700, 1300], SHAPE)

    def numbers(seed: int, epoch: int) -> list[int]:
        settings = StreamSettings(64, workers=workers, seed=seed)
        return row_numbers(BatchStream(source_of(paths), settings).epoch(epoch)).tolist()

    first = numbers(1, 0)
    assert first == numbers(1, 0)
    assert first != numbers(1, 1)
    assert first != numbers(2, 0)


def test_batches_mix_the_files(tables) -> None:
    paths = tables([1000, 1000], SHAPE)
    stream = BatchStream(source_of(paths), StreamSettings(batch_rows=100, seed=3))
    shares = [(row_numbers([batch]) < 1000).mean() for batch in stream.epoch()]
    assert max(shares) < 0.75
    assert min(shares) > 0.25


def test_a_batch_does_not_change_when_the_next_is_read(tables) -> None:
    stream = BatchStream(source_of(tables([2000], SHAPE)), StreamSettings(64, workers=2))
    batches = stream.epoch()
    first = next(batches)
    copy = {name: values.copy() for name, values in first.items()}
    for _ in range(10):
        next(batches)
    for name, values in copy.items():
        np.testing.assert_array_equal(first[name], values)


def spoil_row(path: str, row: int) -> None:
    table = np.load(path, max_header_size=100_000)
    table["x9"][row] = np.nan
    np.save(path, table)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_row_stops_the_stream(tables, workers: int) -> None:
    paths = tables([700, 1300], SHAPE)
    spoil_row(paths[1], 555)
    with pytest.raises(DataFileError, match=r"table1\.npy: 'x': row 555 holds NaN"):
        list(BatchStream(source_of(paths), StreamSettings(64, workers=workers)).epoch())


def test_a_bad_file_stops_the_stream(tables) -> None:
    paths = tables([700, 1300], SHAPE)
    Path(paths[0]).write_bytes(b"")
    with pytest.raises(DataFileError, match=r"table0\.npy: the file is empty"):
        BatchStream(source_of(paths))


def test_a_killed_worker_is_reported_and_the_others_are_ended(tables) -> None:
    stream = BatchStream(source_of(tables([4000], SHAPE)), StreamSettings(64, workers=2))
    batches = stream.epoch()
    next(batches)
    children = multiprocessing.active_children()
    assert len(children) == 2
    os.kill(children[0].pid, signal.SIGKILL)
    with pytest.raises(ToolFailedError, match="exit status -9"):
        list(batches)
    assert not any(child.is_alive() for child in children)


def test_a_stream_left_early_leaves_no_worker(tables) -> None:
    batches = BatchStream(source_of(tables([4000], SHAPE)), StreamSettings(64, workers=2)).epoch()
    next(batches)
    children = multiprocessing.active_children()
    batches.close()
    assert not any(child.is_alive() for child in children)


def test_a_bug_in_a_worker_is_reported(tmp_path: Path, patches) -> None:
    pair = (str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    write_plain_patches(*pair, patches(500))
    stream = BatchStream(PlainPatches((pair,), (8, 8)), StreamSettings(10, workers=1))
    stream.source = PlainPatches((pair,), (8, 8), scaling="no scaling")
    with pytest.raises(EdgeInferError, match=r"a reading worker failed: .*no scaling"):
        list(stream.epoch())


def test_root_dumps_stream_through_workers(tmp_path: Path, plane) -> None:
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / f"d{number}.root"))
        write_planes(paths[-1], [plane(event=10 * number + i) for i in range(2)])
    source = PlaneDump(tuple(paths), edge="zero", none_fraction=0.0)
    batches = list(BatchStream(source, StreamSettings(32, workers=2)).epoch())
    labels = np.concatenate([batch["labels"] for batch in batches])
    events = np.concatenate([batch["evt"] for batch in batches])
    assert labels.sum(axis=0).tolist() == [300, 198, 0]
    assert set(events.tolist()) == {0, 1, 10, 11, 20, 21}
    assert any(len(set(batch["evt"].tolist())) == 3 for batch in batches)


def test_premixing_writes_every_row_once_in_another_order(tables, tmp_path: Path) -> None:
    paths = tables([700, 1300], SHAPE)
    out = tmp_path / "mixed.npy"
    assert premix_tables(paths, out, shape=SHAPE, memory_cap_bytes=2**22) == 2000
    settings = StreamSettings(100, mixing="in-order")
    batches = list(BatchStream(source_of((str(out),)), settings).epoch())
    assert sorted(row_numbers(batches)) == list(range(2000))
    shares = [(row_numbers([batch]) < 700).mean() for batch in batches]
    assert max(shares) < 0.65
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mixed.npy", "table0.npy", "table1.npy"]


def test_a_split_keeps_events_whole_and_shares_out_all_rows(tables) -> None:
    source = source_of(tables([700, 1300], SHAPE))
    sides = [RowSplit(source, 0.0, 0.7, seed=4), RowSplit(source, 0.7, 1.0, seed=4)]
    batches = [list(BatchStream(side, StreamSettings(64)).epoch()) for side in sides]
    events = [set(np.concatenate([b["evt"] for b in side]).tolist()) for side in batches]
    assert not events[0] & events[1]
    numbers = [row_numbers(side) for side in batches]
    assert sorted(np.concatenate(numbers)) == list(range(2000))
    assert abs(len(events[0]) / 200 - 0.7) < 0.15


def test_event_positions_are_uniform() -> None:
    ids = {"run": np.ones(100_000, int), "subrun": np.ones(100_000, int)}
    position = event_position(ids | {"evt": np.arange(100_000)}, seed=0)
    counts = np.histogram(position, bins=10, range=(0, 1))[0]
    assert np.abs(counts - 10_000).max() < 500


def test_rows_that_name_no_event_are_split_one_by_one(tmp_path: Path, patches) -> None:
    pair = (str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    write_plain_patches(*pair, patches(50))
    rows = PlainPatches((pair,), (8, 8))

    def count(source: ShardSource) -> int:
        blocks = (block for shard in source.shards() for block in source.read(shard))
        return sum(len(next(iter(block.values()))) for block in blocks)

    for seed in (1, 2):
        sides = [count(RowSplit(rows, *ends, seed=seed)) for ends in ((0, 0.5), (0.5, 1))]
        assert sum(sides) == count(rows) == 50 and min(sides) > 10
