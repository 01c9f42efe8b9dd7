# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The TensorFlow Lite Micro target: the int8 file on a microcontroller, run here as it would be."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.targets.edgetpu import int8_target
from edgeinfer.targets.edgetpu.files import interpreter_of
from edgeinfer.targets.edgetpu.int8_target import FileForecast, FileKernels, Int8Target, OwnProgram
from edgeinfer.targets.edgetpu.predict.host import NO_LAYERS, HostLayers
from edgeinfer.targets.edgetpu.tflite.simulate import Int8Agreement
from edgeinfer.targets.target import Act
from edgeinfer.targets.tflitemicro import runner
from edgeinfer.targets.tflitemicro.cycles import time_metrics
from edgeinfer.targets.tflitemicro.settings import TfliteMicroSettings


class TfliteMicroTarget(Int8Target[TfliteMicroSettings]):
    """Int8 files for microcontrollers without an accelerator."""

    title = "TFLite Micro"
    about = "an int8 file for microcontrollers"
    name = runner.NAME
    stage = "tflite-micro-file"
    stage_title = "TFLite Micro's file"  # by LiteRT where TFLite Micro is not here
    own_program = OwnProgram(runner.PYTHON, Act.SIMULATE, runner.identity, runner.find_python)
    extras = (runner.EXTRA,)
    figures = (
        *int8_target.FIGURES,
        "arena_bytes", "cpu_cycles", "flash_bytes", "latency_us", "litert_decision_flips",
        "litert_differing", "litert_max_steps", "tensor_bytes",
    )  # fmt: skip

    def forecast(
        self,
        model: TfliteModel,
        size: int,
        settings: TfliteMicroSettings,
        layers: HostLayers = NO_LAYERS,
    ) -> FileForecast:
        """The file's size in flash, and cycles by kind of operator."""
        flash = Metric("flash_bytes", size, "B", Origin.PROVED, target=self.name)
        metrics = (flash, *time_metrics(model, settings, self.name, layers))
        findings = () if runner.is_here() else (
            f"tflite-micro is not here: the file is run by LiteRT, and the arena's size is not "
            f"known. Get it with: {runner.EXTRA.command}",
        )  # fmt: skip
        return FileForecast({}, metrics, findings)

    def kernels(self, folder: Path) -> FileKernels:
        """TensorFlow Lite Micro where it is here, compared with LiteRT; else as for any int8
        file."""
        if not runner.is_here():
            return super().kernels(folder)
        micro = runner.MicroRunner(folder)
        return FileKernels(
            micro, interpreter_of(folder), "litert", _describe_litert, micro.arena_metrics
        )


def _describe_litert(agreement: Int8Agreement) -> str:
    """How far LiteRT on a PC is, in a sentence."""
    if not agreement.differing:
        return f"LiteRT on a PC gives the same on {agreement.samples} samples."
    return (
        f"LiteRT on a PC differs on {agreement.differing} of {agreement.samples} samples "
        f"({agreement.differing / agreement.samples:.1%}) by at most {agreement.max_steps} steps "
        f"and decides {agreement.decision_flips} otherwise."
    )
