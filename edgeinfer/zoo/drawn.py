# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A reference model's simulated data as every other part reads samples: labels as class numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.zoo.entry import LOCATED, ZooEntry


def simulate_samples(entry: ZooEntry, seed: int, count: int) -> tuple[Samples, NDArray[np.int64]]:
    """Samples, and the event that each belongs to."""
    found = entry.data(seed, count)
    judged = {head.name for head in entry.heads if head.loss not in LOCATED}
    labels = {
        name: values.argmax(axis=-1).astype(np.float64)
        if values.ndim > 1 and values.shape[-1] > 1
        else values.reshape(len(values)).astype(np.float64)
        for name, values in found.targets.items()
        if name in judged
    }
    inputs = {name: values.astype(np.float64) for name, values in found.inputs.items()}
    said = f"{count} samples of the simulation of {entry.name}, seed {seed}"
    return Samples(inputs, said, labels), found.event
