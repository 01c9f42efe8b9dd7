# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs about Edge TPU files: ``inspect`` and ``map``."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from edgeinfer.cli.terminal import answer

Json = Annotated[
    bool, Parameter(negative="", help="print the result as JSON on stdout, and nothing else")
]


def inspect(
    file: Annotated[Path, Parameter(help="a compiled file, F_edgetpu.tflite")],
    /,
    *,
    json: Json = False,
) -> None:
    """What a compiled Edge TPU file holds: parameters, instructions, inputs and outputs."""
    from edgeinfer.targets.edgetpu.chip.inspect import document
    from edgeinfer.targets.edgetpu.tflite.compiled import read_compiled

    found = document(read_compiled(file))
    answer(json_text.dumps(found, indent=2), _inspected(found), as_json=json)


def map_(
    file: Annotated[Path, Parameter(help="an int8 model, F.tflite")],
    /,
    *,
    runtime: Annotated[int, Parameter(help="Edge TPU runtime version that the rules are for")] = 14,
    json: Json = False,
) -> None:
    """What the Edge TPU compiler would make of a model: operators, memory, time. No tool runs."""
    from edgeinfer.targets.edgetpu.predict.prediction import predict

    found = predict(file, runtime).document()
    answer(json_text.dumps(found, indent=2), _mapped(found), as_json=json)


def _inspected(found: dict[str, Any]) -> str:
    lines = [
        f"{found['source']}: for runtime {found['runtime_version']} or newer",
        f"cached        {found['cached_bytes']:>12,} B",
        f"streamed      {found['streamed_bytes']:>12,} B at every inference",
        f"instructions  {found['instruction_bytes']:>12,} B",
    ]
    if found["estimated_cycles"]:
        lines.append(f"cycles        {found['estimated_cycles']:>12,} as the compiler estimates")
    for side in ("inputs", "outputs"):
        for tensor in found[side]:
            shape = "x".join(map(str, tensor["shape"])) or "scalar"
            lines.append(f"{side[:-1]:<13} {tensor['name']} {tensor['type']} {shape}")
    for executable in found["executables"]:
        lines.append(
            f"executable    {executable['kind']}: {executable['parameter_bytes']:,} B parameters, "
            f"{executable['instruction_bytes']:,} B instructions"
        )
    lines += [f"host          {op['index']} {op['op']}" for op in found["cpu_ops"]]
    return "\n".join(lines)


def _mapped(found: dict[str, Any]) -> str:
    lines = [f"{found['source']}: {found['mapped']} of {len(found['ops'])} operators are mapped"]
    for op in found["ops"]:
        size = op["cached_bytes"] or op["streamed_bytes"]
        stored = f"{size:,} B {'cached' if op['cached_bytes'] else 'streamed'}" if size else ""
        lines.append(f"{op['index']:>4} {op['op']:<24} {op['status']}  {stored}".rstrip())
        if op["reason"]:
            lines.append(f"     {op['reason']}. {op['remedy']}".rstrip())
    lines += [
        f"cached    {found['cached_bytes']:,} B of about {found['capacity_bytes']:,}",
        f"streamed  {found['streamed_bytes']:,} B",
        f"latency   {found['latency_us'] / 1e3:.2f} ms over USB, estimated "
        f"({found['latency_us_low'] / 1e3:.2f} to {found['latency_us_high'] / 1e3:.2f})",
    ]
    return "\n".join([*lines, *(f"finding   {finding}" for finding in found["findings"])])
