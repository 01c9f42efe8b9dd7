# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Train the reference models over several seeds and write the table of how well they do.

``python -m reports.make.zoo`` regenerates ``reports/reference/zoo``; with ``--commit``
it also renews the weights that ship with the package, those of the first seed. With ``--shipped``
these weights stand for their seed, so that further seeds can join a row without training that
one again.
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
from typing import Any

import numpy as np

from edgeinfer.base.plan import sha256_of, write_file
from edgeinfer.zoo import ENTRIES, entry_of, reference_path
from edgeinfer.zoo.entry import ZooEntry, stage_seed
from edgeinfer.zoo.evaluate import BootstrapInterval, JudgedOutputs, intervals_of, outside_window
from edgeinfer.zoo.progress import EpochLines
from edgeinfer.zoo.reference import (
    ReferenceRecord,
    commit,
    judge_network,
    load_graph,
    record_of,
)
from edgeinfer.zoo.train import train
from reports.make.guard import LIMIT_AUC, linear_guard_auc

NOTE = (
    "Measured on simulated data; this is not a detector's performance. Each seed has its own "
    "simulated events, its own training and its own test events. Intervals hold 95 % of a "
    "bootstrap over events, not over trainings: how far these are apart stands beside them. The "
    "first seed's weights ship, and `edgeinfer models` has their figures. Windows are our estimate "
    "of an honest difficulty."
)
COMMAND = "python -m reports.make.zoo"
GUARDED = "hit-tagger-pooled"
_GUARD_SAMPLES = 10_000
_VERSIONS = ("edgeinfer", "keras", "tensorflow", "numpy")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model's figures: over all seeds, and seed by seed."""

    entry: ZooEntry
    pooled: dict[str, BootstrapInterval]
    by_seed: dict[int, dict[str, BootstrapInterval]]

    def findings(self) -> list[str]:
        """Figures that are not as hard to reach as intended."""
        sentences = [
            outside_window(measure, self.pooled[measure.name])
            for measure in self.entry.measures
            if measure.name in self.pooled
        ]
        return [sentence for sentence in sentences if sentence]

    def to_json(self) -> dict[str, Any]:
        """The row as data."""
        return {
            "parameters": self.entry.parameters,
            "macs": self.entry.macs,
            "task": self.entry.task,
            "training": dataclasses.asdict(self.entry.schedule),
            "metrics": {
                measure.name: {
                    **dataclasses.asdict(self.pooled[measure.name]),
                    "unit": measure.unit,
                    "window": measure.window,
                    "alarm_above": measure.alarm_above,
                    "seeds": {
                        seed: dataclasses.asdict(intervals[measure.name])
                        for seed, intervals in self.by_seed.items()
                    },
                }
                for measure in self.entry.measures
                if measure.name in self.pooled
            },
            "findings": self.findings(),
        }


def model_file(entry: ZooEntry, seed: int, work: Path, shipped: bool) -> Path:
    """Where the model of a seed is, or will be once it is trained. With `shipped`, the weights that
    ship are those of the seed that their record names."""
    record = record_of(entry) if shipped else None
    if record is not None and record.seed == seed:
        return reference_path(entry)
    return work / f"{entry.name}-seed{seed}.keras"


def train_row(
    entry: ZooEntry, seeds: Sequence[int], work: Path, *, commits: bool, shipped: bool
) -> ModelRow:
    """Train (or take up) a model for each seed, and judge each on events of its own."""
    runs: list[JudgedOutputs] = []
    by_seed: dict[int, dict[str, BootstrapInterval]] = {}
    for seed in seeds:
        model = model_file(entry, seed, work, shipped)
        trunk = None
        if entry.trunk is not None:
            trunk = model_file(entry_of(entry.trunk), seed, work, shipped)
        trained_entry = entry if trunk is None else entry.on_trunk(trunk)
        if not model.exists():
            lines = EpochLines(f"{entry.name} seed {seed}")
            train(entry, model, seed=seed, trunk=trunk, watcher=lines)
        samples = trained_entry.data(stage_seed(seed, "test"), entry.schedule.test_samples)
        run = judge_network(entry, load_graph(model, entry.name), samples)
        by_seed[seed] = intervals_of(entry, [run], seed)
        runs.append(run.without_inputs())
        if commits and seed == seeds[0]:
            commit(entry, model, record(entry, seed, model, run, by_seed[seed]))
    return ModelRow(entry, intervals_of(entry, runs, seeds[0]), by_seed)


