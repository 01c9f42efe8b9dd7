# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks of other exporters, and fixed-point multipliers wherever they come from: interpreter,
engine, HLS C-simulation and RTL simulation give the same integers, and so do exported files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from edgeinfer.export.onnx_files import OnnxFormat, contents
from edgeinfer.graph.nodes import BatchNormNode
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Conv, Dense, Input, Scale, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.readers import load
from edgeinfer.run.defaults import add_formats, draw_samples_for, plain
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe
from tests.conformance.hls_suite import QUICK
from tests.support import onnx_models as m
from tests.support import other_exporters, small_models
from tests.support.exported import by_qonnx, by_runtime
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_session import cache_of_the_session

__all__ = ["cache_of_the_session"]

SAMPLES = 12
X = Fixed(True, 8, 3)


# Networks


def of_file(path: Path, bits: int = 8) -> Program:
    """A model's Program, at some width where it states no formats."""
    loaded = load(path)
    if loaded.recipe == Recipe():
        loaded = add_formats(loaded, plain(bits), draw_samples_for(loaded, Recipe()))
    return lower(loaded.graph, loaded.recipe).program


def of_model(result: ModelProto) -> Callable[[Path], Program]:
    return lambda folder: of_file(m.saved(result, folder))


def all_roundings(overflow: Overflow) -> Callable[[Path], Program]:
    """A multiplier for each channel, also a negative one and one of 0, its product rounded in
    every way."""

    def make(folder: Path) -> Program:
        del folder
        builder = ProgramBuilder(f"roundings_{overflow}".lower())
        builder.add(Input("x", X, (3, 5)))
        factor = np.array([-83, 77, 0, 127, 1], np.int64)
        bias = np.array([5, -1200, 33, 0, -1], np.int64)
        type_, grid = Fixed(True, 8, 1), provisional(X.frac + 7)
        scaled = builder.exact(
            Scale("s", grid, "x", pack_weights(factor), type_, pack_weights(bias))
        )
        for rounding in Rounding:
            quantizer = Quantizer(Fixed(True, 6, 2), rounding, overflow)
            builder.requant(f"y_{rounding}".lower(), scaled, quantizer)
        return builder.program(tuple(Output(op.name, op.name) for op in builder.ops[2:]))

    return make


BITS_AUTO = {"class_name": "quantized_bits", "config": {"bits": 4, "integer": 0, "alpha": "auto"}}
BIAS = {"class_name": "quantized_bits", "config": {"bits": 8, "integer": 2, "alpha": 1.0}}


def rectified(bits: int, integer: int) -> dict[str, object]:
    return {"class_name": "quantized_relu", "config": {"bits": bits, "integer": integer}}


def qdense(name: str, units: int) -> dict[str, object]:
    config = {"name": name, "units": units, "kernel_quantizer": BITS_AUTO, "bias_quantizer": BIAS}
    return {"class_name": "QDense", "config": config}


def qkeras_auto(folder: Path) -> Program:
    """alpha='auto': a scale for each channel that is no power of two; and a batch norm after a
    rounding, which no layer before it can take up."""
    rng = np.random.default_rng(4)
    norm = {"class_name": "BatchNormalization", "config": {"name": "norm", "epsilon": 1e-3}}
    layers = [
        qdense("hidden", 5),
        {"class_name": "QActivation", "config": {"name": "act", "activation": rectified(6, 2)}},
        norm,
        {"class_name": "QActivation", "config": {"name": "act2", "activation": rectified(5, 1)}},
        qdense("out", 3),
    ]
    values = {
        "hidden/0": rng.normal(0, 0.5, (6, 5)), "hidden/1": rng.normal(0, 0.5, 5),
        "norm/0": rng.uniform(0.5, 1.5, 5), "norm/1": rng.normal(0, 0.3, 5),
        "norm/2": rng.normal(0.5, 0.3, 5), "norm/3": rng.uniform(0.3, 2, 5),
        "out/0": rng.normal(0, 0.5, (5, 3)), "out/1": rng.normal(0, 0.5, 3),
    }  # fmt: skip
    path = folder / "net.keras"
    path.write_bytes(small_models.archive(small_models.sequential(*layers), values))
    assert any(isinstance(node, BatchNormNode) for node in load(path).graph.nodes)
    return of_file(path)


NETWORKS: dict[str, Callable[[Path], Program]] = {
    "brevitas": of_model(other_exporters.brevitas(1)),
    "brevitas, powers of two": of_model(other_exporters.brevitas(2, powers_of_two=True)),
    "tf2onnx": of_model(other_exporters.tf2onnx(3)),
    "qkeras alpha auto": qkeras_auto,
    "saturating": all_roundings(Overflow.SAT),
    "wrapping": all_roundings(Overflow.WRAP),
}
MULTIPLIERS = {"brevitas": 3, "brevitas, powers of two": 0, "tf2onnx": 1, "wrapping": 1}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    """All of them."""
    return {name: make(tmp_path_factory.mktemp("net")) for name, make in NETWORKS.items()}


