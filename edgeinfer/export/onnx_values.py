# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program in ONNX whose tensors hold values, not raw integers: value = raw x 2^-frac, exactly.

float32 holds every integer of 24 bits times a power of two, float64 of 53. Each op runs in the
narrower one that its proved integers allow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import Offence
from edgeinfer.export.onnx_model import OnnxPort, bare_outputs, finish_model, name_tensors, refuse
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.choice import OpArithmetic, arithmetic_of, float_for, reach_of
from edgeinfer.ir.engine.emit import Emitter
from edgeinfer.ir.engine.extremes import clip
from edgeinfer.ir.engine.rewrite import RewrittenProgram
from edgeinfer.ir.engine.values import (
    CarriedTensor,
    Carrier,
    cast_to,
    integers_in,
    lay_out,
    rescale,
)
from edgeinfer.ir.engine.window import onnx_pads
from edgeinfer.ir.ops import Clip, Constant, Conv, Dense, Input, Op, Scan, inputs_of
from edgeinfer.ir.program import Program
from quantization.fixed import Fixed

FLOAT32_BITS = 24
LARGEST_FRAC = 100  # beyond it a step is near the smallest float32


class NotCarriedError(ValueError):
    """Why a format cannot carry one op; becomes an entry of the report."""


@dataclass(slots=True)
class ValueEmitter(Emitter, ABC):
    """Nodes that compute values. A format says how it states roundings, weights and inputs."""

    offences: list[Offence] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)  # tensor -> the Program's name

    @abstractmethod
    def stated_input(self, op: Input, tensor: str) -> CarriedTensor:
        """An input, and the format that the file states for it."""

    @abstractmethod
    def weight(self, raw: NDArray[Any], type_: Fixed, carrier: Carrier) -> str:
        """A constant, and the format that the file states for it."""

    @abstractmethod
    def bias(self, raw: NDArray[Any], frac: int, carrier: Carrier) -> str:
        """A bias on a grid; its format is the file's choice."""

    def convolution(self, op: Conv, x: CarriedTensor) -> CarriedTensor:
        """A convolution, with a bias where one does something."""
        x = lay_out(self.builder, x, self.state.shapes[op.x], True)
        weight = np.moveaxis(op.weight, (-1, -2), (0, 1))
        weights = [self.weight(weight, op.weight_type, x.carrier)]
        if op.bias.any():
            weights.append(self.bias(op.bias, op.type.frac, x.carrier))
        tensor = self.builder.node(
            "Conv",
            x.tensor,
            *weights,
            kernel_shape=list(op.window),
            strides=list(op.strides),
            pads=onnx_pads(op.pads),
            dilations=list(op.dilation),
            group=op.groups,
        )
        return CarriedTensor(tensor, x.carrier, self.state.shapes[op.name], True, op.type.frac)

    def product(self, op: Dense, carrier: Carrier) -> CarriedTensor:
        """A dense layer, with a bias where one does something."""
        x = lay_out(self.builder, self.read(op.x, carrier), self.state.shapes[op.x], False)
        weight = self.weight(op.weight, op.weight_type, carrier)
        tensor = self.builder.node("MatMul", x.tensor, weight)
        if op.bias.any():
            tensor = self.builder.node("Add", tensor, self.bias(op.bias, op.type.frac, carrier))
        return CarriedTensor(tensor, carrier, self.state.shapes[op.name], False, op.type.frac)

    def add(self, op: Op) -> None:
        """Nodes for one op, or an entry of the report."""
        try:
            if abs(op.type.frac) > LARGEST_FRAC:
                raise NotCarriedError(f"a step of 2^{-op.type.frac} is beyond a float32")
            match op:
                case Constant():
                    self.constants[op.name] = op
                case Input():
                    tensor = self.builder.input(np.dtype(np.float32), op.shape)
                    self.inputs[tensor] = op.name
                    if max(abs(op.type.raw_min), op.type.raw_max) > 1 << FLOAT32_BITS:
                        raise NotCarriedError(
                            f"{op.type} has {op.type.bits} bits, and a float32 holds {FLOAT32_BITS}"
                        )
                    self.values[op.name] = self.stated_input(op, tensor)
                case _:  # `emit` knows every op
                    self.emit(op)
        except NotCarriedError as error:
            self.offences.append(Offence(f"%{op.name}", type(op).__name__, str(error)))
            self.values[op.name] = self._stand_in(op)

    def _stand_in(self, op: Op) -> CarriedTensor:
        """Something of the value's shape, so that the report goes on."""
        shape = self.state.shapes[op.name]
        tensor = self.builder.constant(np.zeros((1, *shape), np.float32))
        return CarriedTensor(tensor, Carrier.FLOAT32, shape, False, op.type.frac)

    def emit(self, op: Op) -> None:
        """Nodes for one op; the tensor holds values."""
        reach = {x: self.reach.get(x, 0) for x in inputs_of(op)}
        arithmetic = arithmetic_of(op, self.state, reach)
        carrier = float_for(arithmetic.largest)
        if carrier is Carrier.INT64:
            bits = arithmetic.largest.bit_length()
            raise NotCarriedError(f"its integers may need {bits} bits, and a float64 holds 53")
        self.reach[op.name] = reach_of(op, self.state, reach, arithmetic.largest)
        value = self.emit_op(op, replace(arithmetic, carrier=carrier))
        self.values[op.name] = rescale(self.builder, value, op.type.frac)

    def emit_op(self, op: Op, arithmetic: OpArithmetic) -> CarriedTensor:
        """As the engine's, but for a rectifier's name, and limits that are kept as they are."""
        if isinstance(op, Scan):
            raise NotCarriedError("its body would be a graph of its own; integer-onnx has loops")
        if not isinstance(op, Clip):
            return Emitter.emit_op(self, op, arithmetic)
        x = self.read(op.x, arithmetic.carrier)
        if (op.low, op.high) == (0, None):
            return replace(x, tensor=self.builder.node("Relu", x.tensor))
        for limit in (op.low, op.high):
            self.exactly(np.asarray(limit or 0), op.type.frac, arithmetic.carrier)
        return clip(self.builder, x, op.low, op.high)

    def read(self, name: str, carrier: Carrier) -> CarriedTensor:
        """A value in an element type; constants hold values too."""
        if name not in self.constants:
            return Emitter.read(self, name, carrier)
        op = self.constants[name]
        constant = self.exactly(op.value, op.type.frac, carrier)[None]
        return CarriedTensor(
            self.builder.constant(constant), carrier, op.value.shape, False, op.type.frac
        )

    def exactly(self, raw: NDArray[Any], frac: int, carrier: Carrier) -> NDArray[Any]:
        """raw x 2^-frac in a float type, refused unless that holds it."""
        integers = integers_in(raw, -frac, carrier)
        if not np.array_equal(np.ldexp(integers.astype(np.float64), frac), raw.astype(np.float64)):
            raise NotCarriedError(f"a {carrier} does not hold its constants")
        return integers

    def result(self, name: str) -> str:
        """A tensor of the value under its own shape, in float32 where that holds it."""
        range_ = self.state.ranges[name]
        carrier = float_for(max(abs(range_.bottom), abs(range_.top)))
        value = cast_to(self.builder, self.values[name], carrier)
        value = lay_out(self.builder, value, self.state.shapes[name], False)
        return self.builder.result(value.tensor)


