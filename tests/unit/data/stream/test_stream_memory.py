# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The memory cap is kept: measured by the operating system, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.places import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)

# Every process of the stream, the reader included, says by how much it grew past what it had when
# it began to read. Shared memory counts once in each process that maps it, so the sum is an upper
# bound on what the stream took.
PROGRAM = """
import json, multiprocessing, sys
from pathlib import Path
from edgeinfer.data.formats.patches_npy import PlainPatches
from edgeinfer.data.stream.batches import BatchStream, StreamSettings

def held(pid):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (OSError, ProcessLookupError):
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) * 1024 if found else 0

def main():
    pair, side, workers, cap, idle = sys.argv[1:3], *map(int, sys.argv[3:6]), int(sys.argv[6])
    source = PlainPatches((tuple(pair),), (side, side))
    stream = BatchStream(source, StreamSettings(256, workers=workers, memory_cap_bytes=cap))
    before, peak, rows, total = held("self"), {}, 0, 0
    for number, batch in enumerate(stream.epoch()):
        rows += len(batch["patch"])
        total += round(float(batch["patch"][:, 0, 0, 0].sum()) * 10)
        if number % 10 == 0:
            for child in multiprocessing.active_children():
                peak[child.pid] = held(child.pid)
    grown = held("self") - before + sum(max(0, p - idle) for p in peak.values())
    print(json.dumps({"rows": rows, "total": total, "grown": grown}))

if __name__ == "__main__":
    main()
"""

IDLE = """
import numpy
from pathlib import Path
from edgeinfer.data.stream import batches as stream
from edgeinfer.data.stream import workers as stream_workers
from edgeinfer.data.formats import patches_npy
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if "VmHWM" in line))
"""


def run_program(text: str, folder: Path, *arguments: object) -> str:
    script = folder / "program.py"
    script.write_text(text)
    command = [sys.executable, str(script), *map(str, arguments)]
    root = ROOT
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_set(folder: Path, rows: int, side: int) -> tuple[Path, Path]:
    """Plain patches of small integers, written in pieces."""
    x_path, y_path = folder / "x.npy", folder / "y.npy"
    x = np.lib.format.open_memmap(x_path, "w+", np.int16, (rows, side, side))
    for first in range(0, rows, 50_000):
        part = x[first : first + 50_000]
        part[:] = 1
        part[:, 0, 0] = np.arange(first, first + len(part)) % 10
    x.flush()
    y = np.zeros((rows, 4), dtype=np.uint8)
    y[:, 0] = 1
    np.save(y_path, y)
    return x_path, y_path


def measure(folder: Path, rows: int, side: int, workers: int, cap: int) -> int:
    """The growth in bytes; asserts that every row was read."""
    paths = write_set(folder, rows, side)
    idle = int(run_program(IDLE, folder)) * 1024
    result = json.loads(run_program(PROGRAM, folder, *paths, side, workers, cap, idle))
    assert result["rows"] == rows
    assert result["total"] == rows // 10 * sum(range(10))
    return result["grown"]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_cap_is_kept_on_data_far_above_it(tmp_path: Path, workers: int) -> None:
    cap = 56 * 2**20
    grown = measure(tmp_path, 64_000, 30, workers, cap)
    assert (tmp_path / "x.npy").stat().st_size > 1.9 * cap
    assert grown <= cap


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_a_million_events_under_64_mib(tmp_path: Path, workers: int) -> None:
    assert measure(tmp_path, 1_100_000, 20, workers, 64 * 2**20) <= 64 * 2**20
