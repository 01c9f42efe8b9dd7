# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as QONNX: Quant nodes state every type, and reading the file gives the same Program.

Each multiplier stands where it is applied, and what the host is to do follows as a float node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.export.onnx_values import (
    FLOAT32_BITS,
    NotCarriedError,
    ValueEmitter,
    emitting,
    exponents_of,
    file_of,
    state_of,
)
from edgeinfer.export.qonnx_tables import function_of
from edgeinfer.ir import ops
from edgeinfer.ir.engine.choice import OpArithmetic
from edgeinfer.ir.engine.elementwise import prelu
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.values import CarriedTensor, Carrier, cast_to, lay_out, parameter
from edgeinfer.ir.engine.window import NATIVE_RANKS, onnx_pads
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import HostFunction, Program
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, fixed_of_range

NAME = "qonnx"
DOMAIN = "qonnx.custom_op.general"
OPSET = 18
MODES = {
    Rounding.RND_CONV: "ROUND",
    Rounding.TRN: "FLOOR",
    Rounding.TRN_ZERO: "DOWN",
    Rounding.RND_INF: "HALF_UP",
    Rounding.RND_ZERO: "HALF_DOWN",
}


@dataclass(slots=True)
class QonnxEmitter(ValueEmitter):
    """Quant nodes for inputs, weights and roundings."""

    def stated_input(self, op: ops.Input, tensor: str) -> CarriedTensor:
        """An input with its type."""
        source = self.quant(tensor, Quantizer(op.type))
        return CarriedTensor(source, Carrier.FLOAT32, op.shape, False, op.type.frac)

    def quant(self, tensor: str, quantizer: Quantizer) -> str:
        """A Quant node."""
        type_ = quantizer.type
        if quantizer.rounding not in MODES:
            raise NotCarriedError(f"Quant has no rounding mode for {quantizer.rounding}")
        if quantizer.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
            raise NotCarriedError(f"Quant saturates, and this is {quantizer.overflow}")
        if type_.bits > FLOAT32_BITS:
            raise NotCarriedError(f"Quant works in float32, and {type_} has {type_.bits} bits")
        if type_.signed and type_.bits == 1:
            raise NotCarriedError(f"{type_} is -1 or 0, and Quant's signed bit is -1 or +1")
        scale, zero, bits = (
            self.builder.constant(number, np.float32) for number in (type_.lsb, 0, type_.bits)
        )
        return self.builder.node(
            "Quant",
            tensor,
            scale,
            zero,
            bits,
            domain=DOMAIN,
            signed=int(type_.signed),
            narrow=int(type_.signed and quantizer.overflow is Overflow.SAT_SYM),
            rounding_mode=MODES[quantizer.rounding],
        )

    def emit_op(self, op: ops.Op, arithmetic: OpArithmetic) -> CarriedTensor:
        """As for values, with what a reader can tell apart."""
        carrier = arithmetic.carrier
        match op:
            case ops.Conv():
                self._floats(op, arithmetic)
                return self.convolution(
                    op, cast_to(self.builder, self.values[op.x], Carrier.FLOAT32)
                )
            case ops.Dense():
                return self.product(op, carrier)
            case ops.Scale():
                return self._scale(op, carrier)
            case ops.PRelu():
                return self._prelu(op, carrier)
            case ops.Table():
                return self._table(op)
            case ops.Softmax():
                raise NotCarriedError("it goes through integer tables, and QONNX has none")
            case ops.Pool(kind=ops.PoolKind.SUM) if not self._global(op):
                return self._summed(op, arithmetic)
            case ops.Pair() | ops.Concat():
                for name in ops.inputs_of(op):  # side by side as they are
                    if name in self.values:
                        source, shape = self.values[name], self.state.shapes[name]
                        self.values[name] = lay_out(self.builder, source, shape, False)
                return ValueEmitter.emit_op(self, op, arithmetic)
            case ops.Upsample():
                return self._upsample(op, carrier)
            case ops.Reshape():
                x = lay_out(self.builder, self.read(op.x, carrier), self.state.shapes[op.x], False)
                tensor = self.builder.reshape(x.tensor, op.shape)
                return replace(x, tensor=tensor, layout=op.shape)
            case _:  # `ValueEmitter` knows every op
                return ValueEmitter.emit_op(self, op, arithmetic)

    def requantize(self, op: ops.Requant, carrier: Carrier) -> CarriedTensor:
        """A Quant node, which rounds and saturates at once."""
        x = self.read(op.x, carrier)
        tensor = self.quant(x.tensor, op.quantizer)
        return replace(x, tensor=tensor, carrier=Carrier.FLOAT32, exponent=op.type.frac)

    def _global(self, op: ops.Pool) -> bool:
        """A sum over all of space, which ReduceSum states."""
        unpadded = all(pad == (0, 0) for pad in op.pads)
        return op.window == op.strides == self.state.shapes[op.x][:-1] and unpadded

    def _summed(self, op: ops.Pool, arithmetic: OpArithmetic) -> CarriedTensor:
        """A sum over windows: a convolution of ones, each channel for itself."""
        self._floats(op, arithmetic)
        shape = self.state.shapes[op.x]
        x = cast_to(self.builder, self.values[op.x], Carrier.FLOAT32)
        x = lay_out(self.builder, x, shape, True)
        tensor = self.builder.node(
            "Conv",
            x.tensor,
            self.builder.constant(np.ones((shape[-1], 1, *op.window), np.float32)),
            kernel_shape=list(op.window),
            strides=list(op.strides),
            pads=onnx_pads(op.pads),
            group=shape[-1],
        )
        return replace(x, tensor=tensor, layout=self.state.shapes[op.name])

    def _floats(self, op: ops.Conv | ops.Pool, arithmetic: OpArithmetic) -> None:
        """ONNX Runtime sums windows in float32 only: what that may do is said."""
        if len(self.state.shapes[op.x]) - 1 not in NATIVE_RANKS:
            raise NotCarriedError("it has more spatial axes than ONNX Runtime knows")
        if arithmetic.carrier is not Carrier.FLOAT32:
            self.findings.append(
                f"The sums of {op.name!r} may need {arithmetic.largest.bit_length()} bits: the "
                f"file is exact, but a runtime that computes them in float32 may round them."
            )

    def weight(self, raw: NDArray[Any], type_: Fixed, carrier: Carrier) -> str:
        """A constant through Quant; in float64 where it is needed there."""
        constant = self.builder.constant(self.exactly(raw, type_.frac, Carrier.FLOAT32))
        tensor = self.quant(constant, Quantizer(type_))
        return tensor if carrier is Carrier.FLOAT32 else self.builder.cast(tensor, carrier.dtype)

    def bias(self, raw: NDArray[Any], frac: int, carrier: Carrier) -> str:
        """A bias through Quant where that holds it, else as it is."""
        whole = raw.astype(np.int64)
        type_ = fixed_of_range(min(int(whole.min()), 0), max(int(whole.max()), 1), frac)
        if type_.bits > FLOAT32_BITS or (type_.signed and type_.bits == 1):
            return self.builder.constant(self.exactly(whole, frac, carrier))
        return self.weight(whole, type_, carrier)

    def _scale(self, op: ops.Scale, carrier: Carrier) -> CarriedTensor:
        """Mul and Add, both even where one does nothing: a reader takes them as one multiplier."""
        x, shape = self.read(op.x, carrier), self.state.shapes[op.name]
        like = replace(lay_out(self.builder, x, self.state.shapes[op.x], x.first), layout=shape)
        self.exactly(op.factor, op.factor_type.frac, carrier)
        self.exactly(op.bias, op.type.frac, carrier)
        factor = parameter(self.builder, op.factor, like, shift=-op.factor_type.frac)
        bias = parameter(self.builder, op.bias, like, shift=-op.type.frac)
        tensor = self.builder.node("Mul", like.tensor, factor)
        if op.bias.any():
            tensor = self.builder.node("Add", tensor, bias)
        return replace(like, tensor=tensor, exponent=op.type.frac)

    def _prelu(self, op: ops.PRelu, carrier: Carrier) -> CarriedTensor:
        if carrier is not Carrier.FLOAT32:
            raise NotCarriedError("ONNX Runtime's PRelu works in float32, which is too narrow")
        x = self.read(op.x, carrier)
        x = lay_out(self.builder, x, self.state.shapes[op.x], x.first)
        return prelu(self.builder, op, x, self.state.shapes[op.name])

    def _table(self, op: ops.Table) -> CarriedTensor:
        """The function that the table holds, and its rounding."""
        x = self.read(op.x, Carrier.FLOAT32)
        function = function_of(op, self.state.ranges[op.x], self.state.types[op.x].frac)
        if function is None:
            raise NotCarriedError("its table holds no function of ONNX as float32 computes it")
        tensor = self.builder.node(function.operator, x.tensor, **function.attributes)
        tensor = self.quant(tensor, function.quantizer)
        return replace(x, tensor=tensor, exponent=op.type.frac)

    def _upsample(self, op: ops.Upsample, carrier: Carrier) -> CarriedTensor:
        x, shape = self.read(op.x, carrier), self.state.shapes[op.x]
        x = lay_out(self.builder, x, shape, x.first)
        factors = [*op.factors, 1] if not x.first else [1, *op.factors]
        tensor = self.builder.node(
            "Resize",
            x.tensor,
            "",
            self.builder.constant([1, *factors], np.float32),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return replace(x, tensor=tensor, layout=self.state.shapes[op.name])


def write_model(program: Program) -> tuple[bytes, list[str]]:
    """The file's bytes, and what to know about them. Its batch is 1, as QONNX tools want it."""
    folded = fold_constants(program)
    emitter = QonnxEmitter(state_of(folded), exponents_of(folded), {}, OnnxBuilder())
    emitting(folded, emitter, NAME)
    hosts = {}
    for output in folded.outputs:
        if output.host is not HostFunction.NONE:
            hosts[output.name] = _add_host_function(
                emitter, output.host, emitter.result(output.value)
            )
    content = file_of(folded, program, emitter, NAME, hosts, opset=OPSET, batch=1)
    return content, emitter.findings


def _add_host_function(emitter: QonnxEmitter, function: HostFunction, tensor: str) -> str:
    if function is HostFunction.SOFTMAX:
        return emitter.builder.node("Softmax", tensor, axis=-1)
    return emitter.builder.node("Sigmoid", tensor)
