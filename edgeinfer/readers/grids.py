# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats for a file's float32 numbers: exact where 26 bits suffice, else with a known error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeinfer.graph.nodes import Floats
from quantization.fixed import Fixed, Quantizer, dequantize, fixed_of_range, quantize
from quantization.recipe import WeightFormat

MAX_BITS = 26
EXACT_BITS = 62  # of a file whose numbers are known to lie on one grid
SPREAD_BITS = 8  # how much finer than the largest channel's grid a small channel's may be


@dataclass(frozen=True, slots=True, eq=False)
class GridNumbers:
    """Numbers on a fixed-point grid."""

    values: Floats
    format: WeightFormat
    error: float  # largest, relative to the number (for a bias: to the largest number)


def fixed_multiplier(values: Floats, *, exact: bool = False) -> GridNumbers:
    """A grid for each entry of the last axis, so that small scales keep their precision too; with
    `exact`, one grid for all that rounds nothing."""
    if exact:
        return fixed_bias(values, exact=True)
    if values.ndim == 0 or values.shape[-1] == 1:
        return _grid_numbers(values, [_quantizer(values, np.abs(values).max(initial=0.0))])
    largest = float(np.abs(values).max())
    channels = [values[..., c] for c in range(values.shape[-1])]
    floor = largest * 2.0**-SPREAD_BITS
    return _grid_numbers(
        values, [_quantizer(c, max(float(np.abs(c).max()), floor)) for c in channels]
    )


def fixed_bias(values: Floats, *, exact: bool = False) -> GridNumbers:
    """One grid for all of it: what counts in a sum is the absolute error."""
    largest = float(np.abs(values).max(initial=0.0))
    quantizer = _quantizer(values, largest, EXACT_BITS if exact else MAX_BITS)
    rounded = dequantize(quantize(values, quantizer), quantizer.type)
    error = float(np.abs(rounded - values).max(initial=0.0)) / largest if largest else 0.0
    return GridNumbers(rounded, WeightFormat.of(quantizer), error)


def _grid_numbers(values: Floats, quantizers: list[Quantizer]) -> GridNumbers:
    if len(set(quantizers)) == 1:
        quantizers = quantizers[:1]
    format_ = WeightFormat.of(*quantizers)
    rounded = np.ldexp(format_.raw(values).astype(np.float64), -format_.frac)
    nonzero = np.abs(values) > 0
    wrong = np.abs(rounded - values)[nonzero] / np.abs(values)[nonzero]
    return GridNumbers(rounded, format_, float(wrong.max(initial=0.0)))


def _quantizer(values: Floats, largest: float, most_bits: int = MAX_BITS) -> Quantizer:
    """The coarsest grid that holds the values exactly, or the finest that so many bits allow."""
    if largest == 0.0:
        return Quantizer(Fixed(False, 1, 1))
    signed = bool((values < 0).any())
    top = int(np.frexp(largest)[1])  # largest < 2^top
    finest = most_bits - int(signed) - top
    if np.rint(np.ldexp(largest, finest)) >= 2.0 ** (most_bits - int(signed)):
        finest -= 1  # it would round up to the next power of two
    raw = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), finest)).astype(np.int64)
    combined = int(np.bitwise_or.reduce(np.abs(raw).reshape(-1)))
    spare = (combined & -combined).bit_length() - 1 if combined else 0
    whole = raw >> spare
    return Quantizer(
        fixed_of_range(int(whole.min(initial=0)), int(whole.max(initial=0)), finest - spare)
    )
