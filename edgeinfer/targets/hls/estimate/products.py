# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Matrices of constants as hardware: what each weight's value costs, and the trees that add up.

A weight of zero costs nothing. A power of two is wiring. Two non-zero digits (in the canonical
signed form, where 7 is 8 - 1) are one adder. Any other weight is a multiplier, made once for each
input and value: outputs that need the same product share it.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.ir.ops import Weights
from edgeinfer.targets.hls.estimate.fabric import (
    CARRY_LUTS,
    HlsFabric,
    adder_luts,
    multiplexer_luts,
    product_dsps,
    product_luts,
)
from quantization.fixed import Ints

MOST_BALANCED = 4096  # products of a layer, beyond which early Vitis HLS adds one by one
CHAIN_REGISTERS = 2.6  # for each bit of each product: it waits for its turn
LARGEST = 1 << 20  # weights that are looked at one by one; of more, a part stands for all


@dataclass(frozen=True, slots=True)
class Products:
    """What multiplying a vector by constants takes."""

    dsp: float
    lut: float
    multipliers: float  # that are neither wiring nor adders
    terms: float  # numbers to be added, over all outputs
    outputs: tuple[tuple[int, float], ...]  # how many outputs add how many terms
    bits: float  # of a product, on average over the terms


@dataclass(frozen=True, slots=True)
class WeightCounts:
    """What a matrix holds: for each input and value other than zero, how often it is used."""

    odd: Ints  # the value without its sign and its factors of two
    uses: Ints
    digits: Ints
    bits: Ints
    per_output: Ints  # weights other than zero
    scale: float  # of how many such matrices this one is a part


_COUNTED: dict[int, tuple[weakref.ref[Weights], WeightCounts]] = {}


def count_weights(weight: Weights) -> WeightCounts:
    """Counted once for each array: a search asks for the same weights under many settings."""
    cached = _COUNTED.get(id(weight))
    if cached is not None and cached[0]() is weight:
        return cached[1]
    counted, key = _count(weight), id(weight)

    def forget(_: weakref.ref[Weights]) -> None:
        _COUNTED.pop(key, None)

    _COUNTED[key] = weakref.ref(weight, forget), counted
    return counted


