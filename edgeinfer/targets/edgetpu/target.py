# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Edge TPU target: a Program to an int8 file, tried, estimated, measured."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.devices import device
from edgeinfer.base.errors import Offence, UsageError
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan, write_file
from edgeinfer.base.reads import Reads
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir import store
from edgeinfer.ir.agreement import Agreement
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.chip import device as chip_device
from edgeinfer.targets.edgetpu.chip.compiler import COMPILER
from edgeinfer.targets.edgetpu.chip.measure import compiled_metrics, measure_file
from edgeinfer.targets.edgetpu.deliver import conversion, judgement, kernel_recipe
from edgeinfer.targets.edgetpu.describe import (
    describe_compiled,
    describe_mapping,
    describe_reference,
    device_check,
)
from edgeinfer.targets.edgetpu.files import MODEL, PROGRAM, interpreter_of, planned_files
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.narrowing import narrow_program
from edgeinfer.targets.edgetpu.int8.network import draw_network
from edgeinfer.targets.edgetpu.int8.storage import plan_storage
from edgeinfer.targets.edgetpu.predict.prediction import predict, prediction_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.compiled import read_compiled
from edgeinfer.targets.target import (
    Act,
    Advanced,
    Description,
    EmittedProject,
    Place,
    Said,
    SimulationJudgement,
    Target,
    ToolResult,
    ToolStep,
    ignore_progress,
)
from quantization.fixed import Ints
from quantization.recipe import Recipe

CHIP = "coral"
COMPILED_MAPPING = "mapping_compiled.json"
STAGE = "tflite"
MOST_FLIPS = 0.03  # of the samples; rounding outputs to 8 bits changes fewer decisions
FIGURES = (
    "cached_bytes",
    "host_ops",
    "instruction_bytes",
    "int8_decision_flips",
    "int8_decision_flips_to_float",
    "int8_decision_flips_to_program",
    "int8_max_steps",
    "int8_max_steps_to_float",
    "int8_max_steps_to_program",
    "int8_reference_decision_flips",
    "int8_reference_differing",
    "int8_reference_max_steps",
    "latency_device",
    "latency_device_us",
    "latency_pcie",
    "latency_pcie_us",
    "latency_us",
    "latency_usb",
    "latency_usb_us",
    "mapped_ops",
    "streamed_bytes",
)


