# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The networks of one training from the dearest to the cheapest, and which of them is wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, le
from typing import Any

from edgeinfer.base.errors import InputError, UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A network of the front: figures by name, of its score and of what it costs."""

    name: str
    score: float
    costs: Mapping[str, float]
    cost_weight: float  # of the cost of the network as it begins, in the loss
    seconds: float  # since training began

    def figures(self, score: str) -> dict[str, float]:
        """All figures; `score` is the score's name."""
        return {score: self.score, **self.costs}


@dataclass(frozen=True, slots=True)
class TrainedFile:
    """A network of the front as a file of Keras."""

    content: bytes
    cost_weight: float  # as in `FrontPoint`
    seconds: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which figures a network is wanted."""

    at_most: Mapping[str, float]
    at_least: Mapping[str, float]


def read_bounds(option: str, words: Sequence[str]) -> dict[str, float]:
    """``["lut=2000"]`` as figures by name."""
    limits: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            limits[name.strip().lower()] = float(text.replace("_", ""))
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(
                f"{option} {word}: that names no figure and its value.",
                hint=f"Write it as NAME=NUMBER: {option} lut=2000",
            )
    return limits


def refuse_unknown_bounds(bounds: Bounds, figures: Collection[str]) -> None:
    """An error for a bound of a figure that the networks of a front do not have."""
    for name in (*bounds.at_most, *bounds.at_least):
        if name not in figures:
            raise UsageError(
                f"The networks of the front have no figure {name!r}.",
                hint=did_you_mean(name, figures) or f"They have {', '.join(figures)}.",
            )


def choose_point(points: Sequence[FrontPoint], bounds: Bounds, score: str, cost: str) -> FrontPoint:
    """The best within the bounds: the cheapest where the score has a bound, else the one of the
    highest score. An error names the nearest where none is within."""
    refuse_unknown_bounds(bounds, points[0].figures(score))
    within = [point for point in points if not _misses(point, bounds, score)]
    if not within:
        listed = "; ".join(
            f"{point.name}: {', '.join(_misses(point, bounds, score))}" for point in points
        )
        raise InputError(
            f"No network of the front is within the bounds: {listed}.",
            hint="All are kept in the folder; loosen a bound, or train longer with more --epochs.",
        )
    if score in bounds.at_least:
        return min(within, key=lambda point: (point.costs[cost], -point.score))
    return max(within, key=lambda point: (point.score, -point.costs[cost]))


def _misses(point: FrontPoint, bounds: Bounds, score: str) -> list[str]:
    figures = point.figures(score)
    return [
        f"{name} {figures[name]:.6g}"
        for limits, holds in ((bounds.at_most, le), (bounds.at_least, ge))
        for name, limit in limits.items()
        if not holds(figures[name], limit)
    ]


def describe_point(point: FrontPoint, score: str) -> dict[str, Any]:
    """A point as JSON data."""
    return {
        "name": point.name,
        "score": point.score,
        "costs": dict(point.costs),
        "cost_weight": point.cost_weight,
        "seconds": point.seconds,
        "objective": score,
    }
