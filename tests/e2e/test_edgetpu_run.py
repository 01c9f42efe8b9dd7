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
    made = shown(capsys, *COMPILE)
    assert any("8 bits were taken" in said for said in made["findings"])
    recipe = Recipe.from_toml((work / "RUN/recipe.toml").read_text())
    assert all(q.rounding is not Rounding.RND_CONV for _, q in recipe.activations)
    own, given = pairs(made)["int8 program", "tflite"], pairs(made)["engine", "tflite"]
    assert own["bit_identical"] and own["samples"] == 60
    assert given["decision_flips"] <= 1
    assert abs(made["accuracy"]["tflite"]["auc"] - made["accuracy"]["quantized"]["auc"]) < 0.003
    assert made["targets"]["edgetpu"]["exact"] is False and made["device"] == "coral"
    assert (work / "RUN/edgetpu/model.tflite").is_file()
    found = {m["name"]: m for m in made["metrics"] if m["target"] == "edgetpu"}
    assert found["streamed_bytes"]["value"] == 0 and found["latency_usb_us"]["low"] > 0
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
    made = shown(capsys, *COMPILE, "--bits", "12")
    assert any("the float network was calibrated in its stead" in said for said in made["findings"])
    assert ("int8 program", "tflite") not in pairs(made)
    assert made["accuracy"]["tflite"]["auc"] > 0.9 * made["accuracy"]["quantized"]["auc"]


def test_one_program_goes_to_several_targets(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csim_build, "FLAGS", ("-O0", "-w", "-pthread"))
    order = [*COMPILE, "--target", "hls", "--io", "io_parallel"]
    made = shown(capsys, *order, "--device", "coral", "--device", "zcu104")
    assert made["device"] == "coral, xczu7ev"
    assert pairs(made)["engine", "csim"]["bit_identical"]
    assert pairs(made)["int8 program", "tflite"]["bit_identical"]
    assert set(made["accuracy"]) == {"float", "quantized", "csim", "tflite"}


def test_the_compiler_is_run_where_it_is(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*COMPILE, "--synth"]) == 3
    assert "edgetpu_compiler" in capsys.readouterr().err
    held = build.package([build.E(2, b"", (b"i" * 32,)), build.E(1, b"p" * 192, (b"j" * 16,))])
    (work / "ready.tflite").write_bytes(build.compiled(held))
    monkeypatch.setenv("FAKE_EDGETPU_COMPILED", str(work / "ready.tflite"))
    monkeypatch.setenv(compiler.COMPILER.override, str(FAKE))
    made = shown(capsys, *COMPILE)  # it takes seconds, so nobody has to ask
    cached = {
        m["origin"]: m["value"]
        for m in made["metrics"]
        if (m["target"], m["name"], m["layer"]) == ("edgetpu", "cached_bytes", None)
    }
    assert cached["synthesised"] == 192 and cached["estimated"] != 192
    mapping = json.loads((work / "RUN/edgetpu/mapping_compiled.json").read_text())
    assert mapping["cached_bytes"] == 192
    assert any("edgetpu_compiler 16.0" in said for said in made["findings"])
