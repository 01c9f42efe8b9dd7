# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files around an hls4ml project on a Zynq board.

The project's top function gets another one around it, whose streams are plain bits: what the HLS
compiler makes of that is an IP with AXI4-Stream ports of known layout. Registers, DMA, Vivado's
script and the driver are those of our own designs, and know the IP as their core.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeinfer.base.code import fill_template
from edgeinfer.base.errors import UsageError
from edgeinfer.base.names import Identifier, Operand, QuotedText
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import FOLDER, ZynqBoard
from edgeinfer.targets.boards.wrapper import StreamPort, WrappedDesign, wrapper_files
from edgeinfer.targets.hls.project.manifest import Manifest, TopPort
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from quantization.fixed import Fixed

TEMPLATES = "firmware/hls/board"
BEATS, IP_SCRIPT = f"{FOLDER}/beats.cpp", f"{FOLDER}/hls_ip.tcl"
MOST_BITS = 64  # of a beat: a word of a DMA


@dataclass(frozen=True, slots=True)
class CorePort:
    """A port of the project's top function, and the beats that its elements are packed into."""

    stream: StreamPort
    type_name: str
    count: int  # elements of a word of the project's own stream, or of its array
    words: int

    @property
    def template_words(self) -> dict[str, Any]:
        """What the templates ask for."""
        return {
            "id": self.stream.id,
            "type_name": Operand(self.type_name),
            "bits": self.stream.type.bits,
            "lanes": self.stream.lanes,
            "width": 8 * self.stream.beat_bytes,
            "count": self.count,
            "words": self.words,
            "beats": self.count * self.words // self.stream.lanes,
        }


def core_module(project: Manifest) -> Identifier:
    """The name of the function around the project's, and of the IP that is made of it."""
    return Identifier(f"{project.project}_beats")


def core_ports(
    project: Manifest, hosts: Mapping[str, str]
) -> tuple[tuple[CorePort, ...], tuple[CorePort, ...]]:
    """Inputs and outputs; `hosts`: what is left to the host of an output."""
    return (
        tuple(_port(port, f"in_{k}", project.io, "none") for k, port in enumerate(project.inputs)),
        tuple(
            _port(port, f"out_{k}", project.io, hosts.get(port.name, "none"))
            for k, port in enumerate(project.outputs)
        ),
    )


def _port(port: TopPort, id: str, io: IoType, host: str) -> CorePort:
    type_ = Fixed.parse(port.type)
    if type_.bits > MOST_BITS:
        raise UsageError(
            f"{port.name} has {type_.bits} bits; a word of a DMA has {MOST_BITS}.",
            hint="Round it to fewer bits, or leave --board out.",
        )
    count = port.shape[-1] if io is IoType.STREAM else port.size
    lanes = max(n for n in range(1, MOST_BITS // type_.bits + 1) if count % n == 0)
    stream = StreamPort(port.name, Identifier(id), type_, port.shape, lanes, host)
    return CorePort(stream, port.type_name, count, math.prod(port.shape) // count)


def wrapped_design(program: Program, project: Manifest) -> WrappedDesign:
    """The design as registers and DMA see it."""
    hosts = {output.name: str(output.host) for output in program.outputs}
    inputs, outputs = core_ports(project, hosts)
    return WrappedDesign(
        program.name, project.program, core_module(project),
        tuple(port.stream for port in inputs), tuple(port.stream for port in outputs),
    )  # fmt: skip


def core_values(project: Manifest) -> dict[str, Any]:
    """What the templates of the C++ around the project ask for."""
    inputs, outputs = core_ports(project, {})
    return {
        "project": Identifier(project.project),
        "module": core_module(project),
        "streams": project.io is IoType.STREAM,
        "inputs": [port.template_words for port in inputs],
        "outputs": [port.template_words for port in outputs],
        "counters": [
            {"id": Identifier(f"count_{k}"), "type_name": Operand(port.type_name)}
            for k, port in enumerate(project.counters)
        ],
    }


def board_files(
    program: Program, project: Manifest, settings: HlsSettings, on: ZynqBoard
) -> dict[str, bytes]:
    """Everything that goes beside a project for a Zynq board."""
    core = core_values(project)
    script = {**core, "part": QuotedText(settings.part), "clock_ns": settings.clock_ns}
    return {
        **wrapper_files(wrapped_design(program, project), on, settings.clock_mhz),
        BEATS: fill_template(f"{TEMPLATES}/beats.cpp.j2", core).encode(),
        IP_SCRIPT: fill_template(f"{TEMPLATES}/hls_ip.tcl.j2", script).encode(),
    }
