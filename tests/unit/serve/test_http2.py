# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Connections of HTTP/2, frame by frame: what clients may do, and what they may not."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable, Iterator

import grpc
import numpy as np
import pytest

from edgeinfer.serve.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PADDED,
    PREFACE,
    PRIORITY,
    FrameKind,
    Reason,
    Setting,
    frame,
    frame_head,
    reset_frame,
    settings_frame,
    window_frame,
)
from edgeinfer.serve.headers import pack_headers
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from tests.support.http2_peer import (
    DATA,
    HEAD,
    HEADERS,
    HELLO,
    MESSAGE,
    VALUES,
    WANTED,
    Peer,
    outputs_of,
    prefixed,
    request_of,
)
from tests.support.serving import (
    DOWNWARDS,
    call_headers,
    expected,
    infer,
    numbers,
    running,
    small_program,
    write_run,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenServer]:
    run = write_run(tmp_path_factory.mktemp("http2") / "run", small_program(), DOWNWARDS)
    with running(ServerSettings(RepositorySettings((run,)), receive_bytes=20_000_000)) as opened:
        yield opened


def padded(kind: FrameKind, flags: int, content: bytes) -> bytes:
    return frame(kind, flags | PADDED, 1, b"\x07" + content + bytes(7))


@pytest.mark.parametrize(
    "sent",
    [
        [HEAD + DATA],
        [HELLO[i : i + 1] for i in range(5)],  # begun slowly: the rest comes below
        [HEAD, *(DATA[i : i + 7] for i in range(0, len(DATA), 7))],
        [HEAD, *(frame(FrameKind.DATA, 0, 1, MESSAGE[i : i + 1]) for i in range(len(MESSAGE))),
         frame(FrameKind.DATA, END_STREAM, 1)],
        [padded(FrameKind.HEADERS, END_HEADERS, HEADERS), padded(FrameKind.DATA, 0, MESSAGE[:9]),
         padded(FrameKind.DATA, END_STREAM, MESSAGE[9:])],
        [frame(FrameKind.HEADERS, PRIORITY, 1, bytes(5) + HEADERS[:9]),
         frame(FrameKind.CONTINUATION, 0, 1),
         frame(FrameKind.CONTINUATION, END_HEADERS, 1, HEADERS[9:]), DATA],
        [frame(FrameKind.PRIORITY, 0, 3, bytes(5)), HEAD, frame(FrameKind.PING, 0, 0, bytes(8)),
         frame_head(5, 77, 255, 9), b"12345", DATA],  # type: ignore[arg-type]
        [HEAD, frame(FrameKind.DATA, 0, 1, MESSAGE),
         frame(FrameKind.HEADERS, END_HEADERS | END_STREAM, 1, pack_headers([(b"a", b"b")]))],
    ],
    ids=["at once", "slow start", "in pieces", "many frames", "padded", "continued", "others",
         "trailers"],
)  # fmt: skip
def test_a_call_is_answered_in_whatever_frames_it_comes(
    server: OpenServer, sent: list[bytes]
) -> None:
    with Peer(server) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_begun = sent[0] == HELLO[:1]
        for piece in [*sent, HELLO[5:], HEAD, DATA] if is_begun else [HELLO, *sent]:
            peer.send(piece)
        headers, data = peer.answer()
        assert headers[b":status"] == b"200" and headers[b"grpc-status"] == b"0"
        assert outputs_of(data) == WANTED


def test_a_large_request_is_let_in(server: OpenServer) -> None:
    """More than may come before there is room for it."""
    values = numbers(15_000)
    content = prefixed(request_of(values))
    with Peer(server) as peer:
        peer.send(HELLO, HEAD)
        window, sent = 0, 0
        for kind, _, number, payload in peer.frames():
            if kind == FrameKind.SETTINGS and payload:
                pairs = dict(struct.iter_unpack(">HI", payload))
                window = pairs[Setting.INITIAL_WINDOW_SIZE]
                assert window < len(content) // 2
            if kind == FrameKind.WINDOW_UPDATE and number == 1:
                window += int.from_bytes(payload)
            part = content[sent : sent + window]
            sent, window = sent + len(part), window - len(part)
            is_last = sent == len(content)
            if part:
                peer.send(frame(FrameKind.DATA, END_STREAM if is_last else 0, 1, part))
            if is_last:
                break
        _, data = peer.answer()
    assert outputs_of(data) == expected(small_program(), values, DOWNWARDS)[1]["sum"].tobytes()


