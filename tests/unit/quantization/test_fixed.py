# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Fixed-point arithmetic against rational arithmetic, for every rounding and overflow mode."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from quantization.fixed import (
    Fixed,
    FormatError,
    Overflow,
    Quantizer,
    Rounding,
    dequantize,
    fixed_of_range,
    quantize,
    requantize,
    shift_left,
)

types = st.builds(Fixed, st.booleans(), st.integers(1, 24), st.integers(-10, 30))
quantizers = st.builds(Quantizer, types, st.sampled_from(Rounding), st.sampled_from(Overflow))
NEAREST_TIES = {
    Rounding.RND: lambda low, value: low + 1,
    Rounding.RND_MIN_INF: lambda low, value: low,
    Rounding.RND_ZERO: lambda low, value: low + 1 if value < 0 else low,
    Rounding.RND_INF: lambda low, value: low if value < 0 else low + 1,
    Rounding.RND_CONV: lambda low, value: low if low % 2 == 0 else low + 1,
}


def rounded(value: Fraction, rounding: Rounding) -> int:
    """The definition of each mode, in rationals."""
    low = math.floor(value)
    if rounding is Rounding.TRN:
        return low
    if rounding is Rounding.TRN_ZERO:
        return math.trunc(value)
    if value - low == Fraction(1, 2):
        return NEAREST_TIES[rounding](low, value)
    return low if value - low < Fraction(1, 2) else low + 1


def overflow_exactly(raw: int, type_: Fixed, overflow: Overflow) -> int:
    """The definition of each overflow mode."""
    if overflow is Overflow.WRAP:
        wrapped = raw % 2**type_.bits
        return wrapped - 2**type_.bits if wrapped > type_.raw_max else wrapped
    symmetric = overflow is Overflow.SAT_SYM and type_.signed
    least = -type_.raw_max if symmetric else type_.raw_min
    if overflow is Overflow.SAT_ZERO:
        return raw if type_.raw_min <= raw <= type_.raw_max else 0
    return min(max(raw, least), type_.raw_max)


@given(st.integers(-(2**40), 2**40), st.integers(-20, 40), quantizers)
@example(-1, 2, Quantizer(Fixed(True, 4, 4), Rounding.RND_MIN_INF))
def test_requantize_is_the_rational_definition(raw: int, frac: int, quantizer: Quantizer) -> None:
    value = Fraction(raw) * Fraction(2) ** (quantizer.type.frac - frac)
    expected = overflow_exactly(
        rounded(value, quantizer.rounding), quantizer.type, quantizer.overflow
    )
    assert requantize(np.array([raw]), frac, quantizer)[0] == expected


wide_types = st.builds(Fixed, st.booleans(), st.integers(1, 63), st.integers(-10, 30))


@given(
    st.integers(-(2**62), 2**63 - 1),
    st.integers(0, 62),
    st.integers(-90, 90),
    st.builds(Quantizer, wide_types, st.sampled_from(Rounding), st.sampled_from(Overflow)),
)
@example(22, 0, -63, Quantizer(Fixed(True, 20, 20), Rounding.TRN, Overflow.SAT))
@example(2**62, 0, -3, Quantizer(Fixed(False, 63, 63), Rounding.TRN, Overflow.SAT))
def test_nothing_is_lost_at_the_ends_of_the_word(
    raw: int, small: int, shift: int, quantizer: Quantizer
) -> None:
    raw >>= small
    value = Fraction(raw) / Fraction(2) ** shift
    expected = overflow_exactly(
        rounded(value, quantizer.rounding), quantizer.type, quantizer.overflow
    )
    assert requantize(np.array([raw]), quantizer.type.frac + shift, quantizer)[0] == expected


@given(
    st.floats(-1e12, 1e12, allow_nan=False, allow_subnormal=True),
    quantizers,
)
@example(-(0.5 - 2.0**-54), Quantizer(Fixed(True, 8, 8), Rounding.RND_MIN_INF))
@example(1e300, Quantizer(Fixed(True, 8, 8)))
def test_quantize_is_the_rational_definition(value: float, quantizer: Quantizer) -> None:
    assume(quantizer.overflow is not Overflow.WRAP or abs(value) < 2.0**50)
    scaled = Fraction(value) * Fraction(2) ** quantizer.type.frac
    expected = overflow_exactly(
        rounded(scaled, quantizer.rounding), quantizer.type, quantizer.overflow
    )
    assert quantize(value, quantizer) == expected


anywhere = st.builds(Fixed, st.booleans(), st.integers(1, 63), st.integers(-80, 80))


