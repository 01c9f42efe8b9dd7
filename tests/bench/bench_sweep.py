# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The example study: 60 trials of the pooled hit tagger by one process, then by two, in one run.

`python -m tests.bench.bench_sweep` exits with 1 where a bound is missed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgeinfer.sweep.run import carry_out
from edgeinfer.sweep.study import Study, read
from edgeinfer.sweep.travel import TRIALS
from edgeinfer.sweep.trial import TrialOutcome
from edgeinfer.workers.pool import pool

STUDY = Path("docs/examples/study-hit-tagger.toml")
MOST_SECONDS = 300.0
LEAST_SPEEDUP = 1.7


class Nobody:
    """Watches nothing."""

    def begun(self, study: Study, known: int) -> None:
        """Nothing is said."""

    def done(self, outcome: TrialOutcome, cached: bool, best: Sequence[TrialOutcome]) -> None:
        """Nothing is said."""


def timed(jobs: int, folder: Path) -> tuple[float, list[str]]:
    """Seconds, and the front, of the study with so many processes, nothing known before."""
    began = time.monotonic()
    with pool(TRIALS, jobs) as workers:
        answer = carry_out(
            read(STUDY), STUDY.read_text(), folder / f"study{jobs}", workers, Nobody(),
            store=folder / f"trials{jobs}", resume=False,
        )  # fmt: skip
    return time.monotonic() - began, answer["front"]


def main() -> int:
    """Run both, print, judge."""
    with tempfile.TemporaryDirectory() as scratch:
        one, front_of_one = timed(1, Path(scratch))
        two, front_of_two = timed(2, Path(scratch))
    same = front_of_one == front_of_two
    sys.stdout.write(
        f"60 trials: {one:.0f} s by one process, {two:.0f} s by two, {one / two:.2f}x as fast; "
        f"the fronts are {'the same' if same else 'DIFFERENT'}\n"
        + json.dumps({"one_s": round(one, 1), "two_s": round(two, 1), "same_front": same})
        + "\n"
    )
    good = two <= MOST_SECONDS and one / two >= LEAST_SPEEDUP and same
    sys.stdout.write(f"at most {MOST_SECONDS:.0f} s, at least {LEAST_SPEEDUP}x: ")
    sys.stdout.write("held\n" if good else "MISSED\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
