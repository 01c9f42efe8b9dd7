# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a model file to a run folder and back, as a user does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.cli.app import main
from edgeinfer.evaluate import judge
from edgeinfer.ir import store
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.report.result import Result, from_json
from quantization.fixed import quantize
from quantization.recipe import Recipe
from tests.support import small_models as small
from tests.support.command_line import default_signals, shown
from tests.support.places import ROOT


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data and a recipe."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    assert main(["quantize", "net.keras", "--bits", "8", "--data", "data.npz", "-o", "r.toml"]) == 0
    return tmp_path


COMPILE = ["compile", "net.keras", "--recipe", "r.toml", "--data", "data.npz", "-o", "RUN"]


def test_a_run_folder_has_a_name_by_default_and_ends_with_the_verdict(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMPILE[:-2]) == 0
    *_, accuracy, exactness, hardware, written = capsys.readouterr().out.splitlines()
    assert accuracy.startswith("accuracy  AUC: ") and "95 % confidence" in accuracy
    assert exactness == "exactness Interpreter and engine yield the same integers in 60 samples."
    assert hardware.startswith("hardware  Fit not known")
    assert written == "written   runs/net/result.json"
    assert main([*COMPILE[:-2], "-v"]) == 0
    assert "agreement interpret = engine: bit-identical" in capsys.readouterr().out


