# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Projects for Libero: what hls4ml leaves out, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Conv, Input, Op, Pair, PairKind, Requant, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.check import offences
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from quantization.fixed import Fixed, Overflow, Rounding
from tests.conformance.hls_suite import QUICK
from tests.support.hls_programs import inputs, two_heads

SETTINGS = HlsSettings(backend=Backend.LIBERO, io=IoType.PARALLEL)
X = Fixed(True, 6, 3)


def test_every_layer_is_equal_to_the_interpreter(tmp_path: Path) -> None:
    """Its outputs are of another size than its input, which hls4ml's writer takes for theirs."""
    program, raw = two_heads(), inputs(4)
    emit_project(program, SETTINGS).write(tmp_path)
    compiled = build.build_together([tmp_path], tmp_path / "csim", QUICK)
    taps = simulate.tappable(program, manifest.read(tmp_path))
    actual = simulate.simulate_project(
        program, tmp_path, raw, taps=taps, processes=1, compiled=compiled
    )
    values = interpret(program, raw)
    expected = results(program, values) | values
    assert {"left", "right", "bent", "hidden_relu"} <= actual.keys()
    for name, result in actual.items():
        np.testing.assert_array_equal(result, expected[name], err_msg=name)


def test_the_same_program_gives_the_same_files() -> None:
    first, second = (emit_project(two_heads(), SETTINGS) for _ in range(2))
    assert first.digest == second.digest


def with_op(op: Op, shape: tuple[int, ...]) -> Program:
    """x and z of a shape, and an op that reads them."""
    builder = ProgramBuilder("refused")
    builder.add(Input("x", X, shape))
    builder.add(Input("z", X, shape))
    builder.add(op)
    outputs = (Output("y", "y"), Output("z", "z"))
    return builder.program(outputs)


KERNEL, NO_BIAS = pack_weights(np.ones((3, 2, 1), np.int64)), pack_weights(np.zeros(1, np.int64))
CONV = Conv("y", Fixed(True, 16, 10), "x", KERNEL, X, NO_BIAS, (1,), ((0, 0),), (1,), 1)
SUM = Pair("y", Fixed(True, 7, 4), "x", "z", PairKind.ADD)
SYMMETRIC = Requant("y", Fixed(True, 4, 2), "x", Rounding.TRN, Overflow.SAT_SYM)
REFUSED = {
    "convolution": (CONV, "hls4ml has no Conv1D for Libero"),
    "sum": (SUM, "hls4ml has no Merge for Libero"),
    "symmetric": (SYMMETRIC, "what SmartHLS makes of the lowest number in SAT_SYM is not known"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_libero_lacks_is_refused_by_name(case: str) -> None:
    op, reason = REFUSED[case]
    result = offences(with_op(op, (4, 2)), SETTINGS)
    assert [(offence.path, offence.reason[: len(reason)]) for offence in result] == [("y", reason)]


def test_streams_are_refused_by_name() -> None:
    result = offences(two_heads(), HlsSettings(backend=Backend.LIBERO, io=IoType.STREAM))
    assert [offence.path for offence in result] == ["x"]
    assert result[0].reason == "hls4ml writes no io_stream project for Libero; choose io_parallel"
