# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A board with a design on it: frames go out over the serial line, results come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol as Interface
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import EdgeInferError, InputError, ToolFailedError, UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.targets.boards.boards import SerialBoard
from edgeinfer.targets.boards.messages import (
    OTHER_DESIGN,
    AnswerError,
    FrameAnswer,
    Protocol,
)
from edgeinfer.targets.boards.records import RecordLayout
from quantization.fixed import Ints

TRIES = 3  # a message that was damaged on its way is sent again
PATIENCE_SECONDS = 2.0
Answer = TypeVar("Answer")


class SerialLine(Interface):
    """A serial line: pyserial's, or anything that is used alike."""

    def write(self, content: bytes, /) -> object:
        """Send."""

    def read(self, count: int, /) -> bytes:
        """Receive so many bytes; fewer, if they do not come in time."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""


@dataclass(frozen=True, slots=True)
class LineResults:
    """Raw outputs for a batch of frames, and the cycles that the design took for each."""

    outputs: Mapping[str, Ints]
    cycles: NDArray[np.int64]


def run(
    protocol: Protocol,
    line: SerialLine,
    raw: Mapping[str, Ints],
    *,
    tries: int = TRIES,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LineResults:
    """Results for a batch of raw frames."""
    counts = {len(raw[channel.name]) for channel in protocol.inputs}
    if len(counts) != 1 or 0 in counts:
        raise InputError("The inputs differ in their number of frames, or have none.")
    total = counts.pop()
    frames = ({name: values[k] for name, values in raw.items()} for k in range(total))
    answers = ask_frames(
        protocol, line, frames, total, tries=tries, report_progress=report_progress
    )
    return LineResults(
        {
            channel.name: np.stack([answer.outputs[channel.name] for answer in answers])
            for channel in protocol.outputs
        },
        np.array([answer.cycles for answer in answers], np.int64),
    )


def run_patches(
    protocol: Protocol,
    layout: RecordLayout,
    line: SerialLine,
    raw: Mapping[str, Ints],
    *,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LineResults:
    """Results for raw patches by a design for whole planes, in which they lie side by side; the
    cycles are those of the planes."""
    patches = raw[layout.input]
    total = layout.tiles.count_planes(len(patches))
    frames = (
        {layout.plane.name: layout.lay_plane(plane)} for plane in layout.tiles.lay_planes(patches)
    )
    answers = ask_frames(protocol, line, frames, total, report_progress=report_progress)
    records = [answer.plane for answer in answers if answer.plane is not None]
    cycles = np.array([answer.cycles for answer in answers], np.int64)
    return LineResults(layout.outputs_of_patches(len(patches), records), cycles)


def ask_frames(
    protocol: Protocol,
    line: SerialLine,
    frames: Iterable[Mapping[str, Ints]],
    total: int,
    *,
    tries: int = TRIES,
    report_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[FrameAnswer]:
    """The answers to frames, one after the other, after the board was asked which design it
    carries."""
    _ask_design(protocol, line, tries)
    answers: list[FrameAnswer] = []
    for number, frame in enumerate(frames, start=1):
        try:
            answers.append(_try_message(line, protocol.message(frame), tries, protocol.read_answer))
        except AnswerError as error:
            message = f"Frame {number} of {total:,}: {error.message}"
            raise AnswerError(message, hint=error.hint) from None
        report_progress(number, total)
    return answers


def _ask_design(protocol: Protocol, line: SerialLine, tries: int) -> None:
    """An error unless the board carries the protocol's design: a message without a payload reaches
    the shell alone, which says whether the design's number is its own."""
    answer = _try_message(line, protocol.question(), tries, protocol.read_status)
    if answer == OTHER_DESIGN:
        raise protocol.refusal(answer)


def _try_message(
    line: SerialLine,
    message: bytes,
    tries: int,
    read_answer: Callable[[Callable[[int], bytes]], Answer],
) -> Answer:
    for left in reversed(range(tries)):
        line.reset_input_buffer()
        line.write(message)
        try:
            return read_answer(line.read)
        except AnswerError:
            if not left:
                raise
    raise AnswerError("Nothing was sent.")


@contextmanager
def open_port(port: str, baud: int) -> Iterator[SerialLine]:
    """The board at a serial port (/dev/ttyUSB0, COM3)."""
    require_extra("board", "A serial port")
    import serial

    try:
        line = serial.Serial(port, baud, timeout=PATIENCE_SECONDS, exclusive=True)
    except serial.SerialException as error:
        raise _unusable(port, error) from None
    with line:
        try:
            yield line
        except EdgeInferError:
            raise
        except Exception as error:  # pyserial lets through whatever the system calls it
            if not _is_of_port(error):
                raise
            raise ToolFailedError(
                f"The line to the board at {port} broke: {error}.",
                hint="Plug the cable in again, and repeat the command; the run is as before.",
            ) from None


def _is_of_port(error: Exception) -> bool:
    """Whether an error is the operating system's about a device: termios' is no OSError."""
    return isinstance(error, OSError) or type(error).__module__ == "termios"


def _unusable(port: str, error: OSError) -> ToolFailedError:
    message = str(error)
    if "exclusively lock" in message:
        return ToolFailedError(
            f"The serial port {port} is in use by another program.",
            hint="End that program (a terminal, another run), and repeat the command.",
        )
    if "Permission denied" in message:
        return ToolFailedError(
            f"The serial port {port} may not be opened by this user.",
            hint="Join the port's group (on Debian: sudo adduser $USER dialout) and log in anew.",
        )
    return ToolFailedError(
        f"The serial port {port} cannot be used: {message}.", hint="Is the board plugged in?"
    )


def find_port(on: SerialBoard) -> str:
    """The port of the only board of that kind that is plugged in."""
    if not on.usb:
        raise UsageError(
            f"The {on.title} has no serial port on USB of its own, so none can be looked for.",
            hint="Name the port of the adapter on its header with --port, or add --simulate.",
        )
    require_extra("board", "A serial port")
    from serial.tools import list_ports

    there = [port for port in list_ports.comports() if port.vid is not None]
    fitting = [port.device for port in there if f"{port.vid:04x}:{port.pid:04x}" in on.usb]
    if len(fitting) == 1:
        return str(fitting[0])
    if fitting:
        raise UsageError(
            f"There are {len(fitting)} boards that may be the {on.title}: {', '.join(fitting)}.",
            hint="Name one with --port.",
        )
    others = f" Serial ports are: {', '.join(port.device for port in there)}." if there else ""
    raise ToolFailedError(
        f"No {on.title} is plugged in: no serial port on USB is of the kind "
        f"{' or '.join(on.usb)}.{others}",
        hint="Plug the board in, or name its port with --port, or add --simulate.",
    )
