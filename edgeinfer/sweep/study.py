# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a study tries, and what for: read from TOML, every mistake named with its place."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.data.open import existing
from edgeinfer.targets.registry import DEFAULT, known_targets
from edgeinfer.targets.target import ToolStep
from edgeinfer.zoo import is_name

Value = str | int | float | bool
Kind = TypeVar("Kind", bound=StrEnum)
MOST_POINTS = 1_000_000  # of a grid


class SamplingStrategy(StrEnum):
    """How points are chosen."""

    GRID = "grid"
    RANDOM = "random"
    OPTUNA = "optuna"


class Direction(StrEnum):
    """Which way is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure, named as gates name it, and which way is better."""

    figure: str
    direction: Direction = Direction.MINIMIZE


@dataclass(frozen=True, slots=True)
class FigureBudget:
    """A figure's hard limit: a trial beyond it is not on the front."""

    figure: str
    most: float = math.inf
    least: float = -math.inf


@dataclass(frozen=True, slots=True)
class StudyKnob:
    """Something that is varied, and the values that it may take."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """The content of a study's file."""

    models: tuple[str, ...]
    knobs: tuple[StudyKnob, ...]
    objectives: tuple[Objective, ...]
    budgets: tuple[FigureBudget, ...] = ()
    data: str | None = None
    targets: tuple[str, ...] = (DEFAULT,)
    devices: tuple[str, ...] = ()
    strategy: SamplingStrategy = SamplingStrategy.OPTUNA
    trials: int = 60
    minutes: float | None = None
    seed: int = 0
    bits: int = 8  # of what no group names
    method: str = "ptq"  # or "qat", where no knob says it
    epochs: int = 3  # of training, with qat
    refine: bool = True  # formats are moved to where outputs change least, weights adapted
    compile_best: int = 0  # trials of the front that are compiled and simulated afterwards
    tools: tuple[ToolStep, ...] = ()  # started on those
    tool_minutes: float = 240.0
    resources: tuple[tuple[str, float], ...] = ()  # of a cluster's worker, taken by such a trial

    @property
    def digest(self) -> str:
        """The content hash: a study that is resumed is the same."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(knob.values) for knob in self.knobs)


KNOBS = ("model", "device", "method", "sparsity", "prune_filters", "input_bits")
BITS = "bits:"  # a knob's name begins so, a pattern of names follows


def knobs_known() -> tuple[str, ...]:
    """What can be varied beside widths: of the network, and each target's own settings."""
    options = [option for entry in known_targets().values() for option in entry.options.values()]
    return tuple(
        dict.fromkeys([*KNOBS, *(each.name for each in options if each.is_scalar and each.verbs)])
    )


