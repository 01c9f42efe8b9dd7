# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where calibration puts the binary point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantization.calibrate import (
    DEEPEST,
    FEWEST_INTEGER,
    Method,
    fit_quantizer,
    fitted_channels,
    places,
    squared_error,
)
from quantization.fixed import Fixed, FormatError, quantize

reals = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e6, 1e6, width=32))


@given(reals, st.integers(2, 16))
def test_minmax_saturates_nothing_and_wastes_no_bit(values: np.ndarray, bits: int) -> None:
    quantizer = fit_quantizer(values, bits)
    kept = quantize(values, quantizer) * quantizer.type.lsb
    assert np.abs(kept - values).max() <= quantizer.type.lsb / 2
    if np.abs(values).max() >= 2.0**FEWEST_INTEGER:  # what is smaller counts as zero
        finer = Fixed(quantizer.type.signed, bits, quantizer.type.integer - 1)
        scaled = np.rint(np.ldexp(values, finer.frac))
        assert scaled.min() < finer.raw_min or scaled.max() > finer.raw_max


@given(reals, st.integers(2, 8))
def test_mse_is_never_worse_than_minmax(values: np.ndarray, bits: int) -> None:
    best, plain = fit_quantizer(values, bits, method=Method.MSE), fit_quantizer(values, bits)
    assert squared_error(values, best) <= squared_error(values, plain)
    every = [
        replace(plain, type=replace(plain.type, integer=plain.type.integer - depth))
        for depth in range(DEEPEST + 1)
    ]
    assert best == min(every, key=lambda one: squared_error(values, one)), "none is left out"


def test_percentile_leaves_the_outlier_out() -> None:
    values = np.append(np.linspace(0, 1, 10_000), 1e6)
    assert fit_quantizer(values, 8).type.integer >= 20
    assert fit_quantizer(values, 8, method=Method.PERCENTILE, percentile=99.9).type == Fixed(
        False, 8, 1
    )


@given(reals, st.integers(2, 12))
def test_places_begin_where_nothing_saturates_and_go_down_one_by_one(
    values: np.ndarray, bits: int
) -> None:
    offered = places(values, bits)
    assert offered[0] == fit_quantizer(values, bits)
    integers = [quantizer.type.integer for quantizer in offered]
    assert integers == list(range(integers[0], integers[0] - len(integers), -1))
    assert {quantizer.type.bits for quantizer in offered} == {bits}


def test_places_reach_the_bulk_below_an_outlier() -> None:
    values = np.append(np.linspace(0, 1, 10_000), 1e6)
    assert {quantizer.type.integer for quantizer in places(values, 8)} >= {20, 1, 0}
    assert len(places(np.zeros(5), 8)) == 1
    assert len(places([1e-300, -1e-300], 8)) == 1


def test_sign_follows_the_data_unless_told() -> None:
    assert not fit_quantizer([0.0, 0.5], 8).type.signed
    assert fit_quantizer([0.0, 0.5], 8, signed=True).type == Fixed(True, 8, 1)
    assert fit_quantizer([-0.5, 0.25], 8).type == Fixed(True, 8, 0)


def test_zeros_get_a_sane_format() -> None:
    assert fit_quantizer(np.zeros(4), 6).type == Fixed(False, 6, 1)


def test_channels_differ_in_place_not_in_width() -> None:
    fmt = fitted_channels([[0.1, 8.0], [-0.2, 3.0]], 6)
    assert [q.type.bits for q in fmt.quantizers] == [6, 6]
    assert [q.type.integer for q in fmt.quantizers] == [-1, 5]


def test_refusals() -> None:
    with pytest.raises(FormatError, match="NaN"):
        fit_quantizer([np.nan], 8)
    with pytest.raises(FormatError, match="2 bits"):
        fit_quantizer([-1.0], 1)