def _count(weight: Weights) -> WeightCounts:
    matrix = np.asarray(weight.reshape(-1, weight.shape[-1]))
    scale = 1.0
    if matrix.size > LARGEST:
        columns = max(LARGEST // matrix.shape[0], 1)
        scale = matrix.shape[1] / columns
        matrix = matrix[:, :columns]
    matrix = matrix.astype(np.int64)
    per_output = np.count_nonzero(matrix, axis=0)
    span = int(np.abs(matrix).max()) if matrix.size else 0
    rows = np.arange(matrix.shape[0], dtype=np.int64)[:, None]
    keys, uses = np.unique(rows * (2 * span + 1) + (matrix + span), return_counts=True)
    values = keys % (2 * span + 1) - span
    values, uses = values[values != 0], uses[values != 0]
    magnitude = np.abs(values)
    odd = magnitude // np.maximum(magnitude & -magnitude, 1)
    return WeightCounts(odd, uses, digits(odd), widths(values), per_output, scale)


def digits(magnitudes: Ints) -> Ints:
    """Non-zero digits of whole numbers in canonical signed form."""
    mixed = magnitudes ^ (3 * magnitudes)
    counts: Ints = np.bitwise_count(mixed).astype(np.int64)
    return counts


def widths(values: Ints) -> Ints:
    """Bits of each constant as an operand: those of its magnitude, and a sign where negative."""
    magnitude = np.abs(values)
    bits = np.ceil(np.log2(magnitude + 1.0)).astype(np.int64)
    return bits + (values < 0)


def constant_products(
    f: HlsFabric, weight: Weights, x_bits: int, kept_bits: int | None
) -> Products:
    """Multiply a vector (rows of the weight) by constants; `kept_bits`: products are cut to so
    many bits before they are added, None where they are kept whole."""
    counted = count_weights(weight)
    odd, uses, count, bits = counted.odd, counted.uses, counted.digits, counted.bits
    scale, per_output = counted.scale, counted.per_output
    terms = int(per_output.sum())
    if not terms:
        return Products(0.0, 0.0, 0.0, 0.0, ((0, float(weight.shape[-1])),), 0.0)
    adders = count == 2
    multiplied = count > 2
    luts = float(np.sum(np.where(adders, x_bits + widths(odd) + CARRY_LUTS, 0)))
    dsps, multipliers = 0.0, int(multiplied.sum())
    for width, number in zip(*np.unique(bits[multiplied], return_counts=True), strict=True):
        dsps += int(number) * product_dsps(f, x_bits, int(width))
        luts += int(number) * product_luts(f, x_bits, int(width))
    product_bits = float(np.average(x_bits + widths(odd), weights=uses))
    if kept_bits is not None:
        product_bits = min(product_bits, kept_bits)
    return Products(
        dsps * scale,
        luts * scale,
        multipliers * scale,
        terms * scale,
        count_terms(per_output, scale),
        product_bits,
    )


def count_terms(terms: Ints, scale: float = 1.0) -> tuple[tuple[int, float], ...]:
    """Numbers of terms, each with how many outputs have so many."""
    numbers, outputs = np.unique(terms, return_counts=True)
    return tuple(
        (int(number), float(count) * scale) for number, count in zip(numbers, outputs, strict=True)
    )


def share_multipliers(
    f: HlsFabric, products: Products, x_bits: int, w_bits: int, limit: int
) -> Products:
    """The same products by at most so many multipliers, each fed in turn through multiplexers.
    Products in LUTs stay where they are: a multiplexer costs as much."""
    if products.multipliers <= limit:
        return products
    turns = math.ceil(products.multipliers / limit)
    feeding = limit * (multiplexer_luts(x_bits, turns) + multiplexer_luts(w_bits, turns))
    dsps = math.ceil(products.dsp * limit / products.multipliers)
    return replace(products, dsp=dsps, lut=products.lut + feeding, multipliers=limit)


@dataclass(frozen=True, slots=True)
class Trees:
    """Sums of products: their adders, their depth in time, and the registers across it."""

    lut: float
    ff: float
    cuts: int  # clock edges between products and sums


def trees(f: HlsFabric, product_set: Products, biased: int, sum_bits: int, products: int) -> Trees:
    """Add the terms of each output in a balanced tree, cut where a cycle ends.

    biased: outputs to which a constant is added. An output that is done before a cut needs no
    register there. products: of the whole layer, zeros too.
    """
    if not product_set.terms:
        return Trees(0.0, 0.0, 0)
    wide = min((product_set.bits + sum_bits) / 2, float(sum_bits))
    if f.early and products > MOST_BALANCED:
        return _chain(f, product_set, biased, wide)
    outputs = sum(count for _, count in product_set.outputs)
    adders = max(product_set.terms + biased - outputs, 0.0)
    start = product_ns(f, product_set)
    extra = 1 if biased else 0
    most, registers = 0, 0.0
    for terms, count in product_set.outputs:
        numbers = max(terms + extra, 1)
        levels = cut_levels(f, start, math.ceil(math.log2(numbers)))
        for level in levels:
            registers += count * max(f.fit["register_share"] * numbers / 2**level, 1.0)
        most = max(most, len(levels))
    return Trees(adder_luts(f, wide, adders), registers * wide, most)


def cut_levels(f: HlsFabric, start_ns: float, levels: int) -> tuple[float, ...]:
    """After how many levels of adders each clock edge comes: 0 is right after the products."""
    level_times: list[float] = []
    at = start_ns
    while at > f.usable_ns:
        level_times, at = [*level_times, 0.0], at - f.usable_ns
    for level in range(levels):
        if at + f.add_ns > f.usable_ns:
            level_times, at = [*level_times, float(level)], 0.0
        at += f.add_ns
    return tuple(level_times)


def _chain(f: HlsFabric, products: Products, biased: int, wide: float) -> Trees:
    """One term after the other: as many in a cycle as fit there."""
    outputs = sum(count for _, count in products.outputs)
    adders = max(products.terms + biased - outputs, 0.0)
    longest = max(terms for terms, _ in products.outputs) + (1 if biased else 0)
    each = max(int(f.usable_ns / f.add_ns), 1)
    registers = products.terms * products.bits * CHAIN_REGISTERS
    return Trees(adder_luts(f, wide, adders), registers, math.ceil(longest / each))


def product_ns(f: HlsFabric, products: Products) -> float:
    """Until the products are there: through a DSP block, through LUTs, or as wiring."""
    if products.dsp:
        return f.multiply_ns + (f.usable_ns if f.multiplier_ff else 0.0)
    return f.lut_multiply_ns if products.multipliers else 0.0
