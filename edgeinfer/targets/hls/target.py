# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS target: projects of hls4ml that compute what the Program says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.devices import device, find
from edgeinfer.base.errors import Offence
from edgeinfer.base.health import Check, Severity, check_tool
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan
from edgeinfer.base.reads import Reads
from edgeinfer.ir.plain_sites import spell_sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.energy import NAME as ENERGY
from edgeinfer.targets.energy import energy_metric
from edgeinfer.targets.hls.csim import build
from edgeinfer.targets.hls.csim import simulate as csim
from edgeinfer.targets.hls.estimate.describe import compare_reports, describe_design
from edgeinfer.targets.hls.estimate.estimate import UNITS, estimate_metrics
from edgeinfer.targets.hls.estimate.reuse_choice import choose_reuse
from edgeinfer.targets.hls.preflight import estimate_remarks, preflight
from edgeinfer.targets.hls.project import check, manifest
from edgeinfer.targets.hls.project.foreign import read_source
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.tools.bench import bench_of
from edgeinfer.targets.hls.tools.measured import read_measurements
from edgeinfer.targets.hls.tools.programs import MAKE, PROGRAMS
from edgeinfer.targets.hls.tools.project import NAME_IN
from edgeinfer.targets.hls.tools.run import synthesise
from edgeinfer.targets.hls.tools.steps import HlsStep
from edgeinfer.targets.lessons import RunLesson
from edgeinfer.targets.target import (
    Act,
    Advanced,
    Description,
    ForeignProject,
    Place,
    Said,
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
    "clock_ns",
    "clock_target_ns",
    "cosim_passed",
    "fmax_mhz",
    "ii_mean_cycles",
    "latency_mean_cycles",
    "m10k",
    "m9k",
    "mlab",
    "uram",
    "wns_ns",
)
COSIMULATED = 10  # samples that the circuit is simulated on: it takes minutes for each


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
        found = super().reads(act) | Reads(
            code=("edgeinfer.targets.energy",),
            text=("firmware/devices", "firmware/hls"),
            libraries=("hls4ml", "python"),
        )
        match act:
            case Act.SIMULATE:
                return found | Reads(programs=(tools.identity(build.CXX),))
            case Act.TOOLS:
                return found | Reads(programs=tuple(map(tools.identity, PROGRAMS)))
            case Act.EMIT | Act.ESTIMATE:
                return found

    def check(self, program: Program, settings: HlsSettings) -> tuple[Offence, ...]:
        """Every op that has no exact equal in a project, found before anything is made."""
        return check.without_layers(program) or check.offences(spell_sites(program), settings)

    def emit(self, program: Program, settings: HlsSettings) -> BuildPlan:
        """The project's files."""
        from edgeinfer.targets.hls.project.emit import emit_project

        check.refuse_early(program)
        return emit_project(spell_sites(program), settings)

    def simulates(self, settings: HlsSettings) -> bool:
        """Whether g++ alone compiles the backend's projects."""
        return settings.backend in build.TYPES

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: HlsSettings,
        *,
        taps: Collection[str] = (),
        advanced: Advanced = ignore_progress,
    ) -> dict[str, Ints]:
        """The C-simulation of the project in a folder, compiled where it was not before."""
        flat = spell_sites(program)
        return csim.simulate_project(flat, folder, raw, taps=taps, advanced=advanced)

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
        return (
            () if check.without_layers(program) else preflight(spell_sites(program), settings, part)
        )

    def estimate(self, program: Program, settings: HlsSettings) -> tuple[Metric, ...]:
        """Latency and resources on the settings' part, without any tool; nothing where the part is
        not known."""
        part = find(settings.part)
        check.refuse_early(program)
        if part is None:
            return ()
        flat = spell_sites(program)
        return (*estimate_metrics(flat, settings, part), energy_metric(flat, "hls"))

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
        energy = energy_metric(flat, "hls", toggles)
        said = (*findings, *estimate_remarks(flat, settings))
        return describe_design(flat, settings, part, said, (energy,))

    def read_project(self, path: Path, settings: HlsSettings) -> ForeignProject[HlsSettings] | None:
        """A project or a configuration file of hls4ml."""
        found = read_source(path, settings)
        return None if found is None else ForeignProject(found.model, found.recipe, found.settings)

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
        said: Said,
    ) -> ToolResult:
        """The vendor's tools, by the project's own scripts."""
        few = {name: values[:COSIMULATED] for name, values in raw.items()}
        bench = bench_of(spell_sites(program), few) if ToolStep.COSIM in steps else None
        wanted = [STEPS[step] for step in steps]
        done = synthesise(folder, settings, wanted, seconds, said, bench=bench)
        return ToolResult(
            tuple(
                f"{'+'.join(ran.steps)}: {ran.tool} {ran.version}, {ran.seconds:.0f} s, its log is "
                f"{ran.log.relative_to(folder)}"
                for ran in done.ran
            )
        )

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

    def check_tools(self, environment: Mapping[str, str]) -> tuple[Check, ...]:
        """A C++ compiler and make, which simulations need; the vendors' tools."""
        needed = (check_tool(tool, Severity.PROBLEM, environment) for tool in (build.CXX, MAKE))
        vendors = (check_tool(tool, Severity.OPTIONAL, environment) for tool in PROGRAMS)
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
        got: Mapping[str, Ints],
    ) -> Suspicion:
        """What in the project, or in the numbers, tells why a value differs."""
        from edgeinfer.targets.hls.csim.suspects import suspicion

        return suspicion(spell_sites(program), folder, settings, value, expected, got)
