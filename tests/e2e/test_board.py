# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``board``: samples through the pins of a simulated board, and ports that are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main
from tests.support import small_models as small
from tests.support.command_line import design_figures, shown
from tests.support.rtl_designs import needs_verilator


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small model."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    return tmp_path


BOARD = ["--board", "ulx3s", "--clock-mhz", "20"]  # few cycles for a bit, so quickly simulated
COMPILE = ["compile", "net.keras", "--target", "rtl", *BOARD, "--bits", "6"]


@needs_verilator
def test_a_simulated_board_is_the_engine_bit_for_bit(work: Path, capsys) -> None:
    small.data(work)
    made = shown(capsys, *COMPILE, "--data", "data.npz", "-o", "RUN")
    order = ["board", "run", "RUN", "--simulate", "--data", "data.npz", "--samples", "3"]
    found = shown(capsys, *order, "-o", "scores.npz")
    assert found["pair"] == ["engine", "board"] and found["bit_identical"]
    assert found["samples"] == 3 and "simulated from pin to pin" in found["where"]
    measured = {metric["name"]: metric for metric in found["metrics"]}
    told = design_figures(made, "rtl")
    assert measured["latency_cycles"]["value"] == told["latency_cycles"]
    assert {metric["origin"] for metric in measured.values()} == {"simulated"}
    (scores,) = np.load("scores.npz").values()
    assert scores.shape[0] == 3
    before = Path("RUN/result.json").read_bytes()
    assert shown(capsys, "board", "test", "RUN", "--simulate", "--samples", "5")["bit_identical"]
    assert Path("RUN/result.json").read_bytes() == before
    for word in ("0", "-3"):
        assert main(["board", "run", "RUN", "--simulate", "--samples", word]) == 2
    assert main(["board", "run", "RUN", "--simulate", "--port", "x"]) == 2
    capsys.readouterr()
    Path("RUN/rtl/board/ei_board_top.v").write_text("module ei_board_top; endmodule\n")
    assert main(order) == 2  # code that someone has changed is not run
    assert "ei_board_top.v is not as emitted" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("serial") is None, reason="pyserial is not installed")
def test_what_is_missing_is_told_in_a_paragraph(work: Path, capsys, monkeypatch) -> None:
    assert main([*COMPILE, "-o", "RUN"]) == 0
    before = Path("RUN/result.json").read_bytes()
    monkeypatch.setenv("PATH", "")
    for words, code, said in (
        (["run", "RUN", "--port", "/dev/nowhere"], 4, "/dev/nowhere cannot be used"),
        (["run", "RUN"], 4, "No ULX3S with an LFE5U-85F is plugged in"),
        (["test", "RUN"], 4, "or add --simulate"),
        (["load", "RUN"], 2, "edgeinfer board build RUN"),
    ):
        capsys.readouterr()
        assert main(["board", *words]) == code
        told = capsys.readouterr().err
        assert said in told and len([x for x in told.splitlines() if "error" in x]) == 1
    build = Path("RUN/rtl/build")
    build.mkdir()
    (build / "ulx3s-design.bit").write_bytes(b"bits")
    assert main(["board", "load", "RUN"]) == 3
    assert "openFPGALoader" in capsys.readouterr().err
    assert Path("RUN/result.json").read_bytes() == before


def test_a_run_without_a_board_is_refused(work: Path, capsys) -> None:
    assert main(["compile", "net.keras", "--target", "none", "-o", "RUN"]) == 0
    assert main(["board", "run", "RUN", "--simulate"]) == 2
    assert "--target rtl --board ulx3s" in capsys.readouterr().err
    names = [entry["name"] for entry in shown(capsys, "board", "list")["boards"]]
    assert "ulx3s" in names


def test_a_board_and_another_device_are_refused_together(work: Path, capsys) -> None:
    assert main([*COMPILE, "--device", "pynq-z2", "-o", "RUN"]) == 2
    said = capsys.readouterr().err
    assert "ulx3s carries lfe5u-85f" in said and "--device lfe5u-85f" in said
    assert not (work / "RUN").exists()
