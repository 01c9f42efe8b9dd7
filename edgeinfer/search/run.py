# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search for bit widths on a network, from samples to a front of recipes on disk.

Its folder holds the journal (and, with repairs, the trained weights), so that the same call goes on
where a killed one ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer import graph as g
from edgeinfer.costs import Estimate
from edgeinfer.errors import InputError, UsageError
from edgeinfer.plan import staged
from edgeinfer.ptq.network import reweighted
from edgeinfer.samples import Samples
from edgeinfer.search.objective import Objective, objective_on
from edgeinfer.search.space import Searched, searched
from quantization.recipe import Recipe
from quantization.search import Judge, LimitReached, Limits, Outcome, Repair, Trial, front
from quantization.search_greedy import Descent, descend, polish
from quantization.search_journal import Journal, SearchError
from quantization.search_thorough import Exploration, Sampler, explore

Train = Callable[[g.Graph, Recipe], g.Graph]  # the network with weights trained for a recipe
Tried = Callable[[Trial], None]

JOURNAL, STUDY, WEIGHTS = "search.jsonl", "study.log", "weights"


class Strategy(StrEnum):
    """How the search goes about it."""

    GREEDY = "greedy"
    THOROUGH = "thorough"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What may be chosen, what counts, and when to stop."""

    widths: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    strategy: Strategy = Strategy.GREEDY
    cost: str = "ebops"
    budget: float = 0.0  # a recipe this cheap is cheap enough
    tolerance: float = 0.01  # of score below the float network's that is still looked at
    trials: int | None = None
    minutes: float | None = None
    seed: int = 0
    sampler: Sampler = Sampler.NSGA2
    per_channel: bool = False

    def __post_init__(self) -> None:
        if not self.widths or not all(2 <= width <= 16 for width in self.widths):
            raise UsageError(f"Widths of {self.widths} bits cannot be searched; choose 2 to 16.")
        if self.strategy is Strategy.THOROUGH and self.trials is None and self.minutes is None:
            raise UsageError("A thorough search needs --minutes or --trials.")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: every trial, those with one width throughout, and the best of all."""

    network: Searched
    objective: Objective
    settings: SearchSettings
    trials: tuple[Trial, ...]
    uniform: Mapping[int, Trial]  # by bits
    front: tuple[Trial, ...]  # cheapest first

    def cheapest(self, score: float) -> Trial | None:
        """The cheapest recipe that scores at least this."""
        return next((trial for trial in self.front if trial.outcome.score >= score), None)

    def best(self, budget: float) -> Trial | None:
        """The best recipe that costs no more than this."""
        cost = self.settings.cost
        affordable = [t for t in self.front if t.outcome.costs[cost] <= budget]
        return affordable[-1] if affordable else None


def search(
    graph: g.Graph,
    calibration: Samples,
    validation: Samples,
    settings: SearchSettings,
    folder: Path,
    *,
    train: Train | None = None,
    estimate: Estimate | None = None,
) -> Found:
    """Search recipes for a network; formats are fitted to the one set and judged on the other."""
    network = searched(
        graph,
        calibration.inputs,
        settings.widths,
        per_channel=settings.per_channel,
        estimate=estimate,
    )
    objective = objective_on(graph, validation)
    evaluate = network.evaluator(objective)
    judge = _judge(network, objective, settings, folder, evaluate)
    if train is not None:
        judge.repair = _repair(network, evaluate, train, folder / WEIGHTS)
    uniform = _uniform(judge, settings)
    match settings.strategy:
        case Strategy.GREEDY:
            floor = objective.exact_score - settings.tolerance
            start = network.space.uniform(max(settings.widths))
            descend(judge, Descent(start, settings.cost, floor, settings.budget))
            polish(judge, settings.cost, floor, settings.seed)
        case Strategy.THOROUGH:
            starts = tuple(trial.widths for trial in uniform.values())
            plan = Exploration((settings.cost,), settings.seed, settings.sampler, starts)
            explore(judge, plan, folder / STUDY)
        case _:
            assert_never(settings.strategy)
    trials = tuple(judge.trials.values())
    return Found(network, objective, settings, trials, uniform, front(trials, settings.cost))


def _judge(
    network: Searched,
    objective: Objective,
    settings: SearchSettings,
    folder: Path,
    evaluate: Callable[[Recipe, str], Outcome],
) -> Judge:
    limits = Limits(settings.trials, settings.minutes)
    try:
        journal = Journal.open(folder / JOURNAL, identity(network, objective))
    except SearchError as error:
        raise InputError(str(error)) from None
    judge = Judge(network.space, evaluate, journal, limits)
    widest = judge.space.uniform(max(settings.widths))
    known = judge.judged(widest).outcome.costs
    if settings.cost not in known:
        raise UsageError(
            f"There is no cost {settings.cost!r}.", hint=f"Choose one of {', '.join(known)}."
        )
    return judge


def _uniform(judge: Judge, settings: SearchSettings) -> dict[int, Trial]:
    """One width throughout: what every search is compared with."""
    found: dict[int, Trial] = {}
    try:
        for bits in sorted(settings.widths, reverse=True):
            found[bits] = judge.judged(judge.space.uniform(bits))
    except LimitReached:
        pass
    return found


def _repair(
    network: Searched,
    evaluate: Callable[[Recipe, str], Outcome],
    train: Train,
    folder: Path,
) -> Repair:
    """Training as a search sees it: weights under a name, kept on disk so that a resumed search
    finds them again."""
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as stored:
            network.repaired[path.stem] = reweighted(network.graph, dict(stored))

    def repair(recipe: Recipe, weights: str) -> Outcome:
        ready = network.ready(recipe, weights)
        trained = train(ready.graph, ready.recipe)
        name = hashlib.sha256(f"{recipe.digest} {weights}".encode()).hexdigest()[:16]
        with staged(folder / f"{name}.npz") as temporary:
            stored: Any = dict(trained.weights())
            np.savez(temporary, **stored)
        network.repaired[name] = trained
        return evaluate(recipe, name)

    return repair


def identity(network: Searched, objective: Objective) -> str:
    """What a journal's answers depend on: the space, the weights, and the samples."""
    state = hashlib.sha256(f"{network.space.digest} {network.effort} {objective.name}".encode())
    arrays: dict[str, NDArray[Any]] = {
        **dict(network.graph.weights()),
        **{f"in {name}": values for name, values in objective.samples.inputs.items()},
        **{f"out {name}": values for name, values in objective.samples.labels.items()},
        **{f"fit {name}": values for name, values in network.network.exact.items()},
    }
    for name, values in sorted(arrays.items()):
        state.update(f"{name} {values.shape} {values.dtype}".encode())
        state.update(np.ascontiguousarray(values).tobytes())
    return state.hexdigest()
