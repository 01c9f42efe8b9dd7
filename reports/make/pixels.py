# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What few bits cost a network that labels pixels, by its accuracy at lit pixels.

``python -m reports.make.pixels`` regenerates ``reports/reference/pixels``: the table, and the
trained models that it speaks of. ``--bits 6`` renews the rows of that width, ``--methods ptq``
those without training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.plan import sha256_of, write_file
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.export.qkeras import write
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, QuantizedGraph, quantize
from edgeinfer.precision.qat.fine_tune import Tutor
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.readers import load
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import EventSamples, ZooEntry, stage_seed
from edgeinfer.zoo.evaluate import BootstrapInterval, JudgedOutputs, values_of
from edgeinfer.zoo.reference import judge_network, load_reference
from quantization.recipe import Recipe
from reports.make.quantization import CHOOSE_SEED, TEACH_SEED, TEST_SEED, file_of
from reports.make.unseen import COVERAGE

COMMAND = "python -m reports.make.pixels"
FOLDER = Path("reports/reference/pixels")
NAME = "sparse-ssnet-small"
Method = Literal["ptq", "qat"]
WIDTHS = (8, 6)
RANGE_SEEDS = (TEACH_SEED, 54, 55)  # of planes for ranges; those of the first teach as well
RANGES, TEACHING, CHOOSING, JUDGED = 96, 960, 200, 1_000  # planes
REPLICAS = 2_000
SETTINGS = QatSettings(epochs=4, batch=16, learning_rate=1e-3)
FIGURES = {"pixel_accuracy": "five classes", "track_shower_accuracy": "two classes"}
Counts = NDArray[np.float64]  # of pixels, plane by plane
NOTE = (
    "Measured on simulated data; this is not a detector's performance. A figure is the share of "
    "lit pixels whose class is right, of all planes that judge; these neither taught nor chose. "
    "Intervals hold 95 % of a bootstrap over planes; that of a loss resamples the difference from "
    "the float network on the same planes. Weights, activations and inputs have the stated width."
)


@dataclass(frozen=True, slots=True)
class PixelRow:
    """A network at one width: its figures, and how much lower they are than the float one's."""

    figures: dict[str, BootstrapInterval]
    losses: dict[str, BootstrapInterval]
    losses_by_draw: dict[str, list[float]] | None = None  # of the planes that ranges come from
    best_epoch: int | None = None  # of those of training; 0 is the network before it
    file: str | None = None  # of trained weights, beside the table
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PixelJudge:
    """The planes that judge, and what the float network says of them."""

    entry: ZooEntry
    samples: EventSamples
    exact: JudgedOutputs

    @staticmethod
    def of(graph: Graph, count: int = JUDGED) -> PixelJudge:
        """Planes of a seed that nothing else uses."""
        entry = entry_of(NAME)
        samples = entry.data(stage_seed(TEST_SEED, "fresh"), count)
        return PixelJudge(entry, samples, judge_network(entry, graph, samples))

    def integers(self, graph: Graph, recipe: Recipe) -> JudgedOutputs:
        """What a network's integers say of the planes."""
        lowered = lower(graph, recipe)
        inputs = {name: values.astype(np.float64) for name, values in self.samples.inputs.items()}
        planes = Samples(inputs, "planes that judge")
        outputs = judge.program_outputs(lowered.program, lowered.recipe, planes)
        return JudgedOutputs(outputs, self.samples)

    def row(self, actual: JudgedOutputs) -> PixelRow:
        """Figures and losses, planes resampled; of a loss, both networks' at once."""
        lit, exact = self._right_pixels(self.exact)
        _, right = self._right_pixels(actual)
        lost = {name: exact[name] - right[name] for name in FIGURES}
        return PixelRow(
            {name: _share_between(right[name], lit) for name in FIGURES},
            {name: _share_between(lost[name], lit) for name in FIGURES},
        )

    def _right_pixels(self, outputs: JudgedOutputs) -> tuple[Counts, dict[str, Counts]]:
        """Of each plane that has lit pixels: how many, and how many of them are right."""
        pixels = outputs.by_lit_pixel()
        event = pixels.samples.event
        planes = np.split(np.arange(event.size), np.flatnonzero(np.diff(event)) + 1)
        values = [values_of(self.entry, pixels.take(rows)) for rows in planes]
        lit = np.array([float(rows.size) for rows in planes])
        return lit, {name: np.array([each[name] for each in values]) * lit for name in FIGURES}


