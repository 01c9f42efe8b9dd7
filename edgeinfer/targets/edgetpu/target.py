# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Edge TPU target: a Program to an int8 file, tried, estimated, measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.devices import device
from edgeinfer.base.errors import Offence, UsageError
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan, write_file
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir import store
from edgeinfer.ir.agreement import Agreement
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.chip.compiler import COMPILER
from edgeinfer.targets.edgetpu.chip.measure import compiled_metrics, measured
from edgeinfer.targets.edgetpu.deliver import conversion, judgement, kernel_recipe
from edgeinfer.targets.edgetpu.files import MODEL, PROGRAM, interpreter_of, planned_files
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.narrowing import narrowed
from edgeinfer.targets.edgetpu.int8.network import drawn
from edgeinfer.targets.edgetpu.int8.storage import planned
from edgeinfer.targets.edgetpu.predict.prediction import prediction_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.target import Done, Emitted, Judged, Place, Said, ToolStep
from quantization.fixed import Ints
from quantization.recipe import Recipe

COMPILED_MAPPING = "mapping_compiled.json"
STAGE = "tflite"
Advanced = Callable[[int, int], None]


class EdgeTpuTarget:
    """Answers `targets.protocol.Target` for the Edge TPU."""

    best_bits = 8

    def suited(self, recipe: Recipe) -> Recipe:
        """Ties are rounded upwards, as the int8 kernels do."""
        return kernel_recipe(recipe)

    def check(self, program: Program, settings: EdgeTpuSettings) -> tuple[Offence, ...]:
        """Every op that int8 operators have no equal for."""
        return convert.check(program)

    def place_of(self, settings: EdgeTpuSettings) -> Place:
        """There is one kind of chip."""
        chip = device("coral")
        return Place(chip.part, chip)

    def emit(self, program: Program, settings: EdgeTpuSettings) -> BuildPlan:
        """The int8 file, and what is known of it. Output ranges come from drawn samples;
        `emit_from` takes them from given ones."""
        return planned_files(convert.convert_program(program), settings)

    def emit_from(
        self, program: Program, graph: Graph, raw: Mapping[str, Ints], settings: EdgeTpuSettings
    ) -> Emitted:
        """The same from samples; a Program without an int8 equal is not refused."""
        made = conversion(program, graph, raw, settings)
        return Emitted(made.plan, made.prediction.metrics(settings.link), made.findings)

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

    def judge(
        self,
        program: Program,
        graph: Graph,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: EdgeTpuSettings,
        *,
        advanced: Advanced = lambda done, total: None,
    ) -> Judged:
        """The file by the reference kernels against the engine, and against the engine on the
        Program that the file was made from, which it should equal."""
        held = folder / PROGRAM
        own = store.load(held.read_bytes(), str(held)) if held.is_file() else None
        found = judgement(
            program, graph, raw, interpreter_of(folder), own, advanced=advanced
        )  # fmt: skip
        agreements = [_agreement(("engine", STAGE), found.to_program)]
        if own is not None:
            agreements.append(_agreement(("int8 program", STAGE), found.agreement))
        said = (
            f"model.tflite was run by {found.runtime.name} {found.runtime.version} with its "
            f"{simulate.RESOLVER} kernels; the chip's own may differ by some steps."
        )
        return Judged(tuple(agreements), found.outputs, found.hosts, found.metrics, (said,))

    def estimate(self, program: Program, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """Mapping, memory and time without any tool."""
        model = drawn(planned(unsampled(program)))
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
    ) -> Done:
        """The vendor's compiler on the file; its mapping stands beside the predicted one."""
        limited = replace(settings, compile_seconds=min(seconds, settings.compile_seconds))
        found = measured(folder / MODEL, limited)
        write_file(folder / COMPILED_MAPPING, json.dumps(found.document, indent=1) + "\n")
        version = found.compilation.log.version
        return Done((f"{COMPILER.name} {version} compiled model.tflite",), found.on_device)

    def reports(self, folder: Path, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """What the vendor's compiler has left beside the emitted file."""
        return compiled_metrics(folder / MODEL)

    def measure(self, folder: Path, settings: EdgeTpuSettings) -> tuple[Metric, ...]:
        """What the vendor's compiler, run now, and a device where there is one, say."""
        return measured(folder / MODEL, settings).metrics


def _agreement(pair: tuple[str, str], found: simulate.Int8Agreement) -> Agreement:
    same, flips = found.max_steps == 0, found.decision_flips_unrounded
    return Agreement(pair, found.samples, same, found.max_difference, flips)


def unsampled(program: Program) -> Program:
    """The Program on 8-bit levels without running anything: output ranges play no part here."""
    return narrowed(program, None, sampled=False).program
