# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Errors of the HLS estimate on published designs, its few constants fitted to them, its bands.

A design's family is where it comes from: designs of one source are much alike, so that leaving one
row out would leave its twins in. Whole families are left out instead.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgeinfer.base.devices import device
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.estimate import ELSEWHERE, HlsEstimate, estimate
from edgeinfer.targets.hls.estimate.fabric import constants
from tests.support.published_designs import Published, program_of, settings_of

FITTED = {  # constant: the factors that a step of the search tries
    "table_lut": (0.7, 0.85, 1.0, 1.2, 1.4),
    "window_lut": (0.7, 0.85, 1.0, 1.2, 1.4),
    "window_ff": (0.7, 0.85, 1.0, 1.2, 1.4),
    "register_share": (0.8, 0.9, 1.0, 1.12, 1.25),
    "binary_share": (0.5, 0.75, 1.0, 1.3, 1.6),
}
STARTS = {
    "table_lut": 120.0,
    "window_lut": 2.2,
    "window_ff": 2.8,
    "register_share": 1.0,
    "binary_share": 0.2,
    "pool_lut": 2.0,
    "folded_input_lut": 5.0,
    "folded_input_ff": 2.5,
    "lut_vsynth": 0.5,
    "ff_vsynth": 0.8,
}
AFTER = {"lut": "lut_vsynth", "ff": "ff_vsynth"}
SEEDS = (0, 1, 2)  # of the weights that a row does not state
ROUNDS = 2
SOURCES = 3  # of designs, below which a family does not speak for others
FEW = 8  # residuals below which a band is their whole spread, and more


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
    found = []
    for design in designs:
        _KNOWN[design.id] = design
        values = tuple((name, fit[name]) for name in _matters(design.id))
        drawn = seeds if design.weights else seeds[:1]
        sums: dict[str, float] = defaultdict(float)
        for seed in drawn:
            made = _made(design.id, seed, values)
            for name, value in made.figures(fit).items():
                sums[name] += value / len(drawn)
        for name, published in design.figures.items():
            figure = AFTER.get(name, name) if design.stage == "vsynth" else name
            found.append(
                Residual(design.id, design.family, made.family, figure, sums[figure], published)
            )
    return found


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
    for figure in AFTER.values():
        ratios = [
            r.ratio for r in residuals(designs, best) if r.figure == figure and r.ratio is not None
        ]
        if ratios:
            best[figure] *= float(np.exp(np.mean(np.log(ratios))))
    return {name: float(f"{value:.4g}") for name, value in best.items()}


def _loss(found: list[Residual]) -> float:
    by_source: dict[str, list[float]] = defaultdict(list)
    for r in found:
        if r.figure in ("lut", "ff") and r.ratio is not None:
            by_source[r.source].append(min(abs(math.log(r.ratio)), 1.0))
    return float(np.mean([np.mean(errors) for errors in by_source.values()]))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Residuals of each source family by constants and bands that never saw it."""

    found: list[Residual]
    covered: dict[str, tuple[int, int]]  # figure: inside the band, of how many


def left_out(designs: list[Published]) -> LeftOut:
    """Leave each source family out in turn."""
    found: list[Residual] = []
    inside: dict[str, list[bool]] = defaultdict(list)
    for source in sorted({design.family for design in designs}):
        others = [design for design in designs if design.family != source]
        own = [design for design in designs if design.family == source]
        fit = fitted(others)
        limits = bands(residuals(others, fit))
        for r in residuals(own, fit):
            found.append(r)
            if r.ratio is not None:
                low, high = limits.get(r.family, limits[ELSEWHERE])[r.figure]
                slack = constants()["slack"].get(r.figure, 0.0)
                low_end = min(low * r.estimated, r.estimated - slack)
                high_end = max(high * r.estimated, r.estimated + slack)
                inside[r.figure].append(low_end <= r.published <= high_end)
    return LeftOut(found, {name: (sum(flags), len(flags)) for name, flags in inside.items()})


def bands(found: list[Residual]) -> dict[str, dict[str, tuple[float, float]]]:
    """By family and figure, the factors between which the published figures lie.

    From eight residuals on, the inner nine tenths; of fewer, their whole spread widened by a
    quarter. A family of fewer than three sources gets at least the root of the spread over all
    families, and a figure that it has no residual of that spread and more.
    """
    figures = ["latency_cycles", "ii_cycles", "dsp", "lut", "ff", "bram18", *AFTER.values()]
    overall = {name: _spread([r.ratio for r in found if r.figure == name]) for name in figures}
    limits = {ELSEWHERE: {name: (low / 1.25, high * 1.25) for name, (low, high) in overall.items()}}
    for family in sorted({r.family for r in found}):
        limits[family] = {}
        for name in figures:
            own = [r for r in found if r.family == family and r.figure == name and r.ratio]
            if not own:
                limits[family][name] = limits[ELSEWHERE][name]
                continue
            low, high = _spread([r.ratio for r in own])
            if len({r.source for r in own}) < SOURCES:
                low, high = min(low, overall[name][0] ** 0.5), max(high, overall[name][1] ** 0.5)
            limits[family][name] = (low, high)
    return limits


def _spread(ratios: list[float | None]) -> tuple[float, float]:
    known = np.array([ratio for ratio in ratios if ratio is not None])
    if not known.size:
        return 0.5, 2.0
    if known.size >= FEW:
        low, high = np.quantile(known, (0.05, 0.95))
    else:
        low, high = known.min() / 1.25, known.max() * 1.25
    return min(float(low), 1.0), max(float(high), 1.0)
