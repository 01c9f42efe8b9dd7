# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The laws of a Program, each broken by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.bounds import bounds_of, reach_of_sums
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import (
    Clip,
    Constant,
    Conv,
    Dense,
    Input,
    Pair,
    PairKind,
    Pool,
    PoolKind,
    PRelu,
    Requant,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Table,
    pack_weights,
)
from edgeinfer.ir.program import Output, Program
from edgeinfer.ir.verify import verify
from quantization.fixed import Fixed, Overflow, Rounding

U4 = Fixed(False, 4, 4)
W3 = Fixed(True, 3, 3)


S8 = Fixed(True, 8, 8)


def dense(type_: Fixed = S8) -> Program:
    """Two inputs of 0..15, weights 3 and -4, bias 5: the sum reaches -55..50."""
    weight, bias = np.array([[3], [-4]], np.int8), np.array([5], np.int8)
    ops = (Input("x", U4, (2,)), Dense("y", type_, "x", weight, W3, bias))
    return Program("net", ops, (Output("y", "y"),))


def test_a_proved_range_is_the_exact_one() -> None:
    proved = verify(dense())
    assert (proved["y"].bottom, proved["y"].top) == (-55, 50)


def test_an_accumulator_too_narrow_is_named_with_its_range_and_its_need() -> None:
    verify(dense(Fixed(True, 7, 7)))
    with pytest.raises(ProgramError) as caught:
        verify(dense(Fixed(True, 6, 6)))
    message = str(caught.value)
    assert "dense %y" in message
    assert "-55..50" in message and "-32..31" in message
    assert "7 bits are needed, fixed<7,7>" in message


def test_an_unsigned_accumulator_below_zero_is_refused() -> None:
    with pytest.raises(ProgramError, match="fixed<7,7>"):
        verify(dense(Fixed(False, 7, 7)))


