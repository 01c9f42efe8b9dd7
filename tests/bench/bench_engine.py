# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The exact engine against hls4ml's C-simulation and against the same network in plain float.

All three run in this one process, in turn, on the same patches; the C-simulation's integers must be
the engine's, and its first call, which reads the weights from text, is not counted. Peak memory is
that of a process of its own. `python -m tests.bench.bench_engine` exits with 1 when a bound is
missed.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from quantization.fixed import dequantize
from tests.bench.csim_project import CSim
from tests.support.hit_tagger_programs import (
    FAITHFUL,
    INPUT,
    POOLED,
    Architecture,
    hit_tagger,
    patches,
)

THREADS = 2
REPETITIONS = 7
MOST_OF_FLOAT = 1.5
MOST_MEMORY_GB = 1.0


@dataclass(frozen=True, slots=True)
class Race:
    """One network: how many patches each contestant gets, and how far ahead the engine must be."""

    architecture: Architecture
    batched: int
    simulated: int
    least_speedup: float


RACES = (Race(POOLED, 2048, 24, 200.0), Race(FAITHFUL, 256, 1, 1500.0))


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the repetitions, of milliseconds for a patch and of ratios within one."""

    name: str
    engine_ms: float
    float_ms: float
    csim_ms: float
    speedup: float
    of_float: float


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measured(race: Race, folder: Path) -> Result:
    """The three in turn, again and again, so that a busy machine is busy for all of them."""
    tagger = hit_tagger(race.architecture)
    engine = Engine(tagger.program, threads=THREADS)
    plain = FloatEngine(tagger.graph, threads=THREADS)
    csim = CSim(tagger.program, folder)
    raw = patches(race.batched)
    reals = dequantize(raw, INPUT).astype(np.float32)
    few = raw[: race.simulated]
    for name, value in csim.run(few).items():
        np.testing.assert_array_equal(value, engine.run({"patch": few})[name])
    engine.run({"patch": raw})
    plain.run({"patch": reals})
    times = [
        (
            seconds(lambda: engine.run({"patch": raw})) / len(raw),
            seconds(lambda: plain.run({"patch": reals})) / len(raw),
            seconds(lambda: csim.run(few)) / len(few),
        )
        for _ in range(REPETITIONS)
    ]
    medians = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
    speedup = statistics.median(slow / fast for fast, _, slow in times)
    of_float = statistics.median(fast / real for fast, real, _ in times)
    return Result(race.architecture.name, *medians, speedup, of_float)


def peak_memory_gb() -> float:
    """Peak memory of a process that compiles the faithful network and runs 1,024 patches."""
    command = [sys.executable, "-m", "tests.bench.bench_engine", "--memory"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def run_for_memory() -> None:
    """The work of that process; it prints its own peak."""
    program = hit_tagger(FAITHFUL).program
    Engine(program, threads=THREADS).run({"patch": patches(1024)})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def main() -> int:
    """Print the table; 0 where every bound is met."""
    load = os.getloadavg()[0]
    if load > 1.0:
        print(f"others keep this machine busy (load {load:.1f}): the figures are theirs too")
    memory = peak_memory_gb()
    met = memory < MOST_MEMORY_GB
    print(f"peak memory, faithful: {memory:.2f} GB (at most {MOST_MEMORY_GB:g} GB)", flush=True)
    print(
        f"{'network':<10}{'engine':>11}{'float ORT':>11}{'C-sim':>11}{'engine is':>14}"
        f"{'of float':>11}   ms a patch, medians of {REPETITIONS}, {THREADS} threads",
        flush=True,
    )
    for race in RACES:
        with tempfile.TemporaryDirectory() as folder:
            r = measured(race, Path(folder))
        ahead = f"{r.speedup:.0f}x faster"
        print(
            f"{r.name:<10}{r.engine_ms:>11.4f}{r.float_ms:>11.4f}{r.csim_ms:>11.2f}{ahead:>14}"
            f"{r.of_float:>10.2f}x   at least {race.least_speedup:g}x, at most {MOST_OF_FLOAT:g}x",
            flush=True,
        )
        met = met and r.speedup >= race.least_speedup and r.of_float <= MOST_OF_FLOAT
    print("bounds met" if met else "BOUNDS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(run_for_memory() if "--memory" in sys.argv else main())
