# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search for bit widths: what may be chosen, what a choice is worth, and what is best.

This knows recipes, scores and costs, and nothing of networks: whoever starts a search says how a
recipe is judged.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from quantization.recipe import Recipe
from quantization.search_journal import SearchError, SearchJournal

Widths = Mapping[str, int]  # knob -> bits
Point = TypeVar("Point")


@dataclass(frozen=True, slots=True)
class WidthKnob:
    """Something that has a width: the part of a recipe that goes with each of its widths."""

    name: str
    parts: Mapping[int, Recipe]  # by bits

    def __post_init__(self) -> None:
        if not self.parts:
            raise SearchError(f"The knob {self.name!r} offers no width.")

    @property
    def widths(self) -> tuple[int, ...]:
        """What may be chosen, widest first."""
        return tuple(sorted(self.parts, reverse=True))

    def below(self, bits: int) -> int | None:
        """The next narrower width."""
        return next((width for width in self.widths if width < bits), None)

    def above(self, bits: int) -> int | None:
        """The next wider width."""
        return next((width for width in reversed(self.widths) if width > bits), None)

    def nearest(self, bits: int) -> int:
        """The narrowest width of at least `bits`; the widest where none is."""
        return min((width for width in self.widths if width >= bits), default=self.widths[0])


@dataclass(frozen=True, slots=True)
class Space:
    """All recipes that a search may propose: a base, and one part for each knob on top."""

    base: Recipe
    knobs: tuple[WidthKnob, ...]

    def __post_init__(self) -> None:
        names = [knob.name for knob in self.knobs]
        if len(set(names)) != len(names) or not names:
            raise SearchError("A search needs knobs, each with a name of its own.")

    def knob(self, name: str) -> WidthKnob:
        """The knob of that name."""
        return next(knob for knob in self.knobs if knob.name == name)

    def uniform(self, bits: int) -> dict[str, int]:
        """Every knob at `bits`, or at what is nearest above."""
        return {knob.name: knob.nearest(bits) for knob in self.knobs}

    def recipe(self, widths: Widths) -> Recipe:
        """The recipe of a choice of widths."""
        activations = dict(self.base.activations)
        weights = dict(self.base.weights)
        for knob in self.knobs:
            part = knob.parts.get(widths[knob.name])
            if part is None:
                raise SearchError(f"{knob.name!r} has no width of {widths[knob.name]} bits.")
            activations |= dict(part.activations)
            weights |= dict(part.weights)
        return Recipe.of(activations, weights)

    @property
    def digest(self) -> str:
        """Content hash of everything that may be proposed."""
        state = hashlib.sha256(self.base.digest.encode())
        for knob in self.knobs:
            for bits in knob.widths:
                state.update(f"{knob.name} {bits} {knob.parts[bits].digest};".encode())
        return state.hexdigest()


@dataclass(frozen=True, slots=True)
class RecipeOutcome:
    """What a recipe is worth. `weights` names the weights that it was judged with, where they are
    not the network's own (whoever judges knows where they are kept)."""

    score: float  # higher is better
    costs: Mapping[str, float]
    weights: str = ""


Evaluate = Callable[[Recipe, str], RecipeOutcome]  # a recipe, judged with the weights of that name
Repair = Callable[[Recipe, str], RecipeOutcome]  # the same after training, from those weights on


@dataclass(frozen=True, slots=True)
class Trial:
    """A choice of widths, and how it did."""

    widths: Widths
    recipe: Recipe
    outcome: RecipeOutcome
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends at the latest. Time counts over all sessions of a resumed search."""

    trials: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.trials is not None and self.trials < 1) or (
            self.minutes is not None and not self.minutes > 0
        ):
            raise SearchError("A search needs at least one trial and more than 0 minutes.")


class LimitReached(Exception):
    """The search may make no more trials."""


@dataclass(slots=True)
class Judge:
    """Asks what recipes are worth, each once, and remembers the answers in a journal.

    A search that is started again with the same journal walks the same way, answered from the
    journal up to where it ended; nothing else has to be stored to resume it.
    """

    space: Space
    evaluate: Evaluate
    journal: SearchJournal
    limits: Limits
    repair: Repair | None = None
    clock: Callable[[], float] = time.monotonic
    trials: dict[str, Trial] = field(default_factory=dict)
    _started: float = field(init=False)
    _earlier: float = field(init=False)

    def __post_init__(self) -> None:
        self._started, self._earlier = self.clock(), self.journal.seconds

    def judge(self, widths: Widths, weights: str = "", *, repaired: bool = False) -> Trial:
        """A choice's worth, with weights as they are or repaired; LimitReached where it is not
        known and may not be found out any more."""
        recipe = self.space.recipe(widths)
        key = _key(recipe, weights, repaired)
        if key in self.trials:
            return self.trials[key]
        entry = self.journal.find(key)
        if entry is None:
            ask = self.repair if repaired else self.evaluate
            assert ask is not None
            self._refuse_when_spent()
            start = self.clock()
            outcome = ask(recipe, weights)
            seconds = self.clock() - start
            entry = self.journal.add(key, outcome.score, outcome.costs, outcome.weights, seconds)
        outcome = RecipeOutcome(entry.score, entry.costs, entry.note)
        self.trials[key] = Trial(dict(widths), recipe, outcome, repaired)
        return self.trials[key]

    @property
    def spent(self) -> bool:
        """Whether a limit is reached. The first answer is always allowed."""
        if not self.journal.entries:
            return False
        minutes = (self._earlier + self.clock() - self._started) / 60
        return (self.limits.trials is not None and self.journal.entries >= self.limits.trials) or (
            self.limits.minutes is not None and minutes >= self.limits.minutes
        )

    def _refuse_when_spent(self) -> None:
        if self.spent:
            raise LimitReached


def _key(recipe: Recipe, weights: str, repaired: bool) -> str:
    text = json.dumps([recipe.digest, weights, repaired])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def front(trials: Iterable[Trial], cost: str) -> tuple[Trial, ...]:
    """The trials than which none is both cheaper and better, cheapest first; of equals one that
    was not trained."""
    ordered = sorted(trials, key=lambda trial: trial.repaired)
    return tuple(
        unbeaten(ordered, lambda trial: trial.outcome.costs[cost], lambda t: t.outcome.score)
    )


def unbeaten(
    points: Iterable[Point], cost: Callable[[Point], float], worth: Callable[[Point], float]
) -> list[Point]:
    """The points than which none is both cheaper and better, cheapest first; of equals the
    first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (cost(each), -worth(each))):
        if not kept or worth(point) > worth(kept[-1]):
            kept.append(point)
    return kept
