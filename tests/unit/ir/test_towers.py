# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tower that several inputs go through becomes a body, without a change of any integer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Accumulates, Dense, Requant, Scan
from edgeinfer.ir.program import Output, Program, body_of
from edgeinfer.ir.towers import join_towers
from edgeinfer.ir.verify import verify
from tests.support.random_programs import random_inputs, random_program
from tests.support.sampling import sample_cases
from tests.support.siamese_graphs import siamese_program


def layers(program: Program) -> list[str]:
    """The layers outside bodies."""
    return [op.name for op in program.ops if isinstance(op, Accumulates)]


def scans(program: Program) -> list[Scan]:
    return [op for op in program.ops if isinstance(op, Scan)]


def check_equal(program: Program, joined: Program) -> None:
    verify(joined)
    raw = random_inputs(program, 3, 5)
    before, after = interpret(program, raw), interpret(joined, raw)
    for output in program.outputs:
        np.testing.assert_array_equal(after[output.value], before[output.value])
    assert joined.macs == program.macs
    assert joined.parameters == program.parameters


@pytest.mark.parametrize(
    ("seed", "calls"), sample_cases([(s, c) for s in range(8) for c in (3, 2)], 16)
)
def test_all_layers_of_a_tower_are_there_once(seed: int, calls: int) -> None:
    program = siamese_program(seed, calls)
    joined = join_towers(program)
    check_equal(program, joined)
    (scan,) = scans(joined)
    assert layers(joined) == ["y"]
    assert joined.shapes[scan.name] == (calls, 3)
    assert len(layers(program)) == 1 + calls * len(layers(body_of(scan)))


def test_what_is_read_on_the_way_ends_a_tower() -> None:
    """What follows is a tower of its own, whose sums are as wide as its input could make them."""
    program = siamese_program(0, 3)
    first = next(op for op in program.ops if isinstance(op, Requant))
    more = replace(program, outputs=(*program.outputs, Output("seen", first.name)))
    joined = join_towers(more)
    check_equal(more, joined)
    assert len(scans(join_towers(program))) == 1
    assert len(scans(joined)) > 1


def test_a_call_that_waits_for_another_stays() -> None:
    """A layer that reads what itself has made is no tower."""
    program = siamese_program(0, 3)
    head, both = program["y"], program["both"]
    assert isinstance(head, Dense)
    assert isinstance(both, Requant)
    square = replace(head, weight=np.ones((2, 2), np.int8), bias=np.zeros(2, np.int8))
    loop = (
        replace(both, name="small", x="y"),
        replace(square, name="one", x="small"),
        replace(both, name="small2", x="one"),
        replace(square, name="two", x="small2"),
    )
    looped = Program("looped", (*program.ops, *loop), (Output("y", "two"),))
    joined = join_towers(looped)
    assert layers(joined) == ["y", "one", "two"]
    check_equal(looped, joined)


@pytest.mark.parametrize("seed", range(3))
def test_a_program_without_towers_is_left_as_it_is(seed: int) -> None:
    program = random_program(seed)
    assert join_towers(program) is program
