# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A reference model's simulated data as every other part reads samples: labels as class numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.zoo.entry import LOCATED, Head, ZooEntry


def simulate_samples(entry: ZooEntry, seed: int, count: int) -> tuple[Samples, NDArray[np.int64]]:
    """Samples, and the event that each belongs to."""
    drawn = entry.data(seed, count)
    labels = {
        head.name: label_values(head, drawn.targets[head.name])
        for head in entry.heads
        if head.loss not in LOCATED
    }
    inputs = {name: values.astype(np.float64) for name, values in drawn.inputs.items()}
    source_text = f"{count} samples of the simulation of {entry.name}, seed {seed}"
    return Samples(inputs, source_text, labels), drawn.event


def label_values(head: Head, targets: NDArray[np.floating]) -> NDArray[np.float64]:
    """Class numbers of one-hot rows. Quantities stay as they are, and so do classes at positions
    of which some have none."""
    values = targets.astype(np.float64)
    if values.ndim > 1 and values.shape[-1] == 1:
        return values.reshape(values.shape[:-1])
    if head.loss != "categorical_crossentropy" or not (values.sum(axis=-1) == 1).all():
        return values
    return values.argmax(axis=-1).astype(np.float64)