def one(op_after_input: object, type_: Fixed = U4, shape: tuple[int, ...] = (2,)) -> Program:
    return Program("net", (Input("x", type_, shape), op_after_input), (Output("y", "y"),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Clip("y", Fixed(False, 4, 3), "x", 0, None), "grids ask for exactly 0"),
        (
            Dense("y", Fixed(True, 9, 10), "x", np.ones((2, 1), np.int8), W3, np.zeros(1, np.int8)),
            "at least 0",
        ),
        (
            Dense("y", Fixed(True, 9, 9), "x", np.full((2, 1), 4, np.int8), W3, np.zeros(1, int)),
            "weights span 4..4, beyond their type fixed<3,3>",
        ),
        (
            Dense("y", Fixed(True, 9, 9), "x", np.ones((2, 1)), W3, np.zeros(1, int)),
            "float64, not integers",
        ),
        (Table("y", U4, "x", 0, np.arange(9)), "entries stand for 0..8, but the index.*0..15"),
        (Table("y", U4, "x", 0, np.arange(16) * 2), "entries span 0..30"),
        (Clip("y", U4, "x", 3, 2), "nothing lies between 3 and 2"),
        (
            PRelu("y", Fixed(True, 9, 10), "x", np.array(2), Fixed(True, 3, 4)),
            "cannot hold the slope 1",
        ),
        (
            Scale("y", Fixed(True, 20, 20), "x", np.array(9), W3, np.zeros((), int)),
            "factors span 9..9",
        ),
    ],
)
def test_each_law(op: object, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        verify(one(op))


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Reshape("y", U4, "x", (3,)), "cannot be reshaped"),
        (Dense("y", U4, "x", np.ones((3, 1), int), W3, np.zeros(1, int)), "do not fit"),
        (Dense("y", U4, "x", np.ones((2, 1), int), W3, np.zeros(2, int)), "bias"),
        (Requant("y", U4, "z", Rounding.TRN, Overflow.SAT), "reads %z before"),
        (Requant("x", U4, "x", Rounding.TRN, Overflow.SAT), "two values are called %x"),
        (Scale("y", U4, "x", np.ones((2, 2), int), W3, np.zeros((), int)), "more axes"),
        (
            Conv(
                "y", U4, "x", np.ones((2, 1, 1), int), W3, np.zeros(1, int), (1,), ((0, 0),), (1,)
            ),
            "do not fit a value",
        ),
    ],
)
def test_a_program_that_cannot_be_is_refused_when_made(op: object, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        one(op)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (Slice("y", U4, "x", (0, 0, 0), (4, 5, 1), (1, 1, 1)), "does not fit"),
        (Slice("y", U4, "x", (-1, 0, 0), (4, 4, 1), (1, 1, 1)), "is none"),
        (Slice("y", U4, "x", (0, 0, 0), (4, 4, 1), (1, 0, 1)), "is none"),
        (
            Pool("y", U4, "x", PoolKind.MAX, (2, 2), (2, 2), ((2, 0), (0, 0))),
            "wholly in padding",
        ),
    ],
)
def test_windows_and_cuts_stay_inside(op: object, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        one(op, shape=(4, 4, 1))


def test_a_softmax_whose_sums_or_products_outgrow_the_word_is_refused() -> None:
    wide = Fixed(False, 62, 62)
    for exp, inverse in [(1 << 40, 1 << 40), (1 << 61, 1)]:
        op = Softmax(
            "y", U4, "x", 0, np.array([exp]), wide, 0, np.array([inverse]), wide, 0,
            Rounding.TRN, Overflow.SAT,
        )  # fmt: skip
        with pytest.raises(ProgramError, match="63 are held"):
            verify(one(op))


def test_a_program_without_inputs_has_no_samples() -> None:
    program = Program("net", (Constant("y", U4, np.array([1])),), (Output("y", "y"),))
    with pytest.raises(ProgramError, match="no inputs"):
        interpret(program, {})


def test_a_pair_of_different_ranks_and_a_lost_output_are_refused() -> None:
    ops = (Input("x", U4, (2,)), Input("z", U4, (1, 2)))
    with pytest.raises(ProgramError, match="number of axes"):
        Program("net", (*ops, Pair("y", U4, "x", "z", PairKind.ADD)), (Output("y", "y"),))
    with pytest.raises(ProgramError, match="no op makes the output %y"):
        Program("net", ops, (Output("y", "y"),))


def test_a_width_beyond_63_bits_is_refused() -> None:
    value = np.array([1 << 40], np.int64)
    wide = Fixed(True, 63, 63)
    ops = (Constant("c", wide, value), Pair("y", wide, "c", "c", PairKind.MUL))
    with pytest.raises(ProgramError, match="63 are held"):
        verify(Program("net", ops, (Output("y", "y"),)))


def test_a_square_is_proved_nonnegative() -> None:
    ops = (
        Input("x", Fixed(True, 4, 4), (2,)),
        Pair("y", Fixed(False, 7, 7), "x", "x", PairKind.MUL),
    )
    proved = verify(Program("net", ops, (Output("y", "y"),)))
    assert (proved["y"].bottom, proved["y"].top) == (0, 64)


def test_partial_sums_reach_further_than_the_sum() -> None:
    program = dense()
    op = program["y"]
    assert isinstance(op, Dense)
    assert reach_of_sums(op, bounds_of(program)["x"], (2,)) == 15 * 3 + 15 * 4


def test_names_do_not_change_the_digest_and_weights_do() -> None:
    program = dense()
    op = program["y"]
    renamed = Program("other", (program.ops[0], replace(op, name="z")), (Output("y", "z"),))
    assert renamed.digest == program.digest
    assert isinstance(op, Dense)
    changed = program.replace_op(replace(op, weight=np.array([[3], [-3]], np.int8)))
    assert changed.digest != program.digest
    wider = program.replace_op(replace(op, weight=op.weight.astype(np.int64)))
    assert wider.digest == program.digest


@pytest.mark.parametrize("span", [(0, 255), (-1, 127), (-1, 128), (0, 1 << 40), (-1, 1 << 40)])
def test_packing_keeps_integers_integers(span: tuple[int, int]) -> None:
    result = pack_weights(np.array(span, np.int64))
    assert result.dtype.kind in "iu" and result.tolist() == list(span)
