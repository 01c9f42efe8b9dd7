# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``board``: samples through the pins of a simulated board, and ports that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.cli.app import main
from tests.support import small_models as small
from tests.support.command_line import shown
from tests.support.rtl_designs import needs_verilator


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small model."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    return tmp_path


COMPILE = ["compile", "net.keras", "--target", "rtl", "--board", "ulx3s", "--bits", "6"]


@needs_verilator
def test_a_simulated_board_is_the_engine_bit_for_bit(work: Path, capsys) -> None:
    small.data(work)
    assert main([*COMPILE, "--data", "data.npz", "-o", "RUN"]) == 0
    found = shown(capsys, "board", "RUN", "--samples", "3", "--data", "data.npz")
    assert found["pair"] == ["engine", "board"] and found["bit_identical"]
    assert found["samples"] == 3 and found["port"] is None
    assert main(["board", "RUN", "--port", "/dev/nowhere"]) == 4
    assert "/dev/nowhere cannot be used" in capsys.readouterr().err
    assert main(["board", "RUN", "--samples", "0"]) == 2


def test_a_run_without_a_board_is_refused(work: Path, capsys) -> None:
    assert main(["compile", "net.keras", "--target", "none", "-o", "RUN"]) == 0
    assert main(["board", "RUN"]) == 2
    assert "--target rtl --board ulx3s" in capsys.readouterr().err


def test_a_board_and_another_device_are_refused_together(work: Path, capsys) -> None:
    assert main([*COMPILE, "--device", "pynq-z2", "-o", "RUN"]) == 2
    said = capsys.readouterr().err
    assert "ulx3s carries lfe5u-85f" in said and "--device lfe5u-85f" in said
    assert not (work / "RUN").exists()
