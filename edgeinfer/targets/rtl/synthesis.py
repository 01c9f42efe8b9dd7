# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Yosys and nextpnr: what a design takes of an ECP5, and how fast its clock can be there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeinfer import tools
from edgeinfer.errors import ToolFailedError, UsageError
from edgeinfer.metrics import Metric, Origin
from edgeinfer.plan import write_file
from edgeinfer.targets.rtl.emit import HDL, MANIFEST, rendered
from edgeinfer.targets.rtl.parts import Part, part_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.verilator import cache_folder

TARGET = "rtl"
YOSYS = tools.Tool("yosys", "EDGEINFER_YOSYS", "synthesis", "pip install 'edgeinfer[rtl]'")
NEXTPNR = tools.Tool(
    "nextpnr-ecp5", "EDGEINFER_NEXTPNR_ECP5", "place and route for the ECP5",
    "pip install 'edgeinfer[rtl]'",
)  # fmt: skip
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}  # what each cell takes of the logic
KINDS = {"TRELLIS_FF": "ff", "MULT18X18D": "dsp", "DP16KD": "bram18"}
BENCH = re.compile(r"^tb_|_tb\.v$")
SCRIPT, PINS = "synth/ecp5.ys.j2", "synth/ecp5.lpf.j2"


@dataclass(frozen=True, slots=True)
class Synthesised:
    """Counts of cells by kind, for each block and for the whole."""

    version: str
    total: Mapping[str, int]
    by_block: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Routed:
    """The clock that a placed and routed design reaches, and what it takes."""

    version: str
    fmax_mhz: float
    used: Mapping[str, int]
    available: Mapping[str, int]


def measured(folder: Path, settings: RtlSettings) -> tuple[Metric, ...]:
    """Synthesise what lies in a folder and, if asked, place and route it."""
    described = _manifest(folder)
    part = part_of(settings.part)
    dsp = _multipliers(described) <= part.multipliers
    with tempfile.TemporaryDirectory(prefix="edgeinfer-synth-") as scratch:
        place = Path(scratch)
        netlist, made = synthesised(folder, described["top"], place, settings, dsp=dsp)
        metrics = _synthesis_metrics(made, described)
        if settings.route:
            routed_ = routed(netlist, place, part, settings)
            metrics += _route_metrics(routed_, described)
    return tuple(metrics)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"There is no design at {folder}.", hint="Compile the model first.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _multipliers(described: Mapping[str, Any]) -> int:
    """How many there are whose weights change; the others are sums of shifted inputs."""
    folded = [block["parameters"] for block in described["blocks"] if block["module"] == "ei_mac"]
    return sum(p["PE"] * p["SIMD"] for p in folded if p["SF"] * p["NF"] > 1)


def tool(native: tools.Tool) -> tools.FoundTool:
    """The native tool where it is on the PATH, else the one of the same name that pip installed."""
    environment = dict(os.environ)
    if not environment.get(native.override) and shutil.which(native.name) is None:
        packaged = Path(sys.executable).parent / f"yowasp-{native.name}"
        if packaged.is_file():
            environment[native.override] = str(packaged)
    return tools.find(native, environment)


def synthesised(
    folder: Path, top: str, place: Path, settings: RtlSettings, *, dsp: bool
) -> tuple[Path, Synthesised]:
    """The netlist and its counts; made once for each content."""
    found = tool(YOSYS)
    hdl = folder / HDL
    files = sorted(
        path
        for path in hdl.iterdir()
        if path.suffix in (".v", ".mem") and not BENCH.search(path.name)
    )
    sources = [path.name for path in files if path.suffix == ".v"]
    known = {"files": sources, "top": top, "netlist": "netlist.json", "dsp": dsp}
    script = rendered(SCRIPT, known)
    kept = _kept("yosys", [found.version.encode(), script, *(p.read_bytes() for p in files)])
    netlist = kept / "netlist.json"
    if not netlist.is_file():
        for path in files:
            shutil.copyfile(path, place / path.name)
        (place / "run.ys").write_bytes(script)
        tools.run(
            found, ["-q", "-s", "run.ys"], seconds=settings.synthesis_seconds, folder=place,
            log=place / "yosys.log",
        )  # fmt: skip
        kept.mkdir(parents=True, exist_ok=True)
        shutil.move(place / "netlist.json", kept / f".{os.getpid()}.partial")
        (kept / f".{os.getpid()}.partial").replace(netlist)
    return netlist, _counted(json.loads(netlist.read_text(encoding="utf-8")), top, found.version)


