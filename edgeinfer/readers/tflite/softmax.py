# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A SOFTMAX inside a network, in the integers of the reference kernel.

The kernel has the exponential of each difference to the largest element of its row from a table,
here with 31 fractional bits, and divides by their sum in three steps of Newton's method. It brings
the sum to between a half and one first; by how many bits is known from which powers of two the sum
reaches. All of that is products of at most 62 bits, each rounded once, so a Program can hold it.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.graph.indexing import SitesNode
from edgeinfer.graph.nodes import MergeKind, MergeNode, PoolNode, PoolNodeKind
from edgeinfer.readers.tflite.elementwise import enter_table
from edgeinfer.readers.tflite.multipliers import FRAC, multipliers_of, scale_of, zero_of
from edgeinfer.readers.tflite.values import ZERO, StepDrawing, Steps, UnreadableOperatorError, inner
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding, shift_right

DIFFERENCE_FRAC = 26  # fractional bits of a difference, 5 more being before the point
SUM_FRAC = 19  # of a sum of exponentials, 12 more being before the point
LONGEST = 1 << 11  # elements of a row, so that the sum stays below them
ONE = (1 << FRAC) - 1  # the largest number below 1
TWO_BITS = 29  # fractional bits of a number below 4
START, SLOPE = 1515870810, -1010580540  # 48/17 and -32/17 with these
REFINEMENTS = 3
NEAR_BITS = 27  # of 1 - h x, which is 1/17 at most
# exp(-2^(place - 2)) with 31 fractional bits
POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
EIGHTH, THIRD = 1895147668, 715827883  # exp(-1/8) and 1/3 with 31 fractional bits
LEVELS = Fixed.parse("ufixed<8,8>")


