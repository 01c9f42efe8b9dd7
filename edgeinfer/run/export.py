# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run's Program, or a model's, as an ONNX file that others can read and check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.export.onnx_files import OnnxFormat, check_name, write
from edgeinfer.ir.program import Program
from edgeinfer.run.estimate import program_for
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.trial import stored_program
from edgeinfer.zoo import is_name


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written."""

    program: Program
    format: OnnxFormat
    path: Path
    size_bytes: int
    findings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ports = {
            "inputs": [(op.name, op.type, op.shape) for op in self.program.inputs],
            "outputs": [
                (o.name, self.program.type(o.value), self.program.shapes[o.value])
                for o in self.program.outputs
            ],
        }
        return {
            "model": self.program.name,
            "format": str(self.format),
            "output": str(self.path),
            "size_bytes": self.size_bytes,
            "program": self.program.digest,
            **{
                side: [
                    {
                        "name": name,
                        "type": str(type_),
                        "fractional_bits": type_.frac,
                        "shape": list(shape),
                    }
                    for name, type_, shape in port_list
                ]
                for side, port_list in ports.items()
            },
            "findings": list(self.findings),
        }

    def sentence(self) -> str:
        """What a person is told."""
        program = self.program
        return (
            f"{self.path}: {program.name} as {self.format}, {len(program.ops)} ops, "
            f"{self.size_bytes:,} bytes, program {program.digest[:12]}"
        )


def export(
    source: Path, format_: OnnxFormat, path: Path, batch_axis: int | None = 0
) -> ExportResult:
    """Write the Program of a run folder, or that of a model as compile would make it."""
    check_name(path)
    program, findings = program_of(source, batch_axis)
    encoded = write(program, format_, path)
    return ExportResult(
        program, format_, path, len(encoded.content), (*findings, *encoded.findings)
    )


def program_of(source: Path, batch_axis: int | None = 0) -> tuple[Program, list[str]]:
    """The Program of a run folder, or that of a model as compile would make it, and what is to be
    known of how it was made."""
    if not source.is_dir() or is_name(source):
        return program_for(source, None, None, batch_axis=batch_axis)
    if batch_axis != 0:
        raise UsageError(
            "A run folder says itself which axis of its model counts samples.",
            hint="Leave --batch-axis out, or name the model.",
        )
    with open_run(source, Progress(), new=False) as folder:
        return stored_program(folder), []