@given(
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True),
    st.builds(Quantizer, anywhere, st.sampled_from(Rounding), st.sampled_from(Overflow)),
)
@example(-5e-324, Quantizer(Fixed(False, 1, 2), Rounding.TRN, Overflow.WRAP))
@example(5e-324, Quantizer(Fixed(True, 8, 20), Rounding.RND_INF, Overflow.SAT))
@example(8e18, Quantizer(Fixed(False, 63, 63)))
@example(1e19, Quantizer(Fixed(False, 63, 63), Rounding.TRN, Overflow.SAT_ZERO))
@example(-1e300, Quantizer(Fixed(True, 63, 63), Rounding.TRN, Overflow.SAT_SYM))
def test_every_float_has_the_raw_integer_of_the_definition(
    value: float, quantizer: Quantizer
) -> None:
    scaled = Fraction(value) * Fraction(2) ** quantizer.type.frac
    expected = overflow_exactly(
        rounded(scaled, quantizer.rounding), quantizer.type, quantizer.overflow
    )
    assert quantize(value, quantizer) == expected


@pytest.mark.parametrize(("raw", "shift"), [(5, 61), (-3, 61), (1, 63), (2**40, 40)])
def test_a_shift_beyond_the_word_is_refused(raw: int, shift: int) -> None:
    with pytest.raises(FormatError, match="bits there"):
        shift_left(np.array([0, raw]), shift)


def test_a_shift_within_the_word_is_a_product() -> None:
    assert shift_left(np.array([1, -1, 0]), 61).tolist() == [2**61, -(2**61), 0]
    assert shift_left(np.array([-1]), 62).tolist() == [-(2**62)]
    assert shift_left(np.array([0]), 500).tolist() == [0]


@given(quantizers, st.data())
def test_values_on_the_grid_survive(quantizer: Quantizer, data: st.DataObject) -> None:
    type_ = quantizer.type
    least = (
        -type_.raw_max if quantizer.overflow is Overflow.SAT_SYM and type_.signed else type_.raw_min
    )
    raw = data.draw(st.integers(least, type_.raw_max))
    assert quantize(dequantize(raw, type_), quantizer) == raw


@given(st.integers(-(2**50), 2**50), st.integers(0, 2**50), st.integers(-20, 20))
def test_fixed_for_is_the_narrowest_type(low: int, width: int, frac: int) -> None:
    high = low + width
    type_ = fixed_of_range(low, high, frac)
    assert type_.raw_min <= low and high <= type_.raw_max
    assert type_.frac == frac
    if type_.bits > 1:
        narrower = Fixed(type_.signed, type_.bits - 1, type_.integer - 1)
        assert low < narrower.raw_min or high > narrower.raw_max


@given(quantizers)
def test_text_reads_back(quantizer: Quantizer) -> None:
    assert Quantizer.parse(str(quantizer)) == quantizer
    assert Fixed.parse(str(quantizer.type)) == quantizer.type


def test_a_type_says_what_it_holds() -> None:
    type_ = Fixed.parse("fixed<8,3>")
    assert (type_.frac, type_.lsb, type_.min, type_.max) == (5, 1 / 32, -4.0, 127 / 32)
    assert Fixed.parse("ap_ufixed<4, 0>").max == 15 / 16


@pytest.mark.parametrize(
    "text",
    [
        "fixed<8>",
        "float",
        "fixed<0,0>",
        "fixed<64,3>",
        "fixed<8,3,SOMEHOW>",
        "fixed<8,3,RND,SAT,X>",
        "fixed<8,3,RND,OVER>",
        "",
        "fixed<8,99999>",
    ],
)
def test_text_that_is_no_quantizer(text: str) -> None:
    with pytest.raises(FormatError):
        Quantizer.parse(text)


def test_what_has_no_fixed_point_value_is_refused() -> None:
    with pytest.raises(FormatError, match="NaN"):
        quantize([0.0, math.nan], Quantizer(Fixed(True, 8, 3)))
    with pytest.raises(FormatError, match="empty range"):
        fixed_of_range(2, 1, 0)
    with pytest.raises(FormatError, match="64 bits"):
        fixed_of_range(-(2**62) - 1, 0, 0)


def test_shifts_beyond_the_word_leave_only_the_floor() -> None:
    raw = np.array([-5, 0, 7])
    assert requantize(raw, 100, Quantizer(Fixed(True, 4, 4), Rounding.TRN)).tolist() == [-1, 0, 0]
    assert requantize(raw, 100, Quantizer(Fixed(True, 4, 4))).tolist() == [0, 0, 0]