def inputs_for(program: Program) -> dict[str, Ints]:
    return random_inputs(program, 8, SAMPLES)


def wanted(program: Program) -> dict[str, Ints]:
    """The outputs, by definition."""
    return results(program, interpret(program, inputs_for(program)))


def test_the_files_compute_what_their_exporters_meant(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for made, shape in ((other_exporters.tf2onnx(3), (4, 8, 6, 2)),):
        path = m.saved(made, tmp_path)
        feeds = {made.graph.input[0].name: m.floats(rng, *shape)}
        theirs = m.runtime(path, feeds)
        ours = m.computed(load(path), feeds, [y.shape for y in theirs])
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5, rtol=0)
    for powers in (False, True):
        made = other_exporters.brevitas(6, powers_of_two=powers)
        path = m.saved(made, tmp_path)
        loaded = load(path)
        for _ in range(5):
            feeds = {"input.1": m.floats(rng, 1, 2, 6, 4)}
            theirs = m.reference(path, feeds)
            ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=loaded.recipe)
            np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5, rtol=0)


def test_there_are_multipliers_where_scales_are_no_powers_of_two(
    programs: dict[str, Program],
) -> None:
    for name, count in MULTIPLIERS.items():
        found = [op for op in programs[name].ops if isinstance(op, Scale)]
        assert len(found) == count, name
    ops = programs["qkeras alpha auto"].ops
    before_norm = next(op for op in ops if op.name == "act2.exact" or op.name.startswith("norm"))
    assert isinstance(before_norm, Scale)
    assert not any(isinstance(op, Conv) for op in ops)
    assert sum(isinstance(op, Dense) for op in ops) == 2


@pytest.mark.parametrize("name", NETWORKS)
def test_the_engine_is_the_interpreter(name: str, programs: dict[str, Program]) -> None:
    program = programs[name]
    found = Engine(program).run(inputs_for(program))
    for output, values in wanted(program).items():
        np.testing.assert_array_equal(found[output], values)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "io", [IoType.PARALLEL, pytest.param(IoType.STREAM, marks=pytest.mark.slow)]
)
def test_hls_simulates_them_exactly(
    io: IoType, programs: dict[str, Program], tmp_path: Path
) -> None:
    settings, target = HlsSettings(io=io), HlsTarget()
    places = {name: tmp_path / f"net{i}" for i, name in enumerate(programs)}
    for i, (name, program) in enumerate(programs.items()):
        assert target.check(program, settings) == ()
        emit_project(program, settings, namespace=f"net{i}").write(places[name])
    compiled = build.build_together(list(places.values()), tmp_path / "csim", QUICK)
    for name, program in programs.items():
        raw = inputs_for(program)
        taps = simulate.tappable(program, manifest.read(places[name]))
        result = simulate.simulate_project(
            program, places[name], raw, taps=taps, processes=1, compiled=compiled
        )
        values = interpret(program, raw)
        for tap in taps:
            np.testing.assert_array_equal(result[tap], values[tap], err_msg=f"{name}: {tap}")
        for output, held in results(program, values).items():
            np.testing.assert_array_equal(result[output], held, err_msg=f"{name}: {output}")


@needs_verilator
@pytest.mark.parametrize("name", ["qkeras alpha auto", "saturating"])
def test_rtl_simulates_multipliers_exactly(
    name: str, programs: dict[str, Program], tmp_path: Path
) -> None:
    rtl_is_exact(programs[name], tmp_path)


@needs_verilator
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["brevitas", "brevitas, powers of two", "tf2onnx", "wrapping"])
def test_rtl_simulates_networks_exactly(
    name: str, programs: dict[str, Program], tmp_path: Path
) -> None:
    rtl_is_exact(programs[name], tmp_path)


def rtl_is_exact(program: Program, folder: Path) -> None:
    target, settings = RtlTarget(), RtlSettings()
    assert target.check(program, settings) == ()
    target.emit(program, settings).write(folder)
    result = target.simulate(program, folder, inputs_for(program), settings)
    for name, values in wanted(program).items():
        np.testing.assert_array_equal(result[name], values, err_msg=name)


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_files_hold_them_exactly(
    name: str, programs: dict[str, Program], tmp_path: Path
) -> None:
    program = programs[name]
    raw = inputs_for(program)
    for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
        result = by_runtime(contents(program, kind).content, raw)
        for output, values in wanted(program).items():
            np.testing.assert_array_equal(result[output], values)
    if name in ("saturating", "wrapping"):
        return  # Quant neither wraps nor rounds towards plus infinity
    content = contents(program, OnnxFormat.QONNX).content
    result = by_qonnx(content, raw)
    for output, values in wanted(program).items():
        np.testing.assert_array_equal(result[output], values)
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    loaded = load(path)
    assert lower(loaded.graph, loaded.recipe).program.digest == program.digest
