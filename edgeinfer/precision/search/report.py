# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a search found as data and as a picture: front.json, front.svg, a recipe for each point."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeinfer.base import assets
from edgeinfer.base.names import writable
from edgeinfer.base.plan import BuildPlan
from edgeinfer.precision.search.run import SearchResult
from quantization.search import Trial

VERSION = 1
TEMPLATE = "reports/templates/pareto.svg.j2"
WIDTH, HEIGHT = 720.0, 460.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 700.0, 34.0, 410.0
MARGIN = 0.04  # of the plotted range, around the points
TICKS = 6


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class RecipeDot:
    """A recipe in the picture."""

    x: float
    y: float
    label: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A network to be drawn: what it costs and what it is worth; a name is written beside it."""

    label: str
    cost: float
    score: float
    name: str = ""


def report(result: SearchResult) -> BuildPlan:
    """All files of a search's result. Recipes on the front are complete: they lower as they are."""
    files = {"front.json": _json(result).encode(), "front.svg": picture(result).encode()}
    for trial in result.front:
        ready = result.network.ready(trial.recipe, trial.outcome.weights)
        files[f"recipes/{name_of(trial)}.toml"] = ready.recipe.to_toml().encode()
    return BuildPlan(result.network.graph.name, files)


def name_of(trial: Trial) -> str:
    """A short name of a recipe together with its weights."""
    if not trial.outcome.weights:
        return trial.recipe.digest[:12]
    return hashlib.sha256(f"{trial.recipe.digest} {trial.outcome.weights}".encode()).hexdigest()[
        :12
    ]


def document(result: SearchResult) -> dict[str, Any]:
    """The result as JSON data."""
    kept = {id(trial) for trial in result.front}
    return {
        "version": VERSION,
        "model": result.network.graph.name,
        "objective": result.objective.name,
        "cost": result.settings.cost,
        "strategy": str(result.settings.strategy),
        "seed": result.settings.seed,
        "float_score": result.objective.exact_score,
        "samples": len(result.objective.samples),
        "front": [_point(trial) for trial in result.front],
        "uniform": [{"bits": bits, **_point(t)} for bits, t in sorted(result.uniform.items())],
        "others": [_point(trial) for trial in result.trials if id(trial) not in kept],
    }


def _json(result: SearchResult) -> str:
    return json.dumps(document(result), indent=1) + "\n"


def _point(trial: Trial) -> dict[str, Any]:
    return {
        "recipe": name_of(trial),
        "score": trial.outcome.score,
        "costs": dict(trial.outcome.costs),
        "repaired": trial.repaired,
        "widths": dict(trial.widths),
    }


def picture(result: SearchResult) -> str:
    """Score against cost as an SVG."""
    cost = result.settings.cost
    trials = _worth_showing(result)
    visible = {id(trial) for trial in trials}

    def scored(trial: Trial, name: str = "") -> ScoredPoint:
        costs, score = trial.outcome.costs[cost], trial.outcome.score
        return ScoredPoint(name_of(trial), costs, score, name)

    return draw_front(
        f"{result.network.graph.name}: {result.objective.name} against {cost}",
        (cost, result.objective.name),
        result.objective.exact_score,
        [scored(trial) for trial in trials],
        [scored(trial) for trial in result.front if id(trial) in visible],
        [
            scored(trial, f"{bits} bits")
            for bits, trial in result.uniform.items()
            if id(trial) in visible
        ],
    )


def draw_front(
    title: str,
    names: tuple[str, str],
    exact: float,
    trials: Sequence[ScoredPoint],
    front: Sequence[ScoredPoint],
    named: Sequence[ScoredPoint] = (),
) -> str:
    """Scores against costs (`names`: cost and score) as an SVG; the cost's axis is logarithmic."""
    from jinja2 import Environment, StrictUndefined

    ys = [point.score for point in trials] + [exact]
    xs = [math.log2(max(point.cost, 1.0)) for point in trials]
    across, up = _Axis.over(xs, LEFT, RIGHT), _Axis.over(ys, BOTTOM, TOP)

    def dot(point: ScoredPoint) -> RecipeDot:
        x = across.place(math.log2(max(point.cost, 1.0)))
        label = f"{point.label}: {point.score:.5g} at {point.cost:,.0f}"
        return RecipeDot(x, up.place(point.score), label, point.name)

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    drawn = environment.from_string(assets.text(TEMPLATE)).render(
        title=title,
        x_label=f"{names[0]} (each line twice the one before)",
        y_label=names[1],
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        exact=up.place(exact),
        x_ticks=[Tick(across.place(x), _short(2.0**x)) for x in across.whole()],
        y_ticks=[Tick(up.place(y), f"{y:.4g}") for y in up.even()],
        tried=[dot(point) for point in trials],
        front=[dot(point) for point in front],
        uniform=[dot(point) for point in named],
    )
    return writable(drawn)


def _worth_showing(result: SearchResult) -> list[Trial]:
    """Trials within twice the distance of the float score that was allowed; if there are none, all.
    What lies far below would press the interesting part into a line."""
    least = result.objective.exact_score - 2.0 * result.settings.tolerance
    near = [trial for trial in result.trials if trial.outcome.score >= least]
    return near or list(result.trials)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values low..high drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    @staticmethod
    def over(values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        spare = MARGIN * (high - low) or 0.5 * abs(high) or 0.5
        return _Axis(low - spare, high + spare, start, end)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def whole(self) -> list[float]:
        """Whole numbers on the axis."""
        return [float(n) for n in range(math.ceil(self.low), math.floor(self.high) + 1)]

    def even(self) -> list[float]:
        """A few round numbers on the axis."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * f for f in (1, 2, 5, 10) if power * f >= rough)
        first = math.ceil(self.low / step)
        return [round(n * step, 12) for n in range(first, math.floor(self.high / step) + 1)]


def _short(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
