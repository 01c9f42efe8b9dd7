# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What can be done with an emitted project, and the commands that do it.

Each session is one start of one tool in the project's folder. C synthesis and co-simulation share
a session, as the emitted build_prj.tcl means them to: co-simulation needs what was synthesised.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from edgeinfer.base import assets
from edgeinfer.base.errors import ToolMissingError, UsageError
from edgeinfer.base.tools import FoundTool, Tool, find
from edgeinfer.targets.hls.settings import Backend
from edgeinfer.targets.hls.tools import programs
from edgeinfer.targets.hls.tools.project import Project
from edgeinfer.targets.programs import VIVADO

ROUTE_SCRIPT = "firmware/hls/vivado_route.tcl"
ESTIMATE_STANDS = "Without it, the estimate of latency and resources stands."


class HlsStep(StrEnum):
    """What to do; in this order."""

    CSYNTH = "csynth"  # C to RTL, with the compiler's latency and resources
    COSIM = "cosim"  # the RTL simulated against the C test bench
    VSYNTH = "vsynth"  # RTL to gates, by the emitted vivado_synth.tcl
    ROUTE = "route"  # gates placed and routed at the clock asked for; Quartus does both at once


@dataclass(frozen=True, slots=True)
class Session:
    """One start of a tool: what it does, with which arguments, where, the reports of which at
    least one is there and new when it has worked, and what is written and removed beforehand."""

    steps: tuple[HlsStep, ...]
    tool: FoundTool
    arguments: tuple[str, ...]
    folder: Path
    reports: tuple[Path, ...]
    files: Mapping[Path, str] = field(default_factory=dict)
    outdated: tuple[Path, ...] = ()  # what was made of an earlier C synthesis

    @property
    def name(self) -> str:
        """The steps, as one word for messages and log files."""
        return "+".join(self.steps)


def sessions(
    emitted: Project,
    steps: Collection[HlsStep],
    clock_ns: float,
) -> tuple[Session, ...]:
    """The starts that do the steps, all tools found: an error before anything runs. The clock is
    in AMD's projects already; hls4ml's Makefile for i++ has none."""
    if not steps:
        raise UsageError(
            "No step of synthesis was asked for.", hint=f"Ask for {', '.join(HlsStep)}."
        )
    steps_asked = [step for step in HlsStep if step in steps]
    if {HlsStep.CSYNTH, HlsStep.COSIM} & set(steps_asked):
        _needs_bench(emitted)
    else:
        _needs_csynth(emitted)
    try:
        if emitted.backend is Backend.QUARTUS:
            return _intel(emitted, steps_asked, clock_ns)
        return _amd(emitted, steps_asked)
    except ToolMissingError as error:
        names = " and ".join(steps_asked)
        raise ToolMissingError(
            f"{names} of {emitted.folder}: {error.message}", hint=f"{error.hint}. {ESTIMATE_STANDS}"
        ) from None


def _needs_bench(emitted: Project) -> None:
    if not emitted.bench.is_file():
        raise UsageError(
            f"{emitted.folder}: there is no {emitted.bench.name}, which the project's build script "
            f"compiles: hls4ml writes no test bench for some designs, such as Quartus projects "
            f"with several outputs.",
            hint="Choose another backend, or write the test bench.",
        )


def _needs_csynth(emitted: Project) -> None:
    intel = emitted.backend is Backend.QUARTUS
    folder_made = emitted.intel / "quartus" if intel else emitted.solution / "syn" / "verilog"
    if not folder_made.is_dir():
        raise UsageError(
            f"{emitted.folder}: logic synthesis reads {folder_made}, which no C synthesis has "
            "made yet.",
            hint="Ask for C synthesis too.",
        )


