# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What all targets of the int8 file have in common: how it is made, run and judged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from edgeinfer.base.errors import Offence, UsageError
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan
from edgeinfer.base.reads import Reads
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.base.tools import FoundTool, Tool
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir import store
from edgeinfer.ir.agreement import Agreement
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.deliver import conversion, judgement, other_metrics
from edgeinfer.targets.edgetpu.describe import describe_reference
from edgeinfer.targets.edgetpu.files import PROGRAM, interpreter_of, planned_files
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.narrowing import narrow_program
from edgeinfer.targets.edgetpu.int8.network import draw_network
from edgeinfer.targets.edgetpu.int8.storage import plan_storage
from edgeinfer.targets.edgetpu.int8_settings import Fallback, Int8Settings
from edgeinfer.targets.edgetpu.predict.host import NO_LAYERS, HostLayers
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.simulate import Int8Agreement
from edgeinfer.targets.target import (
    Act,
    EmittedProject,
    SampleProgress,
    SimulationJudgement,
    Target,
    ignore_progress,
)
from quantization.fixed import Ints, Rounding

Files = TypeVar("Files", bound=Int8Settings)
MOST_FLIPS = 0.03  # of the samples; rounding outputs to 8 bits changes fewer decisions
FIGURES = (
    "int8_decision_flips",
    "int8_decision_flips_to_float",
    "int8_decision_flips_to_program",
    "int8_max_steps",
    "int8_max_steps_to_float",
    "int8_max_steps_to_program",
    "int8_reference_decision_flips",
    "int8_reference_differing",
    "int8_reference_max_steps",
    "score_thresholds",
)


@dataclass(frozen=True, slots=True)
class FileForecast:
    """What a target says of an int8 file before anything runs: files of its own, figures, and
    findings."""

    files: Mapping[str, bytes]
    metrics: tuple[Metric, ...]
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileKernels:
    """What runs an emitted file, and other kernels that it is compared with."""

    runner: simulate.Runner
    other: simulate.Runner
    prefix: str  # of the figures that say how far the others are
    describe: Callable[[Int8Agreement], str]  # the same in a sentence
    learned: Callable[[], tuple[Metric, ...]] = tuple  # figures that are known after a run


@dataclass(frozen=True, slots=True)
class OwnProgram:
    """A program that a target's answers depend on."""

    tool: Tool
    act: Act  # whose answers they are
    identity: Callable[[], str]
    find: Callable[[], FoundTool]


