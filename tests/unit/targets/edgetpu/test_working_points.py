# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Scores whose int8 levels leave few thresholds: a second, finer output, and ranges asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.base.tflite.model import read
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, pack_weights
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.targets.edgetpu.files import interpreter_of, planned_files
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.output_levels import ScoreRange
from edgeinfer.targets.edgetpu.int8.working_points import (
    FEWEST_THRESHOLDS,
    LastLayer,
    count_thresholds,
)
from edgeinfer.targets.edgetpu.predict.latency import Link
from edgeinfer.targets.edgetpu.predict.prediction import predict, prediction_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.ethosu.settings import EthosUSettings
from edgeinfer.targets.ethosu.target import EthosUTarget
from edgeinfer.targets.tflitemicro.cycles import time_metrics
from edgeinfer.targets.tflitemicro.settings import TfliteMicroSettings
from quantization.fixed import Fixed, Ints, Overflow, Rounding
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
    result = convert.convert_program(program, raw)
    assert [port.fine_of for port in result.ports.outputs] == ["", "p"]
    assert any("leaves a second time as p.fine" in finding for finding in result.findings)
    assert result.program is not None and run(result, result.program, raw).max_steps == 0
    stored = simulate.stored_inputs(result.ports, simulate.real_inputs(program, raw))
    actual = simulate.Interpreter(result.data, result.ports).run(stored)
    exact = simulate.engine_outputs(program, raw)["p"]
    merged = simulate.real_outputs(result.ports, actual)
    coarse, fine = result.ports.outputs
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
    result = convert.convert_program(program, raw, score_range=ScoreRange(-1, 6))
    (port,) = result.ports.outputs
    assert port.real(np.array([-128, 127])) == pytest.approx([-1, 6.96875])
    assert port.scale == 2.0**-5
    assert any("from -1 to 6 was asked for" in finding for finding in result.findings)
    assert result.program is not None and run(result, result.program, raw).max_steps == 0
    for wrong in ("3", "4:1", "a:b", "nan:2"):
        with pytest.raises(UsageError, match=r"--score-range"):
            EdgeTpuSettings(score_range=wrong)
    with pytest.raises(UsageError, match=r"goes beyond 1,000,000") as far:
        EdgeTpuSettings(score_range="1e9:2e9")
    assert far.value.hint


def deep_score(weight: np.ndarray, bias: int, raw: np.ndarray) -> tuple[Program, dict[str, Ints]]:
    """Scores of a hidden layer that passes its two inputs on."""
    builder = ProgramBuilder("deep")
    builder.add(ops.Input("x", Fixed(False, 8, 8), (2,)))
    none, same = pack_weights(np.zeros(2, np.int64)), pack_weights(np.eye(2, dtype=np.int64))
    builder.exact(Dense("h", provisional(0), "x", same, Fixed(True, 2, 2), none))
    builder.add(ops.Requant("h8", Fixed(False, 8, 8), "h", Rounding.RND, Overflow.SAT))
    classes = weight.shape[1]
    biases = pack_weights(np.full(classes, bias))
    made = Dense("y", provisional(7), "h8", pack_weights(weight), Fixed(True, 8, 1), biases)
    builder.exact(made)
    host = HostFunction.SIGMOID if classes == 1 else HostFunction.SOFTMAX
    return builder.program((Output("p", "y", host),)), {"x": raw}


def drawn_score(classes: int) -> tuple[Program, dict[str, Ints]]:
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (2, classes))
    return deep_score(weight, 37, rng.integers(0, 256, (1000, 2)))


