# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a Program to the layers of a project: each op one layer of hls4ml's, or of ours, or none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from edgeinfer.errors import Offence
from edgeinfer.ir import ops
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.ops import Op, Shape, inputs_of
from edgeinfer.ir.passes import drop_dead, fold_constants
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls import exact_layers, native_layers
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.spec import (
    Layer,
    Plan,
    ProjectOutput,
    Stored,
    exactly,
    representable,
    safe,
    unique,
)
from quantization.fixed import Fixed, Quantizer
from quantization.ranges import Interval

OURS = (Backend.VITIS, Backend.VIVADO, Backend.QUARTUS)  # for which nnet_exact.h is written
AC_TYPES = (Backend.QUARTUS, Backend.ONEAPI, Backend.CATAPULT)
MOST_READERS = 7  # of one stream, in hls4ml


@dataclass(slots=True)
class Layout:
    """The project in the making."""

    program: Program  # constants folded, nothing dead
    settings: HlsSettings
    ranges: dict[str, Interval]
    layers: list[Layer] = field(default_factory=list)
    of_value: dict[str, str] = field(default_factory=dict)  # the layer that holds a value
    offences: list[Offence] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def streams(self) -> bool:
        """Whether tensors travel word by word."""
        return self.settings.io is IoType.STREAM

    def constant(self, value: str) -> ops.Constant | None:
        """The value's op where it depends on no input."""
        op = self.program[value]
        return op if isinstance(op, ops.Constant) else None

    def carried(self, type_: Fixed) -> Fixed:
        """The type by which the backend can hold these integers: hls4ml makes one bit of ac_fixed
        two, and shifts the grid."""
        if self.settings.backend in AC_TYPES and type_.bits == 1:
            return Fixed(type_.signed, 2, type_.integer + 1)
        return type_

    def refuse(self, op: Op, reason: str) -> None:
        """This op has no equal."""
        self.offences.append(Offence(op.name, type(op).__name__, reason))

    def named(self, wanted: str) -> str:
        """A layer's name, like the op's."""
        return unique(safe(wanted, "layer"), (layer.name for layer in self.layers))

    def add(
        self,
        op: Op,
        kind: str,
        inputs: tuple[str, ...],
        shape: Shape,
        result: Quantizer,
        *,
        formats: dict[str, Fixed] | None = None,
        attributes: dict[str, Any] | None = None,
        multiplies: bool = False,
        part: str = "",
        value: str | None = None,
    ) -> str:
        """Append a layer; the name by which others read it. A `part` is a step on the op's way."""
        result = replace(result, type=self.carried(result.type))
        if isinstance(op, ops.Requant) and not part and result.type != op.type:
            self.refuse(op, f"{self.settings.backend} has no type of one bit to round to")
        formats = {name: self.carried(type_) for name, type_ in (formats or {}).items()}
        name = self.named(op.name + part)
        held = op.name if value is None and not part else value
        layer = Layer(
            name, kind, op.name, held, inputs, shape, result,
            formats, attributes or {}, multiplies,
        )  # fmt: skip
        self.layers.append(layer)
        if held is not None:
            self.of_value.setdefault(held, name)
        return name

    def exact(
        self,
        op: Op,
        function: str,
        inputs: tuple[str, ...],
        shape: Shape,
        result: Quantizer,
        *,
        constants: dict[str, int] | None = None,
        stored: tuple[Stored, ...] = (),
        types: dict[str, Fixed] | None = None,
        part: str = "",
        value: str | None = None,
    ) -> str:
        """Append a layer of ours; see `firmware/hls/nnet_exact.h`."""
        if self.settings.backend not in OURS:
            self.refuse(
                op,
                f"hls4ml has no layer that is exactly this, and edgeinfer's own is written for "
                f"{', '.join(OURS)} only",
            )
        if not all(representable(array.raw) for array in stored):
            self.refuse(op, "numbers beyond 2^53 cannot be written as hls4ml writes them")
        attributes = {
            "function": function,
            "numbers": constants or {},
            "stored": tuple(replace(array, type=self.carried(array.type)) for array in stored),
            "types": types or {},
        }
        return self.add(
            op, exact_layers.KIND, inputs, shape, result,
            attributes=attributes, part=part, value=value,
        )  # fmt: skip


