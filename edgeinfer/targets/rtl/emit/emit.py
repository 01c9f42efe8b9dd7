# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Netlist -> files: a top level that only instantiates, memory files, a harness and a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from edgeinfer.base import assets, code
from edgeinfer.base.names import (
    CodeText,
    Identifier,
    Operand,
    OwnText,
    QuotedText,
    identifier,
    remark,
)
from edgeinfer.base.plan import BuildPlan
from edgeinfer.targets.rtl.design.netlist import (
    Block,
    Netlist,
    NetlistPort,
    Parameter,
    SizedNumber,
    Stream,
)

LIBRARY = "firmware/rtl"
TOP_TEMPLATE = "top.v.j2"
HARNESS_TEMPLATE = "sim/harness.cpp.j2"
HDL = "hdl"  # the design's folder below the target's
HARNESS = "sim/harness.cpp"
MANIFEST = "rtl.json"
CORE_TEMPLATE, CORE = "design.core.j2", "design.core"
LITEX_TEMPLATE, LITEX = "litex.py.j2", "litex_design.py"
BENCH = re.compile(r"^tb_|_tb\.v$")  # files of a testbench
INT32 = range(-(1 << 31), 1 << 31)


@dataclass(frozen=True, slots=True)
class Tap:
    """A stream that a simulation records, and the value it carries."""

    value: str
    stream: str


def module_of(netlist: Netlist) -> str:
    """The top module's name."""
    return f"{netlist.name}_top"


def top_file(netlist: Netlist) -> str:
    """Where the top module lies."""
    return f"{HDL}/{module_of(netlist)}.v"


def files_of(
    netlist: Netlist, manifest: dict[str, Any], also: Mapping[str, bytes] | None = None
) -> BuildPlan:
    """All files of a design."""
    files: dict[str, bytes] = {
        f"{HDL}/{path.name}": path.read_bytes()
        for path in sorted(assets.path(LIBRARY).glob("*.v"))
        if path.stem in _modules(netlist)
    }
    files.update(also or {})
    for block in netlist.blocks:
        files.update({f"{HDL}/{name}": content for name, content in block.files.items()})
    files[top_file(netlist)] = top_text(netlist)
    files[HARNESS] = harness_text(netlist)
    streams = context(netlist, ()) if netlist.bare is None else None
    files |= builder_files(netlist.name, manifest.get("top", module_of(netlist)), files, streams)
    files[MANIFEST] = (json.dumps(manifest, indent=1) + "\n").encode()
    return BuildPlan(netlist.name, files)


def builder_files(
    name: str, top: str, files: Collection[str], streams: Mapping[str, Any] | None
) -> dict[str, bytes]:
    """The design as FuseSoC and LiteX read it: its sources, and its memories, which lie beside
    whoever simulates or synthesises. `streams`: inputs and outputs, without which LiteX has nothing
    to join."""
    names = sorted(path.removeprefix(f"{HDL}/") for path in files if path.startswith(f"{HDL}/"))
    design = [QuotedText(file) for file in names if not BENCH.search(file)]
    values = {
        "name": Identifier(name),
        "top": Identifier(top),
        "hdl": QuotedText(HDL),
        "sources": [file for file in design if file.endswith(".v")],
        "memories": [file for file in design if file.endswith(".mem")],
    }
    builders = {CORE: render_template(CORE_TEMPLATE, values)}
    if streams is not None:
        builders[LITEX] = render_template(LITEX_TEMPLATE, {**streams, **values})
    return builders


def _modules(netlist: Netlist) -> set[str]:
    """Modules that a design needs, those inside others included."""
    inside = {
        "ei_mac": {"ei_tree"},
        "ei_reduce": {"ei_tree"},
        "ei_window": {"ei_choose"},
        "ei_narrow": {"ei_choose"},
        "ei_requant": {"ei_round", "ei_limit"},
        "ei_clip": {"ei_bound"},
        "ei_pair": {"ei_binary"},
        "ei_pool": {"ei_tiles"},
    }
    used = {block.module for block in netlist.blocks}
    parts = (inside.get(block.module, block.parts) for block in netlist.blocks)
    return used.union({"ei_fifo"}, *parts)


def taps_of(netlist: Netlist, values: Collection[str]) -> tuple[Tap, ...]:
    """The streams of some values, each once."""
    return tuple(Tap(value, netlist.values[value]) for value in dict.fromkeys(values))


def top_text(netlist: Netlist, taps: Collection[Tap] = ()) -> bytes:
    """The top level; taps are outputs that only watch."""
    return render_template(TOP_TEMPLATE, context(netlist, taps))


def harness_text(netlist: Netlist, taps: Collection[Tap] = ()) -> bytes:
    """The simulation's program."""
    return render_template(HARNESS_TEMPLATE, context(netlist, taps))


def render_template(template: str, values: dict[str, Any]) -> bytes:
    """A template of the library, filled in."""
    return code.fill_template(f"{LIBRARY}/{template}", values).encode()


