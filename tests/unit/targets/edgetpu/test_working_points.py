# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Scores whose int8 levels leave few thresholds: a second, finer output, and ranges asked for."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, pack_weights
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.output_levels import ScoreRange
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.tflite import simulate
from quantization.fixed import Fixed, Ints
from tests.unit.targets.edgetpu.test_convert import run


def lone_score() -> tuple[Program, dict[str, Ints]]:
    """A score from -60 to 60 of which most of the signal lies between 0 and 3."""
    builder = ProgramBuilder("score")
    builder.add(ops.Input("x", Fixed(True, 8, 2), (1,)))
    weight, bias = pack_weights(np.array([[127]])), pack_weights(np.zeros(1, np.int64))
    builder.exact(Dense("y", provisional(8), "x", weight, Fixed(True, 8, 6), bias))
    program = builder.program((Output("p", "y", HostFunction.SIGMOID),))
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(-40, 10, 2000), rng.normal(1, 0.7, 2000), [60.0]])
    return program, {"x": np.clip(np.rint(scores / 127 * 4 * 64), -128, 127).astype(int)[:, None]}


def test_a_lone_score_leaves_twice_where_thresholds_are_few() -> None:
    """Its sums are exact in the finer output, and where that ends the first one goes on."""
    program, raw = lone_score()
    made = convert.convert_program(program, raw)
    assert [port.fine_of for port in made.ports.outputs] == ["", "p"]
    assert any("leaves a second time as p.fine" in said for said in made.findings)
    assert made.program is not None and run(made, made.program, raw).max_steps == 0
    stored = simulate.stored_inputs(made.ports, simulate.real_inputs(program, raw))
    got = simulate.Interpreter(made.data, made.ports).run(stored)
    exact = simulate.engine_outputs(program, raw)["p"]
    merged = simulate.real_outputs(made.ports, got)
    coarse, fine = made.ports.outputs
    assert set(merged) == {"p"} and fine.scale < coarse.scale / 4
    low, high = fine.real(np.array([-127, 126]))
    near = (exact > low) & (exact < high)
    assert 500 < near.sum() < 2000
    assert np.abs(merged["p"] - exact)[near].max() <= fine.scale
    assert np.abs(merged["p"] - exact).max() <= coarse.scale
    order = np.argsort(exact[:, 0], kind="stable")
    assert (np.diff(merged["p"][order, 0]) >= 0).all()  # no two samples change places
    assert np.array_equal(merged["p"] > 0, exact > 0)


def test_a_range_of_scores_that_is_asked_for_is_one_output() -> None:
    program, raw = lone_score()
    made = convert.convert_program(program, raw, score_range=ScoreRange(-1, 6))
    (port,) = made.ports.outputs
    assert port.real(np.array([-128, 127])) == pytest.approx([-1, 6.96875])
    assert port.scale == 2.0**-5
    assert any("from -1 to 6 was asked for" in said for said in made.findings)
    assert made.program is not None and run(made, made.program, raw).max_steps == 0
    for wrong in ("3", "4:1", "a:b", "nan:2"):
        with pytest.raises(UsageError, match=r"--score-range"):
            EdgeTpuSettings(score_range=wrong)
