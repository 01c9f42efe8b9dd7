# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The frames of HTTP/2 (RFC 9113): their kinds, flags and numbers, and how they are written."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # with which every client begins
HEAD_BYTES = 9  # of a frame
LARGEST_FRAME = (1 << 24) - 1  # that a frame's head can tell
USUAL_FRAME, USUAL_WINDOW = 1 << 14, (1 << 16) - 1  # before a side says otherwise
LARGEST_WINDOW = (1 << 31) - 1
NUMBER_MASK = (1 << 31) - 1  # of a stream: the highest bit means nothing


class FrameKind(IntEnum):
    """What a frame holds."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
PRIORITY_BYTES = 5  # in the headers, if the flag says so


class Setting(IntEnum):
    """What a side tells of itself."""

    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Reason(IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """What the other side may not do, after which its connection ends."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def expect(condition: bool, reason: Reason = Reason.PROTOCOL_ERROR) -> None:
    """A fault of the connection if something is not so."""
    if not condition:
        raise ConnectionFault(reason, "The frame is not as it should be.")


def frame_head(length: int, kind: FrameKind, flags: int, number: int) -> bytes:
    """The head of a frame of a stream."""
    return struct.pack(">BHBBI", length >> 16, length & 0xFFFF, kind, flags, number)


def frame(kind: FrameKind, flags: int, number: int, payload: bytes = b"") -> bytes:
    """A frame of a stream; of the connection, if the stream's number is 0."""
    return frame_head(len(payload), kind, flags, number) + payload


def settings_frame(settings: dict[Setting, int]) -> bytes:
    """What this side tells of itself."""
    pairs = (struct.pack(">HI", key, value) for key, value in settings.items())
    return frame(FrameKind.SETTINGS, 0, 0, b"".join(pairs))


def window_frame(number: int, growth: int) -> bytes:
    """So many bytes more may come."""
    return frame(FrameKind.WINDOW_UPDATE, 0, number, growth.to_bytes(4))


def reset_frame(number: int, reason: Reason) -> bytes:
    """A stream is over."""
    return frame(FrameKind.RST_STREAM, 0, number, reason.to_bytes(4))


def farewell_frame(last: int, reason: Reason, message: str = "") -> bytes:
    """No stream behind the last is looked at."""
    payload = last.to_bytes(4) + reason.to_bytes(4) + message.encode()
    return frame(FrameKind.GOAWAY, 0, 0, payload)


def strip_padding(flags: int, payload: bytes) -> bytes:
    """What a frame holds, without what may stand around it."""
    padding = payload[0] if flags & PADDED and payload else 0
    begin = bool(flags & PADDED) + (PRIORITY_BYTES if flags & PRIORITY else 0)
    expect(begin + padding <= len(payload))
    return payload[begin : len(payload) - padding]
