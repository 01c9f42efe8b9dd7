# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files around a design on a board: a shell with a serial line, pins, and how to make it."""

from __future__ import annotations

from edgeinfer.base import assets
from edgeinfer.base.errors import UsageError
from edgeinfer.base.names import QuotedText, remark
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.board.boards import Board, board
from edgeinfer.targets.rtl.board.messages import DESCRIPTION, Channel, Protocol
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.emit.emit import LIBRARY, context, render_template

FOLDER = "board"
TOP = "ei_board_top"
TOP_TEMPLATE = "shell/board_top.v.j2"
MAKE_TEMPLATE = "boards/board.mk.j2"
QUIET_SECONDS = 0.25  # after which half a message is forgotten
MOST_BYTES = 0xFFFF  # of a payload
WRITTEN = ("name", "size", "package", "speed", "loader")  # into the Makefile


def protocol_of(program: Program, netlist: Netlist, on: Board) -> Protocol:
    """What goes over the line; the number is the Program's own."""
    values = {output.name: output.value for output in program.outputs}
    streams = netlist.streams
    return Protocol(
        int(program.digest[:4], 16),
        on.baud,
        tuple(
            Channel(p.name, streams[p.stream].type, program.shapes[p.name], streams[p.stream].lanes)
            for p in netlist.inputs
        ),
        tuple(
            Channel(
                p.name,
                streams[p.stream].type,
                program.shapes[values[p.name]],
                streams[p.stream].lanes,
            )
            for p in netlist.outputs
        ),
    )


def shell_files(program: Program, netlist: Netlist, name: str) -> dict[str, bytes]:
    """Everything that goes beside a design for a board."""
    on = board(name)
    protocol = protocol_of(program, netlist, on)
    payloads = protocol.payload_in(), protocol.payload_out()
    if max(payloads) > MOST_BYTES:
        raise UsageError(
            f"A frame of {program.name} takes {payloads[0]:,} bytes in, {payloads[1]:,} out; the "
            f"board's shell keeps up to {MOST_BYTES:,} of each.",
            hint="Choose a smaller model for the board.",
        )
    known = context(netlist, ())
    first = 0
    for port, channel in zip(known["inputs"], protocol.inputs, strict=True):
        port["first"] = first
        first += channel.frame_bytes
    known |= {
        "board": {
            "title": remark(on.title),
            "clock_mhz": on.clock_mhz,
            **{key: QuotedText(getattr(on, key)) for key in WRITTEN},
        },
        "divider": on.divider,
        "id": protocol.number,
        "payload_in": payloads[0],
        "payload_out": payloads[1],
        "timeout": int(on.clock_hz * QUIET_SECONDS),
    }
    library = assets.path(f"{LIBRARY}/shell")
    return {
        **{f"{FOLDER}/{path.name}": path.read_bytes() for path in sorted(library.glob("*.v"))},
        f"{FOLDER}/{TOP}.v": render_template(TOP_TEMPLATE, known),
        f"{FOLDER}/{name}.lpf": assets.path(f"{LIBRARY}/boards/{name}.lpf").read_bytes(),
        f"{FOLDER}/Makefile": render_template(MAKE_TEMPLATE, known),
        DESCRIPTION: protocol.description(),
    }
