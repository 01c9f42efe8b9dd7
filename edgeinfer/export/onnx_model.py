# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An ONNX graph made a file that explains itself: names, types, and how numbers become integers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeinfer.base.errors import ModelError, Offence
from edgeinfer.base.version import __version__
from edgeinfer.ir.ops import Constant, Shape
from edgeinfer.ir.program import HostFunction, Program
from quantization.fixed import Fixed

if TYPE_CHECKING:
    from onnx import ModelProto

PREFIX = "edgeinfer."
FORMAT = PREFIX + "format"  # its presence says that this project wrote the file
OUTPUT = "output"
NARROWED_FROM = 64  # integers of a constant, below which storing them narrowly saves nothing


@dataclass(frozen=True, slots=True)
class OnnxPort:
    """An input or output of the file: which tensor it is, and what its numbers mean."""

    name: str  # as the Program calls it
    tensor: str
    type: Fixed
    shape: Shape
    raw: bool  # the tensor holds raw integers; else value = raw x 2^-frac
    host: HostFunction = HostFunction.NONE  # what is left to the host, or follows in the file
    wide: bool = False  # values that a float32 does not hold

    @property
    def element_type(self) -> int:
        """As ONNX numbers it."""
        from onnx import TensorProto

        values = TensorProto.DOUBLE if self.wide else TensorProto.FLOAT
        return TensorProto.INT64 if self.raw else values

    def facts(self) -> dict[str, Any]:
        """For the file's metadata."""
        return {
            "tensor": self.tensor,
            "type": str(self.type),
            "fractional_bits": self.type.frac,
            "raw_min": self.type.raw_min,
            "raw_max": self.type.raw_max,
            "holds": "raw" if self.raw else "value",
            "host_function": str(self.host),
        }

    def sentence(self) -> str:
        """For a reader of the file."""
        frac, kind = self.type.frac, "raw integers" if self.raw else "values"
        turned = f"value = raw x 2^{-frac}" if self.raw else f"raw = value x 2^{frac}"
        after = "" if self.host is HostFunction.NONE else f"; the host applies {self.host}"
        return f"{self.type}: {kind}, {turned}{after}."


def refuse(program: Program, format_: str, offences: Sequence[Offence]) -> None:
    """One error that names every op that a format cannot carry, if there is one."""
    if offences:
        listed = "; ".join(str(offence) for offence in offences)
        other = any(offence.kind != OUTPUT for offence in offences)
        raise ModelError(
            f"{program.name} cannot be written as {format_}: {listed}.",
            hint="--format integer-onnx carries every op."
            if other
            else "Give the model other outputs.",
        )


def bare_outputs(program: Program) -> list[Offence]:
    """Outputs that a file of no format has: without a batch, or called like an input."""
    offences = []
    for output in program.outputs:
        if isinstance(program[output.value], Constant):
            offences.append(Offence(output.name, OUTPUT, "it depends on no input"))
        if any(op.name == output.name for op in program.inputs):
            offences.append(Offence(output.name, OUTPUT, "an input has the same name"))
    return offences


def finish_model(
    model: ModelProto,
    program: Program,
    format_: str,
    inputs: Iterable[OnnxPort],
    outputs: Iterable[OnnxPort],
    *,
    batch: int | str = "batch",
    findings: Iterable[str] = (),
) -> bytes:
    """The file's bytes, with metadata; the same for the same Program, every time."""
    from onnx import StringStringEntryProto, helper

    inputs, outputs = tuple(inputs), tuple(outputs)
    graph = model.graph
    del graph.input[:], graph.output[:]
    for ports, listed in ((inputs, graph.input), (outputs, graph.output)):
        for port in ports:
            listed.append(
                helper.make_tensor_value_info(
                    port.name, port.element_type, [batch, *port.shape], port.sentence()
                )
            )
    graph.name = program.name
    model.producer_name, model.producer_version = "edgeinfer", __version__
    graph.doc_string = model.doc_string = " ".join(
        [
            f"The integer network {program.name} (program {program.digest}), written by edgeinfer "
            f"{__version__} as {format_}. Every input and output says in its doc_string and in the "
            f"metadata how raw integers become values.",
            *findings,
        ]
    )
    props: Mapping[str, str] = {
        PREFIX + "version": __version__,
        FORMAT: format_,
        PREFIX + "program": program.digest,
        **{f"{PREFIX}input.{p.name}": json.dumps(p.facts()) for p in inputs},
        **{f"{PREFIX}output.{p.name}": json.dumps(p.facts()) for p in outputs},
    }
    model.metadata_props.extend(
        StringStringEntryProto(key=key, value=value) for key, value in props.items()
    )
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def name_tensors(
    model: ModelProto,
    inputs: Mapping[str, str],
    outputs: Sequence[tuple[str, str]],
    values: Mapping[str, str],
) -> dict[str, str]:
    """Give tensors their names, and return all of them by what they were called.

    inputs, values: tensor -> name wanted; outputs: (name, tensor). An output's tensor bears its
    name, or is handed out through an Identity where it is an input or another output as well.
    """
    from onnx import helper

    names = dict(inputs)
    used_names = {*inputs.values(), *(name for name, _ in outputs)}
    for name, tensor in outputs:
        if tensor not in names:
            names[tensor] = name
        else:
            model.graph.node.append(helper.make_node("Identity", [tensor], [f"handed out {name}"]))
            names[f"handed out {name}"] = name
    tensor_list = [tensor for node in model.graph.node for tensor in node.output if tensor]
    for tensor in (*tensor_list, *(stored.name for stored in model.graph.initializer)):
        tensor_name = values.get(tensor, tensor)
        while tensor not in names and tensor_name in used_names:
            tensor_name += "_inner"
        names.setdefault(tensor, tensor_name)
        used_names.add(names[tensor])
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            for place, tensor in enumerate(tensors):
                tensors[place] = names.get(tensor, tensor)
        node.name = node.output[0]
    for stored in model.graph.initializer:
        stored.name = names[stored.name]
    return names


def narrow_constants(model: ModelProto) -> None:
    """Large int64 constants stored in the narrowest type that holds them, and cast when read."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.INT64:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < NARROWED_FROM:
            continue
        low, high = int(values.min()), int(values.max())
        for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32):
            limits = np.iinfo(dtype)
            if limits.min <= low and high <= limits.max:
                stored = f"{tensor.name}_stored"
                casts.append(
                    helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.INT64)
                )
                tensor.CopyFrom(numpy_helper.from_array(values.astype(dtype), stored))
                break
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *kept])
