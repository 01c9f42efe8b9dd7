# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What open tools find for a design that lies in a folder: its cells, its clock, its bitstream."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import ToolFailedError, ToolMissingError, UsageError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.names import Identifier
from edgeinfer.base.plan import write_file
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.emit.emit import HDL, MANIFEST, render_template
from edgeinfer.targets.rtl.plane.counts import ClockFigure, figures_at_clock
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.families import KINDS, Family, family_of
from edgeinfer.targets.rtl.tools.place import (
    RoutedDesign,
    constraints,
    flow_of,
    pack_bitstream,
    pins_of,
    place_and_route,
)
from edgeinfer.targets.rtl.tools.synthesis import (
    Progress,
    SynthesisedNetlist,
    VerilogSource,
    silent,
    synthesise,
)
from edgeinfer.targets.rtl.tools.vivado import available, by_vivado

LEAST_SECONDS = 1.0  # what a tool is given at least, so that it is the one to say that time is up


@dataclass(frozen=True, slots=True)
class TimeBox:
    """So many seconds from now on."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """What the next tool may take."""
        return max(self.began + self.seconds - time.monotonic(), LEAST_SECONDS)

    @property
    def over(self) -> bool:
        """Whether nothing more ought to be begun."""
        return self.left <= LEAST_SECONDS


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
        for told in () if bare else described[way]:
            name = told["port"]
            add(f"{name}_tdata", 8 * told["bytes_per_beat"], fed)
            add(f"{name}_tvalid", 1, fed)
            add(f"{name}_tlast", 1, fed)
            add(f"{name}_tready", 1, read)
    if not bare:
        add("misframed", 1, "out")
    top = f"{core.top}_shell"
    known = {
        "core": Identifier(core.top), "top": Identifier(top), "ports": ports, "bits_in": bits["in"],
        "bits_out": bits["out"],
    }  # fmt: skip
    return VerilogSource({**core.files, f"{top}.v": render_template(TEMPLATE, known)}, top)


TARGET = "rtl"
BENCH = re.compile(r"^tb_|_tb\.v$")
MULTIPLYING = ("ei_mac", "ei_plane_dense")
BUILD = "build"  # in the target's folder: bitstreams


@dataclass(frozen=True, slots=True)
class ToolMeasurement:
    """A design taken through the tools: figures, and the bitstream where one was made."""

    metrics: tuple[Metric, ...]
    bitstream: Path | None = None


def measure_design(
    folder: Path, settings: RtlSettings, progress: Progress = silent
) -> ToolMeasurement:
    """Synthesise what lies in a folder and, if asked, place and route it and pack its bitstream.
    For AMD's parts Vivado does it where it is installed."""
    described = manifest_of(folder)
    part = part_of(settings)
    vivado = available(part)
    if vivado is not None:
        if settings.route_tries > 1:
            raise UsageError(
                "Vivado has no seeds: its routing is the same in each try.",
                hint="Leave the tries out for AMD's parts.",
            )
        return ToolMeasurement(by_vivado(vivado, folder, described, settings, progress))
    family = family_of(part.fabric)
    if settings.route:
        flow_of(part)  # refused before anything is run
    source = source_in(folder, described["top"])
    dsp = wants_dsp(described["blocks"], part)
    box = TimeBox(settings.tool_seconds)
    made = synthesise(source, family, dsp=dsp, seconds=box.left, progress=progress)
    metrics = _synthesis_metrics(made, described, part, family)
    if not settings.route:
        return ToolMeasurement(tuple(metrics))
    shell = synthesise(
        wrap_in_shell(source, described), family, dsp=dsp, seconds=box.left, progress=progress
    )
    tries = _tries(shell.netlist, part, settings, box, progress)
    routed = max(tries, key=lambda one: one.fmax_mhz)
    timed = figures_at_clock(folder, described, routed.fmax_mhz)
    metrics += _route_metrics(routed, timed, len(tries))
    try:
        made_bitstream = pack_bitstream(routed, part, seconds=box.left, progress=progress)
    except ToolMissingError:
        return ToolMeasurement(tuple(metrics))
    bitstream = folder / BUILD / f"{part.name}-{made_bitstream.name}"
    write_file(bitstream, made_bitstream.read_bytes())
    return ToolMeasurement(tuple(metrics), bitstream)


