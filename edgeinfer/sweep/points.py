# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which points are tried, one batch after the other.

A batch is of one size however many workers there are, and its answers are told in its own order: so
the same seed proposes the same points on any machine, and a study that is resumed walks the same
way, answered from its journal.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

import numpy as np

from edgeinfer.sweep.front import worth
from edgeinfer.sweep.study import Direction, SamplingStrategy, Study, StudyKnob, Value
from edgeinfer.sweep.trial import TrialOutcome

if TYPE_CHECKING:
    import optuna

BATCH = 8
IDLE = 20  # batches in a row that propose nothing new, after which the space counts as tried
Point = tuple[tuple[str, Value], ...]
Answers = Callable[[Sequence[Point]], list[TrialOutcome]]
Walk = Generator[list[Point], list[TrialOutcome], None]


def explore_points(study: Study, answers: Answers, over: Callable[[], bool]) -> list[TrialOutcome]:
    """All trials of a study, in the order in which they were proposed, until its end or `over`."""
    outcomes_by_point: dict[Point, TrialOutcome] = {}
    idle = 0
    walk = _walk(study)
    batch = next(walk, None)
    while (
        batch is not None and len(outcomes_by_point) < study.trials and idle < IDLE and not over()
    ):
        fresh = [point for point in dict.fromkeys(batch) if point not in outcomes_by_point]
        fresh = fresh[: study.trials - len(outcomes_by_point)]
        idle = 0 if fresh else idle + 1
        for point, outcome in zip(fresh, answers(fresh), strict=True):
            outcomes_by_point[point] = outcome
        outcomes = [outcomes_by_point[point] for point in batch if point in outcomes_by_point]
        try:
            batch = walk.send(outcomes)
        except StopIteration:
            break
    return list(outcomes_by_point.values())


def _walk(study: Study) -> Walk:
    """Batches of points; what came of them is sent back."""
    match study.strategy:
        case SamplingStrategy.GRID:
            yield from _grid(study)
        case SamplingStrategy.RANDOM:
            yield from _random(study)
        case SamplingStrategy.OPTUNA:
            yield from _sampler_walk(study)
        case _:
            assert_never(study.strategy)


def _grid(study: Study) -> Walk:
    names = [knob.name for knob in study.knobs]
    points = (
        tuple(zip(names, values, strict=True))
        for values in itertools.product(*(knob.values for knob in study.knobs))
    )
    while batch := list(itertools.islice(points, BATCH)):
        yield batch


def _random(study: Study) -> Walk:
    """Points drawn without one twice: numbers of the grid, in an order that the seed decides."""
    generator = np.random.default_rng(study.seed)
    numbers: set[int] = set()
    while len(numbers) < study.size:
        drawn: list[int] = []
        while len(drawn) < BATCH and len(numbers) < study.size:
            number = int(generator.integers(study.size))
            if number not in numbers:
                numbers.add(number)
                drawn.append(number)
        yield [_number_point(study.knobs, number) for number in drawn]


def _number_point(knobs: Sequence[StudyKnob], number: int) -> Point:
    numbers = []
    for knob in knobs:
        number, place = divmod(number, len(knob.values))
        numbers.append((knob.name, knob.values[place]))
    return tuple(numbers)


def _sampler_walk(study: Study) -> Walk:
    """Optuna's sampler for several objectives, with the budgets as constraints."""
    import optuna

    logging.getLogger("optuna").setLevel(logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=study.seed,
        multivariate=True,
        n_startup_trials=2 * BATCH,
    )
    directions = [optuna.study.StudyDirection[each.direction.name] for each in study.objectives]
    sampler_study = optuna.create_study(directions=directions, sampler=sampler)
    while True:
        trials = [sampler_study.ask() for _ in range(BATCH)]
        points = [_propose_point(study, trial) for trial in trials]
        answers = yield points
        by_point: dict[Point, TrialOutcome] = {tuple(each.point.items()): each for each in answers}
        for trial, point in zip(trials, points, strict=True):
            _tell(sampler_study, trial, study, by_point.get(point))


def _propose_point(study: Study, trial: optuna.Trial) -> Point:
    """Values are proposed by their place, so that neighbours are neighbours."""
    return tuple(
        (knob.name, knob.values[trial.suggest_int(knob.name, 0, len(knob.values) - 1)])
        for knob in study.knobs
    )


def _tell(
    sampler_study: optuna.Study, trial: optuna.Trial, study: Study, outcome: TrialOutcome | None
) -> None:
    import optuna

    values = None if outcome is None else worth(study, outcome)
    if outcome is not None:
        for figure, beyond in _beyond(study, outcome):
            trial.set_constraint(figure, beyond)
    if values is None or not all(math.isfinite(value) for value in values):
        sampler_study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    signed = [
        -value if objective.direction is Direction.MAXIMIZE else value
        for value, objective in zip(values, study.objectives, strict=True)
    ]
    sampler_study.tell(trial, signed)


def _beyond(study: Study, outcome: TrialOutcome) -> Iterator[tuple[str, float]]:
    """How far each budget is broken; 0 where it is kept."""
    for budget in study.budgets:
        value = outcome.figures.get(budget.figure)
        if value is not None:
            yield budget.figure, max(value - budget.most, budget.least - value, 0.0)
