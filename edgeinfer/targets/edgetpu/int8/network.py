# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The int8 operators that a Program becomes, each value on its own power-of-two levels.

One-dimensional layers are drawn on images one pixel high; a value is brought back to its own shape
where something else reads it. What a kernel rounds itself adds no operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from edgeinfer.base.tflite.model import TfliteModel, TfliteTensor
from edgeinfer.base.tflite.options import NONE, Options
from edgeinfer.graph.nodes import Function, Shape
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.ops import PairKind, PoolKind
from edgeinfer.targets.edgetpu.int8 import linear
from edgeinfer.targets.edgetpu.int8.grid import LEVELS, Window
from edgeinfer.targets.edgetpu.int8.sheet import Sheet, window_of
from edgeinfer.targets.edgetpu.int8.storage import LOGISTIC, TANH, Storage, divides_evenly
from quantization.fixed import Rounding

PAIRS = {
    PairKind.ADD: "ADD",
    PairKind.SUB: "SUB",
    PairKind.MUL: "MUL",
    PairKind.MAX: "MAXIMUM",
    PairKind.MIN: "MINIMUM",
}


def draw_network(storage: Storage) -> TfliteModel:
    """A Program's operators, constants and all."""
    pen = _Pen(storage, Sheet(storage.program.name))
    for op in storage.program.ops:
        pen.values[op.name] = pen.draw(op)
    program = storage.program
    inputs = [pen.values[op.name] for op in program.inputs]
    outputs = [pen.plain(output.value) for output in program.outputs]
    return pen.sheet.model(inputs, outputs)


