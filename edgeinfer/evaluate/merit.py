# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The one figure by which a network's outputs are ranked, and what is lost against the float
network on the same samples; both with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import Scores, Task
from edgeinfer.data.samples import Samples, task_of
from edgeinfer.evaluate.judge import fidelity, judge_values, score
from edgeinfer.evaluate.profile import curves
from edgeinfer.evaluate.profile.data import Uncertain
from edgeinfer.evaluate.profile.scores import StageJudgement, judge, measure_loss
from edgeinfer.graph import nodes as g

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Merit:
    """A figure of merit: an area or a share, where more is better, or an error. `lost` is what the
    float network does better, never negative for worse networks."""

    name: str  # auc, accuracy, rms_error or same_decision_as_float
    value: Uncertain
    lost: Uncertain
    float_value: float

    @property
    def is_error(self) -> bool:
        """Whether less is better."""
        return self.name == "rms_error"


@dataclass(frozen=True)
class FloatReference:
    """The float network's outputs on some samples, which other outputs are held against."""

    graph: g.Graph
    samples: Samples
    outputs: Mapping[str, Floats]
    judged: StageJudgement | None

    @staticmethod
    def of(graph: g.Graph, samples: Samples, outputs: Mapping[str, Floats]) -> FloatReference:
        """With its decisions judged where labels say what is right."""
        judged = judge("float", graph, outputs, samples) if samples.labels else None
        return FloatReference(graph, samples, outputs, judged)

    def merit(self, outputs: Mapping[str, Floats]) -> Merit:
        """How well other outputs of the same network do: by area, else by share of right decisions,
        else by error; without labels, by how often they decide as the float network does."""
        if not self.samples.labels:
            return self._fidelity(outputs)
        if self.judged is None:
            return self._error(outputs)
        judgement = judge("", self.graph, outputs, self.samples)
        loss = measure_loss(self.judged, judgement)
        assert judgement is not None
        before, after = self.judged.score, judgement.score
        if before.auc is not None and after.auc is not None and loss.auc is not None:
            return Merit("auc", after.auc, loss.auc, before.auc.value)
        assert before.accuracy is not None and after.accuracy is not None
        assert loss.accuracy is not None
        return Merit("accuracy", after.accuracy, loss.accuracy, before.accuracy.value)

    def _fidelity(self, outputs: Mapping[str, Floats]) -> Merit:
        metrics = {m.name: m.value for m in fidelity(self.graph, self.outputs, outputs)}
        samples = len(self.samples)
        name = "same_decision_as_float"
        alike = curves.share(round(metrics[name] * samples), samples)
        loss = Uncertain(value=1 - alike.value, low=1 - alike.high, high=1 - alike.low)
        return Merit(name, alike, loss, 1.0)

    def _error(self, outputs: Mapping[str, Floats]) -> Merit:
        before, after = (
            squared_errors(self.graph, each, self.samples) for each in (self.outputs, outputs)
        )
        first, second = _root_mean(before), _root_mean(after)
        moved, moved_before = _influence(after, second), _influence(before, first)
        return Merit(
            "rms_error",
            curves.around(second, moved, most=math.inf),
            curves.around(second - first, moved - moved_before, least=-math.inf, most=math.inf),
            first,
        )


def score_with_intervals(
    graph: g.Graph,
    outputs: Mapping[str, Floats],
    samples: Samples,
    reference: FloatReference | None = None,
) -> Scores:
    """The scores of outputs, with their intervals; with those of what is lost, where the float
    network's outputs are known."""
    scores = score(graph, outputs, samples)
    if scores.rms_error is not None:
        before = reference or FloatReference(graph, samples, outputs, None)
        merit = before.merit(outputs)
        score_losses = {} if reference is None else {merit.name: _ends(merit.lost)}
        return replace(scores, intervals={merit.name: _ends(merit.value)}, lost=score_losses)
    judgement = judge("", graph, outputs, samples)
    if judgement is None:
        return scores
    score_values = {name: getattr(judgement.score, name) for name in ("auc", "accuracy")}
    intervals = {  # heads that are not judged as one have no interval of their mean
        name: _ends(interval)
        for name, interval in score_values.items()
        if interval is not None and math.isclose(interval.value, getattr(scores, name))
    }
    if reference is None:
        return replace(scores, intervals=intervals)
    apart = measure_loss(reference.judged, judgement)
    losses = {name: getattr(apart, name) for name in intervals}
    loss_ends = {name: _ends(loss) for name, loss in losses.items() if loss is not None}
    return replace(scores, intervals=intervals, lost=loss_ends)


def _ends(interval: Uncertain) -> tuple[float, float]:
    return interval.low, interval.high


def squared_errors(graph: g.Graph, outputs: Mapping[str, Floats], samples: Samples) -> Floats:
    """Each sample's mean squared error, over all values of all labelled outputs."""
    errors = []
    for name, labels in samples.labels.items():
        task = task_of(labels, graph.shapes[name])
        if task is Task.REGRESSION:
            values = judge_values(graph, name, outputs[name], task).reshape(len(samples), -1)
            target_values = np.asarray(labels, dtype=np.float64).reshape(len(samples), -1)
            errors.append(np.square(values - target_values))
    mean: Floats = np.concatenate(errors, axis=1).mean(axis=1)
    return mean


def _root_mean(squares: Floats) -> float:
    return math.sqrt(float(squares.mean()))


def _influence(squares: Floats, root: float) -> Floats:
    """By how much each sample moves the root of the mean."""
    if not root:
        return np.zeros_like(squares)
    moved: Floats = (squares - squares.mean()) / (2 * root * len(squares))
    return moved
