# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Folded designs of reference models in one width, and with their dearest layer in fewer bits.

``python -m reports.make.quantization --methods mixed`` trains the networks, and
``python -m reports.make.mixed`` regenerates ``reports/reference/mixed`` from their files.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import DisagreementError
from edgeinfer.base.plan import write_file
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.targets.registry import ChosenTarget, choose, choose_folded
from edgeinfer.zoo import entry_of
from reports.make.quantization import FOLDER as TRAINED
from reports.make.quantization import MIXED, Method, file_of, judging_samples

COMMAND = "python -m reports.make.mixed"
FOLDER = Path("reports/reference/mixed")
BITS = 6
PART = "xczu7ev"  # where products of few bits take LUTs
BOTH: tuple[Method, Method] = ("qat", "mixed")
KINDS = ("dsp", "lut", "ff", "bram18")
CYCLES = ("ii_cycles", "latency_cycles")
SAMPLES = 24  # of which designs are simulated


@dataclass(frozen=True, slots=True)
class FoldedDesign:
    """A network's folded design: estimated resources, each with the ends of its band, and the
    largest share of the part that any of them takes, in percent; cycles; what its network loses
    against the float one, with the ends of the interval."""

    file: str
    bits: Mapping[str, tuple[int, int]]  # by layer: of what it reads, and of its weights
    resources: Mapping[str, tuple[float, float, float]]
    share: float
    cycles: Mapping[str, int]
    loss: tuple[float, float, float]
    seed_losses: tuple[float, ...]  # of the same training with other seeds, where it was done
    simulated: tuple[str, ...]  # in which its integers were the engine's
    samples: int


@dataclass(frozen=True, slots=True)
class WidthComparison:
    """The network of one width and that of two, on a part, a frame in so many cycles."""

    model: str
    part: str
    interval_cycles: int
    before: FoldedDesign
    after: FoldedDesign

    @property
    def is_halved(self) -> bool:
        """Whether half of the DSP blocks are left, which the first design takes most of."""
        return 2 * self.after.resources["dsp"][0] <= self.before.resources["dsp"][0]

    @property
    def keeps_score(self) -> bool:
        """Whether what the second network loses is within the first one's interval, or below."""
        return self.after.loss[0] <= self.before.loss[2]


def compare(name: str, rows: Mapping[str, Any], *, simulated: bool = True) -> WidthComparison:
    """Both networks' designs, from the files of the trained weights; `rows` are those of the table
    of what quantization costs. That of two widths is also simulated: the other's simulations are in
    the results of the reference models."""
    networks = {method: _lower_file(TRAINED / file_of(name, method, BITS)) for method in BOTH}
    first = choose_folded(PART)
    prices = first.target.multiplier_prices(networks["qat"].program, first.settings)
    assert prices is not None  # of a folded design
    paced = choose_folded(PART, prices.interval_cycles)
    samples, _ = judging_samples(entry_of(name), SAMPLES)
    before, after = (
        _fold(name, method, networks[method], paced, rows, samples if simulate else None)
        for method, simulate in zip(BOTH, (False, simulated), strict=True)
    )
    return WidthComparison(name, first.settings.part, prices.interval_cycles, before, after)


def _lower_file(path: Path) -> LoweredModel:
    loaded = load(path)
    return lower(loaded.graph, loaded.recipe)


def _fold(
    name: str,
    method: Method,
    network: LoweredModel,
    paced: ChosenTarget,
    rows: Mapping[str, Any],
    samples: Samples | None,
) -> FoldedDesign:
    """A network's design at a pace; with samples, also simulated against the engine."""
    program = network.program
    figures = {
        metric.name: metric
        for metric in paced.target.estimate(program, paced.settings)
        if metric.layer is None
    }
    row = rows[f"{name} {method} {BITS}"]
    loss = row["loss"]
    simulated = () if samples is None else _simulate(network, paced, samples)
    return FoldedDesign(
        file_of(name, method, BITS),
        _layer_bits(program),
        {kind: _with_band(figures[kind]) for kind in KINDS},
        max(figures[f"{kind}_share"].value for kind in KINDS),
        {kind: int(figures[kind].value) for kind in CYCLES},
        (loss["value"], loss["low"], loss["high"]),
        tuple(row.get("seed_losses", ())),
        simulated,
        SAMPLES if simulated else 0,
    )


