# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Integers packed into words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.targets.boards.words import integers_of, words_of
from edgeinfer.targets.rtl.design.memory import hex_words
from edgeinfer.targets.rtl.design.netlist import Stream
from edgeinfer.targets.rtl.tools.simulate import beats_of, frames_of
from quantization.fixed import Fixed


def test_the_first_element_lies_in_the_lowest_bits() -> None:
    raw = np.array([[1, -1, 3], [0, 0, -8]], dtype=np.int64)
    assert hex_words(raw, 4) == b"3f1\n800\n"


@given(st.integers(1, 63), st.booleans(), st.integers(1, 5), st.integers(0, 2**32))
def test_words_give_back_their_integers(bits: int, signed: bool, lanes: int, seed: int) -> None:
    type_ = Fixed(signed, bits, bits)
    rng = np.random.default_rng(seed)
    raw = rng.integers(type_.raw_min, type_.raw_max, (7, lanes), dtype=np.int64, endpoint=True)
    words = words_of(raw, bits, 4 * -(-lanes * bits // 32))
    np.testing.assert_array_equal(integers_of(words, lanes, bits, signed=signed), raw)


def test_a_batch_goes_out_as_beats_and_comes_back() -> None:
    stream = Stream("x", Fixed(True, 6, 2), lanes=3, beats=4)
    raw = np.arange(-24, 24).reshape(4, 2, 6)
    beats = beats_of(raw, stream)
    assert beats.shape == (16, 4)  # 18 bits in one 32-bit word
    np.testing.assert_array_equal(frames_of(beats.tobytes(), stream, (2, 6)), raw)
