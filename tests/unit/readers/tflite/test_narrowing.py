# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Multipliers of few bits: the same integers for every sum within its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.readers.tflite.narrowing import fit_line, staircase_of
from quantization.fixed import Ints, Rounding, shift_right

ALLOWED = (0, 255)


@pytest.mark.parametrize("seed", range(40))
def test_a_line_makes_the_integers_of_the_staircase(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 5))
    factors = rng.integers(1 << 30, 1 << 31, (channels, 1))
    down = int(rng.integers(2, 9))
    low = rng.integers(-5000, 100, (channels, 1))
    high = low + rng.integers(0, 6000, (channels, 1))

    def product(sums: Ints) -> Ints:
        """Rounded after the multiplier and after the power of two."""
        first = shift_right(sums * factors, 31, Rounding.RND)
        return shift_right(first, down, Rounding.RND_INF)

    stairs = staircase_of(low, high, product, ALLOWED)
    assert stairs is not None
    line = fit_line(stairs, np.ldexp(factors.astype(np.float64), -31 - down))
    assert line is not None
    for channel in range(channels):
        sums = np.arange(low[channel, 0], high[channel, 0] + 1)
        expected = np.clip(product(np.broadcast_to(sums, (channels, sums.size)))[channel], *ALLOWED)
        raw = sums * line.factors[channel] + line.shifts[channel]
        assert np.array_equal(
            np.clip(shift_right(raw, line.frac, Rounding.RND), *ALLOWED), expected
        )
    assert int(line.factors.max()).bit_length() < 31


def test_a_staircase_of_too_many_levels_has_no_line() -> None:
    low, high = np.array([[-10_000]]), np.array([[10_000]])
    assert staircase_of(low, high, lambda sums: sums, (-(1 << 20), 1 << 20)) is None


def test_steps_that_no_line_makes_are_given_up() -> None:
    """Steps at 0, 1 and 100 are too uneven for any one slope."""
    low, high = np.array([[-5]]), np.array([[200]])
    stairs = staircase_of(
        low, high, lambda sums: (sums >= 0) + (sums >= 1) + (sums >= 100), (0, 255)
    )
    assert stairs is not None
    assert fit_line(stairs, np.array([[0.02]])) is None
