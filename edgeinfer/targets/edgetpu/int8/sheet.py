# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 network in the making: tensors with their levels, constants, operators in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinfer.base.tflite.flat import Flat
from edgeinfer.base.tflite.model import Operator, TfliteModel, TfliteTensor
from edgeinfer.base.tflite.options import NONE, Options
from edgeinfer.graph.nodes import Shape
from edgeinfer.targets.edgetpu.int8.grid import Window

# The oldest version of each operator that has int8 kernels; of those not named it is the first.
VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "LOGISTIC": 2,
    "MAXIMUM": 2,
    "MAX_POOL_2D": 2,
    "MINIMUM": 2,
    "MUL": 2,
    "PAD": 2,
    "RELU": 2,
    "RESIZE_NEAREST_NEIGHBOR": 2,
    "SOFTMAX": 2,
    "SPLIT": 2,
    "STRIDED_SLICE": 2,
    "SUB": 2,
    "TANH": 2,
    "TRANSPOSE": 2,
}


@dataclass(slots=True)
class Sheet:
    """What was drawn so far."""

    name: str
    tensors: list[TfliteTensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def model(self, inputs: Sequence[TfliteTensor], outputs: Sequence[TfliteTensor]) -> TfliteModel:
        """The network as a file's content, without a file."""
        return TfliteModel(
            self.name,
            0,
            "edgeinfer",
            1,
            tuple(self.tensors),
            tuple(self.operators),
            tuple(inputs),
            tuple(outputs),
            Flat.over(b""),
        )

    def tensor(self, name: str, shape: Shape, window: Window) -> TfliteTensor:
        """An int8 tensor that is computed."""
        scale = np.asarray([2.0**-window.frac], np.float32)
        return self._added(name, shape, "INT8", scale, window.zero_point, 0, None)

    def weights(
        self, name: str, raw: NDArray[Any], scales: ArrayLike, axis: int, *, kind: str = "INT8"
    ) -> TfliteTensor:
        """Constants on grids of their own, zero at zero: int8 weights or int32 biases."""
        dtype = np.dtype("<i1" if kind == "INT8" else "<i4")
        data = np.ascontiguousarray(raw.astype(dtype)).tobytes()
        scale_values = np.asarray(scales, np.float32).reshape(-1)
        return self._added(name, raw.shape, kind, scale_values, 0, axis, data)

    def level(self, name: str, raw: NDArray[Any], window: Window) -> TfliteTensor:
        """Constants on a window's levels."""
        stored = np.asarray(raw, np.int64) + window.zero_point
        scale = np.asarray([2.0**-window.frac], np.float32)
        data = stored.astype("<i1").tobytes()
        return self._added(name, stored.shape, "INT8", scale, window.zero_point, 0, data)

    def numbers(self, name: str, values: ArrayLike) -> TfliteTensor:
        """Constants that are no quantities: shapes, axes, amounts."""
        integers = np.asarray(values, "<i4")
        none = np.zeros(0, np.float32)
        return self._added(name, integers.shape, "INT32", none, 0, 0, integers.tobytes())

    def operator(
        self,
        name: str,
        inputs: Sequence[TfliteTensor | None],
        shape: Shape,
        window: Window,
        options: Options = NONE,
    ) -> TfliteTensor:
        """An operator, and the tensor that it makes."""
        left = self.tensor(f"{self.name}/{len(self.operators)}/{name}", shape, window)
        self.append(name, inputs, (left,), options)
        return left

    def append(
        self,
        name: str,
        inputs: Sequence[TfliteTensor | None],
        outputs: Sequence[TfliteTensor],
        options: Options = NONE,
    ) -> None:
        """An operator that makes tensors which are there already."""
        index, version = len(self.operators), VERSIONS.get(name, 1)
        operator = Operator(index, name, "", version, tuple(inputs), tuple(outputs), options, None)
        self.operators.append(operator)

    def reshape(self, x: TfliteTensor, shape: Shape) -> TfliteTensor:
        """The same numbers in another shape."""
        if x.shape == shape:
            return x
        sizes = self.numbers(f"{self.name}/{len(self.operators)}/shape", shape)
        return self.operator("RESHAPE", [x, sizes], shape, window_of(x))

    def change_levels(self, x: TfliteTensor, window: Window) -> TfliteTensor:
        """The same values on other levels."""
        if window_of(x) == window:
            return x
        return self.operator("QUANTIZE", [x], x.shape, window)

    def _added(
        self,
        name: str,
        shape: Shape,
        kind: str,
        scales: NDArray[np.float32],
        zero_point: int,
        axis: int,
        data: bytes | None,
    ) -> TfliteTensor:
        zeros = np.full(scales.size, zero_point, np.int64)
        content = None if data is None else memoryview(data)
        index = len(self.tensors)
        tensor = TfliteTensor(index, name, shape, False, kind, scales, zeros, axis, content, False)
        self.tensors.append(tensor)
        return tensor


def window_of(tensor: TfliteTensor) -> Window:
    """The levels of an int8 tensor on a power-of-two grid."""
    frac = -round(float(np.log2(tensor.scales[0])))
    return Window(frac, -128 - int(tensor.zero_points[0]))
