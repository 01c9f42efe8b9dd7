# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS target: projects of hls4ml that compute what the Program says."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.devices import device, find
from edgeinfer.base.errors import Offence
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan
from edgeinfer.base.reads import Reads
from edgeinfer.ir.engine.left_out import check_left_out
from edgeinfer.ir.interpret import fitting_inputs
from edgeinfer.ir.plain_sites import spell_sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import zynq_board
from edgeinfer.targets.boards.wrapper import vivado_finding
from edgeinfer.targets.energy import NAME as ENERGY
from edgeinfer.targets.energy import energy_at_sites, energy_metric
from edgeinfer.targets.hls.csim import build
from edgeinfer.targets.hls.csim import simulate as csim
from edgeinfer.targets.hls.estimate.describe import (
    compare_reports,
    describe_design,
    energies_of,
)
from edgeinfer.targets.hls.estimate.estimate import UNITS, estimate_metrics
from edgeinfer.targets.hls.estimate.reuse_choice import choose_reuse
from edgeinfer.targets.hls.preflight import estimate_remarks, preflight
from edgeinfer.targets.hls.project import check, manifest
from edgeinfer.targets.hls.project.foreign import read_source
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.sparse.rewrite import tokens_of
from edgeinfer.targets.hls.tools.bench import bench_of
from edgeinfer.targets.hls.tools.measured import read_measurements
from edgeinfer.targets.hls.tools.programs import MAKE, PROGRAMS
from edgeinfer.targets.hls.tools.project import NAME_IN
from edgeinfer.targets.hls.tools.run import synthesise
from edgeinfer.targets.hls.tools.steps import HlsStep
from edgeinfer.targets.lessons import RunLesson
from edgeinfer.targets.power import NAMES as POWER_NAMES
from edgeinfer.targets.target import (
    Act,
    BoardReply,
    Description,
    ForeignProject,
    Place,
    ProgressReport,
    SampleProgress,
    Suspicion,
    Target,
    ToolResult,
    ToolStep,
    ignore_progress,
)
from quantization.fixed import Ints

STEPS = {
    ToolStep.SYNTH: HlsStep.CSYNTH,
    ToolStep.COSIM: HlsStep.COSIM,
    ToolStep.VSYNTH: HlsStep.VSYNTH,
    ToolStep.ROUTE: HlsStep.ROUTE,
}
FIGURES = (  # of estimates, and of reports of C synthesis, co-simulation, synthesis and routing
    *UNITS,
    ENERGY,
    "board_clock_mhz",
    "board_throughput",
    *POWER_NAMES,
    "clock_ns",
    "clock_target_ns",
    "cosim_passed",
    "fmax_mhz",
    "ii_mean_cycles",
    "latency_mean_cycles",
    "m9k",
    "mlab",
    "uram",
    "wns_ns",
)
COSIMULATED = 10  # samples that the circuit is simulated on: it takes minutes for each

WRAPPER_TEXT = tuple(f"firmware/rtl/{name}" for name in ("axi", "boards", "deploy", "synth"))


