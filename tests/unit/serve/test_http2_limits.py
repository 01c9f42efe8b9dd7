# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a server of HTTP/2 puts up with: clients that are silent, slow, or too many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.serve import admission as admission_module
from edgeinfer.serve import http2, presence
from edgeinfer.serve.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    LARGEST_WINDOW,
    PREFACE,
    FrameKind,
    Reason,
    Setting,
    frame,
    frame_head,
    reset_frame,
    settings_frame,
    window_frame,
)
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.served import BatchSettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from tests.support.http2_peer import (
    ANSWERS,
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
    infer,
    running,
    small_program,
    write_run,
)
from tests.support.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenServer]:
    run = write_run(tmp_path_factory.mktemp("http2") / "run", small_program(), DOWNWARDS)
    with running(ServerSettings(RepositorySettings((run,)), receive_bytes=20_000_000)) as opened:
        yield opened


def test_a_client_that_is_gone_is_left(server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word it is asked; who answers stays, even in the midst of a message."""
    monkeypatch.setattr(presence, "KEEPALIVE_SECONDS", 1.0)
    monkeypatch.setattr(presence, "ANSWERLESS_SECONDS", 2.0)
    monkeypatch.setattr(http2, "LEAST_WAKE_BYTES", 1)  # the loop waits for all of a message
    with Peer(server) as gone, Peer(server) as there, Peer(server) as silent:
        gone.send(HELLO, HEAD)
        there.send(HELLO, HEAD, frame_head(70_000, FrameKind.DATA, 0, 1))
        there.send(b"\0" + (69_995).to_bytes(4), bytes(20_000))
        pings = 0
        for kind, flags, *_ in there.frames():
            if kind == FrameKind.PING and not flags & ACK:
                pings += 1
                if pings == 3:
                    break
                there.send(bytes(1000))  # an answer would stand behind the message
        assert pings == 3
        assert FrameKind.PING in [kind for kind, *_ in gone.frames()]  # and then it was closed
        assert len(list(silent.frames())) == 2  # so was this: it has said nothing at all


@pytest.mark.parametrize("is_reading", [True, False])
def test_who_reads_an_answer_slowly_is_served_and_who_does_not_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_reading: bool
) -> None:
    """The question whether it is there stands behind megabytes that it has not read yet."""
    monkeypatch.setattr(presence, "KEEPALIVE_SECONDS", 1.0)
    monkeypatch.setattr(presence, "ANSWERLESS_SECONDS", 5.0)
    looks: list[presence.Sign] = []
    look = presence.Presence.look
    monkeypatch.setattr(
        presence.Presence, "look", lambda *args: looks.append(look(*args)) or looks[-1]
    )
    run = write_run(tmp_path / "run", small_program(), DOWNWARDS)
    content = prefixed(request_of(np.repeat(VALUES, 200_000, axis=0)))
    data = [
        frame(FrameKind.DATA, 0, 1, content[at : at + (1 << 16)])
        for at in range(0, len(content), 1 << 16)
    ]
    batching = BatchSettings(largest_request=1_000_000)
    settings = ServerSettings(
        RepositorySettings((run,), batching=batching),
        slowest_bytes_per_s=10_000.0 if is_reading else 1e12,
    )
    answer, is_whole, pauses = b"", False, 0
    with running(settings) as server, Peer(server, 1 << 16) as peer:
        peer.send(PREFACE + settings_frame({Setting.INITIAL_WINDOW_SIZE: LARGEST_WINDOW}))
        peer.send(window_frame(0, 1 << 30), HEAD, *data, frame(FrameKind.DATA, END_STREAM, 1))
        for kind, flags, _, payload in peer.frames():
            if kind == FrameKind.PING and not flags & ACK and not answer:
                peer.send(frame(FrameKind.PING, ACK, 0, payload))
            if kind == FrameKind.DATA:
                answer += payload
                monkeypatch.setattr(presence, "KEEPALIVE_SECONDS", 0.05)
                monkeypatch.setattr(presence, "ANSWERLESS_SECONDS", 0.05)
                if not is_reading:
                    until(lambda: presence.Sign.GONE in looks)
                elif pauses < 10:  # longer than several questions take
                    pauses, seen = pauses + 1, len(looks)
                    until(lambda seen=seen: len(looks) > seen + 2 or presence.Sign.GONE in looks)
            is_whole |= kind == FrameKind.HEADERS and bool(flags & END_STREAM)
            if is_whole:
                break
    assert is_whole == is_reading == (presence.Sign.GONE not in looks)
    if is_reading:
        assert outputs_of(answer) == np.repeat(ANSWERS, 200_000, axis=0).tobytes()
        assert presence.Sign.SLOW in looks


def test_more_than_can_wait_for_room_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_module, "MOST_WAITING", 2)
    run = write_run(tmp_path / "run", small_program(), DOWNWARDS)
    settings = ServerSettings(
        RepositorySettings((run,)), message_bytes=1_000_000, receive_bytes=1_000_000
    )
    begun = frame(FrameKind.DATA, 0, 1, b"\0" + (999_999).to_bytes(4))
    with running(settings) as server, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(server)) for _ in range(4)]
        for peer in peers[:3]:
            peer.send(HELLO, HEAD, begun, frame(FrameKind.PING, 0, 0, bytes(8)))
            assert any(kind == FrameKind.PING for kind, *_ in peer.frames())  # it has been read
        peers[3].send(HELLO, HEAD, begun)
        headers, _ = peers[3].answer()
        assert headers[b"grpc-status"] == b"14" and b"as much as it may" in headers[b"grpc-message"]
        peers[0].send(reset_frame(1, Reason.CANCEL))
        for peer in peers[1:3]:
            peer.send(reset_frame(1, Reason.CANCEL))
        assert "sum" in infer(server, "small", "x", VALUES)


def stalled(server: OpenServer, stack: contextlib.ExitStack, calls: int) -> Peer:
    """A client with calls whose answers it does not let come, though it is there."""
    peer = stack.enter_context(Peer(server))
    peer.send(PREFACE + settings_frame({Setting.INITIAL_WINDOW_SIZE: 0}))
    for number in range(1, 2 * calls, 2):
        peer.send(
            frame(FrameKind.HEADERS, END_HEADERS, number, HEADERS),
            frame(FrameKind.DATA, END_STREAM, number, MESSAGE),
        )
    begun = 0
    for kind, *_ in peer.frames():
        begun += kind == FrameKind.HEADERS  # with which each answer begins
        if begun == calls:
            break
    return peer


def test_who_leaves_the_most_answers_unread_is_left(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "MOST_UNSENT_BYTES", 8 * (len(WANTED) + 100))
    with contextlib.ExitStack() as stack:
        modest = stalled(server, stack, 1)
        greedy = stack.enter_context(Peer(server))
        greedy.send(PREFACE + settings_frame({Setting.INITIAL_WINDOW_SIZE: 0}))
        with contextlib.suppress(OSError):
            for number in range(1, 200, 2):
                greedy.send(
                    frame(FrameKind.HEADERS, END_HEADERS, number, HEADERS),
                    frame(FrameKind.DATA, END_STREAM, number, MESSAGE),
                )
        with contextlib.suppress(ConnectionResetError):
            assert all(kind != FrameKind.DATA for kind, *_ in greedy.frames())  # to its end
        modest.send(settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 20}))
        assert outputs_of(modest.answer()[1]) == WANTED
    assert "sum" in infer(server, "small", "x", VALUES)


def test_many_small_windows_cost_one_look_at_the_calls(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of thirteen bytes must not make the server go through all calls that wait."""
    looks = []
    look = http2.Connection._send_waiting
    monkeypatch.setattr(
        http2.Connection, "_send_waiting", lambda self: (looks.append(1), look(self))
    )
    with contextlib.ExitStack() as stack:
        peer = stalled(server, stack, 3)
        looks.clear()
        peer.send(window_frame(0, 1) * 5000, frame(FrameKind.PING, 0, 0, bytes(8)))
        assert any(kind == FrameKind.PING for kind, *_ in peer.frames())
        assert len(looks) < 200
        peer.send(settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 20}))
        assert outputs_of(peer.answer(5)[1]) == WANTED


def test_more_connections_than_there_may_be_are_closed(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2, "MOST_CONNECTIONS", 1)
    with Peer(server) as first:
        first.send(HELLO)
        next(first.frames())
        with Peer(server) as second, contextlib.suppress(ConnectionResetError):
            assert list(second.frames()) == []
        first.send(HEAD, DATA)
        assert outputs_of(first.answer()[1]) == WANTED
