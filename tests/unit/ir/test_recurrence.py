# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recurrences: one body, run step by step, with the same integers wherever it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir import ops, store
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.float32 import float32_report
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Constant, Dense, Input, Requant, Scan, pack_weights
from edgeinfer.ir.passes import optimize
from edgeinfer.ir.program import Output, Program, body_of
from edgeinfer.ir.show import show
from edgeinfer.ir.unroll import count_unrolled, unroll_recurrences
from edgeinfer.ir.verify import verify
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.random_programs import random_inputs, random_recurrence
from tests.support.sampling import sample_cases

BYTE, WIDE = Fixed(True, 8, 8), Fixed(True, 10, 10)


def running_sum(steps: int = 5, *, stacked: bool = True, widest: Fixed = BYTE) -> Program:
    """A sum over steps that stops at the ends of a byte; a step yields the sum before it stops."""
    total = ops.Pair("total", Fixed(True, 9, 9), "entry", "held", ops.PairKind.ADD)
    body = Program(
        "body",
        (
            Input("entry", BYTE, (2,)),
            Input("held", widest, (2,)),
            total,
            Requant("after", BYTE, "total", Rounding.TRN, Overflow.SAT),
        ),
        (Output("y", "total"), Output("after", "after")),
    )
    start = Constant("start", BYTE, pack_weights(np.asarray([100, 0])))
    scan = Scan("y", Fixed(True, 9, 9), ("x",), ("start",), body, stacked)
    return Program("sums", (Input("x", BYTE, (steps, 2)), start, scan), (Output("y", "y"),))


def test_a_state_is_handed_from_step_to_step() -> None:
    x = np.asarray([[[10, 1], [20, 2], [30, 3], [-128, 4], [1, 5]]])
    result = interpret(running_sum(), {"x": x})["y"]
    assert result.tolist() == [[[110, 1], [130, 3], [157, 6], [-1, 10], [0, 15]]]
    (last,) = interpret(running_sum(stacked=False), {"x": x})["y"]
    assert last.tolist() == [0, 15]


def test_a_batch_of_any_size_goes_through_the_engine() -> None:
    program = running_sum()
    engine = Engine(program, threads=1, batch=3)
    for count in (1, 3, 7):
        raw = random_inputs(program, count, count)
        np.testing.assert_array_equal(engine.run(raw)["y"], interpret(program, raw)["y"])


@pytest.mark.parametrize("seed", sample_cases(range(120), 6))
def test_engine_and_single_steps_give_the_interpreters_integers(seed: int) -> None:
    assert_alike(seed)


@pytest.mark.fuzz
@settings(max_examples=5_000, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**48))
def test_many_more_recurrences(seed: int) -> None:
    assert_alike(seed)


def assert_alike(seed: int) -> None:
    """A random recurrence keeps the laws, and every way to run it gives the same integers."""
    program = random_recurrence(seed)
    verify(program)
    raw = random_inputs(program, seed, 6)
    values = interpret(program, raw)
    proved = bounds_of(program)
    for name, value in values.items():
        assert (value >= proved[name].low).all() and (value <= proved[name].high).all(), name
    expected = results(program, values)
    flat = unroll_recurrences(program)
    verify(flat)
    assert not any(isinstance(op, Scan) for op in flat.ops)
    found = {
        "engine": Engine(program, threads=1).run(raw),
        "steps": results(flat, interpret(flat, raw)),
        "optimized": Engine(optimize(program), threads=1).run(raw),
        "stored": Engine(store.load(store.save(program)), threads=1).run(raw),
    }
    for way, values in found.items():
        for name, wanted in expected.items():
            np.testing.assert_array_equal(values[name], wanted, err_msg=f"{way}: {name}")


def test_the_random_recurrences_differ_in_all_that_a_recurrence_can_be() -> None:
    kinds: Counter[object] = Counter()
    for seed in range(120):
        for op in random_recurrence(seed).all_ops():
            if isinstance(op, Scan):
                kinds["stacked", op.stacked] += 1
                kinds["states", len(op.starts)] += 1
                kinds["sequences", len(op.xs)] += 1
                kinds["inside"] += any(isinstance(each, Scan) for each in body_of(op).ops)
    expected = [("stacked", True), ("stacked", False), ("sequences", 1), ("sequences", 2), "inside"]
    expected += [("states", count) for count in range(4)]
    assert [kind for kind in expected if kinds[kind] < 5] == []


def test_a_state_must_be_what_the_next_step_reads() -> None:
    program = running_sum()
    scan = program["y"]
    assert isinstance(scan, Scan)
    outputs = (body_of(scan).outputs[0], Output("after", "total"))
    wrong = program.replace_op(replace(scan, body=replace(body_of(scan), outputs=outputs)))
    with pytest.raises(ProgramError, match=r"%total of fixed<9,9> spans -256..254, but .* fixed<8"):
        verify(wrong)


def test_what_is_given_to_a_body_must_fit_it() -> None:
    program = running_sum()
    start = Constant("start", WIDE, pack_weights(np.asarray([300, 0])))
    with pytest.raises(
        ProgramError, match=r"%start of fixed<10,10> spans 0..300, but it is read as fixed<8,8>"
    ):
        verify(program.replace_op(start))
    with pytest.raises(ProgramError, match=r"\(3,\) does not fit the body's %held of \(2,\)"):
        program.replace_op(replace(start, value=pack_weights(np.asarray([1, 2, 3]))))


def test_work_counts_for_every_step_and_weights_once() -> None:
    weight = pack_weights(np.ones((2, 3), np.int64))
    dense = Dense("y", Fixed(True, 10, 10), "entry", weight, BYTE, pack_weights(np.arange(3)))
    body = Program("body", (Input("entry", BYTE, (2,)), dense), (Output("y", "y"),))
    scan = Scan("all", dense.type, ("x",), (), body, True)
    program = Program("p", (Input("x", BYTE, (7, 2)), scan), (Output("all", "all"),))
    assert (program.macs, program.parameters, count_unrolled(program)) == (42, 9, 15)
    costs = costs_of(program)
    assert (costs.macs, costs.layers[0].weights) == (42, 9)


def test_names_inside_do_not_change_the_digest_and_the_body_does() -> None:
    program = running_sum()
    scan = program["y"]
    assert isinstance(scan, Scan)
    body = body_of(scan)
    renamed = Program(
        "other",
        tuple(
            replace(op, name=f"{op.name}2", **{k: f"{getattr(op, k)}2" for k in ("a", "b", "x")
                                               if hasattr(op, k)})
            for op in body.ops
        ),
        tuple(Output(f"{o.name}3", f"{o.value}2") for o in body.outputs),
    )  # fmt: skip
    assert program.replace_op(replace(scan, body=renamed)).digest == program.digest
    last = replace(body.ops[-1], overflow=Overflow.SAT_SYM)
    changed = replace(body, ops=(*body.ops[:-1], last))
    assert program.replace_op(replace(scan, body=changed)).digest != program.digest


def test_the_body_is_shown_below_its_recurrence() -> None:
    lines = show(running_sum()).splitlines()
    place = next(i for i, line in enumerate(lines) if "(scan %x %start" in line)
    assert lines[place + 1] == "    (%entry (input shape=2) fixed<8,8> 2)"
    assert lines[place + 6] == "    (output after %after)"


def test_small_integers_are_exact_in_float32_in_every_step() -> None:
    assert all(entry.exact for entry in float32_report(running_sum(50)))
