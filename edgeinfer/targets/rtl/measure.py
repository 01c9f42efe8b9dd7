# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What open tools find for a design that lies in a folder: its cells, its clock, its bitstream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.devices import Device
from edgeinfer.errors import ToolMissingError, UsageError
from edgeinfer.metrics import Metric, Origin
from edgeinfer.plan import write_file
from edgeinfer.targets.rtl.emit import HDL, MANIFEST
from edgeinfer.targets.rtl.families import KINDS, Family, family_of
from edgeinfer.targets.rtl.parts import part_of
from edgeinfer.targets.rtl.place import Placed, constraints, flow_of, packed, pins_of, placed
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.shell import shelled
from edgeinfer.targets.rtl.synthesis import Progress, Source, Synthesised, silent, synthesised
from edgeinfer.targets.rtl.vivado import available, by_vivado

TARGET = "rtl"
BENCH = re.compile(r"^tb_|_tb\.v$")
BUILD = "build"  # in the target's folder: bitstreams


@dataclass(frozen=True, slots=True)
class Taken:
    """A design taken through the tools: figures, and the bitstream where one was made."""

    metrics: tuple[Metric, ...]
    bitstream: Path | None = None


def measured(folder: Path, settings: RtlSettings, progress: Progress = silent) -> Taken:
    """Synthesise what lies in a folder and, if asked, place and route it and pack its bitstream.
    For AMD's parts Vivado does it where it is installed."""
    described = manifest_of(folder)
    part = part_of(settings)
    vivado = available(part)
    if vivado is not None:
        return Taken(by_vivado(vivado, folder, described, settings, progress))
    family = family_of(part.fabric)
    if settings.route:
        flow_of(part)  # refused before anything is run
    source = source_in(folder, described["top"])
    dsp = wants_dsp(described["blocks"], part)
    made = synthesised(
        source, family, dsp=dsp, seconds=settings.synthesis_seconds, progress=progress
    )
    metrics = _synthesis_metrics(made, described, part, family)
    if not settings.route:
        return Taken(tuple(metrics))
    routed = _routed(source, described, part, settings, dsp, progress)
    metrics += route_metrics(routed, described)
    try:
        made_bitstream = packed(routed, part, seconds=settings.synthesis_seconds, progress=progress)
    except ToolMissingError:
        return Taken(tuple(metrics))
    bitstream = folder / BUILD / f"{part.name}-{made_bitstream.name}"
    write_file(bitstream, made_bitstream.read_bytes())
    return Taken(tuple(metrics), bitstream)


def manifest_of(folder: Path) -> dict[str, Any]:
    """The description of the design in a folder."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"There is no design at {folder}.", hint="Compile the model first.")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def source_in(folder: Path, top: str) -> Source:
    """The Verilog and the memories of a design, without its testbench."""
    return Source(
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
    folded = [block["parameters"] for block in blocks if block["module"] == "ei_mac"]
    wanted: int = sum(p["PE"] * p["SIMD"] for p in folded if p["SF"] * p["NF"] > 1)
    return wanted <= (part.offers("dsp") or 0)


def _routed(
    core: Source,
    described: Mapping[str, Any],
    part: Device,
    settings: RtlSettings,
    dsp: bool,
    progress: Progress,
) -> Placed:
    source = shelled(core, described)
    made = synthesised(
        source, family_of(part.fabric), dsp=dsp, seconds=settings.synthesis_seconds,
        progress=progress,
    )  # fmt: skip
    wanted = constraints(part, pins_of(part), settings.clock_mhz)
    return placed(
        made.netlist, part, wanted, settings.clock_mhz, seconds=settings.route_seconds,
        part_name=settings.part, progress=progress,
    )  # fmt: skip


def _synthesis_metrics(
    made: Synthesised, described: Mapping[str, Any], part: Device, family: Family
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


def route_metrics(made: Placed, described: Mapping[str, Any]) -> list[Metric]:
    """The clock, what follows from it and the design's cycles, and shares of the part."""
    interval, latency = described["interval_cycles"], described["latency_cycles"]
    figures = [
        ("fmax_mhz", made.fmax_mhz, "MHz"),
        ("throughput", made.fmax_mhz * 1e6 / interval, "frames/s"),
        ("latency_us", latency / made.fmax_mhz, "us"),
    ]
    for kind in KINDS:
        used, available = made.used.get(kind, 0), made.available.get(kind, 0)
        figures.append((kind, used, ""))
        if available:
            figures.append((f"{kind}_share", 100.0 * used / available, "%"))
    return [
        Metric(name, value, unit, Origin.ROUTED, tool=made.tool, version=made.version,
               target=TARGET)
        for name, value, unit in figures
    ]  # fmt: skip
