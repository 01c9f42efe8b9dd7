# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Number formats as QKeras quantizers: which one is the same arithmetic as a `Quantizer`, and which
formats have none.

QKeras computes in float32: x m / m_i, rounded half to even, clipped to -m..m-1, times m_i / m, and
then x + (q - x). All factors are powers of two, so the steps are exact while the integers involved
stay below 2^24; where a saturation is so far that q - x needs more, `ir.float32` bounds the error.
`integer` leaves out the sign bit. One signed bit means -1 or +1 there, which no `Fixed` is; and
quantized_relu raises 2 to an integer power in integers, so it takes no negative `integer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.lower_functions import SLOPE_BITS
from quantization.calibrate import fit_quantizer
from quantization.fixed import (
    Fixed,
    FormatError,
    Overflow,
    Quantizer,
    Rounding,
    dequantize,
    fixed_of_range,
    quantize,
)
from quantization.recipe import WeightFormat

MANTISSA_BITS = 24  # of a float32, the leading one included
MOST_EXPONENT = 64  # of a format's ends: far from where float32 has subnormals or infinities


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Weights as a QKeras layer holds them: values x alpha are what it computes with."""

    values: NDArray[np.float32]
    quantizer: Quantizer
    alpha: tuple[float, ...] | None  # a power of two for each output channel; None: 1

    @property
    def exact(self) -> NDArray[np.float32]:
        """What the layer computes with."""
        return self.values * np.asarray(1.0 if self.alpha is None else self.alpha, np.float32)


def obstacle(quantizer: Quantizer) -> str | None:
    """Why QKeras has no quantizer of this arithmetic; None where it has one."""
    type_ = quantizer.type
    if quantizer.rounding is not Rounding.RND_CONV:
        return f"{quantizer} rounds by {quantizer.rounding}; QKeras knows RND_CONV alone"
    if quantizer.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        return f"{quantizer} overflows by {quantizer.overflow}; QKeras knows SAT and SAT_SYM"
    if type_.signed and type_.bits == 1:
        return f"{quantizer} has one signed bit, which in QKeras means -1 or +1"
    if type_.bits - type_.signed > MANTISSA_BITS:
        return f"{quantizer} is wider than the {MANTISSA_BITS} bits of a float32"
    if max(abs(type_.integer), abs(type_.frac)) > MOST_EXPONENT:
        return f"{quantizer} lies beyond 2^±{MOST_EXPONENT}"
    return None


def weight_obstacle(values: NDArray[np.float64], fmt: WeightFormat) -> str | None:
    """Why QKeras cannot hold these weights in this format; None where it can."""
    for quantizer in dict.fromkeys(fmt.quantizers):
        reason = obstacle(quantizer)
        if reason is not None:
            return reason
    try:
        prepare_weights(values, fmt)
    except FormatError as error:
        return str(error)
    return None


def prepare_weights(values: NDArray[np.float64], fmt: WeightFormat) -> StoredWeights:
    """Weights on their grid, so that reading them back changes none.

    Channels of one width become one quantizer and an alpha for each channel; channels of several
    widths lie on the finest grid among them, in a format wide enough for all. FormatError where a
    float32 does not hold a value.
    """
    raw = fmt.raw(values)
    exact = np.ldexp(raw.astype(np.float64), -fmt.frac)
    if not fmt.per_channel:
        return StoredWeights(_as_float32(exact), fmt.quantizers[0], None)
    lowest = min(fmt.quantizers, key=lambda quantizer: quantizer.type.integer)
    span = max(quantizer.type.integer for quantizer in fmt.quantizers) - lowest.type.integer
    alike = all(
        (q.type.bits, q.type.signed, q.overflow)
        == (lowest.type.bits, lowest.type.signed, lowest.overflow)
        for q in fmt.quantizers
    )
    if alike and lowest.type.bits + span <= MANTISSA_BITS:
        alpha = tuple(2.0 ** (q.type.integer - lowest.type.integer) for q in fmt.quantizers)
        return StoredWeights(_as_float32(exact / np.asarray(alpha)), lowest, alpha)
    return StoredWeights(_as_float32(exact), _common(raw.min(), raw.max(), fmt.frac), None)


def _common(low: int, high: int, frac: int) -> Quantizer:
    """The narrowest quantizer that QKeras has for a range of integers."""
    narrow = fixed_of_range(int(low), max(int(high), 0), frac)
    if narrow.signed and narrow.bits == 1:
        narrow = Fixed(True, 2, 2 - frac)
    return Quantizer(narrow)


def _as_float32(exact: NDArray[np.float64]) -> NDArray[np.float32]:
    single = exact.astype(np.float32)
    if not np.array_equal(single.astype(np.float64), exact):
        raise FormatError("a weight needs more than the 24 bits of a float32")
    return single


def bits(quantizer: Quantizer, alpha: tuple[float, ...] | None = None) -> Any:
    """The quantized_bits of a quantizer; alpha stands along the last axis."""
    from qkeras import quantized_bits

    type_ = quantizer.type
    return quantized_bits(
        bits=type_.bits,
        integer=type_.integer - type_.signed,
        symmetric=int(quantizer.overflow is Overflow.SAT_SYM),
        keep_negative=type_.signed,
        alpha=1.0 if alpha is None else list(alpha),
    )


def is_quantized_relu(quantizer: Quantizer) -> bool:
    """Whether quantized_relu is max(x, 0) brought into this format."""
    type_ = quantizer.type
    return not type_.signed and type_.integer >= 0 and quantizer.overflow is Overflow.SAT


def relu(quantizer: Quantizer) -> Any:
    """The quantized_relu of an unsigned quantizer."""
    from qkeras import quantized_relu

    return quantized_relu(bits=quantizer.type.bits, integer=quantizer.type.integer)


def held_slope(slope: float) -> float:
    """A leaky ReLU's slope as the integer network holds it."""
    quantizer = fit_quantizer([slope], SLOPE_BITS)
    return float(dequantize(quantize(slope, quantizer), quantizer.type))
