# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How well a model does on its data, with intervals from resampling whole events.

Samples of one event share a vertex, cosmics and noise, so they are drawn together: an interval from
resampling single samples would be too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.zoo.entry import EventSamples, Measure, Outputs, ZooEntry

REPLICAS = 200
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class BootstrapInterval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class JudgedOutputs:
    """A model's outputs beside the samples they belong to."""

    outputs: Outputs
    samples: EventSamples

    def take(self, rows: NDArray[np.intp]) -> JudgedOutputs:
        """Some of the samples, repeated ones too."""
        outputs = {name: values[rows] for name, values in self.outputs.items()}
        return JudgedOutputs(outputs, self.samples.take(rows))

    def without_inputs(self) -> JudgedOutputs:
        """The same without the inputs, which no figure of merit needs."""
        return JudgedOutputs(self.outputs, replace(self.samples, inputs={}))

    def by_lit_pixel(self) -> JudgedOutputs:
        """Each pixel that has a label as a sample of its event; the others are not judged."""
        lit = np.all([target.any(axis=-1) for target in self.samples.targets.values()], axis=0)
        return JudgedOutputs(
            {name: values[lit] for name, values in self.outputs.items()},
            EventSamples(
                {},
                {name: values[lit] for name, values in self.samples.targets.items()},
                self.samples.event[np.nonzero(lit)[0]],
            ),
        )


def values_of(entry: ZooEntry, judged_outputs: JudgedOutputs) -> dict[str, float]:
    """Every figure of merit that the samples can tell."""
    truth = {**judged_outputs.samples.targets, **judged_outputs.samples.beside}
    values = {m.name: m.of(judged_outputs.outputs, truth) for m in entry.measures}
    return {name: value for name, value in values.items() if value is not None}


def intervals_of(
    entry: ZooEntry, runs: Sequence[JudgedOutputs], seed: int, replicas: int = REPLICAS
) -> dict[str, BootstrapInterval]:
    """Figures averaged over runs (one for each seed), events resampled within each run."""
    rng = np.random.default_rng(seed)
    if entry.by_pixel:  # or every draw would copy whole planes
        runs = [run.by_lit_pixel() for run in runs]
    plain = [_Resampler(run) for run in runs]
    whole = _mean([values_of(entry, run) for run in runs])
    drawn = [
        _mean([values_of(entry, sampler.draw(rng)) for sampler in plain]) for _ in range(replicas)
    ]
    intervals: dict[str, BootstrapInterval] = {}
    for name, value in whole.items():
        spread = np.array([replica[name] for replica in drawn if name in replica])
        low, high = np.quantile(spread, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
        intervals[name] = BootstrapInterval(value, min(float(low), value), max(float(high), value))
    return intervals


def _mean(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: float(np.mean([run[name] for run in runs])) for name in shared}


class _Resampler:
    """Draws as many events as there are, with replacement, and takes all samples of each."""

    def __init__(self, judged_outputs: JudgedOutputs) -> None:
        event = judged_outputs.samples.event
        if not event.size:
            raise InputError("There are no samples to judge.")
        self.judged = judged_outputs.without_inputs()
        self.order = np.argsort(event, kind="stable")
        _, self.first, self.count = np.unique(
            event[self.order], return_index=True, return_counts=True
        )

    def draw(self, rng: np.random.Generator) -> JudgedOutputs:
        events = rng.integers(0, self.first.size, self.first.size)
        count = self.count[events]
        start = np.repeat(self.first[events] - np.cumsum(count) + count, count)
        return self.judged.take(self.order[start + np.arange(count.sum())])


def outside_window(measure: Measure, interval: BootstrapInterval) -> str:
    """A sentence where a figure is not as hard to reach as intended, or the empty string."""
    if measure.alarm_above is not None and interval.value > measure.alarm_above:
        return (
            f"{measure.name} is {interval.value:.4f}, above {measure.alarm_above}: "
            f"the simulated task gives its answer away."
        )
    if measure.window is None:
        return ""
    low, high = measure.window
    if interval.high < low or interval.low > high:
        return f"{measure.name} is {interval.value:.4f}, outside the window {low}..{high}."
    return ""
