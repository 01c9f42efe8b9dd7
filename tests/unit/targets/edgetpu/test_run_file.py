# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The script in an emitted folder: real numbers in, scores out, the integers of the simulation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, pack_weights
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.targets.edgetpu import run_file
from edgeinfer.targets.edgetpu.chip import device
from edgeinfer.targets.edgetpu.files import interpreter_of, planned_files
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.working_points import LastLayer
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import ROUNDING, TflitePort, TflitePorts
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding, quantize
from tests.support.places import FAKE_TOOLS
from tests.unit.targets.edgetpu.test_working_points import lone_score


def test_the_script_gives_what_the_simulation_gives(tmp_path: Path) -> None:
    """In a process that cannot see edgeinfer; inputs lie on ties, and a score leaves twice."""
    program, raw = lone_score()
    result = convert.convert_program(program, raw)
    planned_files(result, {}).write(tmp_path)
    document = json.loads((tmp_path / "ports.json").read_text())
    (port,) = result.ports.inputs
    assert document["inputs"][0]["rounding"] == ROUNDING == "half up"
    assert document["inputs"][0]["scale"] == port.scale
    assert document["inputs"][0]["zero_point"] == port.zero_point
    reals = (np.arange(-300, 300)[:, None] / 2) * port.scale
    np.savez(tmp_path / "in.npz", x=reals)
    command = [sys.executable, "-I", "run.py", "in.npz", "out.npz"]
    ran = subprocess.run(
        command, check=True, cwd=tmp_path, env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout.startswith("600 samples in ") and ran.stdout.count("\n") == 1
    stored = {"x": port.stored(reals)}
    assert stored["x"][301, 0] - port.zero_point == 1  # 0.5 steps go up
    assert stored["x"][299, 0] - port.zero_point == 0  # -0.5 steps too
    expected = interpreter_of(tmp_path).run(stored)
    scores = simulate.real_outputs(result.ports, expected)["p"]
    with np.load(tmp_path / "out.npz") as found:
        for name, values in expected.items():
            assert np.array_equal(found[f"{name}.stored"], values)
        assert set(found.files) == {"p", "p.stored", "p.fine.stored"}
        assert np.allclose(found["p"], 1 / (1 + np.exp(-scores)))


def several_ports() -> tuple[Program, dict[str, Ints]]:
    """A signed and an unsigned input, and two scores: three classes, and one that stands alone."""
    builder = ProgramBuilder("several")
    builder.add(ops.Input("signed", Fixed(True, 8, 3), (2,)))
    builder.add(ops.Input("unsigned", Fixed(False, 8, 1), (2,)))
    none = pack_weights(np.zeros(2, np.int64))
    for name, frac in (("signed", 5), ("unsigned", 7)):
        weight = pack_weights(np.array([[3, -2], [1, 4]]))
        builder.exact(
            Dense(f"{name}_sum", provisional(frac), name, weight, Fixed(True, 4, 4), none)
        )
        builder.add(
            ops.Requant(f"{name}_in", Fixed(True, 8, 6), f"{name}_sum", Rounding.RND, Overflow.SAT)
        )
    builder.exact(ops.Pair("sum", provisional(2), "signed_in", "unsigned_in", ops.PairKind.ADD))
    builder.add(ops.Requant("h", Fixed(True, 8, 6), "sum", Rounding.RND, Overflow.SAT))
    for name, classes in (("kinds", 3), ("lone", 1)):
        weight = np.random.default_rng(classes).integers(-127, 128, (2, classes))
        zeros = pack_weights(np.zeros(classes, np.int64))
        builder.exact(
            Dense(
                f"{name}_sums", provisional(9), "h", pack_weights(weight), Fixed(True, 8, 1), zeros
            )
        )
    program = builder.program(
        (
            Output("kinds", "kinds_sums", HostFunction.SOFTMAX),
            Output("lone", "lone_sums", HostFunction.SIGMOID),
        )
    )
    rng = np.random.default_rng(7)
    raw = {"signed": rng.integers(-128, 128, (500, 2)), "unsigned": rng.integers(0, 256, (500, 2))}
    return program, raw


@pytest.mark.parametrize("where", [LastLayer.CHIP, LastLayer.HOST])
def test_every_port_goes_around_as_it_is_described(where: LastLayer, tmp_path: Path) -> None:
    """Real numbers between the levels go in; what comes out is the file's Program, to the integer,
    for 8-bit outputs and for those of 16 bits that the host makes."""
    program, raw = several_ports()
    result = convert.convert_program(program, raw, last_layer=where)
    planned_files(result, {}).write(tmp_path)
    document = json.loads((tmp_path / "ports.json").read_text())
    ports = document["inputs"] + document["outputs"]
    assert all(port["rounding"] == ROUNDING and port["scale"] > 0 for port in ports)
    assert [port["zero_point"] for port in document["inputs"]] == [0, -128]
    host = where is LastLayer.HOST
    types = {port["name"]: port["type"] for port in document["outputs"]}
    assert types["kinds"] == types["lone"] == ("INT16" if host else "INT8")
    rng = np.random.default_rng(3)
    reals = {
        op.name: np.round(rng.uniform(-1.2, 1.2, (400, 2)) * 2**op.type.integer * 64) / 64
        + op.type.lsb / 2  # ties, and numbers that are out of range
        for op in program.inputs
    }
    np.savez(tmp_path / "in.npz", **reals)
    command = [sys.executable, "-I", "run.py", "in.npz", "out.npz"]
    subprocess.run(
        command, check=True, cwd=tmp_path, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True
    )
    assert result.program is not None
    entered = {
        op.name: quantize(reals[op.name], Quantizer(op.type, Rounding.RND, Overflow.SAT))
        for op in program.inputs
    }
    expected = simulate.engine_outputs(result.program, entered)
    with np.load(tmp_path / "out.npz") as found:
        for port in result.ports.outputs:
            exact = expected.get(port.name, expected[port.fine_of or port.name])
            assert np.array_equal(found[f"{port.name}.stored"], port.stored(exact)), port.name
        assert {"kinds", "lone"} <= set(found.files)
        assert np.allclose(found["kinds"].sum(axis=-1), 1)
        assert ((found["lone"] > 0) & (found["lone"] < 1)).all()


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    program, raw = lone_score()
    planned_files(convert.convert_program(program, raw), {}).write(tmp_path)
    np.savez(tmp_path / "in.npz", other=np.zeros((1, 1)))
    ran = subprocess.run(
        [sys.executable, "run.py", "in.npz", "out.npz"],
        check=False, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 1 and ran.stderr.splitlines()[-1].startswith("error: KeyError")
    assert not (tmp_path / "out.npz").exists()


def test_a_file_that_xnnpack_cannot_take_is_run_by_other_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """XNNPACK refuses some large networks; the runtime's own kernels run them, and are named."""
    program, raw = lone_score()
    result = convert.convert_program(program, raw)
    data, ports = result.data, result.ports
    stored = {"x": np.arange(-50, 50, dtype=np.int64)[:, None]}
    expected = simulate.Interpreter(data, ports).run(stored)
    module, name, version = simulate.runtime_module()

    def refuse(**options: object) -> object:
        auto = module.OpResolverType.AUTO
        if options.get("experimental_op_resolver_type", auto) == auto:
            raise RuntimeError("failed to create XNNPACK runtime")
        return module.Interpreter(**options)

    limited = types.SimpleNamespace(Interpreter=refuse, OpResolverType=module.OpResolverType)
    monkeypatch.setattr(simulate, "runtime_module", lambda: (limited, name, version))
    interpreter = simulate.Interpreter(data, ports)
    assert interpreter.runtime.kernels == "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    results = interpreter.run(stored)
    for output, values in results.items():
        assert np.abs(values - expected[output]).max() <= 1, output
    (tmp_path / "model.tflite").write_bytes(data)
    monkeypatch.setattr(run_file, "litert", lambda: limited)
    model = run_file.open_model(tmp_path / "model.tflite", None)
    (port,) = ports.inputs
    rows = [model.run([x.reshape(1, *port.file_shape).astype(port.type.lower())])
            for x in stored["x"]]  # fmt: skip
    assert all(
        np.array_equal(row[0].reshape(-1)[0], first)
        for row, first in zip(rows, results[ports.outputs[0].name][:, 0], strict=True)
    )


class FakeStick:
    """What libredgetpu does, with a chip that adds one to every byte and pads to eight."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> FakeStick:
        return self

    def invoke_raw_outputs(self, sent: bytes) -> list[bytes]:
        """Unsigned bytes, as the chip sees them."""
        return [bytes((byte + 1) % 256 for byte in sent).ljust(8, b"\0")]


def test_a_stick_is_driven_without_the_vendors_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in = types.ModuleType("libredgetpu")
    stand_in.SimpleInvoker = FakeStick  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "libredgetpu", stand_in)
    path = tmp_path / "model_edgetpu.tflite"
    path.write_bytes(b"")
    model = run_file.open_model(path, str(tmp_path / "libedgetpu.so.1"))
    assert isinstance(model, run_file.DirectModel)
    ports = TflitePorts(
        (TflitePort("x", (3,), "INT8", 0.5, -1),),
        (TflitePort("y", (3,), "INT8", 0.25, 2, HostFunction.NONE),),
    )
    results = run_file.run(model, json.loads(ports.to_json()), {"x": np.array([[0.0, 1.0, -2.0]])})
    assert results["y.stored"].tolist() == [[0, 2, -4]]  # stored as -1, 1, -5, and one more
    assert results["y"].tolist() == [[-0.5, 0.0, -1.5]]


@pytest.mark.parametrize("where", [LastLayer.CHIP, LastLayer.HOST])
def test_run_on_a_stick_gives_what_this_processor_gives(where: LastLayer, tmp_path: Path) -> None:
    """In processes of their own, without the vendor's library: `run.py --device`, and the one by
    which `compile` times a device. Two inputs, two outputs that are padded, one finished by the
    host."""
    program, raw = several_ports()
    result = convert.convert_program(program, raw, last_layer=where)
    planned_files(result, {}).write(tmp_path)
    (tmp_path / "model_edgetpu.tflite").write_bytes(result.data)
    reals = {name: values[:40] for name, values in simulate.real_inputs(program, raw).items()}
    stored = simulate.stored_inputs(result.ports, reals)
    expected = simulate.Interpreter(result.data, result.ports).run(stored)
    np.savez(tmp_path / "in.npz", **reals)
    missing = str(tmp_path / "libedgetpu.so.1")
    stick = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FAKE_TOOLS / "redgetpu"), *sys.path])}
    command = ["run.py", "in.npz", "out.npz", "--device", "--library", missing]
    ran = run_python(command, tmp_path, stick)
    assert ran.returncode == 0 and ran.stdout.startswith("40 samples in "), ran.stderr
    assert "Traceback" not in ran.stderr  # of the vendor's library, which is not missed
    with np.load(tmp_path / "out.npz") as found:
        for name, values in expected.items():
            assert np.array_equal(found[f"{name}.stored"], values), name
    entering = (stored[port.name].astype("int8") for port in result.ports.inputs)
    np.savez(tmp_path / "stored.npz", **{str(i): values for i, values in enumerate(entering)})
    probe = ["-m", device.PROBE, "run", missing, "model_edgetpu.tflite", "stored.npz", "o.npz", "1"]
    ran = run_python(probe, tmp_path, stick)
    assert ran.returncode == 0, ran.stderr
    with np.load(tmp_path / "o.npz") as found:
        for number, port in enumerate(result.ports.outputs):
            left = device._reshape_output(found[str(number)], port)
            assert np.array_equal(left, expected[port.name]), port.name
    (tmp_path / "model_edgetpu.tflite").write_bytes(b"cut off")
    ran = run_python(command, tmp_path, stick)
    assert ran.returncode == 1 and ran.stderr == "error: ValueError: not a TFLite model\n"


def run_python(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A script or module in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments], check=False, cwd=folder, env=dict(environment),
        capture_output=True, text=True,
    )  # fmt: skip


class EchoModel:
    """A file whose outputs are its inputs."""

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of one sample."""
        return list(inputs)


def test_every_sample_is_timed_and_the_first_one_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 0.5, 1.0, 1.002, 2.0, 2.002, 3.0, 3.004])
    clock = types.SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("edgeinfer.targets.edgetpu.run_file.time", clock)
    model = run_file.TimedModel(EchoModel())
    for sample in range(4):
        assert model.run([sample]) == [sample]
    line = model.describe_times()
    assert line.startswith("4 samples in 0.508 s: 8 a second; one takes 3.000 ms (median)")
    assert "the first took 500.000 ms" in line


def test_a_stick_that_the_system_shows_is_enough_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(device.LIBRARY_VARIABLE, "/nowhere/libedgetpu.so.1")
    monkeypatch.setattr(device, "DIRECT", "json")  # a module that is here
    place = tmp_path / "sys/bus/usb/devices/2-1"
    place.mkdir(parents=True)
    (place / "idVendor").write_text("1a6e\n")
    (place / "idProduct").write_text("089a\n")
    result = device.probe_devices(tmp_path)
    assert [each.type for each in result.devices] == ["usb"] and not result.problem
    monkeypatch.setattr(device, "DIRECT", "no_such_module")
    assert not device.probe_devices(tmp_path).devices