def _amd(emitted: Project, steps_wanted: list[HlsStep]) -> tuple[Session, ...]:
    sessions_made = []
    high = tuple(step for step in steps_wanted if step in (HlsStep.CSYNTH, HlsStep.COSIM))
    if high:
        reports = tuple(emitted.csynth.with_suffix(suffix) for suffix in (".xml", ".rpt"))
        if HlsStep.COSIM in high:
            reports = (emitted.cosim,)
        options = _options(cosim=HlsStep.COSIM in high)
        tool, arguments = hls_call(emitted.backend, "build_prj.tcl")
        if emitted.backend is Backend.VITIS:
            files = {emitted.folder / "build_opt.tcl": _as_array(options)}
        else:
            # One argument, `synth` before `vsynth`: the script takes the first that ends so.
            words = " ".join(f"{name}={int(on)}" for name, on in options.items())
            arguments, files = (*arguments, words), {}
        outdated = (emitted.vivado, emitted.routed, emitted.routed_usage)
        sessions_made.append(
            Session(high, tool, arguments, emitted.folder, reports, files, outdated)
        )
    scripts = {
        HlsStep.VSYNTH: ("vivado_synth.tcl", emitted.vivado),
        HlsStep.ROUTE: (str(assets.path(ROUTE_SCRIPT).absolute()), emitted.routed),
    }
    for step in steps_wanted:
        if step in scripts:
            tool = find(VIVADO)
            source, report = scripts[step]
            arguments = ("-mode", "batch", "-nojournal", "-nolog", "-source", source)
            sessions_made.append(Session((step,), tool, arguments, emitted.folder, (report,)))
    return tuple(sessions_made)


def hls_call(backend: Backend, script: str) -> tuple[FoundTool, tuple[str, ...]]:
    """AMD's compiler for a backend, and how it is told to run a script."""
    if backend is not Backend.VITIS:
        return find(programs.VIVADO_HLS), ("-f", script)
    tool = _vitis()
    begin = ("-f",) if tool.tool is programs.VITIS_HLS else ("--mode", "hls", "--tcl")
    return tool, (*begin, script)


def _vitis() -> FoundTool:
    """Vitis HLS by either of its names: the older is known to run every emitted script."""
    first, second = programs.VITIS_HLS, programs.VITIS_RUN
    if not _is_chosen(first) and _is_chosen(second):
        first, second = second, first
    try:
        return find(first)
    except ToolMissingError:
        if _is_chosen(first):
            raise
    try:
        return find(second)
    except ToolMissingError:
        raise ToolMissingError(
            f"Vitis HLS is not here: neither {first.name} nor {second.name} is on the PATH, and "
            f"neither {first.override} nor {second.override} is set.",
            hint=f"Get it: {first.remedy}",
        ) from None


def _is_chosen(tool: Tool) -> bool:
    return bool(os.environ.get(tool.override))


def _options(cosim: bool) -> dict[str, bool]:
    """The emitted script's switches, in its own order. Co-simulation compares its outputs with
    those of the C simulation, which so runs too."""
    return {
        "reset": True,
        "csim": cosim,
        "synth": True,
        "cosim": cosim,
        "validation": cosim,
        "export": False,
        "vsynth": False,
        "fifo_opt": False,
    }


def _as_array(options: Mapping[str, bool]) -> str:
    lines = "".join(f"    {name:<10} {int(on)}\n" for name, on in options.items())
    return f"array set opt {{\n{lines}}}\n"


def _intel(
    emitted: Project,
    steps_wanted: list[HlsStep],
    clock_ns: float,
) -> tuple[Session, ...]:
    library = emitted.intel / "reports" / "lib"
    quartus = emitted.intel / "quartus"
    sessions_made = []
    if HlsStep.CSYNTH in steps_wanted or HlsStep.COSIM in steps_wanted:
        compiler = find(programs.INTEL_HLS)
        make = find(programs.MAKE)
        flags = f"CXXFLAGS=-march=$(DEVICE) --clock {clock_ns:g}ns"
        words = (emitted.program.name, f"CXX={compiler.path}", flags, "LOGGING_1=-v")
        driven = FoundTool(programs.INTEL_HLS, make.path, compiler.version)
        reports = (library / "report_data.js", library / "json" / "area.json")
        sessions_made.append(Session((HlsStep.CSYNTH,), driven, words, emitted.folder, reports))
    if HlsStep.COSIM in steps_wanted:
        bench = Tool(emitted.program.name, "", "the co-simulation", "C synthesis")
        simulated = (library / "verification_data.js",)
        tool = FoundTool(bench, emitted.program.absolute(), "")
        sessions_made.append(Session((HlsStep.COSIM,), tool, (), emitted.folder, simulated))
    low = tuple(step for step in steps_wanted if step in (HlsStep.VSYNTH, HlsStep.ROUTE))
    if low:
        tool = find(programs.QUARTUS)
        arguments = ("--flow", "compile", "quartus_compile")
        summary = "quartus_compile.fit.summary"
        fitted = (
            library / "json" / "quartus.json",
            library / "quartus_data.js",
            quartus / summary,
            quartus / "output_files" / summary,
        )
        sessions_made.append(Session(low, tool, arguments, quartus, fitted))
    return tuple(sessions_made)