def laid_out(program: Program, settings: HlsSettings) -> Plan:
    """The layers of a whole Program, and everything in it that cannot be expressed."""
    live = drop_dead(fold_constants(program))
    layout = Layout(live, settings, bounds_of(live))
    for output in live.outputs:
        if isinstance(live[output.value], ops.Constant):
            layout.refuse(live[output.value], f"the output {output.name} depends on no input")
    scalars = [op for op in live.ops if not live.shapes[op.name]]
    for op in scalars:
        layout.refuse(op, "a value without axes has no place in an array or a stream")
    if scalars:
        return _finished(layout, ())
    for op in live.ops:
        _place(layout, op)
    outputs = _outputs(layout) if not layout.offences else ()
    _check_readers(layout)
    return _finished(layout, outputs)


def _finished(layout: Layout, outputs: tuple[ProjectOutput, ...]) -> Plan:
    inputs = tuple(layer.name for layer in layout.layers if layer.kind == native_layers.INPUT)
    return Plan(
        tuple(layout.layers), inputs, outputs, tuple(layout.offences), tuple(layout.findings)
    )


def _place(layout: Layout, op: Op) -> None:
    missing = [x for x in inputs_of(op) if x not in layout.of_value and layout.constant(x) is None]
    if missing:  # what it reads has been refused
        return
    match op:
        case ops.Constant():
            pass  # lies beside the layer that reads it
        case ops.Input():
            native_layers.place_input(layout, op)
        case ops.Conv():
            native_layers.place_conv(layout, op)
        case ops.Dense():
            native_layers.place_dense(layout, op)
        case ops.Requant():
            native_layers.place_requant(layout, op)
        case ops.Clip():
            native_layers.place_clip(layout, op)
        case ops.Pool():
            native_layers.place_pool(layout, op)
        case ops.Pair():
            exact_layers.place_pair(layout, op)
        case ops.Reshape():
            native_layers.place_reshape(layout, op)
        case ops.Concat():
            exact_layers.place_concat(layout, op)
        case ops.Scale():
            exact_layers.place_scale(layout, op)
        case ops.PRelu():
            exact_layers.place_prelu(layout, op)
        case ops.Table():
            exact_layers.place_table(layout, op)
        case ops.Softmax():
            exact_layers.place_softmax(layout, op)
        case ops.Transpose() | ops.Pad() | ops.Upsample() | ops.Slice():
            exact_layers.place_move(layout, op)
        case _:
            assert_never(op)


def _outputs(layout: Layout) -> tuple[ProjectOutput, ...]:
    """The layers that hold the results. A value that is also read inside, or is two results, or an
    input, gets a copy: an output port is written once and never read."""
    read = {x for layer in layout.layers for x in layer.inputs}
    taken: set[str] = set()
    found = []
    for output in layout.program.outputs:
        op = layout.program[output.value]
        layer = layout.of_value[output.value]
        kind = next(held.kind for held in layout.layers if held.name == layer)
        if layer in read or layer in taken or kind in (native_layers.INPUT, native_layers.RESHAPE):
            layer = layout.exact(
                op, "requant", (layer,), layout.program.shapes[op.name], exactly(op.type),
                part="_copy", value=output.value,
            )  # fmt: skip
        taken.add(layer)
        found.append(ProjectOutput(output.name, output.value, layer))
    return tuple(found)


def _check_readers(layout: Layout) -> None:
    """In a stream every value is read, and by few enough layers."""
    if not layout.streams:
        return
    readers = Counter(x for layer in layout.layers for x in layer.inputs)
    for layer in layout.layers:
        op = layout.program[layer.op]
        if isinstance(op, ops.Input) and not readers[layer.name]:
            layout.refuse(op, "nothing reads it, so its stream would fill up and stall the design")
        if readers[layer.name] > MOST_READERS:
            layout.refuse(
                op, f"{readers[layer.name]} layers read it; hls4ml copies a stream {MOST_READERS} "
                f"times at most",
            )  # fmt: skip
