# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A figure and where it comes from; and how well scores tell classes apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypedDict, Unpack, assert_never, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinfer.base.errors import InputError


class Origin(StrEnum):
    """How a figure came to be. An estimate never poses as a measurement."""

    PROVED = "proved"
    SIMULATED = "simulated"  # cycle-accurate, or computed sample by sample
    SYNTHESISED = "synthesised"  # stated by the tool that made the design, or compiled the file
    ROUTED = "routed"
    MEASURED = "measured"  # on a device
    ESTIMATED = "estimated"  # always with its error band
    PUBLISHED = "published"


class DesignState(StrEnum):
    """How far a design was made whose resources a figure counts."""

    NONE = ""  # the figure counts no resources of a design
    C_SYNTHESIS = "C synthesis"
    LOGIC_SYNTHESIS = "logic synthesis"  # made of gates, not yet placed
    ROUTING = "routing"


# Origins that leave no choice of a state, and all that need no band.
StatedOrigin = Literal[Origin.PROVED, Origin.SIMULATED, Origin.MEASURED, Origin.ROUTED]
FirmOrigin = StatedOrigin | Literal[Origin.SYNTHESISED, Origin.PUBLISHED]
STATES: Mapping[Origin, DesignState] = {
    Origin.PROVED: DesignState.NONE,
    Origin.SIMULATED: DesignState.NONE,
    Origin.MEASURED: DesignState.NONE,
    Origin.ROUTED: DesignState.ROUTING,
}


class FigureContext(TypedDict, total=False):
    """What a figure was made with and belongs to."""

    tool: str | None
    version: str | None
    target: str | None
    layer: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A named value with unit and origin; `low` and `high` bound it where it is uncertain.

    The type checker demands a band of an estimate, and a state where the origin leaves it open.
    """

    name: str
    value: float
    unit: str
    origin: Origin
    low: float | None = None
    high: float | None = None
    tool: str | None = None
    version: str | None = None
    target: str | None = None
    layer: str | None = None
    note: str | None = None  # what must be known to read it aright
    state: DesignState = field(kw_only=True)

    @overload
    def __init__(
        self,
        name: str,
        value: float,
        unit: str,
        origin: StatedOrigin,
        low: float | None = None,
        high: float | None = None,
        **context: Unpack[FigureContext],
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        value: float,
        unit: str,
        origin: FirmOrigin,
        low: float | None = None,
        high: float | None = None,
        *,
        state: DesignState,
        **context: Unpack[FigureContext],
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        value: float,
        unit: str,
        origin: Origin,
        low: float,
        high: float,
        *,
        state: DesignState,
        **context: Unpack[FigureContext],
    ) -> None: ...
    def __init__(
        self, name: str, value: float, unit: str, origin: Origin,
        low: float | None = None, high: float | None = None, *, state: DesignState | None = None,
        **context: Unpack[FigureContext],
    ) -> None:  # fmt: skip
        state = STATES.get(origin) if state is None else state
        if state is None:
            raise TypeError(f"{name}: a figure that is {origin} says of which state of a design.")
        given = {"name": name, "value": value, "unit": unit, "origin": origin, "low": low,
                 "high": high, "state": state}  # fmt: skip
        absent = dict.fromkeys(FigureContext.__annotations__)
        for key, each in {**given, **absent, **context}.items():
            object.__setattr__(self, key, each)
        self.__post_init__()

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"{self.name}: an error band has two ends.")
        if self.low is None and self.origin is Origin.ESTIMATED:
            raise ValueError(f"{self.name}: an estimate states its error band.")
        if self.low is not None and self.high is not None:
            inside = self.low <= self.value <= self.high
            if not inside and not math.isnan(self.value):
                raise ValueError(
                    f"{self.name}: {self.value} lies outside its band {self.low}..{self.high}."
                )

    @property
    def ends(self) -> tuple[float, float]:
        """The band; of a figure without one, the value itself."""
        low = self.value if self.low is None else self.low
        return low, self.value if self.high is None else self.high


class Task(StrEnum):
    """What an output is for."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


SCORES: Mapping[str, bool] = {  # figures of merit, and whether more is better
    "auc": True,
    "accuracy": True,
    "rms_error": False,
}


