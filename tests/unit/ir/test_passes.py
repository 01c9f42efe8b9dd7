# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Passes: cheaper Programs of the same meaning."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.ir import ops
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.passes import PASSES, optimize
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.random_graphs import random_network

U8, S8 = Fixed(False, 8, 8), Fixed(True, 8, 8)


def requant(name: str, x: str, type_: Fixed, overflow: Overflow = Overflow.SAT) -> ops.Requant:
    return ops.Requant(name, type_, x, Rounding.RND_CONV, overflow)


def kinds(program: Program) -> list[str]:
    return [type(op).__name__ for op in program.ops]


def net(*body: ops.Op, output: str, shape: tuple[int, ...] = (2, 3)) -> Program:
    return Program("net", (ops.Input("x", S8, shape), *body), (Output("y", output),))


def same_meaning(a: Program, b: Program) -> bool:
    rng = np.random.default_rng(1)
    x = {op.name: rng.integers(-128, 128, size=(20, *op.shape)) for op in a.inputs}
    ya, yb = results(a, interpret(a, x)), results(b, interpret(b, x))
    return all((ya[name] == yb[name]).all() for name in ya)


def test_relu_vanishes_into_a_saturating_unsigned_requantisation() -> None:
    clip = ops.Clip("r", Fixed(False, 7, 7), "x", 0, None)
    saturating = net(clip, requant("q", "r", Fixed(False, 4, 6)), output="q")
    assert kinds(optimize(saturating)) == ["Input", "Requant"]
    assert same_meaning(saturating, optimize(saturating))
    for overflow, type_ in [(Overflow.WRAP, Fixed(False, 4, 6)), (Overflow.SAT, Fixed(True, 4, 6))]:
        kept = net(clip, requant("q", "r", type_, overflow), output="q")
        assert kinds(optimize(kept)) == ["Input", "Clip", "Requant"]
        assert same_meaning(kept, optimize(kept))


def test_a_requantisation_that_changes_nothing_goes() -> None:
    program = net(requant("q", "x", Fixed(True, 9, 9)), output="q")
    assert kinds(optimize(program)) == ["Input"]
    lossy = net(requant("q", "x", Fixed(True, 7, 7)), output="q")
    assert kinds(optimize(lossy)) == ["Input", "Requant"]
    symmetric = net(requant("q", "x", S8, Overflow.SAT_SYM), output="q")
    assert kinds(optimize(symmetric)) == ["Input", "Requant"]
    finer = net(requant("q", "x", Fixed(True, 10, 8)), output="q")
    assert kinds(optimize(finer)) == ["Input", "Requant"]


def test_moves_merge_and_idle_ones_go() -> None:
    program = net(
        ops.Reshape("a", S8, "x", (6,)),
        ops.Reshape("b", S8, "a", (3, 2)),
        ops.Transpose("c", S8, "b", (1, 0)),
        ops.Transpose("d", S8, "c", (1, 0)),
        output="d",
    )
    assert kinds(optimize(program)) == ["Input", "Reshape"]
    assert same_meaning(program, optimize(program))


def test_constants_fold_and_dead_code_goes_but_inputs_stay() -> None:
    value = np.array([[1, 2, 3], [4, 5, 6]], np.int8)
    program = net(
        ops.Input("unused", S8, (1,)),
        ops.Constant("k", Fixed(False, 3, 3), value),
        requant("kq", "k", Fixed(False, 2, 3)),
        ops.Clip("dead", Fixed(False, 7, 7), "x", 0, None),
        ops.Pair("y", Fixed(True, 10, 9), "x", "kq", ops.PairKind.ADD),
        output="y",
    )
    best = optimize(program)
    assert kinds(best) == ["Input", "Input", "Constant", "Pair"]
    assert same_meaning(program, best)


def test_two_alike_become_one() -> None:
    program = net(
        requant("a", "x", Fixed(True, 4, 6)),
        requant("b", "x", Fixed(True, 4, 6)),
        ops.Pair("y", Fixed(True, 5, 7), "a", "b", ops.PairKind.ADD),
        output="y",
    )
    assert kinds(optimize(program)) == ["Input", "Requant", "Pair"]
    assert same_meaning(program, optimize(program))


def test_each_pass_is_idempotent() -> None:
    program = net(
        ops.Clip("r", Fixed(False, 7, 7), "x", 0, None),
        requant("q", "r", Fixed(False, 4, 6)),
        ops.Reshape("f", Fixed(False, 4, 6), "q", (6,)),
        output="f",
    )
    for step in PASSES:
        once = step(program)
        assert step(once).digest == once.digest


@pytest.mark.parametrize("seed", [*range(40), 1212])
def test_what_went_through_the_passes_leaves_them_nothing_to_do(seed: int) -> None:
    """In 1212 a rectifier meets its requantisation only when an idle transposition is gone."""
    network = random_network(seed, widest=12)
    program = lower(network.graph, network.recipe).program
    assert optimize(program).digest == program.digest