class Int8Target(Target[Files]):
    """An int8 file, whatever becomes of it."""

    exact = False
    pipelined = False
    learns = True
    best_bits = 8
    name: ClassVar[str]  # by which figures say whose they are
    own_program: ClassVar[OwnProgram]

    def reads(self, act: Act) -> Reads:
        """The file's makers, the runtime that runs it, and the target's own program."""
        return super().reads(act) | Reads(
            code=("edgeinfer.targets.edgetpu",),
            libraries=("ai-edge-litert", "flatbuffers"),
            programs=(self.own_program.identity(),) if act is self.own_program.act else (),
        )

    def check_tools(self) -> tuple[Check, ...]:
        """The target's own program."""
        return (check_tool(self.own_program.tool, Severity.OPTIONAL, self.own_program.find),)

    def kernels(self, folder: Path) -> FileKernels:
        """LiteRT as people use it; compared with its reference kernels."""
        return FileKernels(
            interpreter_of(folder),
            interpreter_of(folder, simulate.Kernels.REFERENCE),
            "int8_reference",
            describe_reference,
        )

    @abstractmethod
    def forecast(
        self, model: TfliteModel, size: int, settings: Files, layers: HostLayers = NO_LAYERS
    ) -> FileForecast:
        """What is known of a file of `size` bytes before anything runs, and of the layers that the
        host computes behind it."""

    def best_rounding(self, settings: Files) -> Rounding:
        """Ties upwards, as inputs are stored and as kernels can be made to do. Every hidden layer
        is then reproduced bit for bit, but for ties below zero of layers whose weights take all 8
        bits."""
        return Rounding.RND

    def prepare(self, program: Program) -> Program:
        """The same function in the ops whose operators the target's program takes."""
        return program

    def _nearest(self, program: Program, settings: Files) -> tuple[Program, list[str]]:
        """What the file is made from, and what was changed in it."""
        return convert.nearest_program(self.prepare(program), settings.fallback)

    def check(self, program: Program, settings: Files) -> tuple[Offence, ...]:
        """Every op that int8 operators have no equal for."""
        return convert.check(self._nearest(program, settings)[0])

    def emit(self, program: Program, settings: Files) -> BuildPlan:
        """The int8 file, and what is known of it. Output ranges come from drawn samples;
        `emit_from` takes them from given ones."""
        near, _ = self._nearest(program, settings)
        file = convert.convert_program(
            near, score_range=settings.scores(), last_layer=settings.last_layer
        )
        forecast = self.forecast(file.model, len(file.data), settings, file.ports.layers)
        return planned_files(file, forecast.files)

    def emit_from(
        self, program: Program, graph: Graph, raw: Mapping[str, Ints], settings: Files
    ) -> EmittedProject:
        """The same from samples; a Program without an int8 equal is not refused."""
        near, findings = self._nearest(program, settings)
        converted = conversion(
            near, graph, raw, settings.scores(), settings.last_layer,
            is_nearest=settings.fallback is Fallback.INT8,
        )  # fmt: skip
        file = converted.file
        forecast = self.forecast(file.model, len(file.data), settings, file.ports.layers)
        plan = planned_files(file, forecast.files)
        return EmittedProject(
            plan, forecast.metrics, (*findings, *converted.findings, *forecast.findings)
        )

    def estimate(self, program: Program, settings: Files) -> tuple[Metric, ...]:
        """What is known without samples, where output ranges play no part."""
        near, _ = self._nearest(program, settings)
        small = narrow_program(near, None, sampled=False).program
        model = draw_network(plan_storage(small))
        constant_bytes = sum(
            len(tensor.data) for tensor in model.tensors if tensor.data is not None
        )
        return self.forecast(model, constant_bytes, settings).metrics

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: Files,
        *,
        taps: Collection[str] = (),
        report_progress: SampleProgress = ignore_progress,
    ) -> dict[str, Ints]:
        """Raw outputs on the Program's own grid, from the file as it is run."""
        if taps:
            raise UsageError(
                f"An int8 file does not show the value {next(iter(taps))!r}.",
                hint="Compare outputs only.",
            )
        runner = self.kernels(folder).runner
        values = simulate.real_inputs(program, raw)
        stored = simulate.stored_inputs(runner.ports, values)
        return simulate.raw_outputs(program, runner.ports, runner.run(stored, report_progress))

    def judge(
        self,
        program: Program,
        graph: Graph,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: Files,
        *,
        report_progress: SampleProgress = ignore_progress,
    ) -> SimulationJudgement:
        """The file as it is run against the engine, and against the engine on the Program that the
        file was made from. How far other kernels are from these is told."""
        own_file = folder / PROGRAM
        own = store.load(own_file.read_bytes(), str(own_file)) if own_file.is_file() else None
        by = self.kernels(folder)
        judgement_of_file = judgement(
            program,
            graph,
            raw,
            by.runner,
            own,
            by.other,
            self.name,
            report_progress=report_progress,
        )
        agreements = [_agreement(("engine", self.stage), judgement_of_file.to_program)]
        if own is not None:
            agreements.append(_agreement(("int8 program", self.stage), judgement_of_file.agreement))
        runtime, others = judgement_of_file.runtime, by.other.runtime
        findings = [
            f"model.tflite was run by {runtime.name} {runtime.version} with its kernels "
            f"{runtime.kernels}; {by.describe(judgement_of_file.other)}"
        ]
        flips, samples = (
            judgement_of_file.to_program.decision_flips_unrounded,
            judgement_of_file.to_program.samples,
        )
        if flips > MOST_FLIPS * samples:
            findings.append(
                f"The int8 file decides {flips} of {samples} samples ({flips / samples:.1%}) "
                f"otherwise than the Program. Judge its accuracy on its own, on data with labels."
            )
        metrics = (
            *judgement_of_file.metrics,
            *other_metrics(by.prefix, judgement_of_file.other, self.name, others.kernels),
            *by.learned(),
        )
        return SimulationJudgement(
            tuple(agreements),
            judgement_of_file.outputs,
            judgement_of_file.hosts,
            metrics,
            tuple(findings),
        )


def _agreement(pair: tuple[str, str], agreement: simulate.Int8Agreement) -> Agreement:
    flips = agreement.decision_flips_unrounded
    return Agreement(pair, agreement.samples, agreement.equal, agreement.max_difference, flips)
