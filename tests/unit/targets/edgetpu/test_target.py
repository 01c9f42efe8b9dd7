# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The target answers the protocol; the verbs answer in the shape that others rely on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.cli.app import main
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.targets.edgetpu.predict.rules import Status
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import TflitePort, TflitePorts
from edgeinfer.targets.target import Target
from tests.support import tflite_builder as build
from tests.support.hit_tagger_programs import POOLED, hit_tagger, patches

PLAIN = EdgeTpuSettings()


def test_the_target_answers_the_protocol(tmp_path: Path) -> None:
    target: Target[EdgeTpuSettings] = EdgeTpuTarget()
    program = hit_tagger(POOLED).program
    assert target.check(program, PLAIN) == ()
    plan = target.emit(program, PLAIN)
    text = {"program.txt", "ports.json", "mapping.json", "run.py"}
    assert set(plan.files) == {"model.tflite", "program.npz", *text}
    assert target.emit(program, PLAIN).digest == plan.digest
    plan.write(tmp_path)
    raw = {"patch": patches(6)}
    answer: list[tuple[int, int]] = []
    actual = target.simulate(
        program,
        tmp_path,
        raw,
        PLAIN,
        report_progress=lambda done, total: answer.append((done, total)),
    )
    assert answer[-1] == (6, 6) and set(actual) == {"track_shower", "michel"}
    expected = Engine(program).run(raw)
    ports = TflitePorts.from_json((tmp_path / "ports.json").read_text(), "ports.json")
    for output in program.outputs:
        step = next(p.scale for p in ports.outputs if p.name == output.name)
        unit = program.type(output.value).lsb
        inside = np.abs(expected[output.name]) * unit < 100 * step  # the rest saturates
        away = np.abs(actual[output.name] - expected[output.name])[inside] * unit
        assert away.max(initial=0) <= step
    with pytest.raises(UsageError, match="does not show the value 'conv'"):
        target.simulate(program, tmp_path, raw, PLAIN, taps=("conv",))


def test_estimates_have_bands_and_take_a_moment() -> None:
    program = hit_tagger(POOLED).program
    start = time.process_time()
    result = EdgeTpuTarget().estimate(program, PLAIN)
    assert time.process_time() - start < 1
    assert all(m.origin is Origin.ESTIMATED and m.target == "edgetpu" for m in result)
    named = {m.name: m for m in result if m.layer is None}
    assert named["streamed_bytes"].value == 0 and named["mapped_ops"].value == 7
    assert named["latency_pcie_us"].value < named["latency_usb_us"].value
    layers = {m.layer for m in result if m.layer is not None}
    assert {"0:CONV_2D", "3:FULLY_CONNECTED"} <= layers


def test_a_folder_without_the_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no model\.tflite"):
        EdgeTpuTarget().simulate(hit_tagger(POOLED).program, tmp_path, {}, PLAIN)
    for text in ("", "[]", '{"inputs": [], "outputs": [{"name": "y"}]}'):
        with pytest.raises(InputError, match="does not describe the ports"):
            TflitePorts.from_json(text, "ports.json")


def test_settings_are_checked() -> None:
    for wrong in (9, 15):
        with pytest.raises(UsageError, match="no rules for runtime"):
            EdgeTpuSettings(runtime=wrong)
    with pytest.raises(UsageError, match="is too short for the compiler"):
        EdgeTpuSettings(compile_seconds=0)


def test_steps_are_counted_in_the_outputs_scale() -> None:
    ports = TflitePorts((), (TflitePort("y", (3,), "INT8", 0.5, 10),))
    actual = {"y": np.array([[10, 12, 13], [9, 10, 11]])}
    expected = {"y": np.array([[0.0, 1.0, 1.1], [0.5, 0.0, 0.4]])}
    result = simulate.compare_outputs(ports, actual, expected)
    assert result.outputs[0].histogram == {-2: 1, 0: 4, 1: 1}
    assert (result.max_steps, result.max_difference) == (2, 1.0)
    assert (result.decision_flips, result.decision_flips_unrounded) == (2, 1)


