# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the vendor's compiler and a real device say of an emitted file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.errors import ToolMissingError
from edgeinfer.metrics import Metric
from edgeinfer.targets.edgetpu import compiler, inspect
from edgeinfer.targets.edgetpu.compiler import Compilation
from edgeinfer.targets.edgetpu.prediction import predict
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The compilation, its figures, and the mapping with the compiler's decisions."""

    compilation: Compilation
    metrics: tuple[Metric, ...]
    document: dict[str, Any]


def measured(path: Path, settings: EdgeTpuSettings) -> Measured:
    """Compile a file with the vendor's compiler; without it, read what it left there before."""
    try:
        compilation = compiler.run(path, settings)
    except ToolMissingError:
        if not path.with_name(compiler.compiled_name(path)).is_file():
            raise
        compilation = compiler.read(path)
    document = compiler.overridden(predict(path, settings.runtime), compilation.compiled)
    version = compilation.log.version or None
    found = inspect.metrics(compilation.compiled, compiler.COMPILER.name, version)
    return Measured(compilation, found, document)
