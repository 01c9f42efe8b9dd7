# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files around a design on a board: a shell with a serial line, pins, and how to make it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from edgeinfer.base import assets
from edgeinfer.base.errors import UsageError
from edgeinfer.base.names import Identifier, OwnText, QuotedText, remark
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import FOLDER, SerialBoard
from edgeinfer.targets.boards.channels import Channel
from edgeinfer.targets.boards.clocks import BoardClock, clock_of
from edgeinfer.targets.boards.messages import CYCLE_BYTES, DESCRIPTION, MOST_BYTES, Protocol
from edgeinfer.targets.boards.records import RecordLayout
from edgeinfer.targets.rtl.design.netlist import Netlist, NetlistPort
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY, context, render_template
from edgeinfer.targets.rtl.tools.families import family_of
from edgeinfer.targets.rtl.tools.place import NETLIST, flow_of, nextpnr_arguments, packer_arguments
from edgeinfer.targets.rtl.tools.synthesis import belongs_to_design, script_of, wants_dsp

TOP = "ei_board_top"
CLOCK = "ei_board_clock.v"
CRYSTAL = "crystal"  # the clock where there is no PLL, or where it is simulated
TOP_TEMPLATE = "shell/board_top.v.j2"
MAKE_TEMPLATE = "boards/board.mk.j2"
QUIET_SECONDS = 0.25  # after which half a message is forgotten


@dataclass(frozen=True, slots=True)
class ShelledDesign:
    """A design that gets a shell: what goes over the line, its module, and its ports as templates
    take them, in the same order."""

    name: Identifier
    module: Identifier
    protocol: Protocol
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]


def shelled_design(
    program: Program, netlist: Netlist, on: SerialBoard, clock_mhz: float
) -> ShelledDesign:
    """A design for frames."""
    values = {output.name: output.value for output in program.outputs}
    streams = netlist.streams

    def channel(port: NetlistPort, value: str) -> Channel:
        stream = streams[port.stream]
        return Channel(port.name, stream.type, program.shapes[value], stream.lanes)

    protocol = protocol_of(
        program, on, clock_mhz, tuple(channel(p, p.name) for p in netlist.inputs),
        tuple(channel(p, values[p.name]) for p in netlist.outputs),
    )  # fmt: skip
    template_values = context(netlist, ())
    return ShelledDesign(
        template_values["name"],
        template_values["module"],
        protocol,
        tuple(template_values["inputs"]),
        tuple(template_values["outputs"]),
    )


def protocol_of(
    program: Program,
    on: SerialBoard,
    clock_mhz: float,
    inputs: tuple[Channel, ...],
    outputs: tuple[Channel, ...],
    records: RecordLayout | None = None,
) -> Protocol:
    """What goes over the line; the number is the Program's own."""
    clock = clock_of(on, clock_mhz)
    number = int(program.digest[:4], 16)
    return Protocol(number, on.baud, clock.divider, clock.mhz, inputs, outputs, records)


def shell_files(
    design: ShelledDesign,
    on: SerialBoard,
    clock_mhz: float,
    beside: Collection[str],
    blocks: list[Mapping[str, Any]],
) -> dict[str, bytes]:
    """Everything that goes beside a design for a board. `beside`: the files that are there already;
    `blocks`: as the manifest tells them."""
    clock, protocol = clock_of(on, clock_mhz), design.protocol
    payloads = protocol.payload_in(), protocol.payload_out()
    if max(payloads) > MOST_BYTES:
        raise UsageError(
            f"A frame of {design.name} takes {payloads[0]:,} bytes in, {payloads[1]:,} out; the "
            f"board's shell keeps up to {MOST_BYTES:,} of each.",
            hint="Choose a smaller model for the board, or smaller planes.",
        )
    firsts = itertools.accumulate((c.frame_bytes for c in protocol.inputs), initial=0)
    template_values = {
        "name": design.name,
        "module": design.module,
        "inputs": [
            {**port, "first": first} for port, first in zip(design.inputs, firsts, strict=False)
        ],
        "outputs": design.outputs,
        "records": payloads[1] - CYCLE_BYTES if protocol.records is not None else 0,
        "title": remark(on.title),
        "crystal_mhz": on.crystal_hz / 1e6,
        "clock_mhz": clock.mhz,
        "clock": {"reference": clock.reference, "feedback": clock.feedback, "output": clock.output},
        "awake": on.awake,
        "leds": on.leds,
        "leds_high": on.leds_lit == "high",
        "button_high": on.button == "high",
        "divider": clock.divider,
        "id": protocol.number,
        "payload_in": payloads[0],
        "payload_out": payloads[1],
        "timeout": int(clock.hz * QUIET_SECONDS),
    }
    library = assets.path(f"{LIBRARY}/shell")
    files = {
        **{path.name: path.read_bytes() for path in sorted(library.glob("*.v"))},
        CLOCK: clock_file(on.pll or CRYSTAL),
        f"{TOP}.v": render_template(TOP_TEMPLATE, template_values),
    }
    part = on.device
    plain = (name.removeprefix(f"{HDL}/").removeprefix(f"{FOLDER}/") for name in beside)
    names = [*files, *(name for name in plain if "/" not in name and belongs_to_design(name))]
    dsp = wants_dsp(blocks, part)
    files["synth.ys"] = script_of(names, TOP, family_of(part.fabric), dsp=dsp)
    files[on.pins] = assets.path(f"{LIBRARY}/boards/{on.pins}").read_bytes()
    files["Makefile"] = _makefile(design.name, on, clock)
    shell = {f"{FOLDER}/{name}": content for name, content in files.items()}
    return {**shell, DESCRIPTION: protocol.description()}


def clock_file(kind: str) -> bytes:
    """The module that makes the design's clock."""
    return assets.path(f"{LIBRARY}/clocks/{kind}.v").read_bytes()


def _makefile(name: Identifier, on: SerialBoard, clock: BoardClock) -> bytes:
    part = on.device
    flow = flow_of(part)

    routing = [*nextpnr_arguments(part, clock.fastest_mhz, pinned=True), "--seed", "1"]

    def words(arguments: list[str]) -> OwnText:  # from tables of ours
        return OwnText(shlex.join(word for word in arguments if word != "--timing-allow-fail"))

    return render_template(
        MAKE_TEMPLATE,
        {
            "name": name,
            "title": remark(on.title),
            "pins": QuotedText(on.pins),
            "constraints": QuotedText(flow.pins),
            "netlist": QuotedText(NETLIST),
            "config": QuotedText(flow.config),
            "bitstream": QuotedText(flow.bitstream),
            "nextpnr": QuotedText(flow.nextpnr.tool.name),
            "nextpnr_script": QuotedText(flow.nextpnr.script),
            "nextpnr_arguments": words(routing),
            "packer": QuotedText(flow.packer.tool.name),
            "packer_script": QuotedText(flow.packer.script),
            "packer_arguments": words(packer_arguments(part)),
            "loader": QuotedText(on.loader),
        },
    )
