# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small `.tflite` files made by tests, uncompiled and as the Edge TPU compiler lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from edgeinfer.base.tflite.names import OPERATORS, TYPES
from edgeinfer.base.tflite.options import KINDS

DTYPES = {
    "INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "FLOAT32": np.float32,
    "BOOL": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class T:
    """A tensor; with data it is a constant."""

    name: str
    shape: tuple[int, ...]
    type: str = "INT8"
    data: Any = None
    scales: tuple[float, ...] = (1.0,)
    zero_points: tuple[int, ...] = (0,)
    axis: int = 0  # of the channels
    signature: tuple[int, ...] = ()  # the shape with -1 where a size is left open


@dataclass(frozen=True, slots=True)
class O:  # noqa: E742  # beside T
    """An operator; options by slot: ("i8" | "i32" | "bool" | "f32", value)."""

    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    version: int = 1
    options: Mapping[int, tuple[str, float]] = field(default_factory=dict)
    custom: str = ""
    custom_options: bytes | None = None


def tflite(
    tensors: Sequence[T],
    operators: Sequence[O],
    inputs: Sequence[str],
    outputs: Sequence[str],
    description: str = "made by a test",
    subgraphs: int = 1,
) -> bytes:
    """The file; further subgraphs are the same once more."""
    b = flatbuffers.Builder(1024)
    number = {tensor.name: i for i, tensor in enumerate(tensors)}
    held = [_buffer(b, b"")] + [_buffer(b, _bytes(t)) for t in tensors if t.data is not None]
    constants = [t.name for t in tensors if t.data is not None]
    buffers = _offsets(b, held)
    result = _offsets(b, [_tensor(b, t, constants) for t in tensors])
    codes = list(dict.fromkeys((op.name, op.version, op.custom) for op in operators))
    steps = _offsets(b, [_operator(b, op, number, codes) for op in operators])
    entering, leaving = (_ints(b, [number[name] for name in names]) for names in (inputs, outputs))
    b.StartObject(5)
    b.PrependUOffsetTRelativeSlot(0, result, 0)
    b.PrependUOffsetTRelativeSlot(1, entering, 0)
    b.PrependUOffsetTRelativeSlot(2, leaving, 0)
    b.PrependUOffsetTRelativeSlot(3, steps, 0)
    graph = b.EndObject()
    graphs = _offsets(b, [graph] * subgraphs)
    kinds = _offsets(b, [_code(b, *code) for code in codes])
    text = b.CreateString(description)
    b.StartObject(8)
    b.PrependUint32Slot(0, 3, 0)
    b.PrependUOffsetTRelativeSlot(1, kinds, 0)
    b.PrependUOffsetTRelativeSlot(2, graphs, 0)
    b.PrependUOffsetTRelativeSlot(3, text, 0)
    b.PrependUOffsetTRelativeSlot(4, buffers, 0)
    b.Finish(b.EndObject(), file_identifier=b"TFL3")
    return bytes(b.Output())


def dense(inputs: int, outputs: int, *, by_channel: bool = True, bias: bool = False) -> bytes:
    """QUANTIZE, FULLY_CONNECTED, QUANTIZE, as the converter writes a dense layer."""
    scales = tuple(0.01 + 0.001 * i for i in range(outputs)) if by_channel else (0.01,)
    weights = np.arange(inputs * outputs).reshape(outputs, inputs) % 127
    tensors = [
        T("x", (1, inputs), "UINT8"),
        T("x8", (1, inputs)),
        T("w", (outputs, inputs), "INT8", weights, scales, (0,) * len(scales)),
        T("y8", (1, outputs)),
        T("y", (1, outputs), "UINT8"),
    ]
    read: tuple[str | None, ...] = ("x8", "w", None)
    if bias:
        tensors.append(T("b", (outputs,), "INT32", np.arange(outputs) + 1))
        read = ("x8", "w", "b")
    return tflite(
        tensors,
        [
            O("QUANTIZE", ("x",), ("x8",)),
            O("FULLY_CONNECTED", read, ("y8",), 4, {0: ("i8", 0)}),
            O("QUANTIZE", ("y8",), ("y",)),
        ],
        ["x"],
        ["y"],
    )


@dataclass(frozen=True, slots=True)
class E:
    """An executable for the chip."""

    kind: int
    parameters: bytes = b""
    instructions: tuple[bytes, ...] = ()
    cycles: int = 0


def package(executables: Sequence[E], runtime: int = 14, inner: Sequence[bytes] = ()) -> bytes:
    """What the custom operator's options hold."""
    b = flatbuffers.Builder(1024)
    strings = [b.CreateByteVector(_executable(e)) for e in executables]
    many = _offsets(b, strings)
    b.StartObject(1)
    b.PrependUOffsetTRelativeSlot(0, many, 0)
    b.Finish(b.EndObject())
    multi = bytes(b.Output())
    b = flatbuffers.Builder(1024)
    nested = []
    for held in inner:
        blob = b.CreateByteVector(held)
        b.StartObject(1)
        b.PrependUOffsetTRelativeSlot(0, blob, 0)
        nested.append(b.EndObject())
    chips = _offsets(b, nested)
    blob = b.CreateByteVector(multi)
    compiler = b.CreateString("cl/test")
    b.StartObject(8)
    b.PrependInt32Slot(0, runtime, 0)
    b.PrependUOffsetTRelativeSlot(1, blob, 0)
    b.PrependUOffsetTRelativeSlot(4, compiler, 0)
    b.PrependUOffsetTRelativeSlot(6, chips, 0)
    b.Finish(b.EndObject(), file_identifier=b"DWN1")
    return bytes(b.Output())


def compiled(held: bytes, left: Sequence[O] = (), key: str = "4") -> bytes:
    """A compiled file: the custom operator, and what is left to the host."""
    options = flexbuffers.Dumps({"1": 1, "2": 2, "3": "x", key: held})
    tensors = [T("x", (1, 8), "UINT8"), T("y", (1, 8), "UINT8"), T("z", (1, 8), "UINT8")]
    first = O("CUSTOM", ("x",), ("y",), custom="edgetpu-custom-op", custom_options=bytes(options))
    last = left[-1].outputs[0] if left else "y"
    return tflite(tensors, [first, *left], ["x"], [last], "Exported from Subgraph.")


def _executable(e: E) -> bytes:
    b = flatbuffers.Builder(1024)
    streams = []
    for bits in e.instructions:
        vector = b.CreateByteVector(bits)
        b.StartObject(2)
        b.PrependUOffsetTRelativeSlot(0, vector, 0)
        streams.append(b.EndObject())
    instructions = _offsets(b, streams)
    parameters = b.CreateByteVector(e.parameters)
    chip = b.CreateString("beagle")
    b.StartObject(17)
    b.PrependUOffsetTRelativeSlot(5, instructions, 0)
    b.PrependUOffsetTRelativeSlot(6, parameters, 0)
    b.PrependUOffsetTRelativeSlot(10, chip, 0)
    b.PrependInt16Slot(13, e.kind, 0)
    b.PrependInt64Slot(16, e.cycles, 0)
    b.Finish(b.EndObject())
    return bytes(b.Output())


def _bytes(t: T) -> bytes:
    values: NDArray[Any] = np.asarray(t.data)
    return values.astype(DTYPES[t.type]).tobytes()


def _buffer(b: Any, data: bytes) -> int:
    held = b.CreateByteVector(data) if data else 0
    b.StartObject(1)
    b.PrependUOffsetTRelativeSlot(0, held, 0)
    return int(b.EndObject())


def _ints(b: Any, values: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, np.int32)))


