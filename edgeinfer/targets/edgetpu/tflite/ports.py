# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a `.tflite` file's inputs and outputs are read: value = scale (stored - zero point)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.graph.nodes import Shape
from edgeinfer.ir.program import HostFunction
from quantization.fixed import Ints

RANGES = {"INT8": (-128, 127), "UINT8": (0, 255)}
ROUNDING = "half up"  # stored = floor(value / scale + 0.5) + zero point, limited to the type
NUMPY_TYPES = {"INT8": "int8", "UINT8": "uint8"}


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

    def stored(self, values: ArrayLike) -> Ints:
        """Real values as they are stored: the nearest level, ties upwards."""
        low, high = RANGES[self.type]
        steps = np.floor(np.asarray(values, np.float64) / self.scale + 0.5) + self.zero_point
        held: Ints = np.clip(steps, low, high).astype(np.int64)
        return held

    def real(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """What stored numbers stand for."""
        return (stored.astype(np.float64) - self.zero_point) * self.scale


@dataclass(frozen=True, slots=True)
class TflitePorts:
    """All inputs and outputs of a file, in its order."""

    inputs: tuple[TflitePort, ...]
    outputs: tuple[TflitePort, ...]

    def to_json(self) -> str:
        """The text of ``ports.json``."""
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        found = {side: [_plain(port) for port in ports] for side, ports in sides.items()}
        return json.dumps(found, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, source: str) -> TflitePorts:
        """Read ``ports.json``."""
        try:
            found = json.loads(text)
            return TflitePorts(_ports(found["inputs"]), _ports(found["outputs"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{source} does not describe the ports of a model: {error!r}.",
                hint="Compile the model into the folder again.",
            ) from None


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
    }


def _ports(found: Sequence[Mapping[str, Any]]) -> tuple[TflitePort, ...]:
    return tuple(
        TflitePort(
            str(item["name"]),
            tuple(int(size) for size in item["shape"]),
            str(item["type"]),
            float(item["scale"]),
            int(item["zero_point"]),
            HostFunction(item["host"]),
            str(item.get("fine_of", "")),
        )
        for item in found
    )
