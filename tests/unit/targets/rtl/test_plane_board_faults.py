# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Boards with designs for whole planes on which something is wrong: one paragraph says what, and
the design's folder is as before."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from edgeinfer.base.errors import EdgeInferError, ToolFailedError, UsageError
from edgeinfer.targets.boards import driver as drivers
from edgeinfer.targets.boards import messages
from edgeinfer.targets.boards import serial as lines
from edgeinfer.targets.boards.messages import checksum
from edgeinfer.targets.boards.wrapper import DEPLOY
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.board_port import needs_serial, port_before
from tests.support.broken_board import broken_board
from tests.support.random_programs import random_inputs
from tests.unit.targets.rtl.test_plane import small_tagger
from tests.unit.targets.rtl.test_plane_board import SERIAL, ZYNQ


@dataclass
class ShellAnswers:
    """A line to a board whose shell answers every message with a status, and with nothing else."""

    status: int
    come: io.BytesIO = field(default_factory=io.BytesIO)

    def write(self, content: bytes, /) -> None:
        body = bytes([self.status, 0, 0])
        self.come = io.BytesIO(bytes([messages.ANSWER]) + body + checksum(body))

    def read(self, count: int, /) -> bytes:
        return self.come.read(count)

    def reset_input_buffer(self) -> None:
        self.come = io.BytesIO()


def refusal(folder: Path, settings: RtlSettings, port: str | None = None) -> EdgeInferError:
    """What is said where patches go to the board of a folder, which stays as it is."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(EdgeInferError) as caught:
        RtlTarget().ask_board(folder, random_inputs(small_tagger(), 1, 3), settings, port=port)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert caught.value.hint or isinstance(caught.value, ToolFailedError)
    return caught.value


@needs_serial
def test_a_pulled_cable_another_design_and_a_busy_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import serial

    monkeypatch.setattr(lines, "PATIENCE_SECONDS", 0.3)
    RtlTarget().emit(small_tagger(), SERIAL).write(tmp_path)
    right, other = ShellAnswers(messages.WRONG_LENGTH), ShellAnswers(messages.OTHER_DESIGN)
    with port_before(right, messages=1) as port:  # it goes after the question for the design
        message = refusal(tmp_path, SERIAL, port).message
        assert "The line to the board" in message or "did not answer" in message
    monkeypatch.setattr(lines, "PATIENCE_SECONDS", 120.0)
    with port_before(right) as port:
        assert "Frame 1 of 1" in refusal(tmp_path, SERIAL, port).message
    with port_before(other) as port:
        assert "another design is on the board" in refusal(tmp_path, SERIAL, port).message
        with serial.Serial(port, exclusive=True):
            assert "in use by another program" in refusal(tmp_path, SERIAL, port).message


def test_a_board_with_dma_on_which_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RtlTarget().emit(small_tagger(), ZYNQ).write(tmp_path)
    missing = refusal(tmp_path, ZYNQ)
    assert "pynq is not here" in missing.message and "run_planes.py" in missing.hint
    monkeypatch.setattr(drivers, "_is_here", lambda package: True)
    no_bitstream = refusal(tmp_path, ZYNQ)
    assert isinstance(no_bitstream, UsageError) and "There is no bitstream" in no_bitstream.message
    (tmp_path / DEPLOY / "design.bit").write_bytes(b"bits")
    described = json.loads((tmp_path / DEPLOY / "design.json").read_text())
    identity = int(described["identity"], 16)
    bare = broken_board(identity)
    vars(bare)["Overlay"] = lambda path, download=True: object()
    cases: tuple[tuple[ModuleType, str], ...] = (
        (bare, "Another design is in design.bit"),
        (broken_board(identity ^ 1), "Another design is loaded"),
        (broken_board(identity, busy=True), "DMA channel not idle"),
        (broken_board(identity), "A DMA reported an error; the design was reset"),
    )
    for package, words in cases:
        monkeypatch.setitem(sys.modules, "pynq", package)
        error = refusal(tmp_path, ZYNQ)
        assert isinstance(error, ToolFailedError) and words in error.message
        assert "driver" not in sys.modules