def _offsets(b: Any, places: Sequence[int]) -> int:
    b.StartVector(4, len(places), 4)
    for place in reversed(places):
        b.PrependUOffsetTRelative(place)
    return int(b.EndVector())


def _tensor(b: Any, t: T, constants: Sequence[str]) -> int:
    name, shape, signature = b.CreateString(t.name), _ints(b, t.shape), _ints(b, t.signature)
    scales = b.CreateNumpyVector(np.asarray(t.scales, np.float32))
    zeros = b.CreateNumpyVector(np.asarray(t.zero_points, np.int64))
    b.StartObject(7)
    b.PrependUOffsetTRelativeSlot(2, scales, 0)
    b.PrependUOffsetTRelativeSlot(3, zeros, 0)
    b.PrependInt32Slot(6, t.axis, 0)
    quantization = b.EndObject()
    b.StartObject(8)
    b.PrependUOffsetTRelativeSlot(0, shape, 0)
    b.PrependInt8Slot(1, TYPES.index(t.type), 0)
    b.PrependUint32Slot(2, constants.index(t.name) + 1 if t.data is not None else 0, 0)
    b.PrependUOffsetTRelativeSlot(3, name, 0)
    b.PrependUOffsetTRelativeSlot(4, quantization, 0)
    b.PrependUOffsetTRelativeSlot(7, signature if t.signature else 0, 0)
    return int(b.EndObject())


def _operator(
    b: Any, op: O, number: Mapping[str, int], codes: Sequence[tuple[str, int, str]]
) -> int:
    entering = _ints(b, [-1 if name is None else number[name] for name in op.inputs])
    leaving = _ints(b, [number[name] for name in op.outputs])
    custom = b.CreateByteVector(op.custom_options) if op.custom_options is not None else 0
    b.StartObject(14)
    for slot, (kind, value) in op.options.items():
        match kind:
            case "i8":
                b.PrependInt8Slot(slot, int(value), 0)
            case "f32":
                b.PrependFloat32Slot(slot, value, 0.0)
            case "bool":
                b.PrependBoolSlot(slot, bool(value), False)
            case _:
                b.PrependInt32Slot(slot, int(value), 0)
    options = b.EndObject()
    b.StartObject(14)
    b.PrependUint32Slot(0, codes.index((op.name, op.version, op.custom)), 0)
    b.PrependUOffsetTRelativeSlot(1, entering, 0)
    b.PrependUOffsetTRelativeSlot(2, leaving, 0)
    b.PrependUint8Slot(3, KINDS.get(op.name, 0), 0)
    b.PrependUOffsetTRelativeSlot(4, options, 0)
    b.PrependUOffsetTRelativeSlot(5, custom, 0)
    return int(b.EndObject())


def _code(b: Any, name: str, version: int, custom: str) -> int:
    code = OPERATORS.index(name)
    text = b.CreateString(custom) if custom else 0
    b.StartObject(4)
    b.PrependInt8Slot(0, min(code, 127), 0)
    b.PrependUOffsetTRelativeSlot(1, text, 0)
    b.PrependInt32Slot(2, version, 1)
    b.PrependInt32Slot(3, code, 0)
    return int(b.EndObject())
