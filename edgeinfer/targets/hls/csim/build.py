# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The C-simulation of an emitted project as a program: compiled once for each content.

Its one translation unit is the project's own source between a reader and a writer of raw integers.
The program appears under a name made of the content of all that it was compiled from, complete or
not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base import assets, plan, tools
from edgeinfer.base.code import fill_template
from edgeinfer.base.errors import InputError, ToolFailedError, ToolMissingError, UsageError
from edgeinfer.base.names import Identifier, Operand, OwnText, Variable
from edgeinfer.base.scratch import cache_home, scratch_folder
from edgeinfer.base.tools import Tool
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.manifest import Manifest, TopPort
from edgeinfer.targets.hls.project.spec import pascal_case
from edgeinfer.targets.hls.settings import Backend, IoType

CXX = Tool("g++", "EDGEINFER_CXX", "C++ compiler for C-simulation", "apt-get install g++")
TEMPLATES = "firmware/hls/csim"
TYPES = {
    Backend.VITIS: "ap",
    Backend.VIVADO: "ap",
    Backend.QUARTUS: "ac",
    Backend.CATAPULT: "catapult",  # types as Quartus's, arrays and weights as Vivado's
    Backend.ONEAPI: "oneapi",  # types as Quartus's, between pipes of SYCL
    Backend.LIBERO: "libero",  # types as Vivado's by other names, arrays in FIFOs
}
SHIPPED = {  # fixed-point types that hls4ml has, but does not put into projects that have others
    "oneapi": "templates/catapult/ac_types/include",
    "libero": "templates/vivado/ap_types",
}
# C++20 defines the shift of a negative number.
STANDARD = {
    "ap": "-std=c++20",
    "ac": "-std=c++14",
    "catapult": "-std=c++17",
    "oneapi": "-std=c++17",
    "libero": "-std=c++20",
}
FLAGS = ("-O2", "-w", "-fwrapv", "-fno-strict-aliasing", "-pthread")
# ap_fixed cuts a number to its width through a volatile member, against a fault of clang 7, so that
# every operation goes through memory. g++ needs no such help, and is four times as fast without it.
CUT, PLAIN_CUT = "clearUnusedBits(void) volatile", "clearUnusedBits(void)"
CUTTING = "etc/ap_private.h"
COMPILE_SECONDS = 3600.0
PLACE = "csim"  # the program's folder, below the project's


@dataclass(frozen=True, slots=True)
class CompiledCsim:
    """A compiled C-simulation."""

    program: Path
    seconds: float  # of compiling; 0 where it was there
    cached: bool
    compiler: str


def build_csim(folder: Path) -> CompiledCsim:
    """Compile the project in a folder, unless the same content has been compiled there before."""
    return build_together([folder], folder / PLACE)


def build_together(
    folders: Sequence[Path], place: Path, flags: Sequence[str] | None = None
) -> CompiledCsim:
    """Compile several projects of one backend, each in a namespace of its own, into one program."""
    projects = [manifest.read(folder) for folder in folders]
    types = TYPES[projects[0].backend]
    source = main_text(projects, folders, types)
    places = [folder / project.firmware for folder, project in zip(folders, projects, strict=True)]
    return _compile(source, places, (), types, place, "csim", FLAGS if flags is None else flags)


def build_source(
    folder: Path, source: str, includes: Sequence[Path], types: str, kind: str
) -> Path:
    """Compile a source of another kind around a project, with more folders of what it includes."""
    sources = [folder / manifest.read(folder).firmware]
    return _compile(source, sources, includes, types, folder / PLACE, kind, FLAGS).program


def _compile(
    source: str,
    sources: Sequence[Path],
    includes: Sequence[Path],
    types: str,
    place: Path,
    kind: str,
    flags: Sequence[str],
) -> CompiledCsim:
    compiler = tools.find(CXX)
    flags = (STANDARD[types], *flags)
    key = _key(sources, source, types, [compiler.version, *flags], includes)
    program = place / f"{kind}-{key[:16]}"
    version = f"g++ {compiler.version}"
    if _is_ours(program):
        return CompiledCsim(program, 0.0, True, version)
    with scratch_folder("csim") as scratch:
        searched = [*include_folders(sources[0], types, scratch), *includes]
        main = scratch / "main.cpp"
        plan.write_file(main, source)
        with plan.stage_file(program) as partial:
            done = tools.run(
                compiler,
                [
                    *flags,
                    *(f"-I{path.resolve()}" for path in searched),
                    main,
                    "-o",
                    partial.resolve(),
                ],
                seconds=COMPILE_SECONDS,
                folder=scratch,
                log=place / "compile.log",
            )
    _remember(program)
    for stale in place.glob(f"{kind}-*"):
        if stale != program:
            with contextlib.suppress(OSError):
                stale.unlink()
    return CompiledCsim(program, done.seconds, False, version)


def _digest_path(program: Path) -> Path:
    """Where this machine keeps the digest of a program that it has compiled. Projects of the same
    content in two folders have a program each, and these are not the same to the byte."""
    place = hashlib.sha256(str(program.resolve()).encode()).hexdigest()
    return cache_home() / "csim" / f"{program.name}-{place[:16]}"


def _is_ours(program: Path) -> bool:
    """Whether a program in a project's folder, which may be anyone's, is the one that was compiled
    here of this content."""
    try:
        return program.is_file() and _digest_path(program).read_text() == plan.sha256_of(program)
    except OSError:
        return False


