# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Additions that a matrix takes whose weights never change: ours, and those of da4ml's solver where
that package is installed. Both multiply exactly; only the numbers of additions are compared."""

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
from edgeinfer.targets.rtl.unrolled.shift_add import digit_count, shared_graph
from quantization.fixed import Fixed, Ints

MODELS = Path("reports/reference/quantization")
NAMES = ("jet-tagger-6bit", "jet-tagger-4bit", "roi-finder-6bit")
MOST_DIGITS = RtlSettings().unroll_most  # of what is unrolled at all
ADDING = (0, 1)  # da4ml's operations that add or subtract
Solver = Callable[[Ints, Fixed], int]


def main() -> None:
    """One line for each matrix, and the sum."""
    others = da4ml_additions() if importlib.util.find_spec("da4ml") else None
    if others is None:
        print("da4ml is not installed: pip install 'da4ml>=0.5.2,<0.6' (LGPL-3)")
    print("matrix                                digits   ours  seconds   da4ml  seconds")
    totals = [0, 0]
    for name in NAMES:
        loaded = load(MODELS / f"{name}.keras")
        program = lower(loaded.graph, complete_recipe(loaded.graph, loaded.recipe).recipe).program
        for op in program.ops:
            if not isinstance(op, Dense | Conv):
                continue
            matrix = matrix_of(op)
            if digit_count(matrix) > MOST_DIGITS:
                continue
            own, took = timed(lambda matrix=matrix: shared_graph(matrix).additions)
            totals[0] += own
            line = f"{name + ' ' + op.name:<28} {matrix.shape[0]:>4} x {matrix.shape[1]:<3}"
            line += f"{digit_count(matrix):>6} {own:>6} {took:>8.2f}"
            if others is not None:
                type_ = program[op.x].type
                theirs, took = timed(lambda m=matrix, t=type_: others(m, t))
                totals[1] += theirs
                line += f" {theirs:>7} {took:>8.2f}"
            print(line)
    print(f"in all {totals[0]:>45}" + (f" {totals[1]:>16}" if others else ""))


def da4ml_additions() -> Solver:
    """The best that its solver finds with its own settings."""
    solve = importlib.import_module("da4ml.cmvm").solve
    interval = importlib.import_module("da4ml.cmvm.types").QInterval

    def additions(matrix: Ints, type_: Fixed) -> int:
        inputs = [interval(float(type_.raw_min), float(type_.raw_max), 1.0)] * len(matrix)
        made = solve(matrix.astype(np.float32), qintervals=inputs)
        return sum(op.opcode in ADDING for stage in made.solutions for op in stage.ops)

    return additions


def timed(call: Callable[[], int]) -> tuple[int, float]:
    """What comes of a call, and its seconds."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


if __name__ == "__main__":
    main()
