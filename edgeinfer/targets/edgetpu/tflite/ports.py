# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a `.tflite` file's inputs and outputs are read: value = scale (stored - zero point)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.graph.nodes import Shape
from edgeinfer.ir.program import HostFunction
from quantization.fixed import Ints

MODEL, PORTS = "model.tflite", "ports.json"
RANGES = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767)}
ROUNDING = "half up"  # stored = floor(value / scale + 0.5) + zero point, limited to the type
NUMPY_TYPES = {"INT8": "int8", "UINT8": "uint8"}


@dataclass(frozen=True, slots=True)
class HostLayer:
    """A dense layer that the host computes in integers from a tensor of the file:
    ((stored - zero point) weights 2^up + biases) 2^-down, ties upwards, limited to 16 bits."""

    shape: Shape  # of the file's tensor, without the batch
    type: str
    scale: float
    zero_point: int
    weights: tuple[tuple[int, ...], ...]  # by input, then by output
    biases: tuple[int, ...]
    up: int
    down: int

    @property
    def products(self) -> int:
        """How many products it adds."""
        return len(self.weights) * len(self.biases)

    def compute(self, stored: NDArray[Any]) -> Ints:
        """The layer's 16-bit integers for a tensor of some samples."""
        raw = stored.astype(np.int64) - self.zero_point
        total = (raw @ np.asarray(self.weights, np.int64) << self.up) + np.asarray(self.biases)
        rounded = (total + (1 << self.down >> 1)) >> self.down
        clipped: Ints = np.clip(rounded, *RANGES["INT16"])
        return clipped


@dataclass(frozen=True, slots=True)
class TflitePort:
    """An input or output, by the name that users know."""

    name: str
    shape: Shape  # without the batch
    type: str
    scale: float
    zero_point: int
    host: HostFunction = HostFunction.NONE
    fine_of: str = ""  # the output whose finer part this is
    layer: HostLayer | None = None  # by which the host makes this of a tensor of the file

    @property
    def file_shape(self) -> Shape:
        """The shape of the file's tensor, without the batch."""
        return self.shape if self.layer is None else self.layer.shape

    def finish(self, tensors: NDArray[Any]) -> Ints:
        """Stored numbers of some samples from the file's tensors, in whatever shape these came."""
        integers: Ints = tensors.reshape(len(tensors), *self.file_shape).astype(np.int64)
        return integers if self.layer is None else self.layer.compute(integers)

    def stored(self, values: ArrayLike) -> Ints:
        """Real values as they are stored: the nearest level, ties upwards."""
        low, high = RANGES[self.type]
        steps = np.floor(np.asarray(values, np.float64) / self.scale + 0.5) + self.zero_point
        clipped: Ints = np.clip(steps, low, high).astype(np.int64)
        return clipped

    def real(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """What stored numbers stand for."""
        return (stored.astype(np.float64) - self.zero_point) * self.scale


@dataclass(frozen=True, slots=True)
class TflitePorts:
    """All inputs and outputs of a file, in its order."""

    inputs: tuple[TflitePort, ...]
    outputs: tuple[TflitePort, ...]

    @property
    def layers(self) -> dict[str, HostLayer]:
        """What the host computes of the file's tensors, by the output that it makes."""
        return {port.name: port.layer for port in self.outputs if port.layer is not None}

    def to_json(self) -> str:
        """The text of ``ports.json``."""
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        document = {side: [_plain(port) for port in ports] for side, ports in sides.items()}
        return json.dumps(document, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, source: str) -> TflitePorts:
        """Read ``ports.json``."""
        try:
            document = json.loads(text)
            return TflitePorts(_ports(document["inputs"]), _ports(document["outputs"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{source} does not describe the ports of a model: {error!r}.",
                hint="Compile the model into the folder again.",
            ) from None


def layers_beside(model: Path) -> dict[str, HostLayer]:
    """What the host computes behind an emitted file, by `ports.json` beside it; nothing behind
    another file."""
    ports = model.with_name(PORTS)
    if model.name != MODEL or not ports.is_file():
        return {}
    return TflitePorts.from_json(ports.read_text(encoding="utf-8"), str(ports)).layers


def _plain(port: TflitePort) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "type": port.type,
        "scale": port.scale,
        "zero_point": port.zero_point,
        "rounding": ROUNDING,
        "host": port.host.value,
        "fine_of": port.fine_of,
        "layer": None if port.layer is None else asdict(port.layer),
    }


def _ports(entries: Sequence[Mapping[str, Any]]) -> tuple[TflitePort, ...]:
    return tuple(
        TflitePort(
            str(item["name"]),
            tuple(int(size) for size in item["shape"]),
            str(item["type"]),
            float(item["scale"]),
            int(item["zero_point"]),
            HostFunction(item["host"]),
            str(item.get("fine_of", "")),
            _layer(item.get("layer")),
        )
        for item in entries
    )


def _layer(record: Mapping[str, Any] | None) -> HostLayer | None:
    if record is None:
        return None
    return HostLayer(
        tuple(int(size) for size in record["shape"]),
        str(record["type"]),
        float(record["scale"]),
        int(record["zero_point"]),
        tuple(tuple(int(weight) for weight in row) for row in record["weights"]),
        tuple(int(bias) for bias in record["biases"]),
        int(record["up"]),
        int(record["down"]),
    )
