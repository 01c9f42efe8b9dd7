# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What goes over a board's serial line: a frame as a message, and an answer as results.

A message is A5, the design's number, the payload's length, the payload and a CRC; an answer is 5A,
a status, the payload's length, the payload and a CRC. Numbers have the low byte first. The payload
is a frame of each input (or output), in order; each beat in whole bytes. After the outputs follow
the cycles that the design took for the frame.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import InputError, ToolFailedError, UsageError
from edgeinfer.targets.rtl.design.memory import integers_of, words_of
from quantization.fixed import Fixed, Ints

DESCRIPTION = "board/board.json"
START, ANSWER = 0xA5, 0x5A
FRAMING_BYTES = 7  # of a message around its payload, and about those of an answer
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
class Channel:
    """An input or an output: its frames, and how many elements of them come in a beat."""

    name: str
    type: Fixed
    shape: tuple[int, ...]
    lanes: int

    @property
    def beats(self) -> int:
        """Of a frame."""
        return math.prod(self.shape) // self.lanes

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return -(-self.lanes * self.type.bits // 8)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.beats * self.beat_bytes


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What a board says to a frame: raw outputs by name, and the cycles from the first beat that
    its design took to the last that it gave."""

    outputs: Mapping[str, Ints]
    cycles: int


@dataclass(frozen=True, slots=True)
class Protocol:
    """A design's number, its clock, its inputs and its outputs."""

    number: int
    baud: int
    divider: int  # cycles of a bit
    clock_mhz: float
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]

    def payload_in(self) -> int:
        """Bytes of a frame of all inputs."""
        return sum(channel.frame_bytes for channel in self.inputs)

    def payload_out(self) -> int:
        """Bytes of a frame of all outputs, and of its cycles."""
        return sum(channel.frame_bytes for channel in self.outputs) + CYCLE_BYTES

    @property
    def frames_a_second(self) -> float:
        """What the line can carry: a message goes out before its answer comes back, and a byte
        takes ten bits."""
        return self.baud / 10 / (2 * FRAMING_BYTES + self.payload_in() + self.payload_out())

    def message(self, frame: Mapping[str, Ints]) -> bytes:
        """One frame of raw integers, as the board wants it."""
        payload = b"".join(_pack_values(frame[channel.name], channel) for channel in self.inputs)
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
        if len(payload) != self.payload_out():
            raise AnswerError(f"The board gave {len(payload)} bytes, not {self.payload_out()}.")
        found, at = {}, 0
        for channel in self.outputs:
            found[channel.name] = _unpack_values(payload[at : at + channel.frame_bytes], channel)
            at += channel.frame_bytes
        return FrameAnswer(found, int.from_bytes(payload[at:], "little"))

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
        told: dict[str, Any] = {
            "number": self.number,
            "baud": self.baud,
            "divider": self.divider,
            "clock_mhz": self.clock_mhz,
        }
        for key, channels in (("inputs", self.inputs), ("outputs", self.outputs)):
            told[key] = [
                {"name": c.name, "type": str(c.type), "shape": list(c.shape), "lanes": c.lanes}
                for c in channels
            ]
        return (json.dumps(told, indent=1) + "\n").encode()


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
        told = json.loads(path.read_text(encoding="utf-8"))
        channels = {
            key: tuple(
                Channel(c["name"], Fixed.parse(c["type"]), tuple(c["shape"]), c["lanes"])
                for c in told[key]
            )
            for key in ("inputs", "outputs")
        }
        number, baud, divider = (int(told[key]) for key in ("number", "baud", "divider"))
        return Protocol(
            number, baud, divider, float(told["clock_mhz"]), channels["inputs"], channels["outputs"]
        )
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


def _pack_values(raw: Ints, channel: Channel) -> bytes:
    if raw.shape != channel.shape:
        raise InputError(f"A frame of {channel.name} has shape {channel.shape}, not {raw.shape}.")
    if raw.min() < channel.type.raw_min or raw.max() > channel.type.raw_max:
        raise InputError(f"A frame of {channel.name} reaches beyond its type {channel.type}.")
    beats = raw.astype(np.int64).reshape(-1, channel.lanes)
    return words_of(beats, channel.type.bits, channel.beat_bytes).tobytes()


def _unpack_values(content: bytes, channel: Channel) -> Ints:
    beats = np.frombuffer(content, np.uint8).reshape(channel.beats, channel.beat_bytes)
    raw = integers_of(beats, channel.lanes, channel.type.bits, signed=channel.type.signed)
    return raw.reshape(channel.shape)
