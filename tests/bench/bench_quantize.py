# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What quantization costs the reference models: one width throughout, and what the search finds.

For each model: the area under the curve (mean over heads and classes) of the float network and its
loss at some widths, judged on simulated events that neither training nor calibration has seen; then
two recipes of the greedy search, without training: the best at half the EBOPs of 6 bits throughout,
and the cheapest that is as good as that on the validation samples. Intervals (95 %) resample whole
events of the difference to the float network, since both see the same events.

    python tests/bench/bench_quantize.py [--models hit-tagger-pooled,jet-tagger] [--minutes 20]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer import evaluate, zoo
from edgeinfer.costs import costs_of
from edgeinfer.graph import Graph
from edgeinfer.ir.lower import Lowered, lower
from edgeinfer.ptq import PtqSettings, quantize
from edgeinfer.samples import Samples
from edgeinfer.search.objective import Objective, objective_on
from edgeinfer.search.run import SearchSettings, search
from edgeinfer.zoo.entry import ZooEntry, stage_seed
from edgeinfer.zoo.reference import load_reference
from quantization.search import Trial

MODELS = ("hit-tagger-pooled", "track-pid", "roi-finder", "jet-tagger")
FIT = 4_000
JUDGED_MACS = 2e9  # of one evaluation
JUDGED_SPAN = (8_000, 50_000)
WIDTHS = (8, 6, 5, 4)
REPLICAS = 100


@dataclass(frozen=True, slots=True)
class Judge:
    """A network's test samples, and which event each belongs to."""

    graph: Graph
    samples: Samples
    event: NDArray[np.int64]
    whole: Objective

    def loss(self, lowered: Lowered, seed: int = 0) -> tuple[float, float, float]:
        """Loss of score against the float network, with the ends of its interval."""
        raw = evaluate.raw_inputs(lowered.program, lowered.recipe, self.samples)
        got = evaluate.quantized_outputs(lowered.program, raw)
        lost = self.whole.exact_score - self.whole.of(got)
        rng = np.random.default_rng(seed)
        order = np.argsort(self.event, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.event[order])) + 1)
        drawn = []
        for _ in range(REPLICAS):
            chosen = rng.integers(0, len(groups), len(groups))
            rows = np.concatenate([groups[i] for i in chosen])
            part = self._taken(rows)
            exact = {name: values[rows] for name, values in self.whole.exact.items()}
            rounded = {name: values[rows] for name, values in got.items()}
            drawn.append(part.of(exact) - part.of(rounded))
        low, high = np.quantile(drawn, (0.025, 0.975))
        return lost, min(float(low), lost), max(float(high), lost)

    def _taken(self, rows: NDArray[np.intp]) -> Objective:
        labels = {name: values[rows] for name, values in self.samples.labels.items()}
        return Objective(self.graph, Samples({}, "replica", labels), self.whole.name, {})


def drawn(entry: ZooEntry, seed: int, count: int) -> tuple[Samples, NDArray[np.int64]]:
    """Samples of a model's data as quantization reads them."""
    found = entry.data(seed, count)
    labels = {
        name: values.argmax(axis=-1).astype(np.float64)
        if values.ndim > 1 and values.shape[-1] > 1
        else values.reshape(len(values)).astype(np.float64)
        for name, values in found.targets.items()
    }
    inputs = {name: values.astype(np.float64) for name, values in found.inputs.items()}
    return Samples(inputs, f"{count} samples, seed {seed}", labels), found.event


def judged_samples(entry: ZooEntry) -> int:
    """As many as a small network is through with quickly: what is tried often needs more."""
    return int(np.clip(JUDGED_MACS / entry.macs, *JUDGED_SPAN))


def measured(name: str, minutes: float) -> None:
    """Print one model's table."""
    entry = zoo.entry_of(name)
    graph = load_reference(name)
    fit, _ = drawn(entry, stage_seed(31, "fresh"), FIT)
    validation, _ = drawn(entry, stage_seed(32, "fresh"), judged_samples(entry))
    test, event = drawn(entry, stage_seed(33, "fresh"), judged_samples(entry))
    judge = Judge(graph, test, event, objective_on(graph, test))
    print(f"\n{name}: float {judge.whole.name} {judge.whole.exact_score:.5f} ({len(test)} samples)")
    print(f"{'':28} {'loss':>9}  {'95 % interval':^19}  {'EBOPs':>12} {'seconds':>8}")
    for bits in WIDTHS:
        started = time.monotonic()
        found = quantize(graph, fit.inputs, PtqSettings(bits))
        seconds = time.monotonic() - started
        row(judge, f"{bits} bits, no training", lower(found.graph, found.recipe), seconds)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        result = search(graph, fit, validation, SearchSettings(minutes=minutes), Path(folder))
        seconds = time.monotonic() - started
        six = result.uniform[6]
        row(judge, "search: 6 bits throughout", result.network.ready(six.recipe).lowered, 0.0)
        half = result.best(0.5 * six.outcome.costs["ebops"])
        chosen = {
            "best at half of that": half,
            "as good, cheapest": result.cheapest(six.outcome.score),
        }
        for what, trial in chosen.items():
            if trial is not None:
                row(judge, what, result.network.ready(trial.recipe).lowered, seconds)
                said(trial, six)
        print(f"  {len(result.trials)} trials")


def said(trial: Trial, six: Trial) -> None:
    """Print what a recipe costs against 6 bits throughout, and its widths."""
    ebops, dense = (
        trial.outcome.costs[name] / six.outcome.costs[name] for name in ("ebops", "ebops_dense")
    )
    widths = " ".join(f"{name}={bits}" for name, bits in trial.widths.items())
    print(f"    {ebops:.3f} of its EBOPs ({dense:.3f} with zero weights counted): {widths}")


def row(judge: Judge, what: str, lowered: Lowered, seconds: float) -> None:
    """Print one line of the table."""
    lost, low, high = judge.loss(lowered)
    ebops = costs_of(lowered.program).ebops
    print(f"  {what:26} {lost:9.5f}  {low:9.5f}..{high:8.5f}  {ebops:12,} {seconds:8.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the models asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args(arguments)
    for name in options.models.split(","):
        measured(name, options.minutes)


def test_quantization_of_the_references() -> None:
    """`make bench` prints the tables of the quick ones."""
    main(["--models", "jet-tagger,roi-finder", "--minutes", "3"])


if __name__ == "__main__":
    main()
