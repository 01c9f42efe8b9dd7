# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 network to the bytes of a `.tflite` file, by the public schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import flatbuffers

from edgeinfer.base.tflite.model import IDENTIFIER, Operator, TfliteModel, TfliteTensor
from edgeinfer.base.tflite.names import FUSED, OPERATORS, TYPES
from edgeinfer.base.tflite.options import KINDS, Options

SIGNATURE: Final = "serving_default"
SOFTMAX_KIND: Final = 9
FILE_BYTES: Final = 1 << 16  # to begin with


def write_model(model: TfliteModel, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The file; its signature gives the inputs and outputs their names."""
    b = flatbuffers.Builder(FILE_BYTES)
    constants = [t for t in model.tensors if t.data is not None]
    place = {t.index: i + 1 for i, t in enumerate(constants)}
    buffers = _offsets(b, [_buffer(b, None), *(_buffer(b, t.data) for t in constants)])
    tensors = _offsets(b, [_tensor(b, t, place.get(t.index, 0)) for t in model.tensors])
    codes = list(dict.fromkeys((op.name, op.version) for op in model.operators))
    operators = _offsets(b, [_operator(b, op, codes) for op in model.operators])
    entering = _numbers(b, [t.index for t in model.inputs])
    leaving = _numbers(b, [t.index for t in model.outputs])
    graph = _table(b, 5, {0: tensors, 1: entering, 2: leaving, 3: operators})
    graphs = _offsets(b, [graph])
    kinds = _offsets(b, [_code(b, *code) for code in codes])
    signature = _offsets(b, [_signature(b, model, inputs, outputs)])
    text = b.CreateString(model.description)
    b.StartObject(8)
    b.PrependUint32Slot(0, 3, 0)
    offsets = ((1, kinds), (2, graphs), (3, text), (4, buffers), (7, signature))
    for slot, offset in offsets:
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    b.Finish(b.EndObject(), file_identifier=IDENTIFIER)
    return bytes(b.Output())


def _table(b: Any, slots: int, offsets: Mapping[int, int]) -> int:
    b.StartObject(slots)
    for slot, offset in offsets.items():
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(b.EndObject())


def _offsets(b: Any, places: Sequence[int]) -> int:
    b.StartVector(4, len(places), 4)
    for at in reversed(places):
        b.PrependUOffsetTRelative(at)
    return int(b.EndVector())


def _numbers(b: Any, values: Sequence[int]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependInt32(value)
    return int(b.EndVector())


def _buffer(b: Any, data: memoryview | None) -> int:
    """Data begin at multiples of 16, as the interpreter wants them."""
    if data is None or not len(data):
        return _table(b, 1, {})
    b.StartVector(1, len(data), 16)
    b.head -= len(data)
    b.Bytes[b.head : b.head + len(data)] = bytes(data)
    return _table(b, 1, {0: int(b.EndVector())})


def _tensor(b: Any, tensor: TfliteTensor, buffer: int) -> int:
    name, shape = b.CreateString(tensor.name), _numbers(b, tensor.shape)
    quantization = 0
    if tensor.scales.size:
        scales = b.CreateNumpyVector(tensor.scales.astype("<f4"))
        zeros = b.CreateNumpyVector(tensor.zero_points.astype("<i8"))
        b.StartObject(7)
        b.PrependUOffsetTRelativeSlot(2, scales, 0)
        b.PrependUOffsetTRelativeSlot(3, zeros, 0)
        b.PrependInt32Slot(6, tensor.axis, 0)
        quantization = int(b.EndObject())
    b.StartObject(8)
    b.PrependUOffsetTRelativeSlot(0, shape, 0)
    b.PrependInt8Slot(1, TYPES.index(tensor.type), 0)
    b.PrependUint32Slot(2, buffer, 0)
    b.PrependUOffsetTRelativeSlot(3, name, 0)
    b.PrependUOffsetTRelativeSlot(4, quantization, 0)
    return int(b.EndObject())


def _code(b: Any, name: str, version: int) -> int:
    code = OPERATORS.index(name)
    b.StartObject(4)
    b.PrependInt8Slot(0, min(code, 127), 0)
    b.PrependInt32Slot(2, version, 1)
    b.PrependInt32Slot(3, code, 0)
    return int(b.EndObject())


def _operator(b: Any, op: Operator, codes: Sequence[tuple[str, int]]) -> int:
    entering = _numbers(b, [-1 if t is None else t.index for t in op.inputs])
    leaving = _numbers(b, [t.index for t in op.outputs])
    kind, options = _options(b, op)
    b.StartObject(9)
    b.PrependUint32Slot(0, codes.index((op.name, op.version)), 0)
    b.PrependUOffsetTRelativeSlot(1, entering, 0)
    b.PrependUOffsetTRelativeSlot(2, leaving, 0)
    b.PrependUint8Slot(3, kind, 0)
    b.PrependUOffsetTRelativeSlot(4, options, 0)
    return int(b.EndObject())


def _options(b: Any, op: Operator) -> tuple[int, int]:
    """The union member of an operator, and its table; operators without options have none."""
    if op.name == "SOFTMAX":
        b.StartObject(1)
        b.PrependFloat32Slot(0, 1.0, 0.0)
        return SOFTMAX_KIND, int(b.EndObject())
    if op.name not in KINDS:
        return 0, 0
    b.StartObject(8)
    for slot, (prepend, value) in _fields(b, op.name, op.options).items():
        prepend(slot, value, None)  # always stored, even where it is the default
    return KINDS[op.name], int(b.EndObject())


def _fields(
    b: Any, name: str, options: Options
) -> dict[int, tuple[Callable[[int, int, None], None], int]]:
    """Slots of an operator's options."""
    small, whole = b.PrependInt8Slot, b.PrependInt32Slot
    padding = small, 0 if options.same_padding else 1
    fused = small, FUSED.index(options.fused)
    down, across = (whole, options.strides[0]), (whole, options.strides[1])
    holes_y, holes_x = (whole, options.dilation[0]), (whole, options.dilation[1])
    match name:
        case "CONV_2D":
            return {0: padding, 1: across, 2: down, 3: fused, 4: holes_x, 5: holes_y}
        case "DEPTHWISE_CONV_2D":
            deep = (whole, options.depth_multiplier)
            first = {0: padding, 1: across, 2: down, 3: deep}
            return first | {4: fused, 5: holes_x, 6: holes_y}
        case "MAX_POOL_2D" | "AVERAGE_POOL_2D":
            height, width = (whole, options.window[0]), (whole, options.window[1])
            return {0: padding, 1: across, 2: down, 3: width, 4: height, 5: fused}
        case "CONCATENATION":
            return {0: (whole, options.axis), 1: fused}
        case "SPLIT":
            return {0: (whole, options.count)}
        case "FULLY_CONNECTED" | "ADD" | "SUB" | "MUL":
            return {0: fused}
        case _:  # the others are written without options
            return {}


def _signature(b: Any, model: TfliteModel, inputs: Sequence[str], outputs: Sequence[str]) -> int:
    sides = []
    for names, tensors in ((inputs, model.inputs), (outputs, model.outputs)):
        fields = []
        for name, tensor in zip(names, tensors, strict=True):
            text = b.CreateString(name)
            b.StartObject(2)
            b.PrependUOffsetTRelativeSlot(0, text, 0)
            b.PrependUint32Slot(1, tensor.index, 0)
            fields.append(int(b.EndObject()))
        sides.append(_offsets(b, fields))
    key = b.CreateString(SIGNATURE)
    return _table(b, 5, {0: sides[0], 1: sides[1], 2: key})
