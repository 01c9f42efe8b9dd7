# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The client's side of a gRPC connection that has one call at a time. It costs little beside a
server on the same processors: a request's bytes are sent from where they lie."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from edgeinfer.serve.faults import GRPC_CODES, CallFailure
from edgeinfer.serve.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEAD_BYTES,
    LARGEST_FRAME,
    LARGEST_WINDOW,
    NUMBER_MASK,
    PREFACE,
    USUAL_FRAME,
    USUAL_WINDOW,
    ConnectionFault,
    FrameKind,
    Reason,
    Setting,
    expect,
    frame,
    settings_frame,
    strip_padding,
    window_frame,
)
from edgeinfer.serve.headers import HeaderReader, PackingError, pack_headers
from edgeinfer.serve.streams import CallStream, SendingRoom

BUFFER_BYTES = 1 << 16
PREFIX_BYTES = 5  # before a message
LARGEST_ANSWER_BYTES = 1 << 30
HELLO = (
    PREFACE
    + settings_frame(
        {
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: LARGEST_WINDOW,
            Setting.MAX_FRAME_SIZE: LARGEST_FRAME,
        }
    )
    + window_frame(0, LARGEST_WINDOW - USUAL_WINDOW)
)


@dataclass(slots=True)
class _Answer:
    """What has come of an answer."""

    data: bytearray = field(default_factory=bytearray)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    is_whole: bool = False