def record(
    entry: ZooEntry,
    seed: int,
    model: Path,
    run: JudgedOutputs,
    metrics: dict[str, BootstrapInterval],
) -> ReferenceRecord:
    """How a trained model came about."""
    history = json.loads(model.with_name(f"{model.stem}.history.json").read_text())
    return ReferenceRecord(
        name=entry.name,
        command=f"edgeinfer train {entry.name} -o {entry.name}.keras --seed {seed}",
        seed=seed,
        samples=history["samples"],
        epochs_run=len(history["epochs_run"]),
        best_epoch=history["best_epoch"],
        stopped=history["stopped"],
        parameters=entry.parameters,
        macs=entry.macs,
        sha256=sha256_of(model),
        test_samples=len(run.samples),
        test_events=int(np.unique(run.samples.event).size),
        metrics=metrics,
        versions={name: version(name) for name in _VERSIONS},
    )


def guard_figures(seeds: Sequence[int]) -> dict[int, float]:
    """What sum, maximum and occupancy alone tell of track and shower, seed by seed."""
    tagger = ENTRIES[GUARDED]
    return {
        seed: linear_guard_auc(tagger.data(stage_seed(seed, "test"), _GUARD_SAMPLES), seed)
        for seed in seeds
    }


def markdown(table: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        "# How well the reference models do",
        "",
        f"{table['note']}",
        "",
        f"Regenerate with `{table['command']}`.",
        "",
        "| model | parameters | MAC | seeds | figure | value | 95 % interval | by seed | window |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table["models"].items():
        seeds = ", ".join(next(iter(row["metrics"].values()))["seeds"])
        head = f"{name} | {row['parameters']:,} | {row['macs']:,} | {seeds}"
        for metric, figures in row["metrics"].items():
            window = figures["window"]
            span = f"{window[0]}-{window[1]}" if window else ""
            unit = f" {figures['unit']}" if figures["unit"] else ""
            each = [f"{seed['value']:.4f}" for seed in figures["seeds"].values()]
            by_seed = ", ".join(each) if len(each) > 1 else ""
            lines.append(
                f"| {head} | {metric} | {figures['value']:.4f}{unit} | "
                f"{figures['low']:.4f}-{figures['high']:.4f} | {by_seed} | {span} |"
            )
            head = " | | | "
    guard = table["linear_guard"]
    values = ", ".join(f"{value:.4f}" for value in guard["auc"].values())
    lines += [
        "",
        f"A logistic regression on sum, maximum and occupancy of a patch tells tracks from showers "
        f"with an AUC of {values} (at most {guard['limit']} is intended).",
    ]
    for row in table["models"].values():
        lines += [f"- {finding}" for finding in row["findings"]]
    return "\n".join(lines) + "\n"


def write_table(folder: Path, rows: Sequence[ModelRow], seeds: Sequence[int]) -> None:
    """Renew the given rows of the table; the others stay."""
    path = folder / "zoo.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    models = before.get("models", {}) | {row.entry.name: row.to_json() for row in rows}
    guard = before.get("linear_guard")
    if guard is None or any(row.entry.name == GUARDED for row in rows):
        guard = {"limit": LIMIT_AUC, "auc": guard_figures(seeds)}
    table = {
        "note": NOTE,
        "command": COMMAND,
        "models": {name: models[name] for name in ENTRIES if name in models},
        "linear_guard": guard,
    }
    write_file(path, json.dumps(table, indent=1) + "\n")
    write_file(folder / "zoo.md", markdown(json.loads(path.read_text())))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where a figure lies outside its window."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="models; all of them if none is named")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("build/zoo"), help="for trained models")
    parser.add_argument("--output", type=Path, default=Path("reports/reference/zoo"))
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--commit", action="store_true", help="renew the shipped weights too")
    weights.add_argument(
        "--shipped", action="store_true", help="take the shipped weights for their seed"
    )
    options = parser.parse_args(arguments)
    rows = []
    for name in options.names or ENTRIES:
        entry = entry_of(name)
        commits = options.commit and entry.reference is not None
        rows.append(
            train_row(entry, options.seeds, options.work, commits=commits, shipped=options.shipped)
        )
        write_table(options.output, rows[-1:], options.seeds)
    findings = [finding for row in rows for finding in row.findings()]
    sys.stderr.write("".join(f"{finding}\n" for finding in findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
