# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures of merit over a model's outputs, as functions that a bootstrap calls again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeinfer.base.metrics import accuracy, auc, macro_auc, rms_error
from edgeinfer.zoo.entry import Arrays, Outputs

Of = Callable[[Outputs, Arrays], float | None]


def head_auc(head: str) -> Of:
    """Area under the curve of one class against the rest, averaged over the classes of a head."""
    return lambda outputs, targets: macro_auc(outputs[head], targets[head])


def head_accuracy(head: str) -> Of:
    """Share of samples whose highest score (or, of one score, its side of 0.5) is the label."""
    return lambda outputs, targets: accuracy(outputs[head], targets[head])


def pair_auc(head: str, positive: int, negative: int) -> Of:
    """How well two classes of a softmax head are told apart, all other samples left out."""

    def of(outputs: Outputs, targets: Arrays) -> float | None:
        truth = targets[head].argmax(axis=1)
        here = (truth == positive) | (truth == negative)
        scores = outputs[head][here].astype(np.float64)
        both = scores[:, positive] + scores[:, negative]
        share = np.divide(scores[:, positive], both, out=np.full(both.shape, 0.5), where=both > 0)
        return auc(share, truth[here] == positive)

    return of


def rms(head: str, unit: float) -> Of:
    """Root of the mean squared error; `unit` is what one of the target stands for."""
    return lambda outputs, targets: unit * rms_error(outputs[head], targets[head])


def resolution(head: str) -> Of:
    """Half the spread of (value - truth) / truth that holds 68 % of the samples: a robust sigma."""

    def of(outputs: Outputs, targets: Arrays) -> float | None:
        truth = targets[head].ravel().astype(np.float64)
        ratio = outputs[head].ravel()[truth > 0] / truth[truth > 0]
        if ratio.size < 2:
            return None
        low, high = np.quantile(ratio, (0.16, 0.84))
        return float(high - low) / 2

    return of


def distance(heads: Sequence[str], unit: float, share: float) -> Of:
    """Within which distance of the truth so large a share of the samples is placed, the heads being
    coordinates; `unit` is what one of a target stands for."""

    def of(outputs: Outputs, targets: Arrays) -> float | None:
        away = [outputs[head].ravel() - targets[head].ravel().astype(np.float64) for head in heads]
        return unit * float(np.quantile(np.sqrt(sum(each**2 for each in away)), share))

    return of


def bias(head: str) -> Of:
    """Median of (value - truth) / truth."""

    def of(outputs: Outputs, targets: Arrays) -> float | None:
        truth = targets[head].ravel().astype(np.float64)
        ratio = outputs[head].ravel()[truth > 0] / truth[truth > 0]
        return float(np.median(ratio)) - 1.0 if ratio.size else None

    return of


def grouped_accuracy(head: str, groups: Sequence[Sequence[int]]) -> Of:
    """Share of decisions right where classes are joined to groups: of a group, the scores are
    added."""

    def of(outputs: Outputs, targets: Arrays) -> float | None:
        joined = [
            np.stack([values[head][..., list(group)].sum(axis=-1) for group in groups], axis=-1)
            for values in (outputs, targets)
        ]
        return accuracy(*joined)

    return of
