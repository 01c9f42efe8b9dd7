# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the user's own synthesis runs have taught: figures as they were estimated and as the tool
reported them, kept in the user's configuration folder.

A correction is made only where it has helped on these runs: each in turn is corrected by what the
others say, and has to come nearer to its report on average.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgeinfer.base.errors import InputError
from edgeinfer.base.plan import write_file

FILE = "estimates.json"
VERSION = 1
FEWEST = 3  # runs of a kind, below which nothing is corrected
TRUSTED = 2  # runs that weigh as much as the estimate itself
SPREAD = 8  # runs from which on a band is their own


@dataclass(frozen=True, slots=True)
class RunLesson:
    """One figure of one run."""

    run: str  # a digest of the design and of what was reported
    target: str
    family: str  # of designs that share their errors
    figure: str
    estimated: float
    reported: float

    @property
    def error(self) -> float | None:
        """The logarithm of reported over estimated; None where one of them is nothing."""
        if self.estimated <= 0 or self.reported <= 0:
            return None
        return math.log(self.reported / self.estimated)


@dataclass(frozen=True, slots=True)
class Correction:
    """By what a figure is multiplied, between which factors of that it lies, how many runs say."""

    factor: float
    low: float | None  # None: the band of published designs stays, moved
    high: float | None
    runs: int

    def apply(self, value: float, low: float, high: float) -> tuple[float, float, float]:
        """The figure and its band, corrected."""
        moved = value * self.factor
        if self.low is None or self.high is None:
            return moved, low * self.factor, high * self.factor
        return moved, moved * self.low, moved * self.high


def lessons_file() -> Path:
    """Where they are kept; the variable EDGEINFER_CONFIG names another folder."""
    own = os.environ.get("EDGEINFER_CONFIG")
    if own:
        return Path(own) / FILE
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "edgeinfer" / FILE


def read_lessons() -> tuple[RunLesson, ...]:
    """All that is known; nothing where nothing was taught."""
    path = lessons_file()
    if not path.is_file():
        return ()
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise ValueError(f"its version is {document['version']!r}")
        return tuple(_lesson(entry) for entry in document["lessons"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} does not hold what estimates have learned: {error}.",
            hint="Remove it, and teach again with edgeinfer estimate --learn RUN...",
        ) from None


def _lesson(entry: dict[str, object]) -> RunLesson:
    lesson = RunLesson(**entry)  # type: ignore[arg-type]
    texts = (lesson.run, lesson.target, lesson.family, lesson.figure)
    numbers = (lesson.estimated, lesson.reported)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a name is no text")
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise ValueError("a figure is no number")
    return lesson


def keep_lessons(new: Iterable[RunLesson]) -> tuple[RunLesson, ...]:
    """Add lessons to those that are kept; a run that is taught again replaces itself."""
    added = tuple(new)
    runs = {lesson.run for lesson in added}
    every = (*(lesson for lesson in read_lessons() if lesson.run not in runs), *added)
    text = json.dumps({"version": VERSION, "lessons": [asdict(each) for each in every]}, indent=1)
    write_file(lessons_file(), text + "\n")
    return every


def corrections(target: str, family: str, lessons: Sequence[RunLesson]) -> dict[str, Correction]:
    """By figure, what runs of a target and of a kind of designs say."""
    errors: dict[str, dict[str, float]] = {}
    for lesson in lessons:
        if (lesson.target, lesson.family) == (target, family) and lesson.error is not None:
            errors.setdefault(lesson.figure, {})[lesson.run] = lesson.error
    corrections_found = {
        name: _correction(np.array(list(own.values()))) for name, own in errors.items()
    }
    return {name: each for name, each in corrections_found.items() if each is not None}


def _correction(errors: np.ndarray) -> Correction | None:
    count = len(errors)
    if count < FEWEST:
        return None
    others = (errors.sum() - errors) / (count - 1)
    left = errors - others * (count - 1) / (count - 1 + TRUSTED)
    if np.abs(left).mean() >= np.abs(errors).mean():
        return None
    factor = math.exp(errors.mean() * count / (count + TRUSTED))
    if count < SPREAD:
        return Correction(factor, None, None, count)
    low, high = np.quantile(left, (0.05, 0.95)) * (1 + 1 / count)
    return Correction(factor, math.exp(min(low, 0.0)), math.exp(max(high, 0.0)), count)
