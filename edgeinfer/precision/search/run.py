# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search for bit widths on a network, from samples to a front of recipes on disk.

Its folder holds the journal (and, with repairs, the trained weights), so that the same call goes on
where a killed one ended.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.plan import stage_file
from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.ir.costs import Estimate
from edgeinfer.precision.ptq.network import replace_weights
from edgeinfer.precision.search.objective import SearchObjective, objective_on
from edgeinfer.precision.search.space import SearchedNetwork, prepare_search
from quantization.recipe import Recipe
from quantization.search import Judge, LimitReached, Limits, RecipeOutcome, Repair, Trial, front
from quantization.search_greedy import Descent, descend, polish
from quantization.search_journal import SearchError, SearchJournal
from quantization.search_thorough import Exploration, explore

Train = Callable[[g.Graph, Recipe], g.Graph]  # the network with weights trained for a recipe
SampleProgress = Callable[[int, int], None]  # trials (or seconds) done, and in all

JOURNAL, STUDY, WEIGHTS = "search.jsonl", "study.log", "weights"
FINISHED = 12  # recipes that are trained in the end, where there is training
LOOKING = 0.6  # share of trials and of time for finding them, the rest being for their training


class SearchStrategy(StrEnum):
    """How the search goes about it."""

    GREEDY = "greedy"
    THOROUGH = "thorough"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What may be chosen, what counts, and when to stop."""

    widths: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    strategy: SearchStrategy = SearchStrategy.GREEDY
    cost: str = "ebops"
    budget: float = 0.0  # a recipe this cheap is cheap enough
    budget_share: float = 0.0  # the same as a share of the cost of `budget_bits` throughout
    budget_bits: int = 6
    tolerance: float = 0.01  # of score below the float network's that is still looked at
    trials: int | None = None
    minutes: float | None = None
    seed: int = 0
    per_channel: bool = False

    def __post_init__(self) -> None:
        if not self.widths or not all(2 <= width <= 16 for width in self.widths):
            raise UsageError(f"Widths of {self.widths} bits cannot be searched; choose 2 to 16.")
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"--trials is {self.trials}, but a search needs at least one trial.")
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"--minutes is {self.minutes:g}, but must be above 0.")
        if not self.tolerance >= 0.0 or not self.budget >= 0.0:
            raise UsageError("A search's tolerance and budget must not be below 0.")
        if (
            self.strategy is SearchStrategy.THOROUGH
            and self.trials is None
            and self.minutes is None
        ):
            raise UsageError("A thorough search needs --minutes or --trials.")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found: every trial, those with one width throughout, and the best of all."""

    network: SearchedNetwork
    objective: SearchObjective
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
    report_progress: SampleProgress = lambda done, total: None,
) -> SearchResult:
    """Search recipes for a network; formats are fitted to the one set and judged on the other."""
    _refuse_recurrences(graph)
    network = prepare_search(
        graph,
        calibration.inputs,
        settings.widths,
        per_channel=settings.per_channel,
        estimate=estimate,
    )
    objective = objective_on(graph, validation)
    evaluate = _with_progress(network.evaluator(objective), settings, report_progress)
    judge = _judge(network, objective, settings, folder, evaluate)
    if train is not None:
        judge.repair = _repair(network, evaluate, train, folder / WEIGHTS)
        judge.limits = _shorten_limits(settings)
    uniform = _uniform(judge, settings)
    settings = _with_budget(settings, uniform)
    match settings.strategy:
        case SearchStrategy.GREEDY:
            floor = objective.exact_score - settings.tolerance
            start = network.space.uniform(max(settings.widths))
            descend(judge, Descent(start, settings.cost, floor, settings.budget))
            polish(judge, settings.cost, floor, settings.seed)
        case SearchStrategy.THOROUGH:
            starts = tuple(trial.widths for trial in uniform.values())
            plan = Exploration((settings.cost,), settings.seed, starts)
            explore(judge, plan, folder / STUDY)
        case _:
            assert_never(settings.strategy)
    if train is not None:
        judge.limits = Limits(settings.trials, settings.minutes)
        uniform = _train_finalists(judge, settings, uniform)
    trials = tuple(judge.trials.values())
    return SearchResult(network, objective, settings, trials, uniform, front(trials, settings.cost))


def _refuse_recurrences(graph: g.Graph) -> None:
    """Widths inside a body are not searched yet."""
    scans = [node.name for node in graph.nodes if isinstance(node, g.ScanNode)]
    if scans:
        raise UsageError(
            f"{graph.name} has recurrences ({', '.join(scans)}), and a search does not vary the "
            f"widths inside these.",
            hint="Choose widths yourself: edgeinfer compile --bits N --bits-of PATTERN=N.",
        )


def _with_progress(
    evaluate: Callable[[Recipe, str], RecipeOutcome],
    settings: SearchSettings,
    report_progress: SampleProgress,
) -> Callable[[Recipe, str], RecipeOutcome]:
    """The evaluator, telling how far the search is."""
    began, done = time.monotonic(), [0]

    def telling(recipe: Recipe, weights: str) -> RecipeOutcome:
        outcome = evaluate(recipe, weights)
        done[0] += 1
        if settings.minutes is not None:
            whole = int(60 * settings.minutes)
            report_progress(min(int(time.monotonic() - began), whole), whole)
        elif settings.trials is not None:
            report_progress(min(done[0], settings.trials), settings.trials)
        return outcome

    return telling


