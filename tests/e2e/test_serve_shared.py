# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tensors in shared memory: the same integers as sent ones, and what clients may do wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.serve import shared
from edgeinfer.serve.messages import parameter_messages
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from edgeinfer.serve.shared import FOLDER, OFFSET, REGION, SIZE
from tests.support.serving import (
    DOWNWARDS,
    ask,
    call,
    expected,
    numbers,
    running,
    small_program,
    write_run,
)

pytestmark = pytest.mark.skipif(
    not os.access(FOLDER, os.W_OK), reason=f"this system keeps no shared memory in {FOLDER}"
)
VALUES = numbers(5)
IN = {REGION: "in", SIZE: VALUES.nbytes, OFFSET: 8}
OUT = {REGION: "out", SIZE: 64, OFFSET: 16}
SENT: dict[str, Any] = {}  # parameters of a tensor that is not shared
PATHS = "/v2/systemsharedmemory"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenServer]:
    """A small model for clients that share memory."""
    run = write_run(tmp_path_factory.mktemp("shared") / "small", small_program(), DOWNWARDS)
    settings = ServerSettings(RepositorySettings((run,)), shared_memory=True, message_bytes=10_000)
    with running(settings) as opened:
        yield opened


@pytest.fixture
def memory(server: OpenServer) -> Iterator[Path]:
    """An object with the input 100 bytes behind its beginning; its regions `in` and `out`."""
    path = FOLDER / f"edgeinfer-test-{uuid4().hex}"
    path.write_bytes(bytes(100) + VALUES.tobytes() + bytes(20_000))
    assert register(server, "in", path.name, 92, 12_000) is not None
    region = {"key": f"/{path.name}", "offset": 1000, "byte_size": 80}
    assert ask(server.http_port, "POST", f"{PATHS}/region/out/register", region)[0] == 200
    yield path
    ask(server.http_port, "POST", f"{PATHS}/unregister")
    path.unlink(missing_ok=True)


def register(server: OpenServer, name: str, key: str, offset: int, byte_size: int) -> Any:
    fields = {"name": name, "key": key, "offset": offset, "byte_size": byte_size}
    return call(server.grpc_port, "SystemSharedMemoryRegister", **fields)


def by_grpc(
    server: OpenServer,
    given: dict[str, Any] = IN,
    wanted: dict[str, Any] = SENT,
    values: np.ndarray = VALUES,
    datatype: str = "FP32",
) -> Any:
    tensor = {"name": "x", "datatype": datatype, "shape": values.shape}
    return call(
        server.grpc_port, "ModelInfer", model_name="small",
        inputs=[{**tensor, "parameters": parameter_messages(given)}],
        outputs=[{"name": "sum", "parameters": parameter_messages(wanted)}],
    )  # fmt: skip


