# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The one figure by which a network's outputs are ranked, and what is lost against the float
network on the same samples; both with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import Task
from edgeinfer.data.samples import Samples, task_of
from edgeinfer.evaluate.judge import fidelity, judge_values
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
        found = judge("", self.graph, outputs, self.samples)
        lost = measure_loss(self.judged, found, len(self.samples))
        assert found is not None
        before, after = self.judged.score, found.score
        if before.auc is not None and after.auc is not None and lost.auc is not None:
            return Merit("auc", after.auc, lost.auc, before.auc.value)
        assert before.accuracy is not None and after.accuracy is not None
        assert lost.accuracy is not None
        return Merit("accuracy", after.accuracy, lost.accuracy, before.accuracy.value)

    def _fidelity(self, outputs: Mapping[str, Floats]) -> Merit:
        found = {m.name: m.value for m in fidelity(self.graph, self.outputs, outputs)}
        samples = len(self.samples)
        name = "same_decision_as_float"
        alike = curves.share(round(found[name] * samples), samples)
        lost = Uncertain(value=1 - alike.value, low=1 - alike.high, high=1 - alike.low)
        return Merit(name, alike, lost, 1.0)

    def _error(self, outputs: Mapping[str, Floats]) -> Merit:
        before, after = self._squares(self.outputs), self._squares(outputs)
        first, second = _root_mean(before), _root_mean(after)
        moved, moved_before = _influence(after, second), _influence(before, first)
        return Merit(
            "rms_error",
            curves.around(second, moved, most=math.inf),
            curves.around(second - first, moved - moved_before, least=-math.inf, most=math.inf),
            first,
        )

    def _squares(self, outputs: Mapping[str, Floats]) -> Floats:
        """Each sample's mean squared error, over all values of all labelled outputs."""
        samples, errors = len(self.samples), []
        for name, labels in self.samples.labels.items():
            task = task_of(labels, self.graph.shapes[name])
            assert task is Task.REGRESSION
            values = judge_values(self.graph, name, outputs[name], task)
            wanted = np.asarray(labels, dtype=np.float64).reshape(samples, -1)
            errors.append(np.square(values.reshape(samples, -1) - wanted))
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
