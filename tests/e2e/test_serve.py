# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A server asked by gRPC and HTTP: the interpreter's integers, and an answer to anything sent."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import numpy as np
import pytest

from edgeinfer.serve import computing
from edgeinfer.serve.ask import find_model
from edgeinfer.serve.client import Identity
from edgeinfer.serve.connect import connect
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.served import BatchSettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from tests.support.serving import (
    DOWNWARDS,
    LARSOFT,
    SMALL_BATCHES,
    ask,
    call,
    expected,
    infer,
    numbers,
    pooled_program,
    running,
    small_program,
    tensor,
    waiting_requests,
    write_runs,
)
from tests.support.waiting import until

LONG_US = 1_800_000_000  # for which a request waits for others, if nothing ends the wait
NAME, IMAGE = "cnn_emtrkmichel_1", "main_input"
TRACK, MICHEL = "em_trk_none_netout/Softmax", "michel_netout/Sigmoid"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, and the names that LArSoft's client uses."""
    place = tmp_path_factory.mktemp("serve")
    write_runs(place)
    (place / "names.toml").write_text(LARSOFT)
    return place


@pytest.fixture(scope="module")
def settings(folder: Path) -> ServerSettings:
    """All of them served, in small batches."""
    runs = tuple(folder / name for name in ("tagger", "small1", "small2"))
    names = folder / "names.toml"
    return ServerSettings(RepositorySettings(runs, names, control=True, batching=SMALL_BATCHES))


@pytest.fixture(scope="module")
def server(settings: ServerSettings) -> Iterator[OpenServer]:
    with running(settings) as opened:
        yield opened


def patches(count: int, seed: int = 0) -> np.ndarray:
    """Pictures in real numbers, some of them beyond what the input holds."""
    return np.random.default_rng(seed).uniform(-0.5, 1.2, (count, 48, 48, 1)).astype(np.float32)


def test_real_numbers_become_what_the_interpreter_says(server: OpenServer) -> None:
    for count in (1, 5, 20):
        values = patches(count, count)
        _, wanted = expected(pooled_program(), values)
        result = infer(server, NAME, IMAGE, values)
        assert (result[TRACK] == wanted["track_shower"]).all()
        assert (result[MICHEL] == wanted["michel"]).all()


def test_raw_integers_are_legal(server: OpenServer) -> None:
    raw = np.random.default_rng(0).integers(0, 255, (3, 48, 48, 1), endpoint=True)
    _, wanted = expected(pooled_program(), raw / 256)
    for dtype in (np.uint8, np.int16, np.int32):
        result = infer(server, NAME, IMAGE, raw.astype(dtype))
        assert (result[TRACK] == wanted["track_shower"]).all()
    assert infer(server, NAME, IMAGE, raw.astype(np.int16) - 1)[0] == "INVALID_ARGUMENT"


def test_versions_differ_and_the_newest_answers_unnamed(server: OpenServer) -> None:
    values = numbers(4)
    by_version = {}
    for version, factor in ((1, 3), (2, 5)):
        _, wanted = expected(small_program(factor=factor), values, DOWNWARDS)
        result = infer(server, "small", "x", values, model_version=str(version))
        assert (result["sum"] == wanted["sum"]).all()
        by_version[version] = result["sum"]
    assert (infer(server, "small", "x", values)["sum"] == by_version[2]).all()
    assert (by_version[1] != by_version[2]).any()


def test_http_answers_as_grpc_does_whatever_way_numbers_travel(server: OpenServer) -> None:
    values = numbers(3)
    _, wanted = expected(small_program(factor=5), values, DOWNWARDS)
    head = {**tensor("x", values), "parameters": {"binary_data_size": values.nbytes}}
    start = json.dumps({"id": "7", "inputs": [head]}).encode()
    binary = start + values.tobytes(), {"Inference-Header-Content-Length": str(len(start))}
    plain = json.dumps({"inputs": [{**tensor("x", values), "data": values.tolist()}]}).encode(), {}
    for body, headers in (binary, plain):
        status, answer, _ = ask(server.http_port, "POST", "/v2/models/small/infer", body, headers)
        assert status == 200 and answer["outputs"][0]["data"] == wanted["sum"].ravel().tolist()
    as_bytes = {"name": "sum", "parameters": {"binary_data": True}}
    body = json.dumps({"inputs": [head], "outputs": [as_bytes]}).encode()
    status, answer, result = ask(
        server.http_port, "POST", "/v2/models/small/versions/2/infer",
        body + values.tobytes(), {"Inference-Header-Content-Length": str(len(body))},
    )  # fmt: skip
    end = int(result["Inference-Header-Content-Length"])
    assert status == 200 and answer[end:] == wanted["sum"].tobytes()


