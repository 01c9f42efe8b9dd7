# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recurrences in Verilog: one body for all steps, the same integers, in the cycles counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.ops import Op, Scan
from edgeinfer.ir.program import Output, Program, body_of
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.cycles import count_cycles
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.estimate.estimate import estimate_netlist
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.random_programs import random_inputs, random_recurrence
from tests.support.recurrent_graphs import recurrent_program
from tests.support.rtl_designs import (
    assert_agrees,
    assert_cycles,
    make_design,
    needs_verilator,
    random_folds,
)
from tests.support.rtl_programs import without_what_is_unsupported
from tests.support.sampling import sample_cases

TARGET = RtlTarget()


def draw_design(seed: int) -> Program | None:
    """A random Program whose recurrences have blocks."""
    program = without_what_is_unsupported(random_recurrence(seed))
    if program is None or TARGET.check(program, RtlSettings()):
        return None
    return program


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_random_recurrences(seed: int, tmp_path: Path) -> None:
    """Every value and output, with gaps, back-pressure and a reset; every cycle as counted."""
    program = draw_design(seed)
    if program is None:
        return  # what is refused is named, see below
    folds = random_folds(prepare_program(program), seed)
    design = make_design(program, RtlSettings(folds=folds), tmp_path)
    ideal = assert_agrees(design, random_inputs(design.program, seed, 3))
    assert_cycles(design, ideal)


@needs_verilator
@pytest.mark.parametrize("kind", sample_cases(["gru", "lstm", "simple"], 3))
def test_layers(kind: str, tmp_path: Path) -> None:
    program = recurrent_program(kind, 5, 3, 4, stacked=kind == "gru", seed=1)
    folds = random_folds(prepare_program(program), 3)
    design = make_design(program, RtlSettings(folds=folds), tmp_path)
    ideal = assert_agrees(design, random_inputs(design.program, 0, 4))
    assert_cycles(design, ideal)


def test_two_hundred_steps_take_the_blocks_of_one() -> None:
    """The body is there once; what loops add is small, and every step takes its cycles."""
    figures = {}
    for steps in (1, 2, 200):
        program = prepare_program(recurrent_program("lstm", steps, 6, 16))
        _, netlist = design_netlist(program, RtlSettings(part="xczu7ev"))
        result = estimate_netlist(netlist, part_of(RtlSettings(part="xczu7ev")))
        figures[steps] = result.total, count_cycles(netlist).latency
    for kind in ("lut", "ff", "dsp", "bram18"):
        assert figures[200][0][kind] <= 1.3 * figures[1][0][kind]
    per_step = figures[2][1] - figures[1][1]
    assert figures[200][1] == pytest.approx(figures[1][1] + 199 * per_step, rel=0.05)


def test_what_has_no_blocks_is_named() -> None:
    program = recurrent_program("lstm", 4, 3, 2)
    with pytest.raises(ProgramError, match=r"cell.*goes through one body step by step; fold the"):
        TARGET.emit(program, RtlSettings(unroll="full"))
    still = replace(program, ops=tuple(map(_blind, program.ops)))
    with pytest.raises(ProgramError, match="reads nothing of the sequence"):
        TARGET.emit(still, RtlSettings())


def _blind(op: Op) -> Op:
    """The recurrence with a body that yields its state."""
    if not isinstance(op, Scan):
        return op
    body = body_of(op)
    state = body.inputs[1]
    outputs = tuple(Output(o.name, state.name) for o in body.outputs[:2])
    body = replace(body, ops=body.inputs[:2], outputs=outputs)
    return replace(op, type=state.type, body=body, starts=op.starts[:1])
