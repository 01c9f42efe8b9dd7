# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Greedy descent: always narrow what loses least for what it saves, until the score or the purse
says stop.

What a step loses is looked up in the order in which steps promised to be cheap, and only while
another one might be cheaper: losses hardly shrink when other things become narrower, so a promise
that was broken by more than the next one's price need not be compared with the rest.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from quantization.search import Judge, LimitReached, Space, Trial, Widths, front

PATIENCE = 40  # exchanges in a row that improved nothing, after which a front counts as polished
WORTH = 0.98  # of the cost of what scores as well: less of a saving is no improvement


@dataclass(frozen=True, slots=True)
class Descent:
    """Where a descent begins and where it ends."""

    start: Widths
    cost: str  # what is to be saved
    floor: float = -math.inf  # no recipe scored below it is kept
    budget: float = 0.0  # a recipe that costs no more than this is cheap enough


@dataclass(frozen=True, slots=True, order=True)
class _Step:
    """A knob's next width and what it promises: loss for each halving of the cost."""

    price: float
    saving: float  # negative, so that of two equal prices the larger saving comes first
    knob: str
    bits: int = field(compare=False)
    round: int = field(compare=False)  # in which the promise was made


def descend(judge: Judge, descent: Descent) -> tuple[Trial, ...]:
    """The way down, first the start, then each recipe that was kept.

    Where a step falls below the floor and there is a repair, the step is repaired once; if that
    does not lift it, the knob stays as it is from then on.
    """
    path: list[Trial] = []
    try:
        path.append(judge.judge(descent.start))
        queue = [_promise(path[0], judge, knob.name) for knob in judge.space.knobs]
        steps = [step for step in queue if step is not None]
        heapq.heapify(steps)
        while steps and path[-1].outcome.costs[descent.cost] > descent.budget:
            _advance(judge, descent, path, steps)
    except LimitReached:
        pass
    return tuple(path)


def _advance(judge: Judge, descent: Descent, path: list[Trial], steps: list[_Step]) -> None:
    """Look at the most promising step: keep it, put it back at its true price, or give it up."""
    step, current = heapq.heappop(steps), path[-1]
    trial = judge.judge({**current.widths, step.knob: step.bits}, current.outcome.weights)
    if trial.outcome.score < descent.floor:
        if judge.repair is None:
            return
        trial = judge.judge(trial.widths, current.outcome.weights, repaired=True)
        if trial.outcome.score < descent.floor:
            return
    price, saving = price_step(current, trial, descent.cost)
    if math.isinf(price):
        return
    true = _Step(price, saving, step.knob, step.bits, len(path))
    if step.round < len(path) and steps and steps[0] < true:
        heapq.heappush(steps, true)
        return
    path.append(trial)
    following = _promise(trial, judge, step.knob, at_least=price)
    if following is not None:
        heapq.heappush(steps, following)


def price_step(before: Trial, after: Trial, cost: str) -> tuple[float, float]:
    """Loss of score for each halving of the cost, infinite where nothing is saved; and the saving
    in halvings, negated. A gain counts as no loss: most gains are luck."""
    was, now = before.outcome.costs[cost], after.outcome.costs[cost]
    if now >= was:
        return math.inf, 0.0
    halvings = math.log2(was / now) if now > 0 else 64.0
    return max(before.outcome.score - after.outcome.score, 0.0) / halvings, -halvings


def _promise(at: Trial, judge: Judge, knob: str, *, at_least: float = 0.0) -> _Step | None:
    """A knob's next step at a guessed price, to be found out when its turn comes."""
    was = at.widths[knob]
    bits = judge.space.knob(knob).below(was)
    if bits is None:
        return None
    return _Step(at_least, -math.log2(was / bits), knob, bits, -1)


def polish(judge: Judge, cost: str, floor: float, seed: int = 0) -> None:
    """Improve the front by exchanges: one knob a step narrower, another a step wider, or one of the
    two alone. Which to try next is drawn from all that start on the front and were not tried.

    The more is tried, the more of a score is luck: what is chosen in the end should be judged once
    more, on samples that the search has not seen.
    """
    rng = random.Random(seed)
    tried_points: set[tuple[int, ...]] = set()
    idle = 0
    while idle < PATIENCE:
        best = [t for t in front(judge.trials.values(), cost) if t.outcome.score >= floor]
        fresh = [
            (trial, widths)
            for trial in best
            for widths in exchanges(judge.space, trial.widths)
            if tuple(widths.values()) not in tried_points
        ]
        if not fresh:
            return
        trial, widths = rng.choice(fresh)
        tried_points.add(tuple(widths.values()))
        try:
            trial_judged = judge.judge(widths, trial.outcome.weights)
        except LimitReached:
            return
        idle = 0 if _improves(best, trial_judged, cost, floor) else idle + 1


def _improves(best: Sequence[Trial], candidate: Trial, cost: str, floor: float) -> bool:
    """Whether a trial is clearly cheaper than everything that scores as well."""
    score = candidate.outcome.score
    rivals = [t.outcome.costs[cost] for t in best if t.outcome.score >= score]
    return score >= floor and candidate.outcome.costs[cost] < WORTH * min(rivals, default=0.0)


def exchanges(space: Space, widths: Widths) -> list[dict[str, int]]:
    """Choices that differ by a step down of one knob, a step up of one, or both, of two knobs."""
    down = {knob.name: knob.below(widths[knob.name]) for knob in space.knobs}
    up = {knob.name: knob.above(widths[knob.name]) for knob in space.knobs}
    names = [knob.name for knob in space.knobs]
    here = {name: widths[name] for name in names}
    choices = [{**here, name: bits} for name in names if (bits := down[name]) is not None]
    choices += [{**here, name: bits} for name in names if (bits := up[name]) is not None]
    choices += [
        {**here, narrow: less, wide: more}
        for narrow in names
        for wide in names
        if narrow != wide and (less := down[narrow]) is not None and (more := up[wide]) is not None
    ]
    return choices
