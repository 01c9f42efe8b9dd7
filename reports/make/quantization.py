# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Quantize the reference models and write the table of what it costs them.

``python -m reports.make.quantization`` regenerates ``reports/reference/quantization``: the
table, and the trained models that it speaks of.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from edgeinfer.base.plan import sha256_of, write_file
from edgeinfer.data.samples import Samples
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.precision.qat.fine_tune import Tutor
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.readers import LoadedModel, load
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import ZooEntry, stage_seed
from edgeinfer.zoo.reference import load_graph, load_reference
from quantization.recipe import Recipe
from reports.make.unseen import ScoreLoss, Unseen

COMMAND = "python -m reports.make.quantization"
FOLDER = Path("reports/reference/quantization")
WORK = Path("build/zoo")  # where `reports.make.zoo` leaves what it trains
NOTE = (
    "Measured on simulated data; this is not a detector's performance. The loss is that of the "
    "score against the float network, on simulated events that neither taught nor chose; intervals "
    "hold 95 % of a bootstrap over whole events of that difference. The score is the area under "
    "the curve (mean over heads and classes) or, of a network that yields quantities alone, the "
    "negated error in standard deviations of the truth. Weights, activations and inputs all have "
    "the stated width, but for a layer of the rows MIXED."
)
Method = Literal["ptq", "qat", "mixed"]
LIMITS: dict[tuple[Method, int], float] = {("ptq", 8): 0.002, ("qat", 6): 0.005, ("qat", 4): 0.015}
UNTRAINED_LIMITS: dict[tuple[Method, int], float] = {
    ("ptq", 8): 0.002,
    ("ptq", 6): 0.005,
}  # its weights are too many to train again
MIXED_LIMITS = LIMITS | {("mixed", 6): 0.005}
SHARED_LIMITS: dict[tuple[Method, int], float] = {("ptq", 8): 0.01}  # of layers called repeatedly


@dataclass(frozen=True, slots=True)
class MixedWidths:
    """The layer with most multipliers, and what it reads, in so few bits that its products take
    LUTs; how the trained network gets used to it."""

    bits_of: tuple[tuple[str, int], ...]  # as --bits-of of `edgeinfer quantize`
    samples: int
    training: QatSettings


MIXED = {
    "hit-tagger-pooled": MixedWidths(
        (("conv", 4), ("image*", 4)), 20_000, QatSettings(epochs=4, learning_rate=1e-3)
    ),
    "track-pid": MixedWidths(
        (("conv2", 4), ("conv1_relu", 4)), 80_000, QatSettings(epochs=3, learning_rate=2e-3)
    ),
    "roi-finder": MixedWidths(
        (("conv2", 4), ("conv1_relu", 4)), 20_000, QatSettings(epochs=3, learning_rate=2e-4)
    ),
}
LIMITS_OF: dict[str, dict[tuple[Method, int], float]] = {
    "hit-tagger": UNTRAINED_LIMITS,
    "vertex-finder": SHARED_LIMITS,
    **dict.fromkeys(MIXED, MIXED_LIMITS),
}
SCHEDULES: dict[str, tuple[int, QatSettings | None]] = {
    "hit-tagger": (4_000, None),
    "hit-tagger-pooled": (40_000, QatSettings(epochs=10)),
    "track-pid": (40_000, QatSettings(epochs=12)),
    "roi-finder": (80_000, QatSettings(epochs=25, learning_rate=3e-3)),
    "jet-tagger": (80_000, QatSettings(epochs=20)),
    "vertex-finder": (3_000, None),
}
TEACH_SEED, CHOOSE_SEED, TEST_SEED = 51, 52, 53
OTHER_SEEDS = (1, 2)  # of trainings in two widths beside the one whose file ships
CHOOSING = 8_000
JUDGED_MACS = 4e9
JUDGED_SPAN = (15_000, 50_000)
JUDGED = {"vertex-finder": 3_000}  # samples, each a whole event, which takes long to simulate


def limits_of(name: str) -> dict[tuple[Method, int], float]:
    """What a model's rows are, and what each may lose."""
    return LIMITS_OF.get(name, LIMITS)


def load_float(name: str, work: Path) -> Graph:
    """A float network: the committed reference, or the first seed that `reports.make.zoo` left."""
    if entry_of(name).reference is not None:
        return load_reference(name)
    return load_graph(work / f"{name}-seed0.keras", name)


@dataclass(frozen=True, slots=True)
class WidthRow:
    """One model at one width."""

    model: str
    method: Method
    bits: int
    limit: float
    float_score: float
    loss: ScoreLoss
    ebops: int
    weight_bits: int
    test_samples: int
    test_events: int
    file: str | None  # of trained weights, beside the table
    sha256: str | None
    seed_losses: tuple[float, ...] = ()  # of the same training with `OTHER_SEEDS`

    @property
    def key(self) -> str:
        """Where the table keeps it."""
        return f"{self.model} {self.method} {self.bits}"

    @property
    def is_within_limit(self) -> bool:
        """Whether the loss is within what was asked."""
        return self.loss.value <= self.limit


def judging_samples(entry: ZooEntry, count: int | None = None) -> tuple[Samples, Any]:
    """Simulated events that judge; a smaller network is judged on more."""
    usual = int(np.clip(JUDGED_MACS / entry.macs, *JUDGED_SPAN))
    sample_count = JUDGED.get(entry.name, usual) if count is None else count
    return simulate_samples(entry, stage_seed(TEST_SEED, "fresh"), sample_count)