def sure_score() -> tuple[Program, dict[str, Ints]]:
    """A score of about -20 for the background; for the signal, from 40 to 42 in steps of 1/128. As
    8 bits hold zero too, they have no more than eight levels there."""
    rng = np.random.default_rng(2)
    fine = np.clip(rng.normal(190, 50, 2000).astype(int), 0, 255)
    raw = np.stack([77 * rng.integers(0, 2, 2000), fine], axis=-1)
    return deep_score(np.array([[100], [1]]), -20 * 128, raw)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_host_computes_the_last_layer_on_16_bits(classes: int, tmp_path: Path) -> None:
    """File, host and Program are equal, through `run.py` too; decisions are those of exact sums."""
    program, raw = drawn_score(classes)
    made = convert.convert_program(program, raw, last_layer=LastLayer.HOST)
    (port,) = made.ports.outputs
    assert port.type == "INT16" and port.layer is not None and port.layer.shape == (2,)
    assert any("The host computes y" in said for said in made.findings)
    assert made.program is not None and made.program.type(made.program.outputs[0].value).bits == 16
    assert run(made, made.program, raw).max_steps == 0
    planned_files(made, {}).write(tmp_path)
    reals = simulate.real_inputs(program, raw)
    np.savez(tmp_path / "in.npz", **reals)
    command = [sys.executable, "-I", "run.py", "in.npz", "out.npz"]
    subprocess.run(command, check=True, cwd=tmp_path, env={"TF_CPP_MIN_LOG_LEVEL": "3"})
    stored = simulate.stored_inputs(made.ports, reals)
    read_again = interpreter_of(tmp_path).run(stored)["p"]
    exact = simulate.engine_outputs(program, raw)["p"]
    with np.load(tmp_path / "out.npz") as found:
        assert np.array_equal(found["p.stored"], read_again)
        scores = port.real(found["p.stored"])
    assert np.abs(scores - exact).max() <= port.scale
    if classes == 1:
        assert np.array_equal(scores > 0, exact > 0)


def test_the_hosts_layer_is_part_of_the_time(tmp_path: Path) -> None:
    """In the total, by layer, for `map` of the emitted file, and if it is measured."""
    program, raw = drawn_score(3)
    layers = convert.convert_program(program, raw, last_layer=LastLayer.HOST).ports.layers
    assert layers["p"].products == 6
    settings = EdgeTpuSettings(last_layer=LastLayer.HOST)
    EdgeTpuTarget().emit(program, settings).write(tmp_path)
    without = prediction_of(read(tmp_path / "model.tflite"))
    for time_host in (False, True):
        known = predict(tmp_path / "model.tflite", time_host=time_host)
        (part,) = known.host
        assert part.op == "HOST_DENSE:p" and part.measured is time_host
        assert part.value_us is not None and 0 < part.low_us <= part.value_us <= part.high_us
        usb, chip = known.latency(Link.USB), without.latency(Link.USB)
        assert usb.host_us == part.value_us and usb.value_us == chip.value_us + usb.host_us
        lines = {m.layer: m.value for m in known.metrics() if m.name == "latency_us"}
        assert lines[f"{part.index}:HOST_DENSE:p"] == part.value_us
        assert lines[None] == usb.value_us
        assert known.document()["host_layers"][0]["index"] == len(known.model.operators)
        assert any("HOST_DENSE:p" in finding for finding in known.findings)
    micro = TfliteMicroSettings()
    both = (time_metrics(without.model, micro, "t", of) for of in ({}, layers))
    short, long = ({m.layer: m.value for m in metrics} for metrics in both)
    assert long["1:HOST_DENSE:p"] == pytest.approx(6 * 3.82 / micro.cpu_mhz)
    assert long[None] == pytest.approx(short[None] + long["1:HOST_DENSE:p"])
    assert any("layer of p behind the NPU" in said for said in EthosUTarget().forecast(
        without.model, 0, EthosUSettings(), layers).findings)  # fmt: skip


def test_the_host_computes_by_itself_where_8_bits_leave_too_little() -> None:
    program, raw = sure_score()
    made = convert.convert_program(program, raw)
    (port,) = made.ports.outputs
    assert port.layer is not None and any("twice 8, leave fewer" in said for said in made.findings)
    assert made.program is not None and run(made, made.program, raw).max_steps == 0
    exact = simulate.engine_outputs(program, raw)["p"]
    low, high = port.real(np.array([-32768, 32767]))
    assert count_thresholds(exact, port.scale, low, high) >= FEWEST_THRESHOLDS
    chip = convert.convert_program(program, raw, last_layer=LastLayer.CHIP)
    assert all(each.layer is None for each in chip.ports.outputs)
