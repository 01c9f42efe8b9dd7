# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""QKeras quantizers as data."""

from __future__ import annotations

from dataclasses import dataclass

Alpha = None | float | str | tuple[float, ...]  # a scale, one per channel, 'auto' or 'auto_po2'


@dataclass(frozen=True, slots=True)
class AutoScale:
    """How a data-dependent scale is found."""

    axes: tuple[int, ...] | None = None  # axes with a scale for each index; None: the last
    group: tuple[int, ...] | None = None  # elements along those axes that share a scale
    lowest_exponent: float | None = None
    highest_exponent: float | None = None


@dataclass(frozen=True, slots=True)
class QuantizedBits:
    """Round to the nearest (ties to even) of 2^bits steps; `integer` leaves out the sign bit."""

    bits: int
    integer: int
    symmetric: bool
    keep_negative: bool
    alpha: Alpha
    auto: AutoScale = AutoScale()
    frozen_scale: tuple[float, ...] | None = None  # post_training_scale


@dataclass(frozen=True, slots=True)
class QuantizedLinear:
    """As QuantizedBits, with the newer way to choose a scale from the data."""

    bits: int
    integer: int
    symmetric: bool
    keep_negative: bool
    alpha: Alpha
    auto: AutoScale = AutoScale()


@dataclass(frozen=True, slots=True)
class Binary:
    """-1 or +1 (0 or 1 with zero_one), times a scale."""

    alpha: Alpha
    zero_one: bool = False
    auto: AutoScale = AutoScale()


@dataclass(frozen=True, slots=True)
class Ternary:
    """-1, 0 or +1, times a scale."""

    alpha: Alpha
    threshold: float | None = None
    rounds: int = 5


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    """The nearest power of two, with the sign of the value; `relu`: of its positive part."""

    bits: int
    max_value: float | None
    relu: bool
    negative_slope: float = 0.0
    quadratic: bool = False
    floor: bool = False

    @property
    def exponents(self) -> tuple[int, int]:
        """Lowest and highest exponent before max_value."""
        signed = int(self.max_value is None or self.max_value > 1)
        reach = 2 ** (self.bits - (0 if self.relu else 1) - signed)
        highest = 2 * ((reach - 1) // 2) if self.quadratic else reach - 1
        return int(-reach), int(highest)


@dataclass(frozen=True, slots=True)
class QuantizedRelu:
    """max(x, 0), or slope x below 0, rounded to the nearest of 2^bits steps."""

    bits: int
    integer: int
    negative_slope: float
    upper_bound: float | None
    use_sigmoid: bool


@dataclass(frozen=True, slots=True)
class QuantizedTanh:
    """tanh (or clip(x, -1, 1)) in `bits` bits, sign included."""

    bits: int
    symmetric: bool
    real: bool


@dataclass(frozen=True, slots=True)
class QuantizedSigmoid:
    """sigmoid (or clip(x/2 + 1/2, 0, 1)) in `bits` bits without sign."""

    bits: int
    symmetric: bool
    real: bool


@dataclass(frozen=True, slots=True)
class QuantizedHardSwish:
    """x clip(x + shift, 0, bound) / bound, then rounded."""

    shift: float
    bound: float
    output: QuantizedBits


Spec = (
    QuantizedBits
    | QuantizedLinear
    | Binary
    | Ternary
    | PowerOfTwo
    | QuantizedRelu
    | QuantizedTanh
    | QuantizedSigmoid
    | QuantizedHardSwish
)
