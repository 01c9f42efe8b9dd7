# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A look inside: every value of a Program beside the float tensor of its name, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.evaluate.profile.histograms import Tally
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir import ops
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.program import Program, node_name
from quantization.fixed import Ints, Overflow, dequantize, shift_right

MOST_ELEMENTS = 40_000_000  # of all values together: some seconds
MOST_TAPPED, FEWEST_TAPPED = 4096, 8


@dataclass(slots=True)
class ValueStatistics:
    """What was seen of one value so far; sums of squares are over `elements`."""

    integers: Tally = field(default_factory=Tally)
    floats: Tally | None = None
    raw_low: int = 0
    raw_high: int = 0
    elements: int = 0
    float_squares: float = 0.0
    error_squares: float = 0.0
    rounding_squares: float = 0.0
    below: int = 0
    above: int = 0

    def add(self, raw: Ints, real: NDArray[np.float64]) -> None:
        """A batch of integers, and the numbers that they stand for."""
        first = not self.elements
        low, high = int(raw.min()), int(raw.max())
        self.raw_low = low if first else min(low, self.raw_low)
        self.raw_high = high if first else max(high, self.raw_high)
        self.elements += raw.size
        self.integers.add(real)

    def add_float(self, expected: NDArray[np.float64], real: NDArray[np.float64]) -> None:
        """The float tensor of the same batch."""
        if self.floats is None:
            self.floats = Tally()
        self.floats.add(expected)
        self.float_squares += float(np.sum(expected**2))
        self.error_squares += float(np.sum((expected - real) ** 2))

    def rms(self, squares: float) -> float:
        """The root of a mean of squares."""
        return math.sqrt(squares / self.elements)


def worth_looking_at(program: Program, available: int) -> int:
    """As many samples as take some seconds."""
    elements = sum(math.prod(shape) for shape in program.shapes.values())
    affordable = max(FEWEST_TAPPED, min(MOST_TAPPED, MOST_ELEMENTS // max(elements, 1)))
    return min(affordable, available)


def collect_statistics(
    program: Program,
    graph: Graph,
    raw: Mapping[str, Ints],
    inputs: Mapping[str, NDArray[Any]],
    batch: int,
) -> dict[str, ValueStatistics]:
    """Every value but constants, over all samples."""
    values = [op.name for op in program.ops if not isinstance(op, ops.Constant)]
    twins = twins_of(program, graph)
    engine, exact = Engine(program), FloatEngine(graph)
    statistics = {name: ValueStatistics() for name in values}
    total = len(next(iter(raw.values())))
    for start in range(0, total, batch):
        part = slice(start, start + batch)
        values_read = engine.run({name: each[part] for name, each in raw.items()}, taps=values)
        floats = exact.run(
            {name: each[part] for name, each in inputs.items()}, taps=sorted(set(twins.values()))
        )
        for name in values:
            _add(statistics[name], program, name, values_read, twins.get(name), floats)
    return statistics


def _add(
    statistics: ValueStatistics,
    program: Program,
    name: str,
    values: Mapping[str, Ints],
    twin: str | None,
    floats: Mapping[str, NDArray[np.float32]],
) -> None:
    real = dequantize(values[name], program.type(name))
    statistics.add(values[name], real)
    if twin is not None:
        statistics.add_float(floats[twin].astype(np.float64), real)
    op = program[name]
    if isinstance(op, ops.Requant):
        before = dequantize(values[op.x], program.type(op.x))
        below, above = outside(op, values[op.x], program.type(op.x).frac)
        statistics.below += below
        statistics.above += above
        kept = np.maximum(before, 0.0) if not op.type.signed else before
        statistics.rounding_squares += float(np.sum((kept - real) ** 2))


def outside(op: ops.Requant, x: Ints, frac: int) -> tuple[int, int]:
    """How many values lie below and above the range that they are brought into, once rounded."""
    low, high = op.type.raw_min, op.type.raw_max
    if op.overflow is Overflow.SAT_SYM and op.type.signed:
        low = -high
    shift = frac - op.type.frac
    if shift >= 0:
        rounded = shift_right(x, shift, op.rounding)
        return int(np.sum(rounded < low)), int(np.sum(rounded > high))
    return int(np.sum(x < -(-low >> -shift))), int(np.sum(x > high >> -shift))


def twins_of(program: Program, graph: Graph) -> dict[str, str]:
    """The float tensor that each value stands for, where one of its name and shape exists."""
    twins = {}
    for op in program.ops:
        name = node_name(op.name)
        if graph.shapes.get(name) == program.shapes[op.name]:
            twins[op.name] = name
    return twins
