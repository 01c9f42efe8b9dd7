# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Frames for a board, and what it answers: over the serial line, or simulated from pin to pin."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeinfer.targets.rtl.board.boards import board
from edgeinfer.targets.rtl.board.messages import read_protocol
from edgeinfer.targets.rtl.board.serial import open_board, run
from edgeinfer.targets.rtl.board.simulate import SentBytes, exchange_bytes
from quantization.fixed import Ints

PATIENCE_CYCLES = 5_000_000  # that a simulated board may think before it answers


def ask(folder: Path, name: str, raw: Mapping[str, Ints], port: str | None) -> dict[str, Ints]:
    """Results of the design in a target's folder, on the board of that name; simulated without a
    port."""
    if port is not None:
        with open_board(folder, port) as (protocol, line):
            return run(protocol, line, raw)
    protocol = read_protocol(folder)
    count = len(next(iter(raw.values())))
    frames = [{name: values[number] for name, values in raw.items()} for number in range(count)]
    sent = [SentBytes(protocol.message(frame)) for frame in frames]
    answers = io.BytesIO(exchange_bytes(folder, board(name), sent, PATIENCE_CYCLES))
    found = [protocol.results(answers.read) for _ in frames]
    return {c.name: np.stack([frame[c.name] for frame in found]) for c in protocol.outputs}
