# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Batches a second from disk: naive, premixed and mixed on the fly, side by side in one run.

Three files hold one class each, the worst case for mixing. Before each way the files are dropped
from the page cache, so that the disk is read. Columns: seconds to the first batch (with premixing),
rows and megabytes a second after it, growth of the memory of all processes over idle ones (the
naive way maps whole files), and the spread of a class over the batches in units of the binomial
one: 1.0 is perfect mixing.

    python tests/bench/bench_stream.py [--rows 1050000] [--side 16] [--cap-mib 128]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.patch_rows import split_labels
from edgeinfer.data.formats.patches_npy import PatchTable, map_table, write_table
from edgeinfer.data.formats.scalings import PatchScaling, scale_patches
from edgeinfer.data.formats.shards import Columns, row_bytes
from edgeinfer.data.stream.batches import BatchStream, StreamSettings
from edgeinfer.data.stream.premix import premix_tables

BATCH_ROWS = 256
NAIVE_SECONDS = 15.0
WAYS = (
    "in order",
    "naive",
    "premixed",
    "on the fly",
    "on the fly, 1 worker",
    "on the fly, 2 workers",
)


@dataclass(frozen=True, slots=True)
class Job:
    """One way of reading the same files."""

    way: str
    paths: tuple[str, ...]
    side: int
    cap_bytes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a way."""

    rows: int
    first_seconds: float
    seconds: float
    grown_bytes: int
    spread: float


def write_files(folder: Path, rows: int, side: int) -> tuple[str, ...]:
    """One structured table a class."""
    rng = np.random.default_rng(0)
    paths = []
    noise = rng.normal(0, 10, (4096, side, side, 1)).astype(np.float32)
    for kind, name in enumerate(("track", "em", "none")):
        paths.append(str(folder / f"{name}.npy"))
        with write_table(paths[-1], (side, side)) as writer:
            for first in range(0, rows // 3, 4096):
                count = min(4096, rows // 3 - first)
                labels = np.zeros((count, 3), dtype=np.uint8)
                labels[:, kind] = 1
                michel = np.zeros((count, 1), dtype=np.uint8)
                writer.write({"patch": noise[:count], "labels": labels, "michel": michel})
    return tuple(paths)


def forget(paths: tuple[str, ...]) -> None:
    """Drop files from the page cache where the system can."""
    for path in paths:
        with Path(path).open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def naive_batches(job: Job) -> Iterator[Columns]:
    """The obvious way: rows at random from all files, one seek a row."""
    shape = (job.side, job.side)
    counts = [sum(s.rows for s in PatchTable((p,), shape).shards()) for p in job.paths]
    tables = [map_table(p, shape, 0, n) for p, n in zip(job.paths, counts, strict=True)]
    edges = np.cumsum([0, *counts])
    order = np.random.default_rng(0).permutation(edges[-1])
    for first in range(0, len(order), BATCH_ROWS):
        rows = order[first : first + BATCH_ROWS]
        files = np.searchsorted(edges, rows, side="right") - 1
        pairs = zip(files, rows, strict=True)
        records = np.array([tables[f][row - edges[f]] for f, row in pairs])
        labels, michel = split_labels(records["y"], "", first)
        patch = scale_patches(records["x"], PatchScaling.SIGNED)[..., np.newaxis]
        yield {"patch": patch, "labels": labels, "michel": michel}


def batches_of(job: Job) -> Iterator[Columns]:
    """The batches of a way of reading."""
    shape = (job.side, job.side)
    settings = StreamSettings(BATCH_ROWS, memory_cap_bytes=job.cap_bytes, mixing="in-order")
    match job.way:
        case "in order":
            yield from BatchStream(PatchTable(job.paths, shape), settings).epoch()
        case "naive":
            yield from naive_batches(job)
        case "premixed":
            mixed = str(Path(job.paths[0]).with_name("mixed.npy"))
            premix_tables(job.paths, mixed, shape=shape, memory_cap_bytes=job.cap_bytes)
            forget((mixed,))
            yield from BatchStream(PatchTable((mixed,), shape), settings).epoch()
            Path(mixed).unlink()
        case _:
            workers = int(job.way.split()[-2]) if "worker" in job.way else 0
            settings = StreamSettings(BATCH_ROWS, workers, memory_cap_bytes=job.cap_bytes)
            yield from BatchStream(PatchTable(job.paths, shape), settings).epoch()


def peak_bytes(process: int | str) -> int:
    """The most memory that a process has held, or 0 where the system does not say."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if "VmHWM" in line), 0)


def measure(job: Job) -> Figures:
    """Read an epoch (the naive way: for some seconds) in this fresh process."""
    idle = peak_bytes("self")
    peaks: dict[int, int] = {}
    shares, rows, seconds, first_seconds = [], 0, 0.0, 0.0
    begin = time.perf_counter()
    for number, batch in enumerate(batches_of(job)):
        now = time.perf_counter()
        if number == 0:
            first_seconds, begin = now - begin, now
            continue
        rows, seconds = rows + len(batch["patch"]), now - begin
        if len(batch["patch"]) == BATCH_ROWS:
            shares.append(float(batch["labels"][:, 0].mean()))
        if number % 10 == 0:
            children = multiprocessing.active_children()
            peaks.update((child.pid or 0, peak_bytes(child.pid or 0)) for child in children)
        if job.way == "naive" and seconds > NAIVE_SECONDS:
            break
    grown = peak_bytes("self") - idle + sum(max(0, peak - idle) for peak in peaks.values())
    binomial = float(np.sqrt(2 / 9 / BATCH_ROWS))
    return Figures(rows, first_seconds, seconds, grown, float(np.std(shares)) / binomial)


def main() -> None:
    """Write the files, measure every way in its own process, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_050_000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--cap-mib", type=int, default=128)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="bench-stream-") as folder:
        paths = write_files(Path(folder), options.rows, options.side)
        total_mb = sum(Path(path).stat().st_size for path in paths) / 1e6
        print(
            f"{options.rows} patches of {options.side}x{options.side}, {total_mb:.0f} MB on disk,"
        )
        print(f"batches of {BATCH_ROWS}, cap {options.cap_mib} MiB, {os.cpu_count()} cores")
        print(f"{'way':24}{'first s':>9}{'rows/s':>10}{'MB/s':>8}{'grown MiB':>11}{'spread':>8}")
        batch_row = row_bytes(PatchTable(paths, (options.side, options.side)).layout())
        for way in WAYS:
            forget(paths)
            job = Job(way, paths, options.side, options.cap_mib * 2**20)
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                actual = pool.submit(measure, job).result()
            rate = actual.rows / actual.seconds
            print(
                f"{way:24}{actual.first_seconds:9.2f}{rate:10.0f}{rate * batch_row / 1e6:8.0f}"
                f"{actual.grown_bytes / 2**20:11.0f}{actual.spread:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
