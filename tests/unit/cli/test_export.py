# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``export``: what a shell sees, and the check that the manual shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.ir import store
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.readers import load
from tests.support.exported import by_runtime
from tests.support.places import ROOT
from tests.support.random_programs import random_inputs

MANUAL = ROOT / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled reference model."""
    folder = tmp_path_factory.mktemp("run") / "jets"
    assert (
        main(["compile", "jet-tagger", "--target", "none", "--bits", "6", "-o", str(folder)]) == 0
    )
    return folder


def run_command(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 0) -> tuple[str, str]:
    """What the verb says on stdout and stderr."""
    capsys.readouterr()
    assert main(["export", *tokens]) == code
    output = capsys.readouterr()
    return output.out, output.err


@pytest.mark.parametrize("kind", ["integer-onnx", "qdq", "qonnx"])
def test_a_run_is_written_in_one_line(
    kind: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "net.onnx"
    out, err = run_command(capsys, str(run_folder), "--format", kind, "-o", str(path))
    program = store.load((run_folder / "program.npz").read_bytes())
    assert err == ""
    line, *findings = out.splitlines()
    assert line.startswith(f"{path}: ") and f" as {kind}, " in line
    assert program.digest[:12] in line and f"{path.stat().st_size:,} bytes" in line
    assert len(findings) == (kind == "qdq")
    if kind == "qonnx":
        assert load(path).recipe.activations
        return
    raw = random_inputs(program, 1, 5)
    result = by_runtime(path.read_bytes(), raw)
    for name, values in Engine(program).run(raw).items():
        np.testing.assert_array_equal(result[name], values)


def test_json_is_all_that_stdout_gets(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    out, err = run_command(capsys, str(run_folder), "--format", "qonnx", "-o", str(path), "--json")
    document = json.loads(out)
    program = store.load((run_folder / "program.npz").read_bytes())
    assert document["program"] == program.digest
    assert (document["format"], document["output"]) == ("qonnx", str(path))
    assert document["size_bytes"] == path.stat().st_size
    assert [entry["name"] for entry in document["inputs"]] == [op.name for op in program.inputs]
    assert document["inputs"][0]["fractional_bits"] == program.inputs[0].type.frac
    assert str(path) in err


def test_a_model_is_lowered_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.onnx"
    out, _ = run_command(capsys, "jet-tagger", "--format", "integer-onnx", "-o", str(path))
    assert "16 bits were taken" in out
    assert path.is_file()


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["{tmp}", "--format", "qdq", "-o", "{tmp}/net.onnx"], "is not a run folder"),
        (["{tmp}/gone.onnx", "--format", "qdq", "-o", "{tmp}/net.onnx"], "no file"),
        (["{run}", "--format", "qdq", "-o", "{tmp}/net.tflite"], ".onnx"),
        (["{run}", "--format", "tflite", "-o", "{tmp}/net.onnx"], "integer-onnx"),
        (["{run}", "-o", "{tmp}/net.onnx"], "--format"),
    ],
)
def test_wrong_arguments_say_what_is_right(
    tokens: list[str],
    said: str,
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [token.format(tmp=tmp_path, run=run_folder) for token in tokens]
    out, err = run_command(capsys, *filled, code=2)
    assert out == "" and said in err
    assert not list(tmp_path.iterdir())


def test_the_manuals_check_holds(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    assert "edgeinfer import" not in script and "import edgeinfer" not in script
    monkeypatch.chdir(tmp_path)
    for kind, name in (("integer-onnx", "integers"), ("qdq", "qdq")):
        command = ["export", str(run_folder), "--format", kind, "-o", f"runs/jets-{name}.onnx"]
        assert main(command) == 0
    results: dict[str, object] = {}
    exec(compile(script, str(MANUAL), "exec"), results)
    exact = results["exact"]
    assert isinstance(exact, dict) and exact
    assert all(len(np.unique(values)) > 10 for values in exact.values())
