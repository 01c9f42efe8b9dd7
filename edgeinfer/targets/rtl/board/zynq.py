# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design of ours behind registers and DMA: the files that only it has."""

from __future__ import annotations

from collections.abc import Collection

from edgeinfer.base.names import Identifier
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import ZynqBoard
from edgeinfer.targets.boards.wrapper import (
    StreamPort,
    WrappedDesign,
    template_values,
    wrapper_files,
)
from edgeinfer.targets.rtl.board.packaged_ip import component_file
from edgeinfer.targets.rtl.design.netlist import Netlist, Stream
from edgeinfer.targets.rtl.emit.emit import HDL, module_of, port_ids, render_template

HARNESS_TEMPLATE, HARNESS = "sim/axi.cpp.j2", "sim/axi.cpp"


def wrap_netlist(program: Program, netlist: Netlist) -> WrappedDesign:
    """A design of ours for frames."""
    outputs = {output.name: output for output in program.outputs}
    ids, streams = port_ids(netlist), netlist.streams

    def port(name: str, id: Identifier, stream: Stream, value: str, host: str) -> StreamPort:
        return StreamPort(name, id, stream.type, program.shapes[value], stream.lanes, host)

    return WrappedDesign(
        program.name,
        program.digest,
        Identifier(module_of(netlist)),
        tuple(port(p.name, ids[p.name], streams[p.stream], p.name, "none") for p in netlist.inputs),
        tuple(
            port(
                p.name, ids[f"{p.name}.out"], streams[p.stream], outputs[p.name].value,
                str(outputs[p.name].host),
            )
            for p in netlist.outputs
        ),
        HDL,
    )  # fmt: skip


def zynq_files(
    design: WrappedDesign, on: ZynqBoard, clock_mhz: float, beside: Collection[str]
) -> dict[str, bytes]:
    """Everything that goes beside a design of ours for a Zynq board. `beside`: the files that are
    there already."""
    values = template_values(design, on, clock_mhz)
    around = wrapper_files(design, on, clock_mhz)
    return {
        **around,
        HARNESS: render_template(HARNESS_TEMPLATE, values),
        **component_file(values, {*beside, *around}),
    }
