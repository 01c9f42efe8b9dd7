# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The reference models from Python: which there are, training them, and their simulated data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.api import Data, Model
from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.readers import load as load_file
from edgeinfer.run.in_memory import data_file
from edgeinfer.run.samples import DataFile, Simulation
from edgeinfer.zoo import ENTRIES, entry_of
from edgeinfer.zoo.reference import describe_entry
from edgeinfer.zoo.train import train as train_entry


def models() -> list[dict[str, Any]]:
    """The reference models: what each is for, how big it is, how well it does; a row each."""
    return [describe_entry(entry) for entry in ENTRIES.values()]


def train(
    name: str,
    output: str | Path,
    data: Data = None,
    *,
    seed: int | None = None,
    samples: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
) -> Model:
    """Train a reference model's architecture on simulated data, or on `data` of one's own, into a
    `.keras` file with its history beside it. `minutes`: after this time the best so far is written.
    Needs the extra `[train]`."""
    require_extra("train", "Training")
    entry, place = entry_of(name), data_file(data)
    trained = train_entry(
        entry, Path(output), seed=seed, samples=samples, epochs=epochs, minutes=minutes,
        resume=resume, data=place,
    )  # fmt: skip
    source = Simulation(name) if place is None else DataFile(place)
    return Model(trained.model, load_file(trained.model).graph, source)


def draw_data(name: str, count: int = 10_000, *, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Simulated data of a reference model: arrays by the names of its inputs and outputs, classes
    one-hot."""
    if count < 1 or seed < 0:
        raise UsageError(
            f"{count} samples of the seed {seed} cannot be drawn.",
            hint="Ask for 1 or more, and a seed from 0.",
        )
    samples = entry_of(name).data(seed, count)
    return {
        key: np.asarray(values)
        for key, values in (*samples.inputs.items(), *samples.targets.items())
    }
