# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""C-simulation: our compilation and runs beside hls4ml's own, of the same projects, in one run.

Both compile the same sources with the same g++; what they yield must be the engine's integers. Each
predicts the same samples, the reading of weights included. `python -m tests.bench.bench_csim` exits
with 1 where a bound is missed; `--quick` leaves out the project that takes minutes.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.run.defaults import add_formats, draw_samples_for, plain
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.zoo import resolve
from quantization.fixed import Ints
from quantization.recipe import Recipe
from tests.bench.csim_project import CSim, shared
from tests.support.hit_tagger_programs import FAITHFUL, hit_tagger

PROCESSES = 2
REPETITIONS = 5
LEAST_SPEEDUP = 1.8
MOST_OF_COMPILE = 1.0


@dataclass(frozen=True, slots=True)
class Race:
    """A project and how many samples are predicted."""

    model: str
    io: IoType
    samples: int
    slow: bool = False


RACES = (
    Race("jet-tagger", IoType.PARALLEL, 20_000),
    Race("hit-tagger-pooled", IoType.STREAM, 150),
    Race("track-pid", IoType.STREAM, 300),
    Race("roi-finder", IoType.STREAM, 400),
    Race("faithful", IoType.STREAM, 8, slow=True),
)


def program_of(model: str) -> Program:
    """The Program of a reference model at 8 bits, or of the faithful hit tagger."""
    if model == "faithful":
        return hit_tagger(FAITHFUL).program
    loaded = load(resolve(Path(model)))
    chosen = add_formats(loaded, plain(8), draw_samples_for(loaded, Recipe()))
    return lower(chosen.graph, chosen.recipe).program


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def raced(race: Race, folder: Path) -> tuple[float, float, float, float]:
    """Seconds of compiling, ours and hls4ml's; milliseconds a sample, ours and hls4ml's."""
    program = program_of(race.model)
    settings = shared(program) if race.slow else HlsSettings(io=race.io)
    emit_project(program, settings).write(folder / "ours")
    theirs = CSim(program, folder / "theirs", settings)
    compile_ours = seconds(lambda: build.build_csim(folder / "ours"))
    compile_theirs = seconds(theirs.compile)
    rng = np.random.default_rng(1)
    raw: dict[str, Ints] = {
        op.name: rng.integers(
            op.type.raw_min, op.type.raw_max, (race.samples, *op.shape), endpoint=True
        )
        for op in program.inputs
    }

    def run_ours() -> dict[str, Ints]:
        return simulate.simulate_project(program, folder / "ours", raw, processes=PROCESSES)

    expected = Engine(program).run(raw)
    for result in (run_ours(), theirs.run(raw)):
        for name, values in expected.items():
            np.testing.assert_array_equal(result[name], values)
    times = [
        (seconds(run_ours), seconds(lambda: theirs.run(raw)))
        for _ in range(1 if race.slow else REPETITIONS)
    ]
    ours, slow = (statistics.median(column) for column in zip(*times, strict=True))
    per_sample = 1e3 / race.samples
    return compile_ours, compile_theirs, ours * per_sample, slow * per_sample


def main() -> int:
    """Print the table; 0 where every bound is met."""
    if os.getloadavg()[0] > 1.0:
        print(f"others keep this machine busy (load {os.getloadavg()[0]:.1f}): the figures show it")
    print(
        f"{'project':<19}{'io':<13}{'compile':>9}{'hls4ml':>9}{'ratio':>8}{'predict':>11}"
        f"{'hls4ml':>10}{'faster':>9}   s, ms a sample; {PROCESSES} processes",
        flush=True,
    )
    met = True
    for race in RACES:
        if race.slow and "--quick" in sys.argv:
            continue
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs, fast, slow = raced(race, Path(folder))
        print(
            f"{race.model:<19}{race.io:<13}{ours:>9.1f}{theirs:>9.1f}{ours / theirs:>8.2f}"
            f"{fast:>11.3f}{slow:>10.3f}{slow / fast:>8.2f}x",
            flush=True,
        )
        met = met and ours <= MOST_OF_COMPILE * theirs and slow >= LEAST_SPEEDUP * fast
    print(
        f"at most {MOST_OF_COMPILE:g} of hls4ml's compile time, {LEAST_SPEEDUP:g}x as fast: "
        + ("met" if met else "MISSED")
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
