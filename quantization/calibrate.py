# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Data -> formats: where a tensor's binary point belongs, given what the tensor holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding, quantize
from quantization.recipe import WeightFormat

Floats = NDArray[np.float64]

DEEPEST = 8  # candidates of the error search reach this many halvings below the full range
EMPTY_INTEGER = 1  # integer bits of a tensor that is zero throughout
FEWEST_INTEGER = -48  # smaller values than such a format's are taken for zero
BULK_PERCENTILE = 99.0  # magnitudes up to here are the bulk of a tensor
BELOW_BULK = 2  # halvings below the bulk's range that are still worth a trial


class Method(StrEnum):
    """How a range is drawn from data."""

    MINMAX = "minmax"  # nothing saturates
    PERCENTILE = "percentile"  # a stated share of the values may saturate
    MSE = "mse"  # the smallest mean squared error


def fit_quantizer(
    values: ArrayLike,
    bits: int,
    *,
    method: Method = Method.MINMAX,
    percentile: float = 99.9,
    signed: bool | None = None,
    overflow: Overflow = Overflow.SAT,
) -> Quantizer:
    """The `bits`-wide quantizer that suits these values; unsigned where none is negative, unless
    `signed` says otherwise."""
    reals = finite(values)
    is_signed = bool((reals < 0).any()) if signed is None else signed
    if is_signed and bits < 2:
        raise FormatError("A signed format needs at least 2 bits.")

    def at(integer: int) -> Quantizer:
        return Quantizer(Fixed(is_signed, bits, integer), Rounding.RND_CONV, overflow)

    integer = integer_bits(reals, bits, is_signed)
    match method:
        case Method.MINMAX:
            return at(integer)
        case Method.PERCENTILE:
            limit = float(np.percentile(np.abs(reals), percentile)) if reals.size else 0.0
            return at(integer_bits(np.clip(reals, -limit, limit), bits, is_signed))
        case Method.MSE:
            return _least_squares(reals, [at(integer - depth) for depth in range(DEEPEST + 1)])


def _least_squares(values: Floats, candidates: Sequence[Quantizer]) -> Quantizer:
    """The first with the least squared error. None is tried after one whose saturated values alone
    lose more than the best does: a narrower range saturates them more."""
    best, least = candidates[0], math.inf
    for candidate in candidates:
        error = squared_error(values, candidate)
        if error < least:
            best, least = candidate, error
        if candidate.overflow is Overflow.SAT and error - candidate.type.lsb**2 / 4 >= least:
            break
    return best


def places(values: ArrayLike, bits: int, *, signed: bool | None = None) -> tuple[Quantizer, ...]:
    """Quantizers worth a trial: from the one that saturates nothing, one binary place after the
    other, down to where the bulk of the values saturates."""
    reals = finite(values)
    widest = fit_quantizer(reals, bits, signed=signed)
    magnitudes = np.abs(reals[reals != 0.0])
    bulk = float(np.percentile(magnitudes, BULK_PERCENTILE)) if magnitudes.size else 0.0
    limited = np.clip(reals, -bulk, bulk)
    type_ = widest.type
    lowest = min(integer_bits(limited, bits, type_.signed) - BELOW_BULK, type_.integer)
    if bulk < 2.0**FEWEST_INTEGER:
        lowest = type_.integer
    return tuple(
        replace(widest, type=replace(type_, integer=integer))
        for integer in range(type_.integer, max(lowest, FEWEST_INTEGER) - 1, -1)
    )


def fitted_channels(
    values: ArrayLike, bits: int, *, method: Method = Method.MINMAX, percentile: float = 99.9
) -> WeightFormat:
    """One quantizer for each slice along the last axis, all of one width."""
    reals = finite(values)
    signed = bool((reals < 0).any())
    columns = reals.reshape(-1, reals.shape[-1]).T
    return WeightFormat.of(
        *(
            fit_quantizer(column, bits, method=method, percentile=percentile, signed=signed)
            for column in columns
        )
    )


def finite(values: ArrayLike, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """The values as floats; refused where one is NaN or infinite."""
    reals = np.asarray(values, dtype=dtype)
    if not np.isfinite(reals).all():
        raise FormatError("NaN and infinity cannot be calibrated.")
    return reals


def integer_bits(values: Floats, bits: int, signed: bool) -> int:
    """Fewest integer bits for which rounding saturates none of the values."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    integer = math.frexp(max(abs(low), abs(high)))[1] - 1
    if low == high == 0.0 or integer < FEWEST_INTEGER:
        return EMPTY_INTEGER

    def holds(candidate: int) -> bool:
        type_ = Fixed(signed, bits, candidate)
        extremes = np.rint(np.ldexp([min(low, 0.0), max(high, 0.0)], type_.frac))
        return bool(type_.raw_min <= extremes[0] and extremes[1] <= type_.raw_max)

    while not holds(integer):
        integer += 1
    return integer


def squared_error(values: Floats, quantizer: Quantizer) -> float:
    """Mean squared distance between values and what is kept of them."""
    if not values.size:
        return 0.0
    kept = np.ldexp(quantize(values, quantizer).astype(np.float64), -quantizer.type.frac)
    return float(np.mean((kept - values) ** 2))
