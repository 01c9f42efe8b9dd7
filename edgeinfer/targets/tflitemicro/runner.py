# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An emitted file run by TensorFlow Lite Micro on this computer, and what it allocates."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.extras import Extra
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.reads import identity_of
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.base.tools import FoundTool, Tool
from edgeinfer.targets.edgetpu.files import interpreter_of
from edgeinfer.targets.edgetpu.tflite.ports import MODEL, NUMPY_TYPES
from edgeinfer.targets.edgetpu.tflite.simulate import Runtime, SampleProgress, Stored

NAME: Final = "tflite-micro"  # what figures say they are for
EXTRA: Final = Extra("micro", "TensorFlow Lite Micro on this computer", ("tflite_micro",))
PYTHON: Final = Tool(
    NAME,
    "EDGEINFER_TFLITE_MICRO",
    "a Python with the package tflite-micro",
    EXTRA.command,
)
PROCESS: Final = "edgeinfer.targets.tflitemicro.micro_process"
VERSION_SECONDS, RUN_SECONDS = 30.0, 1800.0
ARENA: Final = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
KERNELS: Final = "TFLite Micro's on a PC"


def find_python() -> FoundTool:
    """The Python that its variable names, else this one where it has the package."""
    if os.environ.get(PYTHON.override):
        path = tools.locate(PYTHON)
    elif not EXTRA.missing:
        path = Path(sys.executable)
    else:
        raise ToolMissingError(
            f"The package tflite-micro is not installed, and {PYTHON.override} names no Python "
            f"that has it.",
            hint=f"Get it with: {EXTRA.command}",
        )
    tool = FoundTool(PYTHON, path, "")
    output = tools.run(tool, [_script(), "version"], seconds=VERSION_SECONDS).output
    return FoundTool(PYTHON, path, output.split()[1] if len(output.split()) > 1 else "")


def is_here() -> bool:
    """Whether there is a Python for it; nothing is started."""
    return bool(os.environ.get(PYTHON.override)) or not EXTRA.missing


def identity() -> str:
    """What tells one runtime from another, without starting it."""
    override = os.environ.get(PYTHON.override)
    return f"{NAME} {identity_of(Path(override)) if override else EXTRA.missing}"


def _script() -> Path:
    """The process's file: it is run by its path, for the other Python may not have edgeinfer."""
    spec = importlib.util.find_spec(PROCESS)
    if spec is None or spec.origin is None:
        raise AssertionError(PROCESS)
    return Path(spec.origin)


class MicroRunner:
    """A file in a target's folder, all samples in one process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / MODEL
        self.ports = interpreter_of(folder).ports
        self._python = find_python()
        self.runtime = Runtime(NAME, self._python.version, KERNELS)
        self.arena: dict[str, int] = {}

    def run(
        self,
        stored: Mapping[str, NDArray[Any]],
        report_progress: SampleProgress = lambda done, total: None,
    ) -> Stored:
        """Stored outputs by name, for stored inputs by name."""
        with scratch_folder("micro") as folder:
            inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
            entering = {
                str(number): stored[port.name].astype(NUMPY_TYPES[port.type])
                for number, port in enumerate(self.ports.inputs)
            }
            np.savez(inputs, **entering)  # type: ignore[arg-type]  # NumPy's stub forbids the splat
            arguments = [_script(), self.path.resolve(), inputs, outputs]
            output = tools.run(self._python, arguments, seconds=RUN_SECONDS).output
            self.arena = {part: int(size) for part, size in ARENA.findall(output)}
            with np.load(outputs) as archive:
                arrays = [archive[str(number)] for number in range(len(archive.files))]
        if len(arrays) != len(self.ports.outputs):
            raise ToolFailedError(
                f"TensorFlow Lite Micro gave {len(arrays)} outputs, the file has "
                f"{len(self.ports.outputs)}."
            )
        total = len(next(iter(stored.values())))
        report_progress(total, total)
        return {
            port.name: port.finish(values.reshape(total, -1))
            for port, values in zip(self.ports.outputs, arrays, strict=True)
        }

    def arena_metrics(self) -> tuple[Metric, ...]:
        """What the last run allocated; on a PC, whose pointers take eight bytes."""
        note = "on a 64-bit PC; on a microcontroller the persistent part is smaller"
        return tuple(
            Metric(
                name, self.arena[part], "B", Origin.SIMULATED, tool=NAME,
                version=self.runtime.version or None, target=NAME, note=note,
            )
            for name, part in (("arena_bytes", "total"), ("tensor_bytes", "head"))
            if part in self.arena
        )  # fmt: skip