class GrpcConnection:
    """A connection, made anew where the server has closed it. A call raises a CallFailure, an
    OSError where nobody answers, and a ConnectionFault where something else than gRPC does."""

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext | None, seconds: float
    ) -> None:
        self._address, self._tls, self._seconds = address, tls, seconds
        self._socket: socket.socket | None = None

    def call(self, path: str, content: bytes) -> bytes:
        """The answer to one request."""
        try:
            if self._socket is None or not self._is_open(self._socket):
                self.close()
                self._connect()
            assert self._socket is not None
            answer = self._exchange(self._socket, path, content)
        except (OSError, ConnectionFault, CallFailure):
            self.close()
            raise
        code = answer.headers.get(b"grpc-status", b"")
        expect(answer.headers.get(b":status") == b"200" and code.isdigit())
        if int(code) != 0:
            message = answer.headers.get(b"grpc-message", b"").decode(errors="replace")
            name = GRPC_CODES[int(code)] if int(code) < len(GRPC_CODES) else code.decode()
            raise CallFailure(name, unquote(message))
        expect(len(answer.data) >= PREFIX_BYTES and not answer.data[0])
        expect(int.from_bytes(answer.data[1:PREFIX_BYTES]) == len(answer.data) - PREFIX_BYTES)
        return bytes(memoryview(answer.data)[PREFIX_BYTES:])

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        connected = socket.create_connection(self._address, self._seconds)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connected = self._tls.wrap_socket(connected, server_hostname=self._address[0])
            connected.sendall(HELLO)
        except OSError:
            connected.close()
            raise
        self._socket, self._file = connected, connected.makefile("rb", BUFFER_BYTES)
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self._room, self._reader = SendingRoom(), HeaderReader()
        self._number, self._is_leaving, self._unsaid_bytes = -1, False, 0
        self._block = b""
        self._is_begun = False
        self._take_frame(connected, CallStream(0, (), 0, 0), _Answer())

    def _is_open(self, connected: socket.socket) -> bool:
        """Whether the server still takes calls. What it has said meanwhile is read."""
        while self._poll.poll(0):
            try:
                self._take_frame(connected, CallStream(0, (), 0, 0), _Answer())
            except (OSError, ConnectionFault):
                return False
        return not self._is_leaving

    def _exchange(self, connected: socket.socket, path: str, content: bytes) -> _Answer:
        self._number += 2
        host, port = self._address
        stream, answer = CallStream(self._number, (), self._room.first_window, 0), _Answer()
        headers = (
            (b":method", b"POST"),
            (b":scheme", b"http" if self._tls is None else b"https"),
            (b":path", path.encode()),
            (b":authority", f"{f'[{host}]' if ':' in host else host}:{port}".encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", b"%dS" % self._seconds),
        )
        block = pack_headers(headers)
        parts: list[bytes | memoryview] = [
            frame(FrameKind.HEADERS, END_HEADERS, self._number, block)
        ]
        prefix = b"\0" + len(content).to_bytes(PREFIX_BYTES - 1)
        stream.outgoing += [memoryview(piece) for piece in (prefix, content) if piece]
        while not answer.is_whole:
            if not stream.is_client_done:
                stream.is_client_done = self._room.take_data(stream, parts, END_STREAM)
                _send(connected, parts)
                parts = []
            self._take_frame(connected, stream, answer)
        return answer

    def _read(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and payload of the next frame."""
        head = self._file.read(HEAD_BYTES)
        if len(head) == HEAD_BYTES:
            length, kind = int.from_bytes(head[:3]), head[3]
            expect(self._is_begun or (kind == FrameKind.SETTINGS and length <= USUAL_FRAME))
            self._is_begun = True
            payload = self._file.read(length)
            if len(payload) == length:
                return kind, head[4], int.from_bytes(head[5:]) & NUMBER_MASK, payload
        raise ConnectionError("it has closed the connection")

    def _take_frame(self, connected: socket.socket, stream: CallStream, answer: _Answer) -> None:
        """Take what the server says next."""
        kind, flags, number, payload = self._read()
        is_own = number == stream.number
        match kind:
            case FrameKind.DATA:
                self._count_data(connected, len(payload))
                if is_own:
                    answer.data += strip_padding(flags, payload)
                    answer.is_whole = bool(flags & END_STREAM)
                    expect(len(answer.data) <= LARGEST_ANSWER_BYTES)
            case FrameKind.HEADERS | FrameKind.CONTINUATION:
                is_first = kind == FrameKind.HEADERS
                self._block = strip_padding(flags, payload) if is_first else self._block + payload
                expect(len(self._block) <= BUFFER_BYTES)
                if is_first:
                    self._block_flags = flags
                if flags & END_HEADERS:
                    try:
                        headers = dict(self._reader.read(self._block))
                    except PackingError as error:
                        raise ConnectionFault(Reason.COMPRESSION_ERROR, str(error)) from None
                    if is_own:
                        answer.headers |= headers
                        answer.is_whole = bool(self._block_flags & END_STREAM)
            case FrameKind.SETTINGS if not flags & ACK:
                self._room.take_settings(payload, [stream])
                connected.sendall(frame(FrameKind.SETTINGS, ACK, 0))
            case FrameKind.PING if not flags & ACK:
                connected.sendall(frame(FrameKind.PING, ACK, 0, payload))
            case FrameKind.WINDOW_UPDATE:
                growth = int.from_bytes(payload) & NUMBER_MASK
                if number == 0:
                    self._room.grow(growth)
                elif is_own:
                    stream.grow(growth)
            case FrameKind.RST_STREAM if is_own:
                raise CallFailure("UNAVAILABLE", "The server has ended the call.")
            case FrameKind.GOAWAY:
                self._is_leaving = True
                if int.from_bytes(payload[:4]) & NUMBER_MASK < stream.number:
                    raise ConnectionError("it takes no more calls")
            case _:  # nothing that is needed
                pass

    def _count_data(self, connected: socket.socket, count: int) -> None:
        """Let the server send as much again when half of what it may send has come."""
        self._unsaid_bytes += count
        if self._unsaid_bytes > LARGEST_WINDOW // 2:
            connected.sendall(window_frame(0, self._unsaid_bytes))
            self._unsaid_bytes = 0


def _send(connected: socket.socket, parts: Sequence[bytes | memoryview]) -> None:
    if isinstance(connected, ssl.SSLSocket):
        connected.sendall(b"".join(parts))  # it takes one piece at a time
        return
    left = [memoryview(part) for part in parts]
    while left:
        sent = connected.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]
