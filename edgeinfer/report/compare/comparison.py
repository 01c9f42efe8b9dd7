# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Runs beside each other: a row for each target of each run, fronts among what is comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from edgeinfer.base.metrics import SCORES, Metric, Scores
from edgeinfer.report.compare.baseline import by_quantity
from edgeinfer.report.compare.comparable import device_of, same_network
from edgeinfer.report.compare.runs import ComparedRun
from edgeinfer.report.quantity import RESOURCES, Quantity, targets_of
from edgeinfer.report.result import SCHEMA_VERSION, Result
from edgeinfer.report.timings import TimingBand, timings_of
from edgeinfer.report.titles import stage_of, stage_title, target_title
from edgeinfer.report.uses import uses_of

LATENCY = Quantity("latency_us")


@dataclass(frozen=True, slots=True)
class Score:
    """A figure of merit of a run at a stage."""

    name: str  # auc, accuracy or rms_error
    value: float
    stage: str
    higher: bool
    samples: int
    low: float | None = None  # ends of the 95 % interval; None where none was recorded
    high: float | None = None

    def surely_beats(self, other: Score) -> bool:
        """Whether the whole interval is on the better side of the other's."""
        ends = (self.low, self.high, other.low, other.high)
        if None in ends or any(end != end for end in ends):
            return False
        low, high, other_low, other_high = (end or 0.0 for end in ends)
        return low > other_high if self.higher else high < other_low


@dataclass(frozen=True, slots=True)
class ComparedEntry:
    """A target of a run (or, without a target, the network alone)."""

    run: ComparedRun
    target: str | None
    group: int  # of runs whose scores may be compared
    score: Score | None
    lost: float | None  # against the float network
    identical: bool | None  # as far as it has to be
    timing: TimingBand | None
    figures: Mapping[Quantity, Metric]
    fits: bool | None

    @property
    def title(self) -> str:
        """The target as it is written."""
        return target_title(self.target, self.run.result)


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """An entry's cost and score, for a picture."""

    entry: ComparedEntry
    cost: Metric
    score: float
    best: bool = False  # nothing comparable is surely better without being worse

    @property
    def worth(self) -> float:
        """The score with its sign turned where less is better."""
        score = self.entry.score
        return self.score if score is None or score.higher else -self.score


@dataclass(frozen=True, slots=True)
class Series:
    """Points that are alike: one target, one quantity, one origin, one group of samples."""

    target: str
    quantity: Quantity
    origin: str
    group: int
    points: tuple[ScatterPoint, ...]


@dataclass(frozen=True)
class RunComparison:
    """All entries, all series, and what cannot be compared."""

    runs: tuple[ComparedRun, ...]
    entries: tuple[ComparedEntry, ...]
    series: tuple[Series, ...]
    notes: tuple[str, ...]
    score_name: str
    directions: Mapping[str, bool]  # of the targets' own figures: whether more is better

    @cached_property
    def _leading(self) -> frozenset[int]:
        return frozenset(id(p.entry) for each in self.series for p in each.points if p.best)

    def best(self, entry: ComparedEntry) -> bool:
        """Whether an entry is on the front of any quantity."""
        return id(entry) in self._leading


def compare_runs(runs: Sequence[ComparedRun], directions: Mapping[str, bool]) -> RunComparison:
    """Put runs beside each other. `directions`: of the targets' own figures, whether more is
    better."""
    groups = _groups(runs)
    entries = tuple(entry for run in runs for entry in _entries(run, groups[run.label]))
    return RunComparison(
        tuple(runs),
        entries,
        tuple(_series(entries)),
        tuple(_notes(runs, groups, entries)),
        next((entry.score.name for entry in entries if entry.score is not None), ""),
        directions,
    )


def _groups(runs: Sequence[ComparedRun]) -> dict[str, int]:
    """Numbers of groups: same inputs and outputs, same samples as far as is known."""
    leaders: list[ComparedRun] = []
    numbers = {}
    for run in runs:
        alike = (n for n, leader in enumerate(leaders) if _alike(run.result, leader.result))
        number = next(alike, None)
        if number is None:
            number = len(leaders)
            leaders.append(run)
        elif leaders[number].result.data is None and run.result.data is not None:
            leaders[number] = run  # the one that knows its samples speaks for the group
        numbers[run.label] = number
    return numbers


def _alike(first: Result, second: Result) -> bool:
    if not same_network(first, second):
        return False
    if first.data is not None and second.data is not None:
        return first.data.sha256 == second.data.sha256
    return _samples(first) == _samples(second)


def _samples(result: Result) -> int:
    return max((scores.samples for scores in result.accuracy.values()), default=0)


def _entries(run: ComparedRun, group: int) -> list[ComparedEntry]:
    result = run.result
    figures = by_quantity(result.metrics)
    timings = {timing.target: timing for timing in timings_of(result)}
    uses = uses_of(result)
    entries = []
    targets: list[str | None] = [*targets_of(result.metrics)]
    for target in targets or [None]:
        own = {quantity: m for (name, quantity), m in figures.items() if name == (target or "")}
        score = _score(result, target)
        fitting = [use.fits for use in uses if use.target == target and use.fits is not None]
        entries.append(
            ComparedEntry(
                run,
                target,
                group,
                score,
                _score_loss(result, score),
                _identical(result, target),
                timings.get(target or ""),
                own,
                all(fitting) if fitting else None,
            )
        )
    return entries


