# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of serving: their mistakes, their answers, and how a server ends."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import EdgeInferError, ToolFailedError
from edgeinfer.cli.app import main
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from tests.support.command_line import shown
from tests.support.places import ROOT
from tests.support.serving import (
    ANSWER_SECONDS,
    DOWNWARDS,
    SMALL_BATCHES,
    ask,
    expected,
    infer,
    numbers,
    running,
    small_program,
    tensor,
    waiting_requests,
    write_runs,
)
from tests.support.waiting import until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs lie."""
    place = tmp_path_factory.mktemp("serve")
    write_runs(place)
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[OpenServer]:
    """All of them served."""
    runs = tuple(folder / name for name in ("tagger", "small1", "small2"))
    with running(ServerSettings(RepositorySettings(runs, batching=SMALL_BATCHES))) as opened:
        yield opened


def test_two_servers_do_not_share_a_port(folder: Path, server: OpenServer) -> None:
    command = ["serve", str(folder / "small1"), "--port-http", "0", "--port-metrics", "0"]
    assert main([*command, "--port-grpc", str(server.grpc_port)]) == 4


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["serve"], "nothing to serve"),
        (["serve", "nowhere"], "nowhere"),
        (["serve", "RUN", "--models", "0"], "more than --models"),
        (["serve", "RUN", "--port-http", "70000"], "--port-http 70000 cannot be"),
        (["serve", "RUN", "--message-mb", "nan"], "--message-mb nan cannot be"),
        (["serve", "RUN", "--drain-s", "inf"], "--drain-s inf cannot be"),
        (["serve", "RUN", "--max-batch", "3000000000"], "--max-batch 3e+09 cannot be"),
        (["serve", "RUN", "--tls-cert", "a.pem"], "--tls-key"),
        (["serve", "RUN", "--instances", "0"], "--instances 0"),
        (["serve", "RUN", "--backend", "csim", "--instances", "2"], "one batch at a time"),
        (["infer", "localhost", "--data", "d.npz"], "is no address"),
        (["infer", "http://a@localhost:1", "--data", "d.npz"], "is no address"),
        (["infer", "grpc://localhost:70000", "--data", "d.npz"], "is no address"),
        (["infer", "grpc://localhost:1", "--data", "d.npz", "--batch", "0"], "--batch 0"),
        (["bench-serve", "grpc://localhost:1", "--concurrency", "a"], "--concurrency a"),
        (["bench-serve", "grpc://localhost:1", "--seconds", "nan"], "--seconds above 0"),
    ],
)
def test_mistakes_are_one_paragraph(
    folder: Path, tokens: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(folder / "small1") if token == "RUN" else token for token in tokens]
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_infer_and_bench_serve_ask_the_server(
    server: OpenServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = numbers(20)
    np.savez(tmp_path / "d.npz", x=values)
    _, wanted = expected(small_program(factor=5), values, DOWNWARDS)
    for url in (f"grpc://127.0.0.1:{server.grpc_port}", f"http://127.0.0.1:{server.http_port}"):
        for datatype in ("FP32", "INT8"):
            document = shown(
                capsys, "infer", url, "--data", str(tmp_path / "d.npz"), "--model", "small",
                "--datatype", datatype, "--batch", "8", "-o", str(tmp_path / "o.npz"),
            )  # fmt: skip
            assert document["requests"] == 3 and document["outputs"] == {"sum": [20, 1]}
            assert (np.load(tmp_path / "o.npz")["sum"] == wanted["sum"]).all()
        document = shown(
            capsys, "bench-serve", url, "--model", "small", "--seconds", "0.2",
            "--concurrency", "3", "--samples", "4",
        )  # fmt: skip
        for row in document["results"]:
            assert row["samples_per_second"] == row["requests"] * 4 / row["seconds"]
            assert row["latency_ms"]["p50"] <= row["latency_ms"]["p99"] and not row["errors"]
    assert main(["infer", url, "--data", str(tmp_path / "d.npz")]) == 2
    assert "serves 2 models" in capsys.readouterr().err


class NoServer(http.server.BaseHTTPRequestHandler):
    """A web server that answers whatever it is asked with a page, or with numbers of nothing."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"max_batch_size": 8, "inputs": 3}')

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def test_a_port_that_speaks_no_http_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    class Garble(socketserver.BaseRequestHandler):
        """Answers as the port of gRPC answers a client by HTTP: with a frame of HTTP/2."""

        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(b"\0\0\x12\4\0\0\0\0\0\0\3\x7f\xff\xff\xff")

    with socketserver.TCPServer(("127.0.0.1", 0), Garble) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{other.server_address[1]}"
        assert main(["infer", url, "--data", "d.npz"]) == 4
        thread.join()
    said = capsys.readouterr().err
    assert "answers, but not by HTTP" in said and "write grpc://" in said


