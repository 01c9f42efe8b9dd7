# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tensors from the wire become the integers that the Program's recipe says, or are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeinfer.serve.faults import RequestError
from edgeinfer.serve.tensors import (
    WireTensor,
    bytes_of,
    narrowest_datatype,
    raw_dtype,
    raw_values,
    tensor_of_bytes,
    tensor_of_numbers,
)
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, quantize
from quantization.ranges import CACHED_BYTES

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
QUANTIZERS = st.builds(
    Quantizer,
    st.builds(Fixed, st.booleans(), st.integers(1, 30), st.integers(-140, 140)),
    st.sampled_from(Rounding),
    st.sampled_from(Overflow),
)


def rounded(values: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    """What the server makes of real numbers."""
    into = np.empty(values.shape, raw_dtype(quantizer.type))
    raw_values(WireTensor("x", "FP32", values), quantizer, into)
    return into


@given(st.lists(FLOATS, min_size=1, max_size=20), QUANTIZERS)
@example([2.0**-149, -(2.0**-149), 3.4e38, -3.4e38, 0.5, 1.5, -0.5], Quantizer(Fixed(True, 8, 8)))
@example([2.0**-126, 3.4e38], Quantizer(Fixed(True, 24, -102)))
def test_real_numbers_round_as_quantize_rounds_them(
    numbers: list[float], quantizer: Quantizer
) -> None:
    values = np.array(numbers, np.float32)
    assert (rounded(values, quantizer) == quantize(values, quantizer)).all()


@given(st.integers(1, 24), st.booleans(), st.integers(-20, 20))
def test_ties_and_ends_round_as_quantize_rounds_them(bits: int, signed: bool, integer: int) -> None:
    quantizer = Quantizer(Fixed(signed, bits, integer), Rounding.RND_CONV, Overflow.SAT)
    type_ = quantizer.type
    near = np.array([type_.raw_min, -2, -1, 0, 1, 2, type_.raw_max])
    halves = np.ldexp(np.concatenate([near, near + 0.5, near - 0.5]), -type_.frac)
    values = halves.astype(np.float32)
    assert (rounded(values, quantizer) == quantize(values, quantizer)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rounding", [Rounding.RND_CONV, Rounding.TRN])
def test_what_is_no_number_is_refused(bad: float, rounding: Rounding) -> None:
    quantizer = Quantizer(Fixed(True, 8, 3), rounding, Overflow.SAT)
    with pytest.raises(RequestError, match="NaN or infinity"):
        rounded(np.array([0.0, bad, 1.0], np.float32), quantizer)


def test_raw_integers_are_taken_as_they_are_or_refused() -> None:
    quantizer = Quantizer(Fixed(False, 8, 0))
    into = np.empty(2, np.uint8)
    raw_values(WireTensor("x", "INT16", np.array([0, 255], np.int16)), quantizer, into)
    assert into.tolist() == [0, 255]
    with pytest.raises(RequestError, match=r"integer -1; its type .* holds 0\.\.255"):
        raw_values(WireTensor("x", "INT8", np.array([0, -1], np.int8)), quantizer, into)


@pytest.mark.parametrize("offset", [0, 1])
def test_many_raw_integers_are_narrowed_part_by_part(offset: int) -> None:
    count, quantizer = CACHED_BYTES + 3, Quantizer(Fixed(False, 8, 0))  # three parts
    content = bytes(offset) + (np.arange(count) % 256).astype("<i2").tobytes()
    sent = np.frombuffer(bytearray(content), np.uint8)[offset:].view("<i2")
    into = np.empty(count, np.uint8)
    raw_values(WireTensor("x", "INT16", sent), quantizer, into)
    assert np.array_equal(into, sent)
    for place, bad in ((0, -1), (count - 1, 256)):
        spoiled = sent.copy()
        spoiled[place] = bad
        with pytest.raises(RequestError, match=f"raw integer {bad};"):
            raw_values(WireTensor("x", "INT16", spoiled), quantizer, into)


@given(st.sampled_from(["FP32", "INT8", "UINT8", "INT16", "UINT16", "INT32"]))
def test_bytes_and_numbers_are_the_same_tensor(datatype: str) -> None:
    numbers = [[0, 1, 2], [3, 4, 127]]
    first = tensor_of_numbers("x", datatype, [2, 3], numbers)
    again = tensor_of_bytes("x", datatype, [2, 3], bytes_of(first))
    flat = tensor_of_numbers("x", datatype, [2, 3], [0, 1, 2, 3, 4, 127])
    assert (first.values == again.values).all() and (first.values == flat.values).all()


@pytest.mark.parametrize(
    ("datatype", "shape", "numbers", "said"),
    [
        ("FP64", [1], [1.0], "is sent as FP64"),
        ("", [1], [1.0], "no datatype"),
        ("FP32", [2], [1.0], "has 1 numbers"),
        ("FP32", [-1], [1.0], "shape that no tensor has"),
        ("FP32", [1] * 40, [1.0], "shape that no tensor has"),
        ("FP32", [1], ["a"], "are not FP32 numbers"),
        ("FP32", [2], [[1.0], [1.0, 2.0]], "are no array"),
        ("INT8", [1], [1.5], "are not INT8 numbers"),
        ("INT8", [1], [128], "lie beyond INT8"),
        ("INT8", [1], [10**30], "are not INT8 numbers"),
        ("INT8", [1], [True], "are not INT8 numbers"),
    ],
)
def test_numbers_that_are_no_tensor_are_refused(
    datatype: str, shape: list[int], numbers: object, said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        tensor_of_numbers("x", datatype, shape, numbers)


def test_bytes_that_do_not_fill_the_shape_are_refused() -> None:
    with pytest.raises(RequestError, match=r"has 7 bytes; FP32 of the shape .* takes 8"):
        tensor_of_bytes("x", "FP32", [2], b"1234567")
    with pytest.raises(RequestError, match="takes 18446744073709551616"):
        tensor_of_bytes("x", "INT32", [2**31, 2**31], b"1234")


def test_raw_outputs_take_the_narrowest_datatype() -> None:
    results = [
        narrowest_datatype(Fixed(signed, bits, 0))
        for signed, bits in [(True, 8), (False, 8), (True, 16), (False, 16), (True, 32), (True, 33)]
    ]
    assert results == ["INT8", "INT16", "INT16", "INT32", "INT32", "INT64"]
