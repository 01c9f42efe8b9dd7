# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A board with a design on it: frames go out over the serial line, results come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol as Interface

import numpy as np

from edgeinfer.base.errors import InputError, ToolFailedError
from edgeinfer.base.extras import require_extra
from edgeinfer.targets.rtl.board.messages import AnswerError, Protocol, read_protocol
from quantization.fixed import Ints

TRIES = 3  # a message that was damaged on its way is sent again
PATIENCE_SECONDS = 2.0


class SerialLine(Interface):
    """A serial line: pyserial's, or anything that is used alike."""

    def write(self, content: bytes, /) -> object:
        """Send."""

    def read(self, count: int, /) -> bytes:
        """Receive so many bytes; fewer, if they do not come in time."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""


def run(
    protocol: Protocol, line: SerialLine, raw: Mapping[str, Ints], tries: int = TRIES
) -> dict[str, Ints]:
    """Results for a batch of raw frames, one after the other."""
    counts = {len(raw[channel.name]) for channel in protocol.inputs}
    if len(counts) != 1 or 0 in counts:
        raise InputError("The inputs differ in their number of frames, or have none.")
    found = [
        _one(protocol, line, {name: values[number] for name, values in raw.items()}, tries)
        for number in range(counts.pop())
    ]
    return {
        channel.name: np.stack([frame[channel.name] for frame in found])
        for channel in protocol.outputs
    }


def _one(
    protocol: Protocol, line: SerialLine, frame: Mapping[str, Ints], tries: int
) -> dict[str, Ints]:
    message = protocol.message(frame)
    for left in reversed(range(tries)):
        line.reset_input_buffer()
        line.write(message)
        try:
            return protocol.results(line.read)
        except AnswerError:
            if not left:
                raise
    raise AnswerError("No frame was sent.")


@contextmanager
def open_board(folder: Path, port: str) -> Iterator[tuple[Protocol, SerialLine]]:
    """The board at a serial port (/dev/ttyUSB0, COM3) with the design of a target's folder."""
    protocol = read_protocol(folder)
    require_extra("board", "A serial port")
    import serial

    try:
        line = serial.Serial(port, protocol.baud, timeout=PATIENCE_SECONDS)
    except serial.SerialException as error:
        raise ToolFailedError(
            f"The serial port {port} cannot be used: {error}.", hint="Is the board plugged in?"
        ) from None
    with line:
        yield protocol, line
