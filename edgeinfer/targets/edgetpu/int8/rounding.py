# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How the int8 kernels round, and what makes all of them round as a Program does.

A kernel multiplies a sum by a factor, here 2^-shift, and rounds. Only ties tell the kernels apart:
XNNPACK's send them to even, the reference kernels of dense layers away from zero, those of
convolutions halve first and then send also the sum just below a tie away from zero. Two means leave
nothing to choose:

- A factor that is a hair above its power of two moves every tie away from zero, one a hair below
  towards zero. The hair is less than what lies between a tie and its neighbours, for sums below
  2^22; larger ones than those that fit 8 bits saturate in any case.
- Weights that leave room are doubled, so that every sum is even. An odd bias then leaves no ties at
  all, and an even one leaves nothing to be halved wrongly.

The first makes XNNPACK's kernels on x86-64 and the reference kernels of dense layers equal to the
Program, the second those of convolutions too. NEON's kernels multiply in the same precision
or a higher one, so that the same holds for them by reading, not by measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, assert_never

from quantization.fixed import Rounding

FLOORS: Final = (Rounding.TRN, Rounding.TRN_ZERO)
LONGEST_SHIFT: Final = 14  # 256 levels times 2^14 is the 2^22 up to which a hair moves ties only


class Tilt(IntEnum):
    """On which side of its power of two a factor lies."""

    BELOW = -1
    EXACT = 0
    ABOVE = 1

    @property
    def factor(self) -> float:
        """The nearest 32-bit float on that side of 1."""
        return {Tilt.BELOW: 1 - 2.0**-24, Tilt.EXACT: 1.0, Tilt.ABOVE: 1 + 2.0**-23}[self]


@dataclass(frozen=True, slots=True)
class SumEnding:
    """What makes the kernels divide a sum by 2^shift as a rounding says."""

    added: int  # to the sum, in its own units
    tilt: Tilt


NOTHING = SumEnding(0, Tilt.EXACT)


def ending_of(rounding: Rounding, shift: int, *, doubled: bool) -> SumEnding:
    """The ending of a sum; where it is doubled, `shift` counts the doubling. Without doubling,
    roundings are as `kernel_rounding` leaves them."""
    if shift < 1:
        return NOTHING
    half = 1 << (shift - 1)
    match rounding:
        case Rounding.RND if doubled:
            return SumEnding(1, Tilt.BELOW)
        case Rounding.RND_MIN_INF if doubled:
            return SumEnding(-1, Tilt.BELOW)
        case Rounding.TRN | Rounding.TRN_ZERO if doubled:
            return SumEnding(1 - half, Tilt.BELOW)
        case Rounding.RND | Rounding.RND_INF | Rounding.RND_CONV:
            return SumEnding(0, Tilt.ABOVE)
        case Rounding.RND_ZERO | Rounding.RND_MIN_INF:
            return SumEnding(0, Tilt.BELOW)
        case Rounding.TRN | Rounding.TRN_ZERO:  # sums below half a step end at zero
            return SumEnding(-half, Tilt.ABOVE)
        case _:
            assert_never(rounding)


def kernel_rounding(rounding: Rounding, *, signed: bool, doubled: bool) -> Rounding:
    """The rounding nearest to the one that is asked for which every kernel can be made to have.

    Values that end at zero or above have all but ties to even. Below zero, sums that are not
    doubled have ties away from zero or towards it; floors there need a bias of their own.
    """
    match rounding:
        case Rounding.RND_CONV:
            return Rounding.RND if doubled or not signed else Rounding.RND_INF
        case Rounding.RND_ZERO if doubled:
            return Rounding.RND_MIN_INF
        case _ if not signed:
            return rounding
        case Rounding.RND:
            return Rounding.RND if doubled else Rounding.RND_INF
        case Rounding.RND_MIN_INF:
            return Rounding.RND_MIN_INF if doubled else Rounding.RND_ZERO
        case Rounding.TRN:
            return Rounding.TRN if doubled else Rounding.RND_INF
        case Rounding.TRN_ZERO:
            return Rounding.RND_MIN_INF if doubled else Rounding.RND_ZERO
        case Rounding.RND_INF | Rounding.RND_ZERO:
            return rounding
        case _:
            assert_never(rounding)
