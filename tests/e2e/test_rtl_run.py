# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model compiled for the RTL target from the command line: cycles, folding, faults, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeinfer.cli.app import main
from tests.support import small_models as small
from tests.support.command_line import design_figures, shown
from tests.support.places import ROOT

COMPILE = ["compile", "net.keras", "--bits", "6", "--data", "data.npz", "-o", "RUN"]
RTL = ["--target", "rtl", "--device", "ulx3s-85f"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and data."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


def values(result: Any, origin: str | None = None) -> dict[str, float]:
    """The design's figures."""
    return design_figures(result, "rtl", origin)


@pytest.mark.usefixtures("work")
def test_a_design_is_made_simulated_and_estimated(capsys: pytest.CaptureFixture[str]) -> None:
    document = shown(capsys, *COMPILE, *RTL)
    pairs = {tuple(entry["pair"]): entry for entry in document["agreement"]}
    assert pairs["engine", "rtl"]["bit_identical"] and pairs["engine", "rtl"]["samples"] == 60
    before = document["accuracy"]["float"]
    floats = {name: before[name] for name in ("auc", "accuracy")}  # on the same samples
    assert document["accuracy"]["rtl"] == {**document["accuracy"]["quantized"], "floats": floats}
    assert document["device"] == "lfe5u-85f" and document["targets"]["rtl"]["stage"] == "rtl"
    assert {"latency_cycles", "ii_cycles", "lut", "ff", "dsp"} <= set(values(document))
    again = shown(capsys, *COMPILE, *RTL)
    assert all(step["cached"] for step in again["steps"])

    top = next(Path("RUN/rtl").rglob("*weights*.mem"))
    words = top.read_text().split()
    flipped = [f"{int(word, 16) ^ 1:0{len(word)}x}" if word.isalnum() else word for word in words]
    top.write_text("\n".join(flipped) + "\n")
    changed = ["simulate", "RUN", "--stage", "rtl", "--data", "data.npz"]
    assert main(changed) == 2  # code that someone has changed is not run unasked
    assert top.name in capsys.readouterr().err
    wrong = shown(capsys, *changed, "--edited", code=5)
    (entry,) = [e for e in wrong["agreement"] if e["pair"] == ["engine", "rtl"]]
    assert not entry["bit_identical"]
    assert top.name in entry["first_divergence"]["cause"]


PLANES = ["hit-tagger-pooled-6bit.keras", "--target", "rtl", "--device", "lifcl-40", "--event"]


def test_whole_planes_are_estimated_and_refused_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "reports" / "reference" / "quantization")
    result = values(shown(capsys, "estimate", *PLANES, "480x1000"))
    assert result["plane_cycles_least"] == (480 + 7) * (1000 + 8)  # a place sees 8 x 8 pixels
    assert result["event_cycles"] > 32 * result["plane_cycles_least"]
    assert result["bram18"] <= 84
    assert main(["compile", *PLANES, "4800x1000", "-o", str(tmp_path / "RUN")]) == 2
    message = capsys.readouterr().err
    assert "4800 wires x 1000 pixels takes" in message and "lifcl-40 has 84" in message
    assert main(["estimate", *PLANES, "480 by 1000"]) == 2
    assert "WIRESxPIXELS: 480x1000" in capsys.readouterr().err


@pytest.mark.usefixtures("work")
def test_goals_fold_a_design(capsys: pytest.CaptureFixture[str]) -> None:
    order = ["estimate", "net.keras", "--bits", "6", *RTL]
    slow = values(shown(capsys, *order, "--throughput", "100000"))
    fast = values(shown(capsys, *order, "--throughput", "5000000"))
    assert fast["ii_cycles"] < slow["ii_cycles"] and fast["lut"] > slow["lut"]
    assert main([*order, "--latency-us", "0.00001"]) == 2
    assert main([*order, "--route-tries", "3"]) == 2
    assert "Unknown option: --route-tries" in capsys.readouterr().err
    assert main([*order, "--fold", "hidden"]) == 2
    assert "LAYER=PExSIMD" in capsys.readouterr().err


@pytest.mark.slow
def test_what_does_not_fit_is_refused_with_the_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = ["estimate", "hit-tagger", "--bits", "6", "--device", "lfe5u-85f"]
    assert main(order) == 2
    message = capsys.readouterr().err
    assert "Mbit" in message and "memories of lfe5u-85f hold 3.8 Mbit" in message


@pytest.mark.usefixtures("work")
def test_a_network_is_unrolled_wholly_and_a_board_gets_its_shell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = ["compile", "net.keras", "--bits", "4", "--data", "data.npz", *RTL]
    document = shown(capsys, *order, "--unroll", "full", "-o", "whole")
    assert document["agreement"][-1]["bit_identical"] and values(document)["ii_cycles"] == 1
    document = shown(capsys, *order, "--unroll", "never", "--board", "ulx3s", "-o", "board")
    assert document["agreement"][-1]["bit_identical"]
    top = Path("board/rtl/board")
    assert {"ulx3s.lpf", "board.json", "Makefile"} <= {path.name for path in top.iterdir()}


@pytest.mark.usefixtures("work")
def test_what_was_synthesised_for_one_part_is_not_said_of_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = shown(capsys, *COMPILE, *RTL, "--synth")
    assert values(first, "synthesised")["lut"] > 0
    kept = shown(capsys, "simulate", "RUN", "--stage", "engine")
    assert values(kept, "synthesised") == values(first, "synthesised")
    other = shown(capsys, *COMPILE, "--target", "rtl", "--device", "lifcl-40")
    assert values(other, "synthesised") == {}
