# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Roundings whose half is part of the sum before: the same outputs, and no other addition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import (
    Conv,
    Dense,
    Input,
    Pool,
    PoolKind,
    Requant,
    Reshape,
    Scale,
    pack_weights,
)
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.recurrence import count_readers
from edgeinfer.targets.rtl.unrolled.cells import Join, RoundCell
from edgeinfer.targets.rtl.unrolled.halves import fold_halves
from edgeinfer.targets.rtl.unrolled.straight import size_of
from edgeinfer.targets.rtl.unrolled.unroll import unroll
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.random_programs import random_inputs, random_program
from tests.support.rtl_circuit import computed
from tests.support.rtl_designs import assert_agrees, make_design, needs_verilator
from tests.support.rtl_programs import UNROLLED, without_what_is_unsupported

FOLDING = (Rounding.RND, Rounding.RND_MIN_INF)
OUT = Fixed(True, 5, 3)
STEPS = ("relu", "pool", "reshape", "scale", "zeros")


def chain(
    seed: int, rounding: Rounding, steps: tuple[str, ...], overflow: Overflow = Overflow.SAT
) -> Program:
    """A convolution, then steps that keep what is added to it, and a rounding."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder("chain")
    builder.add(Input("x", Fixed(True, 4, 2), (4, 4, 2)))
    weight = pack_weights(rng.integers(-8, 8, (2, 2, 2, 3)))
    bias = pack_weights(rng.integers(-40, 40, 3))
    conv = Conv("sum", provisional(6), "x", weight, Fixed(True, 4, 0), bias, (2, 2),
                ((0, 0),) * 2, (1, 1))  # fmt: skip
    value = builder.exact(conv)
    for number, step in enumerate(steps):
        name, frac = f"step{number}", builder.frac(value)
        shape = builder.shapes[value]
        match step:
            case "relu":
                value = builder.clip(name, value, 0, None)
            case "pool" if len(shape) == 3 and shape[0] > 1:
                pool = Pool(
                    name, provisional(frac), value, PoolKind.MAX, (2, 2), (2, 2), ((0, 0),) * 2
                )
                value = builder.exact(pool)
            case "reshape":
                flat = Reshape(name, builder.types[value], value, (int(np.prod(shape)),))
                value = builder.add(flat)
            case "scale" | "zeros":
                factor = 1 << rng.integers(0, 4 if step == "zeros" else 2, shape[-1])
                if step == "zeros":
                    factor[rng.random(shape[-1]) < 0.3] = 0
                none = pack_weights(np.zeros(1, np.int64))
                scale = Scale(name, provisional(frac), value, pack_weights(factor),
                              Fixed(False, 4, 4), none)  # fmt: skip
                value = builder.exact(scale)
            case _:
                continue
    builder.add(Requant("y", OUT, value, rounding, overflow))
    return builder.program((Output("y", "y"),))


def assert_same_outputs(program: Program, folded: Program, seed: int, batch: int = 40) -> None:
    raw = random_inputs(program, seed, batch)
    before, after = interpret(program, raw), interpret(folded, raw)
    for output in program.outputs:
        np.testing.assert_array_equal(after[output.value], before[output.value])


@settings(max_examples=80)
@given(
    st.integers(0, 1 << 30),
    st.sampled_from(list(Rounding)),
    st.lists(st.sampled_from(STEPS), max_size=3).map(tuple),
    st.sampled_from([Overflow.SAT, Overflow.WRAP]),
)
def test_a_sum_that_takes_up_the_half_leaves_the_same_outputs(
    seed: int, rounding: Rounding, steps: tuple[str, ...], overflow: Overflow
) -> None:
    program = chain(seed, rounding, steps, overflow)
    folded, raised = fold_halves(program)
    assert_same_outputs(program, folded, seed)
    if rounding in FOLDING and "reshape" not in steps:
        assert "sum" in raised
        assert folded["y"].rounding is Rounding.TRN
    if rounding in (Rounding.RND_CONV, Rounding.TRN):
        assert not raised


@pytest.mark.parametrize("rounding", [Rounding.RND_INF, Rounding.RND_ZERO])
def test_a_rounding_by_sign_is_a_floor_where_nothing_is_negative(rounding: Rounding) -> None:
    assert fold_halves(chain(1, rounding, ()))[1] == frozenset()
    program = chain(1, rounding, ("relu",))
    folded, raised = fold_halves(program)
    assert raised == {"sum", "step0"}
    assert_same_outputs(program, folded, 3)


def test_a_sum_that_something_else_reads_stays_as_it_is() -> None:
    program = chain(2, Rounding.RND, ())
    both = Program(program.name, program.ops, (*program.outputs, Output("sum", "sum")))
    assert fold_halves(both) == (both, frozenset())


def test_positions_with_constants_of_their_own_do_not_share_one() -> None:
    """After a reshape, each element has a power of two: a channel's positions differ."""
    program = chain(5, Rounding.RND, ("reshape", "scale"))
    assert fold_halves(program)[1] == frozenset()


@settings(max_examples=60)
@given(st.integers(0, 5000))
@example(362)
def test_random_programs_mean_the_same(seed: int) -> None:
    program = without_what_is_unsupported(random_program(seed, widths=(1, 8)), UNROLLED)
    if program is not None:
        folded, _ = fold_halves(prepare_program(program))
        assert_same_outputs(program, folded, seed, 8)


def test_a_rounding_to_the_nearest_costs_no_more_than_a_floor() -> None:
    builder = ProgramBuilder("dense")
    builder.add(Input("x", Fixed(False, 6, 6), (4,)))
    weight = np.array([[3, 5], [1, -7], [2, 9], [6, 1]])
    dense = Dense("sum", provisional(0), "x", pack_weights(weight), Fixed(True, 5, 5),
                  pack_weights(np.array([9, -4])))  # fmt: skip
    builder.exact(dense)
    builder.add(Requant("y", Fixed(True, 10, 13), "sum", Rounding.RND, Overflow.WRAP))
    program = builder.program((Output("y", "y"),))
    floor = program.replace_op(
        Requant("y", Fixed(True, 10, 13), "sum", Rounding.TRN, Overflow.WRAP)
    )
    raw = random_inputs(program, 1, 20)
    circuit_values = computed(fold_halves(program)[0], raw)
    np.testing.assert_array_equal(circuit_values["y"], interpret(program, raw)["y"])
    half, floored = (
        unroll(each, count_readers(each)).circuit.cells for each in (fold_halves(program)[0], floor)
    )
    additions = [sum(isinstance(cell, Join) for cell in cells) for cells in (half, floored)]
    assert additions[0] <= additions[1]
    assert all(c.rounding is Rounding.TRN for c in half if isinstance(c, RoundCell))


@needs_verilator
@pytest.mark.parametrize("steps", [(), ("relu", "pool"), ("zeros",)])
def test_simulated_outputs_and_values_are_the_interpreters(
    tmp_path: Path, steps: tuple[str, ...]
) -> None:
    program = chain(7, Rounding.RND, steps)
    assert size_of(program) < 2000
    design = make_design(program, UNROLLED, tmp_path)
    assert "sum" not in design.netlist.values
    assert_agrees(design, random_inputs(program, 4, 6))
