# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A sparse U-net on whole planes against the same network computed everywhere, in the same run.

512 x 512 pixels, 5 levels, 50 convolutions, one thread. Planes are those of the simulation, laid
over each other until enough pixels are lit. `python -m tests.bench.bench_sparse` exits with 1 when
a bound is missed.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import numpy as np

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.ops import Conv, Dense
from edgeinfer.ir.program import Program
from edgeinfer.lartpc.events import EventSettings, simulate
from edgeinfer.lartpc.segments import LIT_ADC
from quantization.fixed import Ints
from tests.support.sparse_programs import sparse_unet

SIDE, LEVELS, CHANNELS = 512, 5, 16
CONVOLUTIONS = 50
OCCUPANCIES = (0.001, 0.0025, 0.005, 0.01, 0.02)
USUAL = 0.005
REPETITIONS = 9
EVENTS = 12
ALONE = "alone"
MOST_MS, MOST_MB, LEAST_SPEEDUP = 40.0, 250.0, 40.0
LEAST_LINEAR = 0.97  # of the variance that a straight line explains


def network() -> Program:
    """Five convolutions a level, four ways down and four up, and the scores."""
    program = sparse_unet(1, size=SIDE, levels=LEVELS, convs=5, channels=CHANNELS, bits=8,
                          weight_bits=8, plain=True)  # fmt: skip
    assert sum(isinstance(op, Conv | Dense) for op in program.ops) >= CONVOLUTIONS
    return program


def planes(occupancy: float, top: int) -> Ints:
    """Events over each other; rows at the end are emptied until just so many pixels are lit."""
    result = simulate(7, EVENTS, EventSettings(wires=SIDE, pixels=SIDE))
    expected = round(occupancy * SIDE * SIDE)
    image = np.zeros((SIDE, SIDE))
    for adc in result.adc:
        image = np.maximum(image, np.where(adc > LIT_ADC, adc, 0.0))
        if np.count_nonzero(image) >= expected:
            break
    lit = np.flatnonzero(image)
    image.ravel()[lit[expected:]] = 0.0
    raw = np.where(image > 0, np.clip(np.rint(image), 1, top), 0)
    return raw.astype(np.int64)[None, ..., None]


def milliseconds(run: Callable[[], object]) -> float:
    """The processor time of a call, all of it on this thread: others may compute meanwhile."""
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def run_alone() -> float:
    """The most memory in MB of this process, which runs the network on one plane of lit dots."""
    program, rng = network(), np.random.default_rng(0)
    lit = rng.permutation(SIDE * SIDE)[: round(USUAL * SIDE * SIDE)]
    image = np.zeros(SIDE * SIDE, np.int64)
    image[lit] = rng.integers(1, 100, lit.size)
    engine = Engine(program, threads=1, batch=1)
    for _ in range(3):
        engine.run({"image": image.reshape(1, SIDE, SIDE, 1)})
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def memory_mb() -> float:
    """The same, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.bench_sparse", ALONE]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    """Measure, print, and say whether all bounds hold."""
    if sys.argv[1:] == [ALONE]:
        print(run_alone())
        return 0
    memory = memory_mb()
    program = network()
    images = {each: planes(each, program.inputs[0].type.raw_max) for each in OCCUPANCIES}
    engine = Engine(program, threads=1, batch=1)
    times: dict[float, list[float]] = {each: [] for each in OCCUPANCIES}
    for image in images.values():
        engine.run({"image": image})  # the first call plans memory
    for _ in range(REPETITIONS):
        for each, image in images.items():
            times[each].append(milliseconds(lambda image=image: engine.run({"image": image})))
    with mock.patch("edgeinfer.ir.engine.emit.place_at_sites", lambda state, kept: state):
        dense = Engine(program, threads=1, batch=1)
    usual = {"image": images[USUAL]}
    same = np.array_equal(dense.run(usual)["classes"], engine.run(usual)["classes"])
    ratios, everywhere, at_sites = [], [], []
    for _ in range(3):
        everywhere.append(milliseconds(lambda: dense.run(usual)))
        at_sites.append(min(milliseconds(lambda: engine.run(usual)) for _ in range(3)))
        ratios.append(everywhere[-1] / at_sites[-1])
    medians = [statistics.median(times[each]) for each in OCCUPANCIES]
    slope, offset = np.polyfit(OCCUPANCIES, medians, 1)
    fit = np.corrcoef(OCCUPANCIES, medians)[0, 1] ** 2
    for each, median in zip(OCCUPANCIES, medians, strict=True):
        sites = np.count_nonzero(images[each])
        print(f"{each:.2%} lit, {sites:5} sites: {median:6.1f} ms an image (median), "
              f"{min(times[each]):6.1f} at best")  # fmt: skip
    print(f"fit: {offset:.1f} ms + {slope / 1e2:.1f} ms for each percent; r^2 = {fit:.4f}")
    print(f"memory: {memory:.0f} MB; everywhere: {statistics.median(everywhere):.0f} ms, "
          f"{statistics.median(ratios):.0f} times as long; the same integers: {same}")  # fmt: skip
    at_usual = medians[OCCUPANCIES.index(USUAL)]
    holds = (
        same
        and at_usual <= MOST_MS
        and memory <= MOST_MB
        and statistics.median(ratios) >= LEAST_SPEEDUP
        and fit >= LEAST_LINEAR
    )
    print("all bounds hold" if holds else "A BOUND IS MISSED")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
