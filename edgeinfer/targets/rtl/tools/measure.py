# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What open tools find for a design that lies in a folder: its cells, its clock, its bitstream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import ToolFailedError, ToolMissingError, UsageError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.names import Identifier
from edgeinfer.base.plan import write_file
from edgeinfer.targets.boards.block_design import by_block_design
from edgeinfer.targets.boards.boards import BUILD, SerialBoard, ZynqBoard, board
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.emit.emit import HDL, MANIFEST, render_template
from edgeinfer.targets.rtl.plane.counts import figures_at_clock
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.families import Family, family_of
from edgeinfer.targets.rtl.tools.place import (
    RoutedDesign,
    constraints,
    flow_of,
    pack_bitstream,
    pins_of,
)
from edgeinfer.targets.rtl.tools.routing import (
    TARGET,
    TimeBox,
    ToolMeasurement,
    core_metric,
    route_board,
    route_metrics,
    try_seeds,
)
from edgeinfer.targets.rtl.tools.synthesis import (
    Progress,
    SynthesisedNetlist,
    VerilogSource,
    belongs_to_design,
    refuse_overfull,
    silent,
    synthesise,
    wants_dsp,
)
from edgeinfer.targets.rtl.tools.vivado import available, by_vivado

TEMPLATE = "synth/shell.v.j2"

CORE = "core"  # the design's instance in it


def wrap_in_shell(core: VerilogSource, described: Mapping[str, Any]) -> VerilogSource:
    """The design inside its shell; `described` is its manifest."""
    ports: list[tuple[Identifier, int, int, Identifier]] = []
    bits = {"in": 0, "out": 0}

    def add(port: str, width: int, wire: str) -> None:
        ports.append((Identifier(port), bits[wire] + width - 1, bits[wire], Identifier(wire)))
        bits[wire] += width

    bare = described.get("bare_ports", ())
    for name, width, is_input in bare:
        add(name, width, "in" if is_input else "out")
    for way, fed, read in (("inputs", "in", "out"), ("outputs", "out", "in")):
        for port_record in () if bare else described[way]:
            name = port_record["port"]
            add(f"{name}_tdata", 8 * port_record["bytes_per_beat"], fed)
            add(f"{name}_tvalid", 1, fed)
            add(f"{name}_tlast", 1, fed)
            add(f"{name}_tready", 1, read)
    if not bare:
        add("misframed", 1, "out")
    top = f"{core.top}_shell"
    template_values = {
        "core": Identifier(core.top), "top": Identifier(top), "ports": ports, "bits_in": bits["in"],
        "bits_out": bits["out"],
    }  # fmt: skip
    return VerilogSource(
        {**core.files, f"{top}.v": render_template(TEMPLATE, template_values)}, top
    )


def measure_design(
    folder: Path, settings: RtlSettings, progress: Progress = silent
) -> ToolMeasurement:
    """Synthesise what lies in a folder and, if asked, place and route it and pack its bitstream.
    For AMD's parts Vivado does it where it is installed."""
    described = manifest_of(folder)
    part = part_of(settings)
    on = None if settings.board is None else board(settings.board)
    if settings.route and isinstance(on, ZynqBoard):
        _refuse_tries(settings)
        timed = figures_at_clock(folder, described, settings.clock_mhz)[1:]  # Vivado tells fmax
        made_there = by_block_design(
            folder, on, settings.clock_mhz, settings.tool_seconds, progress,
            target=TARGET, timed=timed,
        )  # fmt: skip
        return ToolMeasurement(made_there.metrics, made_there.bitstream)
    vivado = available(part)
    if vivado is not None:
        _refuse_tries(settings)
        return ToolMeasurement(by_vivado(vivado, folder, described, settings, progress))
    family = family_of(part.fabric)
    if settings.route:
        flow_of(part)  # refused before anything is run
    source = source_in(folder, described["top"])
    dsp = wants_dsp(described["blocks"], part)
    box = TimeBox(settings.tool_seconds)
    netlist = synthesise(source, family, dsp=dsp, seconds=box.left, progress=progress)
    metrics = _synthesis_metrics(netlist, described, part, family)
    if not settings.route:
        return ToolMeasurement(tuple(metrics))
    refuse_overfull(netlist, part)
    delivered = None
    if isinstance(on, SerialBoard):
        delivered = route_board(folder, on, described, settings, box, progress)
        metrics += delivered.metrics
        if box.over:
            return replace(delivered, metrics=tuple(metrics))
    try:
        routed, count = _route_alone(source, described, settings, box, progress)
    except ToolFailedError as error:
        if delivered is None:
            raise
        finding = f"The design alone was not routed: {error.message}"
        return replace(delivered, metrics=tuple(metrics), findings=(*delivered.findings, finding))
    if delivered is not None:
        return replace(delivered, metrics=(*metrics, core_metric(routed)))
    metrics += route_metrics(routed, folder, described, routed.fmax_mhz, count)
    try:
        made_bitstream = pack_bitstream(routed, part, seconds=box.left, progress=progress)
    except ToolMissingError:
        return ToolMeasurement(tuple(metrics))
    bitstream = folder / BUILD / f"{part.name}-{made_bitstream.name}"
    write_file(bitstream, made_bitstream.read_bytes())
    return ToolMeasurement(tuple(metrics), bitstream)


