# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A softmax in the ops it consists of: the same integers, within types that hold by proof."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.graph.nodes import Graph, InputNode, SoftmaxNode
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Softmax
from edgeinfer.ir.program import Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.rtl.design.prepare import prepare_program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support.random_programs import random_inputs, random_program


def with_a_softmax(seeds: range) -> list[tuple[int, Program]]:
    drawn = [(seed, random_program(seed)) for seed in seeds]
    return [(s, p) for s, p in drawn if any(isinstance(op, Softmax) for op in p.ops)]


def test_a_softmax_is_the_ops_it_consists_of() -> None:
    result = with_a_softmax(range(250))
    axes = {op.axis - len(p.shapes[op.x]) for _, p in result for op in p.ops
            if isinstance(op, Softmax)}  # fmt: skip
    assert len(result) > 20 and len(axes) > 1
    for seed, program in result:
        plain = prepare_program(program)
        assert not any(isinstance(op, Softmax) for op in plain.ops)
        verify(plain)
        raw = random_inputs(program, seed, 6)
        before, after = interpret(program, raw), interpret(plain, raw)
        for op in program.ops:
            if op.name in plain.shapes:
                np.testing.assert_array_equal(after[op.name], before[op.name], err_msg=op.name)
        assert {o.name: o.value for o in plain.outputs} == {
            o.name: o.value for o in program.outputs
        }


def test_a_square_is_turned_back_after_a_softmax_over_its_first_axis() -> None:
    nodes = (InputNode("x", (3, 3)), SoftmaxNode("y", "x", 0))
    formats = {"x": Quantizer.parse("fixed<6,3>"), "y": Quantizer.parse("ufixed<8,0>")}
    program = lower(Graph("square", nodes, ("y",)), Recipe.of(formats)).program
    raw = random_inputs(program, 1, 6)
    result = interpret(prepare_program(program), raw)["y"]
    np.testing.assert_array_equal(result, interpret(program, raw)["y"])


@pytest.mark.parametrize("seed", range(5))
def test_what_has_no_softmax_stays_as_it_is(seed: int) -> None:
    program = prepare_program(random_program(seed))
    if not any(isinstance(op, Softmax) for op in random_program(seed).ops):
        assert prepare_program(program).digest == program.digest
