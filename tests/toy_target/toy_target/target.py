# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The toy target: everything that another package has to write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base.errors import Offence
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.plan import BuildPlan
from edgeinfer.ir import store
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import macs_of
from edgeinfer.ir.program import Program
from edgeinfer.targets.options import Settings, option
from edgeinfer.targets.registry import TargetEntry
from edgeinfer.targets.target import SampleProgress, Target, ignore_progress
from quantization.fixed import Ints

FEWER_IS_BETTER = {"beats": False}
ASSEMBLY, STORED = "program.asm", "program.npz"


@dataclass(frozen=True, slots=True)
class ToySettings(Settings):
    """How fast the machine is."""

    beat_ns: float = option(2.0, "the time of an operation in ns; 2 without it")


class ToyTarget(Target[ToySettings]):
    """One line of text for each op; a multiply-accumulate takes a beat, anything else takes one."""

    title = "Toy"
    about = "pseudo-assembly"
    stage = "toysim"
    stage_title = "toy simulation"
    figures = ("beats", "latency_us")
    directions = FEWER_IS_BETTER

    def check(self, program: Program, settings: ToySettings) -> tuple[Offence, ...]:
        return ()

    def emit(self, program: Program, settings: ToySettings) -> BuildPlan:
        lines = [f"{type(op).__name__.lower():<12} {op.name} {op.type}" for op in program.ops]
        text = "\n".join(lines) + "\n"
        return BuildPlan("toy", {ASSEMBLY: text.encode(), STORED: store.save(program)})

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: ToySettings,
        *,
        taps: Collection[str] = (),
        report_progress: SampleProgress = ignore_progress,
    ) -> dict[str, Ints]:
        emitted = store.load((folder / STORED).read_bytes(), STORED)
        values = interpret(emitted, raw)
        return {**results(emitted, values), **{tap: values[tap] for tap in taps}}

    def estimate(self, program: Program, settings: ToySettings) -> tuple[Metric, ...]:
        beats = float(sum(max(macs_of(op, program.shapes), 1) for op in program.ops))
        latency_us = beats * settings.beat_ns / 1000
        return (
            Metric("beats", beats, "", Origin.ESTIMATED, beats, beats,
                   state=DesignState.NONE, target="toy"),
            Metric(
                "latency_us", latency_us, "us", Origin.ESTIMATED, latency_us, latency_us,
                state=DesignState.NONE, target="toy",
            ),
        )  # fmt: skip


ENTRY = TargetEntry("toy_target.target:ToyTarget", "toy_target.target:ToySettings")
