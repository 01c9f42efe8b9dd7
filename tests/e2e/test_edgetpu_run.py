# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model compiled for the Edge TPU from the command line: formats, agreement, tools, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.cli.app import main
from edgeinfer.targets.edgetpu.chip import compiler
from edgeinfer.targets.hls.csim import build as csim_build
from quantization.fixed import Rounding
from quantization.recipe import Recipe
from tests.support import small_models as small
from tests.support import tflite_builder as build
from tests.support.command_line import shown
from tests.support.places import FAKE_TOOLS

FAKE = FAKE_TOOLS / "fake_edgetpu_compiler"
COMPILE = ["compile", "net.keras", "--data", "data.npz", "-o", "RUN", "--target", "edgetpu"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and data."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


def pairs(result: Any) -> dict[tuple[str, str], Any]:
    """How stages compare."""
    return {tuple(entry["pair"]): entry for entry in result["agreement"]}


def test_a_float_model_gets_formats_that_the_kernels_compute_with(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shown(capsys, *COMPILE)
    assert any("8 bits were taken" in finding for finding in document["findings"])
    recipe = Recipe.from_toml((work / "RUN/recipe.toml").read_text())
    assert all(q.rounding is not Rounding.RND_CONV for _, q in recipe.activations)
    own, inputs = pairs(document)["int8 program", "tflite"], pairs(document)["engine", "tflite"]
    assert own["bit_identical"] and own["samples"] == 60
    assert inputs["decision_flips"] <= 1
    assert (
        abs(document["accuracy"]["tflite"]["auc"] - document["accuracy"]["quantized"]["auc"])
        < 0.003
    )
    assert document["targets"]["edgetpu"]["exact"] is False and document["device"] == "coral"
    assert (work / "RUN/edgetpu/model.tflite").is_file()
    results = {m["name"]: m for m in document["metrics"] if m["target"] == "edgetpu"}
    assert results["streamed_bytes"]["value"] == 0 and results["latency_usb_us"]["low"] > 0
    again = shown(capsys, *COMPILE)
    assert all(step["cached"] for step in again["steps"])
    tried = shown(capsys, "simulate", "RUN", "--stage", "tflite", "--samples", "9")
    assert pairs(tried)["engine", "tflite"]["samples"] == 9


def test_the_verbs_of_the_chip_read_what_was_emitted(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(capsys, *COMPILE)
    mapped = shown(capsys, "map", "RUN/edgetpu/model.tflite")
    assert mapped == json.loads((work / "RUN/edgetpu/mapping.json").read_text()) | {
        key: mapped[key] for key in mapped if key not in ("ops", "cached_bytes")
    }
    assert {op["status"] for op in mapped["ops"]} == {"Mapped to Edge TPU"}


def test_wide_formats_are_calibrated_instead(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shown(capsys, *COMPILE, "--bits", "12")
    assert any(
        "the float network was calibrated in its stead" in finding
        for finding in document["findings"]
    )
    assert ("int8 program", "tflite") not in pairs(document)
    assert document["accuracy"]["tflite"]["auc"] > 0.9 * document["accuracy"]["quantized"]["auc"]


def test_one_program_goes_to_several_targets(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csim_build, "FLAGS", ("-O0", "-w", "-pthread"))
    order = [*COMPILE, "--target", "hls", "--io", "io_parallel"]
    document = shown(capsys, *order, "--device", "coral", "--device", "zcu104")
    assert document["device"] == "coral, xczu7ev"
    assert pairs(document)["engine", "csim"]["bit_identical"]
    assert pairs(document)["int8 program", "tflite"]["bit_identical"]
    assert set(document["accuracy"]) == {"float", "quantized", "csim", "tflite"}


def test_the_compiler_is_run_where_it_is(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*COMPILE, "--synth"]) == 3
    assert "edgetpu_compiler" in capsys.readouterr().err
    held = build.package([build.E(2, b"", (b"i" * 32,)), build.E(1, b"p" * 192, (b"j" * 16,))])
    (work / "ready.tflite").write_bytes(build.compiled(held))
    monkeypatch.setenv("FAKE_EDGETPU_COMPILED", str(work / "ready.tflite"))
    monkeypatch.setenv(compiler.COMPILER.override, str(FAKE))
    document = shown(capsys, *COMPILE)  # it takes seconds, so nobody has to ask
    cached = {
        m["origin"]: m["value"]
        for m in document["metrics"]
        if (m["target"], m["name"], m["layer"]) == ("edgetpu", "cached_bytes", None)
    }
    assert cached["synthesised"] == 192 and cached["estimated"] != 192
    mapping = json.loads((work / "RUN/edgetpu/mapping_compiled.json").read_text())
    assert mapping["cached_bytes"] == 192
    assert any("edgetpu_compiler 16.0" in finding for finding in document["findings"])
