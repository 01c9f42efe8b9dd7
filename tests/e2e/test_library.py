# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Each verb of the command line from Python, with the same answer."""

from __future__ import annotations

import inspect
import json
import pydoc
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeinfer
from edgeinfer.base.errors import UsageError
from edgeinfer.cli.app import VERBS, main
from edgeinfer.ir.bases import Accumulates
from edgeinfer.library.answers import LibraryAnswer
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.run.learned import lower_file
from tests.support import small_models as small

FUNCTIONS = {
    "board": ("build_board", "list_boards", "load_board", "run_board"),
    "check": ("check",),
    "compare": ("compare",),
    "compile": ("compile",),
    "convert": ("convert",),
    "data": ("draw_data",),
    "devices": ("devices",),
    "doctor": ("doctor",),
    "estimate": ("estimate", "teach_estimates"),
    "detect": ("detect",),
    "event": ("tag", "tag_files"),
    "export": ("export_onnx",),
    "fit": ("fit",),
    "inspect": ("inspect_file",),
    "map": ("map_files",),
    "models": ("models",),
    "quantize": ("quantize", "fine_tune", "learn"),
    "report": ("opened_run", "opened_study"),  # whose `report` writes the page
    "search": ("search",),
    "serve": ("open_server",),
    "simulate": ("simulate",),
    "sweep": ("run_study",),
    "tailor": ("tailor",),
    "train": ("train",),
}
REASONS = {
    "demo": "it shows the command line, by steps that each have a function",
    "explain": "it prints `run.result.agreement`",
    "infer": "a client of Triton sends arrays: tritonclient, or `run.predict` without a server",
    "bench-serve": "it measures a server from a process of its own",
}
STUDY = """
[study]
model = "net.keras"
data = "data.npz"
strategy = "grid"
trials = 4
refine = false

[space]
[space.bits]
"*" = [3, 4, 6, 8]

[[objective]]
figure = "auc_drop"
[[objective]]
figure = "hls.lut_vsynth"
"""
MORE = ("load", "predict")  # what only Python needs: a shell has files


def test_each_verb_has_a_function_or_a_reason() -> None:
    assert not set(FUNCTIONS) & set(REASONS)
    assert {*FUNCTIONS, *REASONS} == set(VERBS)
    public = {name for names in FUNCTIONS.values() for name in names}
    assert public | set(MORE) == set(edgeinfer.__all__)


