# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""nextpnr: a netlist placed and routed on a part, its clock, and a bitstream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.base.names import QuotedText
from edgeinfer.targets.rtl.emit.emit import render_template
from edgeinfer.targets.rtl.tools import cache
from edgeinfer.targets.rtl.tools.programs import (
    ECPPACK,
    GOWIN_PACK,
    ICEPACK,
    NEXTPNR_ECP5,
    NEXTPNR_GOWIN,
    NEXTPNR_ICE40,
    NEXTPNR_NEXUS,
    PRJOXIDE,
    PackagedTool,
    find_tool,
)
from edgeinfer.targets.rtl.tools.synthesis import Progress, run_cached, silent

REPORT, NETLIST = "report.json", "netlist.json"
PINS = ("clk", "rst", "si", "so")  # of the shell that a device's description places
ROUTER_BEGINS = re.compile(r"Routing (\d+) arcs")
ROUTER_ROW = re.compile(  # iterations | arcs | arcs | arcs left | seconds of the batch, of all
    r"Info:\s+\d+ \|[\d\s]+\|[\d\s]+\|\s*(?P<left>\d+)\|\s+[\d.]+\s+(?P<spent>[\d.]+)\s*\|"
)
ECP5_PART = re.compile(r"lfe5um?(?:5g)?-\d+f-(?P<speed>[678])(?P<package>[a-z]+\d+)c?i?")


@dataclass(frozen=True, slots=True)
class Flow:
    """A family's way from a netlist to a bitstream."""

    nextpnr: PackagedTool
    packer: PackagedTool
    pins: str  # the template of the constraints, whose name ends as nextpnr wants it
    config: str  # what nextpnr leaves for the packer
    bitstream: str
    kinds: Mapping[str, Mapping[str, float]]  # names in the report, their worth; the total first


