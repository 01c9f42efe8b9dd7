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
from edgeinfer.serve.messages import message_class, parameter_messages
from edgeinfer.serve.repository import InferAnswer, InferCall, Repository, statistics_of
from edgeinfer.serve.served import ServedModel, described_server
from edgeinfer.serve.shared import RegionPart, SharedRegions, find_part, place_parameters
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
FINAL_ASKED = "triton_enable_empty_final_response"
Fields = Mapping[str, Any]
Answer = Callable[[Any], Fields | Awaitable[Fields]]  # a request to its response's fields


def parse_message(name: str, content: bytes) -> Any:
    """A message of a class, or an error where the bytes are none."""
    try:
        return message_class(name).FromString(content)
    except DecodeError:
        raise invalid(f"These {len(content)} bytes are no {name} message.") from None


def message_of_fields(name: str, fields: Mapping[str, Any]) -> Any:
    """A message from its fields by their names."""
    return json_format.ParseDict(fields, message_class(name)())


def call_of_bytes(content: bytes | memoryview, regions: SharedRegions) -> tuple[InferCall, bool]:
    """What a request for an inference asks, and whether its answer is to say that it is the last.
    Nothing but the tensors keeps the bytes alive."""
    rest, raw = cut_request(content)
    request = parse_message("ModelInferRequest", rest)
    call = call_of_message(request, request.raw_input_contents if raw is None else raw, regions)
    return call, request.parameters[FINAL_ASKED].bool_param


def call_of_message(
    request: Any, raw: Sequence[bytes | memoryview], regions: SharedRegions
) -> InferCall:
    """What a request asks, of whose inputs these are the bytes; others may be in shared memory."""
    shared = regions.read([_part_of(tensor) for tensor in request.inputs])
    if raw and len(raw) != shared.count(None):
        raise invalid(
            f"The request has {shared.count(None)} inputs to be sent, and bytes for {len(raw)}."
        )
    sent = iter(raw)
    tensors: list[WireTensor] = []
    for tensor, content in zip(request.inputs, shared, strict=True):
        shape = list(tensor.shape)
        if raw or content is not None:
            if tensor.HasField("contents"):
                raise invalid(f"The input {tensor.name!r} is there as bytes and as numbers.")
            own = next(sent) if content is None else content
            tensors.append(tensor_of_bytes(tensor.name, tensor.datatype, shape, own))
        else:
            field = CONTENTS.get(tensor.datatype, "fp32_contents")
            dtype = np.float32 if field == "fp32_contents" else np.int64
            numbers = np.fromiter(getattr(tensor.contents, field), dtype)
            tensors.append(tensor_of_numbers(tensor.name, tensor.datatype, shape, numbers))
    places: dict[str, RegionPart] = {}
    for output in request.outputs:
        if (part := _part_of(output)) is not None:
            regions.check(part)
            places[output.name] = part
        if output.parameters["classification"].int64_param:
            raise refusal_of("Classification of outputs", hint="Sort the output yourself.")
    return InferCall(
        request.model_name,
        request.model_version,
        request.id,
        tuple(tensors),
        tuple(output.name for output in request.outputs),
        places,
    )


def _part_of(tensor: Any) -> RegionPart | None:
    """Where in shared memory a tensor lies, if it does."""
    if not tensor.parameters:
        return None
    values = {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
        for name, value in tensor.parameters.items()
    }
    return find_part(tensor.name, values)


def message_of_answer(answer: InferAnswer) -> Any:
    """The response to a request for an inference."""
    return message_class("ModelInferResponse")(
        model_name=answer.model,
        model_version=str(answer.version),
        id=answer.id,
        outputs=[
            {
                "name": t.name,
                "datatype": t.datatype,
                "shape": t.values.shape,
                "parameters": parameter_messages(place_parameters(t.name, answer.shared)),
            }
            for t in answer.outputs
        ],
        raw_output_contents=[
            b"" if tensor.name in answer.shared else bytes_of(tensor) for tensor in answer.outputs
        ],
    )


def plain_answers(repository: Repository, is_ready: Callable[[], bool]) -> dict[str, Answer]:
    """What is answered to each request that is no inference, by the name of the procedure."""
    regions = repository.regions

    def find(request: Any) -> ServedModel:
        return repository.find(request.name, request.version).model

    def list_models(request: Any) -> Mapping[str, Any]:
        if request.repository_name:
            raise refusal_of("A repository of a name", hint="There is one, without a name.")
        return {"models": repository.index(ready=request.ready)}

    async def load_model(request: Any) -> Mapping[str, Any]:
        refuse_parameters(request.parameters)
        await repository.load(request.model_name)
        return {}

    async def unload_model(request: Any) -> Mapping[str, Any]:
        await repository.unload(request.model_name)
        return {}

    def list_regions(request: Any) -> Mapping[str, Any]:
        return {"regions": {each["name"]: each for each in regions.list_regions(request.name)}}

    def register(request: Any) -> Mapping[str, Any]:
        regions.register(request.name, request.key, request.offset, request.byte_size)
        return {}

    def unregister(request: Any) -> Mapping[str, Any]:
        regions.unregister(request.name)
        return {}

    return {
        "ServerLive": lambda request: {"live": True},
        "ServerReady": lambda request: {"ready": is_ready()},
        "ServerMetadata": lambda request: described_server(
            __version__, shares_memory=regions.is_allowed
        ),
        "ModelReady": lambda request: {
            "ready": repository.is_loaded(request.name, request.version)
        },
        "ModelMetadata": lambda request: find(request).metadata(
            repository.versions_of(request.name)
        ),
        "ModelConfig": lambda request: {"config": find(request).config()},
        "ModelStatistics": lambda request: statistics_of(
            repository.find_batchers(request.name, request.version)
        ),
        "RepositoryIndex": list_models,
        "RepositoryModelLoad": load_model,
        "RepositoryModelUnload": unload_model,
        "SystemSharedMemoryStatus": list_regions,
        "SystemSharedMemoryRegister": register,
        "SystemSharedMemoryUnregister": unregister,
    }


def refuse_parameters(parameters: Mapping[str, Any]) -> None:
    """A model is loaded from its run folder as it is: no file or configuration comes from
    clients."""
    if parameters:
        name = next(iter(parameters))[:40]
        raise refusal_of(f"Loading with the parameter {name!r}", hint="Load the model without it.")
