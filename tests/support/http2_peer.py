# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A client of HTTP/2 that may send any bytes, and a call to send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import numpy as np

from edgeinfer.serve.frames import (
    END_HEADERS,
    END_STREAM,
    PREFACE,
    FrameKind,
    frame,
)
from edgeinfer.serve.headers import HeaderReader, pack_headers
from edgeinfer.serve.messages import message_class
from edgeinfer.serve.server import OpenServer
from tests.support.serving import (
    ANSWER_SECONDS,
    DOWNWARDS,
    call_headers,
    expected,
    numbers,
    small_program,
    tensor,
)

VALUES = numbers(5)
HELLO = PREFACE + frame(FrameKind.SETTINGS, 0, 0)
ANSWERS = expected(small_program(), VALUES, DOWNWARDS)[1]["sum"]
WANTED = ANSWERS.tobytes()


def request_of(values: np.ndarray) -> bytes:
    """A request for an inference."""
    fields = {"inputs": [tensor("x", values)], "raw_input_contents": [values.tobytes()]}
    content: bytes = message_class("ModelInferRequest")(
        model_name="small", **fields
    ).SerializeToString()
    return content


def prefixed(content: bytes) -> bytes:
    return b"\0" + len(content).to_bytes(4) + content


MESSAGE = prefixed(request_of(VALUES))
HEADERS = pack_headers(call_headers())
HEAD = frame(FrameKind.HEADERS, END_HEADERS, 1, HEADERS)
DATA = frame(FrameKind.DATA, END_STREAM, 1, MESSAGE)


class Peer:
    """The client's side, as bytes and frames."""

    def __init__(self, server: OpenServer, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(ANSWER_SECONDS)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", server.grpc_port))
        self._file = self.socket.makefile("rb")
        self._headers = HeaderReader()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream and payload of what comes, to the end of the connection."""
        while len(head := self._file.read(9)) == 9:
            high, low, kind, flags, number = struct.unpack(">BHBBI", head)
            yield kind, flags, number, self._file.read(high << 16 | low)

    def answer(self, number: int = 1) -> tuple[dict[bytes, bytes], bytes]:
        """The headers and the data of a call's answer."""
        headers, data = {}, b""
        for kind, flags, of, payload in self.frames():
            if of != number:
                continue
            if kind == FrameKind.DATA:
                data += payload
            if kind == FrameKind.HEADERS:
                headers |= dict(self._headers.read(payload))
                if flags & END_STREAM:
                    break
        return headers, data


def outputs_of(data: bytes) -> bytes:
    """The bytes of the only output."""
    assert data[0] == 0 and int.from_bytes(data[1:5]) == len(data) - 5
    answer = message_class("ModelInferResponse").FromString(data[5:])
    content: bytes = answer.raw_output_contents[0]
    return content