def test_the_sequence_of_larsofts_client(server: OpenServer) -> None:
    def one(procedure: str, **fields: Any) -> Any:
        return call(server.grpc_port, procedure, **fields)

    assert one("ServerLive").live
    assert one("ModelReady", name=NAME).ready
    config = one("ModelConfig", name=NAME).config
    assert config.max_batch_size == 300 and config.instance_group[0].count == 2
    metadata = one("ModelMetadata", name=NAME, version="")
    (port,) = metadata.inputs
    assert (port.name, port.datatype, list(port.shape)) == (IMAGE, "FP32", [-1, 48, 48, 1])
    assert [(o.name, list(o.shape)) for o in metadata.outputs] == [
        (TRACK, [-1, 3]),
        (MICHEL, [-1, 1]),
    ]
    before = one("ModelStatistics", name=NAME).model_stats[0]
    values = patches(235)
    result = infer(server, NAME, IMAGE, values, outputs=[{"name": MICHEL}, {"name": TRACK}])
    _, wanted = expected(pooled_program(), values)
    assert list(result) == [MICHEL, TRACK]
    assert (result[TRACK] == wanted["track_shower"]).all()
    after = one("ModelStatistics", name=NAME).model_stats[0]
    assert after.inference_count - before.inference_count == 235
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns


def test_a_stream_is_answered_in_order_with_what_is_wrong_in_its_place(server: OpenServer) -> None:
    request = message_class("ModelInferRequest")
    values = [numbers(2, seed) for seed in range(6)]
    sent = [
        request(
            model_name="small" if i != 3 else "smal", id=str(i), inputs=[tensor("x", v)],
            raw_input_contents=[v.tobytes()],
        )
        for i, v in enumerate(values)
    ]  # fmt: skip
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
        contents = list(stream(iter([m.SerializeToString() for m in sent] + [b"\xff"])))
    answers = [message_class("ModelStreamInferResponse").FromString(c) for c in contents]
    assert "'smal' is not found" in answers[3].error_message
    assert "no ModelInferRequest" in answers[6].error_message
    for i in (0, 1, 2, 4, 5):
        _, wanted = expected(small_program(factor=5), values[i], DOWNWARDS)
        assert answers[i].infer_response.id == str(i)
        assert answers[i].infer_response.raw_output_contents[0] == wanted["sum"].tobytes()


def test_a_client_that_leaves_its_stream_leaves_nothing_behind(folder: Path) -> None:
    values = numbers(2)
    fields = {"inputs": [tensor("x", values)], "raw_input_contents": [values.tobytes()]}
    request = message_class("ModelInferRequest")(model_name="small", **fields).SerializeToString()
    batching = BatchSettings(delay_us=LONG_US)
    settings = RepositorySettings((folder / "small1",), batching=batching)
    with running(ServerSettings(settings)) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
            answers = stream(iter([request] * 100))  # more than are computed ahead
            until(lambda: 64 <= waiting_requests(server) <= 99)
            answers.cancel()
        until(lambda: waiting_requests(server) == 0)


def test_what_a_stream_has_sent_is_answered_before_the_server_ends(folder: Path) -> None:
    values = numbers(2)
    fields = {"inputs": [tensor("x", values)], "raw_input_contents": [values.tobytes()]}
    request = message_class("ModelInferRequest")(model_name="small", **fields).SerializeToString()
    batching = BatchSettings(delay_us=LONG_US)
    settings = RepositorySettings((folder / "small1",), batching=batching)
    end = threading.Event()
    answers: list[bytes] = []

    def requests() -> Iterator[bytes]:
        yield from [request] * 3
        end.wait()

    def read(stream: Any) -> None:
        with contextlib.suppress(grpc.RpcError):
            answers.extend(stream)

    with running(ServerSettings(settings)) as server:
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        call_ = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
        reader = threading.Thread(target=read, args=(call_(requests()),))
        reader.start()
        until(lambda: waiting_requests(server) == 3)
    reader.join()
    end.set()
    channel.close()
    results = [message_class("ModelStreamInferResponse").FromString(a) for a in answers]
    assert len(results) == 3 and not any(answer.error_message for answer in results)


