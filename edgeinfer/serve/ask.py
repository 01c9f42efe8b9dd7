# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A server's models as a client finds them, and samples sent through one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.data import samples
from edgeinfer.ir.ops import Shape
from edgeinfer.serve.client import Client
from edgeinfer.serve.tensors import DATATYPES, REAL, WireTensor
from quantization.fixed import FormatError, Quantizer, quantize

SEED = 8001


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model on a server."""

    name: str
    version: str
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    quantizers: Mapping[str, Quantizer]  # how it rounds its inputs, if it says so
    largest_request: int

    def tensor(self, name: str, values: NDArray[Any], datatype: str) -> WireTensor:
        """An input as it is sent: real numbers, or the integers that the server would make."""
        if datatype == REAL:
            return WireTensor(name, datatype, np.asarray(values, np.float32))
        quantizer = self.quantizers.get(name)
        if quantizer is None:
            raise UsageError(
                f"The server does not say how {self.name} rounds the input {name}.",
                hint=f"Send it as {REAL}.",
            )
        limits, type_ = np.iinfo(DATATYPES[datatype]), quantizer.type
        if type_.raw_min < limits.min or limits.max < type_.raw_max:
            raise UsageError(
                f"{datatype} does not hold the integers of the input {name}, which is {type_}.",
                hint="Choose a wider datatype.",
            )
        try:  # as the server would: float32 first
            raw = quantize(np.asarray(values, np.float32), quantizer)
        except FormatError as error:
            raise UsageError(f"The input {name}: {error}") from None
        return WireTensor(name, datatype, raw.astype(DATATYPES[datatype]))


def find_model(client: Client, name: str | None, version: str) -> RemoteModel:
    """A model by its name, or the only one that there is."""
    with client.understanding():
        return _find_model(client, name, version)


def _find_model(client: Client, name: str | None, version: str) -> RemoteModel:
    if name is None:
        there = sorted({m["name"] for m in client.ask("Index").get("models", ())})
        if len(there) != 1:
            raise UsageError(
                f"{client.url} serves {len(there)} models: {', '.join(there) or 'none'}.",
                hint="Name one with --model.",
            )
        name = there[0]
    metadata = client.ask("Metadata", name, version)
    config = client.ask("Config", name, version)["config"]
    largest = int(config.get("max_batch_size", 0))
    if not largest:
        raise UsageError(
            f"{name} at {client.url} takes no batches (max_batch_size is 0).",
            hint="Serve it with an axis of samples in front.",
        )
    inputs, outputs = (
        {part["name"]: tuple(int(size) for size in part["shape"][1:]) for part in metadata[side]}
        for side in ("inputs", "outputs")
    )
    return RemoteModel(name, version, inputs, outputs, _quantizers(config), largest)


def _quantizers(config: Mapping[str, Any]) -> dict[str, Quantizer]:
    quantizers = {}
    for key, value in config.get("parameters", {}).items():
        if key.startswith("input."):
            try:
                quantizers[key.removeprefix("input.")] = Quantizer.parse(value["string_value"])
            except (FormatError, KeyError):
                continue  # another server's own parameter
    return quantizers


def read_inputs(model: RemoteModel, data: Path) -> dict[str, NDArray[Any]]:
    """A data file's arrays by the names of the inputs."""
    return dict(samples.read(data, model.inputs, model.outputs).inputs)


def draw_inputs(model: RemoteModel, count: int) -> dict[str, NDArray[Any]]:
    """Numbers drawn evenly over what the inputs hold; from 0 to 1 where the server says nothing."""
    random = np.random.default_rng(SEED)
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in model.inputs.items():
        quantizer = model.quantizers.get(name)
        low, high = (quantizer.type.min, quantizer.type.max) if quantizer else (0.0, 1.0)
        arrays[name] = random.uniform(low, high, (count, *shape)).astype(np.float32)
    return arrays


@dataclass(frozen=True, slots=True)
class InferResult:
    """Outputs of all samples, and what it took."""

    outputs: Mapping[str, NDArray[Any]]
    samples: int
    requests: int
    seconds: float


def infer(
    client: Client,
    model: RemoteModel,
    inputs: Mapping[str, NDArray[Any]],
    batch: int,
    datatype: str,
) -> InferResult:
    """Send all samples, some at a time."""
    count = len(next(iter(inputs.values())))
    batch = min(batch, model.largest_request)
    parts: dict[str, list[NDArray[Any]]] = {}
    start = time.perf_counter()
    for at in range(0, count, batch):
        tensors = [
            model.tensor(name, values[at : at + batch], datatype) for name, values in inputs.items()
        ]
        answer = client.send(client.prepare(model.name, model.version, tensors))
        with client.understanding():
            outputs_of_part = client.read(answer)
        for tensor in outputs_of_part:
            parts.setdefault(tensor.name, []).append(tensor.values)
    seconds = time.perf_counter() - start
    outputs = {name: np.concatenate(some) for name, some in parts.items()}
    return InferResult(outputs, count, -(-count // batch), seconds)
