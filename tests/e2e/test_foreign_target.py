# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A target of another package, brought by an entry point alone, is as good as ours everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import small_models as small
from tests.support.places import ROOT

STUDY = """
[study]
model = "net.keras"
data = "data.npz"
target = "toy"
strategy = "grid"
refine = false
[space]
beat_ns = [1.0, 4.0]
[[objective]]
figure = "toy.latency_us"
"""


def call(*tokens: str, code: int = 0) -> str:
    """The command line in another process, where the toy target's package is installed."""
    path = os.pathsep.join([str(ROOT / "tests" / "toy_target"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "edgeinfer", *tokens],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def document(*tokens: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(call(*tokens, "--json").partition("\n}")[0] + "\n}")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data and a run for the toy target."""
    folder = tmp_path_factory.mktemp("toy")
    small.classifier(folder)
    small.data(folder)
    order = ("--bits", "6", "--data", str(folder / "data.npz"), "--target", "toy")
    call("compile", str(folder / "net.keras"), *order, "--beat-ns", "3", "-o", str(folder / "run"))
    return folder


def test_compile_emits_simulates_and_records_it(work: Path) -> None:
    result = json.loads((work / "run" / "result.json").read_text())
    assert result["targets"]["toy"]["settings"] == {"beat_ns": 3.0}
    assert result["targets"]["toy"]["title"] == "Toy"
    pairs = {tuple(entry["pair"]): entry for entry in result["agreement"]}
    assert pairs["engine", "toysim"]["bit_identical"]
    beats = next(m for m in result["metrics"] if m["name"] == "beats")
    latency = next(m for m in result["metrics"] if m["name"] == "latency_us")
    assert latency["value"] == pytest.approx(beats["value"] * 3 / 1000)
    assert (work / "run" / "toy" / "program.asm").read_text().startswith("input")


def test_its_options_stand_in_a_group_of_their_own_and_need_the_target(work: Path) -> None:
    assert "Target toy" in call("compile", "--help")
    asked = ("--target", "none", "--beat-ns", "3", "-o", str(work / "other"))
    refused = call("compile", str(work / "net.keras"), *asked, code=2)
    assert "--beat-ns is an option of the target toy" in refused


def test_estimate_report_compare_and_check_know_its_figures(work: Path) -> None:
    model = str(work / "net.keras")
    result = document("estimate", model, "--bits", "6", "--target", "toy", "--beat-ns", "5")
    assert {metric["name"] for metric in result["metrics"]} == {"beats", "latency_us"}
    call("report", str(work / "run"))
    page = (work / "run" / "report.html").read_text()
    assert "toy simulation" in page and "Toy" in page
    shown = call("compare", str(work / "run"), str(work / "run"))
    assert "Toy" in shown
    gates = work / "gates.toml"
    gates.write_text("toy.beats = '<= 1e9'\ntoysim.bit_identical = true\n")
    assert "passed" in call("check", str(work / "run"), "--gates", str(gates))
    earlier_run = work / "earlier.json"  # an earlier run that took fewer beats
    earlier_run.write_text((work / "run" / "result.json").read_text())
    earlier = json.loads(earlier_run.read_text())
    (beats,) = (metric for metric in earlier["metrics"] if metric["name"] == "beats")
    beats |= dict.fromkeys(("value", "low", "high"), beats["value"] / 2)
    earlier_run.write_text(json.dumps(earlier))
    checked = call("check", str(work / "run"), "--baseline", str(earlier_run), code=1)
    assert "toy.beats" in checked


def test_a_study_varies_its_settings(work: Path) -> None:
    (work / "study.toml").write_text(STUDY)
    call("sweep", str(work / "study.toml"), "-o", str(work / "study"), "--jobs", "1")
    told = json.loads((work / "study" / "study.json").read_text())
    times = sorted(trial["figures"]["toy.latency_us"] for trial in told["trials"])
    assert times[1] == pytest.approx(4 * times[0])
