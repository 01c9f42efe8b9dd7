# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about training that learns widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.precision.qat.settings import Pace

CostKind = Literal["adders", "folded", "bytes"]  # what hardware pays for

Start = Literal["random", "float"]  # the weights that training begins from

MOST_POINTS = 100
LEARNED_PACE = Pace(40, 1024, 3e-3)  # the epochs are those of one point


@dataclass(frozen=True, slots=True)
class LearnedSettings:
    """How many networks a run makes, what makes a network dear, and how much so for the first and
    the last of them.

    The cost is in units of that of the network as it begins; from point to point its weight in the
    loss grows by the same factor.
    """

    points: int = 10
    """networks of the front of --method learned or lookup, each cheaper than the one before"""
    cost_low: float = 0.02
    """what the cost of the network as it begins adds to the loss, at the first point"""
    cost_high: float = 1.0
    """the same at the last point"""
    cost: CostKind = "adders"
    """of --method learned: adders of digits, for unrolled designs; folded: multipliers by classes
    of widths on --device, and memory; bytes: of weights, for int8 chips such as the Edge TPU"""
    start: Start | None = None
    """weights that --method learned begins from: random, which finds the smallest networks, or
    float, those of the given network, which keeps its score; random for adders, else float"""

    def __post_init__(self) -> None:
        if not 1 <= self.points <= MOST_POINTS:
            raise UsageError(f"--points is {self.points}, but must be from 1 to {MOST_POINTS}.")
        kinds = get_args(CostKind)
        if self.cost not in kinds:
            raise UsageError(
                f"There is no cost {self.cost!r} that widths are learned under.",
                hint=did_you_mean(self.cost, kinds) or f"Choose one of {', '.join(kinds)}.",
            )
        if self.start not in (None, *get_args(Start)):
            raise UsageError(
                f"Training cannot start from {self.start!r} weights.",
                hint=f"Choose one of {', '.join(get_args(Start))}.",
            )
        if not 0.0 < self.cost_low <= self.cost_high:
            raise UsageError(
                f"--cost-low is {self.cost_low:g} and --cost-high {self.cost_high:g}, but the "
                f"weight of the cost rises from the one to the other, and is above 0."
            )

    @property
    def first_weights(self) -> Start:
        """What training begins from."""
        return self.start or ("random" if self.cost == "adders" else "float")