@pytest.mark.parametrize("name", edgeinfer.__all__)
def test_each_function_says_what_it_takes_and_gives(name: str) -> None:
    function = getattr(edgeinfer, name)
    assert inspect.getdoc(function)
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    assert set(hints) == {*parameters, "return"}
    assert not any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def told(capsys: pytest.CaptureFixture[str], *tokens: str) -> typing.Any:
    assert main([*tokens, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def untimed(value: typing.Any) -> typing.Any:
    """A document without what differs from run to run: times, and where it was written."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in ("seconds", "output")}
        return {key: untimed(each) for key, each in kept.items()}
    return [untimed(each) for each in value] if isinstance(value, list) else value


def rows_of(document: dict[str, typing.Any]) -> list[dict[str, typing.Any]]:
    """All trials of a search."""
    return [*document["front"], *document["others"]]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("work")
def test_python_answers_as_the_command_line_does(capsys: pytest.CaptureFixture[str]) -> None:
    model = edgeinfer.load("net.keras", "data.npz")
    result = edgeinfer.estimate(model, "zcu104", target="rtl", bits=6, options={"throughput": 1e6})
    expected = told(capsys, "estimate", "net.keras", "--target", "rtl", "--device", "zcu104",
                  "--bits", "6", "--throughput", "1e6", "--data", "data.npz")  # fmt: skip
    assert json.loads(json.dumps(result.document)) == expected and "lut" in repr(result)
    assert edgeinfer.devices() == told(capsys, "devices")
    assert edgeinfer.models() == told(capsys, "models")
    assert dict(edgeinfer.list_boards().document) == told(capsys, "board", "list")
    names = [check["name"] for check in told(capsys, "doctor")["checks"]]
    assert [check.name for check in edgeinfer.doctor()] == names


@pytest.mark.usefixtures("work")
def test_files_are_written_and_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert edgeinfer.convert("data.npz", "data.h5", shuffle=True) == len(np.load("data.npz")["x"])
    run = edgeinfer.load("net.keras", "data.h5").quantize(6).compile("runs/n")
    result = edgeinfer.export_onnx(run, "q.onnx", format="qonnx")
    assert result.path.is_file() and result.program.digest == run.result.program.digest
    page = run.report(labels=["electron", "muon", "pion"], figures="paper", latency_us=5)
    assert "pion" in page.read_text() and list(Path("paper").glob("*.pdf"))
    Path("gates.toml").write_text("bit_identical = true\n")
    assert all(str(gate.outcome) == "passed" for gate in edgeinfer.check(run, "gates.toml"))
    with pytest.raises(UsageError, match="no report"):
        edgeinfer.teach_estimates(run)
    with pytest.raises(UsageError, match="no design for a board"):
        edgeinfer.run_board(run, simulate=True)
    with pytest.raises(UsageError, match="not a valid TensorFlow Lite file"):
        edgeinfer.inspect_file("data.npz")
    with pytest.raises(UsageError, match=r"no setting 'reus'.*reuse"):
        edgeinfer.estimate(edgeinfer.load("net.keras"), options={"reus": 2})


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_a_study_and_a_search_are_objects() -> None:
    Path("study.toml").write_text(STUDY)
    done = edgeinfer.run_study("study.toml", jobs=1)
    assert len(done.trials) == 4 and 1 <= len(done.front) <= 4
    assert all(row["error"] == "" for row in done.trials)
    again = edgeinfer.opened_study("runs/study")
    assert again.trials == done.trials and again.report().is_file()
    model = edgeinfer.load("net.keras", "data.npz")
    result = edgeinfer.search(model, "widths", budget=0.8, trials=6)
    assert result.front and (result.best_model is None or result.best_model.path.is_file())


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_python_learns_for_hardware_as_the_command_line_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("keras", reason="the extra [train] is not installed")
    model = edgeinfer.load("net.keras", "data.npz")
    chosen = edgeinfer.learn(
        model, "python", cost="folded", device="zcu104", points=2, epochs=1,
        at_most={"lut": 1e6},
    )  # fmt: skip
    expected = told(capsys, "quantize", "net.keras", "--method", "learned", "--cost", "folded",
                    "--device", "zcu104", "--points", "2", "--epochs", "1", "--at-most", "lut=1e6",
                    "--data", "data.npz", "-o", "shell")  # fmt: skip
    result = json.loads(Path("python/front.json").read_text())
    assert untimed(result) == untimed(expected)
    assert result["cost"] == "folded_luts" and "dsp" in result["points"][0]["costs"]
    digests = [lower_file(path).program.digest for path in (chosen.path, Path(expected["output"]))]
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_python_trains_in_widths_as_the_command_line_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("keras", reason="the extra [train] is not installed")
    model = edgeinfer.load("net.keras", "data.npz")
    fewer = QatSettings(epochs=1, prune_multipliers=0.5)
    name_in = model.graph.inputs[0].name
    Path("input.toml").write_text(
        f'version = 1\n[activations]\n{name_in} = "fixed<9,4,RND_CONV,SAT>"\n'
    )
    cases: list[tuple[str, QatSettings, dict[str, Any], list[str]]] = [
        ("pruned", fewer, {"device": "zcu104"},
         ["--prune-multipliers", "0.5", "--device", "zcu104"]),
        ("whole", QatSettings(epochs=1), {}, []),
        ("ranged", QatSettings(epochs=1),
         {"calibration": "percentile", "percentile": 99.0, "input_bits": 10},
         ["--calibration", "percentile", "--percentile", "99", "--input-bits", "10"]),
        ("stated", QatSettings(epochs=1), {"recipe": "input.toml"}, ["--recipe", "input.toml"]),
    ]  # fmt: skip
    inputs = {}
    for name, training, options, words in cases:
        trained = edgeinfer.fine_tune(
            model, f"{name}.keras", 6, bits_of={"hidden": 4}, training=training, **options
        )
        told(capsys, "quantize", "net.keras", "--method", "qat", "--bits", "6", "--epochs", "1",
             "--bits-of", "hidden=4", *words, "--data", "data.npz",
             "-o", "shell.keras")  # fmt: skip
        programs = [lower_file(path).program for path in (trained.path, Path("shell.keras"))]
        assert programs[0].digest == programs[1].digest
        inputs[name] = programs[0].inputs[0].type.bits
        widths = {op.weight_type.bits for op in programs[0].ops if isinstance(op, Accumulates)}
        assert widths == {4, 6}, name
    pruned = lower_file(Path("pruned.keras")).program.parameters
    assert pruned < lower_file(Path("whole.keras")).program.parameters
    with pytest.raises(UsageError, match="changes nothing"):
        edgeinfer.fine_tune(model, "n.keras", device="zcu104")
    assert inputs == {"pruned": 6, "whole": 6, "ranged": 10, "stated": 9}
    with pytest.raises(UsageError, match="calibration percentile"):
        edgeinfer.fine_tune(model, "n.keras", percentile=99.0)


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_python_searches_trainings_as_the_command_line_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("keras", reason="the extra [train] is not installed")
    model = edgeinfer.load("net.keras", "data.npz")
    result = edgeinfer.search(
        model, "python", target="rtl", device="zcu104", unroll="full", bits=5, trials=4, seed=3,
        tolerance=0.05, training=QatSettings(epochs=1),
    )  # fmt: skip
    expected = told(capsys, "search", "net.keras", "--target", "rtl", "--device", "zcu104",
                    "--unroll", "full", "--bits", "5", "--trials", "4", "--seed", "3",
                    "--tolerance", "0.05", "--epochs", "1", "--data", "data.npz",
                    "-o", "shell")  # fmt: skip
    assert untimed(json.loads(json.dumps(result.document))) == untimed(expected)
    assert {"qat", "learned"} <= {row["point"]["way"] for row in rows_of(expected)}
    best = result.best_model
    assert best is not None and f"{expected['chosen']} chosen" in repr(result)
    other = Path("shell/models", best.path.name)
    assert lower_file(best.path).program.digest == lower_file(other).program.digest


def test_data_are_drawn_as_the_command_line_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "jet-tagger", "-o", "d.npz", "-n", "50"]) == 0
    expected = np.load("d.npz")
    result = edgeinfer.draw_data("jet-tagger", 50)
    assert set(result) == set(expected.files)
    assert all((result[name] == expected[name]).all() for name in result)


def test_what_an_answer_shows_holds_no_control_characters() -> None:
    shown = repr(LibraryAnswer({}, ("a name \x1b[31m", "\x9bwith\r colours")))
    assert len(shown.splitlines()) == 2
    assert not set(shown) & {"\x1b", "\x9b", "\r"}


def test_help_shows_every_function_of_the_library() -> None:
    text = pydoc.render_doc(edgeinfer, renderer=pydoc.plaintext)
    assert [name for name in edgeinfer.__all__ if f"\n    {name}(" not in text] == []
