# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Yosys: a design's cells in a family, in total and for each block; run once for each content."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base import tools
from edgeinfer.base.devices import KINDS, Device
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.base.names import Identifier, QuotedText, remark
from edgeinfer.base.plan import writing
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.rtl.emit.emit import BENCH, render_template
from edgeinfer.targets.rtl.tools import cache
from edgeinfer.targets.rtl.tools.families import Family
from edgeinfer.targets.rtl.tools.programs import YOSYS, find_tool

SCRIPT = "synth/yosys.ys.j2"
NETLIST = "netlist.json"
MULTIPLYING = ("ei_mac", "ei_plane_dense")

Progress = Callable[[str, float, str], None]  # the step, seconds it has taken, the last line


def silent(step: str, seconds: float, line: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class VerilogSource:
    """Verilog and memory files by name, and the module on top."""

    files: Mapping[str, bytes]
    top: str


@dataclass(frozen=True, slots=True)
class SynthesisedNetlist:
    """A netlist on the disk, and its amounts by kind: for the whole and for each instance."""

    version: str
    netlist: Path
    total: Mapping[str, float]
    by_block: Mapping[str, Mapping[str, float]]


def synthesise(
    source: VerilogSource, family: Family, *, dsp: bool, seconds: float, progress: Progress = silent
) -> SynthesisedNetlist:
    """Synthesise; without `dsp` multipliers are made of LUTs."""
    tool = find_tool(YOSYS)
    script = script_of(source.files, source.top, family, dsp=dsp)
    contents = [
        part for name in sorted(source.files) for part in (name.encode(), source.files[name])
    ]
    kept = cache.entry("yosys", [tool.version.encode(), script, *contents])
    netlist = kept / NETLIST
    if netlist.is_file():
        cache.mark_used(kept)
    else:
        run_cached(
            tool, ["-s", "run.ys"], {**source.files, "run.ys": script},
            {NETLIST: NETLIST}, kept, seconds, "synthesis", progress,
        )  # fmt: skip
    total, by_block = counts(json.loads(netlist.read_text(encoding="utf-8")), source.top, family)
    return SynthesisedNetlist(tool.version, netlist, total, by_block)


def script_of(files: Collection[str], top: str, family: Family, *, dsp: bool) -> bytes:
    """What Yosys is told, in the folder of the files."""
    names = sorted(name for name in files if name.endswith(".v"))
    return render_template(
        SCRIPT,
        {"title": remark(family.title), "fabric": family.fabric, "dsp": dsp,
         "files": [QuotedText(name) for name in names], "top": Identifier(top),
         "netlist": QuotedText(NETLIST)},
    )  # fmt: skip


def belongs_to_design(name: str) -> bool:
    """Whether a file is Verilog or a memory of a design, and not of its testbench."""
    return name.endswith((".v", ".mem")) and not BENCH.search(name)


def wants_dsp(blocks: Collection[Mapping[str, Any]], part: Device) -> bool:
    """Whether a part has DSP blocks for all multipliers of the blocks (as the manifest tells them);
    else multipliers are made of LUTs. Weights that never change are sums of shifted inputs."""
    folded = [block["parameters"] for block in blocks if block["module"] in MULTIPLYING]
    multipliers: int = sum(
        p["PE"] * p["SIMD"] for p in folded if p["SF"] * p["NF"] * p.get("ROUNDS", 1) > 1
    )
    return multipliers <= (part.offers("dsp") or 0)


def refuse_overfull(netlist: SynthesisedNetlist, part: Device) -> None:
    """An error, with the numbers, where a part has too little of something: routing would take
    minutes to say less."""
    over = [
        f"{count:,.0f} {KINDS[kind]} of {offered:,}"
        for kind, count in netlist.total.items()
        if (offered := part.offers(kind)) is not None and count > offered
    ]
    if over:
        raise UsageError(
            f"The design does not fit {part.name}: it takes {', '.join(over)}.",
            hint="Choose a larger part, fewer bits, fewer multipliers, or a smaller model.",
        )


def run_cached(
    tool: tools.FoundTool,
    arguments: list[str],
    files: Mapping[str, bytes],
    results: Mapping[str, str],
    kept: Path,
    seconds: float,
    step: str,
    progress: Progress,
) -> None:
    """Run a tool in a folder of its own, and keep those of its files that `results` names."""
    started = time.monotonic()
    progress(step, 0.0, f"{tool.tool.name} {tool.version}".strip())
    with scratch_folder("rtl") as place:
        for name, content in files.items():
            (place / name).write_bytes(content)
        tools.run(
            tool, arguments, seconds=seconds, folder=place,
            report_line=lambda line: progress(step, time.monotonic() - started, line),
        )  # fmt: skip
        missing = [name for name in results if not (place / name).is_file()]
        if missing:
            raise ToolFailedError(
                f"{tool.tool.name} ended without an error, but left no {' and no '.join(missing)}."
            )
        with writing(kept):
            kept.mkdir(parents=True, exist_ok=True)
            for name, file_name in results.items():
                partial = kept / f".{file_name}.{os.getpid()}"
                shutil.move(place / name, partial)
                partial.replace(kept / file_name)
    cache.limit_size()


def counts(
    netlist: Mapping[str, object], top: str, family: Family
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Amounts by kind, of the whole and of each instance: a cell belongs to the instance that its
    name begins with. The few that join two instances bear a port's name, and belong to none."""
    cells: Counter[str] = Counter()
    by_block: dict[str, Counter[str]] = {}
    modules = netlist["modules"]
    assert isinstance(modules, dict)
    for name, cell in modules[top]["cells"].items():
        cells[cell["type"]] += 1
        if "." in name:
            by_block.setdefault(name.split(".", 1)[0], Counter())[cell["type"]] += 1
    return family.count_amounts(cells), {
        block: family.count_amounts(inside) for block, inside in by_block.items()
    }
