# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model compiled for the HLS target from the command line: tampered with, ended, resumed."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.cli.app import main
from edgeinfer.targets.hls.csim import build
from tests.support import small_models as small
from tests.support.command_line import default_signals, shown
from tests.support.places import ROOT
from tests.support.sampling import sample_cases

COMPILE = ["compile", "net.keras", "--bits", "8", "--data", "data.npz", "-o", "RUN"]
HLS = ["--target", "hls", "--io", "io_parallel"]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile without optimisation."""
    monkeypatch.setattr(build, "FLAGS", ("-O0", "-w", "-pthread"))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and data."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


def cached(result: Any) -> dict[str, bool]:
    """Which steps were found done."""
    return {step["name"]: step["cached"] for step in result["steps"]}


@pytest.mark.slow
@pytest.mark.parametrize("io", ["io_stream", "io_parallel"])
def test_a_number_for_each_sample_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], io: str
) -> None:
    """As an autoencoder has a score, and a waveform its width."""
    keras = pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    x = keras.Input((6,), name="x")
    width = keras.ops.max(x, axis=-1) - keras.ops.min(x, axis=-1)
    rest = keras.ops.mean(keras.ops.square(x - keras.layers.Dense(6)(x)), axis=-1)
    y = keras.ops.where(width > 1.5, keras.ops.sqrt(rest + 0.1), 1.0 - width)
    keras.Model(x, y).save("net.keras")
    np.savez("data.npz", x=np.random.default_rng(0).normal(size=(40, 6)))
    document = shown(capsys, *COMPILE, "--target", "hls", "--io", io)
    agreements = {tuple(entry["pair"]): entry["bit_identical"] for entry in document["agreement"]}
    assert agreements["engine", "csim"] and all(agreements.values())


def test_a_run_from_compilation_to_a_fault_and_back(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shown(capsys, *COMPILE, *HLS)
    pairs = {tuple(entry["pair"]): entry for entry in document["agreement"]}
    assert pairs["engine", "csim"]["bit_identical"] and pairs["engine", "csim"]["samples"] == 60
    before = document["accuracy"]["float"]
    floats = {name: before[name] for name in ("auc", "accuracy")}  # on the same 60 samples
    assert document["accuracy"]["csim"] == {**document["accuracy"]["quantized"], "floats": floats}
    steps = ["load", "lower", "emit-hls", "simulate", "evaluate", "csim"]
    assert [step["name"] for step in document["steps"]] == steps
    values = {entry["path"]: entry["sha256"] for entry in document["artefacts"]}
    assert values["hls/firmware/defines.h"] == sha256_of(work / "RUN/hls/firmware/defines.h")

    again = shown(capsys, *COMPILE, *HLS)  # nothing is done twice
    assert all(cached(again).values())
    del document["steps"], again["steps"]
    assert document == again

    program = next((work / "RUN/hls/csim").glob("csim-*"))
    compiled = program.stat().st_mtime_ns
    more = shown(capsys, "simulate", "RUN", "--stage", "engine,csim", "--samples", "30")
    assert {tuple(entry["pair"]): entry["samples"] for entry in more["agreement"]} == {
        ("interpret", "engine"): 30,
        ("engine", "csim"): 30,
    }
    assert program.stat().st_mtime_ns == compiled

    defines = work / "RUN/hls/firmware/defines.h"
    text = defines.read_text()
    assert "AP_RND_CONV" in text
    defines.write_text(text.replace("AP_RND_CONV", "AP_TRN"))
    changed = ["simulate", "RUN", "--stage", "csim", "--data", "data.npz"]
    assert main(changed) == 2  # code that someone has changed is not run unasked
    assert "defines.h is not as emitted" in capsys.readouterr().err
    wrong = shown(capsys, *changed, "--edited", code=5)
    (entry,) = [e for e in wrong["agreement"] if e["pair"] == ["engine", "csim"]]
    assert not entry["bit_identical"] and entry["max_abs_diff"] > 0
    parted = entry["first_divergence"]
    assert parted["value"].startswith("hidden") and parted["op"] == "Requant"
    assert "AP_TRN" in parted["got_type"] and parted["cause"].startswith("rounding mode")
    assert any("defines.h is not as emitted" in output for output in wrong["findings"])
    assert main(["explain", "RUN"]) == 0
    output = capsys.readouterr().out
    assert "rounding mode" in output and f"sample {parted['sample']}" in output
    assert shown(capsys, "explain", "RUN")["agreement"][-1]["first_divergence"] == parted

    mended = shown(capsys, *COMPILE, *HLS)  # compiling again writes what was changed
    assert cached(mended) == dict.fromkeys(steps, True) | {
        "emit-hls": False, "simulate": False, "csim": False,
    } or not cached(mended)["emit-hls"]  # fmt: skip
    assert defines.read_text() == text
    assert main(["explain", "RUN"]) == 0
    assert "engine = csim" in capsys.readouterr().out


def test_a_stage_of_a_target_that_is_not_there(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMPILE) == 0
    assert main(["simulate", "RUN", "--stage", "csim"]) == 2
    assert "--target hls" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["--io", "io_stream"], "--io is an option of the target hls"),
        (["--target", "hsl"], "Did you mean 'hls'"),
        (["--target", "hls", "--reuse", "0"], "reuse factor of 0"),
        (["--target", "hls", "--clock-ns", "0.01"], "clock of 0.01 ns"),
        (["--target", "hls", "--backend", "Vitsi"], "Vitsi"),
    ],
)
def test_wrong_options_leave_no_folder(
    work: Path, capsys: pytest.CaptureFixture[str], tokens: list[str], said: str
) -> None:
    assert main([*COMPILE, *tokens]) == 2
    assert said in capsys.readouterr().err
    assert not (work / "RUN").exists()


def test_no_compiler_is_code_3(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEINFER_CXX", "/nowhere/g++")
    assert main([*COMPILE, *HLS]) == 3
    assert "EDGEINFER_CXX" in capsys.readouterr().err
    monkeypatch.delenv("EDGEINFER_CXX")
    assert cached(shown(capsys, *COMPILE, *HLS))["emit-hls"]  # the project was there already


def test_a_compiler_that_fails_is_code_4_and_its_line_is_quoted(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMPILE) == 0
    compiler = work / "bad-g++"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 1.2.3 && exit 0\n'
        "echo one; echo 'main.cpp:7: error: the moon is full'; exit 1\n"
    )
    compiler.chmod(0o755)
    environment = pytest.MonkeyPatch()
    environment.setenv("EDGEINFER_CXX", str(compiler))
    try:
        assert main([*COMPILE, *HLS]) == 4
    finally:
        environment.undo()
    message = capsys.readouterr().err
    assert "the moon is full" in message and "compile.log" in message
    assert not list((work / "RUN/hls/csim").glob("csim-*"))


def test_a_full_disk_is_code_4_and_the_run_goes_on(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse_for_space(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse_for_space)
        assert main([*COMPILE, *HLS]) == 4
    assert "no room is left" in capsys.readouterr().err
    result = shown(capsys, *COMPILE, *HLS)
    assert cached(result)["emit-hls"] and not cached(result)["csim"]


def test_a_folder_that_may_not_be_written_is_code_4(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMPILE) == 0
    (work / "RUN/hls").write_text("in the way")
    assert main([*COMPILE, *HLS]) == 4
    assert "is a file, where a folder is needed" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from edgeinfer.targets.hls.csim import build as csim_build
from edgeinfer.cli.app import main

def killed(found, arguments, **named):
    if "-o" in arguments:
        arguments[-1].write_bytes(b"half")
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return right(found, arguments, **named)

right, csim_build.tools.run = csim_build.tools.run, killed
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.usefixtures("work")
def test_a_twin_in_another_folder_displaces_no_program() -> None:
    for folder in ("RUN", "TWIN"):
        assert main([*COMPILE[:-1], folder, *HLS]) == 0
    program = next(Path("RUN/hls/csim").glob("csim-*"))
    compiled = program.stat().st_mtime_ns
    assert main(["simulate", "RUN", "--stage", "csim", "--samples", "30"]) == 0
    assert program.stat().st_mtime_ns == compiled


@pytest.mark.parametrize("how", sample_cases(["SIGKILL", "SIGINT"], 2))
def test_a_compilation_that_is_ended_leaves_no_half_program(
    work: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, how, *COMPILE, *HLS],
        preexec_fn=default_signals,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (-signal.SIGKILL if how == "SIGKILL" else 130)
    assert "Traceback" not in done.stderr
    assert not list((work / "RUN/hls/csim").glob("csim-*"))
    result = shown(capsys, *COMPILE, *HLS)
    assert cached(result)["emit-hls"] and not cached(result)["csim"]
    assert len([path for path in (work / "RUN/hls/csim").iterdir() if "csim" in path.name]) == 1


def test_oneapi_is_simulated_with_gcc(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = shown(capsys, *COMPILE, *HLS, "--backend", "oneAPI")
    assert {tuple(entry["pair"]): entry["bit_identical"] for entry in document["agreement"]} == {
        ("interpret", "engine"): True,
        ("engine", "csim"): True,
    }
    header = next((work / "RUN/hls/src/firmware/weights").glob("w*.h"))
    text = header.read_text()
    start = text.index("{{") + 2
    header.write_text(f"{text[:start]}0.125{text[text.index(',', start) :]}")
    wrong = ["simulate", "RUN", "--stage", "csim", "--data", "data.npz", "--edited"]
    parted = shown(capsys, *wrong, code=5)["agreement"][-1]["first_divergence"]
    assert parted["cause"].startswith("weights differ") and header.name in parted["cause"]


def test_distributed_arithmetic_wants_its_package(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("da4ml") is not None:
        pytest.skip("da4ml is installed")
    assert main([*COMPILE, *HLS, "--strategy", "distributed_arithmetic"]) == 3
    assert "pip install 'da4ml" in capsys.readouterr().err


def test_what_has_no_equal_is_listed_whole(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [
        small.dense("first", 4, "tanh"),
        small.dense("second", 4, "sigmoid"),
    ]
    rng = np.random.default_rng(1)
    values = {
        "first/0": rng.normal(size=(6, 4)).astype("f4"), "first/1": np.zeros(4, "f4"),
        "second/0": rng.normal(size=(4, 4)).astype("f4"), "second/1": np.zeros(4, "f4"),
    }  # fmt: skip
    (work / "bent.keras").write_bytes(small.archive(small.sequential(*layers), values))
    order = ["compile", "bent.keras", "--bits", "8", "--target", "hls", "--backend", "Libero"]
    assert main([*order, "-o", "B"]) == 2
    message = capsys.readouterr().err
    assert "hls4ml writes no io_stream project for Libero; choose io_parallel" in message
    assert not (work / "B/hls").exists()
