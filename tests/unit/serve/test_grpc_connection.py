# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Our client of gRPC against the servers of grpcio, which know nothing of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from edgeinfer.serve.faults import CallFailure
from edgeinfer.serve.frames import ConnectionFault, FrameKind, frame
from edgeinfer.serve.grpc_connection import GrpcConnection

HELLO = frame(FrameKind.SETTINGS, 0, 0)
REFUSAL = "No: 100 % \N{SNOWMAN}"


class Mirror(grpc.GenericRpcHandler):
    """Sends back what it is sent; refuses at another path."""

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        if content == b"refuse":
            context.abort(grpc.StatusCode.NOT_FOUND, REFUSAL)
        return content[::-1]


def mirror(port: int = 0) -> tuple[grpc.Server, int]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(2), [Mirror()], options=options)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, bound


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server, bound = mirror()
    yield bound
    server.stop(None).wait()


def test_messages_of_every_size_come_and_go(port: int) -> None:
    """The server lets 64 kB come at a time, in frames of 16 kB."""
    connection = GrpcConnection(("127.0.0.1", port), None, 60.0)
    for length in (0, 1, 16_000, 16_384, 65_530, 70_000, 9_000_000, 3):
        content = (bytes(range(251)) * (length // 251 + 1))[:length]
        assert connection.call("/a/b", content) == content[::-1]
    connection.close()


def test_a_refusal_keeps_the_connection(port: int) -> None:
    connection = GrpcConnection(("127.0.0.1", port), None, 60.0)
    for _ in range(3):
        with pytest.raises(CallFailure) as error:
            connection.call("/a/b", b"refuse")
        assert (error.value.status, error.value.message) == ("NOT_FOUND", REFUSAL)
        assert connection.call("/a/b", b"ab") == b"ba"
    connection.close()


def test_a_server_that_was_started_again_is_asked_again() -> None:
    server, bound = mirror()
    connection = GrpcConnection(("127.0.0.1", bound), None, 60.0)
    assert connection.call("/a/b", b"ab") == b"ba"
    server.stop(None).wait()
    with pytest.raises(OSError):
        connection.call("/a/b", b"ab")
    server, _ = mirror(bound)
    assert connection.call("/a/b", b"ab") == b"ba"
    server.stop(None).wait()
    connection.close()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ConnectionFault),
        (b"", OSError),
        (b"\x15\x03\x03\x00\x02\x02\x28", OSError),  # how TLS says no
        (HELLO[:-1], OSError),
        (frame(FrameKind.SETTINGS, 0, 0, b"1"), ConnectionFault),
        (HELLO + frame(FrameKind.HEADERS, 5, 1, b"\xbe"), ConnectionFault),
        (HELLO + frame(FrameKind.HEADERS, 5, 1, b"\x88"), ConnectionFault),
        (HELLO + frame(FrameKind.RST_STREAM, 0, 1, bytes(4)), CallFailure),
        (HELLO + frame(FrameKind.GOAWAY, 0, 0, bytes(8)), OSError),
    ],
)  # fmt: skip
def test_who_does_not_answer_by_grpc_is_told_apart(said: bytes, error: type[Exception]) -> None:
    def answer() -> None:
        with listening.accept()[0] as peer:
            peer.recv(1000)
            peer.sendall(said)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        connection = GrpcConnection(listening.getsockname(), None, 60.0)
        with pytest.raises(error):
            connection.call("/a/b", b"abc")
        connection.close()
        thread.join()
