# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What `fit` says is what `compile` finds."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.cli.app import main
from tests.support.command_line import design_figures, shown
from tests.support.small_models import legacy_h5

SLOWEST_SECONDS = 360.0  # of the processor: three minutes of two cores, busy with others or not


def build(
    table: dict[str, Any], row: dict[str, Any], capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    """Run a row's command: its figures lie inside the row's intervals."""
    tool, *tokens = shlex.split(row["command"])
    assert tool == "edgeinfer"
    result = shown(capsys, *tokens)
    score = row["score"]
    found = result["accuracy"][stage][score["name"]]
    assert score["low"] <= found <= score["high"]
    assert found == pytest.approx(score["value"], abs=1e-9)
    latency = design_figures(result, row["target"])["latency_us"]
    low, high = row["latency_us"]["low"], row["latency_us"]["high"]
    expected = row["latency_us"]["value"]
    assert (
        (low if low is not None else expected)
        <= latency
        <= (high if high is not None else expected)
    )


def test_rows_are_what_their_commands_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "jet-tagger", "-n", "400", "-o", "d.npz"]) == 0
    table = shown(capsys, "fit", "jet-tagger", "--device", "zcu104", "--data", "d.npz",
                  "--bits", "6,12", "--loss", "0.05", "--html", "fit.html")  # fmt: skip
    assert [(row["target"], row["formats"]) for row in table["rows"]] == [
        (target, bits) for target in ("hls", "rtl", "edgetpu") for bits in ("6 bits", "12 bits")
    ]
    assert table["rows"][5]["misses"] == ["computes with 8 bits"]
    best = table["rows"][table["recommended"]]
    assert table["command"] == best["command"] and "--device zcu104" in best["command"]
    assert "recommended" in (tmp_path / "fit.html").read_text(encoding="utf-8")
    build(table, table["rows"][4], capsys, "tflite")


def test_samples_and_devices_that_say_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    legacy_h5(tmp_path)
    assert main(["fit", "net.h5"]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["fit", "jet-tagger", "--bits", "6,x"]) == 2
    assert "--bits 4,6,8" in capsys.readouterr().err
    assert main(["fit", "jet-tagger", "--search", "."]) == 2
    assert "edgeinfer search" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_pooled_tagger_is_fitted_in_time_and_built_as_recommended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    began = sum(os.times()[:4])
    table = shown(capsys, "fit", "hit-tagger-pooled", "--device", "zcu104")
    assert sum(os.times()[:4]) - began < SLOWEST_SECONDS
    build(table, table["rows"][table["recommended"]], capsys, "quantized")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_users_h5_with_npy_data_is_fitted_and_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    legacy_h5(tmp_path)
    rng = np.random.default_rng(3)
    np.save("X_test.npy", rng.normal(size=(500, 6)).astype(np.float32))
    np.save("y_test.npy", rng.integers(0, 3, 500))
    table = shown(capsys, "fit", "net.h5", "--device", "pynq-z2", "--data", "X_test.npy",
                  "--loss", "0.1")  # fmt: skip
    build(table, table["rows"][table["recommended"]], capsys, "quantized")
