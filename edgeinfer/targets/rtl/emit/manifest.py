# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The design's own description, beside its files."""

from __future__ import annotations

from typing import Any

from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.cycles import DesignCycles
from edgeinfer.targets.rtl.design.folding import Folding
from edgeinfer.targets.rtl.design.netlist import Netlist, NetlistPort, SizedNumber
from edgeinfer.targets.rtl.emit.emit import module_of, port_ids

VERSION = 1


def manifest(
    program: Program, folding: Folding, netlist: Netlist, cycles: DesignCycles, clock_mhz: float
) -> dict[str, Any]:
    """What a script that drives the design must know."""
    ids = port_ids(netlist)

    def port(of: NetlistPort, suffix: str, prefix: str) -> dict[str, Any]:
        stream = netlist.streams[of.stream]
        return {
            "name": of.name,
            "port": f"{prefix}_{ids[of.name + suffix]}",
            "type": str(stream.type),
            "elements_per_beat": stream.lanes,
            "beats_per_frame": stream.beats,
            "bytes_per_beat": -(-stream.width // 8),
        }

    return {
        "version": VERSION,
        "name": program.name,
        "program": program.digest,
        "top": module_of(netlist) if netlist.bare is None else netlist.bare.module,
        "interface": "stream" if netlist.bare is None else "bare",
        "bare_ports": [
            [port.name, port.bits, port.is_input]
            for port in (() if netlist.bare is None else netlist.bare.ports)
        ],
        "clock_mhz": clock_mhz,
        "inputs": [port(p, "", "s_axis") for p in netlist.inputs],
        "outputs": [port(p, ".out", "m_axis") for p in netlist.outputs],
        "latency_cycles": cycles.latency,
        "interval_cycles": cycles.interval,
        "folding": {name: [fold.pe, fold.simd] for name, fold in folding.folds.items()},
        "streams": {
            s.name: {"type": str(s.type), "lanes": s.lanes, "beats": s.beats,
                     "queue": netlist.depths[s.name]}
            for s in netlist.streams.values()
        },
        "values": dict(netlist.values),
        "blocks": [
            {
                "module": block.module,
                "instance": f"u_{block.name}",
                "op": block.op,
                "parameters": {
                    key: value.value if isinstance(value, SizedNumber) else value
                    for key, value in block.parameters.items()
                },
            }
            for block in netlist.blocks
        ],
    }  # fmt: skip
