# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A serial port of the system with a simulated board behind it, whose cable can be pulled."""

from __future__ import annotations

import importlib.util
import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgeinfer.targets.boards.boards import Board
from edgeinfer.targets.boards.messages import read_protocol
from edgeinfer.targets.boards.serial import SerialLine
from edgeinfer.targets.rtl.board.simulate import simulated_line

needs_serial = pytest.mark.skipif(
    importlib.util.find_spec("serial") is None, reason="pyserial is not installed"
)
HEAD, CHECK = 5, 2  # bytes of a message before and after its payload


@contextmanager
def board_port(folder: Path, on: Board, *, messages: int = 1_000_000) -> Iterator[str]:
    """The name of a port behind which a folder's design answers; after so many messages the cable
    is pulled."""
    protocol = read_protocol(folder)
    with (
        simulated_line(folder, on, protocol, frames=1, patience=50_000) as line,
        port_before(line, messages=messages) as port,
    ):
        yield port


@contextmanager
def port_before(line: SerialLine, *, messages: int = 1_000_000) -> Iterator[str]:
    """The same in front of any line."""
    outer, inner = os.openpty()
    tty.setraw(inner)
    bridge = threading.Thread(target=_carry, args=(outer, line, messages), daemon=True)
    bridge.start()
    try:
        yield os.ttyname(inner)
    finally:
        os.close(inner)
        bridge.join(timeout=10)


def _carry(outer: int, line: SerialLine, messages: int) -> None:
    """Whole messages to the board, and its answers back."""
    with suppress(OSError, ValueError):
        for _ in range(messages):
            head = _exactly(outer, HEAD)
            line.write(head + _exactly(outer, int.from_bytes(head[3:], "little") + CHECK))
            answer = line.read(4)
            os.write(outer, answer + line.read(int.from_bytes(answer[2:], "little") + CHECK))
    os.close(outer)


def _exactly(port: int, count: int) -> bytes:
    result = b""
    while len(result) < count:
        part = os.read(port, count - len(result))
        if not part:
            raise ValueError("the host has closed the port")
        result += part
    return result
