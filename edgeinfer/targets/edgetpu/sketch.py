# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The int8 network that a Program would become, as tensors and operators, without a converter.

Good for estimates in a moment: the operators, their shapes and weights are those that the converter
makes; there are no bytes of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import Shape
from edgeinfer.ir import ops
from edgeinfer.ir.ops import PairKind, PoolKind
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.drawing import lifted_pair
from edgeinfer.targets.edgetpu.flat import Flat
from edgeinfer.targets.edgetpu.grid import by_channel
from edgeinfer.targets.edgetpu.storage import Storage
from edgeinfer.targets.edgetpu.tflite import Model, Operator, Tensor
from edgeinfer.targets.edgetpu.tflite_options import NONE, Options

PAIRS = {
    PairKind.ADD: "ADD",
    PairKind.SUB: "SUB",
    PairKind.MUL: "MUL",
    PairKind.MAX: "MAXIMUM",
    PairKind.MIN: "MINIMUM",
}


def sketched(storage: Storage) -> Model:
    """A Program's operators."""
    pen = _Pen(storage)
    for op in storage.program.ops:
        pen.draw(op)
    program = storage.program
    return Model(
        program.name,
        0,
        "",
        1,
        tuple(pen.tensors),
        tuple(pen.operators),
        tuple(pen.values[op.name] for op in program.inputs),
        tuple(pen.plain(output.value) for output in program.outputs),
        Flat.over(b""),
    )


