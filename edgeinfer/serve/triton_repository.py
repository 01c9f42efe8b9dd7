# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as a model repository from which a real Triton serves the same integers.

Triton's ONNX Runtime backend reads it, or its Python backend, which runs the same file by
onnxruntime: raw integers in and out as int64, and no float between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from edgeinfer.base import plan
from edgeinfer.base.names import identifier
from edgeinfer.export.onnx_files import OnnxFormat, contents
from edgeinfer.ir.program import Program
from edgeinfer.run.export import program_of
from edgeinfer.serve import triton_model
from edgeinfer.serve.grpc_calls import message_of_fields
from edgeinfer.serve.served import BatchSettings

VERSION = "1"
PYTHON_FILE, CONFIG_FILE = "model.py", "config.pbtxt"
BACKENDS: Mapping[str, Mapping[str, str]] = {
    "triton": {"platform": "onnxruntime_onnx"},
    "triton-python": {"backend": "python"},
}
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # of a folder, on every disk


class RepositoryFormat(StrEnum):
    """Which of Triton's backends reads the repository."""

    ONNX = "triton"
    PYTHON = "triton-python"


@dataclass(frozen=True, slots=True)
class RepositoryExport:
    """What was written."""

    format: RepositoryFormat
    program: Program
    model: str
    files: tuple[Path, ...]
    findings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.model,
            "format": str(self.format),
            "output": [str(path) for path in self.files],
            "program": self.program.digest,
            "findings": list(self.findings),
        }

    def sentence(self) -> str:
        """What a person is told."""
        return (
            f"{self.files[0].parent.parent}: {self.model} for Triton, {len(self.program.ops)} ops, "
            f"program {self.program.digest[:12]}"
        )


def write_repository(
    source: Path, repository: Path, format_: RepositoryFormat, batch_axis: int | None = 0
) -> RepositoryExport:
    """Add a run's Program, or a model's, to a repository."""
    program, findings = program_of(source, batch_axis)
    name = program.name if PLAIN_NAME.fullmatch(program.name) else str(identifier(program.name))
    if name != program.name:
        findings.append(f"The model is called {name}: a folder cannot be called as it is.")
    onnx = contents(program, OnnxFormat.INTEGER)
    files = {
        repository / name / VERSION / triton_model.MODEL_FILE: onnx.content,
        repository / name / CONFIG_FILE: repository_config(program, name, format_).encode(),
    }
    if format_ is RepositoryFormat.PYTHON:
        source_code = Path(triton_model.__file__).read_bytes()  # it stands alone
        files[repository / name / VERSION / PYTHON_FILE] = source_code
    plan.write_files(files)
    return RepositoryExport(format_, program, name, tuple(files), (*findings, *onnx.findings))


def repository_config(program: Program, name: str, format_: RepositoryFormat) -> str:
    """The configuration as Triton reads it."""
    batching = BatchSettings()
    ports = {
        "input": [(op.name, op.shape, op.type) for op in program.inputs],
        "output": [
            (o.name, program.shapes[o.value], program.type(o.value)) for o in program.outputs
        ],
    }
    facts = {f"{side}.{port}": str(type_) for side in ports for port, _, type_ in ports[side]}
    facts |= {f"host_function.{output.name}": str(output.host) for output in program.outputs}
    fields: dict[str, Any] = {
        "name": name,
        **BACKENDS[format_],
        "max_batch_size": batching.largest_request,
        **{
            side: [
                {"name": port, "data_type": "TYPE_INT64", "dims": list(shape)}
                for port, shape, _ in port_list
            ]
            for side, port_list in ports.items()
        },
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "dynamic_batching": {"preferred_batch_size": [batching.batch]},
        "parameters": {
            key: {"string_value": value}
            for key, value in {**facts, "program": program.digest}.items()
        },
    }
    text: str = text_format.MessageToString(message_of_fields("ModelConfig", fields))
    return text
