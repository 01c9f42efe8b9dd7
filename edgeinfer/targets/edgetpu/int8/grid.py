# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Fixed-point values inside int8: which 256 levels hold a value, and weights by channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeinfer.ir.ops import Weights
from quantization.fixed import Ints

LEVELS = 256
MOST_WEIGHT = 127


@dataclass(frozen=True, slots=True)
class Window:
    """256 levels of a power-of-two grid, raw integers low .. low + 255, zero among them."""

    frac: int
    low: int

    @property
    def high(self) -> int:
        """The highest level."""
        return self.low + LEVELS - 1

    @property
    def least(self) -> float:
        """The lowest level's value."""
        return float(np.ldexp(self.low, -self.frac))

    @property
    def most(self) -> float:
        """The highest level's value."""
        return float(np.ldexp(self.high, -self.frac))

    @property
    def zero_point(self) -> int:
        """The int8 number that stands for zero."""
        return -LEVELS // 2 - self.low


def window_for(low: int, high: int, frac: int) -> Window | None:
    """The levels that hold low .. high, ending at `high` so that the format itself saturates there;
    None where 256 levels do not suffice."""
    if high - low >= LEVELS or low > 0 or high < 0:
        return None
    return Window(frac, high - LEVELS + 1)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelWeights:
    """Weights as int8 by channel: value = raw 2^-frac of its channel."""

    raw: Ints  # within -128 .. 127, channels last
    fracs: Ints  # one for each channel

    @property
    def uniform(self) -> bool:
        """Whether one grid serves all channels."""
        return bool((self.fracs == self.fracs[0]).all())


def by_channel(weight: Weights, frac: int) -> ChannelWeights | None:
    """Weights on one grid where they fit 8 bits, else each channel on its own coarser grid without
    any loss; None where a channel needs more than 8 bits."""
    raw = weight.astype(np.int64)
    channels = raw.shape[-1]
    if _fits(raw):
        return ChannelWeights(raw, np.full(channels, frac))
    columns, fracs = [], []
    for channel in range(channels):
        column, channel_frac = raw[..., channel], frac
        while not _fits(column) and not (column & 1).any():
            column, channel_frac = column >> 1, channel_frac - 1
        if not _fits(column):
            return None
        columns.append(column)
        fracs.append(channel_frac)
    return ChannelWeights(np.stack(columns, axis=-1), np.asarray(fracs))


def _fits(raw: Ints) -> bool:
    """Whether integers are int8."""
    return int(raw.min(initial=0)) >= -MOST_WEIGHT - 1 and int(raw.max(initial=0)) <= MOST_WEIGHT