def rows_of(
    name: str, folder: Path, work: Path, methods: Collection[Method] = get_args(Method)
) -> list[WidthRow]:
    """A model's rows of these methods; trained models go into the folder."""
    entry, graph = entry_of(name), load_float(name, work)
    count, usual = SCHEDULES[name]
    unseen = Unseen.of(graph, *judging_samples(entry))
    rows = []
    for (method, bits), limit in limits_of(name).items():
        if method not in methods:
            continue
        mixed = MIXED[name] if method == "mixed" else None
        teach, _ = simulate_samples(
            entry, stage_seed(TEACH_SEED, "fresh"), count if mixed is None else mixed.samples
        )
        settings, begun, formats = usual, LoadedModel(graph, Recipe(), ()), PtqSettings(bits)
        if mixed is not None:  # the trained network of one width goes on learning
            trained_file = file_of(name, "qat", bits)
            place = folder if (folder / trained_file).is_file() else FOLDER
            settings, begun = mixed.training, load(place / trained_file)
            formats = PtqSettings(bits, bits_of=mixed.bits_of)
        quantized = quantize(begun.graph, teach.inputs, formats)
        network, recipe, path = quantized.graph, quantized.recipe, None
        seed_losses: list[float] = []
        if settings is not None and method != "ptq":
            choose, _ = simulate_samples(entry, stage_seed(CHOOSE_SEED, "fresh"), CHOOSING)
            tutor = Tutor.of(graph, teach, choose, settings)
            start = tutor.begin((network, recipe), (begun.graph, begun.recipe), formats)
            trained = tutor.train(*start)
            path = folder / file_of(name, method, bits)
            network, recipe = _reread_network(trained.graph, trained.recipe, path)
            for seed in OTHER_SEEDS if mixed is not None else ():
                again = replace(tutor, settings=replace(settings, seed=seed)).train(*start)
                seed_losses.append(unseen.loss(lower(again.graph, again.recipe), replicas=1).value)
        lowered = lower(network, recipe)
        costs = costs_of(lowered.program)
        rows.append(
            WidthRow(
                name,
                method,
                bits,
                limit,
                unseen.whole.exact_score,
                unseen.loss(lowered),
                costs.ebops,
                costs.weight_bits,
                len(unseen.samples),
                int(np.unique(unseen.event).size),
                None if path is None else path.name,
                None if path is None else sha256_of(path),
                tuple(seed_losses),
            )
        )
        sys.stderr.write(f"{rows[-1].key}: loses {rows[-1].loss.value:.5f} (limit {limit})\n")
    return rows


def file_of(name: str, method: Method, bits: int) -> str:
    """The file of a model's trained weights."""
    return f"{name}-{bits}bit{'-mixed' if method == 'mixed' else ''}.keras"


def _reread_network(graph: Graph, recipe: Any, path: Path) -> tuple[Graph, Any]:
    """A trained network as its file holds it."""
    from edgeinfer.export.qkeras import write

    path.parent.mkdir(parents=True, exist_ok=True)
    write(graph, recipe, path)
    again = load(path)
    return again.graph, again.recipe


def write_table(folder: Path, rows: Sequence[WidthRow]) -> None:
    """Renew the given rows of the table; the others stay."""
    path = folder / "quantization.json"
    rows_by_key = json.loads(path.read_text())["rows"] if path.exists() else {}
    rows_by_key |= {row.key: dataclasses.asdict(row) for row in rows}
    order = [f"{name} {method} {bits}" for name in SCHEDULES for method, bits in limits_of(name)]
    schedules = {
        name: {"samples": count, **({} if settings is None else dataclasses.asdict(settings))}
        for name, (count, settings) in SCHEDULES.items()
    }
    table = {
        "note": NOTE,
        "command": COMMAND,
        "versions": {name: version(name) for name in ("edgeinfer", "keras", "tensorflow")},
        "training": schedules,
        "training_mixed": {name: dataclasses.asdict(each) for name, each in MIXED.items()},
        "rows": {key: rows_by_key[key] for key in order if key in rows_by_key},
    }
    write_file(path, json.dumps(table, indent=1) + "\n")
    write_file(folder / "quantization.md", markdown(table))


def markdown(table: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# What quantization costs the reference models",
        "",
        table["note"],
        "",
        f"Regenerate with `{table['command']}`. PTQ adapts the weights to their formats without "
        "training; QAT trains them, mostly towards the float network's own answers; MIXED goes "
        "on training the 6-bit network with the layer of most multipliers, and what it reads, in 4 "
        "bits ([folded designs before and after](../mixed/mixed.md)). The hit-tagger "
        "has 11.9 million weights, which do not ship: `python -m reports.make.zoo hit-tagger` "
        "trains them in 12 epochs, and they are not trained again for their formats.",
        "",
        "| model | method | bits | float score | loss | 95 % interval | allowed | EBOPs "
        "| weight bits | events |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"].values():
        loss = row["loss"]
        lines.append(
            f"| {row['model']} | {row['method'].upper()} | {row['bits']} | "
            f"{row['float_score']:.4f} | {loss['value']:.4f} | "
            f"{loss['low']:.4f} to {loss['high']:.4f} | {row['limit']} | {row['ebops']:,} | "
            f"{row['weight_bits']:,} | {row['test_events']:,} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where a loss is above what was asked."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="models; all of them if none is named")
    parser.add_argument(
        "--methods", nargs="+", choices=get_args(Method), default=get_args(Method), help="rows"
    )
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=WORK, help="trained models")
    options = parser.parse_args(arguments)
    missed = 0
    for name in options.names or SCHEDULES:
        with tempfile.TemporaryDirectory() as work:
            rows = rows_of(name, Path(work), options.work, options.methods)
            for row in rows:
                if row.file is not None:
                    write_file(options.output / row.file, (Path(work) / row.file).read_bytes())
        write_table(options.output, rows)
        missed += sum(not row.is_within_limit for row in rows)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
