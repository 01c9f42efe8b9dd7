# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Malformed requests by the thousand: each gets a status that blames its sender, and clients beside
it notice nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from edgeinfer.serve import grpc_door
from edgeinfer.serve import server as server_module
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.served import BatchSettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from quantization.fixed import Fixed, Quantizer
from tests.support.places import ROOT
from tests.support.serving import ANSWER_SECONDS, ask, expected, running, small_program, write_run
from tests.support.waiting import until

QUANTIZER = Quantizer(Fixed(True, 8, 4))
VALUES = np.random.default_rng(0).uniform(-9, 9, (3, 6)).astype(np.float32)
BLAMED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"}
HTTP_BLAMED = {200, 400, 404, 405, 413, 431, 501}
MANY = pytest.param(1000, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenServer]:
    run = write_run(tmp_path_factory.mktemp("faults") / "run", small_program(), QUANTIZER)
    with running(ServerSettings(RepositorySettings((run,)), message_bytes=200_000)) as opened:
        yield opened


def message(**changed: Any) -> bytes:
    """A good request, with something changed."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [3, 6]}
    tensor |= {k: changed.pop(k) for k in ("name", "datatype", "shape") if k in changed}
    fields = {"model_name": "small", "inputs": [tensor], "raw_input_contents": [VALUES.tobytes()]}
    content: bytes = message_class("ModelInferRequest")(**{**fields, **changed}).SerializeToString()
    return content


def body(**changed: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [3, 6], "data": VALUES.tolist()}
    return json.dumps({"inputs": [{**tensor, **changed}]}).encode()


def spoil(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes cut off, changed, added, or none that anyone has written."""
    match int(rng.integers(4)):
        case 0:
            return content[: int(rng.integers(len(content)))]
        case 1:
            changed = bytearray(content)
            for at in rng.integers(len(content), size=int(rng.integers(1, 9))):
                changed[at] = int(rng.integers(256))
            return bytes(changed)
        case 2:
            at = int(rng.integers(len(content)))
            return content[:at] + rng.bytes(int(rng.integers(1, 40))) + content[at:]
        case _:
            return rng.bytes(int(rng.integers(1, 300)))


def lie(rng: np.random.Generator) -> dict[str, Any]:
    """A field that says what is not so."""
    values = VALUES.copy()
    values.flat[int(rng.integers(values.size))] = rng.choice([np.nan, np.inf, -np.inf])
    lies: list[dict[str, Any]] = [
        {"shape": [(2**62), int(rng.integers(1, 2**62))]},
        {"shape": [int(size) for size in rng.integers(-3, 9, int(rng.integers(0, 40)))]},
        {"shape": [0, 6]},
        {"name": rng.bytes(20).hex() * int(rng.integers(1, 2000))},
        {"datatype": str(rng.choice(["", "FP16", "BYTES", "BOOL", "FP64", "fp32", "\N{SNOWMAN}"]))},
        {"datatype": str(rng.choice(["INT8", "UINT8", "INT16", "INT32"]))},
        {"values": values},
    ]
    return lies[int(rng.integers(len(lies)))]