@dataclass(frozen=True, slots=True)
class Scores:
    """How well a network did against labels. None: the labels cannot say (one class only)."""

    samples: int
    auc: float | None = None  # one class against the rest, averaged over classes
    accuracy: float | None = None
    rms_error: float | None = None  # regression, in the label's unit
    heads: Mapping[str, Scores] = field(default_factory=dict)
    # 95 % intervals over samples like these, by the names above: of the figures themselves, and of
    # what is lost against the float network on the same samples
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lost: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # figures of the float network on the same samples, of a stage that is judged on samples of its
    # own
    floats: Mapping[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """The figures that there are, by name."""
        scores = {"auc": self.auc, "accuracy": self.accuracy, "rms_error": self.rms_error}
        return {name: value for name, value in scores.items() if value is not None}


def accuracy(scores: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of samples whose highest score (or, of one score, its side of 0.5) is the label."""
    return float(np.mean(hits(scores, labels)))


def hits(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Which decisions are the label's."""
    values, truth = scores_and_labels(scores, labels)
    decided = values[:, 0] > 0.5 if values.shape[1] == 1 else values.argmax(axis=1)
    right: NDArray[np.bool_] = decided == truth
    return right


def auc(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Chance that a positive sample scores above a negative one, ties counted half.

    None where there is no positive or no negative sample.
    """
    values = np.asarray(scores, dtype=np.float64).ravel()
    chosen = np.asarray(positive, dtype=bool).ravel()
    if values.shape != chosen.shape:
        raise InputError(f"{values.size} scores do not fit {chosen.size} labels.")
    if np.isnan(values).any():
        raise InputError("A score is NaN, so the samples have no order.")
    count_positive, count_negative = int(chosen.sum()), int((~chosen).sum())
    if not count_positive or not count_negative:
        return None
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # ranks count from 1; equals share theirs
    rank_sum = float(mean_rank[group][chosen].sum())
    smallest = count_positive * (count_positive + 1) / 2
    return (rank_sum - smallest) / (count_positive * count_negative)


def macro_auc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Mean over classes of the area under the curve of one class against the rest.

    Classes that the labels never show, or always show, do not count.
    """
    values, truth = scores_and_labels(scores, labels)
    if values.shape[1] == 1:
        return auc(values[:, 0], truth == 1)
    areas = [auc(values[:, c], truth == c) for c in range(values.shape[1])]
    defined_areas = [area for area in areas if area is not None]
    return float(np.mean(defined_areas)) if defined_areas else None


def score_head(values: ArrayLike, labels: ArrayLike, task: Task) -> Scores:
    """One head's scores against its labels."""
    samples = len(np.asarray(values))
    match task:
        case Task.CLASSIFICATION:
            return Scores(samples, macro_auc(values, labels), accuracy(values, labels))
        case Task.REGRESSION:
            return Scores(samples, rms_error=rms_error(values, labels))
        case _:
            assert_never(task)


def join_scores(heads: Mapping[str, Scores]) -> Scores:
    """The scores of a network: its only head's, or the mean over the heads that classify; if none
    does, the root of the mean square of the errors."""
    if len(heads) == 1:
        return next(iter(heads.values()))
    areas = [head.auc for head in heads.values() if head.auc is not None]
    hits = [head.accuracy for head in heads.values() if head.accuracy is not None]
    errors = [head.rms_error for head in heads.values() if head.rms_error is not None]
    only_errors = bool(errors) and len(errors) == len(heads)
    return Scores(
        max((head.samples for head in heads.values()), default=0),
        float(np.mean(areas)) if areas else None,
        float(np.mean(hits)) if hits else None,
        float(np.sqrt(np.mean(np.square(errors)))) if only_errors else None,
        heads=dict(heads),
    )


def rms_error(values: ArrayLike, truth: ArrayLike) -> float:
    """Root of the mean squared difference, in the unit of the values."""
    actual, targets = np.asarray(values, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if actual.size != targets.size:
        raise InputError(
            f"Values of shape {actual.shape} do not fit labels of shape {targets.shape}."
        )
    return float(np.sqrt(np.mean((actual.ravel() - targets.ravel()) ** 2)))


def _is_one_hot(values: NDArray[Any], truth: NDArray[Any]) -> bool:
    return truth.shape == values.shape and values.ndim > 1 and values.shape[-1] > 1


def samples_of(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.intp]:
    """The sample to which each decision belongs that `scores_and_labels` gives."""
    values, truth = np.asarray(scores), np.asarray(labels)
    if _is_one_hot(values, truth):
        return np.asarray(np.nonzero(truth.any(axis=-1))[0])
    decisions = math.prod(values.shape[1:-1])
    return np.repeat(np.arange(len(values)), decisions)


def scores_and_labels(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores as (decisions, classes), labels as class numbers; one-hot labels are read as such.

    A network that decides at several positions of a sample makes a decision at each. A decision
    whose one-hot label is zero in every class has no label, and is left out.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim == 0 or not values.size:
        raise InputError("There are no scores to judge.")
    truth = np.asarray(labels)
    if _is_one_hot(values, truth):
        labelled = truth.any(axis=-1)
        values, truth = values[labelled], truth.argmax(axis=-1)[labelled]
    if not values.size:
        raise InputError("None of the samples has a label.")
    values = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    if truth.size != len(values):
        raise InputError(f"Labels of shape {truth.shape} do not fit {len(values)} samples.")
    truth = truth.reshape(-1).astype(np.int64)
    classes = max(values.shape[1], 2)
    if truth.min() < 0 or truth.max() >= classes:
        raise InputError(
            f"Labels span {truth.min()}..{truth.max()}, but there are {classes} classes, "
            f"counted from 0."
        )
    return values, truth