def test_a_server_of_something_else_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), NoServer) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{other.server_port}"
        try:
            for more in ([], ["--model", "a"]):
                assert main(["infer", url, "--data", "d.npz", *more]) == 4
                assert "not as the protocol says" in capsys.readouterr().err
        finally:
            other.shutdown()
            thread.join()


def test_nobody_there_is_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("grpc", "http"):
        assert main(["infer", f"{scheme}://127.0.0.1:{port}", "--data", "d.npz"]) == 4
        assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_sigterm_answers_what_was_accepted(folder: Path) -> None:
    """Two requests would wait half an hour for others; now none will come."""
    command = [
        sys.executable, "-m", "edgeinfer", "serve", str(folder / "small2"), "--json",
        "--port-grpc", "0", "--port-http", "0", "--port-metrics", "0", "--delay-us", "1800000000",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        server = OpenServer(
            **{k: v for k, v in json.loads(process.stdout.readline()).items() if k != "host"}
        )
        answers: list[Any] = []
        values = numbers(2)
        body = {"inputs": [{**tensor("x", values), "data": values.tolist()}]}

        def by_grpc() -> None:
            answers.append(infer(server, "small", "x", values)["sum"].ravel().tolist())

        def by_http() -> None:
            result = ask(server.http_port, "POST", "/v2/models/small/infer", body)
            answers.append(result[1]["outputs"][0]["data"])

        threads = [threading.Thread(target=by_grpc), threading.Thread(target=by_http)]
        for thread in threads:
            thread.start()
        until(lambda: waiting_requests(server) == 2)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(timeout=ANSWER_SECONDS) == 0
    finally:
        process.kill()
    _, wanted = expected(small_program(factor=5), values, DOWNWARDS)
    assert answers == [wanted["sum"].ravel().tolist()] * 2


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_who_is_not_answered_in_time_is_told_and_so_is_the_shell(
    folder: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeinfer.ir.engine.engine import Engine

    begun, is_told = threading.Event(), threading.Event()

    def hang(self: Engine, inputs: Any) -> Any:
        begun.set()
        is_told.wait()
        raise ToolFailedError("nobody waits for this")

    monkeypatch.setattr(Engine, "run_fitting", hang)
    settings = RepositorySettings((folder / "small1",))
    results: list[Any] = []
    body = {"inputs": [{**tensor("x", numbers(1)), "data": numbers(1).tolist()}]}

    def one(server: OpenServer) -> None:
        try:
            if protocol == "grpc":
                results.append(infer(server, "small", "x", numbers(1)))
                return
            with contextlib.suppress(OSError, http.client.HTTPException):
                results.append(ask(server.http_port, "POST", "/v2/models/small/infer", body)[0])
        finally:
            is_told.set()

    short = ServerSettings(settings, drain_seconds=0.1)
    with pytest.raises(ToolFailedError, match="--drain-s allows"), running(short) as server:
        thread = threading.Thread(target=one, args=(server,))
        thread.start()
        assert begun.wait(ANSWER_SECONDS)
    thread.join()
    assert results in ([], [503]) or results[0][0] in ("UNAVAILABLE", "CANCELLED")


def test_a_backend_that_fails_is_an_error_of_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeinfer.ir.engine.engine import Engine

    def fail(self: Engine, inputs: Any) -> Any:
        raise ToolFailedError("the machine under it failed")

    with running(ServerSettings(RepositorySettings((folder / "small1",)))) as server:
        before = infer(server, "small", "x", numbers(1))
    monkeypatch.setattr(Engine, "run_fitting", fail)
    with running(ServerSettings(RepositorySettings((folder / "small1",)))) as server:
        status, said = infer(server, "small", "x", numbers(1))
    assert "sum" in before and status == "INTERNAL" and "the machine under it failed" in said


def test_a_run_that_is_none_ends_the_server_at_once(tmp_path: Path) -> None:
    settings = ServerSettings(RepositorySettings((tmp_path,)))
    with pytest.raises(EdgeInferError, match="holds no Program"), running(settings):
        pass
