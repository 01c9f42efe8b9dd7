# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Edge TPU target: a Program to an int8 file, tried, estimated, measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from edgeinfer.errors import InputError, Offence, UsageError
from edgeinfer.ir.program import Program
from edgeinfer.ir.show import show
from edgeinfer.metrics import Metric
from edgeinfer.plan import BuildPlan
from edgeinfer.targets.edgetpu import convert, simulate
from edgeinfer.targets.edgetpu.int8_network import drawn
from edgeinfer.targets.edgetpu.measure import measured
from edgeinfer.targets.edgetpu.narrowing import narrowed
from edgeinfer.targets.edgetpu.ports import Ports
from edgeinfer.targets.edgetpu.prediction import prediction_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.storage import planned
from quantization.fixed import Ints

MODEL, PORTS, MAPPING, PROGRAM = "model.tflite", "ports.json", "mapping.json", "program.txt"
Advanced = Callable[[int, int], None]


class EdgeTpuTarget:
    """Answers `targets.protocol.Target` for the Edge TPU."""

    def check(self, program: Program, settings: EdgeTpuSettings) -> tuple[Offence, ...]:
        """Every op that int8 operators have no equal for."""
        return convert.check(program)

    def emit(self, program: Program, settings: EdgeTpuSettings) -> BuildPlan:
        """The int8 file, and what is known of it. Output ranges come from drawn samples; give
        samples through `deliver` where there are any."""
        return planned_files(convert.convert_program(program), settings)

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: EdgeTpuSettings,
        *,
        taps: Collection[str] = (),
        advanced: Advanced = lambda done, total: None,
    ) -> dict[str, Ints]:
        """Raw outputs on the Program's own grid, from the file by the reference kernels."""
        if taps:
            raise UsageError(
                f"An int8 file does not show the value {next(iter(taps))!r}.",
                hint="Compare outputs only.",
            )
        interpreter = interpreter_of(folder)
        values = simulate.real_inputs(program, raw)
        stored = simulate.stored_inputs(interpreter.ports, values)
        return simulate.raw_outputs(program, interpreter.ports, interpreter.run(stored, advanced))

    def estimate(self, program: Program, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """Mapping, memory and time without any tool."""
        return prediction_of(drawn(planned(unsampled(program))), settings.runtime).metrics()

    def measure(self, folder: Path, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """What the vendor's compiler, and a device where there is one, say of the emitted file."""
        return measured(folder / MODEL, settings).metrics


def unsampled(program: Program) -> Program:
    """The Program on 8-bit levels without running anything: output ranges play no part here."""
    return narrowed(program, None, sampled=False).program


def planned_files(made: convert.Converted, settings: EdgeTpuSettings) -> BuildPlan:
    """The target's folder."""
    prediction = prediction_of(made.model, settings.runtime)
    files = {
        MODEL: made.data,
        PORTS: made.ports.to_json().encode(),
        MAPPING: (json.dumps(prediction.document(), indent=1) + "\n").encode(),
    }
    if made.program is not None:
        files[PROGRAM] = show(made.program).encode()
    return BuildPlan(made.model.source, files)


def interpreter_of(folder: Path) -> simulate.Interpreter:
    """What was emitted into a folder, ready to be run."""
    model, ports = folder / MODEL, folder / PORTS
    for path in (model, ports):
        if not path.is_file():
            raise InputError(
                f"{folder} holds no {path.name}.", hint="Compile for the Edge TPU again."
            )
    known = Ports.from_json(ports.read_text(encoding="utf-8"), str(ports))
    return simulate.Interpreter(model.read_bytes(), known)