def emitting(program: Program, emitter: ValueEmitter, format_: str) -> None:
    """Every op into the emitter; an error that names all that the format cannot carry."""
    for op in program.ops:
        emitter.add(op)
    refuse(program, format_, [*bare_outputs(program), *emitter.offences])


def file_of(
    program: Program,
    source: Program,
    emitter: ValueEmitter,
    format_: str,
    hosts: Mapping[str, str] | None = None,
    *,
    opset: int,
    batch: int | str = "batch",
) -> bytes:
    """The file's bytes.

    program: what was emitted of `source`; hosts: for an output that the host's function follows in
    the file, the tensor after it.
    """
    import onnx
    from onnx import helper

    hosts = hosts or {}
    results = {output.name: emitter.result(output.value) for output in program.outputs}
    handed = [(o.name, hosts.get(o.name, results[o.name])) for o in program.outputs]
    tensors = sorted({tensor for _, tensor in handed})
    model = onnx.load_from_string(emitter.builder.model(tensors))
    model.opset_import[0].version = opset
    domains = sorted({node.domain for node in model.graph.node if node.domain})
    model.opset_import.extend(helper.make_opsetid(domain, 1) for domain in domains)
    names_of_tensors = {
        value.tensor: name.replace(".", "_") for name, value in emitter.values.items()
    }
    names = name_tensors(model, emitter.inputs, handed, names_of_tensors)
    inputs = [OnnxPort(op.name, op.name, op.type, op.shape, False) for op in program.inputs]
    outputs = []
    for output in program.outputs:
        range_ = emitter.state.ranges[output.value]
        wide = max(abs(range_.bottom), abs(range_.top)) > 1 << FLOAT32_BITS
        tensor = output.name if output.name not in hosts else names[results[output.name]]
        type_, shape = program.type(output.value), program.shapes[output.value]
        outputs.append(OnnxPort(output.name, tensor, type_, shape, False, output.host, wide=wide))
    return finish_model(
        model, source, format_, inputs, outputs, batch=batch, findings=emitter.findings
    )


def state_of(program: Program) -> RewrittenProgram:
    """The ops as they are, and what is proved of them."""
    return RewrittenProgram(program.ops, bounds_of(program), dict(program.shapes), {})


def exponents_of(program: Program) -> dict[str, int]:
    """The power of two between each value's tensor and its raw integers."""
    return {op.name: op.type.frac for op in program.ops}
