# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Many large requests at once: a server takes no more memory than it was told it may."""

from __future__ import annotations

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from edgeinfer.serve import admission as admission_module
from edgeinfer.serve.frames import ACK, FrameKind, frame
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from tests.support.places import ROOT
from tests.support.serving import (
    ANSWER_SECONDS,
    ask,
    begun_call,
    infer,
    numbers,
    running,
    small_program,
    tensor,
    write_run,
)

SAMPLES = 400_000  # of 24 bytes: 9.6 MB
CLIENTS = 30  # 288 MB together
LIMITS = {"--message-mb": 12, "--receive-mb": 24, "--queue-mb": 24, "--max-batch": 1_000_000}
# What is received and what waits, a message that is copied out of its frames, and one that is
# computed, in 64 bits a value.
MOST_MB = 24 + 24 + 2 * 12 + 60


# Of a client that sends a body when it is asked to, which is when there is room for it.
HEAD = (
    b"POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\n"
    b"Content-Length: 999999\r\nExpect: 100-continue\r\n\r\n"
)
CONTINUE = b"HTTP/1.1 100 (Continue)\r\n\r\n"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[OpenServer, int]]:
    """A server with little room, in a process of its own."""
    run = write_run(tmp_path / "run", small_program())
    limits = [str(word) for pair in LIMITS.items() for word in pair]
    command = [
        sys.executable, "-m", "edgeinfer", "serve", str(run), "--json", *limits,
        "--port-grpc", "0", "--port-http", "0", "--port-metrics", "0",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        assert server.stdout is not None
        ports = json.loads(server.stdout.readline())
        ports.pop("host")
        yield OpenServer(**ports), server.pid
        server.terminate()
        assert server.wait(timeout=ANSWER_SECONDS) == 0


def peak_mb(pid: int) -> float:
    """The most memory that a process has had at once."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    return float(line.split()[1]) / 1e3


def send_at_once(send: Any) -> Counter[Any]:
    """What so many clients were answered."""
    answers: Counter[Any] = Counter()

    def one() -> None:
        answers[send()] += 1

    threads = [threading.Thread(target=one) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.slow)])
def test_large_requests_take_no_more_memory_than_the_limits_say(
    process: tuple[OpenServer, int], protocol: str
) -> None:
    server, pid = process
    values = np.zeros((SAMPLES, 6), np.float32)
    infer(server, "small", "x", values[:100])
    before = peak_mb(pid)
    message = message_class("ModelInferRequest")(
        model_name="small", inputs=[tensor("x", values)], raw_input_contents=[values.tobytes()]
    ).SerializeToString()
    head = {**tensor("x", values), "parameters": {"binary_data_size": values.nbytes}}
    start = json.dumps({"inputs": [head], "parameters": {"binary_data_output": True}}).encode()
    body = start + values.tobytes()

    def by_grpc() -> str:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
            call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            try:
                call(message, timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"

    def by_http() -> int:
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.http_port, timeout=ANSWER_SECONDS
        )
        headers = {"Inference-Header-Content-Length": str(len(start))}
        connection.request("POST", "/v2/models/small/infer", body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    answers = send_at_once(by_grpc if protocol == "grpc" else by_http)
    assert set(answers) <= {"OK", "UNAVAILABLE", 200, 503}
    assert answers["OK"] + answers[200] >= 2
    assert peak_mb(pid) - before < MOST_MB
    assert "sum" in infer(server, "small", "x", numbers(2))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_who_sends_nothing_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """A client that begins a request and does not go on, where there is room for one."""
    monkeypatch.setattr(admission_module, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(admission_module, "PATIENCE_SECONDS", ANSWER_SECONDS)
    run = write_run(tmp_path / "run", small_program())
    settings = ServerSettings(
        RepositorySettings((run,)), message_bytes=1_000_000, receive_bytes=1_000_000
    )
    with running(settings) as server:
        port = {"grpc": server.grpc_port, "http": server.http_port}[protocol]
        said = b""
        with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
            if protocol == "http":
                connection.sendall(HEAD)
                assert connection.recv(1000) == CONTINUE
            else:
                ping = frame(FrameKind.PING, 0, 0, bytes(8))
                connection.sendall(begun_call(999_999) + ping)
                answer = frame(FrameKind.PING, ACK, 0, bytes(8))
                while not said.endswith(answer):  # so the server has read what was before it
                    said += (part := connection.recv(1000))
                    assert part
            assert "sum" in infer(server, "small", "x", numbers(2))
            if protocol == "http":
                said = b"".join(iter(lambda: connection.recv(1000), b""))
            while protocol == "grpc" and b"while others" not in said:
                said += (part := connection.recv(1000))
                assert part
            if protocol == "http":
                assert said == b""  # closed
            else:
                assert b"grpc-status\x0214" in said  # UNAVAILABLE


def test_who_finds_no_room_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(admission_module, "SLOW_SECONDS", 3600.0)
    run = write_run(tmp_path / "run", small_program())
    settings = ServerSettings(
        RepositorySettings((run,)), message_bytes=1_000_000, receive_bytes=1_000_000
    )
    with running(settings) as server:
        with socket.create_connection(
            ("127.0.0.1", server.http_port), ANSWER_SECONDS
        ) as connection:
            connection.sendall(HEAD)
            assert connection.recv(1000) == CONTINUE
            status, said = infer(server, "small", "x", numbers(2))
            assert status == "UNAVAILABLE" and "as much as it may at once" in said
            with socket.create_connection(
                ("127.0.0.1", server.http_port), ANSWER_SECONDS
            ) as second:
                second.sendall(HEAD)
                assert second.recv(1000).startswith(b"HTTP/1.1 503 ")
        monkeypatch.setattr(admission_module, "PATIENCE_SECONDS", ANSWER_SECONDS)
        assert "sum" in infer(server, "small", "x", numbers(2))  # the first has gone
        for method, status in (("PUT", 405), ("POST", 404)):
            assert ask(server.http_port, method, "/v2/nothing", bytes(999_999))[0] == status
            assert "sum" in infer(server, "small", "x", numbers(2))  # nor does this stay


def test_silent_streams_keep_nobody_out(tmp_path: Path) -> None:
    """More of them than there is room for; when one speaks, it is answered."""
    run = write_run(tmp_path / "run", small_program())
    settings = ServerSettings(
        RepositorySettings((run,)), message_bytes=1_000_000, receive_bytes=1_000_000
    )
    values = numbers(2)
    request = message_class("ModelInferRequest")(
        model_name="small", inputs=[tensor("x", values)], raw_input_contents=[values.tobytes()]
    ).SerializeToString()
    sent: list[queue.SimpleQueue[bytes | None]] = [queue.SimpleQueue() for _ in range(4)]
    with (
        running(settings) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        call = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
        streams = [call(iter(each.get, None), timeout=ANSWER_SECONDS) for each in sent]
        assert "sum" in infer(server, "small", "x", values)
        for _ in range(2):
            for each, stream in zip(sent, streams, strict=True):
                each.put(request)
                answer = message_class("ModelStreamInferResponse").FromString(next(stream))
                assert not answer.error_message and answer.infer_response.model_name == "small"
        for each, stream in zip(sent, streams, strict=True):
            each.put(None)
            assert not list(stream)
