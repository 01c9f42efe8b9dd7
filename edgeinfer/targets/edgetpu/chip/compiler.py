# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The vendor's compiler, where it is on the PATH: run, read, put in the place of predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeinfer.base import plan, tools
from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.metrics import Origin
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.base.tools import Tool
from edgeinfer.targets.edgetpu.predict.prediction import Prediction
from edgeinfer.targets.edgetpu.predict.rules import NEWEST_RUNTIME, Status
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.tflite.compiled import CompiledFile, read_compiled

COMPILER: Final = Tool(
    "edgetpu_compiler",
    "EDGEINFER_EDGETPU_COMPILER",
    "compiler for the Coral Edge TPU",
    "apt-get install edgetpu-compiler, from Coral's package source (x86-64 Debian only)",
)


@dataclass(frozen=True, slots=True, eq=False)
class Compilation:
    """A compiled file, and which compiler has made it."""

    path: Path
    compiled: CompiledFile
    version: str  # of the compiler; empty where its log does not say


def compiled_name(path: Path) -> str:
    """How the compiler calls its output."""
    return f"{path.stem}_edgetpu.tflite"


def run(path: Path, settings: EdgeTpuSettings) -> Compilation:
    """Compile a file; its compiled twin and the log are put beside it, complete or not at all."""
    compiler = tools.find(COMPILER)
    with scratch_folder("edgetpu") as folder:
        arguments: list[str | Path] = ["-s", "-o", folder]
        if settings.runtime != NEWEST_RUNTIME:
            arguments += ["-m", str(settings.runtime)]
        if settings.search_delegate:
            arguments.append("--search_delegate")
        order = [*arguments, path.resolve()]
        try:
            finished = tools.run(compiler, order, seconds=settings.compile_seconds, folder=folder)
        except ToolFailedError as error:
            raise ToolFailedError(error.message, hint=error.hint or _remedy(settings)) from None
        compiled = folder / compiled_name(path)
        if not compiled.is_file():
            raise ToolFailedError(
                f"{COMPILER.name} made no {compiled.name}: {tools.telling_line(finished.output)}"
            )
        written = compiled.with_suffix(".log")
        text = finished.output
        if written.is_file():
            text += "\n" + written.read_text(encoding="utf-8", errors="replace")
        target = path.with_name(compiled.name)
        plan.write_files({target: compiled.read_bytes(), target.with_suffix(".log"): text.encode()})
    return read(path)


def _remedy(settings: EdgeTpuSettings) -> str:
    """What helps against the compiler's usual failures: activations that are too large for it, and
    errors of its own."""
    if not settings.search_delegate:
        return "Let it leave operators to the host, one after another: --search-delegate."
    return "Give the network smaller images, or cut it for several chips: see map --segments."


def read(path: Path) -> Compilation:
    """What an earlier compilation left beside a file."""
    target = path.with_name(compiled_name(path))
    log = target.with_suffix(".log")
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return Compilation(target, read_compiled(target), compiler_version(text))


def compiler_version(log: str) -> str:
    """The version that a log begins with, as it has been written since version 2.0."""
    match = re.search(r"Edge TPU Compiler version (\S+)", log)
    return match[1] if match else ""


def host_operators(model: TfliteModel, compiled: CompiledFile) -> frozenset[int]:
    """The operators of an uncompiled file that its compiled twin leaves to the host: those whose
    results still bear their names outside the custom operator."""
    outside = {tensor.name for op in compiled.cpu_operators for tensor in op.outputs}
    return frozenset(
        op.index
        for op in model.operators
        if op.outputs and all(tensor.name in outside for tensor in op.outputs)
    )


def override_prediction(prediction: Prediction, compiled: CompiledFile) -> dict[str, Any]:
    """A prediction's document with what the compiler decided in the place of what was predicted."""
    document = prediction.document()
    left = host_operators(prediction.model, compiled)
    for op in document["ops"]:
        _settle(op, op["index"] in left)
    stated = {
        "cached_bytes": compiled.cached_bytes,
        "streamed_bytes": compiled.streamed_bytes,
        "instruction_bytes": compiled.instruction_bytes,
    }
    ends = {f"{name}_{end}": size for name, size in stated.items() for end in ("low", "high")}
    return document | {
        "origin": Origin.SYNTHESISED.value,
        "accepted": True,
        "mapped": len(document["ops"]) - len(left),
        **stated,
        **ends,
        "predicted": _predicted_counts(prediction),
    }


def _settle(op: dict[str, Any], on_host: bool) -> None:
    """One operator's status as the compiled file shows it."""
    predicted_on_host = op["status"] != Status.MAPPED.value
    if on_host == predicted_on_host:
        return
    if on_host:
        op.update(status=Status.LIMITED.value, reason="the compiler left it to the host", remedy="")
    else:
        op.update(status=Status.MAPPED.value, reason="", remedy="")


def _predicted_counts(prediction: Prediction) -> Mapping[str, int]:
    return {
        "mapped": len(prediction.mapping.on_chip),
        "cached_bytes": prediction.memory.cached_bytes,
        "streamed_bytes": prediction.memory.streamed_bytes,
    }
