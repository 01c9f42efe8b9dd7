# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Projects for oneAPI, compiled with the few names of SYCL that they use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.interpret import Values, interpret, results
from edgeinfer.ir.ops import Concat, Input
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.project.spec import safe
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from quantization.fixed import Fixed, Ints
from tests.conformance.hls_suite import QUICK
from tests.support.hls_programs import inputs, two_heads

X = Fixed(True, 6, 3)


def simulated(program: Program, folder: Path, raw: Values, io: IoType) -> dict[str, Ints]:
    """Outputs and taps of the project for oneAPI."""
    emit_project(program, HlsSettings(backend=Backend.ONEAPI, io=io)).write(folder)
    compiled = build.build_together([folder], folder / "csim", QUICK)
    taps = simulate.tappable(program, manifest.read(folder))
    return simulate.simulate_project(
        program, folder, raw, taps=taps, processes=1, compiled=compiled
    )


@pytest.mark.parametrize("io", list(IoType))
def test_every_layer_is_equal_to_the_interpreter(tmp_path: Path, io: IoType) -> None:
    program, raw = two_heads(), inputs(4)
    actual, values = simulated(program, tmp_path, raw, io), interpret(program, raw)
    expected = results(program, values) | values
    assert {"left", "right", "bent", "hidden_relu"} <= actual.keys()
    for name, result in actual.items():
        np.testing.assert_array_equal(result, expected[name], err_msg=name)


def test_names_that_hls4ml_would_write_alike_keep_pipes_of_their_own(tmp_path: Path) -> None:
    builder = ProgramBuilder("alike")
    builder.add(Input("x_1", X, (2,)))
    builder.add(Input("x1", X, (2,)))
    builder.add(Concat("y", X, ("x1", "x_1"), 0))
    program = builder.program((Output("y", "y"),))
    raw = {"x_1": np.array([[1, 2]]), "x1": np.array([[3, 4]])}
    actual = simulated(program, tmp_path, raw, IoType.STREAM)
    np.testing.assert_array_equal(actual["y"], [[3, 4, 1, 2]])


@pytest.mark.parametrize("name", ["entries2", "relu_config3", "task_sequence", "softmax"])
def test_a_layer_has_no_name_that_is_needed_otherwise(name: str) -> None:
    """Layers of a stream are variables of the kernel, beside weights, types and configurations. Of
    a layer that is called softmax, hls4ml takes the type for that of its own softmax's table."""
    assert safe(name, "layer") == f"layer_{name}"


def test_a_pipe_that_runs_dry_is_an_error(tmp_path: Path) -> None:
    program, raw = two_heads(), inputs(1)
    emit_project(program, HlsSettings(backend=Backend.ONEAPI)).write(tmp_path)
    source = tmp_path / "src/firmware/two_heads_top.cpp"
    kept = [line for line in source.read_text().splitlines() if "right" not in line]
    source.write_text("\n".join(kept) + "\n")
    compiled = build.build_together([tmp_path], tmp_path / "csim", QUICK)
    with pytest.raises(ToolFailedError, match="a pipe is read more often than it is written"):
        simulate.simulate_project(program, tmp_path, raw, processes=1, compiled=compiled)
