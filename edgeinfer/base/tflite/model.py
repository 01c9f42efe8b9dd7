# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A TensorFlow Lite file as data: tensors, operators in file order, what enters and what leaves.

Read by the public schema with checked accessors; whatever is wrong with a file is one InputError
that names it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.base.tflite.flat import I8, I32, U8, U32, U64, Flat, FlatError, FlatTable
from edgeinfer.base.tflite.names import BITS, OPERATORS, TYPES, name_of
from edgeinfer.base.tflite.options import Options, options_of

IDENTIFIER: Final = b"TFL3"
MOST_BYTES: Final = 512 << 20  # many times what any model for small devices has
MOST_AXES: Final = 16
CUSTOM: Final = "CUSTOM"
HINT: Final = (
    "If it was cut off, copy it again; else write it again with the TensorFlow Lite converter or "
    "the Edge TPU compiler."
)
POINTER: Final = b"version https://git-lfs"  # what Git leaves of a large file that was not fetched


@dataclass(frozen=True, slots=True, eq=False)
class TfliteTensor:
    """A tensor with its quantization: value = scale (stored - zero point)."""

    index: int
    name: str
    shape: tuple[int, ...]
    dynamic: bool  # a size is left open
    type: str
    scales: NDArray[np.float32]  # none, one, or one for each channel
    zero_points: NDArray[np.int64]
    axis: int  # of the channels
    data: memoryview | None  # None where it is computed
    variable: bool
    open_axes: tuple[int, ...] = ()  # behind the batch, whose sizes the signature leaves open

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of its numbers."""
        return (self.elements * BITS.get(self.type, 8) + 7) // 8

    @property
    def constant(self) -> bool:
        """Whether its numbers are in the file."""
        return self.data is not None

    @property
    def per_channel(self) -> bool:
        """Whether channels have scales of their own."""
        return self.scales.size > 1

    def integers(self) -> NDArray[Any]:
        """The numbers of a constant."""
        return self._numbers(
            {
                "INT8": "<i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
                "BOOL": "u1",
            },
            "integers",
        )  # fmt: skip

    def singles(self) -> NDArray[np.float32]:
        """The real numbers of a constant."""
        return self._numbers({"FLOAT32": "<f4"}, "real numbers of 32 bits")

    def _numbers(self, dtype: dict[str, str], kind: str) -> NDArray[Any]:
        if self.data is None or self.type not in dtype:
            raise FlatError(f"the tensor {self.name!r} holds no constant {kind}")
        if len(self.data) != self.bytes:
            raise FlatError(
                f"the tensor {self.name!r} of {self.shape} has {len(self.data)} bytes, not "
                f"{self.bytes}"
            )
        return np.frombuffer(self.data, dtype[self.type]).reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One step; a missing optional input is None."""

    index: int
    name: str  # as TensorFlow Lite calls it
    custom: str  # the name of a custom operator
    version: int
    inputs: tuple[TfliteTensor | None, ...]
    outputs: tuple[TfliteTensor, ...]
    options: Options
    custom_options: memoryview | None

    @property
    def title(self) -> str:
        """The operator's name, a custom one with its own."""
        return f"{CUSTOM}:{self.custom}" if self.name == CUSTOM else self.name

    def input(self, number: int) -> TfliteTensor | None:
        """An input; None where it was left out."""
        return self.inputs[number] if number < len(self.inputs) else None

    def computed(self) -> tuple[TfliteTensor, ...]:
        """The inputs that are not in the file."""
        return tuple(t for t in self.inputs if t is not None and not t.constant)


@dataclass(frozen=True, slots=True, eq=False)
class TfliteModel:
    """The first subgraph of a file, which is what is run."""

    source: str
    bytes: int
    description: str
    subgraphs: int
    tensors: tuple[TfliteTensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]
    flat: Flat


def read(path: Path) -> TfliteModel:
    """Read a file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a model file.", hint="Name a file inside it.")
    if not path.is_file():
        raise InputError(f"There is no file {path}.", hint="Check the path.")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise InputError(
                f"{path} has {size:,} bytes; no int8 model has more than {MOST_BYTES:,}.",
                hint="Check the path.",
            )
        return parse(file.read(MOST_BYTES + 1), str(path))


def parse(data: bytes, source: str) -> TfliteModel:
    """A file's bytes; an InputError that names the source where they are no such file."""
    if not data:
        raise broken_file_error(source, FlatError("it is empty"))
    if data.startswith(POINTER):
        raise broken_file_error(source, FlatError("Git LFS has not fetched it yet: git lfs pull"))
    try:
        return _model(Flat.over(data), source)
    except FlatError as error:
        raise broken_file_error(source, error) from None


def broken_file_error(source: str, error: FlatError) -> InputError:
    """What a user is told of a file that cannot be read."""
    return InputError(f"{source} is not a valid TensorFlow Lite file: {error}.", hint=HINT)


