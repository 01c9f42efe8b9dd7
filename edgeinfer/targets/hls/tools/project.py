# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where a project that hls4ml emitted keeps what: its name, its layers, the tools' folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base.errors import InputError
from edgeinfer.targets.hls.settings import Backend

SOLUTION = "solution1"  # as the emitted build_prj.tcl names it
NAME_IN = {  # the emitted file that states the project's name, and how
    Backend.VITIS: ("project.tcl", r'^\s*set\s+project_name\s+"([\w.-]+)"'),
    Backend.VIVADO: ("project.tcl", r'^\s*set\s+project_name\s+"([\w.-]+)"'),
    Backend.QUARTUS: ("build_lib.sh", r"^\s*PROJECT=([\w.-]+)"),
}
LAYER_CALL = re.compile(r"config(\d+)>\(.*;\s*//\s*(\S+)")
CONFIG = re.compile(r"config(\d+)(?=_|$)")


@dataclass(frozen=True, slots=True)
class Project:
    """An emitted folder. `layers` maps the number in a layer's configuration to its name."""

    folder: Path
    name: str
    backend: Backend
    layers: Mapping[str, str]

    @property
    def solution(self) -> Path:
        """Where Vivado HLS and Vitis HLS work: another solution only where it is the only one."""
        usual = self.folder / f"{self.name}_prj" / SOLUTION
        others = sorted(path.parent for path in usual.parent.glob("*/syn"))
        return others[0] if len(others) == 1 else usual

    @property
    def csynth(self) -> Path:
        """The stem of the C synthesis reports, to which `.xml` and `.rpt` are added."""
        return self.solution / "syn" / "report" / f"{self.name}_csynth"

    @property
    def tree(self) -> Path:
        """Vitis HLS's summary of all modules."""
        return self.solution / "syn" / "report" / "csynth.rpt"

    @property
    def cosim(self) -> Path:
        """The co-simulation report."""
        return self.solution / "sim" / "report" / f"{self.name}_cosim.rpt"

    @property
    def transactions(self) -> Path:
        """The co-simulated samples one by one."""
        name = f"{self.name}.performance.result.transaction.xml"
        return self.solution / "sim" / "verilog" / name

    @property
    def bench(self) -> Path:
        """The C++ test bench."""
        return self.folder / f"{self.name}_test.cpp"

    @property
    def vivado(self) -> Path:
        """The utilization report of the emitted vivado_synth.tcl."""
        return self.folder / "vivado_synth.rpt"

    @property
    def routed(self) -> Path:
        """The timing report that is the last thing firmware/hls/vivado_route.tcl does."""
        return self.folder / "vivado_route_timing.rpt"

    @property
    def routed_usage(self) -> Path:
        """The utilization report of the same script."""
        return self.folder / "vivado_route_utilization.rpt"

    @property
    def program(self) -> Path:
        """The program that i++ makes: run, it co-simulates."""
        return self.folder / f"{self.name}-fpga"

    @property
    def intel(self) -> Path:
        """Where i++ works."""
        return self.folder / f"{self.name}-fpga.prj"

    def layer_of(self, module: str) -> str:
        """The layer that a module or an instance is, by the configuration in its name; its own
        name where it is none of the layers."""
        numbers = CONFIG.findall(module)
        return self.layers.get(numbers[-1], module) if numbers else module


def project(folder: Path, backend: Backend) -> Project:
    """Read what an emitted folder says of itself; an error where it is none."""
    if backend not in NAME_IN:
        raise InputError(
            f"{folder}: reports of {backend} projects are not read, nor its tools run.",
            hint=f"Choose one of {', '.join(NAME_IN)}.",
        )
    file, pattern = NAME_IN[backend]
    path = folder / file
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.M)
    except OSError:
        raise InputError(
            f"{folder}: there is no {file}, so this is not a {backend} project.",
            hint="Emit the project with `edgeinfer compile --target hls` first.",
        ) from None
    if match is None:
        raise InputError(f"{path}: names no project.", hint="Emit the project again.")
    return Project(folder, match[1], backend, _layers(folder / "firmware" / f"{match[1]}.cpp"))


def _layers(source: Path) -> dict[str, str]:
    """The layers' names by the number of their configuration, from the calls in the source."""
    if not source.is_file():
        return {}
    return dict(LAYER_CALL.findall(source.read_text(encoding="utf-8", errors="replace")))