def test_result_json_is_what_compile_prints(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = shown(capsys, *COMPILE)
    text = (work / "RUN" / "result.json").read_text()
    assert printed == json.loads(text)
    result = from_json(text, "result.json")
    assert isinstance(result, Result) and result.schema_version == 2
    assert [step.name for step in result.steps] == ["load", "lower", "simulate", "evaluate"]
    assert result.task == "classification"
    float_scores, quantized = result.accuracy["float"], result.accuracy["quantized"]
    assert float_scores.samples == quantized.samples == 60
    assert float_scores.accuracy is not None and quantized.accuracy is not None
    assert abs(float_scores.accuracy - quantized.accuracy) < 0.1
    (agreement,) = result.agreement
    assert agreement.bit_identical and agreement.samples == 60
    for artefact in result.artefacts:
        assert sha256_of(work / "RUN" / artefact.path) == artefact.sha256
    shipped = {artefact.path for artefact in result.artefacts}
    assert shipped == {"model/net.keras", "program.npz", "program.txt", "recipe.toml"}


def test_the_program_of_the_folder_gives_the_scores_of_the_result(work: Path) -> None:
    assert main(COMPILE) == 0
    result = from_json((work / "RUN" / "result.json").read_text(), "result.json")
    program = store.load((work / "RUN" / "program.npz").read_bytes())
    assert program.digest == result.program.digest
    recipe = Recipe.from_toml((work / "RUN" / "recipe.toml").read_text())
    data = np.load(work / "data.npz")
    quantizer = recipe.activation("x")
    assert quantizer is not None
    raw = {"x": quantize(data["x"], quantizer)}
    (scores,) = results(program, interpret(program, raw)).values()
    hits = float(np.mean(scores.argmax(axis=1) == data["y"]))
    assert result.accuracy["quantized"].accuracy == pytest.approx(hits)


def test_a_second_time_nothing_is_done(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = shown(capsys, *COMPILE)
    second = shown(capsys, *COMPILE)
    assert all(step["cached"] for step in second["steps"])
    assert not any(step["cached"] for step in first["steps"])
    del first["steps"], second["steps"]
    assert first == second


def test_another_recipe_repeats_what_depends_on_it(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(capsys, *COMPILE)
    assert main(["quantize", "net.keras", "--bits", "5", "--data", "data.npz", "-o", "r.toml"]) == 0
    steps = shown(capsys, *COMPILE)["steps"]
    assert {step["name"]: step["cached"] for step in steps} == {
        "load": True,
        "lower": False,
        "simulate": False,
        "evaluate": False,
    }


def test_simulate_keeps_the_accuracy_and_says_what_was_drawn(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled = shown(capsys, *COMPILE)
    again = shown(capsys, "simulate", "RUN", "--samples", "10", "--stage", "interpret")
    assert again["agreement"][0]["samples"] == 10
    assert again["accuracy"] == compiled["accuracy"]
    assert any("drawn evenly from the input type" in finding for finding in again["findings"])
    bits = {m["name"]: m["value"] for m in again["metrics"] if m["layer"] == "hidden"}
    assert 0 < bits["observed_bits"] <= bits["accumulator_bits"]


def test_an_altered_program_is_not_simulated(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMPILE) == 0
    (work / "RUN" / "program.npz").write_bytes(b"PK")
    capsys.readouterr()
    assert main(["simulate", "RUN"]) == 2
    assert "a file of it was changed" in capsys.readouterr().err


def test_a_disagreement_is_code_5_and_leaves_the_result(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = judge.Engine.run

    def wrong(self: Any, *arguments: Any, **named: Any) -> Any:
        found = right(self, *arguments, **named)
        return {name: values + (name != "x") for name, values in found.items()}

    monkeypatch.setattr(judge.Engine, "run", wrong)
    result = shown(capsys, *COMPILE, code=5)
    assert result["agreement"][0]["bit_identical"] is False
    assert result["agreement"][0]["first_divergence"]["value"].startswith("hidden")
    assert (work / "RUN" / "result.json").exists()


def test_an_interrupted_run_is_resumed(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(judge, "try_stages", interrupted)
        assert main(COMPILE) == 130
    output = capsys.readouterr()
    assert output.out.count("\n") >= 0 and "resume with the same command" in output.err
    assert not (work / "RUN" / "result.json").exists()
    steps = shown(capsys, *COMPILE)["steps"]
    assert [step["cached"] for step in steps] == [True, True, False, False]


KILLED = """
import os, signal, sys
from edgeinfer.run import steps as run_steps
from edgeinfer.cli.app import main

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

run_steps.show = killed
main(sys.argv[1:])
"""


def test_a_killed_run_is_resumed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *COMPILE],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL
    steps = shown(capsys, *COMPILE)["steps"]
    assert [step["cached"] for step in steps] == [True, False, False, False]


def test_a_real_interrupt_ends_with_130(work: Path) -> None:
    code = (
        "import os, signal, sys; from edgeinfer.run import steps as run_steps\n"
        "from edgeinfer.cli.app import main\n"
    )
    code += "run_steps.show = lambda _: os.kill(os.getpid(), signal.SIGINT)\n"
    code += "sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *COMPILE],
        cwd=work,
        preexec_fn=default_signals,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_code_4(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    def refuse_for_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse_for_space)
        capsys.readouterr()
        assert main(COMPILE) == 4
    assert "no room is left" in capsys.readouterr().err
    left = {path.name for path in (work / "RUN").rglob("*") if path.is_file()}
    assert left == {"lock", "log.txt"}


def test_quantize_tells_both_stages_and_writes_what_it_says(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shown(
        capsys, "quantize", "net.keras", "--bits", "8", "--data", "data.npz", "-o", "s.toml"
    )
    assert set(document) >= {"model", "recipe", "metrics", "findings"}
    assert {"auc", "accuracy"} <= set(document["metrics"]["float"])
    assert document["metrics"]["quantized"]["auc"] > 0.8
    written = Recipe.from_toml((work / "s.toml").read_text())
    assert written.digest == document["recipe"]["digest"]


def test_a_given_recipe_goes_on_top(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "mine.toml").write_text('version = 1\n[activations]\nx = "fixed<12,4,TRN,SAT>"\n')
    tokens = ["--recipe", "mine.toml", "--data", "data.npz", "-o", "s.toml"]
    document = shown(capsys, "quantize", "net.keras", "--bits", "6", *tokens)
    assert document["recipe"]["activations"]["x"] == "fixed<12,4,TRN,SAT>"
    assert document["recipe"]["weights"]["out/kernel"].startswith("fixed<6,")


@pytest.mark.parametrize("model", ["nowhere.keras", "jett-tagger", "data.npz"])
def test_what_is_no_model_leaves_no_run_folder(work: Path, model: str) -> None:
    assert main(["compile", model, "-o", "new"]) == 2
    assert not (work / "new").exists()


@pytest.mark.parametrize("output", ["r.toml", "q.keras"])
def test_what_quantize_judged_is_what_compile_makes(
    work: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    tokens = ["net.keras", "--bits", "5", "--data", "data.npz", "-o", output]
    document = shown(capsys, "quantize", *tokens)
    model = ["net.keras", "--recipe", output] if output == "r.toml" else [output]
    made = shown(capsys, "compile", *model, "--data", "data.npz", "-o", "A")
    formats = [sorted(found["recipe"]["weights"].values()) for found in (document, made)]
    assert formats[0] == formats[1]
    judged, tried = document["metrics"]["quantized"], made["accuracy"]["quantized"]
    assert tried["auc"] == judged["auc"] and tried["accuracy"] == judged["accuracy"]