def test_an_answer_waits_until_the_client_lets_it_come(server: OpenServer) -> None:
    values = numbers(9_000)
    content = prefixed(request_of(values))
    message = frame(FrameKind.DATA, 0, 1, content[:60_000])
    rest = frame(FrameKind.DATA, END_STREAM, 1, content[60_000:])
    with Peer(server) as peer:
        hello = PREFACE + settings_frame({Setting.INITIAL_WINDOW_SIZE: 10})
        peer.send(hello, HEAD, message, rest)
        parts: list[bytes] = []
        for kind, flags, number, payload in peer.frames():
            if kind == FrameKind.DATA:
                parts.append(payload)
                if len(parts) == 1:
                    peer.send(window_frame(1, 100))
                elif len(parts) == 2:
                    settings = settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 20})
                    peer.send(settings)  # a call that is open takes as much more, too
            if kind == FrameKind.HEADERS and number == 1 and flags & END_STREAM:
                break
    assert [len(part) for part in parts[:2]] == [10, 100]
    assert all(len(part) <= 1 << 14 for part in parts)
    real = expected(small_program(), values, DOWNWARDS)[1]["sum"]
    assert outputs_of(b"".join(parts)) == real.tobytes()


def test_another_call_goes_on_while_one_is_let_wait(server: OpenServer) -> None:
    with Peer(server) as peer:
        third = frame(FrameKind.HEADERS, END_HEADERS, 3, HEADERS)
        data = frame(FrameKind.DATA, END_STREAM, 3, MESSAGE)
        begun = frame(FrameKind.DATA, 0, 1, MESSAGE[:20])
        peer.send(HELLO, HEAD, begun, third, data)
        assert outputs_of(peer.answer(3)[1]) == WANTED
        peer.send(frame(FrameKind.DATA, END_STREAM, 1, MESSAGE[20:]))
        assert outputs_of(peer.answer(1)[1]) == WANTED


LONG = frame(FrameKind.HEADERS, 0, 1, HEADERS)
FAULTS: dict[str, tuple[list[bytes], Reason]] = {
    "no preface": ([b"GET / HTTP/1.1\r\n\r\n"], Reason.PROTOCOL_ERROR),
    "no settings": ([PREFACE, HEAD], Reason.PROTOCOL_ERROR),
    "data before headers": ([HELLO, DATA], Reason.PROTOCOL_ERROR),
    "an even number": ([HELLO, frame(FrameKind.HEADERS, END_HEADERS, 2, HEADERS)],
                       Reason.PROTOCOL_ERROR),
    "headers of nothing": ([HELLO, frame(FrameKind.HEADERS, END_HEADERS, 0, HEADERS)],
                           Reason.PROTOCOL_ERROR),
    "headers interrupted": ([HELLO, LONG, frame(FrameKind.PING, 0, 0, bytes(8))],
                            Reason.PROTOCOL_ERROR),
    "continuation of nothing": ([HELLO, frame(FrameKind.CONTINUATION, 4, 1)],
                                Reason.PROTOCOL_ERROR),
    "endless headers": ([HELLO, LONG, *[frame(FrameKind.CONTINUATION, 0, 1, bytes(9000))] * 2],
                        Reason.ENHANCE_YOUR_CALM),
    "broken headers": ([HELLO, frame(FrameKind.HEADERS, END_HEADERS, 1, b"\xbe")],
                       Reason.COMPRESSION_ERROR),
    "a frame too long": ([HELLO, frame_head(1 << 20, FrameKind.SETTINGS, 0, 0)],
                         Reason.FRAME_SIZE_ERROR),
    "padding beyond": ([HELLO, HEAD, frame(FrameKind.DATA, PADDED, 1, b"\x09123")],
                       Reason.PROTOCOL_ERROR),
    "padding beyond headers": ([HELLO, frame(FrameKind.HEADERS, PADDED, 1, b"\x09123")],
                               Reason.PROTOCOL_ERROR),
    "no window": ([HELLO, window_frame(0, 0)], Reason.PROTOCOL_ERROR),
    "a window beyond": ([HELLO, window_frame(0, (1 << 31) - 1)], Reason.FLOW_CONTROL_ERROR),
    "a window of nothing": ([HELLO, window_frame(7, 1)], Reason.PROTOCOL_ERROR),
    "a call ended that is none": ([HELLO, reset_frame(7, Reason.CANCEL)], Reason.PROTOCOL_ERROR),
    "a promise": ([HELLO, frame(FrameKind.PUSH_PROMISE, END_HEADERS, 1)], Reason.PROTOCOL_ERROR),
    "a short ping": ([HELLO, frame(FrameKind.PING, 0, 0, b"1")], Reason.FRAME_SIZE_ERROR),
    "half a setting": ([HELLO, frame(FrameKind.SETTINGS, 0, 0, b"1")], Reason.FRAME_SIZE_ERROR),
    "tiny frames": ([HELLO, settings_frame({Setting.MAX_FRAME_SIZE: 1})], Reason.PROTOCOL_ERROR),
    "data after the end": (
        [HELLO, HEAD, frame(FrameKind.DATA, END_STREAM, 1, MESSAGE), DATA], Reason.STREAM_CLOSED
    ),
    "endless pings": ([HELLO, *[frame(FrameKind.PING, ACK, 0, bytes(8))] * 10_001],
                      Reason.ENHANCE_YOUR_CALM),
    "endless settings": ([HELLO, *[frame(FrameKind.SETTINGS, 0, 0)] * 10_001],
                         Reason.ENHANCE_YOUR_CALM),
    "empty headers go on": ([HELLO, LONG, *[frame(FrameKind.CONTINUATION, 0, 1)] * 10_001],
                            Reason.ENHANCE_YOUR_CALM),
    "empty data": ([HELLO, HEAD, *[frame(FrameKind.DATA, 0, 1)] * 10_001],
                   Reason.ENHANCE_YOUR_CALM),
    "calls taken back": (
        [HELLO, *(part for number in range(1, 2003, 2) for part in (
            frame(FrameKind.HEADERS, END_HEADERS, number, HEADERS),
            reset_frame(number, Reason.CANCEL),
        ))], Reason.ENHANCE_YOUR_CALM,
    ),
    "more than may come": ([HELLO, HEAD, frame_head(1 << 23, FrameKind.DATA, 0, 1)],
                           Reason.FLOW_CONTROL_ERROR),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_who_breaks_the_protocol_is_told_so_and_left(server: OpenServer, fault: str) -> None:
    parts, reason = FAULTS[fault]
    with Peer(server) as peer:
        peer.send(*parts)
        farewells = []
        with contextlib.suppress(ConnectionResetError):
            farewells = [p for kind, _, _, p in peer.frames() if kind == FrameKind.GOAWAY]
        assert [int.from_bytes(payload[4:8]) for payload in farewells] == [reason]
    assert "sum" in infer(server, "small", "x", VALUES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", b"holds no request"),
        (MESSAGE[:3], b"ends within its request"),
        (MESSAGE[:-1], b"ends within its request"),
        (MESSAGE * 2, b"more than one request"),
        (b"\x01" + MESSAGE[1:], b"encoding 'identity'"),
        (b"\0\x7f" + MESSAGE[2:], b"the server takes 64000000"),
    ],
)
def test_a_call_without_a_whole_request_is_refused(
    server: OpenServer, content: bytes, said: bytes
) -> None:
    with Peer(server) as peer:
        peer.send(HELLO, HEAD, frame(FrameKind.DATA, END_STREAM, 1, content))
        headers, data = peer.answer()
        assert said in headers[b"grpc-message"] and not data
        third = frame(FrameKind.HEADERS, END_HEADERS, 3, HEADERS)
        peer.send(third, frame(FrameKind.DATA, END_STREAM, 3, MESSAGE))
        assert outputs_of(peer.answer(3)[1]) == WANTED  # the connection is as good as before


