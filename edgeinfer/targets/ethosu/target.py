# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Ethos-U target: the int8 file, compiled by Vela where Vela is here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.tflite.macs import macs_of_model
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu import int8_target
from edgeinfer.targets.edgetpu.int8_target import FileForecast, Int8Target, OwnProgram
from edgeinfer.targets.edgetpu.predict.host import NO_LAYERS, HostLayers
from edgeinfer.targets.edgetpu.tflite.ports import MODEL
from edgeinfer.targets.ethosu import vela
from edgeinfer.targets.ethosu.settings import EthosUSettings
from edgeinfer.targets.ethosu.wide_layers import spread_wide_layers
from edgeinfer.targets.target import Act, ProgressReport, ToolResult, ToolStep
from quantization.fixed import Ints

DIRECTIONS = {"host_ops": False}


class EthosUTarget(Int8Target[EthosUSettings]):
    """Int8 files for Arm's NPUs beside a microcontroller or an application processor."""

    title = "Ethos-U"
    about = "an int8 file, which Vela compiles"
    name = vela.NAME
    stage = "ethos-u-file"
    stage_title = "Ethos-U's file"  # run by LiteRT: the NPU's integers are its own
    own_program = OwnProgram(vela.VELA, Act.TOOLS, vela.identity, vela.find_vela)
    extras = (vela.EXTRA,)
    leaves_reports = True
    figures = (
        *int8_target.FIGURES,
        "dram_bytes", "flash_bytes", "host_ops", "latency_us", "least_npu_cycles", "npu_cycles",
        "sram_bytes",
    )  # fmt: skip
    directions = DIRECTIONS

    def prepare(self, program: Program) -> Program:
        """Dense layers that are wider than the NPU's axes as convolutions."""
        return spread_wide_layers(program)

    def forecast(
        self,
        model: TfliteModel,
        size: int,
        settings: EthosUSettings,
        layers: HostLayers = NO_LAYERS,
    ) -> FileForecast:
        """The cycles below which no NPU of this size can stay; the rest is Vela's to say."""
        if offences := vela.refused_operators(model):
            raise UnsupportedModelError(
                model.source, offences, hint="Pool or convolve before it, or leave ethos-u out."
            )
        macs = sum(macs_of_model(model).values())
        least = macs / settings.accelerator.macs_per_cycle
        findings = [
            f"The processor computes the layer of {output} behind the NPU, {layer.products:,} "
            f"products; latency_us does not count them."
            for output, layer in layers.items()
        ]
        if not vela.is_here():
            findings.append(
                f"Vela is not here, so cycles and memory are not known. Get it with: "
                f"{vela.EXTRA.command}"
            )
        bound = Metric(
            "least_npu_cycles", least, "cycles", Origin.PROVED, target=self.name,
            note=f"{macs:,} products, {settings.accelerator.macs_per_cycle} in a cycle",
        )  # fmt: skip
        return FileForecast({}, (bound,), tuple(findings))

    def tool_steps(self, settings: EthosUSettings) -> tuple[ToolStep, ...]:
        """Vela's compilation."""
        return (ToolStep.SYNTH,)

    def unasked_steps(self, settings: EthosUSettings) -> tuple[ToolStep, ...]:
        """Vela takes a second."""
        return (ToolStep.SYNTH,) if vela.is_here() else ()

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: EthosUSettings,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        report: ProgressReport,
    ) -> ToolResult:
        """Compile the file, and say what is left to the processor."""
        ran = vela.compile_file(folder / MODEL, settings, min(seconds, settings.compile_seconds))
        left = vela.host_operators(folder)
        where = f"{', '.join(left)} run on the processor" if left else "all operators are the NPU's"
        return ToolResult((f"{ran}: {where}",))

    def reports(self, folder: Path, settings: EthosUSettings) -> tuple[Metric, ...]:
        """Cycles, memory, and what is left to the processor."""
        return vela.compiled_metrics(folder)
