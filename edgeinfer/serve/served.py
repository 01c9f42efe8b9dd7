# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as clients see it: its names outside, its datatypes, and how it describes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeinfer.base.errors import InputError
from edgeinfer.ir.ops import Input, Shape
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.serve.faults import invalid
from edgeinfer.serve.names import ModelNames
from edgeinfer.serve.tensors import REAL, WireTensor, narrowest_datatype
from quantization.fixed import Quantizer
from quantization.recipe import Recipe

PLATFORM = "edgeinfer"
SERVER_NAME = "edgeinfer"
EXTENSIONS = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
SHARED_MEMORY = "system_shared_memory"  # an extension, too, where it is allowed


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How requests are brought together."""

    largest_request: int = 65536  # samples that one request may hold
    batch: int = 256  # samples that several requests together are computed in, at most
    delay_us: int = 0  # how long a request waits for others, at most
    instances: int = 1  # batches that are computed at the same time


@dataclass(frozen=True, slots=True)
class InputPort:
    """An input: its name outside and in the Program, and how real numbers become its integers."""

    name: str
    inside: str
    shape: Shape
    quantizer: Quantizer


@dataclass(frozen=True, slots=True)
class OutputPort:
    """An output: its name outside and in the Program, and what is handed out."""

    name: str
    inside: str
    shape: Shape
    datatype: str  # FP32: real numbers after the host's function; else raw integers
    meaning: str


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A version of a model."""

    name: str
    version: int
    program: Program
    inputs: tuple[InputPort, ...]
    outputs: tuple[OutputPort, ...]
    batching: BatchSettings
    backend: str

    def metadata(self, versions: Sequence[int]) -> dict[str, Any]:
        """The answer to a request for metadata."""
        return {
            "name": self.name,
            "versions": [str(version) for version in versions],
            "platform": PLATFORM,
            "inputs": [_tensor_facts(port.name, REAL, port.shape) for port in self.inputs],
            "outputs": [_tensor_facts(p.name, p.datatype, p.shape) for p in self.outputs],
        }

    def config(self) -> dict[str, Any]:
        """The answer to a request for the configuration. Its parameters say what no client of the
        protocol asks: the types of inputs and outputs, and which Program it is."""
        facts = {f"input.{port.name}": str(port.quantizer) for port in self.inputs}
        facts |= {f"output.{port.name}": port.meaning for port in self.outputs}
        facts |= {"program": self.program.digest, "backend": self.backend}
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": PLATFORM,
            "version_policy": {"all": {}},
            "max_batch_size": self.batching.largest_request,
            "input": [
                {"name": port.name, "data_type": f"TYPE_{REAL}", "dims": list(port.shape)}
                for port in self.inputs
            ],
            "output": [
                {"name": port.name, "data_type": f"TYPE_{port.datatype}", "dims": list(port.shape)}
                for port in self.outputs
            ],
            "instance_group": [
                {"name": f"{self.name}_0", "count": self.batching.instances, "kind": "KIND_CPU"}
            ],
            "dynamic_batching": {
                "preferred_batch_size": [self.batching.batch],
                "max_queue_delay_microseconds": self.batching.delay_us,
            },
            "parameters": {name: {"string_value": value} for name, value in facts.items()},
        }

    def fit_inputs(self, tensors: Sequence[WireTensor]) -> dict[str, WireTensor]:
        """A request's tensors by the Program's names; an error that says what does not fit."""
        ports = {port.name: port for port in self.inputs}
        fitting: dict[str, WireTensor] = {}
        for tensor in tensors:
            port = ports.get(tensor.name)
            if port is None:
                raise invalid(
                    f"The model {self.name!r} has no input {tensor.name!r}; it reads "
                    f"{', '.join(map(repr, ports))}."
                )
            if port.inside in fitting:
                raise invalid(f"The input {tensor.name!r} is there twice.")
            shape = tensor.values.shape
            if len(shape) != len(port.shape) + 1 or shape[1:] != port.shape:
                raise invalid(
                    f"The input {tensor.name!r} has the shape {list(shape)}; the model "
                    f"{self.name!r} takes [samples, {', '.join(map(str, port.shape))}]."
                )
            fitting[port.inside] = tensor
        missing = [name for name, port in ports.items() if port.inside not in fitting]
        if missing:
            raise invalid(f"The input {missing[0]!r} of the model {self.name!r} is missing.")
        counts = {len(tensor.values) for tensor in fitting.values()}
        if len(counts) > 1:
            raise invalid(f"The inputs differ in their number of samples: {sorted(counts)}.")
        (count,) = counts
        largest = self.batching.largest_request
        if not 1 <= count <= largest:
            raise invalid(
                f"The request holds {count} samples; the model {self.name!r} takes 1 to {largest}."
            )
        return fitting

    def choose_outputs(self, names: Sequence[str]) -> tuple[OutputPort, ...]:
        """The outputs that a request asks for; all where it names none."""
        ports = {port.name: port for port in self.outputs}
        unknown = [name for name in names if name not in ports]
        if unknown:
            raise invalid(
                f"The model {self.name!r} has no output {unknown[0]!r}; it yields "
                f"{', '.join(map(repr, ports))}."
            )
        return tuple(ports[name] for name in dict.fromkeys(names)) or self.outputs


def _tensor_facts(name: str, datatype: str, shape: Shape) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *shape]}


def serve_program(
    program: Program,
    recipe: Recipe,
    names: ModelNames,
    version: int,
    batching: BatchSettings,
    *,
    raw_outputs: bool,
    backend: str,
) -> ServedModel:
    """A Program under its names outside; inputs round as its recipe says."""
    inputs = tuple(
        InputPort(
            names.inputs.get(op.name, op.name),
            op.name,
            op.shape,
            _input_quantizer(program, op, recipe),
        )
        for op in program.inputs
    )
    outputs = tuple(
        OutputPort(
            names.outputs.get(output.name, output.name),
            output.name,
            program.shapes[output.value],
            narrowest_datatype(program.type(output.value)) if raw_outputs else REAL,
            _meaning(str(program.type(output.value)), output.host, raw_outputs),
        )
        for output in program.outputs
    )
    return ServedModel(names.name, version, program, inputs, outputs, batching, backend)


def _input_quantizer(program: Program, op: Input, recipe: Recipe) -> Quantizer:
    """How the recipe rounds an input; an error where that makes other integers than those which the
    Program reads."""
    quantizer = recipe.activation(op.name) or Quantizer(op.type)
    quantizer_type, read = quantizer.type, op.type
    if (
        quantizer_type.frac != read.frac
        or quantizer_type.raw_min < read.raw_min
        or read.raw_max < quantizer_type.raw_max
    ):
        raise InputError(
            f"The recipe of {program.name} rounds the input {op.name} to {quantizer_type}, "
            f"and its Program reads {read}: they are not of one run.",
            hint="Compile the model again.",
        )
    return quantizer


def _meaning(type_: str, host: HostFunction, raw: bool) -> str:
    """What an output's numbers are, in a word or two for a program that reads them."""
    after = "" if host is HostFunction.NONE else f", {host}"
    return f"raw {type_}{after and f' before{after[1:]}'}" if raw else f"{type_}{after}"


def described_server(version: str, *, shares_memory: bool) -> Mapping[str, Any]:
    """The answer to a request for the server's metadata."""
    extensions = [*EXTENSIONS, *([SHARED_MEMORY] if shares_memory else [])]
    return {"name": SERVER_NAME, "version": version, "extensions": extensions}
