# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design for whole planes on a board: one stream of records in the place of its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from edgeinfer.base import assets
from edgeinfer.base.names import Identifier
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import FOLDER, Board, SerialBoard, ZynqBoard
from edgeinfer.targets.boards.channels import Channel
from edgeinfer.targets.boards.messages import CYCLE_BYTES, Protocol
from edgeinfer.targets.boards.records import RecordLayout
from edgeinfer.targets.boards.wrapper import RecordPort, StreamPort, WrappedDesign
from edgeinfer.targets.rtl.board.shell_files import (
    ShelledDesign,
    protocol_of,
    shell_files,
)
from edgeinfer.targets.rtl.board.zynq import zynq_files
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY, render_template
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.files import (
    hit_bits,
    hit_port,
    input_port,
    output_ports,
    port_words,
    top_of,
)
from edgeinfer.targets.rtl.plane.memories import PlaneMemory
from edgeinfer.targets.rtl.plane.samples import tiles_of
from edgeinfer.targets.rtl.settings import RtlSettings

MODULE = Identifier("ei_plane_board")
TEMPLATE = "records/plane_records.v.j2"
COLLECTOR = "records/ei_plane_records.v"
KEEPER = "records/ei_shell_records.v"  # of a board on a serial line
SAVER = "shell/ei_shell_save.v"


def layout_of(design: PlaneDesign) -> RecordLayout:
    """The records of a design."""
    shapes = design.rest.shapes
    values = {output.name: output.value for output in design.rest.outputs}
    wire_bits, pixel_bits = hit_bits(design)
    outputs = []
    for port in output_ports(design):
        assert port.type is not None  # outputs of the network have one
        outputs.append(Channel(port.name, port.type, shapes[values[port.name]], port.lanes))
    return RecordLayout(
        design.cut.program.inputs[0].name, design.pixel, tiles_of(design),
        design.geometry.size.at_once, wire_bits, pixel_bits, tuple(outputs),
    )  # fmt: skip


def delivered_files(
    program: Program,
    design: PlaneDesign,
    on: Board,
    settings: RtlSettings,
    beside: Mapping[str, bytes],
    blocks: list[Mapping[str, Any]],
) -> dict[str, bytes]:
    """Everything that goes beside a design for planes on a board. `beside`: the files that are
    there already; `blocks`: as the manifest tells them."""
    layout = layout_of(design)
    values = {
        "name": Identifier(design.name),
        "module": MODULE,
        "top": Identifier(top_of(design)),
        "source": port_words(input_port(design)),
        "streams": [port_words(port) for port in (hit_port(design), *output_ports(design))],
    }
    files = {f"{FOLDER}/{MODULE}.v": render_template(TEMPLATE, values)}
    match on:
        case SerialBoard():
            files |= _library(COLLECTOR, KEEPER)
            protocol = _protocol(program, layout, on, settings.clock_mhz)
            return files | shell_files(
                _shell_design(design, protocol), on, settings.clock_mhz, [*beside, *files], blocks
            )
        case ZynqBoard():
            files |= _library(COLLECTOR, SAVER)
            wrapped = _wrap_design(program, design, layout)
            return files | zynq_files(wrapped, on, settings.clock_mhz, {*beside, *files})
        case _:
            assert_never(on)


def shell_memories(
    program: Program, design: PlaneDesign, on: Board, clock_mhz: float
) -> tuple[PlaneMemory, ...]:
    """What a board's shell keeps: a plane, and its records. DMA keeps nothing."""
    if not isinstance(on, SerialBoard):
        return ()
    protocol = _protocol(program, layout_of(design), on, clock_mhz)
    (plane,) = protocol.inputs
    kept = protocol.payload_out() - CYCLE_BYTES
    return (
        PlaneMemory("a plane that has come in", 1, plane.beats, 8 * plane.beat_bytes),
        PlaneMemory("records", 1, kept, 8),
    )


def _protocol(
    program: Program, layout: RecordLayout, on: SerialBoard, clock_mhz: float
) -> Protocol:
    return protocol_of(program, on, clock_mhz, (layout.plane,), (), layout)


def _shell_design(design: PlaneDesign, protocol: Protocol) -> ShelledDesign:
    (plane,) = protocol.inputs
    source = {"id": Identifier("plane"), "bytes": plane.beat_bytes, "beats": plane.beats}
    records = {"id": Identifier("records"), "bytes": 1, "beats": 0}
    return ShelledDesign(Identifier(design.name), MODULE, protocol, (source,), (records,))


def _wrap_design(program: Program, design: PlaneDesign, layout: RecordLayout) -> WrappedDesign:
    plane = layout.plane
    source = StreamPort("plane", Identifier("plane"), plane.type, plane.shape, plane.lanes)
    hosts = {output.name: str(output.host) for output in program.outputs}
    return WrappedDesign(
        program.name, program.digest, MODULE, (source,),
        (RecordPort(layout, hosts, design.threshold),), HDL,
    )  # fmt: skip


def _library(*names: str) -> dict[str, bytes]:
    paths = [assets.path(f"{LIBRARY}/{name}") for name in names]
    return {f"{FOLDER}/{path.name}": path.read_bytes() for path in paths}
