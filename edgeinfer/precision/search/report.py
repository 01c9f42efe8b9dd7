# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a search found as data and as a picture: front.json, front.svg, a recipe for each point."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgeinfer.base.plan import BuildPlan
from edgeinfer.precision.search.run import SearchResult
from edgeinfer.report.draw.marks import Dot, Figure, Label, Line, Mark, cut
from edgeinfer.report.draw.scales import axes, over
from edgeinfer.report.page.templates import svg_file
from quantization.search import Trial

VERSION = 1
WIDTH, HEIGHT = 720.0, 470.0
LEFT, RIGHT, TOP, BOTTOM = 80.0, 700.0, 34.0, 410.0


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
    costs = [max(point.cost, 1.0) for point in trials]
    across = over(costs, LEFT, RIGHT, logarithmic=True)
    up = over([*(point.score for point in trials), exact], BOTTOM, TOP)

    def place(point: ScoredPoint) -> tuple[float, float]:
        return across.place(max(point.cost, 1.0)), up.place(point.score)

    def dot(point: ScoredPoint, kind: str, size: float) -> Dot:
        label = f"{point.label}: {point.score:.5g} at {point.cost:,.0f}"
        return Dot(*place(point), kind, label, size)

    level = up.place(exact)
    marks: list[Mark] = [
        Label(LEFT, TOP - 14, cut(title, RIGHT - LEFT), "strong"),
        *axes(across, up, *names),
        Line(((LEFT, level), (RIGHT, level)), "reference"),
        Label(LEFT + 6, level - 4, "float", "muted"),
        *(dot(point, "hollow c0", 2.5) for point in trials),
        Line(tuple(place(point) for point in front), "front c0"),
        *(dot(point, "full c0", 4.5) for point in front),
    ]
    for point in named:
        x, y = place(point)
        marks += [dot(point, "hollow c1", 5.5), Label(x + 8, y + 12, point.name, "muted")]
    sentence = "The line joins what nothing beats, in cost and in score."
    return svg_file(Figure("front", title, sentence, WIDTH, HEIGHT, tuple(marks)))


def _worth_showing(result: SearchResult) -> list[Trial]:
    """Trials within twice the distance of the float score that was allowed; if there are none, all.
    What lies far below would press the interesting part into a line."""
    least = result.objective.exact_score - 2.0 * result.settings.tolerance
    near = [trial for trial in result.trials if trial.outcome.score >= least]
    return near or list(result.trials)