def _with_budget(settings: SearchSettings, uniform: Mapping[int, Trial]) -> SearchSettings:
    """The settings with a budget that was given as a share put into numbers."""
    trial = uniform.get(settings.budget_bits)
    if not settings.budget_share or trial is None:
        return settings
    cost = trial.outcome.costs[settings.cost]
    return replace(settings, budget=settings.budget_share * cost)


def _judge(
    network: SearchedNetwork,
    objective: SearchObjective,
    settings: SearchSettings,
    folder: Path,
    evaluate: Callable[[Recipe, str], RecipeOutcome],
) -> Judge:
    limits = Limits(settings.trials, settings.minutes)
    try:
        journal = SearchJournal.open(folder / JOURNAL, identity(network, objective))
    except SearchError as error:
        raise InputError(str(error)) from None
    judge = Judge(network.space, evaluate, journal, limits)
    widest = judge.space.uniform(max(settings.widths))
    costs = judge.judge(widest).outcome.costs
    refuse_unknown_cost(settings.cost, costs)
    return judge


def refuse_unknown_cost(cost: str, costs: Collection[str]) -> None:
    """An error for a cost that recipes do not have."""
    if cost not in costs:
        raise UsageError(f"There is no cost {cost!r}.", hint=f"Choose one of {', '.join(costs)}.")


def _uniform(judge: Judge, settings: SearchSettings) -> dict[int, Trial]:
    """One width throughout: what every search is compared with."""
    trials: dict[int, Trial] = {}
    try:
        for bits in sorted(settings.widths, reverse=True):
            trials[bits] = judge.judge(judge.space.uniform(bits))
    except LimitReached:
        pass
    return trials


def _shorten_limits(settings: SearchSettings) -> Limits:
    trials = settings.trials and max(1, math.ceil(LOOKING * settings.trials))
    return Limits(trials, settings.minutes and LOOKING * settings.minutes)


def _train_finalists(
    judge: Judge, settings: SearchSettings, uniform: Mapping[int, Trial]
) -> dict[int, Trial]:
    """Train what is worth it: the best that the budget buys, recipes spread over the front, and
    those of one width, for they are what the others are compared with. The latter come back."""
    trained = dict(uniform)
    try:
        for trial in _worth_training(judge, settings):
            judge.judge(trial.widths, trial.outcome.weights, repaired=True)
        for bits, trial in sorted(uniform.items(), reverse=True):
            better = judge.judge(trial.widths, trial.outcome.weights, repaired=True)
            if better.outcome.score > trial.outcome.score:
                trained[bits] = better
    except LimitReached:
        pass
    return trained


def _worth_training(judge: Judge, settings: SearchSettings) -> list[Trial]:
    """The best within the budget first, then recipes of the front in even steps of their cost's
    logarithm, cheap ones last."""
    cost = settings.cost
    best = [t for t in front(judge.trials.values(), cost) if not t.repaired]
    if not best:
        return []
    affordable = [t for t in best if t.outcome.costs[cost] <= settings.budget]
    logs = np.log([max(trial.outcome.costs[cost], 1.0) for trial in best])
    places = np.linspace(logs[-1], logs[0], FINISHED)
    near = [best[int(np.abs(logs - place).argmin())] for place in places]
    return list({id(trial): trial for trial in (*affordable[-1:], *near)}.values())


def _repair(
    network: SearchedNetwork,
    evaluate: Callable[[Recipe, str], RecipeOutcome],
    train: Train,
    folder: Path,
) -> Repair:
    """Training as a search sees it: weights under a name, kept on disk so that a resumed search
    finds them again."""
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as stored:
            network.repaired[path.stem] = replace_weights(network.graph, dict(stored))

    def repair(recipe: Recipe, weights: str) -> RecipeOutcome:
        ready = network.ready(recipe, weights)
        trained = train(ready.graph, ready.recipe)
        name = hashlib.sha256(f"{recipe.digest} {weights}".encode()).hexdigest()[:16]
        with stage_file(folder / f"{name}.npz") as temporary:
            stored: Any = dict(trained.weights())
            np.savez(temporary, **stored)
        network.repaired[name] = trained
        return evaluate(recipe, name)

    return repair


def identity(network: SearchedNetwork, objective: SearchObjective) -> str:
    """What a journal's answers depend on: the space, the weights, and the samples."""
    arrays: dict[str, NDArray[Any]] = {
        **dict(network.graph.weights()),
        **{f"in {name}": values for name, values in objective.samples.inputs.items()},
        **{f"out {name}": values for name, values in objective.samples.labels.items()},
        **{f"fit {name}": values for name, values in network.network.exact.items()},
    }
    return digest_with(f"{network.space.digest} {network.effort} {objective.name}", arrays)


def digest_with(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """A digest of a text and of arrays by their names."""
    state = hashlib.sha256(text.encode())
    for name, values in sorted(arrays.items()):
        state.update(f"{name} {values.shape} {values.dtype}".encode())
        state.update(np.ascontiguousarray(values).tobytes())
    return state.hexdigest()
