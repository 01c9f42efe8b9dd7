# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Errors of the HLS estimate on published designs, its few constants fitted to them, its bands.

A design's family is where it comes from: designs of one source are much alike, so that leaving one
row out would leave its twins in. Whole families are left out instead.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import t as student

from edgeinfer.base.devices import device
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.estimate import ELSEWHERE, HlsEstimate, estimate
from edgeinfer.targets.hls.estimate.fabric import constants
from tests.support.places import ROOT
from tests.support.published_designs import Published, program_of, settings_of

FIRST_SIGHT = ROOT / "reports/reference/hls/first_sight.csv"
FITTED = {  # constant: the factors that a step of the search tries
    "table_lut": (0.7, 0.85, 1.0, 1.2, 1.4),
    "window_lut": (0.5, 0.7, 0.85, 1.0, 1.2, 1.4),
    "window_lut_vitis": (0.5, 0.7, 0.85, 1.0, 1.2, 1.4),
    "window_ff": (0.7, 0.85, 1.0, 1.2, 1.4),
    "register_share": (0.8, 0.9, 1.0, 1.12, 1.25),
    "binary_share": (0.5, 0.75, 1.0, 1.3, 1.6),
    "folded_multiplier_lut": (0.5, 0.7, 1.0, 1.4),
}
STARTS = {
    "table_lut": 120.0,
    "window_lut": 2.2,
    "window_lut_vitis": 4.0,
    "window_ff": 2.8,
    "register_share": 1.0,
    "binary_share": 0.2,
    "pool_lut": 2.0,
    "folded_multiplier_lut": 80.0,
    "folded_input_ff": 2.5,
    "lut_vsynth": 0.5,
    "ff_vsynth": 0.8,
}
AFTER = {name: f"{name}_vsynth" for name in ("dsp", "lut", "ff")}
APART = ", resource"  # designs whose logic synthesis is modelled apart
RATIOS = ("lut_vsynth", "ff_vsynth")  # fitted: after logic synthesis over before
SEEDS = (0, 1, 2)  # of the weights that a row does not state
ROUNDS = 3
SOURCES = 3  # of a kind, as many as the wider kind counts for in its band
TAIL = 0.05  # of the designs, on each side of a band
COUNTED = ("latency_cycles", "ii_cycles", "dsp", "bram18")  # one more or less is no error
FIGURES = (
    "latency_cycles", "ii_cycles", "dsp", "lut", "ff", "bram18", *AFTER.values()
)  # fmt: skip
Limits = dict[str, dict[str, tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Residual:
    """One figure of one design: estimated and published."""

    id: str
    source: str
    family: str
    figure: str
    estimated: float
    published: float

    @property
    def error(self) -> float | None:
        """Relative; None where nothing was published to be relative to."""
        return self.estimated / self.published - 1 if self.published else None

    @property
    def ratio(self) -> float | None:
        """Published over estimated; None where one of them is nothing."""
        if self.published > 0 and self.estimated > 0:
            return self.published / self.estimated
        return None


_KNOWN: dict[str, Published] = {}


@cache
def _program(design_id: str, seed: int) -> Program:
    return program_of(_KNOWN[design_id], seed)


@cache
def _made(design_id: str, seed: int, values: tuple[tuple[str, float], ...]) -> HlsEstimate:
    design, program = _KNOWN[design_id], _program(design_id, seed)
    return estimate(
        program,
        settings_of(design, program),
        device(design.part),
        fit=dict(constants()["fit"]) | dict(values),
    )


@cache
def _matters(design_id: str) -> tuple[str, ...]:
    """The fitted constants that change anything about a design."""
    starts = dict(STARTS)
    plain = _made(design_id, 0, tuple(sorted(starts.items())))
    return tuple(
        name
        for name in FITTED
        if _made(design_id, 0, tuple(sorted((starts | {name: 2 * starts[name]}).items()))) != plain
    )


def residuals(
    designs: Iterable[Published], fit: dict[str, float], seeds: tuple[int, ...] = SEEDS
) -> list[Residual]:
    """Every published figure beside its estimate, averaged over draws of unknown weights."""
    results = []
    for design in designs:
        _KNOWN[design.id] = design
        values = tuple((name, fit[name]) for name in _matters(design.id))
        drawn = seeds if design.weights else seeds[:1]
        sums: dict[str, float] = defaultdict(float)
        for seed in drawn:
            result = _made(design.id, seed, values)
            for name, value in result.figures(fit).items():
                sums[name] += value / len(drawn)
        for name, published in design.figures.items():
            figure = AFTER.get(name, name) if design.stage == "vsynth" else name
            results.append(
                Residual(design.id, design.family, result.family, figure, sums[figure], published)
            )
    return results


def fitted(designs: list[Published]) -> dict[str, float]:
    """The constants that make the mean error in logarithms least, each source family alike."""
    best = dict(constants()["fit"]) | STARTS
    least = _loss(residuals(designs, best, SEEDS[:1]))
    for _ in range(ROUNDS):
        for name, factors in FITTED.items():
            for tried in [best | {name: best[name] * factor} for factor in factors if factor != 1]:
                loss = _loss(residuals(designs, tried, SEEDS[:1]))
                if loss < least:
                    least, best = loss, tried
    for figure in RATIOS:
        ratios = [
            r.ratio
            for r in residuals(designs, best)
            if r.figure == figure and r.ratio is not None and not r.family.endswith(APART)
        ]
        if ratios:
            best[figure] *= float(np.exp(np.mean(np.log(ratios))))
    return {name: float(f"{value:.4g}") for name, value in best.items()}


def _loss(result: list[Residual]) -> float:
    by_source: dict[str, list[float]] = defaultdict(list)
    for r in result:
        if r.figure in ("lut", "ff") and r.ratio is not None:
            by_source[r.source].append(min(abs(math.log(r.ratio)), 1.0))
    return float(np.mean([np.mean(errors) for errors in by_source.values()]))


def first_sight() -> list[Residual]:
    """What was estimated of blind designs before anybody tried anything on them, as it was put down
    then: later mechanisms follow what these designs showed."""
    with FIRST_SIGHT.open(encoding="utf-8", newline="") as file:
        return [
            Residual(
                row["id"], row["source"], row["kind"], row["figure"],
                float(row["estimated"]), float(row["published"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Residuals of each source by constants and bands that never saw it."""

    residuals: list[Residual]  # by today's mechanisms, which people chose who had seen the sources
    unseen: list[Residual]  # the same, but of blind sources what was estimated at first sight
    covered: dict[str, tuple[int, int]]  # figure: inside the band, of how many
    by_source: dict[str, tuple[int, int]]  # the same over all figures of a source

    @property
    def source_share(self) -> float:
        """Of the figures, how many lie inside, each source counted once."""
        return float(np.mean([inside / of for inside, of in self.by_source.values()]))


def left_out(designs: list[Published]) -> LeftOut:
    """Leave each source out in turn. A source that was blind once counts as it was then."""
    results: list[Residual] = []
    for source in sorted({design.family for design in designs}):
        others = [design for design in designs if design.family != source]
        own = [design for design in designs if design.family == source]
        results += residuals(own, fitted(others))
    blind = first_sight()
    known = {r.source for r in blind}
    unseen = [r for r in results if r.source not in known] + blind
    inside: dict[str, list[bool]] = defaultdict(list)
    by_source: dict[str, list[bool]] = defaultdict(list)
    for source in sorted({r.source for r in unseen}):
        limits = bands([r for r in unseen if r.source != source])
        for r in unseen:
            if r.source == source:
                flag = is_inside(r, limits)
                inside[r.figure].append(flag)
                by_source[source].append(flag)
    return LeftOut(results, unseen, _count_inside(inside), _count_inside(by_source))


def _count_inside(flags_by_name: dict[str, list[bool]]) -> dict[str, tuple[int, int]]:
    return {name: (sum(flags), len(flags)) for name, flags in flags_by_name.items()}


def is_inside(r: Residual, limits: Limits) -> bool:
    """Whether what was published lies in the band that is stated."""
    of_family = limits.get(r.family) or limits.get(r.family.partition(",")[0]) or limits[ELSEWHERE]
    low, high = of_family[r.figure]
    slack = constants()["slack"].get(r.figure, 0.0)
    low_end = min(low * r.estimated, r.estimated - slack)
    high_end = max(high * r.estimated, r.estimated + slack)
    return math.floor(low_end) <= r.published <= math.ceil(high_end)


def bands(result: list[Residual]) -> Limits:
    """By kind of design and figure, the factors between which the published figures lie.

    A user's design comes from a new source, and figures of one source err together. So a source is
    one observation, however many designs it has: the mean square of its errors in logarithms. The
    band is Student's for as many observations, among which the wider kind counts as some more (the
    prediction from a scaled inverse chi-square prior). It is alike on both sides, for a few sources
    do not tell on which side the next one errs.
    """
    limits: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for name in FIGURES:
        everywhere = _spread(_of(result, name), None)
        limits[ELSEWHERE][name] = everywhere.ends
        for io in sorted({r.family.partition(",")[0] for r in result}):
            of_io = [r for r in result if r.family.startswith(io)]
            wider = _spread(_of(of_io, name), everywhere)
            limits[io][name] = wider.ends
            for family in sorted({r.family for r in of_io}):
                own = [r for r in of_io if r.family == family]
                limits[family][name] = _spread(_of(own, name), wider).ends
    return dict(limits)


def _of(result: list[Residual], figure: str) -> dict[str, list[float]]:
    """Logarithms of published over estimated, by source."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for r in result:
        if r.figure == figure and r.ratio is not None:
            near = abs(r.published - r.estimated) <= constants()["slack"].get(figure, 0.0)
            counted = near and figure in COUNTED
            ratios[r.source].append(0.0 if counted else math.log(r.ratio))
    return ratios


@dataclass(frozen=True, slots=True)
class Spread:
    """How far figures of a kind are off: a mean square of logarithms, over so many sources."""

    square: float
    sources: int

    @property
    def ends(self) -> tuple[float, float]:
        """The factors between which a figure of a new source lies with the stated chance."""
        reach = float(student.ppf(1 - TAIL, self.sources)) * math.sqrt(self.square)
        return math.exp(-reach), math.exp(reach)


def _spread(ratios: dict[str, list[float]], wider: Spread | None) -> Spread:
    squares = [float(np.mean(np.square(own))) for own in ratios.values()]
    if wider is not None:
        squares += [wider.square] * SOURCES
    return Spread(float(np.mean(squares)), len(squares))