def by_http(
    server: OpenServer, given: dict[str, Any] = IN, wanted: dict[str, Any] = SENT, **more: Any
) -> tuple[int, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": VALUES.shape, "parameters": given}
    body = {"inputs": [{**tensor, **more}], "outputs": [{"name": "sum", "parameters": wanted}]}
    return ask(server.http_port, "POST", "/v2/models/small/infer", body)[:2]


def wanted_sum(values: np.ndarray = VALUES) -> np.ndarray:
    return np.asarray(expected(small_program(), values, DOWNWARDS)[1]["sum"])


def test_inputs_are_read_from_a_region_and_outputs_written_there(
    server: OpenServer, memory: Path
) -> None:
    wanted = wanted_sum()
    answer = by_grpc(server)
    assert answer.raw_output_contents == [wanted.tobytes()]
    answer = by_grpc(server, IN, OUT)
    (output,) = answer.outputs
    assert answer.raw_output_contents == [b""]
    assert list(output.shape) == [5, 1] and output.parameters[REGION].string_param == "out"
    assert (output.parameters[SIZE].int64_param, output.parameters[OFFSET].int64_param) == (20, 16)
    assert memory.read_bytes()[1016:1036] == wanted.tobytes()
    with memory.open("r+b") as file:
        file.seek(1016)
        file.write(bytes(20))
    status, body = by_http(server, IN, OUT)
    (output,) = body["outputs"]
    assert status == 200 and output["parameters"] == {REGION: "out", SIZE: 20, OFFSET: 16}
    assert "data" not in output and memory.read_bytes()[1016:1036] == wanted.tobytes()
    assert by_http(server)[1]["outputs"][0]["data"] == wanted.ravel().tolist()
    assert "system_shared_memory" in ask(server.http_port, "GET", "/v2")[1]["extensions"]


def test_regions_are_listed_and_forgotten(server: OpenServer, memory: Path) -> None:
    out = {"name": "out", "key": f"/{memory.name}", "offset": 1000, "byte_size": 80}
    assert ask(server.http_port, "GET", f"{PATHS}/region/out/status")[1] == [out]
    assert {r["name"] for r in ask(server.http_port, "GET", f"{PATHS}/status")[1]} == {"in", "out"}
    answer = call(server.grpc_port, "SystemSharedMemoryStatus")
    assert answer.regions["out"].byte_size == 80 and set(answer.regions) == {"in", "out"}
    assert ask(server.http_port, "GET", f"{PATHS}/region/none/status")[0] == 404
    assert call(server.grpc_port, "SystemSharedMemoryStatus", name="none")[0] == "NOT_FOUND"
    for _ in range(2):
        assert ask(server.http_port, "POST", f"{PATHS}/region/out/unregister")[0] == 200
    assert by_grpc(server, IN, OUT)[0] == "NOT_FOUND"
    assert by_grpc(server).outputs
    call(server.grpc_port, "SystemSharedMemoryUnregister")
    assert by_http(server)[0] == 404


def test_requests_that_do_not_fit_their_region_are_refused(
    server: OpenServer, memory: Path
) -> None:
    wrong: list[tuple[dict[str, Any], dict[str, Any], str, int]] = [
        ({REGION: "none", SIZE: 120}, {}, "NOT_FOUND", 404),
        ({REGION: "in"}, {}, "INVALID_ARGUMENT", 400),
        ({SIZE: 120}, {}, "INVALID_ARGUMENT", 400),
        ({OFFSET: 0}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, SIZE: "120"}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, REGION: 5}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, SIZE: 119}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, SIZE: -1}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, SIZE: 2**63 - 1}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, OFFSET: -8}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, OFFSET: 12_001}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, OFFSET: 11_990}, {}, "INVALID_ARGUMENT", 400),
        ({**IN, SIZE: 11_000}, {}, "RESOURCE_EXHAUSTED", 413),  # than a message may have
        (IN, {**OUT, REGION: "none"}, "NOT_FOUND", 404),
        (IN, {**OUT, SIZE: 65}, "INVALID_ARGUMENT", 400),
        (IN, {**OUT, SIZE: 19}, "INVALID_ARGUMENT", 400),
        (IN, {**OUT, "classification": 1}, "UNIMPLEMENTED", 501),
    ]
    for given, asked, code, status in wrong:
        assert by_grpc(server, given, asked)[0] == code, (given, asked)
        assert by_http(server, given, asked)[0] == status, (given, asked)
    assert by_http(server, IN, data=VALUES.tolist())[0] == 400
    assert by_grpc(server).outputs


