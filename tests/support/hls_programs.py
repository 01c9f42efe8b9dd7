# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A small network with two heads of one type, for tests of HLS projects."""

from __future__ import annotations

import numpy as np

from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.ops import Dense, Input, Table, pack_weights
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding

X, WEIGHT = Fixed(True, 6, 3), Fixed(True, 4, 1)
SUM = Fixed(True, 14, 8)


def two_heads(seed: int = 3) -> Program:
    """x (6) -> hidden (5), rounded, through a table -> two heads of 3 each."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder("two-heads")
    builder.add(Input("x", X, (6,)))
    builder.add(_dense("hidden", "x", (6, 5), rng))
    quantizer = Quantizer(Fixed(False, 4, 3), Rounding.RND_CONV, Overflow.SAT)
    builder.requant("hidden_relu", "hidden", quantizer)
    entries = pack_weights((np.arange(16, dtype=np.int64) ** 2) // 4)
    builder.add(Table("bent", Fixed(False, 6, 5), "hidden_relu", 0, entries))
    builder.add(_dense("left", "bent", (5, 3), rng))
    builder.add(_dense("right", "bent", (5, 3), rng))
    return builder.program((Output("left", "left"), Output("right", "right")))


def _dense(name: str, x: str, shape: tuple[int, int], rng: np.random.Generator) -> Dense:
    weight = rng.integers(WEIGHT.raw_min, WEIGHT.raw_max, shape, endpoint=True)
    bias = rng.integers(-40, 40, shape[1])
    type_ = SUM if name != "hidden" else Fixed(True, 13, 7)
    return Dense(name, type_, x, pack_weights(weight), WEIGHT, pack_weights(bias))


def inputs(count: int, seed: int = 5) -> dict[str, Ints]:
    """Raw inputs over the whole type."""
    rng = np.random.default_rng(seed)
    return {"x": rng.integers(X.raw_min, X.raw_max, (count, 6), dtype=np.int64, endpoint=True)}
