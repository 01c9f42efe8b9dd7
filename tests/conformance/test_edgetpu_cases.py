# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Real models and their compiled twins: what the compiler decided, decoded and predicted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.targets.edgetpu.chip import compiler
from edgeinfer.targets.edgetpu.chip.inspect import document
from edgeinfer.targets.edgetpu.predict.latency import Link
from edgeinfer.targets.edgetpu.predict.prediction import predict
from edgeinfer.targets.edgetpu.tflite.compiled import read_compiled

NAMES = (
    "bright_64x64",
    "color_red_64x64",
    "deeplabv3_mnv2_dm05_pascal_quant",
    "dense_1024",
    "dense_256",
    "exported_model1_quant",
    "exported_pong_10_quant8",
    "gabor_64x64_p4",
    "looming_64x64_3x3",
    "mobilenet_v1_0.25_128_quant",
    "posenet_mobilenet_v1_075_353_481_16_quant_decoder",
    "split_concat",
)


@pytest.fixture(scope="session")
def folder(cases: Path) -> Path:
    """The pairs."""
    result = cases / "edgetpu"
    if not result.is_dir():
        pytest.skip(f"compiled models are not here (looked in {result})")
    return result


@pytest.fixture(scope="session")
def truth(folder: Path) -> dict[str, Any]:
    """What was decoded from the twins by others."""
    found: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_file_is_decoded(folder: Path, truth: dict[str, Any], name: str) -> None:
    result = document(read_compiled(folder / f"{name}_edgetpu.tflite"))
    for key in ("cached_bytes", "streamed_bytes", "instruction_bytes"):
        assert result[key] == truth[name][key], key
    kinds = {"STAND_ALONE": 0, "PARAMETER_CACHING": 1, "EXECUTION_ONLY": 2}
    assert [kinds[e["kind"]] for e in result["executables"]] == truth[name]["executables"]
    assert 10 <= result["runtime_version"] <= 14
    assert result["inputs"] and result["outputs"]


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_is_mapped_as_the_compiler_mapped_it(
    folder: Path, truth: dict[str, Any], name: str
) -> None:
    result = predict(folder / f"{name}.tflite").document()
    left = [[op["index"], op["op"]] for op in result["ops"] if "Mapped" not in op["status"]]
    assert left == truth[name]["cpu_ops"]
    assert len(result["ops"]) == truth[name]["ops"]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_take_the_bytes_that_they_take(
    folder: Path, truth: dict[str, Any], name: str
) -> None:
    """To the byte under the runtime that the twin is for, and within 1 % under the newest."""
    path = folder / f"{name}.tflite"
    runtime = read_compiled(path.with_name(f"{name}_edgetpu.tflite")).runtime_version
    own, newest = predict(path, runtime).memory, predict(path).memory
    assert own.cached_bytes == truth[name]["cached_bytes"]
    assert own.streamed_bytes == newest.streamed_bytes == truth[name]["streamed_bytes"]
    assert newest.cached_bytes == pytest.approx(truth[name]["cached_bytes"], rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_names_outside_the_custom_operator_tell_what_is_left(
    folder: Path, truth: dict[str, Any], name: str
) -> None:
    prediction = predict(folder / f"{name}.tflite")
    result = compiler.host_operators(
        prediction.model, read_compiled(folder / f"{name}_edgetpu.tflite")
    )
    assert sorted(result) == [index for index, _ in truth[name]["cpu_ops"]]


def test_instructions_take_about_the_bytes_that_they_take(
    folder: Path, truth: dict[str, Any]
) -> None:
    """Within 10 % each, images whose sizes the tiles do not divide evenly among them, and within
    4 % on average."""
    ratios = [
        predict(folder / f"{name}.tflite").traffic.instructions / truth[name]["instruction_bytes"]
        for name in NAMES
    ]
    assert all(abs(ratio - 1) < 0.10 for ratio in ratios)
    assert sum(abs(ratio - 1) for ratio in ratios) < 0.04 * len(ratios)


def test_the_compilers_decisions_take_the_place_of_predictions(folder: Path) -> None:
    name = "deeplabv3_mnv2_dm05_pascal_quant"
    wrong = predict(folder / f"{name}.tflite", 10)  # nothing that newer runtimes can do
    twin = read_compiled(folder / f"{name}_edgetpu.tflite")
    result = compiler.override_prediction(wrong, twin)
    assert result["origin"] == "synthesised" and result["mapped"] == 64
    assert result["cached_bytes"] == twin.cached_bytes
    assert result["predicted"]["mapped"] == len(wrong.mapping.on_chip)


def test_a_prediction_takes_no_second(folder: Path) -> None:
    start = time.process_time()
    for name in NAMES:
        predict(folder / f"{name}.tflite")
    assert (time.process_time() - start) / len(NAMES) < 1


def test_posenet_takes_what_was_published(folder: Path) -> None:
    """5.8 ms over USB."""
    name = "posenet_mobilenet_v1_075_353_481_16_quant_decoder"
    result = predict(folder / f"{name}.tflite").latency(Link.USB)
    assert result.low_us < 5800 < result.high_us


def test_the_cycles_of_one_file_are_as_its_compiler_estimates(folder: Path) -> None:
    name = "exported_model1_quant"
    said = read_compiled(folder / f"{name}_edgetpu.tflite").estimated_cycles
    counted = sum(layer.cycles for layer in predict(folder / f"{name}.tflite").cycles)
    assert said and counted == pytest.approx(said, rel=0.25)
