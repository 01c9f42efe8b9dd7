# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Simulated labels mean what their head is for."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.metrics import Task
from edgeinfer.data.samples import task_of
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.drawn import simulate_samples

SMALL = ("jet-tagger", "anomaly-trigger", "track-graph", "vertex-finder", "sparse-ssnet-small")


@pytest.mark.parametrize("name", SMALL)
def test_labels_are_classes_or_the_quantities_themselves(name: str) -> None:
    entry = entry_of(name)
    result, _ = simulate_samples(entry, 3, 12)
    targets = entry.data(3, 12).targets
    for head in entry.heads:
        labels, shape = result.labels[head.name], targets[head.name].shape[1:]
        if head.loss == "categorical_crossentropy":
            assert task_of(labels, shape) is Task.CLASSIFICATION
        elif len(head.labels) > 1:
            assert task_of(labels, shape) is Task.REGRESSION
            assert (labels == targets[head.name]).all()
        else:
            assert labels.size == len(labels)


def test_a_pixel_without_a_class_has_none() -> None:
    entry = entry_of("sparse-ssnet-small")
    labels = simulate_samples(entry, 3, 4)[0].labels["label"]
    lit = np.squeeze(next(iter(entry.data(3, 4).inputs.values())), -1) != 0
    assert (labels.sum(axis=-1) == lit).all()