def context(netlist: Netlist, taps: Collection[Tap]) -> dict[str, Any]:
    """What the templates ask for."""
    streams = netlist.streams
    ids = port_ids(netlist)
    return {
        "name": Identifier(netlist.name),
        "module": Identifier(module_of(netlist)),
        "inputs": [_port(port, streams[port.stream], ids[port.name]) for port in netlist.inputs],
        "outputs": [
            _port(port, streams[port.stream], ids[f"{port.name}.out"]) for port in netlist.outputs
        ],
        "counters": [Identifier(block.counter) for block in netlist.blocks if block.counter],
        "taps": [
            {
                "id": number,
                "stream": Identifier(tap.stream),
                "width": netlist.carrier(tap.stream).width,
                "words": words(netlist.carrier(tap.stream).width),
            }
            for number, tap in enumerate(taps)
        ],
        "streams": [_stream(stream) for stream in streams.values()],
        "probes": [
            _stream(netlist.probes[tap.stream].stream)
            for tap in taps
            if tap.stream in netlist.probes
        ],
        "blocks": [_block(block, netlist, ids, taps) for block in netlist.blocks],
    }


def port_ids(netlist: Netlist) -> dict[str, Identifier]:
    """Identifiers of the ports: of inputs by name, of outputs by name and ".out"."""
    ids: dict[str, Identifier] = {}
    for ports, suffix in ((netlist.inputs, ""), (netlist.outputs, ".out")):
        names_taken: set[str] = set()
        for number, port in enumerate(ports):
            plain = identifier(port.name)
            name = plain if plain.lower() not in names_taken else Identifier(f"{plain}_{number}")
            names_taken.add(name.lower())
            ids[port.name + suffix] = name
    return ids


def words(bits: int) -> int:
    """32-bit words that hold so many bits, padded to bytes."""
    return -(-bits // 32)


def _stream(stream: Stream) -> dict[str, Any]:
    return {"name": Identifier(stream.name), "width": stream.width}


def _port(port: NetlistPort, stream: Stream, name: Identifier) -> dict[str, Any]:
    count = -(-stream.width // 8)
    return {
        "name": port.name,  # as the host knows it: no template for code takes it
        "remark": remark(port.name),
        "id": name,
        "bytes": count,
        "words": words(8 * count),
        "beats": stream.beats,
        "lanes": stream.lanes,
        "type": Operand(str(stream.type)),
    }


def _block(
    block: Block, netlist: Netlist, ids: dict[str, Identifier], taps: Collection[Tap]
) -> dict[str, Any]:
    parameters = dict(block.parameters)
    for key, name in zip(block.ports.depths, block.outputs, strict=False):
        parameters[key] = netlist.depths[name]
    return {
        "module": Identifier(block.module),
        "name": Identifier(f"u_{block.name}"),
        "parameters": [(Identifier(key), literal(value)) for key, value in parameters.items()],
        "pins": [
            (Identifier(pin), Identifier(net))
            for pin, net in _pins(block, netlist, ids) + _probe_pins(block, netlist, taps)
        ],
    }


def _pins(block: Block, netlist: Netlist, ids: dict[str, Identifier]) -> list[tuple[str, str]]:
    pins: list[tuple[str, str]] = []
    if block.module == "ei_ingress":
        port = next(port for port in netlist.inputs if port.stream == block.outputs[0])
        name = ids[port.name]
        pins += [(f"s_axis_{p}", f"s_axis_{name}_{p}") for p in AXIS]
        pins.append(("misframed", f"{name}_misframed"))
    for prefix, stream in zip(block.ports.inputs, block.inputs, strict=False):
        pins += [(f"{prefix}_{pin}", f"{stream}_{pin}") for pin in ("valid", "ready", "data")]
    for prefix, stream in zip(block.ports.outputs, block.outputs, strict=False):
        pins += [(f"{prefix}_{pin}", f"{stream}_{pin}") for pin in ("valid", "ready", "data")]
    if block.counter:
        pins.append(("dropped", block.counter))
    if block.module == "ei_egress":
        port = next(port for port in netlist.outputs if port.stream == block.inputs[0])
        name = ids[f"{port.name}.out"]
        pins += [(f"m_axis_{p}", f"m_axis_{name}_{p}") for p in AXIS]
    return pins


def _probe_pins(block: Block, netlist: Netlist, taps: Collection[Tap]) -> list[tuple[str, str]]:
    """What a simulation watches of a block's inside; the wires are called as the stream is."""
    watched = (netlist.probes[tap.stream] for tap in taps if tap.stream in netlist.probes)
    names = [probe.stream.name for probe in watched if probe.block == block.name]
    return [(f"{name}_{pin}", f"{name}_{pin}") for name in names for pin in ("valid", "data")]


AXIS = ("tvalid", "tready", "tdata", "tlast")


def literal(value: Parameter) -> CodeText:
    """A parameter as Verilog writes it."""
    match value:
        case str():
            return OwnText(f'"{QuotedText(value)}"')
        case SizedNumber():
            return Operand(f"{value.bits}'h{value.value & ((1 << value.bits) - 1):x}")
        case _:  # an integer
            return Operand(str(value))
