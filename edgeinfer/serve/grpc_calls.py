# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The protocol's messages turned into calls to the repository, and its answers into messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from edgeinfer.base.version import __version__
from edgeinfer.serve.faults import invalid, refusal_of
from edgeinfer.serve.messages import message_class
from edgeinfer.serve.repository import InferAnswer, InferCall, Repository, statistics_of
from edgeinfer.serve.served import described_server
from edgeinfer.serve.tensors import WireTensor, bytes_of, tensor_of_bytes, tensor_of_numbers
from edgeinfer.serve.wire import cut_request

CONTENTS = {  # where a tensor's numbers are if they are not bytes
    "FP32": "fp32_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
}
SHARED_MEMORY = "shared_memory_region"
FINAL_ASKED = "triton_enable_empty_final_response"
Answer = Callable[[Any], Awaitable[Mapping[str, Any]]]  # a request to its response's fields


def parse_message(name: str, content: bytes) -> Any:
    """A message of a class, or an error where the bytes are none."""
    try:
        return message_class(name).FromString(content)
    except DecodeError:
        raise invalid(f"These {len(content)} bytes are no {name} message.") from None


def message_of_fields(name: str, fields: Mapping[str, Any]) -> Any:
    """A message from its fields by their names."""
    return json_format.ParseDict(fields, message_class(name)())


def call_of_bytes(content: bytes) -> tuple[InferCall, bool]:
    """What a request for an inference asks, and whether its answer is to say that it is the last.
    Nothing but the tensors keeps the bytes alive."""
    rest, raw = cut_request(content)
    request = parse_message("ModelInferRequest", rest)
    call = call_of_message(request, request.raw_input_contents if raw is None else raw)
    return call, request.parameters[FINAL_ASKED].bool_param


def call_of_message(request: Any, raw: Sequence[bytes | memoryview]) -> InferCall:
    """What a request asks, of whose inputs these are the bytes."""
    if raw and len(raw) != len(request.inputs):
        raise invalid(
            f"The request has {len(request.inputs)} inputs, and bytes for {len(raw)} of them."
        )
    tensors: list[WireTensor] = []
    for index, tensor in enumerate(request.inputs):
        if SHARED_MEMORY in tensor.parameters:
            raise refusal_of("Shared memory", hint="Send the tensor's bytes.")
        shape = list(tensor.shape)
        if raw:
            if tensor.HasField("contents"):
                raise invalid(f"The input {tensor.name!r} is there as bytes and as numbers.")
            tensors.append(tensor_of_bytes(tensor.name, tensor.datatype, shape, raw[index]))
        else:
            field = CONTENTS.get(tensor.datatype, "fp32_contents")
            dtype = np.float32 if field == "fp32_contents" else np.int64
            numbers = np.fromiter(getattr(tensor.contents, field), dtype)
            tensors.append(tensor_of_numbers(tensor.name, tensor.datatype, shape, numbers))
    for output in request.outputs:
        if SHARED_MEMORY in output.parameters:
            raise refusal_of("Shared memory", hint="Take the tensor's bytes.")
        if output.parameters["classification"].int64_param:
            raise refusal_of("Classification of outputs", hint="Sort the output yourself.")
    return InferCall(
        request.model_name,
        request.model_version,
        request.id,
        tuple(tensors),
        tuple(output.name for output in request.outputs),
    )


def message_of_answer(answer: InferAnswer) -> Any:
    """The response to a request for an inference."""
    return message_class("ModelInferResponse")(
        model_name=answer.model,
        model_version=str(answer.version),
        id=answer.id,
        outputs=[
            {"name": t.name, "datatype": t.datatype, "shape": t.values.shape}
            for t in answer.outputs
        ],
        raw_output_contents=[bytes_of(tensor) for tensor in answer.outputs],
    )


def plain_answers(repository: Repository, is_ready: Callable[[], bool]) -> dict[str, Answer]:
    """What is answered to each request that is no inference, by the name of the procedure."""

    async def server_live(request: Any) -> Mapping[str, Any]:
        return {"live": True}

    async def server_ready(request: Any) -> Mapping[str, Any]:
        return {"ready": is_ready()}

    async def model_ready(request: Any) -> Mapping[str, Any]:
        return {"ready": repository.is_loaded(request.name, request.version)}

    async def server_metadata(request: Any) -> Mapping[str, Any]:
        return described_server(__version__)

    async def model_metadata(request: Any) -> Mapping[str, Any]:
        model = repository.find(request.name, request.version).model
        return model.metadata(repository.versions_of(request.name))

    async def model_config(request: Any) -> Mapping[str, Any]:
        return {"config": repository.find(request.name, request.version).model.config()}

    async def model_statistics(request: Any) -> Mapping[str, Any]:
        return statistics_of(repository.find_batchers(request.name, request.version))

    async def repository_index(request: Any) -> Mapping[str, Any]:
        if request.repository_name:
            raise refusal_of("A repository of a name", hint="There is one, without a name.")
        return {"models": repository.index(ready=request.ready)}

    async def model_load(request: Any) -> Mapping[str, Any]:
        refuse_parameters(request.parameters)
        await repository.load(request.model_name)
        return {}

    async def model_unload(request: Any) -> Mapping[str, Any]:
        await repository.unload(request.model_name)
        return {}

    return {
        "ServerLive": server_live,
        "ServerReady": server_ready,
        "ModelReady": model_ready,
        "ServerMetadata": server_metadata,
        "ModelMetadata": model_metadata,
        "ModelConfig": model_config,
        "ModelStatistics": model_statistics,
        "RepositoryIndex": repository_index,
        "RepositoryModelLoad": model_load,
        "RepositoryModelUnload": model_unload,
    }


def refuse_parameters(parameters: Mapping[str, Any]) -> None:
    """A model is loaded from its run folder as it is: no file or configuration comes from
    clients."""
    if parameters:
        name = next(iter(parameters))[:40]
        raise refusal_of(f"Loading with the parameter {name!r}", hint="Load the model without it.")
