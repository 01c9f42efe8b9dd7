# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as text: one line per value, the format of `program.txt` and of the golden tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from edgeinfer.base.names import printable
from edgeinfer.ir.bases import stated_fields
from edgeinfer.ir.ops import Op, Scan, Weights
from edgeinfer.ir.program import HostFunction, Output, Program, body_of

INLINE = 8  # arrays of up to this many elements are written out


def show(program: Program) -> str:
    """The whole Program."""
    lines = [f"(program {program.name}", *(f"  {line}" for line in _lines(program))]
    return "\n".join(map(printable, lines)) + ")\n"


def _lines(program: Program) -> Iterator[str]:
    """Each value, those of a recurrence's body indented below it, and the outputs."""
    for op in program.ops:
        yield show_op(op, program)
        if isinstance(op, Scan):
            yield from (f"  {line}" for line in _lines(body_of(op)))
    yield from map(_output, program.outputs)


def show_op(op: Op, program: Program) -> str:
    """One value: its name, the op with its fields, its type and shape."""
    words = [type(op).__name__.lower()]
    for spec in stated_fields(op):
        item = getattr(op, spec.name)
        if "operand" in spec.metadata:
            words += [f"%{x}" for x in ((item,) if isinstance(item, str) else item)]
        elif spec.name not in ("name", "type"):
            words.append(f"{spec.name}={_field(item)}")
    shape = "x".join(map(str, program.shapes[op.name])) or "scalar"
    return f"(%{op.name} ({' '.join(words)}) {op.type} {shape})"


def _field(item: object) -> str:
    match item:
        case np.ndarray():
            return _array(item)
        case tuple() if item and isinstance(item[0], tuple):
            return ",".join(f"{before}:{after}" for before, after in item)
        case tuple():
            return "x".join(map(str, item)) or "()"
        case Program():
            return item.name
        case None:
            return "-"
        case _:  # numbers, names and enums
            return str(item)


def _array(raw: Weights) -> str:
    if raw.ndim == 0:
        return str(int(raw))
    if raw.size <= INLINE:
        return "[" + " ".join(map(str, raw.reshape(-1).tolist())) + "]" + _shape(raw)
    digest = hashlib.sha256(np.ascontiguousarray(raw, dtype="<i8").tobytes()).hexdigest()[:8]
    return f"{_shape(raw)}#{digest}"


def _shape(raw: Weights) -> str:
    return "" if raw.ndim == 1 and raw.size <= INLINE else "<" + "x".join(map(str, raw.shape)) + ">"


def _output(output: Output) -> str:
    host = "" if output.host is HostFunction.NONE else f" host={output.host}"
    return f"(output {output.name} %{output.value}{host})"
