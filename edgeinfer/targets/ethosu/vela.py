# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Arm's compiler Vela: found, run, and what it says read as figures.

Vela predicts cycles from a model of the NPU and of the memories of a default system. They are
estimates. Its summary gives the cycles of the NPU and of each memory's accesses, which overlap more
or less: the band goes from the longest of these to their sum.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeinfer.base import plan, tools
from edgeinfer.base.errors import InputError, Offence, ToolFailedError, ToolMissingError
from edgeinfer.base.extras import Extra
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.reads import identity_of
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.base.tflite.model import TfliteModel, read
from edgeinfer.base.tools import FoundTool, Tool
from edgeinfer.targets.ethosu.settings import EthosUSettings
from edgeinfer.targets.ethosu.wide_layers import LARGEST_WINDOW, LONGEST_AXIS, TALLEST_WINDOW

EXTRA: Final = Extra("ethos", "Vela, which compiles for Arm Ethos-U", ("ethosu.vela",))
VELA: Final = Tool(
    "vela", "EDGEINFER_VELA", "compiler for Arm Ethos-U", EXTRA.command, telling=r"^Error:"
)
NAME: Final = "ethos-u"  # what figures say they are for
CUSTOM_OP: Final = "ethos-u"
COMPILED, SUMMARY, LOG = "model_vela.tflite", "vela_summary.csv", "vela.log"
KIB: Final = 1024
MEMORIES: Final = ("sram", "dram", "on_chip_flash", "off_chip_flash")


@dataclass(frozen=True, slots=True)
class VelaSummary:
    """What Vela says of a network under a configuration."""

    accelerator: str
    system: str
    clock_hz: float
    cycles: float
    npu_cycles: float
    memory_cycles: Mapping[str, float]
    memory_bytes: Mapping[str, float]

    @property
    def band(self) -> tuple[float, float]:
        """Cycles if everything overlaps, and if nothing does."""
        parts = (self.npu_cycles, *self.memory_cycles.values())
        return min(max(parts), self.cycles), max(sum(parts), self.cycles)


def find_vela() -> FoundTool:
    """Vela by its variable or on the PATH, else beside this Python, where pip puts it."""
    try:
        return tools.find(VELA)
    except ToolMissingError:
        script = Path(sys.executable).with_name("vela")
        if tools.available(VELA) or not script.is_file():
            raise
        return FoundTool(VELA, script, "")


def identity() -> str:
    """What tells one Vela from another, without starting it."""
    script = Path(sys.executable).with_name(VELA.name)
    beside = f"{VELA.name} {identity_of(script)}" if script.is_file() else ""
    return tools.identity(VELA) if tools.available(VELA) or not beside else beside


def is_here() -> bool:
    """Whether Vela can be run."""
    return tools.available(VELA) or Path(sys.executable).with_name("vela").is_file()


def compile_file(path: Path, settings: EthosUSettings, seconds: float) -> str:
    """Compile a file; its compiled twin, the summary and the log are put beside it. Says what was
    run."""
    vela = find_vela()
    with scratch_folder("vela") as folder:
        arguments: list[str | Path] = [
            "--accelerator-config", settings.accelerator.value, "--output-dir", folder,
            path.resolve(),
        ]  # fmt: skip
        ran = tools.run(vela, arguments, seconds=seconds, folder=folder)
        twin = folder / f"{path.stem}_vela.tflite"
        summaries = sorted(folder.glob("*_summary_*.csv"))
        if not twin.is_file() or not summaries:
            raise ToolFailedError(f"Vela made no {twin.name}: {tools.telling_line(ran.output)}")
        text = summaries[0].read_text(encoding="utf-8", errors="replace")
        read_summary(text, summaries[0].name)
        plan.write_files(
            {
                path.with_name(COMPILED): twin.read_bytes(),
                path.with_name(SUMMARY): text.encode(),
                path.with_name(LOG): ran.output.encode(),
            }
        )
    return f"{VELA.name} {vela.version} compiled {path.name} for {settings.accelerator}".strip()


def read_summary(text: str, source: str) -> VelaSummary:
    """The summary's only row."""
    try:
        row = next(csv.DictReader(io.StringIO(text)))
        return VelaSummary(
            row["accelerator_configuration"].lower().replace("_", "-"),
            row["system_config"],
            float(row["core_clock"]),
            float(row["cycles_total"]),
            float(row["cycles_npu"]),
            {memory: float(row[f"cycles_{memory}_access"]) for memory in MEMORIES},
            {memory: float(row[f"{memory}_memory_used"]) * KIB for memory in MEMORIES},
        )
    except (StopIteration, KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"{source} is no summary of Vela's: {error!r}.",
            hint="Compile again with --synth; Vela 5.2 is known to work.",
        ) from None


def compiled_metrics(folder: Path) -> tuple[Metric, ...]:
    """What Vela has left in a folder; nothing where it was not run."""
    summary = folder / SUMMARY
    if not summary.is_file() or not (folder / COMPILED).is_file():
        return ()
    report = read_summary(summary.read_text(encoding="utf-8", errors="replace"), str(summary))
    low, high = report.band
    us = 1e6 / report.clock_hz
    note = f"{report.accelerator} in Vela's {report.system} at {report.clock_hz / 1e6:g} MHz"
    operators = read(folder / COMPILED).operators
    on_host = [op for op in operators if op.custom != CUSTOM_OP]
    estimates = (
        Metric("npu_cycles", report.cycles, "cycles", Origin.ESTIMATED, low, high,
               state=DesignState.NONE, tool=VELA.name, target=NAME, note=note),
        Metric("latency_us", report.cycles * us, "us", Origin.ESTIMATED, low * us, high * us,
               state=DesignState.NONE, tool=VELA.name, target=NAME, note=note),
    )  # fmt: skip
    used = {
        "sram_bytes": report.memory_bytes["sram"],
        "dram_bytes": report.memory_bytes["dram"],
        "flash_bytes": report.memory_bytes["on_chip_flash"] + report.memory_bytes["off_chip_flash"],
    }
    amounts = [(name, value, "B") for name, value in used.items()]
    amounts.append(("host_ops", len(on_host), ""))
    return (
        *estimates,
        *(
            Metric(
                name,
                value,
                unit,
                Origin.SYNTHESISED,
                state=DesignState.NONE,
                tool=VELA.name,
                target=NAME,
                note=note,
            )
            for name, value, unit in amounts
        ),
    )


def refused_operators(model: TfliteModel) -> tuple[Offence, ...]:
    """What Vela ends with an error for, where it leaves other operators to the processor."""
    offences = []
    for op in model.operators:
        weights = op.input(1)
        if op.name == "FULLY_CONNECTED" and weights is not None and len(weights.shape) == 2:
            reads = weights.shape[1]
            if reads > LONGEST_AXIS:
                reason = (
                    f"reads {reads:,} numbers; Vela takes at most {LONGEST_AXIS:,}, or a flattened "
                    f"image of at most {TALLEST_WINDOW} rows and {LARGEST_WINDOW:,} pixels"
                )
                offences.append(Offence(f"operator {op.index}", op.title, reason))
    return tuple(offences)


def host_operators(folder: Path) -> tuple[str, ...]:
    """The operators that Vela leaves to the processor beside the NPU."""
    operators = read(folder / COMPILED).operators
    return tuple(op.title for op in operators if op.custom != CUSTOM_OP)
