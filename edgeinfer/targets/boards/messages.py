# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What goes over a board's serial line: a frame as a message, and an answer as results.

A message is A5, the design's number, the payload's length, the payload and a CRC; an answer is 5A,
a status, the payload's length, the payload and a CRC. Numbers have the low byte first. The payload
is a frame of each input (or output), in order; each beat in whole bytes. After the outputs follow
the cycles that the design took for the frame. Of a design for whole planes, a frame is a plane, and
its records are the answer's outputs.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import InputError, ToolFailedError, UsageError
from edgeinfer.targets.boards.channels import Channel
from edgeinfer.targets.boards.records import PlaneRecords, RecordLayout
from quantization.fixed import Ints

DESCRIPTION = "board/board.json"
START, ANSWER = 0xA5, 0x5A
FRAMING_BYTES = 7  # of a message around its payload, and about those of an answer
MOST_BYTES = 0xFFFF  # of a payload
CYCLE_BYTES = 4  # of the number at the end of an answer's payload
GOOD, WRONG_CHECK, WRONG_LENGTH, OTHER_DESIGN = range(4)
REASONS = {
    WRONG_CHECK: "the check of the message was wrong when it arrived",
    WRONG_LENGTH: "the message had another length than the design's frames",
    OTHER_DESIGN: "another design is on the board",
}
REMEDIES = {
    OTHER_DESIGN: "Load the bitstream of this run: edgeinfer board load RUN.",
}


class AnswerError(ToolFailedError):
    """What the board says about a message it did not take; or that it says nothing."""


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What a board says to a frame: raw outputs by name, and the cycles from the first beat that
    its design took to the last that it gave."""

    outputs: Mapping[str, Ints]
    cycles: int
    plane: PlaneRecords | None = None  # of a design for whole planes, which has no other outputs


@dataclass(frozen=True, slots=True)
class Protocol:
    """A design's number, its clock, its inputs and its outputs."""

    number: int
    baud: int
    divider: int  # cycles of a bit
    clock_mhz: float
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    records: RecordLayout | None = None  # of a design for whole planes, in the outputs' place

    def payload_in(self) -> int:
        """Bytes of a frame of all inputs."""
        return sum(channel.frame_bytes for channel in self.inputs)

    def payload_out(self) -> int:
        """Bytes of a frame of all outputs, and of its cycles; of a plane's records, the most."""
        if self.records is not None:
            return min(self.records.most_bytes, MOST_BYTES - CYCLE_BYTES) + CYCLE_BYTES
        return sum(channel.frame_bytes for channel in self.outputs) + CYCLE_BYTES

    @property
    def frames_a_second(self) -> float:
        """What the line can carry: a message goes out before its answer comes back, and a byte
        takes ten bits."""
        return self.baud / 10 / (2 * FRAMING_BYTES + self.payload_in() + self.payload_out())

    def message(self, frame: Mapping[str, Ints]) -> bytes:
        """One frame of raw integers, as the board wants it."""
        payload = b"".join(channel.pack_frame(frame[channel.name]) for channel in self.inputs)
        body = self.number.to_bytes(2, "little") + len(payload).to_bytes(2, "little") + payload
        return bytes([START]) + body + checksum(body)

    def question(self) -> bytes:
        """A message without a payload, that only asks whether the design is the right one."""
        body = self.number.to_bytes(2, "little") + bytes(2)
        return bytes([START]) + body + checksum(body)

    def refusal(self, status: int) -> AnswerError:
        """What a status other than good means."""
        reason = REASONS.get(status, f"status {status}")
        return AnswerError(f"The board took no frame: {reason}.", hint=REMEDIES.get(status, ""))

    def read_status(self, read: Callable[[int], bytes]) -> int:
        """The status of the next answer, which has no payload."""
        status, payload = self._read(read)
        if payload:
            raise AnswerError(f"The board gave {len(payload)} bytes to a question without any.")
        if status not in (WRONG_LENGTH, OTHER_DESIGN):
            raise self.refusal(status)
        return status

    def read_answer(self, read: Callable[[int], bytes]) -> FrameAnswer:
        """The next answer; AnswerError if it is none, or a refusal."""
        status, payload = self._read(read)
        if status != GOOD:
            raise self.refusal(status)
        wrong = len(payload) > self.payload_out() or len(payload) < CYCLE_BYTES
        if wrong or (self.records is None and len(payload) != self.payload_out()):
            raise AnswerError(f"The board gave {len(payload)} bytes, not {self.payload_out()}.")
        if self.records is not None:
            plane = self.records.read_plane(payload[:-CYCLE_BYTES])
            return FrameAnswer({}, int.from_bytes(payload[-CYCLE_BYTES:], "little"), plane)
        values, at = {}, 0
        for channel in self.outputs:
            frame = np.frombuffer(payload, np.uint8, channel.frame_bytes, at)
            values[channel.name] = channel.unpack_frames(frame)[0]
            at += channel.frame_bytes
        return FrameAnswer(values, int.from_bytes(payload[at:], "little"))

    def _read(self, read: Callable[[int], bytes]) -> tuple[int, bytes]:
        """The status and the payload of the next answer."""
        head = _exactly(read, 4)
        if head[0] != ANSWER:
            raise AnswerError(f"The board said {head.hex(' ')}, which does not begin an answer.")
        payload = _exactly(read, int.from_bytes(head[2:], "little"))
        if checksum(head[1:] + payload) != _exactly(read, 2):
            raise AnswerError("The check of the board's answer was wrong when it arrived.")
        return head[1], payload

    def description(self) -> bytes:
        """As it lies beside the design."""
        document: dict[str, Any] = {
            "number": self.number,
            "baud": self.baud,
            "divider": self.divider,
            "clock_mhz": self.clock_mhz,
        }
        for key, channels in (("inputs", self.inputs), ("outputs", self.outputs)):
            document[key] = [channel.description() for channel in channels]
        if self.records is not None:
            document["records"] = self.records.description()
        return (json.dumps(document, indent=1) + "\n").encode()


def checksum(body: bytes) -> bytes:
    """The CRC of 16 bits, polynomial 1021, that follows a message or an answer."""
    return binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "little")


def read_protocol(folder: Path) -> Protocol:
    """The protocol of the design in a target's folder."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UsageError(
            f"{folder} holds no design for a board.", hint="Compile the model with a board."
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        channels = {
            key: tuple(map(Channel.from_description, document[key]))
            for key in ("inputs", "outputs")
        }
        number, baud, divider = (int(document[key]) for key in ("number", "baud", "divider"))
        records = (
            RecordLayout.from_description(document["records"]) if "records" in document else None
        )
        return Protocol(
            number, baud, divider, float(document["clock_mhz"]), channels["inputs"],
            channels["outputs"], records,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not describe a board: {error}.", hint="Compile the model again."
        ) from None


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    content = read(count)
    if len(content) != count:
        raise AnswerError(
            "The board did not answer, or not to the end.",
            hint="Load the bitstream, look for the right serial port, press the reset button.",
        )
    return content