def test_many_clients_at_once_get_their_own_answers(server: OpenServer) -> None:
    wrong: list[int] = []

    def one(seed: int) -> None:
        for turn in range(5):
            values = numbers(1 + (seed + turn) % 11, seed)
            _, wanted = expected(small_program(factor=5), values, DOWNWARDS)
            if (infer(server, "small", "x", values)["sum"] != wanted["sum"]).any():
                wrong.append(seed)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_one_bad_request_of_a_batch_fails_alone(folder: Path, settings: ServerSettings) -> None:
    batching = replace(settings.repository.batching, batch=8, delay_us=LONG_US)
    repository = replace(settings.repository, batching=batching, runs=(folder / "small2",))
    answers: dict[int, Any] = {}
    with running(replace(settings, repository=replace(repository, names=None))) as server:

        def one(seed: int) -> None:
            values = numbers(2, seed)
            if seed == 1:
                values[0, 0] = np.nan
            answers[seed] = infer(server, "small", "x", values)

        threads = [threading.Thread(target=one, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = call(server.grpc_port, "ModelStatistics", name="small").model_stats[0]
    assert answers[1][0] == "INVALID_ARGUMENT" and "NaN or infinity" in answers[1][1]
    for seed in (0, 2, 3):
        _, wanted = expected(small_program(factor=5), numbers(2, seed), DOWNWARDS)
        assert (answers[seed]["sum"] == wanted["sum"]).all()
    assert stats.inference_stats.fail.count == 1
    assert stats.execution_count < 3


def test_names_with_slashes_and_spaces_are_legal(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.toml").write_text("[small]\nname = 'a/b c%'\noutputs = {sum = 'x/y'}")
    settings = RepositorySettings((folder / "small1",), tmp_path / "names.toml")
    with running(ServerSettings(settings)) as server:
        assert "x/y" in infer(server, "a/b c%", "x", numbers(1))
        path = f"/v2/models/{quote('a/b c%', safe='')}"
        assert ask(server.http_port, "GET", path)[1]["name"] == "a/b c%"
        client = connect(f"http://127.0.0.1:{server.http_port}", Identity())
        assert list(find_model(client, None, "").outputs) == ["x/y"]
        (stats,) = client.ask("Statistics", "a/b c%")["model_stats"]
        assert stats["inference_count"] == 1
        client.close()


@pytest.mark.parametrize("step", ["values_of", "_join_rows"])
def test_a_machine_without_memory_fails_a_batch_and_not_the_model(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: Any) -> Any:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(computing, step, fail)
        status, said = infer(server, "small", "x", numbers(1))
    assert status == "INTERNAL" and "no room" in said
    assert "sum" in infer(server, "small", "x", numbers(1))


def test_what_triton_answers_to_questions_is_answered(server: OpenServer) -> None:
    port = server.http_port
    assert ask(port, "GET", "/v2/health/live")[0] == 200
    assert ask(port, "GET", "/v2/health/ready")[0] == 200
    assert ask(port, "GET", "/v2")[1]["name"] == "edgeinfer"
    assert ask(port, "GET", f"/v2/models/{NAME}/ready")[0] == 200
    assert ask(port, "GET", "/v2/models/smal/ready")[0] == 400
    assert ask(port, "GET", "/v2/models/smal")[0] == 404
    assert ask(port, "GET", "/v2/models/small/versions/9")[0] == 404
    assert ask(port, "GET", "/v2/models/small/versions/x")[0] == 404
    assert ask(port, "GET", "/v2/models/smal/stats")[0] == 400
    assert ask(port, "GET", "/v2/models/small")[1]["versions"] == ["1", "2"]
    assert len(ask(port, "GET", "/v2/models/stats")[1]["model_stats"]) == 3
    assert ask(port, "GET", "/v2/systemsharedmemory/status")[1] == []
    assert ask(port, "POST", "/v2/systemsharedmemory/region/a/register", {})[0] == 501
    assert not call(server.grpc_port, "ModelReady", name="smal").ready
    assert call(server.grpc_port, "ModelConfig", name="smal")[0] == "NOT_FOUND"
    assert call(server.grpc_port, "ModelStatistics", name="smal")[0] == "INVALID_ARGUMENT"
    assert call(server.grpc_port, "RepositoryIndex", repository_name="a")[0] == "UNIMPLEMENTED"
    status, text, _ = ask(server.metrics_port, "GET", "/metrics")
    assert status == 200 and b"nv_inference_count{" in text


def test_models_are_unloaded_and_loaded_again(server: OpenServer, folder: Path) -> None:
    assert call(server.grpc_port, "RepositoryModelUnload", model_name="small") is not None
    assert infer(server, "small", "x", numbers(1))[0] == "NOT_FOUND"
    index = ask(server.http_port, "POST", "/v2/repository/index", b"")[1]
    states = [(m["name"], m["version"], m["state"], m.get("reason")) for m in index]
    assert states == [
        (NAME, "1", "READY", None),
        ("small", "1", "UNAVAILABLE", "unloaded"),
        ("small", "2", "UNAVAILABLE", "unloaded"),
    ]
    assert ask(server.http_port, "POST", "/v2/repository/models/small/load", b"")[0] == 200
    _, wanted = expected(small_program(factor=5), numbers(1), DOWNWARDS)
    assert (infer(server, "small", "x", numbers(1))["sum"] == wanted["sum"]).all()
    status, answer, _ = ask(
        server.http_port, "POST", "/v2/repository/models/small/load",
        {"parameters": {"config": "{}"}},
    )  # fmt: skip
    assert status == 501 and "'config'" in answer["error"]
    assert call(server.grpc_port, "RepositoryModelLoad", model_name="smal")[0] == "NOT_FOUND"


def test_clients_may_not_load_unless_they_are_allowed_to(folder: Path) -> None:
    with running(ServerSettings(RepositorySettings((folder / "small1",)))) as server:
        status, said = call(server.grpc_port, "RepositoryModelUnload", model_name="small")
    assert status == "UNAVAILABLE" and "--control" in said


def test_raw_outputs_are_the_interpreters_integers(folder: Path) -> None:
    program, values = pooled_program(), patches(4)
    raw, _ = expected(program, values)
    settings = ServerSettings(RepositorySettings((folder / "tagger",), raw_outputs=True))
    with running(settings) as server:
        result = infer(server, "pooled", "patch", values)
    assert all((result[name] == raw[name]).all() for name in raw)
    assert {v.dtype for v in result.values()} <= {np.dtype(np.int16), np.dtype(np.int32)}


def test_more_than_the_queue_holds_is_refused_and_memory_given_back(folder: Path) -> None:
    settings = RepositorySettings((folder / "tagger",), queue_bytes=40_000)
    with running(ServerSettings(settings)) as server:
        status, said = infer(server, "pooled", "patch", patches(5))
        assert status == "UNAVAILABLE" and "Ask again later" in said
        for _ in range(20):
            assert "track_shower" in infer(server, "pooled", "patch", patches(4))
        body = {"inputs": [{**tensor("patch", patches(5)), "data": patches(5).tolist()}]}
        assert ask(server.http_port, "POST", "/v2/models/pooled/infer", body)[0] == 503
        text = ask(server.metrics_port, "GET", "/metrics")[1].decode()
    assert 'nv_inference_request_failure{model="pooled",version="1",reason="REJECTED"} 2' in text


def test_who_goes_away_is_computed_no_longer(folder: Path) -> None:
    batching = BatchSettings(delay_us=LONG_US)
    settings = RepositorySettings((folder / "small1",), batching=batching)
    values = numbers(1)
    fields = {"inputs": [tensor("x", values)], "raw_input_contents": [values.tobytes()]}
    request = message_class("ModelInferRequest")(model_name="small", **fields).SerializeToString()
    with running(ServerSettings(settings)) as server:
        address = f"127.0.0.1:{server.grpc_port}"
        with grpc.insecure_channel(address) as channel:
            infer_ = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            with pytest.raises(grpc.RpcError) as error:
                infer_(request, timeout=0.3)
            assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            until(lambda: waiting_requests(server) == 0)
            gone = infer_.future(request)
            until(lambda: waiting_requests(server) == 1)
            gone.cancel()
            until(lambda: waiting_requests(server) == 0)
        body = json.dumps({"inputs": [{**tensor("x", values), "data": values.tolist()}]}).encode()
        head = b"POST /v2/models/small/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
            connection.sendall(head % len(body) + body)
            until(lambda: waiting_requests(server) == 1)
        until(lambda: waiting_requests(server) == 0)
        text = ask(server.metrics_port, "GET", "/metrics")[1].decode()
        left = re.search(r'reason="CANCELED"} (\d+)', text)
        assert left and int(left[1]) in (2, 3)  # the first may have gone before it was there


def test_messages_that_are_too_large_are_refused(folder: Path) -> None:
    settings = ServerSettings(RepositorySettings((folder / "tagger",)), message_bytes=20_000)
    with running(settings) as server:
        assert infer(server, "pooled", "patch", patches(3))[0] == "RESOURCE_EXHAUSTED"
        body = b"{" + b" " * 30_000
        with contextlib.suppress(ConnectionError):  # it need not read on
            assert ask(server.http_port, "POST", "/v2/models/pooled/infer", body)[0] in (400, 413)
        packed = gzip.compress(b" " * 1_000_000)
        headers = {"Content-Encoding": "gzip"}
        result = ask(server.http_port, "POST", "/v2/models/pooled/infer", packed, headers)
        assert result[0] == 413 and "unpacks to more than 20000 bytes" in result[1]["error"]
        assert "michel" in infer(server, "pooled", "patch", patches(1))


def test_half_open_connections_keep_nobody_waiting(server: OpenServer) -> None:
    sockets = [socket.create_connection(("127.0.0.1", server.http_port)) for _ in range(50)]
    sockets += [socket.create_connection(("127.0.0.1", server.grpc_port)) for _ in range(50)]
    for i, each in enumerate(sockets[:50]):
        each.sendall(
            b"POST /v2/models/small/infer HTTP/1.1\r\nContent-Length: 500\r\n\r\n"[: 9 + i]
        )
    assert "sum" in infer(server, "small", "x", numbers(1))
    assert ask(server.http_port, "GET", "/v2/health/live")[0] == 200
    for each in sockets:
        each.close()