def test_what_is_no_call_is_told_so(server: OpenServer) -> None:
    with Peer(server) as peer:
        headers = [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"http")]
        flags = END_HEADERS | END_STREAM
        peer.send(HELLO, frame(FrameKind.HEADERS, flags, 1, pack_headers(headers)))
        assert peer.answer()[0] == {b":status": b"415"}
        block = pack_headers(call_headers("Nothing"))
        peer.send(frame(FrameKind.HEADERS, flags, 3, block))
        assert peer.answer(3)[0][b"grpc-status"] == b"12"  # UNIMPLEMENTED


@pytest.mark.parametrize("packing", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_packed_requests_are_unpacked(server: OpenServer, packing: grpc.Compression) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", compression=packing) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        values = np.zeros((2000, 6), np.float32)  # so many zeros are worth packing
        answer = message_class("ModelInferResponse").FromString(call(request_of(values)))
    assert answer.raw_output_contents[0] == bytes(8000)
    large = np.zeros((3_000_000, 6), np.float32)
    options = [("grpc.max_send_message_length", -1)]
    address = f"127.0.0.1:{server.grpc_port}"
    with grpc.insecure_channel(address, options, packing) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError) as error:
            call(request_of(large), timeout=60)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "unpacks to more" in error.value.details()


def test_a_stream_of_many_requests_is_answered_in_order(server: OpenServer) -> None:
    """Much more than may come ahead, in small pieces."""
    rows = numbers(400)

    def requests() -> Iterable[bytes]:
        for row in rows:
            yield request_of(np.repeat(row[np.newaxis], 200, axis=0))

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
        answers = [
            message_class("ModelStreamInferResponse").FromString(answer).infer_response
            for answer in call(iter(requests()), timeout=120)
        ]
    wanted = expected(small_program(), rows, DOWNWARDS)[1]["sum"]
    given = [np.frombuffer(a.raw_output_contents[0], np.float32) for a in answers]
    assert [values.tolist() for values in given] == [[row] * 200 for row in wanted[:, 0].tolist()]
