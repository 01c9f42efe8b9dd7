# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Integers packed into the bits of words, element 0 in the lowest, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantization.fixed import Ints


def bits_of(raw: NDArray[np.int64], bits: int) -> NDArray[np.uint8]:
    """(words, elements) integers as (words, elements x bits) bits, the lowest first."""
    shifts = np.arange(bits, dtype=np.int64)
    split = (raw[..., None] >> shifts) & 1
    return split.astype(np.uint8).reshape(raw.shape[0], -1)


def words_of(raw: Ints, bits: int, byte_count: int) -> NDArray[np.uint8]:
    """(words, elements) integers as (words, bytes), little-endian, zero-padded to `byte_count`."""
    packed = np.packbits(bits_of(raw, bits), axis=1, bitorder="little")
    padded = np.zeros((len(raw), byte_count), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded


def integers_of(words: NDArray[np.uint8], elements: int, bits: int, *, signed: bool) -> Ints:
    """The way back: (words, bytes) to (words, elements)."""
    split = np.unpackbits(words, axis=1, bitorder="little", count=elements * bits)
    split = split.reshape(len(words), elements, bits)
    weights = np.int64(1) << np.arange(bits, dtype=np.int64)
    raw: Ints = (split * weights).sum(axis=2, dtype=np.int64)
    if signed:
        sign = np.int64(1) << np.int64(bits - 1)
        raw = (raw ^ sign) - sign
    return raw