class EdgeTpuTarget(Target[EdgeTpuSettings]):
    """Int8 files for Coral's chip."""

    title = "Edge TPU"
    about = "an int8 file"
    stage = STAGE
    stage_title = "TFLite"
    exact = False
    pipelined = False
    learns = True
    best_bits = 8
    leaves_reports = True
    figures = FIGURES

    def reads(self, act: Act) -> Reads:
        """The runtime that runs files, and the vendor's compiler."""
        found = super().reads(act) | Reads(
            text=("firmware/devices",), libraries=("ai-edge-litert", "flatbuffers")
        )
        return found | Reads(programs=(tools.identity(COMPILER),)) if act is Act.TOOLS else found

    def suit(self, recipe: Recipe) -> Recipe:
        """Ties are rounded away from zero, as the int8 kernels can be made to do."""
        return kernel_recipe(recipe)

    def check(self, program: Program, settings: EdgeTpuSettings) -> tuple[Offence, ...]:
        """Every op that int8 operators have no equal for."""
        return convert.check(program)

    def place_of(self, settings: EdgeTpuSettings) -> Place:
        """There is one kind of chip."""
        chip = device(CHIP)
        return Place(chip.part, chip)

    def emit(self, program: Program, settings: EdgeTpuSettings) -> BuildPlan:
        """The int8 file, and what is known of it. Output ranges come from drawn samples;
        `emit_from` takes them from given ones."""
        return planned_files(convert.convert_program(program), settings)

    def emit_from(
        self, program: Program, graph: Graph, raw: Mapping[str, Ints], settings: EdgeTpuSettings
    ) -> EmittedProject:
        """The same from samples; a Program without an int8 equal is not refused."""
        made = conversion(program, graph, raw, settings)
        return EmittedProject(made.plan, made.prediction.metrics(settings.link), made.findings)

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: EdgeTpuSettings,
        *,
        taps: Collection[str] = (),
        advanced: Advanced = ignore_progress,
    ) -> dict[str, Ints]:
        """Raw outputs on the Program's own grid, from the file as LiteRT runs it."""
        if taps:
            raise UsageError(
                f"An int8 file does not show the value {next(iter(taps))!r}.",
                hint="Compare outputs only.",
            )
        interpreter = interpreter_of(folder)
        values = simulate.real_inputs(program, raw)
        stored = simulate.stored_inputs(interpreter.ports, values)
        return simulate.raw_outputs(program, interpreter.ports, interpreter.run(stored, advanced))

    def judge(
        self,
        program: Program,
        graph: Graph,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: EdgeTpuSettings,
        *,
        advanced: Advanced = ignore_progress,
    ) -> SimulationJudgement:
        """The file as LiteRT runs it against the engine, and against the engine on the Program that
        the file was made from, which it should equal. How far the reference kernels are from
        these is told."""
        held = folder / PROGRAM
        own = store.load(held.read_bytes(), str(held)) if held.is_file() else None
        other = interpreter_of(folder, simulate.Kernels.REFERENCE)
        found = judgement(
            program, graph, raw, interpreter_of(folder), own, other, advanced=advanced
        )  # fmt: skip
        agreements = [_agreement(("engine", STAGE), found.to_program)]
        if own is not None:
            agreements.append(_agreement(("int8 program", STAGE), found.agreement))
        said = [
            f"model.tflite was run by {found.runtime.name} {found.runtime.version} with its "
            f"default kernels ({simulate.XNNPACK}); {describe_reference(found.reference)}"
        ]
        flips, samples = found.to_program.decision_flips_unrounded, found.to_program.samples
        if flips > MOST_FLIPS * samples:
            said.append(
                f"The int8 file decides {flips} of {samples} samples ({flips / samples:.1%}) "
                f"otherwise than the Program. Judge its accuracy on its own, on data with labels."
            )
        return SimulationJudgement(
            tuple(agreements), found.outputs, found.hosts, found.metrics, tuple(said)
        )

    def estimate(self, program: Program, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """Mapping, memory and time without any tool."""
        model = draw_network(plan_storage(convert_without_samples(program)))
        return prediction_of(model, settings.runtime).metrics(settings.link)

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
        said: Said,
    ) -> ToolResult:
        """The vendor's compiler on the file; its mapping stands beside the predicted one."""
        limited = replace(settings, compile_seconds=min(seconds, settings.compile_seconds))
        found = measure_file(folder / MODEL, limited)
        write_file(folder / COMPILED_MAPPING, json.dumps(found.document, indent=1) + "\n")
        version = found.compilation.log.version
        return ToolResult((f"{COMPILER.name} {version} compiled model.tflite",), found.on_device)

    def reports(self, folder: Path, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """What the vendor's compiler has left beside the emitted file."""
        return compiled_metrics(folder / MODEL)

    def check_tools(self, environment: Mapping[str, str]) -> tuple[Check, ...]:
        """The vendor's compiler, and chips that are attached."""
        compiler = check_tool(COMPILER, Severity.OPTIONAL, environment)
        return (compiler, device_check(chip_device.probe_devices()))

    def inspect(self, path: Path) -> Description | None:
        """A compiled file."""
        return describe_compiled(read_compiled(path))

    def map_file(self, path: Path, settings: EdgeTpuSettings) -> Description | None:
        """An int8 file."""
        return describe_mapping(predict(path, settings.runtime))


def _agreement(pair: tuple[str, str], found: simulate.Int8Agreement) -> Agreement:
    same, flips = found.max_steps == 0, found.decision_flips_unrounded
    return Agreement(pair, found.samples, same, found.max_difference, flips)


def convert_without_samples(program: Program) -> Program:
    """The Program on 8-bit levels without running anything: output ranges play no part here."""
    return narrow_program(program, None, sampled=False).program
