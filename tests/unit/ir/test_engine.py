# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The fast engine is the interpreter, bit for bit, on random Programs and on chosen hard ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.ir import ops
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.values import Carrier
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.program import Program
from edgeinfer.ir.verify import verify
from quantization.fixed import Overflow, Rounding
from tests.support.random_programs import random_inputs, random_program
from tests.support.sampling import sample_cases

SEEDS = 600
BLOCK = 50
WIDEST = 63  # of every third Program: what no float holds, int64 must


def assert_exact(program: Program, seed: int, *, batch: int = 5) -> Engine:
    """Outputs alone, and outputs with every value tapped, are what the interpreter says."""
    verify(program)
    inputs = random_inputs(program, seed, batch)
    expected = interpret(program, inputs)
    engine = Engine(program, threads=1, batch=3)
    results = engine.run(inputs)
    assert set(results) == {output.name for output in program.outputs}
    for output in program.outputs:
        np.testing.assert_array_equal(results[output.name], expected[output.value])
    tapped = engine.run(inputs, taps=[op.name for op in program.ops])
    for op in program.ops:
        np.testing.assert_array_equal(tapped[op.name], expected[op.name], err_msg=str(op))
        assert tapped[op.name].dtype == np.int64
    return engine


def drawn(seed: int) -> Program:
    """The suite's Program of that number: two in three as wide as weights get, one wider."""
    return random_program(seed, widths=(1, WIDEST if seed % 3 == 2 else 24))


@pytest.mark.parametrize("block", sample_cases(range(SEEDS // BLOCK), 2))
def test_random_programs(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        assert_exact(drawn(seed), seed)


@pytest.mark.fuzz
@settings(max_examples=20_000, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**48), st.integers(1, WIDEST), st.integers(1, 25))
def test_many_more_random_programs(seed: int, width: int, max_ops: int) -> None:
    assert_exact(random_program(seed, widths=(1, width), max_ops=max_ops), seed)


def test_the_random_programs_reach_everything() -> None:
    kinds: Counter[object] = Counter()
    for seed in range(SEEDS):
        program = drawn(seed)
        for op in program.ops:
            kinds[type(op)] += 1
            match op:
                case ops.Requant():
                    kinds[op.rounding, op.overflow] += 1
                    step = program.type(op.x).frac - op.type.frac
                    kinds["widened" if step < 0 else "narrowed"] += 1
                case ops.Pool() | ops.Pair():
                    kinds[op.kind] += 1
                case ops.Conv():
                    kinds["grouped"] += op.groups > 1
                    kinds["dilated"] += max(op.dilation) > 1
                    kinds["strided"] += max(op.strides) > 1
                    kinds["padded"] += any(pad != (0, 0) for pad in op.pads)
                    kinds["spatial axes", len(op.strides)] += 1
                case ops.Dense():
                    kinds["dense axes", len(program.shapes[op.x])] += 1
                case _:
                    pass
    expected: list[object] = [
        # Of these, see test_recurrence.py and test_sparse.py.
        *(kind for kind in ops.KINDS if kind not in (ops.Scan, ops.Sites)),
        *((rounding, overflow) for rounding in Rounding for overflow in Overflow),
        *ops.PoolKind,
        *ops.PairKind,
        *("widened", "narrowed", "grouped", "dilated", "strided", "padded"),
        *[("spatial axes", rank) for rank in (1, 2)],
        *[("dense axes", rank) for rank in (1, 2, 3)],
    ]
    assert [item for item in expected if kinds[item] < 5] == []


@pytest.mark.slow
def test_the_random_programs_reach_every_arithmetic_of_every_op() -> None:
    result: Counter[tuple[str, Carrier]] = Counter()
    for seed in range(SEEDS):
        for entry in Engine(drawn(seed), threads=1).carriers:
            result[entry.op, entry.carrier] += 1
    computed = {op.__name__ for op in ops.KINDS} - {"Input", "Constant", "Scan", "Sites"}
    carriers = (Carrier.FLOAT32, Carrier.FLOAT64, Carrier.INT64)
    missing = [(op, c) for op in sorted(computed) for c in carriers if not result[op, c]]
    assert missing == []
