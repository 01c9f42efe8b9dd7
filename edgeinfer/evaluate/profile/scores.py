# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How well stages decide, with intervals, and what quantization costs on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import metrics
from edgeinfer.base.metrics import Task
from edgeinfer.data.samples import Samples, task_of
from edgeinfer.evaluate.judge import judge_values
from edgeinfer.evaluate.profile import curves
from edgeinfer.evaluate.profile.data import Curve, Lost, StageScore
from edgeinfer.graph import nodes as g

Floats = NDArray[np.float64]
MOST_CLASSES = 12  # of an output, whose curves are drawn


@dataclass(frozen=True, slots=True)
class StageJudgement:
    """A stage's decisions over all heads: the mean area, what moves it, and which were right."""

    area: float | None
    moved: Floats | None  # by sample
    right: NDArray[np.bool_]  # every decision of every head
    sample: NDArray[np.intp]  # to which each of these belongs
    score: StageScore


def judge(
    stage: str, graph: g.Graph, outputs: Mapping[str, Floats], samples: Samples
) -> StageJudgement | None:
    """A stage against the labels of the heads that classify; None where there are none."""
    areas, moved, right, owners = [], [], [], []
    for name in classifying(graph, samples):
        values = judge_values(graph, name, outputs[name], Task.CLASSIFICATION)
        labels = samples.labels[name]
        influence = curves.macro_influence(values, labels)
        owners.append(metrics.samples_of(values, labels))
        if influence is not None:
            areas.append(influence[0])
            moved.append(curves.by_sample(influence[1], owners[-1], len(samples)))
        right.append(metrics.hits(values, labels))
    if not right:
        return None
    every = np.concatenate(right)
    area = float(np.mean(areas)) if areas else None
    change = np.mean(moved, axis=0) if moved else None
    hits = [curves.share(int(each.sum()), each.size) for each in right]
    mean = hits[0] if len(hits) == 1 else curves.share(int(every.sum()), every.size)
    interval = None
    if area is not None and change is not None:
        interval = curves.around(area, change)
    score = StageScore(stage=stage, auc=interval, accuracy=mean)
    return StageJudgement(area, change, every, np.concatenate(owners), score)


def measure_loss(first: StageJudgement | None, second: StageJudgement | None) -> Lost:
    """What the second stage does worse than the first."""
    if first is None or second is None:
        return Lost()
    area = None
    if first.area is not None and second.area is not None:
        assert first.moved is not None and second.moved is not None
        apart = first.moved - second.moved
        area = curves.around(first.area - second.area, apart, least=-1.0)
    loss = curves.paired_difference(first.right, second.right, first.sample)
    return Lost(auc=area, accuracy=loss)


def draw_curves(
    stage: str, graph: g.Graph, outputs: Mapping[str, Floats], samples: Samples
) -> list[Curve]:
    """The curves of a stage, one for each class of each head that classifies."""
    curves_drawn = []
    for name in classifying(graph, samples):
        values = judge_values(graph, name, outputs[name], Task.CLASSIFICATION)
        classes = curves.one_against_rest(values, samples.labels[name])
        for label, scores, positive in classes[:MOST_CLASSES]:
            drawn_curve = curves.curve(stage, name, label, scores, positive)
            if drawn_curve is not None:
                curves_drawn.append(drawn_curve)
    return curves_drawn


def classifying(graph: g.Graph, samples: Samples) -> list[str]:
    """Names of the labelled outputs that classify."""
    return [
        name
        for name, labels in samples.labels.items()
        if task_of(labels, graph.shapes[name]) is Task.CLASSIFICATION
    ]