def test_zeros_around_a_tensor_become_the_padding_of_what_multiplies_or_adds_it() -> None:
    ones = np.ones((2, 3, 1), np.int8)
    conv = ops.Conv(
        "c",
        Fixed(True, 11, 11),
        "p",
        ones,
        Fixed(False, 1, 1),
        np.zeros(1, np.int8),
        (1,),
        ((0, 1),),
        (1,),
    )
    pad = ops.Pad("p", S8, "x", ((2, 1), (0, 0)), 0)
    program = net(pad, conv, output="c", shape=(4, 3))
    merged = optimize(program)
    assert kinds(merged) == ["Input", "Conv"]
    assert merged["c"].pads == ((2, 2),)
    assert same_meaning(program, merged)
    summed = ops.Pool("s", Fixed(True, 9, 9), "p", ops.PoolKind.SUM, (2,), (1,), ((0, 0),))
    program = net(pad, summed, output="s", shape=(4, 3))
    assert kinds(optimize(program)) == ["Input", "Pool"]
    assert same_meaning(program, optimize(program))
    largest = ops.Pool("m", S8, "p", ops.PoolKind.MAX, (2,), (1,), ((0, 0),))
    assert kinds(optimize(net(pad, largest, output="m", shape=(4, 3)))) == ["Input", "Pad", "Pool"]


def test_the_digest_does_not_depend_on_the_order_of_independent_ops() -> None:
    left, right = requant("a", "x", Fixed(True, 4, 6)), requant("b", "x", Fixed(True, 5, 6))
    join = ops.Pair("y", Fixed(True, 7, 7), "a", "b", ops.PairKind.ADD)
    one, other = net(left, right, join, output="y"), net(right, left, join, output="y")
    assert one.digest != other.digest
    assert optimize(one).digest == optimize(other).digest


def test_limits_in_a_row_become_one() -> None:
    two = net(
        ops.Clip("a", Fixed(True, 8, 8), "x", -50, None),
        ops.Clip("b", Fixed(True, 7, 7), "a", -60, 40),
        output="b",
    )
    (_, clip) = optimize(two).ops
    assert isinstance(clip, ops.Clip) and (clip.low, clip.high) == (-50, 40)
    assert same_meaning(two, optimize(two))
    apart = net(
        ops.Clip("a", Fixed(False, 7, 7), "x", 90, None),
        ops.Clip("b", Fixed(False, 7, 7), "a", 20, 80),
        output="b",
    )
    assert kinds(optimize(apart)) == ["Input", "Clip", "Clip"]  # no number is within both
    assert same_meaning(apart, optimize(apart))


def test_a_rectifier_that_an_exact_rounding_hid_vanishes_too() -> None:
    program = net(
        ops.Clip("r", Fixed(False, 7, 7), "x", 0, None),
        requant("exact", "r", Fixed(False, 7, 7)),
        requant("q", "exact", Fixed(False, 4, 6)),
        output="q",
    )
    assert kinds(optimize(program)) == ["Input", "Requant"]
    assert same_meaning(program, optimize(program))


def test_slices_of_slices_become_one() -> None:
    program = net(
        ops.Slice("a", S8, "x", (1, 0), (9, 4), (2, 1)),  # rows 1, 3, 5, 7
        ops.Slice("b", S8, "a", (1, 1), (4, 4), (2, 2)),  # of them the second and the last
        ops.Slice("c", S8, "b", (0, 0), (2, 2), (1, 1)),
        output="c",
        shape=(9, 4),
    )
    (_, slice_) = optimize(program).ops
    assert isinstance(slice_, ops.Slice)
    assert (slice_.starts, slice_.stops, slice_.steps) == ((3, 1), (8, 4), (4, 2))
    assert same_meaning(program, optimize(program))


def test_a_transposition_that_moves_only_ones_is_a_reshape() -> None:
    program = net(ops.Transpose("t", S8, "x", (1, 0, 2)), output="t", shape=(1, 5, 3))
    assert kinds(optimize(program)) == ["Input", "Reshape"]
    assert same_meaning(program, optimize(program))


def test_ops_that_are_alike_become_one() -> None:
    weight = np.array([[1], [2], [-3]], np.int8)

    def dense(name: str, bias: int) -> ops.Dense:
        biases = np.array([bias], np.int8)
        return ops.Dense(name, Fixed(True, 12, 12), "x", weight, Fixed(True, 3, 3), biases)

    program = net(
        dense("a", 4),
        dense("b", 4),
        dense("c", 5),
        ops.Pair("s", Fixed(True, 13, 13), "a", "b", ops.PairKind.ADD),
        ops.Pair("t", Fixed(True, 14, 14), "s", "c", ops.PairKind.ADD),
        output="t",
    )
    assert kinds(optimize(program)) == ["Input", "Dense", "Pair", "Dense", "Pair"]
    assert same_meaning(program, optimize(program))
