# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 LOG_SOFTMAX in the integers of the reference kernel.

A result is a difference to the largest element of its row minus the logarithm of the sum of
exponentials, as a softmax has it. The kernel brings that sum to between the root of a half and one,
and has the logarithm of the rest from a quotient of two polynomials. By what it multiplies the sum
is a table, for it is known from how many thresholds the sum reaches.
"""

from __future__ import annotations

import math

import numpy as np

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.graph.indexing import SitesNode
from edgeinfer.graph.nodes import MergeKind, MergeNode, PoolNodeKind
from edgeinfer.readers.tflite.elementwise import enter_table
from edgeinfer.readers.tflite.multipliers import FRAC, multipliers_of, scale_of, zero_of
from edgeinfer.readers.tflite.rescaling import Sums, limit
from edgeinfer.readers.tflite.softmax import (
    DIFFERENCE_FRAC,
    LONGEST,
    SAT,
    SUM_FRAC,
    exponentials,
    invert_half,
    multiply_high,
    pool_rows,
    positive_type,
    scale_whole,
    signed_type,
    upper_half,
)
from edgeinfer.readers.tflite.values import ZERO, StepDrawing, Steps, UnreadableOperatorError, inner
from quantization.fixed import Fixed, Ints, Quantizer, Rounding, shift_right

ONE = ZERO + 1
STEP_BITS = 22  # of a difference below a step of the output, a 16th
MOST = (1 << FRAC) - 1
# With 31 fractional bits: ln 2, the roots of a half and of that, and the polynomials' factors.
LN_2, HALF_ROOT, QUARTER_ROOT = 1488522236, 1518500250, 1805811301
NUMERATOR, DENOMINATOR, CONSTANT, LINE = 117049297, 127690142, 1057819769, 638450708
POWER_FRAC = 25  # fractional bits of a power of two, and of what is added to its logarithm
SIGNED, POSITIVE = signed_type(FRAC), positive_type(FRAC)  # between halves, between 0 and 1


def read_log_softmax(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """LOG_SOFTMAX over the last axis: steps of a 16th from -16 on."""
    out = op.outputs[0]
    _check_output(out)
    width = x.shape[-1]
    if width > LONGEST:
        raise UnreadableOperatorError(f"its rows have {width} elements; at most {LONGEST} do")
    flat = d.reshape(f"{name}_rows", x.tensor, (math.prod(x.shape) // width, width))
    top = pool_rows(d, f"{name}_top", flat, PoolNodeKind.MAX)
    below = d.add(MergeNode(d.fresh(f"{name}_below"), (flat, top), MergeKind.SUBTRACT))
    low, scale = x.low - x.high, float(x.scale)
    rounded = shift_right(exponentials(low, scale), FRAC - SUM_FRAC, Rounding.RND_INF)
    terms = enter_table(d, f"{name}_exponentials", below, low, rounded)
    total = pool_rows(d, f"{name}_sum", terms, PoolNodeKind.SUM)
    logarithm = _logarithm(d, name, total, width)
    fine = _differences(low, scale)
    apart = enter_table(d, f"{name}_differences", below, low, fine)
    pair = (apart, logarithm)
    exact = d.add(MergeNode(d.fresh(f"{name}_exact"), pair, MergeKind.SUBTRACT))
    quantizer = Quantizer(signed_type(FRAC - STEP_BITS + 1), Rounding.RND_INF, SAT)
    steps = scale_whole(d, f"{name}_whole", exact, 1, STEP_BITS, quantizer)
    tensor = d.reshape(f"{name}_shaped", steps, inner(out.shape))
    ends = quantizer.type.raw_min, quantizer.type.raw_max
    return limit(d, name, Sums(tensor, *map(np.asarray, ends)), out)


def _check_output(out: TfliteTensor) -> None:
    """The kernel of integers knows one type, one scale and one zero point."""
    if out.type != "INT8" or scale_of(out) != np.float32(1 / 16) or zero_of(out) != 127:
        raise UnreadableOperatorError("its output's levels are not 16ths from -16 to 0 in int8")


def _differences(low: int, scale: float) -> Ints:
    """Whole differences from low to 0 with 26 fractional bits, those below -32 as -32."""
    by = multipliers_of([min(scale * (1 << DIFFERENCE_FRAC), float(MOST))])
    shift, factor = int(by.shifts[0]), int(by.factors[0])
    least = -32 << DIFFERENCE_FRAC
    return np.asarray(
        [max(upper_half(steps << shift, factor), least) for steps in range(low, 1)], np.int64
    )


def _logarithm(d: StepDrawing, name: str, total: str, width: int) -> str:
    """The logarithm, with 26 fractional bits, of a sum from 1 to `width` with 19."""
    thresholds = _thresholds(width)
    place = d.constant(f"{name}_place", ZERO)
    for threshold in thresholds:
        reached = d.add(SitesNode(d.fresh(f"{name}_reached"), total, threshold - 1.0))
        node = MergeNode(d.fresh(f"{name}_place"), (place, reached), MergeKind.ADD)
        place = d.add(node)
    places = np.arange(len(thresholds) + 1)
    octave, upper = places >> 1, places & 1
    powers = enter_table(d, f"{name}_power", place, 0, ONE << (FRAC - SUM_FRAC - 1 - octave))
    aside = enter_table(d, f"{name}_aside", place, 0, np.where(upper, 0, ONE << FRAC))
    scaled = [
        upper_half((int(n) << POWER_FRAC) + (1 << 23) + (int(up) << 24), LN_2)
        for n, up in zip(octave, upper, strict=True)
    ]
    known = enter_table(d, f"{name}_octave", place, 0, np.asarray(scaled, np.int64))
    half = _pair(d, f"{name}_half", total, powers, MergeKind.MULTIPLY, _quantizer_of(POSITIVE))
    turned = scale_whole(d, f"{name}_turned", half, HALF_ROOT, FRAC, _quantizer_of(POSITIVE))
    lower = scale_whole(d, f"{name}_lower", turned, 2, 0, _quantizer_of(POSITIVE))
    higher = _pair(d, f"{name}_higher", half, aside, MergeKind.ADD)
    near = _pair(d, f"{name}_near", lower, higher, MergeKind.MINIMUM, _quantizer_of(POSITIVE))
    rest = _log_near_one(d, name, near)
    log = _pair(d, f"{name}_log", known, rest, MergeKind.ADD)
    return scale_whole(d, f"{name}_logarithm", log, 2, 0)


def _thresholds(width: int) -> list[int]:
    """From which sums on the kernel brings them down by the next power of the root of 2."""
    thresholds: list[int] = []
    octave = 1 << SUM_FRAC
    while octave <= width << SUM_FRAC:
        first = -(-((octave << FRAC) - (1 << (FRAC - 1))) // HALF_ROOT)  # times the root: an octave
        thresholds += [octave, first]
        octave *= 2
    return thresholds[1:]


def _log_near_one(d: StepDrawing, name: str, r: str) -> str:
    """What is added to the logarithm of the power, with 25 fractional bits, for a number from 0.7
    to 1 around the fourth root of a half."""

    def add(label: str, a: str, b: str, type_: Fixed) -> str:
        return _pair(d, f"{name}_{label}", a, b, MergeKind.ADD, _quantizer_of(type_))

    def high(label: str, a: str, b: str, type_: Fixed = SIGNED) -> str:
        return multiply_high(d, f"{name}_{label}", a, b, type_)

    def times(label: str, x: str, factor: int, type_: Fixed = SIGNED) -> str:
        return scale_whole(d, f"{name}_{label}", x, factor, FRAC, _quantizer_of(type_))

    def moved(label: str, x: str, factor: int, frac: int, shift: int, type_: Fixed) -> str:
        """factor x + shift, all times 2^-frac and cut off."""
        offset, cut = np.asarray(shift, np.int64), _quantizer_of(type_, Rounding.TRN)
        return d.affine(d.fresh(f"{name}_{label}"), x, ZERO + factor, frac, cut, offset, frac)

    mean = moved("mean", r, 1, 1, QUARTER_ROOT + 1, POSITIVE)
    twice = moved("twice", r, 2, 0, -2 * QUARTER_ROOT, SIGNED)
    square = high("square", twice, twice, POSITIVE)
    cube = times("cubed", high("cube", twice, square), NUMERATOR)
    numerator = add("numerator", high("linear", twice, r), cube, SIGNED)
    near_one = moved("near_one", twice, 1, 0, CONSTANT, POSITIVE)
    factor = add("factor", near_one, times("bent", square, DENOMINATOR, POSITIVE), POSITIVE)
    product = high("product", mean, factor, POSITIVE)
    denominator = add("denominator", product, times("line", twice, LINE), POSITIVE)
    half = moved("halved", denominator, 1, 1, 1 << FRAC, POSITIVE)
    inverse = invert_half(d, f"{name}_log", half)
    coarse = _quantizer_of(signed_type(FRAC - 5), Rounding.RND_INF)
    return high("rest", scale_whole(d, f"{name}_coarse", numerator, 1, 6, coarse), inverse)


def _pair(
    d: StepDrawing,
    name: str,
    a: str,
    b: str,
    kind: MergeKind,
    quantizer: Quantizer | None = None,
) -> str:
    return d.add(MergeNode(d.fresh(name), (a, b), kind), quantizer)


def _quantizer_of(type_: Fixed, rounding: Rounding = Rounding.RND) -> Quantizer:
    return Quantizer(type_, rounding, SAT)