def test_numbers_that_the_levels_do_not_hold_are_not_called_equal() -> None:
    """A quarter lies between two levels, and 100 beyond the last: nothing is off by a step, but no
    integer is the same. How far is said of what the levels reach."""
    ports = TflitePorts((), (TflitePort("y", (1,), "INT8", 0.5, 0),))
    between = {"y": np.array([[0.25], [1.0], [100.0]])}
    rounded = simulate.compare_outputs(ports, {"y": ports.outputs[0].stored(between["y"])}, between)
    assert rounded.max_steps == rounded.differing == 0 and not rounded.equal
    assert rounded.max_difference == 0.25
    exact = {"y": np.array([[0.5], [1.0], [-3.0]])}
    same = simulate.compare_outputs(ports, {"y": ports.outputs[0].stored(exact["y"])}, exact)
    assert same.equal and same.max_difference == 0


def written(folder: Path, name: str, data: bytes) -> str:
    """A file for a verb."""
    path = folder / name
    path.write_bytes(data)
    return str(path)


def test_map_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "dense.tflite", build.dense(256, 256))
    assert main(["map", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [op["index"] for op in document["ops"]] == [0, 1, 2]
    assert {op["status"] for op in document["ops"]} == {Status.MAPPED.value}
    assert all({"index", "op", "status", "reason"} <= set(op) for op in document["ops"])
    assert (document["cached_bytes"], document["streamed_bytes"]) == (67_584, 0)
    assert document["latency_us_low"] < document["latency_us"] < document["latency_us_high"]
    assert main(["map", path, "--runtime", "11"]) == 0
    output = capsys.readouterr().out
    assert "QUANTIZE is supported from runtime 12 on" in output and "latency" in output


def test_inspect_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = build.package([build.E(2, b"", (b"i" * 32,)), build.E(1, b"p" * 64, cycles=77)], 13)
    left = [build.O("RELU", ("y",), ("z",))]
    path = written(tmp_path, "net_edgetpu.tflite", build.compiled(held, left))
    assert main(["inspect", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cached_bytes"] == 64 and document["instruction_bytes"] == 32
    assert document["runtime_version"] == 13 and document["estimated_cycles"] == 77
    assert document["inputs"][0]["name"] == "x" and document["outputs"][0]["name"] == "z"
    assert document["cpu_ops"] == [{"index": 1, "op": "RELU"}]
    assert main(["inspect", path]) == 0
    assert "for runtime 13 or newer" in capsys.readouterr().out
    for others in ([], ["--segments", "2"], [written(tmp_path, "d.tflite", build.dense(8, 8))]):
        assert main(["map", path, *others]) == 2
        message = capsys.readouterr().err
        assert "net_edgetpu.tflite is compiled for the Edge TPU already" in message
        assert message.count("\n") == 1 and "edgeinfer inspect" in message


def test_a_file_of_which_nothing_is_mapped_waits_for_no_chip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its time is the host's alone, and there is nothing to cut into segments."""
    tensors = [build.T(name, (1, 8, 8, 3), "FLOAT32") for name in "xy"]
    data = build.tflite(tensors, [build.O("RELU", ("x",), ("y",))], ["x"], ["y"])
    path = written(tmp_path, "float.tflite", data)
    assert main(["map", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["mapped"] == 0
    for link in document["latency"].values():
        assert 0 < link["value_us"] == link["host_us"] < 20
    assert main(["map", path, "--segments", "2"]) == 2
    assert "Nothing in" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["map", "inspect"])
def test_a_file_of_another_kind_is_one_paragraph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    path = written(tmp_path, "x.tflite", b"TFL3 is not at the fifth byte")
    assert main([verb, path]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "x.tflite is not a valid TensorFlow Lite file" in message
    assert main([verb, str(tmp_path / "none.tflite")]) == 2
    capsys.readouterr()
    for name, data, told in (
        ("empty.tflite", b"", "it is empty. If it was cut off"),
        ("large.tflite", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "lfs pull"),
        ("half.tflite", build.dense(64, 64)[:2000], "If it was cut off, copy it again"),
    ):
        assert main([verb, written(tmp_path, name, data)]) == 2
        assert told in capsys.readouterr().err
    assert main([verb, "/"]) == 2
    assert "is a folder, not a model file" in capsys.readouterr().err


def test_map_refuses_runtimes_without_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "dense.tflite", build.dense(8, 8))
    assert main(["map", path, "--runtime", "3"]) == 2
    assert "Choose 10 to 14" in capsys.readouterr().err
