# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Edge TPU target: a Program to an int8 file, tried, estimated, measured."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.devices import device
from edgeinfer.base.errors import UsageError
from edgeinfer.base.health import Check
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import write_file
from edgeinfer.base.reads import Reads
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu import int8_target
from edgeinfer.targets.edgetpu.chip import device as chip_device
from edgeinfer.targets.edgetpu.chip.compiler import COMPILER
from edgeinfer.targets.edgetpu.chip.measure import compiled_metrics, measure_file
from edgeinfer.targets.edgetpu.describe import (
    describe_compiled,
    describe_mapping,
    describe_together,
    device_check,
)
from edgeinfer.targets.edgetpu.files import MAPPING
from edgeinfer.targets.edgetpu.int8_target import FileForecast, Int8Target, OwnProgram
from edgeinfer.targets.edgetpu.predict.host import NO_LAYERS, HostLayers
from edgeinfer.targets.edgetpu.predict.prediction import TARGET, predict, prediction_of
from edgeinfer.targets.edgetpu.predict.several import predict_together, segments_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.tflite.compiled import read_compiled
from edgeinfer.targets.edgetpu.tflite.ports import MODEL
from edgeinfer.targets.target import Act, Description, Place, ProgressReport, ToolResult, ToolStep
from quantization.fixed import Ints

CHIP = "coral"
COMPILED_MAPPING = "mapping_compiled.json"
STAGE = "tflite"
FIGURES = (
    *int8_target.FIGURES,
    "cached_bytes",
    "host_ops",
    "instruction_bytes",
    "latency_dev_board_us",
    "latency_device",
    "latency_device_us",
    "latency_pcie",
    "latency_pcie_us",
    "latency_us",
    "latency_usb",
    "latency_usb2_us",
    "latency_usb_us",
    "mapped_ops",
    "streamed_bytes",
)


DIRECTIONS = {
    **dict.fromkeys(
        (
            "host_ops", "latency_device", "latency_device_us", "latency_pcie", "latency_pcie_us",
            "latency_usb", "latency_usb_us", "streamed_bytes",
        ),
        False,
    ),
    "mapped_ops": True,
}  # fmt: skip


class EdgeTpuTarget(Int8Target[EdgeTpuSettings]):
    """Int8 files for Coral's chip."""

    title = "Edge TPU"
    about = "an int8 file"
    stage = STAGE
    stage_title = "TFLite"
    name = TARGET
    own_program = OwnProgram(
        COMPILER, Act.TOOLS, partial(tools.identity, COMPILER), partial(tools.find, COMPILER)
    )
    leaves_reports = True
    figures = FIGURES
    directions = DIRECTIONS

    def reads(self, act: Act) -> Reads:
        """What chips are like, besides."""
        return super().reads(act) | Reads(text=("firmware/devices",))

    def place_of(self, settings: EdgeTpuSettings) -> Place:
        """There is one kind of chip."""
        chip = device(CHIP)
        return Place(chip.part, chip)

    def forecast(
        self,
        model: TfliteModel,
        size: int,
        settings: EdgeTpuSettings,
        layers: HostLayers = NO_LAYERS,
    ) -> FileForecast:
        """Mapping, memory and time without any tool."""
        there = model.bytes > 0  # an estimate has no file that could be run
        prediction = prediction_of(
            model, settings.runtime, time_host=settings.time_host and there, layers=layers
        )
        document = json.dumps(prediction.document(), indent=1) + "\n"
        return FileForecast(
            {MAPPING: document.encode()}, prediction.metrics(settings.link), prediction.findings
        )

    def tool_steps(self, settings: EdgeTpuSettings) -> tuple[ToolStep, ...]:
        """The vendor's compiler, and a run on a device where there is one."""
        return (ToolStep.SYNTH,)

    def unasked_steps(self, settings: EdgeTpuSettings) -> tuple[ToolStep, ...]:
        """The compiler where it is here."""
        return (ToolStep.SYNTH,) if tools.available(COMPILER) else ()

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: EdgeTpuSettings,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        report: ProgressReport,
    ) -> ToolResult:
        """The vendor's compiler on the file; its mapping stands beside the predicted one."""
        limited = replace(settings, compile_seconds=min(seconds, settings.compile_seconds))
        measurement = measure_file(folder / MODEL, limited)
        write_file(folder / COMPILED_MAPPING, json.dumps(measurement.document, indent=1) + "\n")
        version = measurement.compilation.version
        return ToolResult(
            (f"{COMPILER.name} {version} compiled model.tflite",), measurement.on_device
        )

    def reports(self, folder: Path, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """What the vendor's compiler has left beside the emitted file."""
        return compiled_metrics(folder / MODEL)

    def check_tools(self) -> tuple[Check, ...]:
        """The vendor's compiler, and chips that are attached."""
        return (*super().check_tools(), device_check(chip_device.probe_devices()))

    def inspect(self, path: Path) -> Description | None:
        """A compiled file."""
        return describe_compiled(read_compiled(path))

    def map_files(self, paths: Sequence[Path], settings: EdgeTpuSettings) -> Description | None:
        """Int8 files: one, perhaps in segments, or several that are compiled together."""
        if len(paths) > 1:
            if settings.segments > 1:
                raise UsageError(
                    "Files that share a chip are not cut into segments.",
                    hint="Give one file with --segments.",
                )
            together = predict_together(paths, settings.runtime, time_host=settings.time_host)
            return describe_together(together)
        prediction = predict(paths[0], settings.runtime, time_host=settings.time_host)
        parts = segments_of(prediction, settings.segments) if settings.segments != 1 else ()
        return describe_mapping(prediction, parts)
