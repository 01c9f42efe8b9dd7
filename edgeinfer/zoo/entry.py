# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a reference model consists of: architecture, data, losses, and how well it should do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.metrics import Task

if TYPE_CHECKING:
    import keras

Arrays = Mapping[str, NDArray[np.float32]]
Outputs = Mapping[str, NDArray[np.floating]]
Loss = Literal[
    "categorical_crossentropy",
    "binary_crossentropy",
    "mean_squared_error",
    "located_error",
    "located_crossentropy",
]
LOCATED: Final = ("located_error", "located_crossentropy")  # there may be no truth: below zero


@dataclass(frozen=True, slots=True)
class EventSamples:
    """Inputs by input name, targets by head (classes one-hot), the event of each sample, and what
    a judge alone is shown."""

    inputs: Arrays
    targets: Arrays
    event: NDArray[np.int64]
    beside: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.event.size

    def take(self, rows: NDArray[np.intp]) -> EventSamples:
        """The chosen samples."""
        return EventSamples(
            {name: values[rows] for name, values in self.inputs.items()},
            {name: values[rows] for name, values in self.targets.items()},
            self.event[rows],
            {name: values[rows] for name, values in self.beside.items()},
        )

    def mirror(self, axis: int, marked: NDArray[np.bool_]) -> EventSamples:
        """The same, the marked pictures mirrored along an axis."""
        inputs = {name: values.copy() for name, values in self.inputs.items()}
        for values in inputs.values():
            values[marked] = np.flip(values[marked], axis)
        return replace(self, inputs=inputs)


@dataclass(frozen=True, slots=True)
class Head:
    """One output: its classes (or its quantity), its loss, and its weight in the sum of losses."""

    name: str
    labels: tuple[str, ...]
    loss: Loss
    weight: float = 1.0
    balanced: bool = False  # each class weighs the same in the loss, however frequent it is


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of merit; where it should lie if the simulated task is as hard as intended."""

    name: str
    unit: str
    of: Callable[[Outputs, Arrays], float | None]  # None: the samples cannot say
    window: tuple[float, float] | None = None  # our estimate of an honest difficulty, no more
    alarm_above: float | None = None  # beyond it the simulation gives the answer away


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """How a model is trained unless the user says otherwise."""

    optimizer: Literal["sgd", "adam"]
    learning_rate: float
    batch: int
    epochs: int
    samples: int
    patience: int  # epochs without a better validation loss before training ends
    test_samples: int = 10_000  # on which the committed figures rest
    flips: tuple[int, ...] = ()  # axes along which pictures are mirrored, each half of the time
    cosine: bool = False  # the learning rate falls to zero along a cosine, and is not halved


@dataclass(frozen=True, slots=True)
class SiteForm:
    """How a network learns at the lit pixels of its image alone."""

    build: Callable[[], keras.Model]  # the same weights in the same order
    levels: int
    threshold: float  # what is above it is lit
    frames: Callable[[int, int], Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]]


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A reference model."""

    name: str
    about: str
    parameters: int
    macs: int  # multiply-accumulates of one inference
    build: Callable[[], keras.Model]
    data: Callable[..., EventSamples]  # (seed, n); with a trunk, `trunk` as well
    heads: tuple[Head, ...]
    schedule: TrainingSchedule
    measures: tuple[Measure, ...]
    committed: bool = True  # whether its weights are small enough to come with the package
    task: Task = Task.CLASSIFICATION
    by_pixel: bool = False  # a label for each lit pixel, zero in every class elsewhere
    sites: SiteForm | None = None  # where it learns at sites
    features: tuple[str, ...] = ()  # outputs that another network reads; they have no truth
    trunk: str | None = None  # the model whose features this one reads

    @property
    def reference(self) -> str | None:
        """The file of the weights that come with the package."""
        return f"{self.name}.keras" if self.committed else None

    def on_trunk(self, trunk: Path) -> ZooEntry:
        """The same, its data made by other weights of the network whose features it reads."""
        if self.trunk is None:
            raise UsageError(
                f"{self.name} reads no other network's features.", hint="Leave out --trunk."
            )
        if not trunk.is_file():
            raise InputError(
                f"There is no file {trunk}.",
                hint=f"Train it: edgeinfer train {self.trunk} -o FILE.",
            )
        return replace(self, data=partial(self.data, trunk=trunk))


def stage_seed(seed: int, stage: Literal["train", "test", "fresh"]) -> int:
    """Independent seeds for the draws that one user's seed stands for."""
    words = np.random.SeedSequence([seed, *stage.encode()]).generate_state(2)
    return int(words[0]) << 30 | int(words[1]) >> 2