def _refuse_tries(settings: RtlSettings) -> None:
    if settings.route_tries > 1:
        raise UsageError(
            "Vivado has no seeds: its routing is the same in each try.",
            hint="Leave the tries out for AMD's parts.",
        )


def _route_alone(
    source: VerilogSource,
    described: Mapping[str, Any],
    settings: RtlSettings,
    box: TimeBox,
    progress: Progress,
) -> tuple[RoutedDesign, int]:
    """A design between registers, with four pins: the fastest of some tries, and how many."""
    part = _study_part(settings)
    shell = synthesise(
        wrap_in_shell(source, described),
        family_of(part.fabric),
        dsp=wants_dsp(described["blocks"], part),
        seconds=box.left,
        progress=progress,
    )
    limits = constraints(part, pins_of(part), settings.clock_mhz)
    tries = try_seeds(shell.netlist, part, limits, settings, box, progress)
    return max(tries, key=lambda one: one.fmax_mhz), len(tries)


def _study_part(settings: RtlSettings) -> Device:
    """What a design alone is routed for: the speed grade of its board, and the package for which
    pins are known without a board."""
    part = part_of(settings)
    on = None if settings.board is None else board(settings.board)
    if not isinstance(on, SerialBoard):
        return part
    grade = {key: value for key, value in on.device.nextpnr.items() if key == "speed"}
    return replace(part, nextpnr={**part.nextpnr, **grade})


def manifest_of(folder: Path) -> dict[str, Any]:
    """The description of the design in a folder."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"There is no design at {folder}.", hint="Compile the model first.")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def source_in(folder: Path, top: str) -> VerilogSource:
    """The Verilog and the memories of a design, without its testbench."""
    return VerilogSource(
        {
            path.name: path.read_bytes()
            for path in sorted((folder / HDL).iterdir())
            if belongs_to_design(path.name)
        },
        top,
    )


def _synthesis_metrics(
    netlist: SynthesisedNetlist, described: Mapping[str, Any], part: Device, family: Family
) -> list[Metric]:
    def metric(name: str, value: float, unit: str = "", layer: str | None = None) -> Metric:
        return Metric(
            name, value, unit, Origin.SYNTHESISED, state=DesignState.LOGIC_SYNTHESIS, tool="yosys",
            version=netlist.version, target=TARGET, layer=layer, note=family.note or None,
        )  # fmt: skip

    metrics = [metric(kind, netlist.total[kind]) for kind in family.takes]
    metrics += [
        metric(f"{kind}_share", 100.0 * share, "%")
        for kind in family.takes
        if (share := part.share(kind, netlist.total[kind])) is not None
    ]
    for block in described["blocks"]:
        counts = netlist.by_block.get(block["instance"], {})
        metrics += [
            metric(kind, counts[kind], layer=block["instance"])
            for kind in family.takes
            if counts.get(kind)
        ]
    return metrics
