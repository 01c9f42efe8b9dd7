# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a shell sees: exit codes, one stream for results and one for words, and speed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer.base.errors import (
    DisagreementError,
    GateError,
    ToolFailedError,
    ToolMissingError,
    UsageError,
)
from edgeinfer.cli import app
from edgeinfer.cli.app import main, run_guarded
from tests.support.places import ROOT


def seconds(*arguments: str) -> float:
    """Processor time, the best of a few, for the machine may be busy."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))  # of children
    return min(times)


def test_help_answers_at_once() -> None:
    bare = seconds("-c", "pass")
    helped = seconds("-m", "edgeinfer", "--help")
    assert helped < max(0.3, 12 * bare)  # a busy machine slows both


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgeinfer.cli.app import main; main(['--help']); "
        "print([m for m in ('numpy', 'cyclopts', 'pydantic', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("tokens", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_verb(
    tokens: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tokens) == 0
    output = capsys.readouterr().out
    assert all(f"edgeinfer {verb}" in output for verb in app.VERBS)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from edgeinfer.base.version import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("verb", list(app.VERBS))
def test_each_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: edgeinfer {verb} ")


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["quantise"], 'Did you mean "quantize"'),
        (["synthesise", "RUN"], "Unknown command"),
        (["quantize", "m.keras", "--bitz", "6", "-o", "q.keras"], "--bits"),
        (["quantize", "m.keras", "--bits", "six", "-o", "q.keras"], "six"),
        (["quantize", "m.keras", "--method", "qad", "-o", "q.keras"], "qad"),
        (["quantize", "m.keras", "--epochs", "3", "-o", "q.keras"], "--method qat"),
        (["quantize", "jet-tagger", "--method", "qat", "-o", "r.toml"], "r.keras"),
        (["quantize", "jet-tagger", "--percentile", "99", "-o", "r.toml"], "--calibration"),
        (["search", "jet-tagger", "-o", "r.toml"], "a folder"),
        (["search", "jet-tagger", "--budget", "1.5", "-o", "R"], "--budget"),
        (["search", "jet-tagger", "--epochs", "3", "-o", "R"], "--method qat"),
        (["search", "jet-tagger", "--trials", "0", "-o", "R"], "at least one trial"),
        (["compile", "m.keras", "--target", "hsl", "-o", "RUN"], "hls"),
        (["compile"], "MODEL"),
        (["simulate", "RUN", "--samples", "many"], "many"),
        (["simulate", "RUN", "--stage", "engin"], "Did you mean 'engine'"),
        (["compile", "a", "b", "-o", "RUN"], "b"),
    ],
)
def test_usage_errors_are_one_paragraph_and_code_2(
    tokens: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tokens) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("edgeinfer: error: ") and output.err.count("\n") == 1
    assert words in output.err


def raising(error: BaseException) -> int:
    def run() -> int:
        raise error

    return run_guarded(run)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GateError("x"), 1),
        (UsageError("x"), 2),
        (ToolMissingError("x"), 3),
        (ToolFailedError("x"), 4),
        (DisagreementError("x"), 5),
        (MemoryError(), 4),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 4),
        (OSError(errno.EIO, "Input/output error"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_failure_has_its_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == code
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert "Traceback" not in output.err


@pytest.mark.parametrize(
    ("verb", "way"),
    [("compile", "resume with the same command"), ("event", "starts again from the beginning")],
)
def test_an_interruption_says_how_to_go_on(
    verb: str, way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(tokens: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "dispatch", interrupt)
    assert main([verb]) == 130
    assert way in capsys.readouterr().err


def test_a_bug_of_ours_asks_for_a_report_and_keeps_the_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert raising(KeyError("odd")) == 70
    message = capsys.readouterr().err
    assert "bug of edgeinfer (KeyError: 'odd')" in message and "report" in message
    path = Path(message.split("the file ")[1].strip().rstrip("."))
    assert "Traceback" in path.read_text() and "KeyError" in path.read_text()
    path.unlink()


def test_messages_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    raising(UsageError("evil\x1b[2Jname\nsecond line"))
    assert capsys.readouterr().err == "edgeinfer: error: evil?[2Jname second line\n"


def test_a_name_that_is_no_unicode_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", os.fsdecode(b"caf\xe9.keras"), "-o", "RUN"]) == 2
    assert "Unicode" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    code = "import sys; from edgeinfer.cli.app import main; sys.exit(main(['doctor']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    os.close(writer)
    assert done.returncode == app.BROKEN_PIPE
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_doctor_tells_json_on_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    output = capsys.readouterr()
    checks = {check["name"]: check for check in json.loads(output.out)["checks"]}
    assert checks["Python"]["state"] == "ok"
    assert checks["[train]"]["found"].startswith("for training")
    assert {"g++", "make", "vivado", "chromium", "disk", "memory"} <= set(checks)
    missing = [name for name, check in checks.items() if check["state"] == "problem"]
    assert code == (3 if missing else 0)


def test_completion_is_installed_where_the_shell_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert main(["--install-completion"]) == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    script = max((path.read_text() for path in written), key=len)
    assert "compile" in script and "--latency-us" in script
    assert "Completion for bash" in capsys.readouterr().out
    assert main(["--install-completion", "csh"]) == 2