def read(path: Path) -> Study:
    """Read a study's file; models and data are beside it unless they are reference models."""
    existing(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a study: {error}.", hint="docs/studies.md shows one."
        ) from None
    return _Reader(path).study(document)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks what a file says, and names the place of what is wrong."""

    path: Path

    def study(self, document: Mapping[str, Any]) -> Study:
        self.only(document, ("study", "space", "objective", "budget"), "the file")
        head = self.table(document, "study")
        fields: dict[str, Callable[[Any, str], Any]] = {
            "model": self.text, "data": self.text, "target": self.texts, "device": self.texts,
            "strategy": self.choice(SamplingStrategy), "trials": self.count, "minutes": self.number,
            "seed": self.whole, "bits": self.count, "method": self.text, "epochs": self.count,
            "refine": self.flag, "compile_best": self.whole, "tools": self.steps,
            "tool_minutes": self.number, "resources": self.pairs,
        }  # fmt: skip
        self.only(head, tuple(fields), "[study]")
        values: dict[str, Any] = {}
        for name, value in head.items():
            values[name] = fields[name](value, f"study.{name}")
        knobs = self.knobs(self.table(document, "space"))
        models = next((knob.values for knob in knobs if knob.name == "model"), None)
        if models is None and "model" not in values:
            raise self.wrong("study.model", "names no model")
        named = [self.place(str(model)) for model in (models or [values["model"]])]
        if "data" in values:
            values["data"] = self.beside(values["data"])
        values |= {"targets": values.pop("target", (DEFAULT,)), "devices": values.pop("device", ())}
        values.pop("model", None)
        study = Study(
            tuple(named),
            tuple(knob for knob in knobs if len(knob.values) > 1 or knob.name != "model"),
            self.objectives(document.get("objective")),
            self.budgets(document.get("budget", {})),
            **values,
        )
        if study.strategy is SamplingStrategy.GRID and study.size > MOST_POINTS:
            raise self.wrong("space", f"has {study.size:,} points, too many for a grid")
        return study

    def place(self, model: str) -> str:
        """A reference model's name, or a path that is told from the study's folder."""
        return model if is_name(model) else self.beside(model)

    def beside(self, path: str) -> str:
        """A path that is told from the study's folder, links left as they are."""
        return os.path.normpath(self.path.parent.absolute() / path)

    def knobs(self, table: Mapping[str, Any]) -> list[StudyKnob]:
        knobs = []
        for name, values in table.items():
            if name == "bits":
                groups = self.table(table, "bits", "space.bits")
                knobs += [
                    StudyKnob(
                        BITS + pattern, self.values(widths, f"space.bits.{pattern}", self.count)
                    )
                    for pattern, widths in groups.items()
                ]
            elif name in knobs_known():
                knob = StudyKnob(name, self.values(values, f"space.{name}", self.scalar))
                if name == "model":
                    knob = StudyKnob(name, tuple(self.place(str(model)) for model in knob.values))
                knobs.append(knob)
            else:
                hint = did_you_mean(name, (*knobs_known(), "bits"))
                raise self.wrong(f"space.{name}", "cannot be varied", hint)
        if not knobs:
            raise self.wrong("space", "varies nothing")
        return knobs

    def objectives(self, value: Any) -> tuple[Objective, ...]:
        if not isinstance(value, list) or not value:
            raise self.wrong("objective", "is missing: what is to be made small or large?")
        objectives = []
        for number, entry in enumerate(value):
            where = f"objective[{number}]"
            self.only(entry, ("figure", "direction"), where)
            figure = self.text(entry.get("figure"), f"{where}.figure")
            direction = entry.get("direction", "minimize")
            objectives.append(
                Objective(figure, self.choice(Direction)(direction, f"{where}.direction"))
            )
        return tuple(objectives)

    def budgets(self, entry: Any) -> tuple[FigureBudget, ...]:
        if not isinstance(entry, Mapping):
            raise self.wrong("budget", "is not a table")
        budgets = []
        for figure, limit in entry.items():
            where = f"budget.{figure}"
            if isinstance(limit, Mapping):
                self.only(limit, ("most", "least"), where)
                ends = {name: self.number(value, where) for name, value in limit.items()}
                budgets.append(FigureBudget(figure, **ends))
            else:
                budgets.append(FigureBudget(figure, self.number(limit, where)))
        return tuple(budgets)

    def table(self, table: Mapping[str, Any], name: str, where: str = "") -> Mapping[str, Any]:
        subtable = table.get(name, {})
        if not isinstance(subtable, Mapping):
            raise self.wrong(where or name, "is not a table")
        return subtable

    def only(self, value: Any, choices: tuple[str, ...], where: str) -> None:
        if not isinstance(value, Mapping):
            raise self.wrong(where, "is not a table")
        for name in value:
            if name not in choices:
                hint = did_you_mean(name, choices) or f"There are {', '.join(choices)}."
                raise self.wrong(where, f"has no entry {name!r}", hint)

    def values(
        self, entry: Any, where: str, each: Callable[[Any, str], Value]
    ) -> tuple[Value, ...]:
        listed = entry if isinstance(entry, list) else [entry]
        if not listed:
            raise self.wrong(where, "has no values")
        return tuple(dict.fromkeys(each(value, where) for value in listed))

    def scalar(self, value: Any, where: str) -> Value:
        if not isinstance(value, str | int | float | bool):
            raise self.wrong(where, f"cannot be {value!r}")
        return value

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(where, "is not text")
        return value

    def texts(self, value: Any, where: str) -> tuple[str, ...]:
        return tuple(
            self.text(each, where) for each in (value if isinstance(value, list) else [value])
        )

    def number(self, value: Any, where: str) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self.wrong(where, "is not a number")
        return float(value)

    def whole(self, value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.wrong(where, "is not a whole number from 0 on")
        return value

    def count(self, value: Any, where: str) -> int:
        if self.whole(value, where) == 0:
            raise self.wrong(where, "is 0")
        return int(value)

    def flag(self, value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(where, "is neither true nor false")
        return value

    def pairs(self, entry: Any, where: str) -> tuple[tuple[str, float], ...]:
        self.only(entry, tuple(entry) if isinstance(entry, Mapping) else (), where)
        return tuple((name, self.number(value, where)) for name, value in entry.items())

    def steps(self, value: Any, where: str) -> tuple[ToolStep, ...]:
        return tuple(self.choice(ToolStep)(each, where) for each in self.texts(value, where))

    def choice(self, kind: type[Kind]) -> Callable[[Any, str], Kind]:
        def read_choice(value: Any, where: str) -> Kind:
            try:
                return kind(value)
            except ValueError:
                choices = [each.value for each in kind]
                hint = did_you_mean(str(value), choices) or f"Choose {', '.join(choices)}."
                raise self.wrong(where, f"cannot be {value!r}", hint) from None

        return read_choice

    def wrong(self, where: str, what: str, hint: str = "") -> UsageError:
        return UsageError(
            f"{self.path}: {where} {what}.", hint=hint or "docs/studies.md tells more."
        )