def read_softmax(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """SOFTMAX over the last axis: 256 levels."""
    out = op.outputs[0]
    least, _ = _check_output(out)
    width = x.shape[-1]
    if width > LONGEST:
        raise UnreadableOperatorError(f"its rows have {width} elements; at most {LONGEST} do")
    rows = math.prod(x.shape) // width
    flat = d.reshape(f"{name}_rows", x.tensor, (rows, width))
    top = pool_rows(d, f"{name}_top", flat, PoolNodeKind.MAX)
    below = d.add(MergeNode(d.fresh(f"{name}_below"), (flat, top), MergeKind.SUBTRACT))
    low = x.low - x.high
    fine = exponentials(low, float(x.scale) * op.options.beta)
    coarse = shift_right(fine, FRAC - SUM_FRAC, Rounding.RND_INF)
    exact, rough = (
        enter_table(d, f"{name}_{label}", below, low, entries)
        for label, entries in (("exponentials", fine), ("rounded", coarse))
    )
    total = pool_rows(d, f"{name}_sum", rough, PoolNodeKind.SUM)
    power = _power_of(d, name, total, width)
    product = MergeNode(d.fresh(f"{name}_half"), (total, power), MergeKind.MULTIPLY)
    half = d.add(product, Quantizer(positive_type(FRAC), Rounding.RND, SAT))
    inverse = invert_half(d, name, half)
    share = multiply_high(d, f"{name}_share", exact, inverse, positive_type(FRAC))
    moved = d.add(MergeNode(d.fresh(f"{name}_moved"), (share, power), MergeKind.MULTIPLY))
    level = scale_whole(
        d, f"{name}_level", moved, 1, FRAC + 3, Quantizer(LEVELS, Rounding.RND, SAT)
    )
    offset = np.asarray(least - zero_of(out), np.int64)
    if offset:
        level = d.affine(d.fresh(f"{name}_steps"), level, ZERO + 1, 0, None, offset)
    tensor = d.reshape(f"{name}_shaped", level, inner(out.shape))
    return Steps(tensor, out.shape, int(offset), 255 + int(offset), scale_of(out), zero_of(out))


SAT = Overflow.SAT


def _check_output(out: TfliteTensor) -> tuple[int, int]:
    """The least and the largest level; the kernel knows one scale and one zero point."""
    low = -128 if out.type == "INT8" else 0
    if scale_of(out) != np.float32(1 / 256) or zero_of(out) != low:
        raise UnreadableOperatorError("its output's levels are not 256ths from the least one on")
    return low, low + 255


def exponentials(low: int, scale: float) -> Ints:
    """exp(scale n) with 31 fractional bits for whole n from low to 0, as the kernel has it."""
    most = float((1 << FRAC) - 1)
    by = multipliers_of([min(scale * (1 << DIFFERENCE_FRAC), most)])
    shift = int(by.shifts[0])
    if shift < 0:
        raise UnreadableOperatorError("its input's scale is too small")
    radius = math.floor(31 * (1 << DIFFERENCE_FRAC) / (1 << shift))
    results = []
    for steps in range(low, 1):
        scaled = upper_half(steps << shift, int(by.factors[0]))
        results.append(_exponential(scaled) if steps >= -radius else 0)
    return np.asarray(results, np.int64)


def _exponential(x: int) -> int:
    """exp(x) for x <= 0 with 26 fractional bits: of what lies within a quarter by a polynomial,
    times a number for each bit of the rest."""
    if x == 0:
        return ONE
    quarter = 1 << (DIFFERENCE_FRAC - 2)
    part = (x & (quarter - 1)) - quarter
    power, rest = _within_quarter(part << (FRAC - DIFFERENCE_FRAC)), part - x
    for place, factor in enumerate(POWERS):
        if rest & (quarter << place):
            power = upper_half(power, factor)
    return power


def _within_quarter(x: int) -> int:
    """exp(x) for -1/4 <= x < 0, around -1/8, with 31 fractional bits."""
    near = x + (1 << (FRAC - 3))
    square = upper_half(near, near)
    cube, fourth = upper_half(square, near), upper_half(square, square)
    higher = upper_half(_away(fourth, 2) + cube, THIRD) + square
    return EIGHTH + upper_half(EIGHTH, near + _away(higher, 1))


def upper_half(a: int, b: int) -> int:
    """The upper half of a product, to the nearest, halves up."""
    return (a * b + (1 << (FRAC - 1))) >> FRAC


def _away(x: int, bits: int) -> int:
    """x 2^-bits to the nearest, halves away from zero."""
    divided = (abs(x) + (1 << (bits - 1))) >> bits
    return divided if x >= 0 else -divided


def pool_rows(d: StepDrawing, name: str, x: str, kind: PoolNodeKind) -> str:
    """One number for each row of (rows, elements)."""
    rows, width = d.shapes[x]
    picture = d.reshape(f"{name}_picture", x, (rows, width, 1))
    window = (1, width)
    node = PoolNode(d.fresh(name), picture, kind, window, window, ((0, 0), (0, 0)))
    return d.reshape(f"{name}_column", d.add(node), (rows, 1))


def _power_of(d: StepDrawing, name: str, total: str, width: int) -> str:
    """2^(11 - k) for the largest k with total >= 2^(19 + k): times the total, a half to one."""
    most = FRAC - SUM_FRAC - 1
    power = d.constant(f"{name}_power", np.asarray(1 << most, np.int64))
    for k in range(1, width.bit_length()):
        reached = d.add(SitesNode(d.fresh(f"{name}_reached"), total, (1 << (SUM_FRAC + k)) - 1.0))
        less = scale_whole(d, f"{name}_less", reached, 1 << (most - k), 0)
        pair = (power, less)
        power = d.add(MergeNode(d.fresh(f"{name}_power"), pair, MergeKind.SUBTRACT))
    return power


def invert_half(d: StepDrawing, name: str, half: str) -> str:
    """1/(2 half) with 31 fractional bits, for a half to one with as many."""
    line = Quantizer(signed_type(TWO_BITS + 2), Rounding.RND, SAT)
    x = scale_whole(d, f"{name}_line", half, SLOPE, FRAC, line)
    start = np.asarray(START, np.int64)
    wide = Quantizer(positive_type(TWO_BITS + 2), Rounding.RND, SAT)
    x = d.affine(d.fresh(f"{name}_start"), x, ZERO + 1, 0, wide, start)
    one = np.asarray(1 << TWO_BITS, np.int64)
    for _ in range(REFINEMENTS):
        product = multiply_high(d, f"{name}_product", half, x, wide.type)
        near = Quantizer(signed_type(NEAR_BITS), Rounding.RND, SAT)
        rest = d.affine(d.fresh(f"{name}_rest"), product, ZERO - 1, 0, near, one)
        more = multiply_high(d, f"{name}_more", rest, x, signed_type(NEAR_BITS + 1))
        four = scale_whole(d, f"{name}_four", more, 4, 0)
        node = MergeNode(d.fresh(f"{name}_refined"), (x, four), MergeKind.ADD)
        x = d.add(node, wide)
    return scale_whole(
        d, f"{name}_inverse", x, 2, 0, Quantizer(positive_type(FRAC), Rounding.RND, SAT)
    )


def multiply_high(d: StepDrawing, name: str, a: str, b: str, type_: Fixed) -> str:
    """The upper half of products, to the nearest, halves up."""
    product = d.add(MergeNode(d.fresh(f"{name}_exact"), (a, b), MergeKind.MULTIPLY))
    return scale_whole(d, name, product, 1, FRAC, Quantizer(type_, Rounding.RND, SAT))


def scale_whole(
    d: StepDrawing, name: str, x: str, factor: int, frac: int, quantizer: Quantizer | None = None
) -> str:
    return d.affine(d.fresh(name), x, np.asarray(factor, np.int64), frac, quantizer)


def signed_type(bits: int) -> Fixed:
    return Fixed(True, bits, bits)


def positive_type(bits: int) -> Fixed:
    return Fixed(False, bits, bits)