def spoiled_messages(count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(count)
    for number in range(count):
        if number % 2:
            yield spoil(message(), rng)
            continue
        changed = lie(rng)
        if "values" in changed:
            changed = {"raw_input_contents": [changed["values"].tobytes()]}
        elif rng.random() < 0.3:
            changed = {"model_name": rng.bytes(9).hex(), "model_version": str(rng.integers(-9, 9))}
        elif rng.random() < 0.2:
            changed["raw_input_contents"] = [rng.bytes(int(rng.integers(100)))] * 3
        yield message(**changed)


def spoiled_bodies(count: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    rng = np.random.default_rng(count)
    for number in range(count):
        changed = lie(rng)
        if "values" in changed:
            changed = {"data": changed["values"].tolist()}
        content = spoil(body(), rng) if number % 2 else body(**changed)
        if rng.random() < 0.1:
            content = b"[" * int(rng.integers(1, 100_000))
        headers = {}
        if rng.random() < 0.2:
            length = rng.choice(["-1", "1e3", str(len(content) // 2), str(2**70), "\xb2"])
            headers = {"Inference-Header-Content-Length": str(length)}
        if rng.random() < 0.1:
            headers["Content-Encoding"] = str(rng.choice(["gzip", "deflate", "br"]))
        yield content, headers


@contextlib.contextmanager
def good_client(server: OpenServer) -> Iterator[list[int]]:
    """A client that asks all the while, and how often it was answered rightly."""
    _, wanted = expected(small_program(), VALUES, QUANTIZER)
    answered, wrong, end = [0], [0], threading.Event()
    request, response = message(), message_class("ModelInferResponse")

    def work() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            while not end.is_set():
                result = response.FromString(infer(request, timeout=ANSWER_SECONDS))
                if result.raw_output_contents[0] != wanted["sum"].tobytes():
                    wrong[0] += 1
                answered[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    yield answered
    end.set()
    thread.join()
    assert answered[0] and not wrong[0]


@pytest.mark.parametrize("count", [80, MANY])
def test_spoiled_messages_are_blamed_on_their_sender(server: OpenServer, count: int) -> None:
    statuses = set()
    with good_client(server), grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        for content in spoiled_messages(count):
            try:
                infer(content, timeout=ANSWER_SECONDS)
                statuses.add("OK")  # some spoiled bytes are a request all the same
            except grpc.RpcError as error:
                statuses.add(error.code().name)
                assert error.details()
    assert statuses <= BLAMED and "INVALID_ARGUMENT" in statuses


@pytest.mark.parametrize("count", [80, MANY])
def test_spoiled_bodies_are_blamed_on_their_sender(server: OpenServer, count: int) -> None:
    statuses = set()
    with good_client(server):
        for content, headers in spoiled_bodies(count):
            path = "/v2/models/small/infer"
            status, answer, _ = ask(server.http_port, "POST", path, content, headers)
            statuses.add(status)
            assert status == 200 or answer["error"]
    assert statuses <= HTTP_BLAMED and 400 in statuses


def send_messages(server: OpenServer, messages: Iterable[bytes]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        for content in messages:
            with contextlib.suppress(grpc.RpcError):
                infer(content, timeout=ANSWER_SECONDS)


def send_bodies(server: OpenServer, bodies: Iterable[tuple[bytes, dict[str, str]]]) -> None:
    for content, headers in bodies:
        ask(server.http_port, "POST", "/v2/models/small/infer", content, headers)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_malformed_requests_cost_no_more_than_good_ones(protocol: str, tmp_path: Path) -> None:
    """So a thousand of them slow others down no more than a thousand more good ones would. What is
    compared is the server's processor time, in turns, which other work on the machine moves less
    than a rate; a quarter is for what it does move."""
    run = write_run(tmp_path / "run", small_program(), QUANTIZER)
    ports = ["--port-grpc", "0", "--port-http", "0", "--port-metrics", "0"]
    command = [sys.executable, "-m", "edgeinfer", "serve", str(run), "--json", *ports]
    good: list[Any] = [message()] * 1000 if protocol == "grpc" else [(body(), {})] * 1000
    bad = list(spoiled_messages(1000) if protocol == "grpc" else spoiled_bodies(1000))
    send: Callable[..., None] = send_messages if protocol == "grpc" else send_bodies
    spent: dict[str, list[float]] = {"good": [], "bad": []}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            server = OpenServer(**{k: v for k, v in said.items() if k != "host"})
            watched = psutil.Process(process.pid)
            send(server, good[:100])
            for start in range(0, 1000, 200):
                for name, requests in (("good", good), ("bad", bad)):
                    before = watched.cpu_times()
                    send(server, requests[start : start + 200])
                    after = watched.cpu_times()
                    spent[name].append(sum(after[:2]) - sum(before[:2]))
        finally:
            process.terminate()
    assert sum(spent["bad"]) <= 1.25 * sum(spent["good"]), spent


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_bytes_that_are_no_protocol_end_their_connection_alone(
    server: OpenServer, count: int
) -> None:
    rng = np.random.default_rng(count)
    start = b"POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n"
    with good_client(server) as answered:
        kept = []
        for number in range(count):
            port = (server.http_port, server.grpc_port, server.metrics_port)[number % 3]
            connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
            connection.sendall(spoil(start, rng) if number % 2 else start + rng.bytes(30))
            if number % 4:
                connection.close()
            else:
                kept.append(connection)  # half open
        before = answered[0]
        assert ask(server.http_port, "GET", "/v2/health/ready")[0] == 200
        until(lambda: answered[0] > before)
        for connection in kept:
            connection.close()


def test_a_body_that_does_not_arrive_is_waited_for_no_longer_than_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "SILENT_SECONDS", 0.3)
    run = write_run(tmp_path / "run", small_program(), QUANTIZER)
    head = b"POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n"
    with running(ServerSettings(RepositorySettings((run,)))) as server:
        for sent in (head + b"{", head[:20], b""):
            with socket.create_connection(
                ("127.0.0.1", server.http_port), ANSWER_SECONDS
            ) as connection:
                connection.sendall(sent)
                assert connection.recv(1000) == b""  # closed
        until(lambda: is_ready(server))  # a client of ours may be slow, too, and left for it


def is_ready(server: OpenServer) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(server.http_port, "GET", "/v2/health/ready")[0] == 200
    return False


def test_calls_beyond_the_limit_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_door, "MOST_CALLS", 2)
    run = write_run(tmp_path / "run", small_program(), QUANTIZER)
    settings = RepositorySettings((run,), batching=BatchSettings(delay_us=1_800_000_000))
    with running(ServerSettings(settings)) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        calls = [infer.future(message()) for _ in range(5)]
        until(lambda: sum(call.done() for call in calls) == 3)
    codes = [call.code().name for call in calls]  # a server that ends answers those that wait
    channel.close()
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"} and codes.count("OK") == 2


def test_an_error_names_no_more_than_a_line_of_what_was_sent(server: OpenServer) -> None:
    name = "\x1b[31m" + "a" * 100_000
    address = f"127.0.0.1:{server.grpc_port}"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(f"/{SERVICE}/ModelInfer")(message(name=name), timeout=ANSWER_SECONDS)
    said = error.value.details()
    assert error.value.code().name == "INVALID_ARGUMENT"
    assert "has no input" in said and len(said) <= 1000 and said.isprintable()


def test_nothing_is_left_waiting(server: OpenServer) -> None:
    text = ask(server.metrics_port, "GET", "/metrics")[1].decode()
    assert 'nv_inference_pending_request_count{model="small",version="1"} 0' in text
