# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Additions that a matrix takes whose weights never change: ours, and those of da4ml's solver where
that package is installed. Both multiply exactly; only the numbers of additions are compared.

The bound: with ten tries for the fewest additions, no matrix takes more than da4ml 0.6 finds.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Conv, Dense
from edgeinfer.readers import load
from edgeinfer.targets.rtl.design.layers import matrix_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.cheapest import NO_SEARCH, AdderSearch, cheapest_graph
from edgeinfer.targets.rtl.unrolled.shift_add import digit_count
from quantization.fixed import Fixed, Ints

MODELS = Path("reports/reference/quantization")
NAMES = ("jet-tagger-6bit", "jet-tagger-4bit", "roi-finder-6bit")
MOST_DIGITS = RtlSettings().unroll_most  # of what is unrolled at all
SEARCH = AdderSearch(10, "additions")
ADDING = (0, 1)  # da4ml's operations that add or subtract
Solver = Callable[[Ints, Fixed], int]


def main() -> int:
    """One line for each matrix, and the sum; 1 where da4ml finds fewer for a matrix."""
    others = da4ml_additions() if importlib.util.find_spec("da4ml") else None
    if others is None:
        print("da4ml is not installed: pip install 'da4ml>=0.6,<0.7' (LGPL-3)")
    print("matrix                                digits  1 try 10 tries  seconds   da4ml  seconds")
    totals = [0, 0, 0]
    within = True
    for name in NAMES:
        loaded = load(MODELS / f"{name}.keras")
        program = lower(loaded.graph, complete_recipe(loaded.graph, loaded.recipe).recipe).program
        for op in program.ops:
            if not isinstance(op, Dense | Conv):
                continue
            matrix, type_ = matrix_of(op), program[op.x].type
            if digit_count(matrix) > MOST_DIGITS:
                continue
            plain = cheapest_graph(matrix, type_, NO_SEARCH).additions
            own, took = timed(lambda m=matrix, t=type_: cheapest_graph(m, t, SEARCH).additions)
            totals[0] += plain
            totals[1] += own
            line = f"{name + ' ' + op.name:<28} {matrix.shape[0]:>4} x {matrix.shape[1]:<3}"
            line += f"{digit_count(matrix):>6} {plain:>6} {own:>8} {took:>8.2f}"
            if others is not None:
                theirs, took = timed(lambda m=matrix, t=type_: others(m, t))
                totals[2] += theirs
                within &= own <= theirs
                line += f" {theirs:>7} {took:>8.2f}"
            print(line, flush=True)
    print(f"in all {totals[0]:>45} {totals[1]:>8}" + (f" {totals[2]:>16}" if others else ""))
    if others:
        print("bound: no more than da4ml on any matrix:", "holds" if within else "DOES NOT HOLD")
    return 0 if within else 1


def da4ml_additions() -> Solver:
    """The best that its solver finds with its own settings."""
    solver = importlib.import_module("da4ml.cmvm")
    solve, interval = solver.solve, solver.QInterval

    def additions(matrix: Ints, type_: Fixed) -> int:
        inputs = [interval(float(type_.raw_min), float(type_.raw_max), 1.0)] * len(matrix)
        result = solve(matrix.astype(np.float32), qintervals=inputs)
        return sum(op.opcode in ADDING for stage in result.solutions for op in stage.ops)

    return additions


def timed(call: Callable[[], int]) -> tuple[int, float]:
    """What comes of a call, and its seconds."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(main())
