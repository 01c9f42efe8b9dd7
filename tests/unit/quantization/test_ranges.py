# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Intervals hold what they must, and no more than they must."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantization import ranges
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, requantize
from quantization.ranges import Interval, RangeError

small = st.integers(-40, 40)
intervals = st.tuples(small, small).map(
    lambda ends: Interval(np.asarray(min(ends)), np.asarray(max(ends)))
)


def members(x: Interval) -> range:
    return range(int(x.low), int(x.high) + 1)


@given(intervals, intervals)
def test_pairwise_bounds_are_reached_and_never_left(a: Interval, b: Interval) -> None:
    cases = {
        ranges.add_ranges: lambda x, y: x + y,
        ranges.multiply_ranges: lambda x, y: x * y,
        ranges.larger: max,
        ranges.smaller: min,
    }
    for bound, function in cases.items():
        values = [function(x, y) for x, y in itertools.product(members(a), members(b))]
        result = bound(a, b)
        assert (result.bottom, result.top) == (min(values), max(values))


@given(
    intervals,
    st.integers(-3, 6),
    st.integers(1, 7),
    st.integers(-3, 6),
    st.booleans(),
    st.sampled_from(Rounding),
    st.sampled_from(Overflow),
)
def test_requantised_bounds_hold(
    x: Interval,
    frac: int,
    bits: int,
    to: int,
    signed: bool,
    rounding: Rounding,
    overflow: Overflow,
) -> None:
    quantizer = Quantizer(Fixed(signed, bits, bits - to), rounding, overflow)
    values = [int(requantize(np.asarray(v), frac, quantizer)) for v in members(x)]
    result = ranges.requantize_range(x, frac, quantizer)
    assert result.bottom <= min(values) and max(values) <= result.top
    if overflow in (Overflow.SAT, Overflow.SAT_SYM):
        assert (result.bottom, result.top) == (min(values), max(values))


@given(
    hnp.arrays(np.int64, (4, 3), elements=st.integers(-9, 9)),
    hnp.arrays(np.int64, (4,), elements=st.integers(-9, 9)),
    hnp.arrays(np.int64, (4,), elements=st.integers(0, 9)),
    st.sampled_from([1, 1 << 50]),
)
def test_linear_bounds_are_exact(
    weights: np.ndarray, low: np.ndarray, width: np.ndarray, unit: int
) -> None:
    """Each output's extremes are reached by the inputs that the weights' signs choose, on the
    float64 path and on the integer one alike."""
    x = Interval(low * unit, (low + width) * unit)
    result = ranges.linear(x, weights)
    corners = np.array(list(itertools.product(*zip(x.low, x.high, strict=True))))
    sums = corners @ weights
    assert result.low.tolist() == sums.min(axis=0).tolist()
    assert result.high.tolist() == sums.max(axis=0).tolist()


def test_what_no_int64_holds_is_refused() -> None:
    huge = Interval(np.asarray(0), np.asarray(1 << 61))
    for refused in (
        lambda: ranges.add_ranges(huge, huge),
        lambda: ranges.multiply_ranges(huge, huge),
        lambda: ranges.shift_range(huge, 4),
        lambda: ranges.linear(huge, np.ones((4, 1), np.int64)),
    ):
        with pytest.raises(RangeError, match="63 are held"):
            refused()


def test_ends_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(RangeError, match="above"):
        Interval(np.asarray(1), np.asarray(0))


def test_types_and_negation() -> None:
    x = ranges.of_type(Fixed(True, 4, 2))
    assert (x.bottom, x.top) == (-8, 7)
    assert ranges.negate_range(x).type(2) == Fixed(True, 5, 3)
    assert ranges.of_values(np.array([3, -5])).magnitude.tolist() == [3, 5]


@given(
    hnp.arrays(np.dtype("<i2"), st.integers(0, 40)),
    st.integers(1, 17),
    st.booleans(),
    st.booleans(),
)
def test_a_raw_integer_beyond_a_type_is_met_wherever_it_lies(
    raw: np.ndarray, bits: int, signed: bool, odd: bool
) -> None:
    type_ = Fixed(signed, bits, bits)
    if odd:
        raw = np.frombuffer(b"." + raw.tobytes(), np.uint8)[1:].view("<i2")
    beyond = [int(x) for x in raw if not type_.raw_min <= x <= type_.raw_max]
    into = np.empty(raw.shape, np.int64)
    outlier = ranges.find_outlier(raw, type_, into)
    below = [x for x in beyond if x < type_.raw_min]
    assert outlier == (min(below) if below else max(beyond, default=None))
    assert np.array_equal(into, raw) and ranges.find_outlier(raw, type_) == outlier
