# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a training learns from: samples, which of them validate, and what each weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.lartpc.split import split_by_event
from edgeinfer.zoo.checkpoint import TrainingPlan
from edgeinfer.zoo.entry import Arrays, EventSamples, Head, ZooEntry, stage_seed
from edgeinfer.zoo.site_samples import SiteSamples

VALIDATION_SHARE = 0.15
UNCHANGED: Mapping[int, NDArray[np.bool_]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Teaching:
    """Samples, which of them teach and which validate, and what each weighs."""

    samples: EventSamples | SiteSamples
    teaching: NDArray[np.intp]
    validating: NDArray[np.intp]
    weights: Arrays | None  # None: all the same

    @staticmethod
    def of(entry: ZooEntry, plan: TrainingPlan, own: EventSamples | None = None) -> Teaching:
        """Simulate what the plan asks for, or take the user's own samples, and set events aside for
        validation."""
        samples = _samples(entry, plan, own)
        shares = (1 - VALIDATION_SHARE, VALIDATION_SHARE)
        teaching, validating = split_by_event(samples.event, shares, plan.seed)
        if not teaching.size or not validating.size:
            raise UsageError(
                f"{plan.samples} samples are too few events to train and to validate on.",
                hint="Give more with --samples.",
            )
        weights = None
        if any(head.balanced for head in entry.heads):
            weights = {
                head.name: class_weights(head, samples.targets[head.name])
                if head.balanced
                else np.ones(len(samples), np.float32)
                for head in entry.heads
            }
        return Teaching(samples, teaching, validating, weights)

    def batch(
        self, rows: NDArray[np.intp], mirrored: Mapping[int, NDArray[np.bool_]] = UNCHANGED
    ) -> tuple[EventSamples | SiteSamples, Arrays | None]:
        """Some samples; by axis, which pictures come mirrored along it."""
        part = self.samples.take(rows)
        for axis, marked in mirrored.items():
            part = part.mirror(axis, marked)
        if self.weights is None:
            return part, None
        return part, {name: values[rows] for name, values in self.weights.items()}


def _samples(
    entry: ZooEntry, plan: TrainingPlan, own: EventSamples | None
) -> EventSamples | SiteSamples:
    seed = stage_seed(plan.seed, "train")
    if entry.sites is None:
        return own or entry.data(seed, plan.samples)
    form = entry.sites
    if own is None:
        return SiteSamples.of(form.frames(seed, plan.samples), form.levels, form.threshold)
    frames = [(own.inputs["image"], own.targets["label"])]
    return SiteSamples.of(frames, form.levels, form.threshold)


def class_weights(head: Head, targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """A weight for each sample under which every class of the head counts the same."""
    classes = targets if targets.shape[1] > 1 else np.concatenate([1 - targets, targets], axis=1)
    share = classes.mean(axis=0, dtype=np.float64)
    worth = np.divide(
        1.0, share * np.count_nonzero(share), out=np.zeros_like(share), where=share > 0
    )
    return (classes @ worth).astype(np.float32)


def feed_keras(batch: EventSamples | SiteSamples, weights: Arrays | None) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights as Keras wants them: by name where there are several."""
    return (
        _by_name(batch.inputs),
        _by_name(batch.targets),
        None if weights is None else _by_name(weights),
    )


def _by_name(arrays: Mapping[str, NDArray[Any]]) -> Any:
    return next(iter(arrays.values())) if len(arrays) == 1 else dict(arrays)
