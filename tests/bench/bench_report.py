# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reports of very deep networks and comparisons of very many runs: seconds, and bytes of the page.

`python -m tests.bench.bench_report` exits with 1 where a bound is missed. Processor time is judged;
the time on the wall stands beside it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edgeinfer.report.compare import page
from edgeinfer.report.page.page import Wishes, report_on, write_report_files
from edgeinfer.run.stored import compare_folders
from tests.support import report_results as results

LAYERS, MOST_REPORT_SECONDS = 10_000, 5.0
RUNS, MOST_COMPARE_SECONDS = 200, 3.0
MOST_BYTES = 1_500_000


def timed(do: Callable[[], bytes]) -> tuple[float, float, int]:
    """Processor seconds, seconds on the wall, and the size of what was made."""
    began, on_the_wall = time.process_time(), time.perf_counter()
    size = len(do())
    return time.process_time() - began, time.perf_counter() - on_the_wall, size


def main() -> int:
    """Measure both; the exit code."""
    result, profile = results.deep(LAYERS)
    with tempfile.TemporaryDirectory() as scratch:
        folders = []
        for name, each in results.sweep(RUNS):
            folder = Path(scratch) / name
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(each.to_json(), encoding="utf-8")
            folders.append(folder)
        cases = {
            f"a report of {LAYERS:,} layers": (
                MOST_REPORT_SECONDS,
                lambda: write_report_files(report_on(result, profile, Wishes())).files[
                    "report.html"
                ],
            ),
            f"a comparison of {RUNS} runs": (
                MOST_COMPARE_SECONDS,
                lambda: page.html(compare_folders(folders)).encode(),
            ),
        }
        missed = 0
        for name, (most, do) in cases.items():
            seconds, wall, size = timed(do)
            kept = seconds < most and size < MOST_BYTES
            missed += not kept
            print(
                f"{name:<28} {seconds:6.2f} s of {most:.0f} s ({wall:.2f} s on the wall), "
                f"{size / 1e6:.2f} MB of {MOST_BYTES / 1e6:.1f} MB{'' if kept else '  MISSED'}"
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