def manifest_of(folder: Path) -> dict[str, Any]:
    """The description of the design in a folder."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"There is no design at {folder}.", hint="Compile the model first.")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def source_in(folder: Path, top: str) -> VerilogSource:
    """The Verilog and the memories of a design, without its testbench."""
    return VerilogSource(
        {
            path.name: path.read_bytes()
            for path in sorted((folder / HDL).iterdir())
            if path.suffix in (".v", ".mem") and not BENCH.search(path.name)
        },
        top,
    )


def wants_dsp(blocks: list[Mapping[str, Any]], part: Device) -> bool:
    """Whether a part has DSP blocks for all multipliers of the blocks (as the manifest tells them);
    else multipliers are made of LUTs. Weights that never change are sums of shifted inputs."""
    folded = [block["parameters"] for block in blocks if block["module"] in MULTIPLYING]
    wanted: int = sum(p["PE"] * p["SIMD"] for p in folded if p["SF"] * p["NF"] > 1)
    return wanted <= (part.offers("dsp") or 0)


def _tries(
    netlist: Path, part: Device, settings: RtlSettings, box: TimeBox, progress: Progress
) -> list[RoutedDesign]:
    """Place and route from one seed after another, until the clock is reached. A try that fails is
    an error only if none succeeds."""
    wanted = constraints(part, pins_of(part), settings.clock_mhz)
    tries: list[RoutedDesign] = []
    failed: ToolFailedError | None = None
    for seed in range(1, settings.route_tries + 1):
        if seed > 1 and box.over:
            break
        try:
            made = place_and_route(
                netlist, part, wanted, settings.clock_mhz, seconds=box.left, seed=seed,
                part_name=settings.part, progress=progress,
            )  # fmt: skip
        except ToolFailedError as error:
            failed = error
            continue
        tries.append(made)
        if made.fmax_mhz >= settings.clock_mhz:
            break
    if not tries:
        assert failed is not None
        raise failed
    return tries


def _synthesis_metrics(
    made: SynthesisedNetlist, described: Mapping[str, Any], part: Device, family: Family
) -> list[Metric]:
    def metric(name: str, value: float, unit: str = "", layer: str | None = None) -> Metric:
        return Metric(
            name, value, unit, Origin.SYNTHESISED, tool="yosys", version=made.version,
            target=TARGET, layer=layer, note=family.note or None,
        )  # fmt: skip

    metrics = [metric(kind, made.total[kind]) for kind in KINDS]
    metrics += [
        metric(f"{kind}_share", 100.0 * share, "%")
        for kind in KINDS
        if (share := part.share(kind, made.total[kind])) is not None
    ]
    for block in described["blocks"]:
        counts = made.by_block.get(block["instance"], {})
        metrics += [
            metric(kind, counts[kind], layer=block["instance"])
            for kind in KINDS
            if counts.get(kind)
        ]
    return metrics


def _route_metrics(made: RoutedDesign, timed: list[ClockFigure], tries: int) -> list[Metric]:
    """The clock, what follows from it, and shares of the part; of several tries it says so."""
    figures = list(timed)
    for kind in KINDS:
        used, available = made.used.get(kind, 0), made.available.get(kind, 0)
        figures.append((kind, used, ""))
        if available:
            figures.append((f"{kind}_share", 100.0 * used / available, "%"))
    return [
        Metric(name, value, unit, Origin.ROUTED, tool=made.tool, version=made.version,
               target=TARGET, note=f"the fastest of {tries} tries" if tries > 1 else None)
        for name, value, unit in figures
    ]  # fmt: skip