def test_objects_that_cannot_be_registered_are_refused(
    server: OpenServer, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert register(server, "in", memory.name, 0, 8)[0] == "ALREADY_EXISTS"
    link = FOLDER / f"{memory.name}-link"
    pipe = FOLDER / f"{memory.name}-pipe"
    link.symlink_to(memory)
    os.mkfifo(pipe)
    try:
        for key in ("", "/", ".", "/..", "/../etc/passwd", "a/b", "/a\0b", "/none", link.name,
                    pipe.name, "/" + "a" * 5000):  # fmt: skip
            assert register(server, "new", key, 0, 8)[0] == "INVALID_ARGUMENT", key
    finally:
        link.unlink()
        pipe.unlink()
    size = memory.stat().st_size
    for offset, length in ((0, size + 1), (size, 1), (2**64 - 1, 8), (0, 0), (0, 2**64 - 1)):
        assert register(server, "new", memory.name, offset, length)[0] == "INVALID_ARGUMENT"
    assert register(server, "", memory.name, 0, 8)[0] == "INVALID_ARGUMENT"
    assert register(server, "n" * 256, memory.name, 0, 8)[0] == "INVALID_ARGUMENT"
    path = f"{PATHS}/region/new/register"
    for body in ({"key": "/a"}, {"byte_size": 8}, {"key": 5, "byte_size": 8}, [], b"{",
                 {"key": f"/{memory.name}", "byte_size": -1},
                 {"key": f"/{memory.name}", "byte_size": 8, "offset": 10**30},
                 {"key": "/\ud800", "byte_size": 8}):  # fmt: skip
        assert ask(server.http_port, "POST", path, body)[0] == 400, body
    own = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: own + 1)
        said = register(server, "new", memory.name, 0, 8)
    assert said[0] == "INVALID_ARGUMENT" and "does not belong" in said[1]
    with monkeypatch.context() as patch:
        patch.setattr(shared, "MOST_REGIONS", 2)
        assert register(server, "new", memory.name, 0, 8)[0] == "UNAVAILABLE"
    assert by_grpc(server).outputs


def test_a_client_that_shortens_or_changes_its_object_harms_itself_alone(
    server: OpenServer, memory: Path
) -> None:
    os.truncate(memory, 150)
    for answer in (by_grpc(server), by_grpc(server, {**IN, OFFSET: 0}, OUT)):
        assert answer[0] == "INVALID_ARGUMENT" and "has become shorter" in answer[1]
    assert by_http(server)[0] == 400
    os.truncate(memory, 20_000)
    memory.write_bytes(bytes(100) + np.full((5, 6), 128, "<i2").tobytes() + bytes(20_000))
    assert "holds the raw integer 128" in by_grpc(server, {**IN, SIZE: 60}, {}, VALUES, "INT16")[1]
    memory.unlink()  # the server still has it
    zeros = np.zeros((5, 6), np.int16)
    given = {**IN, SIZE: 60, OFFSET: 200}
    answer = by_grpc(server, given, {}, zeros, "INT16")
    assert answer.raw_output_contents == [wanted_sum(np.zeros((5, 6), np.float32)).tobytes()]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_bench_serve_puts_its_input_into_a_region(
    protocol: str, server: OpenServer, capsys: pytest.CaptureFixture[str]
) -> None:
    port = {"grpc": server.grpc_port, "http": server.http_port}[protocol]
    there = set(FOLDER.iterdir())
    tokens = ["--seconds", "0.1", "--concurrency", "2", "--json", "--shared-memory"]
    for more in (("--datatype", "INT8"), ()):
        url = f"{protocol}://127.0.0.1:{port}"
        assert main(["bench-serve", url, *tokens, *more]) == 0
        document = json.loads(capsys.readouterr().out)
        (row,) = document["results"]
        assert document["shared_memory"] and row["requests"] and not row["errors"]
    assert ask(server.http_port, "GET", f"{PATHS}/status")[1] == []
    assert not {path for path in set(FOLDER.iterdir()) - there if "edgeinfer-" in path.name}


def test_serve_refuses_to_share_memory_with_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "small", small_program(), DOWNWARDS)
    assert main(["serve", str(run), "--bind", "0.0.0.0", "--shared-memory"]) == 2
    assert "--tls-client-ca" in capsys.readouterr().err
