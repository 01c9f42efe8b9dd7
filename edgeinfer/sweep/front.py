# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which trials no other one beats, and what each knob has to do with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from edgeinfer.sweep.study import Direction, Study
from edgeinfer.sweep.trial import TrialOutcome


def worth(study: Study, outcome: TrialOutcome) -> tuple[float, ...] | None:
    """The objectives, all of them to be made small; None where the trial does not tell them."""
    if outcome.error or any(each.figure not in outcome.figures for each in study.objectives):
        return None
    return tuple(
        -outcome.figures[each.figure]
        if each.direction is Direction.MAXIMIZE
        else outcome.figures[each.figure]
        for each in study.objectives
    )


def front(study: Study, trials: Sequence[TrialOutcome]) -> list[TrialOutcome]:
    """Trials within the budgets that no other one equals or beats in every objective and beats in
    one, by the first objective; of equals the one that was proposed first."""
    able = [(worth(study, each), each) for each in trials if not each.over]
    points = [(values, each) for values, each in able if values is not None]
    values_and_trials = []
    for number, (values, each) in enumerate(points):
        beaten = any(
            _beats(other, values) or (other == values and before < number)
            for before, (other, _) in enumerate(points)
            if before != number
        )
        if not beaten and not any(value != value for value in values):
            values_and_trials.append((values, each))
    return [each for _, each in sorted(values_and_trials, key=lambda item: item[0])]


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


def importances(study: Study, trials: Sequence[TrialOutcome]) -> dict[str, dict[str, float]]:
    """For each objective the share of its variance that each knob accounts for alone: between the
    means at the knob's values, of all there is. Few trials tell little."""
    shares_by_figure: dict[str, dict[str, float]] = {}
    for objective in study.objectives:
        complete = [each for each in trials if objective.figure in each.figures and not each.error]
        values = np.array([each.figures[objective.figure] for each in complete])
        spread = float(values.var()) if len(values) else 0.0
        shares = {}
        for knob in study.knobs:
            groups = defaultdict(list)
            for each, value in zip(complete, values, strict=True):
                groups[each.point[knob.name]].append(float(value))
            between = sum(
                len(group) * (np.mean(group) - values.mean()) ** 2 for group in groups.values()
            )
            shares[knob.name] = float(between / len(values) / spread) if spread else 0.0
        shares_by_figure[objective.figure] = shares
    return shares_by_figure
