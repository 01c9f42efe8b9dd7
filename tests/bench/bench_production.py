# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""200 files of four planes by one process, then by two, in one run: the rate, and the same tags.

Processes take about two seconds to start, which matters less the longer they work.

`python -m tests.bench.bench_production` exits with 1 where a bound is missed.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgeinfer.event.event import PlaneSettings
from edgeinfer.event.files import FILES, TagOrder
from edgeinfer.event.planes import simulate_planes
from edgeinfer.event.production import carry_out_production, plan_production
from edgeinfer.ir import store
from edgeinfer.workers.pool import pool
from tests.support.hit_tagger_programs import FAITHFUL, hit_tagger

COUNT = 200
DIFFERENT = 8  # planes that are simulated; files repeat them, turned
LEAST_SPEEDUP = 1.8


def write_files(folder: Path) -> list[Path]:
    """Files of four planes each: one, and its mirror images."""
    planes = [plane.adc for plane in simulate_planes(0, DIFFERENT)]
    files = [folder / f"event-{number:03d}.npy" for number in range(COUNT)]
    for number, file in enumerate(files):
        turned = np.roll(planes[number % DIFFERENT], 16 * (number // DIFFERENT), axis=1)
        flipped = (turned, turned[:, ::-1], turned[::-1], turned[::-1, ::-1])
        np.save(file, np.stack(flipped))
    return files


def tag(order: TagOrder, files: list[Path], folder: Path, jobs: int) -> tuple[float, set[str]]:
    """Seconds, and digests of all tags."""
    production = plan_production(order, "tagger", files, folder)
    begin = time.perf_counter()
    with pool(FILES, jobs) as workers:
        document = carry_out_production(production, workers, lambda done, total: None)
    assert document["failed"] == 0
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")}
    return time.perf_counter() - begin, digests


def main() -> int:
    """The table, and whether the bound is met."""
    with tempfile.TemporaryDirectory(prefix="edgeinfer-bench-") as scratch:
        folder = Path(scratch)
        program = hit_tagger(FAITHFUL).program
        (folder / "program").write_bytes(store.save(program))
        order = TagOrder(folder / "program", program.digest, PlaneSettings())
        files = write_files(folder)
        one, alone = tag(order, files, folder / "one", 1)
        two, together = tag(order, files, folder / "two", 2)
    if alone != together:
        print("the tags differ")
        return 1
    speedup = one / two
    met = speedup >= LEAST_SPEEDUP
    print(f"{COUNT} files of four planes, faithful tagger, the tags are the same")
    print(f"one process    {one:6.1f} s   {COUNT / one:6.1f} files a second")
    print(f"two processes  {two:6.1f} s   {COUNT / two:6.1f} files a second")
    print(f"speed-up {speedup:.2f}, at least {LEAST_SPEEDUP}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
