# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about training under quantization."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeinfer.base.errors import InputError, UsageError

MOST_EPOCHS = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how fast a way of training goes where the user does not say."""

    epochs: int
    batch: int
    learning_rate: float


QAT_PACE = Pace(10, 128, 2e-3)


@dataclass(frozen=True, slots=True)
class QatSettings:
    """How long, how fast, towards what, and how much is pruned on the way.

    `distillation` is the share of the float network's own answer in what is aimed at; the labels
    have the rest. Where there are no labels, the float network is all there is to learn from.
    """

    epochs: int | None = None
    """passes through the data: 10 by default; for each point, learned: 40, lookup: 12"""
    batch: int | None = None
    """samples in a step of training: 128 by default; learned: 1024; lookup: 512"""
    learning_rate: float | None = None
    """rate at the start, which falls almost to zero: 0.002; learned: 0.003; lookup: 0.01"""
    distillation: float = 0.7
    """share of the float network's answers in the aim of training, from 0 to 1"""
    sparsity: float = 0.0
    """share of the weights that training makes zero"""
    prune_filters: float = 0.0
    """share of each layer's filters to remove before training"""
    prune_multipliers: float = 0.0
    """share of the multipliers that a folded design on --device is to need fewer at the same pace:
    filters of all layers go before training, first those that are missed least for what they
    save"""
    minutes: float | None = None
    """end training (or a search) after this time and keep the best result so far"""
    seed: int = 0
    """seed of the order of samples and of simulated data"""

    def __post_init__(self) -> None:
        for name, value in (("distillation", self.distillation),):
            if not 0.0 <= value <= 1.0:
                raise UsageError(f"--{name} is {value:g}, but must be from 0 to 1.")
        for name, value in (
            ("sparsity", self.sparsity),
            ("prune-filters", self.prune_filters),
            ("prune-multipliers", self.prune_multipliers),
        ):
            if not 0.0 <= value < 1.0:
                raise UsageError(f"--{name} is {value:g}, but must be from 0 to below 1.")
        if self.prune_filters and self.prune_multipliers:
            raise UsageError(
                "--prune-filters and --prune-multipliers both say which filters go.",
                hint="Leave one of them out.",
            )
        if self.epochs is not None and not 1 <= self.epochs <= MOST_EPOCHS:
            raise UsageError(f"--epochs is {self.epochs}, but must be from 1 to {MOST_EPOCHS}.")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"--batch is {self.batch}, but must be 1 or more.")
        if self.learning_rate is not None and not 0.0 < self.learning_rate <= 1.0:
            raise UsageError(
                f"--learning-rate is {self.learning_rate:g}, but must be above 0 and at most 1."
            )
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"--minutes is {self.minutes:g}, but must be above 0.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}, but must not be below 0.")

    @property
    def removes_filters(self) -> bool:
        """Whether the network gets smaller before it is trained."""
        return bool(self.prune_filters or self.prune_multipliers)

    def is_over(self, seconds: float) -> bool:
        """Whether a training has taken as long as it may."""
        return self.minutes is not None and seconds > 60.0 * self.minutes

    def pace(self, usual: Pace) -> Pace:
        """What the user says, and the rest as is usual."""
        return Pace(
            usual.epochs if self.epochs is None else self.epochs,
            usual.batch if self.batch is None else self.batch,
            usual.learning_rate if self.learning_rate is None else self.learning_rate,
        )


def refuse_infinite(loss: float, network: str, where: str = "") -> None:
    """An error for a loss that is no number any more."""
    if not math.isfinite(loss):
        raise InputError(
            f"{network}: the loss became {loss}{where}.",
            hint="Try a lower --learning-rate, or check the labels.",
        )
