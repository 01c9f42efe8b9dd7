# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The same requests about shared memory to a real Triton and to ours, one after the other: the same
answers field by field, and the same bytes in the object.

The differences are listed in docs/serving.md, with reasons; `DIFFERENT` holds each of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from edgeinfer.serve.messages import parameter_messages
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import ServerSettings
from edgeinfer.serve.shared import FOLDER, OFFSET, REGION, SIZE
from quantization.fixed import Fixed, Quantizer
from tests.e2e.test_triton import PACKAGES, Served, without_own
from tests.support.environments import environment
from tests.support.serving import ask, call, running, small_program, write_run
from tests.support.triton import real_triton, write_interpreted_model

VALUES = np.random.default_rng(1).uniform(-9, 9, (2, 6)).astype(np.float32)
PAGE = 4096
BYTES = 3 * PAGE  # of an object; an input lies 32 bytes behind its beginning
OBJECTS = ("IN", "OUT", "FREE")
IN: dict[str, Any] = {REGION: "in", SIZE: 48, OFFSET: 32}
OUT: dict[str, Any] = {REGION: "out", SIZE: 16, OFFSET: 8}
PATHS = "/v2/systemsharedmemory"
Step = tuple[str, dict[str, Any]]

REGISTERED: dict[str, Step] = {
    "status, none": ("status", {}),
    "register": ("register", {"name": "in", "key": "IN", "byte_size": PAGE}),
    "register, again": ("register", {"name": "in", "key": "IN", "byte_size": PAGE}),
    "register, another": ("register", {"name": "out", "key": "OUT", "byte_size": 64}),
    "register, behind": (
        "register",
        {"name": "all", "key": "FREE", "offset": PAGE, "byte_size": 64},
    ),
    "status, behind": ("status", {"name": "all"}),
    "unregister, behind": ("unregister", {"name": "all"}),
    "register, second of an object": ("register", {"name": "q", "key": "IN", "byte_size": 8}),
    "unregister, second": ("unregister", {"name": "q"}),
    "register, no object": ("register", {"name": "q", "key": "NONE", "byte_size": 8}),
    "register, no page": ("register", {"name": "q", "key": "FREE", "offset": 8, "byte_size": 8}),
    "unregister, no page": ("unregister", {"name": "q"}),
    "register, nothing": ("register", {"name": "q", "key": "FREE", "byte_size": 0}),
    "unregister, nothing": ("unregister", {"name": "q"}),
    "register, too long": ("register", {"name": "q", "key": "FREE", "byte_size": BYTES + 1}),
    "unregister, too long": ("unregister", {"name": "q"}),
    "status": ("status", {}),
    "status, one": ("status", {"name": "out"}),
    "status, unknown": ("status", {"name": "q"}),
}
INFERRED: dict[str, Step] = {
    "input": ("infer", {"given": IN}),
    "input and output": ("infer", {"given": IN, "wanted": OUT}),
    "output": ("infer", {"wanted": OUT}),
    "output, longer part": ("infer", {"wanted": {**OUT, SIZE: 20}}),
    "input, longer part": ("infer", {"given": {**IN, SIZE: 52}}),
    "input, shorter part": ("infer", {"given": {**IN, SIZE: 44}}),
    "input, beyond": ("infer", {"given": {**IN, OFFSET: PAGE - 40}}),
    "input, far beyond": ("infer", {"given": {**IN, OFFSET: 2 * PAGE}}),
    "input, unknown": ("infer", {"given": {**IN, REGION: "q"}}),
    "output, beyond": ("infer", {"wanted": {**OUT, OFFSET: 60}}),
    "output, far beyond": ("infer", {"wanted": {**OUT, OFFSET: 2 * PAGE}}),
    "output, too short": ("infer", {"wanted": {**OUT, SIZE: 4}}),
    "output, unknown": ("infer", {"wanted": {**OUT, REGION: "q"}}),
}
FORGOTTEN: dict[str, Step] = {
    "unregister": ("unregister", {"name": "in"}),
    "unregister, again": ("unregister", {"name": "in"}),
    "unregister, unknown": ("unregister", {"name": "q"}),
    "input, unregistered": ("infer", {"given": IN}),
    "unregister, all": ("unregister", {}),
    "status, none left": ("status", {}),
    "output, unregistered": ("infer", {"wanted": OUT}),
    "register, no name": ("register", {"name": "", "key": "FREE", "byte_size": 8}),
    "unregister, no name": ("unregister", {}),
}
STEPS = REGISTERED | INFERRED | FORGOTTEN
# What the two answer where they differ: Triton, ours.
DIFFERENT = {
    ("grpc", "register, second of an object"): ("INTERNAL", "OK"),
    ("grpc", "register, no object"): ("INTERNAL", "INVALID_ARGUMENT"),
    ("grpc", "register, no page"): ("INVALID_ARGUMENT", "OK"),
    ("grpc", "register, no name"): ("OK", "INVALID_ARGUMENT"),
    ("grpc", "output, too short"): ("INTERNAL", "INVALID_ARGUMENT"),
    ("http", "register, second of an object"): (500, 200),
    ("http", "register, no object"): (500, 400),
    ("http", "register, no page"): (400, 200),
    ("http", "register, no name"): (400, 404),
    ("http", "output, too short"): (500, 400),
}
# For a second region of an object, Triton takes the number of the descriptor that it has closed
# after the first one. Who has that number by now is chance: nobody (INTERNAL), or a connection,
# which has the size 0 (INVALID_ARGUMENT).
UNSETTLED = "register, second of an object"
REFUSALS: dict[str, tuple[Any, Any]] = {
    "grpc": ("INTERNAL", "INVALID_ARGUMENT"),
    "http": (500, 400),
}


