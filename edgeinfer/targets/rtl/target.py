# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The RTL target: a design of streaming blocks, its simulation, its cycles."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from edgeinfer.base.errors import InputError, Offence, ProgramError, UsageError, did_you_mean
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan
from edgeinfer.ir.interpret import fitting_inputs
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl import check
from edgeinfer.targets.rtl.board.shell_files import shell_files
from edgeinfer.targets.rtl.choose import designed
from edgeinfer.targets.rtl.design.cycles import counted
from edgeinfer.targets.rtl.design.metrics import cycle_metrics, weight_metrics
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.design.prepare import prepared
from edgeinfer.targets.rtl.emit.emit import HDL, files_of, module_of, top_file
from edgeinfer.targets.rtl.emit.manifest import manifest
from edgeinfer.targets.rtl.emit.testbench import testbench
from edgeinfer.targets.rtl.estimate.estimate import resource_metrics
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.measure import measured
from edgeinfer.targets.rtl.tools.simulate import Conditions, Observed, run
from edgeinfer.targets.rtl.tools.synthesis import Progress, silent
from edgeinfer.targets.rtl.tools.vivado import vivado_files
from edgeinfer.targets.target import Advanced, Done, Place, Said, Suspicion, ToolStep
from quantization.fixed import Ints


class RtlTarget:
    """Verilog of our own."""

    name = "rtl"

    def check(self, program: Program, settings: RtlSettings) -> tuple[Offence, ...]:
        """Every op for which there is no block, and whether the weights fit."""
        try:
            folded = prepared(program)
        except ProgramError as error:  # a softmax's parts may need more bits than it does
            return (Offence(program.name, "Softmax", error.message),)
        return check.offences(folded, settings)

    def emit(self, program: Program, settings: RtlSettings) -> BuildPlan:
        """The design's files."""
        folded = self._checked(program, settings)
        folding, netlist = designed(folded, settings)
        cycles = counted(netlist)
        told = manifest(program, folding, netlist, cycles, settings.clock_mhz)
        also = testbench(folded, netlist, cycles)
        also |= vivado_files(module_of(netlist), part_of(settings), settings)
        if settings.board is not None:
            also |= shell_files(folded, netlist, settings.board)
        return files_of(netlist, told, also)

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: RtlSettings,
        *,
        taps: Collection[str] = (),
        advanced: Advanced = lambda done, total: None,
    ) -> dict[str, Ints]:
        """Run the folder's design on all samples, cycle by cycle, with gaps at the inputs, with
        back-pressure at the outputs and after a reset in the midst of a frame."""
        observed = self.observe(program, folder, raw, settings, taps=taps)
        count = len(next(iter(raw.values())))
        advanced(count, count)
        return {**observed.outputs, **observed.taps}

    def observe(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: RtlSettings,
        *,
        taps: Collection[str] = (),
    ) -> Observed:
        """The same, with the cycle of every beat."""
        folded = self._checked(program, settings)
        given = fitting_inputs(folded, raw)
        if not all(len(values) for values in given.values()):
            raise InputError(f"There are no samples to simulate {program.name} with.")
        netlist = self._emitted(folded, folder, settings)
        for tap in taps:
            if tap not in netlist.values:
                raise UsageError(
                    f"No stream of {program.name} carries a value %{tap} that could be tapped.",
                    hint=did_you_mean(tap, netlist.values),
                )
        cycles = counted(netlist)
        conditions = Conditions(
            settings.gaps,
            settings.seed,
            reset_after=max(cycles.latency // 2, 1),
            waveform=folder / "sim" / "waveform.vcd" if settings.waveform else None,
        )
        return run(netlist, folded, folder, given, conditions, sorted(set(taps)), cycles.latency)

    def estimate(self, program: Program, settings: RtlSettings) -> tuple[Metric, ...]:
        """Cycles, which are exact, and what follows from them at the clock that is asked for;
        resources as Yosys will find them, with their bands."""
        folded = self._checked(program, settings)
        folding, netlist = designed(folded, settings)
        cycles = counted(netlist)
        return (
            *cycle_metrics(folded, netlist, cycles, settings.clock_mhz),
            *weight_metrics(folded, folding),
            *resource_metrics(netlist, part_of(settings)),
        )

    def measure(
        self, folder: Path, settings: RtlSettings, progress: Progress = silent
    ) -> tuple[Metric, ...]:
        """Resources by Yosys and, if the settings ask for it, the clock that nextpnr reaches."""
        return measured(folder, settings, progress).metrics

    def place_of(self, settings: RtlSettings) -> Place:
        """The settings' part."""
        part = part_of(settings)
        return Place(part.part, part)

    def tool_steps(self, settings: RtlSettings) -> tuple[ToolStep, ...]:
        """Logic synthesis; place and route."""
        return (ToolStep.SYNTH, ToolStep.ROUTE)

    def unasked_steps(self, settings: RtlSettings) -> tuple[ToolStep, ...]:
        """None: they take minutes."""
        return ()

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: RtlSettings,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        said: Said,
    ) -> Done:
        """Open tools, or the vendor's where they are; routing also packs a bitstream."""
        limited = replace(settings, route=ToolStep.ROUTE in steps, tool_seconds=seconds)
        taken = measured(folder, limited, said)
        if taken.bitstream is None:
            return Done((), taken.metrics)
        return Done((f"The bitstream is {taken.bitstream.relative_to(folder)}.",), taken.metrics)

    def tappable(self, program: Program, folder: Path, settings: RtlSettings) -> tuple[str, ...]:
        """The values that streams of the design carry."""
        _, netlist = designed(self._checked(program, settings), settings)
        return tuple(op.name for op in program.ops if op.name in netlist.values)

    def suspect(
        self,
        program: Program,
        folder: Path,
        settings: RtlSettings,
        value: str,
        expected: Mapping[str, Ints],
        got: Mapping[str, Ints],
    ) -> Suspicion:
        """A file that is not as it was emitted; else the value's own block."""
        edited = [
            name
            for name, content in self.emit(program, settings).files.items()
            if not (folder / name).is_file() or (folder / name).read_bytes() != content
        ]
        if edited:
            cause = f"{', '.join(edited[:3])} not as emitted"
        else:
            cause = f"all files are as emitted, so the block that makes %{value} is at fault"
        return Suspicion(str(program.type(value)), cause)

    def _checked(self, program: Program, settings: RtlSettings) -> Program:
        found = self.check(program, settings)
        if found:
            listed = "; ".join(map(str, found))
            raise ProgramError(
                f"{program.name}: what the RTL target has no equal for: {listed}.",
                hint="Change the model or the budget, or choose another target.",
            )
        return prepared(program)

    def _emitted(self, program: Program, folder: Path, settings: RtlSettings) -> Netlist:
        """The design that lies in the folder; an error if another does."""
        _, netlist = designed(program, settings)
        want = files_of(netlist, {}).files[top_file(netlist)]
        path = folder / top_file(netlist)
        if not path.is_file() or path.read_bytes() != want:
            raise UsageError(
                f"{folder / HDL} does not hold the design of {program.name} with these settings.",
                hint="Compile the model again.",
            )
        return netlist
