# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Fixed-point formats for float32 numbers: exact where possible, else as near as is claimed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.readers.grids import MAX_BITS, fixed_bias, fixed_multiplier

NUMBERS = st.lists(
    st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=1, max_size=8
)  # fmt: skip


def make_tensor_of(form, values):
    return np.ldexp(form.raw(values).astype(np.float64), -form.frac)


@given(NUMBERS)
def test_held_numbers_are_a_fixed_point(numbers: list[float]) -> None:
    """Quantizing what is held changes nothing, and the error is what is claimed."""
    values = np.asarray(numbers, dtype=np.float64)
    for made in (fixed_multiplier(values), fixed_bias(values)):
        assert made.format.bits <= MAX_BITS
        assert np.array_equal(make_tensor_of(made.format, made.values), made.values)
    bias = fixed_bias(values)
    largest = np.abs(values).max()
    assert np.abs(bias.values - values).max() <= bias.error * largest * (1 + 1e-9)
    assert bias.error <= 2.0 ** (2 - MAX_BITS)


@given(st.floats(2.0**-100, 2.0**100, width=32))
def test_one_float32_scale_is_exact(number: float) -> None:
    result = fixed_multiplier(np.asarray(number))
    assert result.error == 0.0
    assert float(result.values) == number


@given(st.lists(st.floats(1.0, 255.0, width=32), min_size=2, max_size=8))
def test_scales_of_like_size_are_exact_by_channel(numbers: list[float]) -> None:
    values = np.asarray(numbers, dtype=np.float64)
    assert np.array_equal(fixed_multiplier(values).values, values)


def test_small_channels_lose_what_is_said() -> None:
    values = np.asarray([1.0, np.float64(np.float32(1e-5 / 3))])
    result = fixed_multiplier(values)
    assert 0.0 < result.error < 1e-2
    assert result.error == abs(result.values[1] - values[1]) / values[1]


def test_formats_are_no_wider_than_needed() -> None:
    assert str(fixed_bias(np.asarray([0.5, -0.25])).format) == "fixed<3,1,RND_CONV,SAT>"
    assert str(fixed_multiplier(np.asarray(4.0)).format) == "ufixed<1,3,RND_CONV,SAT>"
    assert fixed_bias(np.zeros(3)).format.bits == 1