def by_grpc(server: Served, what: str, fields: dict[str, Any]) -> tuple[Any, Any]:
    """The status, and what is in the response."""
    procedure = f"SystemSharedMemory{what.capitalize()}"
    if what == "infer":
        given, wanted = fields.get("given", {}), fields.get("wanted", {})
        tensor = {"name": "x", "datatype": "FP32", "shape": [2, 6]}
        output = {"name": "sum", "parameters": parameter_messages(wanted)}
        procedure, fields = "ModelInfer", {
            "model_name": "small",
            "inputs": [{**tensor, "parameters": parameter_messages(given)}],
            "outputs": [output],
            "raw_input_contents": [] if given else [VALUES.tobytes()],
        }  # fmt: skip
    answer = call(server.grpc_port, procedure, **fields)
    return (answer[0], None) if isinstance(answer, tuple) else ("OK", MessageToDict(answer))


def by_http(server: Served, what: str, fields: dict[str, Any]) -> tuple[Any, Any]:
    """The status, and the answer's JSON."""
    path, method, body = f"{PATHS}/{what}", "POST", b""
    if name := fields.get("name", ""):
        path = f"{PATHS}/region/{name}/{what}"
    if what == "infer":
        given, wanted = fields.get("given", {}), fields.get("wanted", {})
        tensor = {"name": "x", "datatype": "FP32", "shape": [2, 6], "parameters": given}
        output = {"name": "sum", "parameters": wanted}
        data = {} if given else {"data": VALUES.tolist()}
        path, body = "/v2/models/small/infer", {"inputs": [tensor | data], "outputs": [output]}
    elif what == "register":
        body = {"offset": 0} | {k: v for k, v in fields.items() if k != "name"}
    elif what == "status":
        method = "GET"
    status, answer, _ = ask(server.http_port, method, path, body)
    if isinstance(answer, list):
        answer = sorted(answer, key=lambda region: region["name"])
    return status, answer if status == 200 else None


def without_places(answer: Any) -> Any:
    """An answer that does not say where in shared memory its outputs lie, as only ours does."""
    if isinstance(answer, dict) and "outputs" in answer:
        kept = [{k: v for k, v in o.items() if k != "parameters"} for o in answer["outputs"]]
        return answer | {"outputs": kept}
    return answer


def answers(server: Served, protocol: str) -> Iterator[tuple[str, Any, bytes]]:
    """What a server says to each step, and what is in the objects then."""
    mark = f"edgeinfer-test-{uuid4().hex}-"
    paths = [FOLDER / f"{mark}{name}" for name in OBJECTS]
    tell = by_grpc if protocol == "grpc" else by_http
    try:
        for path in paths:
            path.write_bytes(bytes(32) + VALUES.tobytes() + bytes(BYTES - 80))
        for step, (what, fields) in STEPS.items():
            key = {"key": f"/{mark}{fields['key']}"} if "key" in fields else {}
            status, answer = tell(server, what, {**fields, **key})
            text = str(without_places(without_own(answer))).replace(mark, "")
            yield step, (status, text), b"".join(path.read_bytes() for path in paths)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.skipif(
    not os.access(FOLDER, os.W_OK), reason=f"this system keeps no shared memory in {FOLDER}"
)
def test_shared_memory_is_answered_as_by_triton(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = environment(tmp_path_factory, "triton", *PACKAGES)
    run = write_run(tmp_path / "run", small_program(), Quantizer(Fixed(True, 8, 4)))
    write_interpreted_model(tmp_path / "models", run)
    settings = ServerSettings(RepositorySettings((run,)), shared_memory=True)
    results = {}
    with (
        real_triton(python, tmp_path, tmp_path / "models") as triton,
        running(settings) as ours,
    ):
        for protocol in ("grpc", "http"):
            pairs = zip(answers(triton, protocol), answers(ours, protocol), strict=True)
            for (step, theirs, their_object), (_, own, own_object) in pairs:
                status, usual = theirs[0], REFUSALS[protocol]
                if step == UNSETTLED and status in usual:
                    status = usual[0]
                if status != own[0]:
                    results[protocol, step] = (status, own[0])
                else:
                    assert theirs == own, (protocol, step)
                    assert their_object == own_object, (protocol, step)
    assert results == DIFFERENT