def _share_between(right: Counts, lit: Counts, seed: int = 0) -> BootstrapInterval:
    """Right pixels of all planes over lit ones, and where 95 % of the replicas' shares lie."""
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, lit.size, (REPLICAS, lit.size))
    drawn = right[planes].sum(axis=1) / lit[planes].sum(axis=1)
    low, high = np.quantile(drawn, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return BootstrapInterval(float(right.sum() / lit.sum()), float(low), float(high))


def calibrate(graph: Graph, bits: int, seed: int = TEACH_SEED) -> QuantizedGraph:
    """The network of one width before it is trained."""
    samples, _ = simulate_samples(entry_of(NAME), stage_seed(seed, "fresh"), RANGES)
    return quantize(graph, samples.inputs, PtqSettings(bits))


def untrained_row(judged: PixelJudge, graph: Graph, bits: int) -> PixelRow:
    """A width without training; its losses also with ranges from other planes."""
    rows = []
    for seed in RANGE_SEEDS:
        quantized = calibrate(graph, bits, seed)
        rows.append(judged.row(judged.integers(quantized.graph, quantized.recipe)))
    by_draw = {name: [row.losses[name].value for row in rows] for name in FIGURES}
    return dataclasses.replace(rows[0], losses_by_draw=by_draw)


def trained_row(judged: PixelJudge, graph: Graph, bits: int, folder: Path) -> PixelRow:
    """A width with training; the model goes into the folder."""
    entry, quantized = judged.entry, calibrate(graph, bits)
    teach, _ = simulate_samples(entry, stage_seed(TEACH_SEED, "fresh"), TEACHING)
    choose, _ = simulate_samples(entry, stage_seed(CHOOSE_SEED, "fresh"), CHOOSING)
    tutor = Tutor.of(graph, teach, choose, SETTINGS)
    trained = tutor.train(quantized.graph, quantized.recipe, _report_step)
    sys.stderr.write("".join(f"{epoch}\n" for epoch in trained.history))
    path = folder / file_of(NAME, "qat", bits)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(trained.graph, trained.recipe, path)
    again = load(path)  # what is judged is what the file holds
    row = judged.row(judged.integers(again.graph, again.recipe))
    return dataclasses.replace(row, best_epoch=trained.best, file=path.name, sha256=sha256_of(path))


def rows_of(
    judged: PixelJudge, graph: Graph, bits: int, methods: Sequence[Method], folder: Path
) -> dict[str, PixelRow]:
    """The rows of a width."""
    rows = {}
    if "ptq" in methods:
        rows[f"ptq {bits}"] = untrained_row(judged, graph, bits)
    if "qat" in methods:
        rows[f"qat {bits}"] = trained_row(judged, graph, bits, folder)
    _report(rows)
    return rows


def _report(rows: dict[str, PixelRow]) -> None:
    for name, row in rows.items():
        for figure, loss in row.losses.items():
            sys.stderr.write(f"{name}: {figure} loses {loss.value:.4f}\n")


def _report_step(done: int, total: int) -> None:
    if done % 10 == 0:
        sys.stderr.write(f"step {done} of {total}\n")


def write_table(folder: Path, judged: PixelJudge, rows: dict[str, PixelRow]) -> None:
    """Renew the given rows of the table; the others stay."""
    path = folder / "pixels.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else {}
    before |= {name: dataclasses.asdict(row) for name, row in rows.items()}
    lit = judged.exact.by_lit_pixel().samples
    order = ["float", *(f"{method} {bits}" for bits in WIDTHS for method in ("ptq", "qat"))]
    table = {
        "note": NOTE,
        "command": COMMAND,
        "model": NAME,
        "versions": {name: version(name) for name in ("edgeinfer", "keras", "tensorflow")},
        "planes": {"ranges": RANGES, "teaching": TEACHING, "choosing": CHOOSING, "judged": JUDGED},
        "judged_lit_planes": int(np.unique(lit.event).size),
        "judged_pixels": len(lit),
        "training": dataclasses.asdict(SETTINGS),
        "rows": {name: before[name] for name in order if name in before},
    }
    write_file(path, json.dumps(table, indent=1) + "\n")
    write_file(folder / "pixels.md", markdown(table))


def markdown(table: dict[str, Any]) -> str:
    """The table for people."""
    planes, training = table["planes"], table["training"]
    titles = "".join(
        f" {title} | 95 % interval | loss | 95 % interval |" for title in FIGURES.values()
    )
    lines = [
        "# What few bits cost a network that labels pixels",
        "",
        f"{table['model']}. {table['note']}",
        "",
        f"{planes['judged']:,} planes judge; {table['judged_lit_planes']:,} of them have lit "
        f"pixels, {table['judged_pixels']:,} in all. PTQ takes its ranges from "
        f"{planes['ranges']:,} planes. QAT goes on from there with {planes['teaching']:,} planes, "
        f"{training['epochs']} times each, of which whole frames are computed; "
        f"{planes['choosing']:,} others choose the epoch, by the area under the curve; 0 is the "
        f"network before training. Regenerate with `{table['command']}`.",
        "",
        f"| |{titles} epoch |",
        "|---|" + "---|" * (4 * len(FIGURES) + 1),
    ]
    for name, row in table["rows"].items():
        cells = [name if name == "float" else name.upper()]
        for figure in FIGURES:
            value, loss = row["figures"][figure], row["losses"][figure]
            cells += [f"{value['value']:.4f}", f"{value['low']:.4f} to {value['high']:.4f}"]
            cells += (
                ["", ""]
                if name == "float"
                else [f"{loss['value']:.4f}", f"{loss['low']:.4f} to {loss['high']:.4f}"]
            )
        cells.append("" if row["best_epoch"] is None else str(row["best_epoch"]))
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for name, row in table["rows"].items():
        for figure, losses in (row.get("losses_by_draw") or {}).items():
            lines.append(
                f"- {name.upper()}, ranges from {len(losses)} draws of as many planes: "
                f"{FIGURES[figure]} lose {', '.join(f'{loss:.4f}' for loss in losses)}."
            )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bits", nargs="+", type=int, choices=WIDTHS, default=WIDTHS)
    methods: tuple[Method, ...] = get_args(Method)
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    graph = load_reference(NAME)
    judged = PixelJudge.of(graph)
    write_table(options.output, judged, {"float": judged.row(judged.exact)})
    for bits in options.bits:
        rows = rows_of(judged, graph, bits, options.methods, options.output)
        write_table(options.output, judged, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
