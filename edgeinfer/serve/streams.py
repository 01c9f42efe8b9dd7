# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The calls of an HTTP/2 connection: how much of their answers may be sent now, and how much a
client may send that helps no call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edgeinfer.serve.frames import (
    LARGEST_FRAME,
    LARGEST_WINDOW,
    USUAL_FRAME,
    USUAL_WINDOW,
    ConnectionFault,
    FrameKind,
    Reason,
    Setting,
    expect,
    frame_head,
)
from edgeinfer.serve.headers import Headers

SETTING_BYTES = 6
ALIGNMENT_BYTES = 16  # of a message's end
MOST_IDLE_FRAMES = 10_000  # between two messages; far more than a client that measures its line
MOST_RESETS = 1000  # of calls, more than were answered


@dataclass(slots=True, eq=False)
class CallStream:
    """A call: what has come of it, and what of its answer has not been sent yet."""

    number: int
    headers: Headers
    send_window: int
    receive_window: int
    prefix: bytearray = field(default_factory=bytearray)
    message: memoryview | None = None
    filled: int = 0
    is_waiting: bool = False  # for room
    early: bytearray = field(default_factory=bytearray)  # what came meanwhile
    is_client_done: bool = False
    outgoing: deque[memoryview] = field(default_factory=deque)
    trailer: bytes = b""  # the frame that ends the call, if it is known yet
    sent: asyncio.Event = field(default_factory=asyncio.Event)  # all of it that there is
    computed_bytes: int = 0  # of answers whose turn it is not yet

    @property
    def unsent_bytes(self) -> int:
        """Of answers, which take memory until the client lets them come."""
        return self.computed_bytes + sum(map(len, self.outgoing))

    def place_message(self, length: int) -> None:
        """Make place for a message. Its end is a multiple of a number's size, so that the last
        tensor's numbers lie where they are read quickly."""
        place = np.empty(length + ALIGNMENT_BYTES, np.uint8)
        self.message, self.filled = place[-length % ALIGNMENT_BYTES :][:length].data, 0

    def grow(self, growth: int) -> None:
        """So many bytes more may be sent; fewer, if it is negative."""
        self.send_window += growth
        expect(self.send_window <= LARGEST_WINDOW, Reason.FLOW_CONTROL_ERROR)


class Door(Protocol):
    """Who answers the calls of a connection."""

    def begin(self, connection: Any, stream: CallStream) -> None:
        """A call is there, without a message."""
        ...

    def has_room(self, stream: CallStream, length: int) -> bool:
        """Whether a message of so many bytes may come; if not, `admit` says so later."""
        ...

    def take(self, stream: CallStream, message: memoryview, is_packed: bool) -> None:
        """A message is there."""
        ...

    def end_input(self, stream: CallStream) -> None:
        """There will be no message more."""
        ...

    def abandon(self, stream: CallStream) -> None:
        """Nobody waits for an answer."""
        ...


@dataclass(slots=True)
class Patience:
    """What a client has sent lately that moves no call forward. Each frame of it is cheap, and a
    connection that sends nothing else for long keeps the loop from the others."""

    idle_frames: int = 0
    resets: int = 0

    def count_idle(self, frames: int = 1) -> None:
        """One more frame, or one that costs as much as so many."""
        self.idle_frames += frames
        if self.idle_frames > MOST_IDLE_FRAMES:
            raise ConnectionFault(Reason.ENHANCE_YOUR_CALM, "Too many frames move no call forward.")

    def count_reset(self) -> None:
        """A call more was begun and taken back."""
        self.resets += 1
        if self.resets > MOST_RESETS:
            raise ConnectionFault(Reason.ENHANCE_YOUR_CALM, "Too many calls are taken back.")

    def count_answer(self) -> None:
        """A call more was worth its while."""
        self.resets = max(0, self.resets - 1)


@dataclass(slots=True)
class SendingRoom:
    """What the other side takes, of all calls together."""

    window: int = USUAL_WINDOW
    first_window: int = USUAL_WINDOW  # of each call
    frame_bytes: int = USUAL_FRAME

    def grow(self, growth: int) -> None:
        """So many bytes more may be sent."""
        self.window += growth
        expect(self.window <= LARGEST_WINDOW, Reason.FLOW_CONTROL_ERROR)

    def take_settings(self, payload: bytes, streams: Iterable[CallStream]) -> None:
        """What the other side says of itself."""
        expect(len(payload) % SETTING_BYTES == 0, Reason.FRAME_SIZE_ERROR)
        first_window = self.first_window
        for at in range(0, len(payload), SETTING_BYTES):
            key = int.from_bytes(payload[at : at + 2])
            value = int.from_bytes(payload[at + 2 : at + SETTING_BYTES])
            if key == Setting.INITIAL_WINDOW_SIZE:
                expect(value <= LARGEST_WINDOW, Reason.FLOW_CONTROL_ERROR)
                first_window = value
            elif key == Setting.MAX_FRAME_SIZE:
                expect(USUAL_FRAME <= value <= LARGEST_FRAME)
                self.frame_bytes = value
        if first_window != self.first_window:  # once for all that stood in the frame
            for stream in streams:
                stream.grow(first_window - self.first_window)
            self.first_window = first_window

    def take_data(
        self, stream: CallStream, parts: list[bytes | memoryview], last_flags: int = 0
    ) -> bool:
        """Move as much of a call's data as may be sent to the parts; whether that was all. The last
        frame of all has these flags."""
        while stream.outgoing:
            piece = stream.outgoing[0]
            count = min(len(piece), self.window, stream.send_window, self.frame_bytes)
            if count <= 0:
                return False
            is_last = count == len(piece) and len(stream.outgoing) == 1
            flags = last_flags if is_last else 0
            parts += [frame_head(count, FrameKind.DATA, flags, stream.number), piece[:count]]
            self.window -= count
            stream.send_window -= count
            if count < len(piece):
                stream.outgoing[0] = piece[count:]
            else:
                stream.outgoing.popleft()
        return True
