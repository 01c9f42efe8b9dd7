# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The same requests to a real Triton and to ours: the same answers, and the same kinds of refusals.

The differences are listed in docs/serving.md, with reasons; `DIFFERENT` holds each of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.served import BatchSettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from quantization.fixed import Fixed, Quantizer
from tests.support.environments import environment
from tests.support.serving import ask, call, running, small_program, write_run
from tests.support.triton import Triton, real_triton, write_interpreted_model

Served = OpenServer | Triton
PACKAGES = ("nvidia-pytriton==0.7.0", "onnxruntime")
VALUES = np.random.default_rng(0).uniform(-9, 9, (2, 6)).astype(np.float32)
LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/small/infer"


def by_grpc(**changed: Any) -> dict[str, Any]:
    """A request, with something changed."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 6]}
    tensor |= {k: changed.pop(k) for k in ("name", "datatype", "shape", "contents") if k in changed}
    fields = {"model_name": "small", "id": "7", "inputs": [tensor]}
    return {**fields, "raw_input_contents": [VALUES.tobytes()], **changed}


GRPC: dict[str, tuple[str, dict[str, Any]]] = {
    "live": ("ServerLive", {}),
    "ready": ("ServerReady", {}),
    "model ready": ("ModelReady", {"name": "small"}),
    "model ready, version": ("ModelReady", {"name": "small", "version": "1"}),
    "unknown model ready": ("ModelReady", {"name": "smal"}),
    "unknown version ready": ("ModelReady", {"name": "small", "version": "9"}),
    "no version ready": ("ModelReady", {"name": "small", "version": "a"}),
    "metadata": ("ModelMetadata", {"name": "small"}),
    "unknown metadata": ("ModelMetadata", {"name": "smal"}),
    "unknown config": ("ModelConfig", {"name": "smal"}),
    "unknown statistics": ("ModelStatistics", {"name": "smal"}),
    "unknown version's statistics": ("ModelStatistics", {"name": "small", "version": "9"}),
    "index": ("RepositoryIndex", {}),
    "index, ready": ("RepositoryIndex", {"ready": True}),
    "index of another": ("RepositoryIndex", {"repository_name": "a"}),
    "load": ("RepositoryModelLoad", {"model_name": "small"}),
    "unload": ("RepositoryModelUnload", {"model_name": "smal"}),
    "infer": ("ModelInfer", by_grpc()),
    "infer, version": ("ModelInfer", by_grpc(model_version="1")),
    "infer, unknown version": ("ModelInfer", by_grpc(model_version="9")),
    "infer, no version": ("ModelInfer", by_grpc(model_version="a")),
    "infer, unknown model": ("ModelInfer", by_grpc(model_name="smal")),
    "infer, numbers": (
        "ModelInfer",
        by_grpc(raw_input_contents=[], contents={"fp32_contents": VALUES.ravel().tolist()}),
    ),
    "infer, few numbers": (
        "ModelInfer", by_grpc(raw_input_contents=[], contents={"fp32_contents": [1.0]})
    ),
    "infer, bytes and numbers": (
        "ModelInfer", by_grpc(contents={"fp32_contents": VALUES.ravel().tolist()})
    ),
    "infer, no data": ("ModelInfer", by_grpc(raw_input_contents=[])),
    "infer, short": ("ModelInfer", by_grpc(raw_input_contents=[VALUES.tobytes()[:-1]])),
    "infer, more bytes": ("ModelInfer", by_grpc(raw_input_contents=[VALUES.tobytes()] * 2)),
    "infer, shape": ("ModelInfer", by_grpc(shape=[3, 4])),
    "infer, rank": ("ModelInfer", by_grpc(shape=[2, 6, 1])),
    "infer, negative": ("ModelInfer", by_grpc(shape=[-2, 6])),
    "infer, nothing": ("ModelInfer", by_grpc(shape=[0, 6], raw_input_contents=[b""])),
    "infer, many": (
        "ModelInfer", by_grpc(shape=[301, 6], raw_input_contents=[bytes(301 * 24)])
    ),
    "infer, datatype": ("ModelInfer", by_grpc(datatype="FP64")),
    "infer, no datatype": ("ModelInfer", by_grpc(datatype="Q")),
    "infer, integers": ("ModelInfer", by_grpc(datatype="INT32", raw_input_contents=[bytes(48)])),
    "infer, name": ("ModelInfer", by_grpc(name="y")),
    "infer, no inputs": ("ModelInfer", by_grpc(inputs=[], raw_input_contents=[])),
    "infer, output": ("ModelInfer", by_grpc(outputs=[{"name": "sum"}])),
    "infer, unknown output": ("ModelInfer", by_grpc(outputs=[{"name": "q"}])),
    "no message": ("ModelInfer", {"content": b"\xff\xff\xff"}),
}  # fmt: skip


def by_http(**changed: Any) -> dict[str, Any]:
    """The JSON of a request, with something changed."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 6], "data": VALUES.tolist()}
    return {"inputs": [{**tensor, **changed}]}


