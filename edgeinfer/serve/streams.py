# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The calls of an HTTP/2 connection, and how much of their answers may be sent now."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgeinfer.serve.frames import (
    LARGEST_FRAME,
    LARGEST_WINDOW,
    USUAL_FRAME,
    USUAL_WINDOW,
    FrameKind,
    Reason,
    Setting,
    expect,
    frame_head,
)
from edgeinfer.serve.headers import Headers

SETTING_BYTES = 6


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

    def grow(self, growth: int) -> None:
        """So many bytes more may be sent; fewer, if it is negative."""
        self.send_window += growth
        expect(self.send_window <= LARGEST_WINDOW, Reason.FLOW_CONTROL_ERROR)


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
        for at in range(0, len(payload), SETTING_BYTES):
            key = int.from_bytes(payload[at : at + 2])
            value = int.from_bytes(payload[at + 2 : at + SETTING_BYTES])
            if key == Setting.INITIAL_WINDOW_SIZE:
                expect(value <= LARGEST_WINDOW, Reason.FLOW_CONTROL_ERROR)
                for stream in streams:
                    stream.grow(value - self.first_window)
                self.first_window = value
            elif key == Setting.MAX_FRAME_SIZE:
                expect(USUAL_FRAME <= value <= LARGEST_FRAME)
                self.frame_bytes = value

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