def _model(flat: Flat, source: str) -> TfliteModel:
    root = flat.root(IDENTIFIER)
    if root.integer(0, U32) != 3:
        raise FlatError(f"its schema version is {root.integer(0, U32)}, not 3")
    buffers = tuple(_buffer(flat, table) for table in root.tables(4))
    graphs = root.tables(2)
    if not graphs:
        raise FlatError("it has no subgraph")
    graph = graphs[0]
    tensors = tuple(_tensor(i, table, buffers) for i, table in enumerate(graph.tables(0)))
    codes = tuple(_code(table) for table in root.tables(1))
    operators = tuple(
        _operator(i, table, codes, tensors) for i, table in enumerate(graph.tables(3))
    )
    return TfliteModel(
        source,
        len(flat.data),
        root.text(3),
        len(graphs),
        tensors,
        operators,
        _choose_tensors(graph, 1, tensors),
        _choose_tensors(graph, 2, tensors),
        flat,
    )


def _buffer(flat: Flat, table: FlatTable) -> memoryview | None:
    """The bytes of a buffer, inside it or, in large files, at a place that it names."""
    data = table.blob(0)
    if data:
        return data
    offset, size = table.integer(1, U64), table.integer(2, U64)
    return flat.span(offset, size) if offset > 1 and size else None


def _tensor(index: int, table: FlatTable, buffers: tuple[memoryview | None, ...]) -> TfliteTensor:
    shape = tuple(table.numbers(0, "<i4").tolist())
    if len(shape) > MOST_AXES or any(size < -1 for size in shape):
        raise FlatError(f"tensor {index} has the shape {shape[: MOST_AXES + 1]}")
    buffer = table.integer(2, U32)
    if buffer >= max(len(buffers), 1):
        raise FlatError(f"tensor {index} is in buffer {buffer} of {len(buffers)}")
    scales, zero_points, axis = _quantization(index, table.table(4))
    return TfliteTensor(
        index,
        table.text(3),
        tuple(max(size, 1) if size < 0 else size for size in shape),
        -1 in shape,  # a signature may leave the batch open beside a shape that fixes it
        name_of(table.integer(1, I8), TYPES),
        scales,
        zero_points,
        axis,
        buffers[buffer] if buffers else None,
        table.flag(5),
        _open_axes(table.numbers(7, "<i4").tolist(), len(shape)),
    )


def _open_axes(signature: Sequence[int], axes: int) -> tuple[int, ...]:
    if len(signature) != axes:
        return ()
    return tuple(axis for axis in range(1, axes) if signature[axis] == -1)


def _quantization(
    index: int, table: FlatTable | None
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    if table is None:
        return np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    scales = table.numbers(2, "<f4")
    if not np.isfinite(scales).all() or (scales < 0).any():
        raise FlatError(f"tensor {index} has a scale that is not a positive number")
    return scales, table.numbers(3, "<i8"), table.integer(6, I32)


def _code(table: FlatTable) -> tuple[str, str, int]:
    """An operator's name, its own name where it is a custom one, and its version."""
    code = max(table.integer(0, I8), table.integer(3, I32))
    return name_of(code, OPERATORS), table.text(1), table.integer(2, I32, 1)


def _operator(
    index: int,
    table: FlatTable,
    codes: tuple[tuple[str, str, int], ...],
    tensors: tuple[TfliteTensor, ...],
) -> Operator:
    number = table.integer(0, U32)
    if number >= len(codes):
        raise FlatError(f"operator {index} has the code {number} of {len(codes)}")
    name, custom, version = codes[number]
    options = options_of(name, table.integer(3, U8), table.table(4))
    data = table.blob(5)
    if data is None and table.integer(9, U64) > 1:
        data = table.flat.span(table.integer(9, U64), table.integer(10, U64))
    inputs = tuple(
        None if i == -1 else _at(tensors, i, index) for i in table.numbers(1, "<i4").tolist()
    )
    outputs = tuple(_at(tensors, i, index) for i in table.numbers(2, "<i4").tolist())
    return Operator(index, name, custom, version, inputs, outputs, options, data)


def _at(tensors: tuple[TfliteTensor, ...], number: int, operator: int) -> TfliteTensor:
    if not 0 <= number < len(tensors):
        raise FlatError(f"operator {operator} refers to tensor {number} of {len(tensors)}")
    return tensors[number]


def _choose_tensors(
    graph: FlatTable, slot: int, tensors: tuple[TfliteTensor, ...]
) -> tuple[TfliteTensor, ...]:
    indices = graph.numbers(slot, "<i4").tolist()
    if any(not 0 <= i < len(tensors) for i in indices):
        raise FlatError(f"the graph's inputs or outputs lie outside its {len(tensors)} tensors")
    return tuple(tensors[i] for i in indices)
