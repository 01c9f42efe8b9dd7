# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How TensorFlow Lite multiplies an integer by a scale, and which integers an activation allows.

A scale is a multiplier of 31 fractional bits and a power of two, and their product with an integer
is rounded to the nearest, halves up. That is what LiteRT 2 and TensorFlow 2.21 do; older versions
rounded after the multiplier and again after the power of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.tflite.model import TfliteTensor
from edgeinfer.readers.tflite.values import UnreadableOperatorError
from quantization.fixed import Ints

MANTISSA = 24  # bits of a float32
FRAC = 31  # fractional bits of a multiplier
LARGEST_SHIFT = 30
ROOT_FRAC = 28  # fractional bits of a root while it is computed
HALF_ROOT = 1518500250  # half of the root of 2 with 31 fractional bits
STORED = {"INT8": (-128, 127), "UINT8": (0, 255)}


@dataclass(frozen=True, slots=True, eq=False)
class Multipliers:
    """A scale as integers, or one for each channel: factor 2^(shift - 31)."""

    factors: Ints
    shifts: Ints


def multipliers_of(scales: Iterable[float]) -> Multipliers:
    """Scales as integers."""
    pairs = [_quantize_multiplier(scale) for scale in scales]
    factors, shifts = zip(*pairs, strict=True)
    return Multipliers(np.asarray(factors, np.int64), np.asarray(shifts, np.int64))


def _quantize_multiplier(scale: float) -> tuple[int, int]:
    if not math.isfinite(scale):
        raise UnreadableOperatorError("its scales divide to a number that is not finite")
    fraction, shift = math.frexp(scale)
    factor = _round_half_away(fraction * (1 << FRAC))
    if abs(factor) == 1 << FRAC:
        factor, shift = factor >> 1, shift + 1
    if shift < -FRAC:  # too small for any integer
        return 0, 0
    if shift > LARGEST_SHIFT:
        raise UnreadableOperatorError(f"its scales ask for a multiplication by {scale:g}")
    return factor, shift


def inverse_root_of(value: int) -> Multipliers:
    """One over the root of a whole number below 2^29, by five of Newton's steps from 1.

    The number is brought to between a quarter and one by a power of four. What is computed has 28
    fractional bits; products keep their upper half, to the nearest.
    """
    if value <= 1:
        return Multipliers(np.asarray([(1 << FRAC) - 1]), np.zeros(1, np.int64))
    pairs = (FRAC - value.bit_length()) // 2 - 1
    shift, scaled = 11 - pairs, value << 2 * pairs
    half = ((scaled >> 1) + 1) >> 1
    x = 1 << ROOT_FRAC
    for _ in range(5):
        cube = _upper_half(_upper_half(x, x), x) << 6
        x = (_upper_half(3 << (ROOT_FRAC - 1), x) - _upper_half(half, cube)) << 3
    factor = _upper_half(x, HALF_ROOT)
    return Multipliers(
        np.asarray([factor << max(-shift, 0)]), np.asarray([-max(shift, 0)], np.int64)
    )


def _upper_half(a: int, b: int) -> int:
    """The upper half of twice a product, to the nearest, halves up."""
    return (a * b + (1 << (FRAC - 1))) >> FRAC


def _round_half_away(value: float) -> int:
    whole = math.floor(abs(value))
    whole += abs(value) - whole >= 0.5
    return whole if value >= 0 else -whole


def whole_scale(scale: np.float32) -> tuple[int, int]:
    """A scale as an integer and how many of its bits lie behind the point; nothing is rounded."""
    fraction, exponent = math.frexp(scale)
    whole, frac = int(math.ldexp(fraction, MANTISSA)), MANTISSA - exponent
    spare = (whole & -whole).bit_length() - 1
    return whole >> spare, frac - spare


def stored_range(tensor: TfliteTensor) -> tuple[int, int]:
    """The integers that a tensor can store; a refusal where it is not one of 8 bits."""
    if tensor.type not in STORED:
        raise UnreadableOperatorError(
            f"the tensor {tensor.name!r} is {tensor.type}; 8-bit integers can be read"
        )
    return STORED[tensor.type]


def scale_of(tensor: TfliteTensor) -> np.float32:
    """A tensor's only scale."""
    if tensor.scales.size != 1 or not 2.0**-60 < tensor.scales[0] < 2.0**60:
        raise UnreadableOperatorError(
            f"the tensor {tensor.name!r} has not one usable scale: {_few(tensor.scales)}"
        )
    return np.float32(tensor.scales[0])


def _few(scales: NDArray[np.float32]) -> str:
    return ", ".join(f"{scale:g}" for scale in scales[:3]) or "none"


def zero_of(tensor: TfliteTensor) -> int:
    """A tensor's only zero point, which is one of its integers."""
    low, high = stored_range(tensor)
    zero = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    if tensor.zero_points.size > 1 or not low <= zero <= high:
        raise UnreadableOperatorError(
            f"the tensor {tensor.name!r} has the zero point {zero}, which it cannot store"
        )
    return zero


def steps_allowed(tensor: TfliteTensor, fused: str = "NONE") -> tuple[int, int]:
    """The least and the largest integer, counted from the zero point, that a fused activation
    leaves a tensor."""
    low, high = (end - zero_of(tensor) for end in stored_range(tensor))
    scale = scale_of(tensor)

    def steps(real: float) -> int:
        return _round_half_away(float(np.float32(real) / scale))

    match fused:
        case "NONE":
            return low, high
        case "RELU":
            return max(low, 0), high
        case "RELU6":
            return max(low, 0), min(high, steps(6.0))
        case "RELU_N1_TO_1":
            return max(low, steps(-1.0)), min(high, steps(1.0))
        case _:  # the reference kernels have no other one for integers
            raise UnreadableOperatorError(f"its activation {fused} cannot be read")