FLOWS = {
    "ecp5": Flow(NEXTPNR_ECP5, ECPPACK, "pins.lpf", "design.config", "design.bit", {
        "lut": {"TRELLIS_COMB": 1}, "ff": {"TRELLIS_FF": 1}, "dsp": {"MULT18X18D": 1},
        "bram18": {"DP16KD": 1},
    }),
    "nexus": Flow(NEXTPNR_NEXUS, PRJOXIDE, "pins.pdc", "design.fasm", "design.bit", {
        "lut": {"OXIDE_COMB": 1}, "ff": {"OXIDE_FF": 1}, "dsp": {"MULT18_CORE": 1},
        "bram18": {"OXIDE_EBR": 1},
    }),
    "gowin": Flow(NEXTPNR_GOWIN, GOWIN_PACK, "pins.cst", "design.json", "design.fs", {
        "lut": {"LUT4": 1, "ALU": 1, "RAM16SDP4": 6}, "ff": {"DFF": 1},
        "dsp": {"MULT9X9": 0.5, "MULT18X18": 1, "MULT36X36": 4}, "bram18": {"BSRAM": 1},
    }),
    # nextpnr counts logic cells, each a LUT, a carry and a flip-flop, and no flip-flops apart.
    "ice40": Flow(NEXTPNR_ICE40, ICEPACK, "pins.pcf", "design.asc", "design.bin", {
        "lut": {"ICESTORM_LC": 1}, "dsp": {"ICESTORM_DSP": 1}, "bram4": {"ICESTORM_RAM": 1},
    }),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoutedDesign:
    """The clock that a placed and routed design reaches, and what it takes, by kind."""

    tool: str
    version: str
    fmax_mhz: float
    used: Mapping[str, float]
    available: Mapping[str, float]
    config: Path


def flow_of(part: Device) -> Flow:
    """The flow for a part; an error where open tools place nothing."""
    flow = FLOWS.get(part.fabric)
    if flow is None or not part.nextpnr:
        able = ", ".join(sorted(FLOWS))
        raise UsageError(
            f"Open tools cannot place and route a design for {part.name} ({part.family}).",
            hint=f"They can for {able}; leave out the routing, or install the vendor's tool.",
        )
    return flow


def pins_of(part: Device) -> list[tuple[str, str]]:
    """The shell's pins that the part's description places."""
    return [(pin, part.nextpnr[pin]) for pin in PINS if pin in part.nextpnr]


def constraints(part: Device, pins: list[tuple[str, str]], clock_mhz: float) -> bytes:
    """Where the pins are, and what clock is asked for."""
    template_values = {
        "pins": [(QuotedText(port), QuotedText(site)) for port, site in pins],
        "clock_mhz": clock_mhz,
    }
    return render_template(f"synth/{flow_of(part).pins}.j2", template_values)


def place_and_route(
    netlist: Path,
    part: Device,
    pin_constraints: bytes,
    clock_mhz: float,
    *,
    seconds: float,
    seed: int = 1,
    part_name: str = "",
    pinned: bool = False,
    progress: Progress = silent,
) -> RoutedDesign:
    """Place and route. `pin_constraints`: constraints, for every port if they are `pinned`;
    `part_name` may ask for another speed grade."""
    flow = flow_of(part)
    tool = find_tool(flow.nextpnr)
    arguments = [*nextpnr_arguments(part, clock_mhz, part_name, pinned=pinned), "--seed", str(seed)]
    files = {flow.pins: pin_constraints, NETLIST: netlist.read_bytes()}
    words = json.dumps(arguments).encode()
    kept = cache.entry("nextpnr", [tool.version.encode(), words, *files.values()])
    report, config = kept / REPORT, kept / flow.config
    if report.is_file() and config.is_file():
        cache.mark_used(kept)
    else:
        results = {flow.config: flow.config, REPORT: REPORT}
        report_with_time = with_time_left(progress)
        run_cached(
            tool, arguments, files, results, kept, seconds, "place and route", report_with_time
        )
    document = json.loads(report.read_text(encoding="utf-8"))
    used, available = (_amounts(document, flow, which) for which in ("used", "available"))
    return RoutedDesign(tool.tool.name, tool.version, _slowest(document), used, available, config)


def with_time_left(progress: Progress) -> Progress:
    """The same progress, but where nextpnr's first router tells how many connections it has still
    to route, the line says that, and the time that they take at the rate so far."""
    total = 0

    def say(step: str, seconds: float, line: str) -> None:
        nonlocal total
        if start := ROUTER_BEGINS.search(line):
            total = int(start[1])
        row = ROUTER_ROW.search(line)
        if row and int(row["left"]) < total:
            left = int(row["left"])
            wait = float(row["spent"]) * left / (total - left)
            line = f"{left:,} of {total:,} connections left, about {wait:.0f} s at this rate"
        progress(step, seconds, line)

    return say


def pack_bitstream(
    routed: RoutedDesign, part: Device, *, seconds: float, progress: Progress = silent
) -> Path:
    """The bitstream of what was placed."""
    flow = flow_of(part)
    tool = find_tool(flow.packer)
    content = routed.config.read_bytes()
    kept = cache.entry("bitstreams", [tool.version.encode(), part.name.encode(), content])
    bitstream = kept / flow.bitstream
    if bitstream.is_file():
        cache.mark_used(kept)
        return bitstream
    arguments = packer_arguments(part)
    results = {flow.bitstream: flow.bitstream}
    run_cached(
        tool, arguments, {flow.config: content}, results, kept, seconds, "bitstream", progress
    )
    return bitstream


def packer_arguments(part: Device) -> list[str]:
    """What a family's packer is told, in the folder of what nextpnr has left."""
    flow = flow_of(part)
    return {
        "ecp5": [*part.nextpnr.get("pack", "").split(), "--compress", flow.config, flow.bitstream],
        "nexus": ["pack", flow.config, flow.bitstream],
        "gowin": ["-d", part.nextpnr.get("family", ""), "-o", flow.bitstream, flow.config],
        "ice40": [flow.config, flow.bitstream],
    }[part.fabric]


def nextpnr_arguments(
    part: Device, clock_mhz: float, part_name: str = "", *, pinned: bool = False
) -> list[str]:
    """What nextpnr is told, in the folder of the netlist and the constraints; `pinned`: no port may
    be put anywhere."""
    flow, names = flow_of(part), part.nextpnr
    common = ["--json", NETLIST, "--report", REPORT, "--freq", f"{clock_mhz:.3f}",
              "--timing-allow-fail"]  # fmt: skip
    match part.fabric:
        case "ecp5":
            return [
                f"--{names['device']}", "--speed", _ecp5_speed(part, part_name),
                "--package", names["package"], "--lpf", flow.pins, "--textcfg", flow.config,
                *([] if pinned else ["--lpf-allow-unconstrained"]), *common,
            ]  # fmt: skip
        case "nexus":
            return [  # router2 often finds no way for the clock from its pin
                "--device", names["device"], "--pdc", flow.pins, "--fasm", flow.config,
                "--router", "router1", *common,
            ]  # fmt: skip
        case "ice40":
            return [
                f"--{names['device']}", "--package", names["package"], "--pcf", flow.pins,
                "--asc", flow.config, *([] if pinned else ["--pcf-allow-unconstrained"]), *common,
            ]  # fmt: skip
        case _:  # "gowin", the last fabric of the table of flows
            return [
                "--device", names["device"], "--vopt", f"family={names['family']}",
                "--vopt", f"cst={flow.pins}", "--write", flow.config, *common,
            ]  # fmt: skip


def _ecp5_speed(part: Device, part_name: str) -> str:
    """The speed grade that a full part name asks for, else the device's own."""
    match = ECP5_PART.fullmatch(part_name.strip().lower())
    if match is None:
        return part.nextpnr["speed"]
    package = match["package"].replace("bg", "CABGA").replace("mg", "CSFBGA")
    if package != part.nextpnr["package"]:
        raise UsageError(
            f"{part_name}: pins are known here for the package {part.nextpnr['package']} only.",
            hint=f"Choose {part.part}, or another speed grade of it.",
        )
    return match["speed"]


def _amounts(report: Mapping[str, Any], flow: Flow, which: str) -> dict[str, float]:
    utilization = report["utilization"]
    amounts = {}
    for kind, names in flow.kinds.items():
        counted = list(names.items())[: 1 if which == "available" else None]
        amounts[kind] = sum(
            utilization[name][which] * worth for name, worth in counted if name in utilization
        )
    return amounts


def _slowest(report: Mapping[str, Any]) -> float:
    clocks = [float(clock["achieved"]) for clock in report["fmax"].values()]
    if not clocks:
        raise ToolFailedError("nextpnr reported no clock.", hint="Please report this.")
    return min(clocks)
