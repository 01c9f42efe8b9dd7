# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as ONNX with QuantizeLinear/DequantizeLinear pairs, exact in a runtime's floats.

Every scale is a power of two. A pair rounds half to even and saturates; where a Program rounds or
overflows otherwise, nodes before the pair do that, and the pair only states the type.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.export.onnx_values import (
    FLOAT32_BITS,
    ValueEmitter,
    emitting,
    exponents_of,
    file_of,
    state_of,
)
from edgeinfer.ir.engine.choice import OpArithmetic
from edgeinfer.ir.engine.emit import Emitter
from edgeinfer.ir.engine.extremes import clip
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.values import CarriedTensor, Carrier, cast_to, rescale
from edgeinfer.ir.engine.window import NATIVE_RANKS
from edgeinfer.ir.ops import Conv, Dense, Input, Op, Requant
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program
from quantization.fixed import Fixed, Overflow, Rounding

NAME = "qdq"
PLAIN_OPSET, WIDE_OPSET = 18, 21  # the latter has pairs of 16 bits
WIDEST = 16  # bits of a pair
ADVICE = (
    "ONNX Runtime replaces pairs by kernels of its own, some of which round otherwise: open the "
    "session with session.disable_quant_qdq set to 1, or without graph optimisation."
)


@dataclass(slots=True)
class QdqEmitter(ValueEmitter):
    """Pairs for inputs and roundings, integers for weights."""

    opset: int = PLAIN_OPSET

    def stated_input(self, op: Input, tensor: str) -> CarriedTensor:
        """An input rounded to its own type, which changes nothing that lies in it."""
        x = CarriedTensor(tensor, Carrier.FLOAT32, op.shape, False, op.type.frac)
        return self._paired(x, op.type) if op.type.bits <= WIDEST else x

    def emit_op(self, op: Op, arithmetic: OpArithmetic) -> CarriedTensor:
        """As for values, with weights and roundings in this format's own way."""
        match op:
            case Conv() if arithmetic.carrier is Carrier.FLOAT32 and self._native(op):
                return self.convolution(op, self.read(op.x, Carrier.FLOAT32))
            case Dense():
                return self.product(op, arithmetic.carrier)
            case _:  # `ValueEmitter` knows every op
                return ValueEmitter.emit_op(self, op, arithmetic)

    def requantize(self, op: Requant, carrier: Carrier) -> CarriedTensor:
        """A pair alone where that is what it does, else a pair after the rounding."""
        x = self.read(op.x, carrier)
        saturates = op.overflow in (Overflow.SAT, Overflow.SAT_SYM)
        rounds = op.rounding is Rounding.RND_CONV or x.exponent <= op.type.frac
        paired = op.type.bits <= WIDEST
        if paired and saturates and rounds and carrier is Carrier.FLOAT32:
            on_grid = replace(x, exponent=op.type.frac)  # values are the same on every grid
            return self._paired(on_grid, op.type, symmetric=op.overflow is Overflow.SAT_SYM)
        y = Emitter.requantize(self, op, carrier)
        y = rescale(self.builder, y, op.type.frac)
        return self._paired(cast_to(self.builder, y, Carrier.FLOAT32), op.type) if paired else y

    def _paired(self, x: CarriedTensor, type_: Fixed, *, symmetric: bool = False) -> CarriedTensor:
        """QuantizeLinear and DequantizeLinear, limits before them where the type is narrower."""
        dtype = self._stored_type(type_)
        low = -type_.raw_max if symmetric and type_.signed else type_.raw_min
        limits, ends = np.iinfo(dtype), (low, type_.raw_max)
        if ends != (limits.min, limits.max):
            x = clip(self.builder, x, *ends)
        scale, zero = self.builder.constant(type_.lsb, np.float32), self.builder.constant(0, dtype)
        whole = self.builder.node("QuantizeLinear", x.tensor, scale, zero)
        return replace(x, tensor=self.builder.node("DequantizeLinear", whole, scale, zero))

    def _stored_type(self, type_: Fixed) -> np.dtype[Any]:
        wide = type_.bits > 8
        if wide:
            self.opset = WIDE_OPSET
        return np.dtype(f"{'' if type_.signed else 'u'}int{16 if wide else 8}")

    def weight(self, raw: NDArray[Any], type_: Fixed, carrier: Carrier) -> str:
        """A constant as integers with a power of two, or as floats where no type holds them."""
        if type_.bits > FLOAT32_BITS:
            return self.builder.constant(self.exactly(raw, type_.frac, carrier))
        stored = np.dtype(np.int32) if type_.bits > WIDEST else self._stored_type(type_)
        whole = self.builder.constant(raw.astype(stored))
        scale = self.builder.constant(type_.lsb, np.float32)
        inputs = [whole, scale]
        if stored != np.int32:
            inputs.append(self.builder.constant(0, stored))
        tensor = self.builder.node("DequantizeLinear", *inputs)
        return tensor if carrier is Carrier.FLOAT32 else self.builder.cast(tensor, carrier.dtype)

    def bias(self, raw: NDArray[Any], frac: int, carrier: Carrier) -> str:
        largest = int(np.abs(raw.astype(np.int64)).max(initial=0))
        bits = max(largest.bit_length() + 1, WIDEST + 1)
        return self.weight(raw, Fixed(True, bits, bits - frac), carrier)

    def _native(self, op: Conv) -> bool:
        return len(op.strides) in NATIVE_RANKS


def write_model(program: Program) -> bytes:
    """The file's bytes."""
    folded = fold_constants(program)
    emitter = QdqEmitter(state_of(folded), exponents_of(folded), {}, OnnxBuilder())
    emitter.findings.append(ADVICE)
    emitting(folded, emitter, NAME)
    return file_of(folded, program, emitter, NAME, opset=emitter.opset)
