# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program drawn in TensorFlow with FakeQuant at its own power-of-two ranges.

Where a Program rounds, a FakeQuant says which 256 levels there are; the converter takes scales and
zero points from those, so that every stored number is the Program's raw integer plus a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np

from edgeinfer.graph import Function
from edgeinfer.ir import ops
from edgeinfer.ir.ops import PairKind, PoolKind
from edgeinfer.targets.edgetpu import drawing
from edgeinfer.targets.edgetpu.drawing import Drawn, Reals
from edgeinfer.targets.edgetpu.grid import ChannelWeights, Window, by_channel
from edgeinfer.targets.edgetpu.storage import FUNCTIONS, LOGISTIC, Storage
from quantization.fixed import Fixed, Rounding


def levelled(tensor: Any, window: Window) -> Any:
    """A tensor on the levels of a window."""
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(
        tensor, min=window.least, max=window.most, num_bits=8
    )


def draw(storage: Storage, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs by the names users know, for TensorFlow inputs with a batch of 1."""
    sketch = _Sketch(storage, dict(inputs))
    for op in storage.program.ops:
        sketch.values[op.name] = sketch.stored(op, sketch.drawn(op))
    return {output.name: sketch.values[output.value].plain() for output in storage.program.outputs}


@dataclass(slots=True)
class _Sketch:
    storage: Storage
    inputs: dict[str, Any]
    values: dict[str, Drawn] = field(default_factory=dict)

    def stored(self, op: ops.Op, value: Drawn) -> Drawn:
        """A value on its levels; one that is fused, or moved as it is, stays as it is."""
        import tensorflow as tf

        name = op.name
        if name in self.storage.fused:
            return value
        window = self.storage.windows[name]
        match op:
            case ops.Reshape() | ops.Transpose() | ops.Upsample() | ops.Slice() | ops.Pad():
                return value
            case ops.Concat():
                return value
            case ops.Pool() if op.kind is PoolKind.MAX:
                return value
            case ops.Requant() | ops.Clip():
                low = self.storage.lows.get(name, window.low)
            case _:
                low = window.low  # what the type does not hold was proved not to come
        if low == 0 and window.low < 0:
            if self._is_relu(op):
                return value.like(levelled(value.tensor, window))
            return value.like(levelled(tf.nn.relu(value.tensor), window))
        held = value.like(levelled(value.tensor, window))
        if low > window.low:
            least = tf.constant(float(np.ldexp(low, -window.frac)), tf.float32)
            return held.like(levelled(tf.maximum(held.tensor, levelled(least, window)), window))
        return held

    def _is_relu(self, op: ops.Op) -> bool:
        """Whether a lower end of zero was drawn already."""
        while isinstance(op, ops.Requant | ops.Clip):
            if isinstance(op, ops.Clip) and op.low == 0:
                return True
            if op.x not in self.storage.fused:
                return False
            op = self.storage.program[op.x]
        return False

    def drawn(self, op: ops.Op) -> Drawn:
        """What an op computes, before it is rounded."""
        import tensorflow as tf

        shape = self.storage.program.shapes[op.name]
        match op:
            case ops.Input():
                return Drawn(self.inputs[op.name], shape)
            case ops.Constant():
                values = np.ldexp(op.value.astype(np.float64), -op.type.frac)
                return Drawn(tf.constant(values[None], tf.float32), shape)
            case ops.Conv() | ops.Dense() | ops.Scale():
                return self._linear(op)
            case ops.Requant():
                return self.values[op.x]
            case ops.Clip():
                return self._clipped(op)
            case ops.PRelu():
                return self._prelu(op)
            case ops.Table():
                return self._table(op)
            case ops.Softmax():
                return Drawn(levelled(tf.nn.softmax(self._plain(op.x)), LOGISTIC), shape)
            case ops.Pool():
                return self._pooled(op)
            case ops.Pair():
                return Drawn(self._paired(op), shape)
            case ops.Concat():
                return self._joined(op)
            case ops.Reshape():
                return Drawn(tf.reshape(self._plain(op.x), (1, *op.shape)), shape)
            case ops.Transpose():
                order = (0, *(axis + 1 for axis in op.order))
                return Drawn(tf.transpose(self._plain(op.x), order), shape)
            case ops.Pad():
                return Drawn(tf.pad(self._plain(op.x), [(0, 0), *op.pads]), shape)
            case ops.Upsample():
                return drawing.upsampled(self.values[op.x], op.factors, shape)
            case ops.Slice():
                begins, ends = (0, *op.starts), (1, *op.stops)
                steps = (1, *op.steps)
                return Drawn(tf.strided_slice(self._plain(op.x), begins, ends, steps), shape)
            case _:
                assert_never(op)

    def _plain(self, name: str) -> Any:
        return self.values[name].plain()

    def _linear(self, op: ops.Conv | ops.Dense | ops.Scale) -> Drawn:
        import tensorflow as tf

        program = self.storage.program
        x, shape = self.values[op.x], program.shapes[op.name]
        bias = np.ldexp(op.bias.astype(np.float64), -op.type.frac)
        match op:
            case ops.Conv():
                held = _weights(op.weight, op.weight_type)
                kernel = weight_tensor(drawing.lifted_kernel(held.values), held)
                window = (op.strides, op.pads, op.dilation, op.groups)
                bias = bias + self._nudge(op, held)
                return drawing.convolved(x, kernel, bias, *window, shape)
            case ops.Dense():
                held = _weights(op.weight, op.weight_type)
                kernel = weight_tensor(held.values, held)
                bias = bias + self._nudge(op, held)
                return drawing.multiplied(x, kernel, bias, shape, as_image=not held.uniform)
            case ops.Scale():
                if isinstance(program[op.x], ops.Pool):
                    return x  # the mean was drawn already
                channels = shape[-1]
                wide = np.broadcast_to(op.factor.reshape(-1), (channels,))
                held = _weights(ops.packed(wide.astype(np.int64)), op.factor_type)
                kernel = weight_tensor(held.values[None, None], held)
                deep = tf.reshape(kernel, (1, 1, channels, 1))
                image = tf.nn.depthwise_conv2d(x.image(), deep, [1, 1, 1, 1], "VALID")
                shift = np.broadcast_to(bias.reshape(-1), (channels,))
                made = tf.nn.bias_add(image, tf.constant(shift, tf.float32))
                return Drawn(made, shape, lifted=len(shape) < 3)
            case _:
                assert_never(op)

    def _nudge(self, op: ops.Conv | ops.Dense, held: ChannelWeights) -> Reals:
        """What a bias needs so that the kernel rounds its sums as the Program does; by channel."""
        last = self.storage.program[self.storage.final(op.name)]
        rounding = self._rounding(last)
        fracs = held.fracs + self.storage.program.type(op.x).frac
        if rounding is None:
            return np.zeros(len(fracs))
        window = self.storage.windows[last.name]
        several = len(self.storage.program.shapes[op.x]) > 1
        halved = isinstance(op, ops.Conv) or several or not held.uniform
        units = [bias_units(rounding, int(f) - window.frac, halved=halved) for f in fracs]
        return np.ldexp(np.asarray(units, np.float64), -fracs)

    def _rounding(self, op: ops.Op) -> Rounding | None:
        """How the fused ops that end in this one round."""
        while isinstance(op, ops.Clip) and op.x in self.storage.fused:
            op = self.storage.program[op.x]
        return op.rounding if isinstance(op, ops.Requant) else None

    def _clipped(self, op: ops.Clip) -> Drawn:
        """A limit; where it is fused its upper end is the window's, and a lower end of zero a
        ReLU."""
        import tensorflow as tf

        x = self.values[op.x]
        if op.low == 0:
            x = x.like(tf.nn.relu(x.tensor))
        if op.name in self.storage.fused or op.x in self.storage.fused:
            return x
        window = self.storage.windows[op.name]
        if op.low is not None and op.low != 0:
            least = tf.constant(float(np.ldexp(op.low, -op.type.frac)), tf.float32)
            x = x.like(levelled(tf.maximum(x.tensor, levelled(least, window)), window))
        if op.high is not None and op.high < window.high:
            most = tf.constant(float(np.ldexp(op.high, -op.type.frac)), tf.float32)
            x = x.like(levelled(tf.minimum(x.tensor, levelled(most, window)), window))
        return x

    def _prelu(self, op: ops.PRelu) -> Drawn:
        """max(x, slope x), both on the levels of the result: rounding grows with its argument."""
        import tensorflow as tf

        window = self.storage.windows[self.storage.final(op.name)]
        x = self._plain(op.x)
        values = np.ldexp(op.slope.astype(np.float64), -op.slope_type.frac)
        slope = tf.constant(values, tf.float32)
        steep = tf.quantization.fake_quant_with_min_max_args(slope, min=-1.0, max=127 / 128)
        low = levelled(x * steep, window)
        made = tf.maximum(levelled(x, window), low)
        return Drawn(made, self.storage.program.shapes[op.name])

    def _table(self, op: ops.Table) -> Drawn:
        import tensorflow as tf

        x = self.values[op.x]
        function = self.storage.functions.get(op.name, Function.SIGMOID)
        held = FUNCTIONS[function]
        match function:
            case Function.TANH:
                return x.like(levelled(tf.tanh(x.tensor), held))
            case Function.SWISH:
                return x.like(x.tensor * levelled(tf.sigmoid(x.tensor), held))
            case _:
                return x.like(levelled(tf.sigmoid(x.tensor), held))

    def _pooled(self, op: ops.Pool) -> Drawn:
        program = self.storage.program
        x, shape = self.values[op.x], program.shapes[op.name]
        sizes = program.shapes[op.x][:-1]
        ones = (1,) * len(op.window)
        word = drawing.padding_of(sizes, op.window, op.strides, ones, op.pads)
        if not word:  # values are not negative, or this had been refused
            padded = drawing.padded_image(x.image(), op.pads)
            sides = zip(sizes, op.pads, strict=True)
            grown = tuple(size + sum(pad) for size, pad in sides)
            x, word = Drawn(padded, (*grown, shape[-1]), lifted=len(grown) == 1), "VALID"
        maximum = op.kind is PoolKind.MAX
        made = drawing.pooled(x, op.window, op.strides, word, shape, maximum=maximum)
        if maximum:
            return made
        return made.like(levelled(made.tensor, self.storage.windows[op.x]))

    def _paired(self, op: ops.Pair) -> Any:
        import tensorflow as tf

        a, b = self._plain(op.a), self._plain(op.b)
        match op.kind:
            case PairKind.ADD:
                return a + b
            case PairKind.SUB:
                return a - b
            case PairKind.MUL:
                return a * b
            case PairKind.MAX | PairKind.MIN:
                window = self.storage.windows[self.storage.final(op.name)]
                function = tf.maximum if op.kind is PairKind.MAX else tf.minimum
                return function(levelled(a, window), levelled(b, window))
            case _:
                assert_never(op.kind)

    def _joined(self, op: ops.Concat) -> Drawn:
        import tensorflow as tf

        window = self.storage.windows[op.name]
        parts = [
            self._plain(x)
            if self.storage.windows[x] == window
            else levelled(self._plain(x), window)
            for x in op.xs
        ]
        made = tf.concat(parts, axis=op.axis + 1)
        return Drawn(made, self.storage.program.shapes[op.name])


def bias_units(rounding: Rounding, shift: int, *, halved: bool) -> int:
    """What to add to a sum, in its own units, so that the reference kernels' division by 2^shift
    rounds in a given way (sums that end at zero or above).

    Dense kernels round ties upwards. Those of convolutions halve first, ties upwards, and round the
    rest away from zero: together floor((sum + 1 + 2^(shift-1)) / 2^shift).
    """
    if shift < 1:
        return 0
    half_up = -1 if halved and shift > 1 else 0
    match rounding:
        case Rounding.RND | Rounding.RND_INF | Rounding.RND_CONV:  # ties to even there are none
            return half_up
        case Rounding.RND_ZERO | Rounding.RND_MIN_INF:
            return half_up - 1
        case Rounding.TRN | Rounding.TRN_ZERO:
            return half_up - (1 << (shift - 1))
        case _:
            assert_never(rounding)


def _weights(weight: ops.Weights, type_: Fixed) -> ChannelWeights:
    held = by_channel(weight, type_.frac)
    if held is None:
        raise AssertionError("weights wider than 8 bits were to be refused before")
    return held


def weight_tensor(values: Reals, held: ChannelWeights) -> Any:
    """A constant that the converter stores as exactly the integers that it stands for."""
    import tensorflow as tf

    reach = np.ldexp(127.0, -held.fracs)
    constant = tf.constant(values, tf.float32)
    if held.uniform:
        return tf.quantization.fake_quant_with_min_max_args(
            constant, min=-float(reach[0]), max=float(reach[0]), narrow_range=True
        )
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        constant,
        tf.constant(-reach, tf.float32),
        tf.constant(reach, tf.float32),
        narrow_range=True,
    )