@dataclass(slots=True)
class _Pen:
    storage: Storage
    sheet: Sheet
    values: dict[str, TfliteTensor] = field(default_factory=dict)

    def draw(self, op: ops.Op) -> TfliteTensor:
        """The operators of an op, and the tensor that holds its value (of a fused op: the value
        that it becomes)."""
        match op:
            case ops.Input():
                return self.sheet.tensor(op.name, self._shape(op), self._window(op))
            case ops.Constant():
                return self.sheet.level(op.name, op.value[None], self._window(op))
            case ops.Conv():
                x, shape = self.image(op.x), self._lifted(op)
                return linear.convolution(self.sheet, op, x, shape, *self._ending(op))
            case ops.Dense():
                x = self.values[op.x]
                return linear.product(self.sheet, op, x, self._shape(op), *self._ending(op))
            case ops.Scale():
                if isinstance(self.storage.program[op.x], ops.Pool):
                    return self.values[op.x]  # a mean already
                return linear.scale_channels(self.sheet, op, self.image(op.x), *self._ending(op))
            case ops.Requant() | ops.Clip():
                return self._rounded(op)
            case ops.PRelu():
                return self._prelu(op)
            case ops.Table():
                return self._table(op)
            case ops.Softmax():
                softmax = self.sheet.operator(
                    "SOFTMAX", [self.plain(op.x)], self._shape(op), LOGISTIC
                )
                return self.sheet.change_levels(softmax, self._window(op))
            case ops.Pool():
                return self._pooled(op)
            case ops.Pair():
                return self._paired(op)
            case ops.Concat():
                window = self._window(op)
                parts = [self.sheet.change_levels(self.plain(x), window) for x in op.xs]
                return self._own(op, "CONCATENATION", parts, Options(axis=op.axis + 1))
            case ops.Reshape():
                return self.sheet.reshape(self.values[op.x], self._shape(op))
            case ops.Transpose():
                return self._moved(op, "TRANSPOSE", [(0, *(axis + 1 for axis in op.order))])
            case ops.Pad():
                return self._moved(op, "PAD", [[(0, 0), *op.pads]])
            case ops.Upsample():
                return self._upsampled(op)
            case ops.Slice():
                ends = [(0, *op.starts), (1, *op.stops), (1, *op.steps)]
                return self._moved(op, "STRIDED_SLICE", ends)
            case ops.Scan() | ops.Sites() | ops.Moves():
                raise AssertionError(op)  # `storage` has refused it
            case _:
                assert_never(op)

    def _shape(self, op: ops.Op) -> Shape:
        return (1, *self.storage.program.shapes[op.name])

    def _lifted(self, op: ops.Op) -> Shape:
        shape = self._shape(op)
        return (1,) * (4 - len(shape)) + shape

    def _window(self, op: ops.Op) -> Window:
        """The levels of a value, or of what it becomes."""
        return self.storage.windows[self.storage.final(op.name)]

    def _ending(self, op: ops.Op) -> tuple[Window, Rounding | None, str]:
        """On which levels a sum ends, how it is rounded, and whether a ReLU is computed with it."""
        last = self.storage.program[self.storage.final(op.name)]
        rounding, fused = None, "NONE"
        if self.storage.lows.get(last.name) == 0:
            fused = "RELU"
        step: ops.Op = last
        while step.name != op.name and isinstance(step, ops.Requant | ops.Clip | ops.Scale):
            if isinstance(step, ops.Clip) and step.low == 0:
                fused = "RELU"
            if isinstance(step, ops.Requant):
                rounding = step.rounding
            step = self.storage.program[step.x]
        return self.storage.windows[last.name], rounding, fused

    def _own(
        self, op: ops.Op, name: str, inputs: Sequence[TfliteTensor | None], options: Options = NONE
    ) -> TfliteTensor:
        return self.sheet.operator(name, inputs, self._shape(op), self._window(op), options)

    def _moved(
        self, op: ops.Transpose | ops.Pad | ops.Slice, name: str, how: Sequence[object]
    ) -> TfliteTensor:
        x = self.plain(op.x)
        tensors = [self.sheet.numbers(f"{op.name}/{i}", np.asarray(v)) for i, v in enumerate(how)]
        return self.sheet.operator(name, [x, *tensors], self._shape(op), window_of(x))

    def plain(self, name: str) -> TfliteTensor:
        """A value in its own shape."""
        shape = (1, *self.storage.program.shapes[name])
        return self.sheet.reshape(self.values[name], shape)

    def image(self, name: str) -> TfliteTensor:
        """A value as an image."""
        shape = (1, *self.storage.program.shapes[name])
        return self.sheet.reshape(self.values[name], (1,) * (4 - len(shape)) + shape)

    def _rounded(self, op: ops.Requant | ops.Clip) -> TfliteTensor:
        """A rounding or limit: what the kernel before did not do."""
        x = self.values[op.x]
        if op.name in self.storage.fused:
            return x
        window, low = self.storage.windows[op.name], self.storage.lows.get(op.name)
        fused = op.x in self.storage.fused
        relu = not fused and isinstance(op, ops.Clip) and op.low == 0
        rounds: ops.Op = op
        while isinstance(rounds, ops.Clip) and rounds.x in self.storage.fused:
            rounds = self.storage.program[rounds.x]
        if isinstance(rounds, ops.Requant) and not self._ended(op):
            ending = "RELU" if low == 0 else "NONE"
            coarse = linear.regrid_tensor(self.sheet, rounds, x, window, ending)
            if coarse is not None:
                x, low = coarse, None if low == 0 else low
        if relu or (low == 0 and not self._ended(op)):
            x = self.sheet.operator("RELU", [x], x.shape, window)
        x = self.sheet.change_levels(x, window)
        if low is not None and low != 0:
            least = self.sheet.level(f"{op.name}/least", np.asarray(low), window)
            x = self.sheet.operator("MAXIMUM", [x, least], x.shape, window)
        if isinstance(op, ops.Clip) and not fused:
            if op.low is not None and op.low != 0 and op.low > window.low:
                least = self.sheet.level(f"{op.name}/low", np.asarray(op.low), window)
                x = self.sheet.operator("MAXIMUM", [x, least], x.shape, window)
            if op.high is not None and op.high < window.high:
                most = self.sheet.level(f"{op.name}/high", np.asarray(op.high), window)
                x = self.sheet.operator("MINIMUM", [x, most], x.shape, window)
        return x

    def _ended(self, op: ops.Op) -> bool:
        """Whether a kernel has made a value of fused ops, limits at zero included."""
        while isinstance(op, ops.Requant | ops.Clip) and op.x in self.storage.fused:
            op = self.storage.program[op.x]
        match op:
            case Accumulates():
                return True
            case ops.Scale():
                return not isinstance(self.storage.program[op.x], ops.Pool)
            case ops.Pair():
                return op.kind not in (PairKind.MAX, PairKind.MIN)
            case _:  # no kernel ends with the other ops
                return False

    def _prelu(self, op: ops.PRelu) -> TfliteTensor:
        """max(x, slope x), both on the levels of the result: rounding grows with its argument."""
        x, window = self.plain(op.x), self._window(op)
        levels = Window(op.slope_type.frac, -LEVELS // 2)
        steep = self.sheet.level(f"{op.name}/slope", op.slope.astype(np.int64), levels)
        part = self.sheet.operator("MUL", [x, steep], x.shape, window)
        return self.sheet.operator(
            "MAXIMUM", [self.sheet.change_levels(x, window), part], x.shape, window
        )

    def _table(self, op: ops.Table) -> TfliteTensor:
        x, window = self.values[op.x], self._window(op)
        match self.storage.functions[op.name]:
            case Function.TANH:
                return self.sheet.change_levels(
                    self.sheet.operator("TANH", [x], x.shape, TANH), window
                )
            case Function.SIGMOID:
                logistic = self.sheet.operator("LOGISTIC", [x], x.shape, LOGISTIC)
                return self.sheet.change_levels(logistic, window)
            case function:
                raise AssertionError(f"{function} was let through by `tables`")

    def _pooled(self, op: ops.Pool) -> TfliteTensor:
        x = self.image(op.x)
        window, strides = linear.lift_pair(op.window, 1), linear.lift_pair(op.strides, 1)
        pads = linear.lifted_pads(op.pads)
        factor = self.storage.reader(op.name) if op.kind is PoolKind.SUM else None
        whole = isinstance(factor, ops.Scale) and divides_evenly(op, factor)
        x, same = linear.pad_image(self.sheet, x, window, strides, (1, 1), pads, whole=whole)
        ending, rounding, _ = self._ending(op)
        tied = window[0] * window[1] % 2 == 0  # AVERAGE_POOL_2D's ties depend on the zero point
        if isinstance(factor, ops.Scale) and whole and (tied or ending != window_of(x)):
            shape = self._lifted(op)
            return linear.mean(self.sheet, x, op, factor, shape, ending, rounding)
        name = "MAX_POOL_2D" if op.kind is PoolKind.MAX else "AVERAGE_POOL_2D"
        options = Options(strides=strides, window=window, same_padding=same)
        return self.sheet.operator(name, [x], self._lifted(op), window_of(x), options)

    def _paired(self, op: ops.Pair) -> TfliteTensor:
        window, _, fused = self._ending(op)
        a, b = self.plain(op.a), self.plain(op.b)
        if op.kind in (PairKind.MAX, PairKind.MIN):
            parts = [self.sheet.change_levels(t, window) for t in (a, b)]
            return self.sheet.operator(PAIRS[op.kind], parts, self._shape(op), window)
        options = Options(fused=fused)
        return self.sheet.operator(PAIRS[op.kind], [a, b], self._shape(op), window, options)

    def _upsampled(self, op: ops.Upsample) -> TfliteTensor:
        x, shape = self.image(op.x), self._lifted(op)
        sizes = self.sheet.numbers(f"{op.name}/size", shape[1:3])
        return self.sheet.operator("RESIZE_NEAREST_NEIGHBOR", [x, sizes], shape, window_of(x))