def _kept(kind: str, contents: list[bytes]) -> Path:
    state = hashlib.sha256()
    for content in contents:
        state.update(f"{len(content)} ".encode())
        state.update(content)
    return cache_folder() / kind / state.hexdigest()


def _counted(netlist: Mapping[str, Any], top: str, version: str) -> Synthesised:
    """Cells by kind; a cell belongs to the block whose instance its name begins with."""
    total: Counter[str] = Counter()
    by_block: dict[str, Counter[str]] = {}
    for name, cell in netlist["modules"][top]["cells"].items():
        kind = cell["type"]
        block = name.split(".", 1)[0] if "." in name else ""
        counts = by_block.setdefault(block, Counter())
        for what, number in _worth(kind):
            total[what] += number
            counts[what] += number
    by_block.pop("", None)
    return Synthesised(version, total, by_block)


def _worth(kind: str) -> list[tuple[str, int]]:
    if kind in LUTS:
        return [("lut", LUTS[kind])]
    return [(KINDS[kind], 1)] if kind in KINDS else []


def routed(netlist: Path, place: Path, part: Part, settings: RtlSettings) -> Routed:
    """Placed and routed; made once for each netlist."""
    found = tool(NEXTPNR)
    pins = rendered(PINS, {"clock_mhz": settings.clock_mhz, "clock_site": part.clock_site})
    words = json.dumps(asdict(part)).encode()
    kept = _kept("nextpnr", [found.version.encode(), pins, words, netlist.read_bytes()])
    report, bitstream = kept / "report.json", kept / "design.config"
    if not report.is_file():
        (place / "pins.lpf").write_bytes(pins)
        shutil.copyfile(netlist, place / "placed.json")
        tools.run(
            found,
            [
                f"--{part.size}", "--speed", part.speed, "--package", part.package,
                "--json", "placed.json", "--lpf", "pins.lpf", "--lpf-allow-unconstrained",
                "--timing-allow-fail", "--report", "report.json", "--textcfg", "design.config",
            ],
            seconds=settings.route_seconds, folder=place, log=place / "nextpnr.log",
        )  # fmt: skip
        write_file(bitstream, (place / "design.config").read_bytes())
        write_file(report, (place / "report.json").read_bytes())
    return _read_report(json.loads(report.read_text(encoding="utf-8")), found.version)


def _read_report(report: Mapping[str, Any], version: str) -> Routed:
    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    if not clocks:
        raise ToolFailedError("nextpnr reported no clock.", hint="Please report this.")
    used = {name: entry["used"] for name, entry in report["utilization"].items()}
    available = {name: entry["available"] for name, entry in report["utilization"].items()}
    return Routed(version, min(clocks), used, available)


def _synthesis_metrics(made: Synthesised, described: Mapping[str, Any]) -> list[Metric]:
    found = [
        Metric(name, count, "", Origin.SYNTHESISED, tool="yosys", version=made.version,
               target=TARGET)
        for name, count in sorted(made.total.items())
    ]  # fmt: skip
    for block in described["blocks"]:
        for name, count in sorted(made.by_block.get(block["instance"], {}).items()):
            found.append(
                Metric(name, count, "", Origin.SYNTHESISED, tool="yosys", version=made.version,
                       target=TARGET, layer=block["instance"])
            )  # fmt: skip
    return found


ROUTED_KINDS = {"TRELLIS_COMB": "lut", "TRELLIS_FF": "ff", "MULT18X18D": "dsp", "DP16KD": "bram18"}


def _route_metrics(result: Routed, described: Mapping[str, Any]) -> list[Metric]:
    interval, latency = described["interval_cycles"], described["latency_cycles"]
    figures = [
        ("fmax_mhz", result.fmax_mhz, "MHz"),
        ("throughput", result.fmax_mhz * 1e6 / interval, "frames/s"),
        ("latency_us", latency / result.fmax_mhz, "us"),
    ]
    for cell, name in ROUTED_KINDS.items():
        used, available = result.used.get(cell, 0), result.available.get(cell, 0)
        figures.append((name, used, ""))
        if available:
            figures.append((f"{name}_share", 100.0 * used / available, "%"))
    return [
        Metric(name, value, unit, Origin.ROUTED, tool="nextpnr-ecp5", version=result.version,
               target=TARGET)
        for name, value, unit in figures
    ]  # fmt: skip
