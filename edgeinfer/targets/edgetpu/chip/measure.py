# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the vendor's compiler and a real device say of an emitted file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import ToolMissingError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.edgetpu.chip import compiler, device, inspect
from edgeinfer.targets.edgetpu.chip.compiler import Compilation
from edgeinfer.targets.edgetpu.predict.prediction import TARGET, predict
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import PORTS, RANGES, TflitePorts
from edgeinfer.targets.reports.figures import FigureSource

SAMPLES, SEED = 64, 20240229


@dataclass(frozen=True, slots=True, eq=False)
class CompilerMeasurement:
    """The compilation, and the mapping with the compiler's decisions."""

    compilation: Compilation
    on_device: tuple[Metric, ...]  # none where there is no device
    document: dict[str, Any]


def compiled_metrics(path: Path) -> tuple[Metric, ...]:
    """What the vendor's compiler has left beside a file; none where it was not run."""
    if not path.with_name(compiler.compiled_name(path)).is_file():
        return ()
    compilation = compiler.read(path)
    source = FigureSource(
        Origin.SYNTHESISED,
        DesignState.NONE,
        compiler.COMPILER.name,
        compilation.version or None,
        TARGET,
    )
    return inspect.metrics(compilation.compiled, source)


def measure_file(path: Path, settings: EdgeTpuSettings) -> CompilerMeasurement:
    """Compile a file with the vendor's compiler; without it, read what it left there before. Where
    there is a device, the compiled file is run on it."""
    try:
        compilation = compiler.run(path, settings)
    except ToolMissingError:
        if not path.with_name(compiler.compiled_name(path)).is_file():
            raise
        compilation = compiler.read(path)
    predicted = predict(path, settings.runtime, time_host=settings.time_host)
    document = compiler.override_prediction(predicted, compilation.compiled)
    ran: tuple[Metric, ...] = ()
    described = path.with_name(PORTS)
    if described.is_file():
        there = device.probe_devices()
        if there.devices:
            ports = TflitePorts.from_json(described.read_text(encoding="utf-8"), str(described))
            ran = on_device(path, compilation.path, ports, there.library_version)
    return CompilerMeasurement(compilation, ran, document)


def on_device(path: Path, compiled: Path, ports: TflitePorts, version: str) -> tuple[Metric, ...]:
    """The time of an inference on a device, and how far its outputs are from those of LiteRT's
    default kernels, on inputs drawn from all levels."""
    generator = np.random.default_rng(SEED)
    stored = {
        port.name: generator.integers(*RANGES[port.type], (SAMPLES, *port.shape), endpoint=True)
        for port in ports.inputs
    }
    ran = device.run(compiled, ports, stored)
    reference = simulate.Interpreter(path.read_bytes(), ports).run(stored)
    agreed = simulate.compare_outputs(ports, ran.outputs, simulate.port_values(ports, reference))
    figures = {"device_max_steps": agreed.max_steps, "device_decision_flips": agreed.decision_flips}
    compared = (
        Metric(name, value, "", Origin.MEASURED, tool="libedgetpu", version=version, target=TARGET)
        for name, value in figures.items()
    )
    return (ran.metric(version), *compared)