def in_bytes(more: bytes = b"", less: int = 48) -> tuple[bytes, dict[str, str]]:
    """A body with the input behind its JSON."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 6]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 48}}]}).encode()
    return head + VALUES.tobytes()[:less] + more, {LENGTH: str(len(head))}


AS_BYTES = {"name": "sum", "parameters": {"binary_data": True}}
HTTP: dict[str, tuple[Any, ...]] = {
    "live": ("GET", "/v2/health/live"),
    "ready": ("GET", "/v2/health/ready"),
    "model ready": ("GET", "/v2/models/small/ready"),
    "unknown model ready": ("GET", "/v2/models/smal/ready"),
    "version ready": ("GET", "/v2/models/small/versions/1/ready"),
    "unknown version ready": ("GET", "/v2/models/small/versions/9/ready"),
    "no version ready": ("GET", "/v2/models/small/versions/a/ready"),
    "metadata": ("GET", "/v2/models/small"),
    "version's metadata": ("GET", "/v2/models/small/versions/1"),
    "unknown metadata": ("GET", "/v2/models/smal"),
    "unknown config": ("GET", "/v2/models/smal/config"),
    "unknown statistics": ("GET", "/v2/models/smal/stats"),
    "nowhere": ("GET", "/v2/nothing"),
    "shared memory status": ("GET", "/v2/systemsharedmemory/status"),
    "index": ("POST", "/v2/repository/index"),
    "load": ("POST", "/v2/repository/models/small/load"),
    "unload": ("POST", "/v2/repository/models/smal/unload"),
    "wrong method": ("GET", INFER),
    "infer": ("POST", INFER, by_http()),
    "infer, flat": ("POST", INFER, by_http(data=VALUES.ravel().tolist())),
    "infer, id": ("POST", INFER, {**by_http(), "id": "abc"}),
    "infer, bytes": ("POST", INFER, *in_bytes()),
    "infer, bytes out": ("POST", INFER, {**by_http(), "outputs": [AS_BYTES]}),
    "infer, all bytes out": (
        "POST", INFER, {**by_http(), "parameters": {"binary_data_output": True}}
    ),
    "infer, few bytes": ("POST", INFER, *in_bytes(less=40)),
    "infer, more bytes": ("POST", INFER, *in_bytes(b"1234")),
    "infer, long JSON": ("POST", INFER, by_http(), {LENGTH: "50000"}),
    "infer, unknown model": ("POST", "/v2/models/smal/infer", by_http()),
    "infer, unknown version": ("POST", "/v2/models/small/versions/9/infer", by_http()),
    "infer, datatype": ("POST", INFER, by_http(datatype="FP64")),
    "infer, no datatype": ("POST", INFER, by_http(datatype="Q")),
    "infer, name": ("POST", INFER, by_http(name="y")),
    "infer, no data": ("POST", INFER, {"inputs": [{"name": "x", "datatype": "FP32",
                                                   "shape": [2, 6]}]}),
    "infer, many": ("POST", INFER, by_http(shape=[301, 6], data=[0.0] * 301 * 6)),
    "infer, nothing": ("POST", INFER, by_http(shape=[0, 6], data=[])),
    "infer, unknown output": ("POST", INFER, {**by_http(), "outputs": [{"name": "q"}]}),
    "infer, no inputs": ("POST", INFER, {"inputs": []}),
    "infer, twice": ("POST", INFER, {"inputs": by_http()["inputs"] * 2}),
    "infer, encoding": ("POST", INFER, by_http(), {"Content-Encoding": "br"}),
    "infer, no JSON": ("POST", INFER, b"{"),
    "infer, list": ("POST", INFER, b"[]"),
    "infer, shape": ("POST", INFER, by_http(shape=[2, 7])),
    "infer, text": ("POST", INFER, by_http(data=["a"] * 12)),
}  # fmt: skip

# What the two answer where they differ: Triton, ours.
DIFFERENT = {
    ("grpc", "infer, integers"): ("INVALID_ARGUMENT", "OK"),
    ("grpc", "infer, more bytes"): ("OK", "INVALID_ARGUMENT"),
    ("grpc", "no message"): ("INTERNAL", "INVALID_ARGUMENT"),
    ("http", "wrong method"): (405, 404),
    ("http", "infer, no JSON"): (500, 400),
    ("http", "infer, list"): (500, 400),
    ("http", "infer, shape"): (500, 400),
    ("http", "infer, text"): (500, 400),
}
# Fields that say which server it is.
OWN = {"platform", "backend", "parameters", "version_policy", "default_model_filename"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Triton, OpenServer]]:
    """Triton and ours with the same Program."""
    python = environment(tmp_path_factory, "triton", *PACKAGES)
    folder = tmp_path_factory.mktemp("triton")
    run = write_run(folder / "run", small_program(), Quantizer(Fixed(True, 8, 4)))
    batching = BatchSettings(largest_request=300)
    write_interpreted_model(folder / "models", run)
    with (
        real_triton(python, folder, folder / "models") as triton,
        running(ServerSettings(RepositorySettings((run,), batching=batching))) as ours,
    ):
        yield triton, ours


def grpc_answer(server: Served, case: str) -> tuple[Any, Any]:
    """The status, and what is in the response."""
    procedure, fields = GRPC[case]
    response = call(server.grpc_port, procedure, **fields)
    if isinstance(response, tuple):
        return response[0], None
    return "OK", MessageToDict(response)


def http_answer(server: Served, case: str) -> tuple[Any, Any]:
    """The status, and the JSON and bytes of the answer."""
    status, answer, headers = ask(server.http_port, *HTTP[case])
    if isinstance(answer, bytes) and LENGTH in headers:
        end = int(headers[LENGTH])
        answer = (json.loads(answer[:end]), answer[end:])
    return status, answer if status == 200 else None


def without_own(answer: Any) -> Any:
    return {k: v for k, v in answer.items() if k not in OWN} if isinstance(answer, dict) else answer


CASES = [("grpc", case) for case in GRPC] + [("http", case) for case in HTTP]


@pytest.mark.slow
def test_the_answers_are_the_same(both: tuple[Triton, OpenServer]) -> None:
    results = {}
    for protocol, case in CASES:
        answer = grpc_answer if protocol == "grpc" else http_answer
        (status, theirs), (own_status, ours) = (answer(server, case) for server in both)
        if status != own_status:
            results[protocol, case] = (status, own_status)
        elif (protocol, case) not in DIFFERENT:
            assert without_own(theirs) == without_own(ours), (protocol, case)
    assert results == DIFFERENT


@pytest.mark.slow
def test_what_our_configuration_says_triton_says_too(both: tuple[Triton, OpenServer]) -> None:
    theirs, ours = (ask(server.http_port, "GET", "/v2/models/small/config")[1] for server in both)
    assert subset(without_own(ours), theirs)


def subset(part: Any, whole: Any) -> bool:
    """Whether all that one says the other says too."""
    match part:
        case dict():
            return all(key in whole and subset(value, whole[key]) for key, value in part.items())
        case list():
            return len(part) == len(whole) and all(map(subset, part, whole))
        case _:
            return bool(part == whole)


@pytest.mark.slow
def test_statistics_count_the_same(both: tuple[Triton, OpenServer]) -> None:
    counts = []
    for server in both:
        before = ask(server.http_port, "GET", "/v2/models/small/stats")[1]["model_stats"][0]
        for _ in range(3):
            assert ask(server.http_port, "POST", INFER, by_http())[0] == 200
        ask(server.http_port, "POST", INFER, by_http(name="y"))
        after = ask(server.http_port, "GET", "/v2/models/small/stats")[1]["model_stats"][0]
        assert after["last_inference"] > 1_500_000_000_000
        counts.append(
            {
                "samples": after["inference_count"] - before["inference_count"],
                "batches": after["execution_count"] - before["execution_count"],
                "sizes": [batch["batch_size"] for batch in after["batch_stats"]],
                **{
                    key: value["count"] - before["inference_stats"][key]["count"]
                    for key, value in after["inference_stats"].items()
                },
            }
        )
    assert counts[0] == counts[1]
    assert counts[0]["samples"] == 6 and counts[0]["success"] == 3 and counts[0]["fail"] == 0