@dataclass(slots=True)
class _Pen:
    storage: Storage
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)

    @property
    def program(self) -> Program:
        return self.storage.program

    def draw(self, op: ops.Op) -> None:
        """The operators of an op; what is fused into the operator before adds none."""
        match op:
            case ops.Input():
                self.values[op.name] = self.tensor(op.name, (1, *op.shape))
            case ops.Constant():
                held = np.zeros(op.value.shape, np.int8)
                self.values[op.name] = self.constant(op.name, held[None])
            case ops.Conv():
                self._conv(op)
            case ops.Dense():
                self._dense(op)
            case ops.Scale():
                self._scale(op)
            case ops.Pool():
                self._pool(op)
            case ops.Requant() | ops.Clip():
                self._rounded(op)
            case ops.PRelu():
                x = self.values[op.x]
                steep = self.constant(f"{op.name}/slope", op.slope.astype(np.int8))
                part = self.operator("MUL", [x, steep], x.shape)
                self.values[op.name] = self.operator("MAXIMUM", [x, part], x.shape)
            case ops.Table():
                name = "TANH" if self.storage.functions.get(op.name) == "tanh" else "LOGISTIC"
                x = self.values[op.x]
                self.values[op.name] = self.operator(name, [x], x.shape)
            case ops.Softmax():
                self._plainly("SOFTMAX", op, [op.x])
            case ops.Pair():
                self._plainly(PAIRS[op.kind], op, [op.a, op.b])
            case ops.Concat():
                parts = [self._on(x, op.name) for x in op.xs]
                self.values[op.name] = self.operator(
                    "CONCATENATION", parts, self._shape(op), Options(axis=op.axis + 1)
                )
            case ops.Reshape():
                x = self.values[op.x]  # in whatever shape it is drawn
                self.values[op.name] = self.operator("RESHAPE", [x], self._shape(op))
            case ops.Transpose():
                axes = np.asarray((0, *(axis + 1 for axis in op.order)), np.int32)
                order = self.constant(f"{op.name}/order", axes)
                self.values[op.name] = self.operator(
                    "TRANSPOSE", [self.plain(op.x), order], self._shape(op)
                )
            case ops.Pad():
                amounts = self.constant(f"{op.name}/pads", np.asarray([(0, 0), *op.pads], np.int32))
                self.values[op.name] = self.operator(
                    "PAD", [self.plain(op.x), amounts], self._shape(op)
                )
            case ops.Upsample():
                self._plainly("RESIZE_NEAREST_NEIGHBOR", op, [op.x])
            case ops.Slice():
                ends = [
                    self.constant(f"{op.name}/{i}", np.asarray(values, np.int32))
                    for i, values in enumerate(((0, *op.starts), (1, *op.stops), (1, *op.steps)))
                ]
                self.values[op.name] = self.operator(
                    "STRIDED_SLICE", [self.plain(op.x), *ends], self._shape(op)
                )

    def _shape(self, op: ops.Op) -> Shape:
        return (1, *self.program.shapes[op.name])

    def _plainly(self, name: str, op: ops.Op, xs: Sequence[str]) -> None:
        self.values[op.name] = self.operator(name, [self.plain(x) for x in xs], self._shape(op))

    def plain(self, name: str) -> Tensor:
        """A value in its own shape: what is drawn one pixel high is reshaped."""
        held, shape = self.values[name], (1, *self.program.shapes[name])
        return held if held.shape == shape else self.operator("RESHAPE", [held], shape)

    def _on(self, name: str, joined: str) -> Tensor:
        """A value on the levels of what it is joined to."""
        held, windows = self.plain(name), self.storage.windows
        alike = windows[name] == windows[joined]
        return held if alike else self.operator("QUANTIZE", [held], held.shape)

    def _image(self, name: str) -> Tensor:
        """A value as an image."""
        held = self.values[name]
        if len(held.shape) == 4:
            return held
        shape = (1,) * (4 - len(held.shape)) + held.shape
        return self.operator("RESHAPE", [held], shape)

    def _lifted(self, op: ops.Op) -> Shape:
        shape = self._shape(op)
        return (1,) * (4 - len(shape)) + shape

    def _conv(self, op: ops.Conv) -> None:
        x = self._image(op.x)
        kernel: NDArray[np.integer[Any]] = op.weight[None] if op.weight.ndim == 3 else op.weight
        options = Options(strides=lifted_pair(op.strides), dilation=lifted_pair(op.dilation))
        if op.groups > 1:
            name, laid = "DEPTHWISE_CONV_2D", kernel.reshape(1, *kernel.shape[:2], -1)
        else:
            name, laid = "CONV_2D", np.moveaxis(kernel, -1, 0)
        self._linear(name, op, x, laid, self._lifted(op), options)

    def _dense(self, op: ops.Dense) -> None:
        laid: NDArray[np.integer[Any]] = np.moveaxis(op.weight, -1, 0)
        held = by_channel(op.weight, op.weight_type.frac)
        shape = self._shape(op)
        if len(shape) == 2 and (held is None or held.uniform):
            self._linear("FULLY_CONNECTED", op, self.plain(op.x), laid, shape, NONE)
            return
        places = int(np.prod(shape[:-1], dtype=int))
        image = (1, 1, places, shape[-1])
        x = self.operator("RESHAPE", [self.plain(op.x)], (1, 1, places, op.weight.shape[0]))
        self._linear("CONV_2D", op, x, laid[:, None, None], image, NONE)

    def _scale(self, op: ops.Scale) -> None:
        if isinstance(self.program[op.x], ops.Pool):
            self.values[op.name] = self.values[op.x]  # a mean already
            return
        x = self._image(op.x)
        channels = x.shape[-1]
        laid = np.broadcast_to(op.factor.reshape(-1), (channels,)).reshape(1, 1, 1, channels)
        self._linear("DEPTHWISE_CONV_2D", op, x, laid, self._lifted(op), NONE)

    def _linear(
        self,
        name: str,
        op: ops.Conv | ops.Dense | ops.Scale,
        x: Tensor,
        weight: NDArray[np.integer[Any]],
        shape: Shape,
        options: Options,
    ) -> None:
        channels = shape[-1]
        scales = np.ones(1, np.float32)
        if not isinstance(op, ops.Scale):
            held = by_channel(op.weight, op.weight_type.frac)
            if held is not None and not held.uniform:
                scales = np.ldexp(1.0, -held.fracs).astype(np.float32)
        kernel = self.constant(f"{op.name}/kernel", weight.astype(np.int8), scales)
        inputs = [x, kernel]
        if op.bias.any():
            inputs.append(self.constant(f"{op.name}/bias", np.ones(channels, np.int32)))
        self.values[op.name] = self.operator(name, inputs, shape, options)

    def _pool(self, op: ops.Pool) -> None:
        name = "MAX_POOL_2D" if op.kind is PoolKind.MAX else "AVERAGE_POOL_2D"
        options = Options(strides=lifted_pair(op.strides), window=lifted_pair(op.window))
        x = self._image(op.x)
        self.values[op.name] = self.operator(name, [x], self._lifted(op), options)

    def _rounded(self, op: ops.Requant | ops.Clip) -> None:
        """A rounding or limit: part of the operator before, or one of its own."""
        x = self.values[op.x]
        if op.x in self.storage.fused or op.name in self.storage.fused:
            self.values[op.name] = x
            return
        name = "RELU" if isinstance(op, ops.Clip) else "QUANTIZE"
        self.values[op.name] = self.operator(name, [x], x.shape)

    def tensor(self, name: str, shape: Shape) -> Tensor:
        """An int8 tensor that is computed."""
        return self._added(name, shape, "INT8", np.ones(1, np.float32), None)

    def constant(
        self, name: str, values: NDArray[np.integer[Any]], scales: NDArray[np.float32] | None = None
    ) -> Tensor:
        """A tensor that is in the file."""
        kind = "INT8" if values.dtype == np.int8 else "INT32"
        held = np.ones(1, np.float32) if scales is None else scales
        data = memoryview(np.ascontiguousarray(values).tobytes())
        return self._added(name, values.shape, kind, held, data)

    def _added(
        self,
        name: str,
        shape: Shape,
        kind: str,
        scales: NDArray[np.float32],
        data: memoryview | None,
    ) -> Tensor:
        zero = np.zeros(1, np.int64)
        index = len(self.tensors)
        made = Tensor(index, name, shape, False, kind, scales, zero, 0, data, 0, False)
        self.tensors.append(made)
        return made

    def operator(
        self, name: str, inputs: Sequence[Tensor], shape: Shape, options: Options = NONE
    ) -> Tensor:
        """An operator, and the tensor that it makes."""
        index = len(self.operators)
        left = self.tensor(f"{name}_{index}", shape)
        self.operators.append(Operator(index, name, "", 1, tuple(inputs), (left,), options, None))
        return left
