# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small changes inside a `.tflite` file that the converter has made, by moving numbers in place.

The converter puts outputs in an order of its own, and it carries a tensor from one int8 scale to
another through floats. The first is mended by the signature, which knows tensors by number; the
second by letting the second of the two operators read the first's input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.targets.edgetpu.flat import U32, Flat, FlatError, Table
from edgeinfer.targets.edgetpu.tflite import IDENTIFIER, broken, parse


def reordered(
    data: bytes, source: str, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> bytes:
    """The same file with its inputs and outputs in the order of the given names."""
    changed = bytearray(data)
    try:
        root = Flat.over(data).root(IDENTIFIER)
        graph, signature = root.tables(2)[0], root.tables(7)[0]
        for slot, names in ((1, inputs), (2, outputs)):
            numbers = {table.text(0): table.integer(1, U32) for table in signature.tables(slot - 1)}
            wanted = [numbers[key] for key in names.values()]
            if sorted(wanted) != sorted(graph.numbers(slot, "<i4").tolist()):
                raise FlatError("its signature names other tensors than its graph")
            _write(changed, graph.start(slot), wanted)
    except (FlatError, KeyError, IndexError) as error:
        raise broken(source, FlatError(str(error))) from None
    return bytes(changed)


def requantized(data: bytes, source: str) -> bytes:
    """The same file with DEQUANTIZE and QUANTIZE in a row made one QUANTIZE between int8 scales."""
    model = parse(data, source)
    readers = Counter(t.index for op in model.operators for t in op.computed())
    readers.update(t.index for t in model.outputs)
    made = {t.index: op for op in model.operators for t in op.outputs}
    changed = bytearray(data)
    gone: set[int] = set()
    tables = Flat.over(data).root(IDENTIFIER).tables(2)[0]
    operators = tables.tables(3)
    for op in model.operators:
        entered = op.input(0)
        if op.name != "QUANTIZE" or entered is None or entered.type != "FLOAT32":
            continue
        before = made.get(entered.index)
        if before is None or before.name != "DEQUANTIZE" or readers[entered.index] != 1:
            continue
        origin = before.computed()[0]
        _write(changed, operators[op.index].start(1), [origin.index])
        gone.add(before.index)
    _drop(changed, tables, gone)
    return bytes(changed)


def whole_weights(data: bytes, source: str, wanted: Sequence[NDArray[np.integer[Any]]]) -> bytes:
    """The same file with weights of -128 where the converter, which keeps to -127 .. 127, has cut
    them. Each array is laid out as the file lays it out."""
    model = parse(data, source)
    changed = bytearray(data)
    held = [t for t in model.tensors if t.type == "INT8" and t.constant and t.data is not None]
    for weights in wanted:
        cut = np.maximum(weights, -127).astype(np.int8).tobytes()
        for tensor in held:
            if tensor.data == cut and tensor.elements == weights.size:
                whole = weights.astype(np.int8).tobytes()
                changed[tensor.data_at : tensor.data_at + len(whole)] = whole
                break
        else:
            raise broken(source, FlatError(f"it lacks weights of {weights.shape}"))
    return bytes(changed)


def _write(changed: bytearray, at: int, numbers: list[int]) -> None:
    changed[at : at + 4 * len(numbers)] = np.asarray(numbers, "<i4").tobytes()


def _drop(changed: bytearray, graph: Table, gone: set[int]) -> None:
    """Take operators out of the graph's list; offsets count from where they are stored."""
    if not gone:
        return
    start = graph.start(3)
    count = len(graph.tables(3))
    places = [start + 4 * i for i in range(count)]
    kept = [graph.flat.followed(place) for i, place in enumerate(places) if i not in gone]
    for place, target in zip(places, kept, strict=False):
        _write(changed, place, [target - place])
    _write(changed, start - 4, [len(kept)])
