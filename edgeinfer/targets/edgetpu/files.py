# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the target's folder holds, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeinfer.base.errors import InputError
from edgeinfer.base.plan import BuildPlan
from edgeinfer.ir import store
from edgeinfer.ir.show import show
from edgeinfer.targets.edgetpu import run_file
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import MODEL, PORTS, TflitePorts

MAPPING, PROGRAM = "mapping.json", "program.npz"
PROGRAM_TEXT = "program.txt"
RUNNER = "run.py"


def planned_files(file: convert.ConvertedFile, more: Mapping[str, bytes]) -> BuildPlan:
    """A target's folder: the int8 file, what it computes, and what else the target has to say."""
    files = {
        MODEL: file.data,
        PORTS: file.ports.to_json().encode(),
        RUNNER: Path(run_file.__file__).read_bytes(),  # it stands alone
        **more,
    }
    if file.program is not None:
        files[PROGRAM] = store.save(file.program)
        files[PROGRAM_TEXT] = show(file.program).encode()
    return BuildPlan(file.model.source, files)


def interpreter_of(
    folder: Path, kernels: simulate.Kernels = simulate.Kernels.DEFAULT
) -> simulate.Interpreter:
    """What was emitted into a folder, ready to be run by a set of kernels."""
    model, ports = folder / MODEL, folder / PORTS
    for path in (model, ports):
        if not path.is_file():
            raise InputError(
                f"{folder} holds no {path.name}.", hint="Compile for the Edge TPU again."
            )
    tflite_ports = TflitePorts.from_json(ports.read_text(encoding="utf-8"), str(ports))
    return simulate.Interpreter(model.read_bytes(), tflite_ports, kernels)