class HlsTarget(Target[HlsSettings]):
    """Projects for Vitis, Vivado, Quartus and their kin."""

    title = "HLS"
    about = "an hls4ml project"
    stage = "csim"
    stage_title = "C simulation"
    leaves_reports = True
    figures = FIGURES

    def reads(self, act: Act) -> Reads:
        """The headers and templates that ship, hls4ml, which writes projects, and the compiler."""
        sources = super().reads(act) | Reads(
            code=(
                "edgeinfer.targets.boards",
                "edgeinfer.targets.energy",
                "edgeinfer.targets.power",
            ),
            text=("firmware/devices", "firmware/hls"),
            libraries=("hls4ml", "python"),
        )
        match act:
            case Act.SIMULATE:
                return sources | Reads(programs=(tools.identity(build.CXX),))
            case Act.TOOLS:
                return sources | Reads(programs=tuple(map(tools.identity, PROGRAMS)))
            case Act.EMIT | Act.ESTIMATE:
                return sources

    def check(self, program: Program, settings: HlsSettings) -> tuple[Offence, ...]:
        """Every op that has no exact equal in a project, found before anything is made."""
        return check.offences(spell_sites(program), settings)

    def emit(self, program: Program, settings: HlsSettings) -> BuildPlan:
        """The project's files."""
        from edgeinfer.targets.hls.project.emit import emit_project

        flat = spell_sites(program)
        plan = emit_project(flat, settings)
        if settings.board is None:
            return plan
        from edgeinfer.targets.hls.board.files import board_files

        text = plan.files[manifest.NAME].decode()
        project = manifest.parse_manifest(text, Path(manifest.NAME))
        beside = board_files(flat, project, settings, zynq_board(settings.board))
        return BuildPlan(plan.name, {**plan.files, **beside}, plan.findings)

    def reads_for(self, settings: HlsSettings) -> Reads:
        """What goes around a project on a board is that of our own designs."""
        if settings.board is None:
            return Reads()
        return Reads(text=WRAPPER_TEXT)

    def has_board(self, settings: HlsSettings) -> bool:
        """Whether the project has registers and DMA for a board."""
        return settings.board is not None

    def ask_board(
        self,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: HlsSettings,
        *,
        port: str | None = None,
        simulated: bool = False,
        report_progress: SampleProgress = ignore_progress,
    ) -> BoardReply:
        """Frames by DMA to the board with the folder's project; simulated, by the C simulation of
        what becomes the IP."""
        from edgeinfer.targets.boards.driver import ask_driver, ask_real, refuse_port
        from edgeinfer.targets.hls.board.core import simulated_core

        on = zynq_board(settings.board or "")
        refuse_port(on, port)
        if not simulated:
            return ask_real(folder, on, raw, report_progress)
        where = f"the {on.title}, its logic by C simulation behind the DMAs"
        return ask_driver(folder, simulated_core(folder), where, raw, report_progress, timed=False)

    def load_board(self, folder: Path, settings: HlsSettings, report: ProgressReport) -> str:
        """The driver on the board does it."""
        from edgeinfer.targets.boards.driver import loading_refusal

        raise loading_refusal(folder, zynq_board(settings.board or ""))

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: HlsSettings,
        *,
        taps: Collection[str] = (),
        report_progress: SampleProgress = ignore_progress,
    ) -> dict[str, Ints]:
        """The C-simulation of the project in a folder, compiled where it was not before."""
        flat = spell_sites(program)
        values = csim.simulate_project(
            flat, folder, raw, taps=taps, report_progress=report_progress
        )
        counters = manifest.read(folder).counters
        if counters:
            counted = {port.value: int(values[port.name].sum()) for port in counters}
            check_left_out(flat, fitting_inputs(flat, raw), counted)
        return values

    def place_of(self, settings: HlsSettings) -> Place:
        """The settings' part."""
        return Place(settings.part, find(settings.part))

    def settle(self, program: Program, settings: HlsSettings) -> HlsSettings:
        """With reuse factors that meet the goal, if the settings state one."""
        if settings.latency_us is None and not settings.fit:
            return settings
        part = device(settings.part)
        return choose_reuse(
            spell_sites(program), settings, part, latency_us=settings.latency_us
        ).settings

    def advise(self, program: Program, settings: HlsSettings) -> tuple[str, ...]:
        """What would go wrong in the tools; of a part that is not known, only that."""
        part = find(settings.part)
        if part is None:
            return (
                f"Nothing is known of the part {settings.part}, so nothing was estimated. "
                f"edgeinfer devices lists the known ones.",
            )
        findings = preflight(spell_sites(program), settings, part)
        if settings.board is None:
            return findings
        on = zynq_board(settings.board)
        return (*findings, vivado_finding(on, 1000 / settings.clock_ns))

    def estimate(self, program: Program, settings: HlsSettings) -> tuple[Metric, ...]:
        """Latency and resources on the settings' part, without any tool; nothing where the part is
        not known."""
        part = find(settings.part)
        if part is None:
            return ()
        flat = spell_sites(program)
        metrics = estimate_metrics(flat, settings, part)
        return (
            *metrics,
            *energies_of(metrics, _energy(flat, settings), settings.clock_ns, part),
        )

    def describe_estimate(
        self,
        program: Program,
        settings: HlsSettings,
        findings: tuple[str, ...],
        toggles: float | None = None,
    ) -> Description | None:
        """Layer by layer, and of what share of the part; nothing where the part is not known."""
        part = find(settings.part)
        if part is None:
            return None
        flat = spell_sites(program)
        energy = _energy(flat, settings, toggles)
        all_findings = (*findings, *estimate_remarks(flat, settings))
        return describe_design(flat, settings, part, all_findings, energy)

    def read_project(self, path: Path, settings: HlsSettings) -> ForeignProject[HlsSettings] | None:
        """A project or a configuration file of hls4ml."""
        source = read_source(path, settings)
        if source is None:
            return None
        return ForeignProject(source.model, source.recipe, source.settings, source.remarks)

    def tool_steps(self, settings: HlsSettings) -> tuple[ToolStep, ...]:
        """All, for backends whose tools are driven from here."""
        return tuple(STEPS) if settings.backend in NAME_IN else ()

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: HlsSettings,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        report: ProgressReport,
    ) -> ToolResult:
        """The vendor's tools, by the project's own scripts; what is routed for a board is the block
        design that goes onto it."""
        routed = settings.board is not None and ToolStep.ROUTE in steps
        vendor_steps = [STEPS[step] for step in steps if not (routed and step is ToolStep.ROUTE)]
        began = time.monotonic()
        lines: tuple[str, ...] = ()
        if vendor_steps:
            few = {name: values[:COSIMULATED] for name, values in raw.items()}
            bench = bench_of(spell_sites(program), few) if ToolStep.COSIM in steps else None
            done = synthesise(folder, settings, vendor_steps, seconds, report, bench=bench)
            lines = tuple(
                f"{'+'.join(ran.steps)}: {ran.tool} {ran.version}, {ran.seconds:.0f} s, its log is "
                f"{ran.log.relative_to(folder)}"
                for ran in done.ran
            )
        if not routed:
            return ToolResult(lines)
        from edgeinfer.targets.hls.board.tools import make_bitstream

        bitstream = make_bitstream(folder, settings, seconds - (time.monotonic() - began), report)
        return replace(bitstream, lines=(*lines, *bitstream.lines))

    def reports(self, folder: Path, settings: HlsSettings) -> tuple[Metric, ...]:
        """What reports of the vendor's tools are in an emitted project."""
        return read_measurements(folder, settings) if settings.backend in NAME_IN else ()

    def lessons(
        self, program: Program, folder: Path, settings: HlsSettings
    ) -> tuple[RunLesson, ...]:
        """C synthesis' and logic synthesis' figures of the design, beside the estimate's."""
        part = find(settings.part)
        if part is None:
            return ()
        return compare_reports(spell_sites(program), self.reports(folder, settings), settings, part)

    def check_tools(self) -> tuple[Check, ...]:
        """A C++ compiler and make, which simulations need; the vendors' tools."""
        needed = (check_tool(tool, Severity.PROBLEM) for tool in (build.CXX, MAKE))
        vendors = (check_tool(tool, Severity.OPTIONAL) for tool in PROGRAMS)
        return (*needed, *vendors)

    def tappable(self, program: Program, folder: Path, settings: HlsSettings) -> tuple[str, ...]:
        """The values that layers of the project hold."""
        return csim.tappable(program, manifest.read(folder))

    def suspect(
        self,
        program: Program,
        folder: Path,
        settings: HlsSettings,
        value: str,
        expected: Mapping[str, Ints],
        actual: Mapping[str, Ints],
    ) -> Suspicion:
        """What in the project, or in the numbers, tells why a value differs."""
        from edgeinfer.targets.hls.csim.suspects import suspicion

        return suspicion(spell_sites(program), folder, settings, value, expected, actual)


def _energy(program: Program, settings: HlsSettings, toggles: float | None = None) -> Metric:
    """The energy of a project's arithmetic, in tokens at the most sites of a frame."""
    energy = energy_metric(program, "hls", toggles)
    if settings.sparse == "frames":
        return energy
    return energy_at_sites(energy, tokens_of(program).macs / program.macs)
