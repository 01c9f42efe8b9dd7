# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An op that only moves elements is known by its places, and needs nothing else from a backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.ir import ops
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.program import Output, Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Fixed
from tests.support.random_moves import MOVES
from tests.support.random_programs import random_inputs

TYPE = Fixed(True, 5, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Backwards(ops.Moves):
    """An op that no backend has heard of: an axis the other way round."""

    axis: int

    def move(self, x: NDArray[Any], fill: int) -> NDArray[Any]:
        return np.flip(x, self.axis)


@dataclass(frozen=True, slots=True, eq=False)
class Shifted(ops.Moves):
    """Another one: rows one place down, with a number in the first."""

    value: int
    may_fill: ClassVar[bool] = True

    @property
    def fill(self) -> int:
        return self.value

    def move(self, x: NDArray[Any], fill: int) -> NDArray[Any]:
        return np.concatenate([np.full_like(x[:1], fill), x[:-1]])


UNKNOWN = [Backwards("y", TYPE, "x", 0), Backwards("y", TYPE, "x", 1), Shifted("y", TYPE, "x", -7)]


def program_of(op: ops.Moves) -> Program:
    return Program("net", (ops.Input("x", TYPE, (4, 3)), op), (Output("out", "y"),))


@pytest.mark.parametrize("op", UNKNOWN, ids=repr)
def test_an_unknown_move_is_interpreted_bounded_and_computed_fast(op: ops.Moves) -> None:
    program = program_of(op)
    verify(program)
    x = random_inputs(program, 3, 8)
    expected = np.stack([op.move(sample, op.fill) for sample in x["x"]])
    np.testing.assert_array_equal(interpret(program, x)["y"], expected)
    np.testing.assert_array_equal(Engine(program).run(x)["out"], expected)
    bound = bounds_of(program)["y"]
    assert bound.bottom <= expected.min() and expected.max() <= bound.top
    assert program.shapes["y"] == (4, 3)


@pytest.mark.parametrize("unroll", ["never", "full"])
@pytest.mark.parametrize("op", UNKNOWN, ids=repr)
def test_it_is_a_design_in_rtl(op: ops.Moves, unroll: Any, tmp_path: Path) -> None:
    program, target, settings = program_of(op), RtlTarget(), RtlSettings(unroll=unroll)
    target.emit(program, settings).write(tmp_path)
    x = random_inputs(program, 3, 8)
    result = target.simulate(program, tmp_path, x, settings)
    np.testing.assert_array_equal(result["out"], results(program, interpret(program, x))["out"])


@pytest.mark.parametrize(
    ("op", "io"),
    [(UNKNOWN[0], IoType.PARALLEL), (UNKNOWN[2], IoType.PARALLEL), (UNKNOWN[2], IoType.STREAM)],
    ids=["even", "uneven", "uneven stream"],
)
def test_it_is_an_hls_project_in_even_steps_or_not(
    op: ops.Moves, io: IoType, tmp_path: Path
) -> None:
    program, target, settings = program_of(op), HlsTarget(), HlsSettings(io=io)
    target.emit(program, settings).write(tmp_path)
    x = random_inputs(program, 3, 8)
    result = target.simulate(program, tmp_path, x, settings)
    np.testing.assert_array_equal(result["out"], results(program, interpret(program, x))["out"])
    assert {metric.name for metric in target.estimate(program, settings)} >= {"lut", "ff"}


def test_the_edge_tpu_refuses_it_by_name() -> None:
    (offence,) = EdgeTpuTarget().check(program_of(UNKNOWN[0]), EdgeTpuSettings())
    assert "no int8 operator" in offence.reason and offence.path == "y"


@pytest.mark.parametrize("kind", [kind for kind in ops.KINDS if issubclass(kind, ops.Moves)])
def test_a_shape_that_is_reckoned_is_the_one_that_moves_make(kind: type[ops.Moves]) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        op = kind("y", TYPE, "x", *MOVES[kind](rng, (4, 3)))
        moved = op.move(np.zeros((4, 3)), 0)
        assert op.shape_of((4, 3)) == moved.shape
        assert op.sources((4, 3)).size == moved.size
