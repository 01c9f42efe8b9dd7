# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Bodies of inference requests and answers by HTTP: a JSON object, with tensors in it as lists of
numbers or behind it as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgeinfer.serve.faults import invalid, refusal_of
from edgeinfer.serve.repository import InferAnswer, InferCall
from edgeinfer.serve.shared import SharedRegions, find_part, place_parameters
from edgeinfer.serve.tensors import WireTensor, bytes_of, tensor_of_bytes, tensor_of_numbers

Body = TypeVar("Body", bound=BaseModel)
Wanted = Callable[[str], bool]  # whether an output, by its name, is to come as bytes


class HttpInput(BaseModel):
    """An input tensor."""

    model_config = ConfigDict(strict=True)

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: Any = None


class HttpOutput(BaseModel):
    """An output that is asked for."""

    model_config = ConfigDict(strict=True)

    name: str
    parameters: dict[str, Any] = {}


class HttpInfer(BaseModel):
    """The JSON of a request."""

    model_config = ConfigDict(strict=True)

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[HttpInput]
    outputs: list[HttpOutput] = []


class HttpRegion(BaseModel):
    """A region of shared memory that is to be registered."""

    model_config = ConfigDict(strict=True)

    key: str
    offset: int = 0
    byte_size: int


def region_of_body(body: bytes) -> tuple[str, int, int]:
    """Key, offset and size of a region."""
    region = _parse(HttpRegion, body)
    return region.key, region.offset, region.byte_size


def call_of_body(
    model: str, version: str, body: bytes, json_bytes: int | None, regions: SharedRegions
) -> tuple[InferCall, Wanted]:
    """What a body asks, and which outputs it wants as bytes. `json_bytes`: how many of its bytes
    are JSON; None: all."""
    end = len(body) if json_bytes is None else json_bytes
    if end > len(body):
        raise invalid(f"The body has {len(body)} bytes, fewer than the {end} of its JSON.")
    request = _parse(HttpInfer, body[:end])
    rest = memoryview(body)[end:]
    tensors: list[WireTensor] = []
    shared = regions.read([find_part(t.name, t.parameters) for t in request.inputs])
    for tensor, content in zip(request.inputs, shared, strict=True):
        _refuse_unsupported(tensor.parameters)
        size = tensor.parameters.get("binary_data_size")
        if content is not None:
            if size is not None or tensor.data is not None:
                raise invalid(f"The input {tensor.name!r} is in shared memory and sent, too.")
            tensors.append(tensor_of_bytes(tensor.name, tensor.datatype, tensor.shape, content))
            continue
        if size is None:
            if tensor.data is None:
                raise invalid(f"The input {tensor.name!r} has no data.")
            tensors.append(
                tensor_of_numbers(tensor.name, tensor.datatype, tensor.shape, tensor.data)
            )
            continue
        if type(size) is not int or not 0 <= size <= len(rest) or tensor.data is not None:
            raise invalid(
                f"The input {tensor.name!r} says that {size!r} bytes are its data; "
                f"{len(rest)} are left behind the JSON."
            )
        tensors.append(tensor_of_bytes(tensor.name, tensor.datatype, tensor.shape, rest[:size]))
        rest = rest[size:]
    if len(rest):
        raise invalid(f"The body goes on for {len(rest)} bytes that belong to no input.")
    as_bytes = request.parameters.get("binary_data_output") is True
    binary_by_output = {
        o.name: o.parameters.get("binary_data", as_bytes) is True for o in request.outputs
    }
    places = {}
    for output in request.outputs:
        _refuse_unsupported(output.parameters)
        if (part := find_part(output.name, output.parameters)) is not None:
            regions.check(part)
            places[output.name] = part
    names = tuple(output.name for output in request.outputs)
    call = InferCall(model, version, request.id, tuple(tensors), names, places)
    return call, lambda name: binary_by_output.get(name, as_bytes)


def _parse(kind: type[Body], content: bytes) -> Body:
    try:
        return kind.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise invalid(f"In the request's JSON, {where[:100]}: {first['msg']}.") from None
    except (ValueError, RecursionError):
        raise invalid("The request does not begin with JSON.") from None


def _refuse_unsupported(parameters: dict[str, Any]) -> None:
    if parameters.get("classification"):
        raise refusal_of("Classification of outputs", hint="Sort the output yourself.")


def body_of_answer(answer: InferAnswer, wants_bytes: Wanted) -> tuple[bytes, bytes]:
    """The JSON of an answer, and the bytes behind it."""
    outputs, tail = [], []
    for tensor in answer.outputs:
        facts: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.values.shape),
        }
        if tensor.name in answer.shared:
            facts["parameters"] = place_parameters(tensor.name, answer.shared)
        elif wants_bytes(tensor.name):
            tail.append(bytes_of(tensor))
            facts["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            facts["data"] = tensor.values.ravel().tolist()
        outputs.append(facts)
    document: dict[str, Any] = {"model_name": answer.model, "model_version": str(answer.version)}
    if answer.id:
        document["id"] = answer.id
    return json.dumps({**document, "outputs": outputs}).encode(), b"".join(tail)