def _layer_bits(program: Program) -> dict[str, tuple[int, int]]:
    return {
        op.name: (program.type(op.x).bits, op.weight_type.bits)
        for op in program.ops
        if isinstance(op, Accumulates)
    }


def _with_band(metric: Any) -> tuple[float, float, float]:
    return metric.value, metric.low, metric.high


def _simulate(network: LoweredModel, paced: ChosenTarget, samples: Samples) -> tuple[str, ...]:
    """The stages whose integers are the engine's: the design in Verilog, and C++ for HLS."""
    program = network.program
    raw = raw_inputs(program, network.recipe, samples)
    expected = Engine(program, threads=1).run(raw)
    for chosen in (paced, choose("hls", {})):
        with scratch_folder("reference") as folder:
            chosen.target.emit(program, chosen.settings).write(folder)
            outputs = chosen.target.simulate(program, folder, raw, chosen.settings)
        for output, integers in expected.items():
            if not np.array_equal(outputs[output], integers):
                raise DisagreementError(
                    f"{program.name}: {output} of the target {chosen.name} is not the engine's."
                )
    return ("rtl", "csim")


def page(table: Mapping[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# Half of the DSP blocks at the same pace",
        "",
        "The trained 6-bit networks of [quantization.md](../quantization/quantization.md), and the "
        "same with the layer of most multipliers, and what it reads, in 4 bits. DSP blocks are "
        "what the first designs take most of their part; products of 4 bits by 4 take LUTs there, "
        "which then may be the largest share. "
        "Both designs take a frame in as many cycles as the first with as many multipliers as the "
        "part allows. Resources are estimated, with their bands; cycles are proved; the loss is "
        "that of the area under the curve against the float network, with its 95 % interval on "
        "events that neither taught nor chose; that of the same training with other seeds stands "
        "beside it. Where stages are named, the integers of "
        f"{SAMPLES} samples were the engine's in them: `rtl` simulates the design's Verilog, "
        "`csim` the C++ for HLS. The simulations of the 6-bit networks are in their own results.",
        "",
        f"Regenerate with `{table['command']}`; `{table['training']}` trains the networks.",
        "",
        "| model | part, cycles a frame | bits read x bits of weights, by layer "
        "| DSP | LUT | FF | BRAM (18 kb) | largest share | latency, cycles | loss "
        "| 95 % interval | other seeds | simulated |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"].values():
        for which in ("before", "after"):
            each = row[which]
            bits = ", ".join(f"{x}x{w}" for x, w in each["bits"].values())
            loss, stages = each["loss"], ", ".join(each["simulated"]) or "-"
            seeds = ", ".join(f"{one:.4f}" for one in each["seed_losses"]) or "-"
            lines.append(
                f"| {row['model']} | {row['part']}, {row['interval_cycles']:,} | {bits} | "
                + " | ".join(_cell(*each["resources"][kind]) for kind in KINDS)
                + f" | {each['share']:.1f} % | {each['cycles']['latency_cycles']:,} "
                f"| {loss[0]:.4f} | {loss[1]:.4f} to {loss[2]:.4f} | {seeds} "
                f"| {stages} |"
            )
    return "\n".join(lines) + "\n"


def _cell(value: float, low: float, high: float) -> str:
    return f"{value:,.0f}" if low == high else f"{value:,.0f} ({low:,.0f} to {high:,.0f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make both files; 1 where a design takes too much or a network scores too little."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="models; all of them if none is named")
    parser.add_argument("--estimate", action="store_true", help="simulate nothing")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    trained = json.loads((TRAINED / "quantization.json").read_text(encoding="utf-8"))["rows"]
    path = options.output / "mixed.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    missed = 0
    for name in options.names or MIXED:
        comparison = compare(name, trained, simulated=not options.estimate)
        missed += not (comparison.is_halved and comparison.keeps_score)
        rows[name] = dataclasses.asdict(comparison)
    table = {
        "command": COMMAND,
        "training": "python -m reports.make.quantization --methods mixed",
        "rows": {name: rows[name] for name in MIXED if name in rows},
    }
    write_file(path, json.dumps(table, indent=1) + "\n")
    again = json.loads(path.read_text(encoding="utf-8"))
    write_file(options.output / "mixed.md", page(again))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
