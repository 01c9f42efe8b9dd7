# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The formats in which a Program leaves as ONNX, and the one way to write any of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from edgeinfer.base import plan
from edgeinfer.base.errors import UsageError
from edgeinfer.ir.program import Program


class OnnxFormat(StrEnum):
    """What the file's tensors are."""

    QONNX = "qonnx"  # float32 values, types by Quant nodes; read back it is the same Program
    QDQ = "qdq"  # float32 values, types by QuantizeLinear and DequantizeLinear
    INTEGER = "integer-onnx"  # raw integers


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A file's bytes, the same for the same Program, and what to know about them."""

    content: bytes
    findings: tuple[str, ...]


def contents(program: Program, format_: OnnxFormat) -> OnnxFile:
    """The file in memory; a ModelError that names every op which the format cannot carry."""
    match format_:
        case OnnxFormat.QONNX:
            from edgeinfer.export import qonnx

            content, findings = qonnx.write_model(program)
            return OnnxFile(content, tuple(findings))
        case OnnxFormat.QDQ:
            from edgeinfer.export import onnx_qdq

            return OnnxFile(onnx_qdq.write_model(program), (onnx_qdq.ADVICE,))
        case OnnxFormat.INTEGER:
            from edgeinfer.export import onnx_integer

            return OnnxFile(onnx_integer.write_model(program), ())
        case _:
            assert_never(format_)


def check_name(path: Path) -> None:
    """Refuse a name that says something else than what will be in the file."""
    if path.suffix != ".onnx":
        raise UsageError(
            f"{path}: what is written is an ONNX file.", hint="Name it with the ending .onnx."
        )


def write(program: Program, format_: OnnxFormat, path: Path) -> OnnxFile:
    """Write a `.onnx` file, complete or not at all."""
    check_name(path)
    file = contents(program, format_)
    plan.write_file(path, file.content)
    return file
