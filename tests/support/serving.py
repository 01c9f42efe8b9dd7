# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A server of the protocol in this process, and runs that it can serve."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from edgeinfer.evaluate.judge import real_outputs
from edgeinfer.ir import store
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Dense, Input, pack_weights
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.run.result import PROGRAM, RECIPE
from edgeinfer.serve.background import BackgroundServer
from edgeinfer.serve.frames import END_HEADERS, PREFACE, FrameKind, frame
from edgeinfer.serve.headers import Headers, pack_headers
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.served import BatchSettings
from edgeinfer.serve.server import OpenServer, ServerSettings
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding, quantize
from quantization.recipe import Recipe
from tests.support.hit_tagger_programs import INPUT, POOLED, hit_tagger

HOSTS = {"track_shower": HostFunction.SOFTMAX, "michel": HostFunction.SIGMOID}
INPUT_QUANTIZER = Quantizer(INPUT, Rounding.RND_CONV, Overflow.SAT)
DOWNWARDS = Quantizer(Fixed(True, 8, 4), Rounding.TRN)  # not what is rounded in float32
ANSWER_SECONDS = 120.0  # in which even a busy machine answers
SMALL_BATCHES = BatchSettings(largest_request=300, batch=8, instances=2)
# How LArSoft's client names the network of the hit tagger.
LARSOFT = """
[pooled]
name = "cnn_emtrkmichel_1"
inputs = {patch = "main_input"}
outputs = {track_shower = "em_trk_none_netout/Softmax", michel = "michel_netout/Sigmoid"}
"""


def pooled_program() -> Program:
    """The pooled hit tagger with its heads' functions left to the host."""
    program = hit_tagger(POOLED).program
    outputs = tuple(Output(o.name, o.value, HOSTS[o.name]) for o in program.outputs)
    return replace(program, outputs=outputs)


def write_run(folder: Path, program: Program, quantizer: Quantizer | None = None) -> Path:
    """As much of a run folder as a server reads; inputs are rounded to their own types, to even."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROGRAM).write_bytes(store.save(program))
    recipe = Recipe.of({op.name: quantizer or Quantizer(op.type) for op in program.inputs}, {})
    (folder / RECIPE).write_text(recipe.to_toml())
    return folder


def write_runs(folder: Path) -> tuple[Path, ...]:
    """Three runs: the pooled hit tagger, and two versions of a small model."""
    return (
        write_run(folder / "tagger", pooled_program()),
        write_run(folder / "small1", small_program(), DOWNWARDS),
        write_run(folder / "small2", small_program(factor=5), DOWNWARDS),
    )


def small_program(name: str = "small", factor: int = 3) -> Program:
    """Six numbers of `fixed<8,4>`, their sum times a factor."""
    builder = ProgramBuilder(name)
    builder.add(Input("x", Fixed(True, 8, 4), (6,)))
    weight = pack_weights(np.full((6, 1), factor))
    bias = pack_weights(np.zeros(1, np.int64))
    type_ = Fixed(True, 8, 8)
    builder.exact(Dense("sum", provisional(4), "x", weight, type_, bias))
    return builder.program((Output("sum", "sum"),))


def expected(
    program: Program, values: NDArray[Any], quantizer: Quantizer = INPUT_QUANTIZER
) -> tuple[Mapping[str, Ints], Mapping[str, NDArray[Any]]]:
    """Raw outputs as the interpreter has them, and real ones as a client gets them."""
    raw = quantize(values, quantizer)
    result = results(program, interpret(program, {program.inputs[0].name: raw}))
    real = {name: v.astype(np.float32) for name, v in real_outputs(program, result).items()}
    return result, real


@contextlib.contextmanager
def running(settings: ServerSettings) -> Iterator[OpenServer]:
    """A server on free ports, in a thread of its own."""
    with BackgroundServer(replace(settings, grpc_port=0, http_port=0, metrics_port=0)) as server:
        yield server.opened


def call(port: int, procedure: str, content: bytes | None = None, **fields: Any) -> Any:
    """A gRPC call; the response, or the status and what was said."""
    stem = "ModelInfer" if procedure == "ModelStreamInfer" else procedure
    if content is None:
        content = message_class(f"{stem}Request")(**fields).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = channel.unary_unary(f"/{SERVICE}/{procedure}")(content, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return message_class(f"{procedure}Response").FromString(answer)


def ask(
    port: int, method: str, path: str, body: bytes | Any = b"", headers: Mapping[str, str] = {}
) -> tuple[int, Any, Mapping[str, str]]:
    """An HTTP request; its status, the answer's JSON or bytes, its headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, content, dict(headers))
    response = connection.getresponse()
    answer: Any = response.read()
    found = dict(response.getheaders())
    connection.close()
    if answer and found.get("Content-Type") == "application/json":
        answer = json.loads(answer)
    return response.status, answer, found


def waiting_requests(server: OpenServer) -> int:
    """How many requests of the small model wait to be computed."""
    text = ask(server.metrics_port, "GET", "/metrics")[1].decode()
    found = re.search(r'^nv_inference_pending_request_count{model="small".*} (\d+)$', text, re.M)
    return int(found[1]) if found else 0


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-9, 9, (count, 6)).astype(np.float32)


def call_headers(procedure: str = "ModelInfer", *more: tuple[bytes, bytes]) -> Headers:
    """The headers of a gRPC call."""
    return (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", f"/{SERVICE}/{procedure}".encode()),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *more,
    )


def begun_call(length: int) -> bytes:
    """The first bytes of a gRPC connection: a call, and of its message nothing but the length."""
    head = frame(FrameKind.HEADERS, END_HEADERS, 1, pack_headers(call_headers()))
    data = frame(FrameKind.DATA, 0, 1, b"\0" + length.to_bytes(4))
    return PREFACE + frame(FrameKind.SETTINGS, 0, 0) + head + data


def tensor(name: str, values: np.ndarray, datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": values.shape}


def infer(server: OpenServer, model: str, name: str, values: np.ndarray, **more: Any) -> Any:
    """A request by gRPC, and its outputs as arrays."""
    datatype = {"f": "FP32", "i": f"INT{8 * values.itemsize}"}.get(values.dtype.kind, "UINT8")
    fields = {"inputs": [tensor(name, values, datatype)], "raw_input_contents": [values.tobytes()]}
    response = call(server.grpc_port, "ModelInfer", model_name=model, **{**fields, **more})
    if isinstance(response, tuple):
        return response
    dtypes = {"FP32": np.float32, "INT16": np.int16, "INT32": np.int32}
    return {
        o.name: np.frombuffer(raw, dtypes[o.datatype]).reshape(tuple(o.shape))
        for o, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
