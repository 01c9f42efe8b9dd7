# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Number formats that hold given weights exactly, or as nearly as a width allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.readers.keras.quantizer_values import CodedWeights
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, dequantize, fixed_of_range
from quantization.recipe import WeightFormat

MAX_BITS = 26  # the widest weight for which exactness is bought
ROUNDED_BITS = 24  # as precise as float32 at the largest weight

Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FormattedWeight:
    """A weight as the model computes with it: values x scale, the scale one per output channel."""

    values: Reals
    format: WeightFormat | None  # None: to be chosen with all other float weights
    scale: Reals | None = None  # None: 1


def format_weight(coded: CodedWeights, shape: tuple[int, ...]) -> FormattedWeight:
    """Codes brought to a kernel's shape, output channels last."""
    codes = coded.codes.reshape(shape)
    scales = np.broadcast_to(coded.scale, coded.codes.shape).reshape(shape)
    channels = scales.reshape(-1, shape[-1]) if shape else scales.reshape(1, 1)
    values = codes * coded.step * scales
    if (channels != channels[0]).any():
        return FormattedWeight(values, narrowest(values))
    mantissas, exponents = np.frexp(channels[0])
    if (mantissas == 0.5).all():
        return FormattedWeight(values, _grid(coded, exponents - 1) or narrowest(values))
    grid = codes * coded.step
    scale = channels[0] if (channels[0] != channels[0][0]).any() else channels[0][:1]
    return FormattedWeight(grid, _grid(coded, np.zeros(1, int)) or narrowest(grid), scale.copy())


def _grid(coded: CodedWeights, exponents: NDArray[np.int_]) -> WeightFormat | None:
    """The quantizer's own format, moved by a power of two for each channel."""
    symmetric = coded.low == -coded.high
    width = fixed_of_range(coded.low, coded.high, 0) if coded.high < 1 << MAX_BITS else None
    if width is None or width.bits > MAX_BITS:
        return None
    overflow = Overflow.SAT_SYM if symmetric else Overflow.SAT
    step = int(np.frexp(coded.step)[1]) - 1
    quantizers = [
        Quantizer(Fixed(width.signed, width.bits, width.bits + step + int(e)), overflow=overflow)
        for e in exponents
    ]
    return WeightFormat.of(*(quantizers if len(set(quantizers)) > 1 else quantizers[:1]))


def narrowest(values: Reals, *, per_channel: bool = False) -> WeightFormat | None:
    """The narrowest format that holds every value exactly, if MAX_BITS are enough."""
    if not per_channel or values.ndim == 0:
        quantizer = _exact(values)
        return None if quantizer is None else WeightFormat.of(quantizer)
    channels = [_exact(values[..., c]) for c in range(values.shape[-1])]
    exact = [channel for channel in channels if channel is not None]
    return WeightFormat.of(*exact) if len(exact) == len(channels) else None


def _exact(values: Reals) -> Quantizer | None:
    used = values[values != 0]
    if used.size == 0:
        return Quantizer(Fixed(False, 1, 1))
    mantissas, exponents = np.frexp(used)
    whole = np.abs(np.ldexp(mantissas, 53)).astype(np.int64)
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    frac = int((53 - trailing - exponents).max())
    if int(exponents.max()) + frac > MAX_BITS:
        return None
    raw = np.ldexp(used, frac).astype(np.int64)
    type_ = fixed_of_range(min(int(raw.min()), 0), max(int(raw.max()), 0), frac)
    return Quantizer(type_) if type_.bits <= MAX_BITS else None


def format_for_bits(values: Reals, bits: int = ROUNDED_BITS) -> WeightFormat:
    """A format of so many bits that reaches up to the largest value."""
    largest = float(np.abs(values).max())
    signed = bool((values < 0).any())
    integer = int(np.frexp(largest)[1]) + int(signed)
    if largest >= 2.0 ** (integer - int(signed)) - 2.0 ** (integer - bits - 1):
        integer += 1  # the largest value would round up beyond the type
    return WeightFormat.of(Quantizer(Fixed(signed, bits, integer), Rounding.RND_CONV))


def error_of(format_: WeightFormat, values: Reals) -> float:
    """By how much a format changes its weights at most."""
    back = np.ldexp(format_.raw(values).astype(np.float64), -format_.frac)
    return float(np.abs(back - values).max(initial=0.0))


def is_identity(format_: WeightFormat, values: Reals) -> bool:
    """Whether quantizing leaves the values as they are."""
    if not format_.per_channel:
        quantizer = format_.quantizers[0]
        return bool((dequantize(format_.raw(values), quantizer.type) == values).all())
    return error_of(format_, values) == 0.0