def _remember(program: Path) -> None:
    with contextlib.suppress(ToolFailedError):  # without a cache it is compiled again next time
        plan.write_file(_digest_path(program), plan.sha256_of(program))


def main_text(projects: Sequence[Manifest], folders: Sequence[Path], types: str) -> str:
    """The source around the projects' own."""
    try:
        return _main_text(projects, folders, types)
    except ValueError as error:
        raise InputError(
            f"{folders[0]} does not describe one of our projects: {error}",
            hint="Compile the model again.",
        ) from None


def _main_text(projects: Sequence[Manifest], folders: Sequence[Path], types: str) -> str:
    alone = len(projects) == 1
    networks = [
        {
            "folder": OwnText("") if alone else include_path(folder / project.firmware),
            "key": Identifier(project.key),
            "project": Identifier(project.project),
            "kernel": Identifier(pascal_case(project.project)),
            "namespace": None if project.namespace is None else Identifier(project.namespace),
            "streams": project.io is IoType.STREAM,
            "inputs": [_port(port) for port in project.inputs],
            "outputs": [_port(port) for port in (*project.outputs, *project.counters)],
            "layers": [
                {"layer": Identifier(layer.layer), "size": layer.size} for layer in project.layers
            ],
            "weights": [
                {
                    "variable": Identifier(weight.variable),
                    "type_name": Operand(weight.type_name),
                    "guard": Identifier(f"{weight.variable.upper()}_H_"),
                    "size": int(weight.size),
                }
                for weight in project.weights
            ],
        }
        for project, folder in zip(projects, folders, strict=True)
    ]
    weights = {weight.variable for project in projects for weight in project.weights}
    names = {project.project for project in projects}
    guards = [Identifier(f"{name.upper()}_H_") for name in sorted(weights | names)]
    template_values = {
        "networks": networks,
        "types": Identifier(types),
        "header": Identifier("ap" if types in ("ap", "libero") else "ac"),
        "guards": guards,
    }
    return fill_template(f"{TEMPLATES}/main.cpp.j2", template_values)


def _port(port: TopPort) -> dict[str, Any]:
    return {
        "variable": Variable(port.variable),
        "pipe": Variable(f"{pascal_case(port.variable)}Pipe"),
        "type_name": Operand(port.type_name),
        "array_type": Operand(f"{port.type_name.removesuffix('_t')}_array_t"),
        "size": port.size,
    }


def include_path(folder: Path) -> OwnText:
    """A folder as `#include` takes it, which has no way to write a quote."""
    path = folder.resolve().as_posix()
    if not path.isprintable() or '"' in path or "\\" in path:
        raise UsageError(
            f"{path!r}: a C++ compiler cannot include files from a folder of this name.",
            hint="Choose a folder without quotes, backslashes and line breaks in its name.",
        )
    return OwnText(f"{path}/")


def include_folders(firmware: Path, types: str, scratch: Path) -> list[Path]:
    """Where the compiler finds headers: the project's, its types', and ours."""
    return [firmware, *_type_folders(firmware, types, scratch), *_own_folders(types)]


def _own_folders(types: str) -> list[Path]:
    """Our headers; where a vendor's are not to be had, those that stand in for them."""
    own = assets.path(TEMPLATES)
    return [own, own / types] if types in SHIPPED else [own]


def _type_folders(firmware: Path, types: str, scratch: Path) -> list[Path]:
    """The project's fixed-point types, those of ap_fixed as a copy that g++ can optimise."""
    if types == "oneapi":
        return [_shipped_types(types)]
    folders = [path for path in (firmware / "ac_types",) if path.is_dir()]
    folders += [
        path
        for name in ("ac_types", "ac_math", "ac_simutils")
        if (path := firmware / name / "include").is_dir()
    ]
    source = _shipped_types(types) if types == "libero" else firmware / "ap_types"
    if not source.is_dir():
        return folders
    copy = scratch / "ap_types"
    shutil.copytree(source, copy)
    header = copy / CUTTING
    header.write_text(header.read_text(encoding="utf-8").replace(CUT, PLAIN_CUT), encoding="utf-8")
    return [copy, *folders]


def _shipped_types(types: str) -> Path:
    """Where hls4ml keeps them."""
    spec = importlib.util.find_spec("hls4ml")
    if spec is None or spec.origin is None:
        raise ToolMissingError(
            "This C-simulation needs hls4ml, which is not installed.",
            hint="Install it with: pip install hls4ml",
        )
    return Path(spec.origin).parent / SHIPPED[types]


def _key(
    folders: Sequence[Path], source: str, types: str, options: list[str], includes: Sequence[Path]
) -> str:
    """The content hash of all that is compiled. Weights that are read at run time are not."""
    state = hashlib.sha256("\n".join([*options, source]).encode())
    shipped = sorted(assets.path(TEMPLATES).glob("*.h"))
    shipped += sorted(path for folder in includes for path in folder.glob("*.cpp"))
    if types in SHIPPED:
        shipped += sorted((assets.path(TEMPLATES) / types).rglob("*.hpp"))
        shipped += sorted(_shipped_types(types).rglob("*.h"))
    for folder in folders:
        parts = sorted(path for path in folder.rglob("*") if path.is_file())
        if types != "ac":
            read = ".txt" if types != "oneapi" else ".h"
            parts = [path for path in parts if path.parent.name != "weights" or path.suffix != read]
        for path in [*parts, *shipped]:
            state.update(f"{path.name} {plan.sha256_of(path)} ".encode())
    return state.hexdigest()