def _score(result: Result, target: str | None) -> Score | None:
    """The target's own stage; or the quantized network, whose integers it has."""
    stages = [stage_of(result, target) or "", "quantized", *result.accuracy]
    for name, higher in SCORES.items():
        for stage in stages:
            scores: Scores | None = result.accuracy.get(stage)
            value = None if scores is None or stage == "float" else getattr(scores, name)
            if value is not None and scores is not None and scores.samples == _samples(result):
                low, high = scores.intervals.get(name, (None, None))
                return Score(name, value, stage, higher, scores.samples, low, high)
    return None


def _score_loss(result: Result, score: Score | None) -> float | None:
    before = result.accuracy.get("float")
    was = None if before is None or score is None else getattr(before, score.name)
    if was is None or score is None:
        return None
    return float(was - score.value) if score.higher else float(score.value - was)


def _identical(result: Result, target: str | None) -> bool | None:
    stage = stage_of(result, target)
    pairs = [e for e in result.agreement if (stage in e.pair if target else True) and e.samples]
    return not any(entry in result.disagreements for entry in pairs) if pairs else None


def _series(entries: Sequence[ComparedEntry]) -> list[Series]:
    groups: dict[tuple[Quantity, str, str, int, str], list[ScatterPoint]] = {}
    for entry in entries:
        if entry.score is None or entry.target is None or entry.score.value != entry.score.value:
            continue
        costs = {q: m for q, m in entry.figures.items() if q.name in RESOURCES}
        if entry.timing is not None:
            costs[LATENCY] = entry.timing.latency
        for quantity, metric in costs.items():
            if metric.value == metric.value:
                key = (quantity, entry.target, str(metric.origin), entry.group, entry.score.name)
                groups.setdefault(key, []).append(ScatterPoint(entry, metric, entry.score.value))
    series = []
    for (quantity, target, origin, group, _), points in groups.items():
        series.append(Series(target, quantity, origin, group, front(points)))
    return sorted(series, key=lambda s: (_rank(s.quantity), s.target, s.origin, s.group))


def _rank(quantity: Quantity) -> tuple[int, str]:
    order = ("latency_us", *RESOURCES)
    return (order.index(quantity.name), quantity.state)


def front(points: Sequence[ScatterPoint]) -> tuple[ScatterPoint, ...]:
    """The points by cost; those that nothing beats are marked."""
    points_with_best = [
        replace(point, best=not any(_beats(other, point) for other in points)) for point in points
    ]
    return tuple(sorted(points_with_best, key=lambda p: (p.cost.value, -p.worth)))


def _beats(first: ScatterPoint, second: ScatterPoint) -> bool:
    """Whether a point is no worse in both, and in one of them surely better: intervals and bands
    that overlap are a tie."""
    if first.cost.value > second.cost.value or first.worth < second.worth:
        return False
    mine, theirs = first.entry.score, second.entry.score
    better = mine is not None and theirs is not None and mine.surely_beats(theirs)
    return better or surely_less(first.cost, second.cost)


def surely_less(first: Metric, second: Metric) -> bool:
    """Whether the whole band of a figure is below another's."""
    return first.ends[1] < second.ends[0]


def _notes(
    runs: Sequence[ComparedRun], groups: Mapping[str, int], entries: Sequence[ComparedEntry]
) -> list[str]:
    notes = []
    if len(set(groups.values())) > 1:
        texts = [_group_text(runs, groups, number) for number in sorted(set(groups.values()))[:6]]
        notes.append(
            "Scores are compared within a group only, for the groups differ in inputs, outputs or "
            f"samples: {'; '.join(texts)}."
        )
    unknown = [run.shown for run in runs if run.result.accuracy and run.result.data is None]
    if unknown:
        notes.append(
            f"{_some(unknown)} did not record which samples were judged; equal numbers of samples "
            "are taken for the same samples."
        )
    for run in runs:
        counts = {stage: each.samples for stage, each in run.result.accuracy.items()}
        if len(set(counts.values())) > 1:
            texts = [f"{stage_title(stage, run.result)} {n:,}" for stage, n in counts.items()]
            notes.append(
                f"The stages of {_some([run.shown])} were judged on different numbers of samples: "
                f"{', '.join(texts)}. Scores of the largest number are shown."
            )
    old = [run.shown for run in runs if run.schema != SCHEMA_VERSION]
    if old:
        notes.append(f"{_some(old)} was written by an older version, which recorded less.")
    for target in dict.fromkeys(entry.target for entry in entries if entry.target is not None):
        named = [e.run.result for e in entries if e.target == target]
        devices = dict.fromkeys(str(device_of(result, target)) for result in named)
        if len(devices) > 1:
            notes.append(
                f"The runs are for different devices of the target {target} "
                f"({_some(list(devices))}); shares and budgets are each run's own."
            )
    return [*notes, *_mixed_quantities(entries)]


def _mixed_quantities(entries: Sequence[ComparedEntry]) -> list[str]:
    """Quantities that are estimated here and reported by a tool there."""
    origins: dict[tuple[str, Quantity], set[str]] = {}
    for entry in entries:
        for quantity, metric in entry.figures.items():
            if quantity.name in (*RESOURCES, "latency_us") and entry.target is not None:
                origins.setdefault((entry.target, quantity), set()).add(str(metric.origin))
    return [
        f"{target} {quantity} is {' in some runs, '.join(sorted(kinds))} in others: fronts are "
        "drawn for each origin by itself."
        for (target, quantity), kinds in origins.items()
        if len(kinds) > 1
    ]


def _group_text(runs: Sequence[ComparedRun], groups: Mapping[str, int], number: int) -> str:
    return _some([run.shown for run in runs if groups[run.label] == number])


def _some(labels: Sequence[str]) -> str:
    labels_text = ", ".join(label if len(label) < 60 else f"{label[:59]}…" for label in labels[:4])
    return labels_text if len(labels) <= 4 else f"{labels_text} and {len(labels) - 4} more"
